# SPDX-License-Identifier: Apache-2.0
"""Pause and resume: nothing runs, nothing is lost, and it stays so whoever dies."""

import concurrent.futures
import os
import signal
import time

import pytest

import harness

COUNT = "i=0; while :; do i=$((i+1)); echo $i >/tmp/count; done"


def post(api, key, verb):
    return api.request("POST", f"/api/v1/sandbox/{key}/{verb}")


def counter(key, api):
    return int(api.exec(key, "cat /tmp/count").stdout or 0)


def stands_still(api, key, seconds=0.5):
    before = api.usage(key)
    time.sleep(seconds)
    after = api.usage(key)
    return after["cpu_us"] - before["cpu_us"] < 20000 and after["memory_bytes"] > 0


@pytest.fixture
def counting(make, api):
    """A sandbox in which a process counts, alone and as fast as it can."""
    key = make(start_command=COUNT)
    harness.wait_until(lambda: counter(key, api) > 0, 5, "its counter")
    return key


@pytest.mark.smoke
def test_pause_and_resume(api, counting):
    key = counting
    assert not stands_still(api, key)
    paused = post(api, key, "pause").ok()
    assert paused["status"] == "PAUSED" and paused["pausedAt"], paused
    assert api.get(key).ok() == paused
    assert [s["id"] for s in api.list("status=PAUSED")] == [key]
    assert stands_still(api, key)
    for answer in (api.exec_raw(key, "true"),
                   api.raw("POST", f"/api/v1/sandbox/{key}/exec", b'{"command":"true"}',
                           {"Content-Type": "application/json", "Connection": "Upgrade",
                            "Upgrade": "caisson-exec/1"})):
        assert answer.status == 409 and "PAUSED" in answer.detail, answer
    assert api.logs(key) == ""
    assert post(api, key, "pause").ok()["pausedAt"] == paused["pausedAt"], "twice is fine"
    resumed = post(api, key, "resume").ok()
    assert resumed["status"] == "RUNNING" and resumed["pausedAt"] is None
    assert post(api, key, "resume").ok()["status"] == "RUNNING", "twice is fine"
    first = counter(key, api)
    harness.wait_until(lambda: counter(key, api) > first, 5, "counting")


def test_memory_and_streams_are_kept(api, make):
    key = make()
    with api.stream(key, "read x; echo got $x; read y; echo and $y") as stream:
        stream.stdin(b"one\n")
        stream.until(b"got one")
        post(api, key, "pause").ok()
        stream.stdin(b"two\n")
        time.sleep(0.5)
        assert stream.out == b"got one\n"
        post(api, key, "resume").ok()
        stream.until(b"and two")
        assert stream.wait()["exit_code"] == 0


def test_fifty_times(api, counting):
    key = counting
    for _ in range(50):
        assert post(api, key, "pause").ok()["status"] == "PAUSED"
        assert post(api, key, "resume").ok()["status"] == "RUNNING"
    assert api.exec(key, "echo alive").stdout == "alive\n"


def test_many_at_once(api, counting):
    """Whatever they are answered, at the end it is one or the other, and usable."""
    def ask(n):
        own = harness.Api(api.path)
        try:
            return post(own, counting, "pause" if n % 2 else "resume").status
        finally:
            own.close()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(64))) <= {200, 409}
    assert post(api, counting, "resume").ok()["status"] == "RUNNING"
    assert api.exec(counting, "echo alive").stdout == "alive\n"
    assert not stands_still(api, counting)


def test_delete_while_paused(api, engine):
    key = api.create(start_command=COUNT).ok()["id"]
    post(api, key, "pause").ok()
    assert api.delete(key).ok()["status"] == "TERMINATED"
    assert engine.sandbox_pids(key) == []


def test_pending_command_hears_of_the_end_while_paused(api):
    key = api.create().ok()["id"]
    with api.stream(key, "echo begun; sleep 100") as stream:
        stream.started()  # what it says may come before the agent's word that it runs
        stream.until(b"begun")
        post(api, key, "pause").ok()
        post(api, key, "stop").ok()
        assert stream.wait()["reason"] == "sandbox_stopped"


def test_commit_while_paused(api, counting):
    api.exec(counting, "echo kept >/kept")
    post(api, counting, "pause").ok()
    image = api.request("POST", f"/api/v1/sandbox/{counting}/commit", {"image": "of-paused"})
    image.ok()
    assert api.get(counting)["status"] == "PAUSED" and stands_still(api, counting)
    post(api, counting, "resume").ok()
    assert not stands_still(api, counting)
    other = api.create("of-paused").ok()["id"]
    assert api.exec(other, "cat /kept").stdout == "kept\n"
    api.delete(other).ok()
    api.remove_image("of-paused").ok()


def test_idle_time_stands_still_and_lifetime_does_not(api):
    idle = api.create(idle_timeout_minutes=0.02).ok()["id"]
    life = api.create(timeout_minutes=0.04).ok()["id"]
    assert api.get(idle)["idleExpiresAt"]
    for key in (idle, life):
        post(api, key, "pause").ok()
    assert api.get(idle)["idleExpiresAt"] is None
    harness.wait_until(lambda: api.get(life)["status"] == "TIMEOUT", 10, "the end of its lifetime")
    assert api.get(idle)["status"] == "PAUSED"
    resumed = time.monotonic()
    post(api, idle, "resume").ok()
    harness.wait_until(lambda: api.get(idle)["status"] == "TIMEOUT", 10, "its idle end")
    assert 0.5 < time.monotonic() - resumed < 5


@pytest.mark.parametrize("who", ["gateway", "caissond"])
def test_paused_stays_paused(fresh_engine, who):
    """Whoever dies; and what runs still does."""
    engine = fresh_engine
    api = engine.api
    paused, running = (api.create(start_command=COUNT).ok()["id"] for _ in range(2))
    post(api, paused, "pause").ok()
    if who == "gateway":
        old = engine.gateway
        os.kill(old, signal.SIGKILL)
        harness.wait_until(lambda: api.healthy() and engine.gateway != old, 20, "a new gateway")
    else:
        engine.kill()
        engine.start()
    assert api.get(paused)["status"] == "PAUSED" and api.get(running)["status"] == "RUNNING"
    assert stands_still(api, paused) and not stands_still(api, running)
    assert api.exec_raw(paused, "true").status == 409
    assert api.logs(paused) == ""
    post(api, paused, "resume").ok()
    first = counter(paused, api)
    harness.wait_until(lambda: counter(paused, api) > first, 5, "counting")
    for key in (paused, running):
        assert api.delete(key).ok()["status"] == "TERMINATED"


def test_stop_keeps_the_record(api, make):
    key = make()
    assert post(api, key, "stop").ok()["status"] == "TERMINATED"
    assert post(api, key, "stop").ok()["id"] == key, "twice is fine"
    for verb in ("pause", "resume"):
        assert post(api, key, verb).status == 409
    assert post(api, "nonesuch", "pause").status == 404


def test_cli(engine, api, make):
    key = make()
    assert engine.cli("pause", key).stdout == f"{key} paused\n"
    assert api.get(key)["status"] == "PAUSED"
    assert engine.cli("run", key, "true").returncode != 0
    assert engine.cli("resume", key).stdout == f"{key} resumed\n"
    assert engine.cli("run", key, "echo", "back").stdout == "back\n"
    assert engine.cli("stop", key).stdout == f"{key} stopped\n"
    assert api.get(key)["status"] == "TERMINATED"
