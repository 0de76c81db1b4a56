# SPDX-License-Identifier: Apache-2.0
"""What is granted is what there is; at its limit only the sandbox itself suffers."""

import concurrent.futures
import os
import time

import pytest

import harness

HOG = "head -c 2000000000 /dev/zero | tail -c 1999999999 | wc -c"
BOMB = "f() { f | f & }; f"
# A command ends with its main process, so a bomb that shall run into its timeout keeps that one.
HELD_BOMB = BOMB + "; while :; do :; done"


def test_cpu_is_limited(api, make):
    """Half a core for two seconds of wall time is about one second of work."""
    key = make(cpu_cores=0.5)
    before = api.usage(key)
    api.exec_raw(key, "while :; do :; done", timeout=3)
    after = api.usage(key)
    field = next(name for name in after if "cpu" in name.lower())
    unit = 1e6 if after[field] > 1000 else 1
    used = (after[field] - before[field]) / unit
    assert 0.5 < used < 2.2, (before, after)


@pytest.mark.smoke
def test_memory_hog_dies_and_exec_still_works(api, make):
    key = make(memory_gb=0.125)
    answer = api.exec_raw(key, HOG, timeout=60)
    assert answer.status != 200 or "1999999999" not in answer.body.decode()
    after = api.exec_raw(key, "echo alive")
    if after.status == 200:
        assert after["stdout"] == "alive\n"
    else:
        # The sandbox's own limit may end the sandbox: then it must say why.
        assert api.get(key)["status"] in ("ERROR", "TERMINATED")
        assert "OOM" in api.get(key).body.decode()


def test_memory_is_what_was_granted(api, engine, make):
    key = make(memory_gb=0.25)
    values = {}
    for root in harness.cgroup_roots():
        for name in ("memory.limit_in_bytes", "memory.max", "memory.memsw.limit_in_bytes",
                     "memory.swap.max"):
            file = f"{root}{engine.instance()}/{key}/work/{name}"
            if os.path.exists(file):
                values[name] = harness.read(file).strip()
    limit = values.get("memory.limit_in_bytes") or values.get("memory.max")
    assert limit == str(256 << 20), values
    if "memory.memsw.limit_in_bytes" in values:
        assert values["memory.memsw.limit_in_bytes"] == limit, "swap is off"
    if "memory.swap.max" in values:
        assert values["memory.swap.max"] == "0", "swap is off"


@pytest.mark.parametrize("script", [
    "exec 3<>/dev/shm/x; head -c 2000000000 /dev/zero >&3",
    "head -c 2000000000 /dev/zero >/tmp/x",
], ids=["shm", "tmp"])
def test_memory_of_files_is_limited(api, make, script):
    key = make(memory_gb=0.125)
    answer = api.exec_raw(key, script, timeout=60)
    assert answer.status != 200 or answer["exit_code"] != 0, answer
    assert api.exec_raw(key, "echo alive").status in (200, 404, 409)


@pytest.mark.smoke
def test_fork_bomb(api, engine, make):
    key, neighbour = make(pids_limit=200), make()
    api.exec_raw(key, HELD_BOMB, timeout=5)
    with api.stream(key, HELD_BOMB) as stream:
        time.sleep(1)
        pids = len(engine.sandbox_pids(key))
        assert pids <= 200 + 260, f"{pids} processes"
        began = time.monotonic()
        answer = harness.Api(engine.socket, 30).exec_raw(neighbour, "echo beside")
        assert answer["stdout"] == "beside\n" and time.monotonic() - began < 10
        # An exec inside is started (the agent is outside the limited group); its own forks may fail.
        began = time.monotonic()
        answer = harness.Api(engine.socket, 30).exec_raw(key, ["/bin/echo", "inside"])
        assert answer.status == 200 and answer["stdout"] == "inside\n", answer
        assert time.monotonic() - began < 15
        stream.signal(9)
    began = time.monotonic()
    api.delete(key).ok()
    assert time.monotonic() - began < 15
    assert engine.sandbox_pids(key) == []


def test_timed_out_fork_bomb_is_gone(api, engine, make):
    key = make(pids_limit=200)
    idle = len(engine.sandbox_pids(key))
    assert api.exec_raw(key, HELD_BOMB, timeout=2)["timed_out"] is True
    harness.wait_until(lambda: len(engine.sandbox_pids(key)) <= idle, 10, "the bomb's end")
    assert api.exec(key, "echo ok").stdout == "ok\n"


def test_busy_sandbox_delays_exec_kill_and_delete_little(api, engine, make):
    key = make(cpu_cores=1)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(lambda: harness.Api(engine.socket).exec_raw(key, "while :; do :; done",
                                                                    timeout=20))
        time.sleep(1)
        began = time.monotonic()
        assert api.exec(key, ["/bin/echo", "x"]).stdout == "x\n"
        assert time.monotonic() - began < 10
        began = time.monotonic()
        api.delete(key).ok()
        assert time.monotonic() - began < 10


def test_no_swap_no_core(api, sandbox):
    assert api.exec(sandbox, "ulimit -c").stdout.strip() == "0"
    limits = api.exec(sandbox, "cat /proc/self/limits").stdout
    nofile = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    assert int(nofile.split()[4]) <= 1 << 20, nofile


def test_out_of_pids_has_its_own_message(api, engine, make):
    """At the limit a command still starts; what it forks fails with the kernel's word for it."""
    key = make(pids_limit=10)
    with api.stream(key, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done; echo full; wait") \
            as stream:
        time.sleep(1)
        answer = harness.Api(engine.socket, 30).exec_raw(key, "sleep 0 | cat; echo $?")
        assert answer.status in (200, 507), answer
        stream.signal(9)


@pytest.mark.slow
def test_neighbour_of_a_hog(api, engine, make):
    """Beside a fork bomb and a memory hog a neighbour answers in bounded time."""
    hog, neighbour = make(pids_limit=300, memory_gb=0.125, cpu_cores=0.5), make()
    with api.stream(hog, HELD_BOMB), api.stream(hog, HOG):
        client, times = harness.Api(engine.socket, 30), []
        for _ in range(50):
            began = time.monotonic()
            assert client.exec(neighbour, ["true"]).code == 0
            times.append(time.monotonic() - began)
        assert sorted(times)[25] < 1.0, sorted(times)[-5:]
