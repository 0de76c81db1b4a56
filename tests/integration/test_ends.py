# SPDX-License-Identifier: Apache-2.0
"""However a sandbox ends, its record says so before anybody who waits for it is answered."""

import concurrent.futures
import os
import signal
import time

import pytest

import harness

HOG = "head -c 2000000000 /dev/zero | tail -c 1999999999 | wc -c"
ENDED = ("TERMINATED", "TIMEOUT", "ERROR")


@pytest.fixture
def pending(api):
    """Starts an exec on a connection of its own; the answer comes with what get then says."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        def ask(key, command, **fields):
            def run():
                own = harness.Api(api.path)
                try:
                    answer = own.exec_raw(key, command, **fields)
                    return answer, own.get(key).json
                finally:
                    own.close()
            return pool.submit(run)
        yield ask


def ends_as(seen, status, kind, reason=None):
    answer, row = seen
    why = "oom" if kind == "OOM_KILLED" else "sandbox_stopped"
    assert answer.status == 200 and answer["reason"] == why and status in answer["detail"], answer
    assert (row["status"], row["errorType"]) == (status, kind), row
    assert row["terminationReason"] == (reason or kind), row
    assert row["terminatedAt"], row


def stream_ends(stream, status):
    end = stream.wait()
    assert end["reason"] in ("oom", "sandbox_stopped") and status in end["detail"], end


@pytest.mark.smoke
def test_lifetime_ends_with_what_is_pending(api, pending):
    made = api.create(timeout_minutes=0.03, start_command="echo said before; sleep 1000").ok()
    assert made["timeoutMinutes"] == 1 and made["notices"] is not None
    assert not [note for note in made["notices"] if "timeout" in note]
    key = made["id"]
    with api.stream(key, "echo begun; sleep 100") as stream:
        stream.until(b"begun")
        began = time.monotonic()
        ends_as(pending(key, "sleep 100").result(30), "TIMEOUT", "TIMEOUT")
        assert time.monotonic() - began < 10
        stream_ends(stream, "TIMEOUT")
    row = api.get(key).ok()
    assert "timeout_minutes" in row["errorMessage"]
    assert api.logs(key) == "said before\n"
    again = api.exec_raw(key, "true")
    assert again.status == 409 and "TIMEOUT" in again.detail
    assert api.delete(key).ok()["status"] == "TIMEOUT"


def test_no_lifetime(api, make):
    key = make(timeout_minutes=-1)
    row = api.get(key).ok()
    assert row["timeoutMinutes"] == -1 and row["expiresAt"] is None


def test_idle_time_ends_what_nobody_uses(api):
    key = api.create(idle_timeout_minutes=0.02).ok()["id"]
    for _ in range(4):  # each use renews it
        time.sleep(0.5)
        assert api.exec(key, "true").code == 0
    assert api.exec(key, "sleep 2.5").code == 0, "a command that runs is use"
    harness.wait_until(lambda: api.get(key)["status"] == "TIMEOUT", 6, "its end")
    row = api.get(key).ok()
    assert (row["errorType"], row["terminationReason"]) == ("TIMEOUT", "IDLE_TIMEOUT")


def test_looking_is_no_use(api):
    key = api.create(idle_timeout_minutes=0.02, start_command="echo hello; sleep 1000").ok()["id"]

    def over():
        api.logs(key)
        return api.get(key)["status"] == "TIMEOUT"
    harness.wait_until(over, 6, "its end", every=0.3)


@pytest.mark.parametrize("status,command,kind", [
    ("TERMINATED", "sleep 1", None), ("ERROR", "sleep 1; exit 3", "START_COMMAND_FAILED")],
    ids=["well", "badly"])
def test_start_command_ends(api, pending, status, command, kind):
    key = api.create(start_command=command + " ").ok()["id"]
    seen = pending(key, "sleep 100").result(30)
    ends_as(seen, status, kind, kind or "START_COMMAND_ENDED")
    assert seen[1]["exitCode"] == (3 if kind else 0)


def test_delete_ends_what_is_pending(api, pending):
    key = api.create().ok()["id"]
    waiting = pending(key, "sleep 100")
    time.sleep(0.5)
    assert api.delete(key).ok()["status"] == "TERMINATED"
    ends_as(waiting.result(10), "TERMINATED", None, "DELETED")


@pytest.mark.smoke
def test_out_of_memory_ends_the_sandbox(api, pending):
    key = api.create(memory_gb=0.125).ok()["id"]
    with api.stream(key, "echo begun; sleep 100") as stream:
        stream.until(b"begun")
        idle = pending(key, "sleep 100")
        time.sleep(0.3)
        hog = pending(key, HOG, timeout=60)
        ends_as(hog.result(60), "ERROR", "OOM_KILLED")
        ends_as(idle.result(60), "ERROR", "OOM_KILLED")
        stream_ends(stream, "ERROR")
    api.delete(key).ok()
    row = api.get(key).ok()
    report = row["outOfMemory"]
    assert report["limitBytes"] == 128 << 20 and report["peakBytes"] > 120 << 20, report
    assert report["process"]["name"] == "tail" and report["processes"] >= 4, report
    assert "limit 128 MiB" in row["errorMessage"] and "process 'tail'" in row["errorMessage"], row
    context = api.request("GET", f"/api/v1/sandbox/{key}/error-context").ok()
    assert context["errorType"] == "OOM_KILLED" and context["errorMessage"] == row["errorMessage"]


def test_who_is_out_of_memory_is_named_as_nothing_but_a_name(api):
    """It is the sandbox's own word: it drives no terminal, no markup and no JSON."""
    key = api.create(memory_gb=0.125).ok()["id"]
    answer = api.exec_raw(key, r"""printf '\033]0;x\007[red]"}\n' >/proc/self/comm
        x=0123456789; while :; do x=$x$x; done""", timeout=60)
    assert answer.ok()["reason"] == "oom", answer
    row = api.get(key).ok()
    assert row["outOfMemory"]["process"]["name"] == "??0?x??red???", row
    assert "process '??0?x??red???'" in row["errorMessage"], row


def test_files_in_memory_are_told_of(api):
    key = api.create(memory_gb=0.125).ok()["id"]
    assert api.exec_raw(key, "dd if=/dev/zero of=/dev/shm/x bs=64k; sleep 5").ok()["reason"] == "oom"
    row = api.get(key).ok()
    assert row["errorType"] == "OOM_KILLED", row
    assert row["outOfMemory"]["sharedBytes"] > 100 << 20 or not row["outOfMemory"]["process"], row


def test_out_of_memory_in_the_background_ends_the_sandbox(api):
    """Nobody waits for a command: only the kernel's word is there."""
    key = api.create(memory_gb=0.125).ok()["id"]
    api.exec(key, f"({HOG}) >/dev/null 2>&1 &")
    harness.wait_until(lambda: api.get(key)["status"] in ENDED, 30, "its end")
    assert api.get(key)["errorType"] == "OOM_KILLED"


def test_a_command_that_fails_is_not_out_of_memory(api, make):
    key = make(memory_gb=0.125)
    assert api.exec(key, "kill -9 $$").code == 137
    assert api.exec(key, "exit 3").code == 3
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        own = [harness.Api(api.path) for _ in range(8)]
        codes = [code for part in pool.map(
            lambda one: [one.exec(key, f"exit {n}").code for n in range(1, 20)], own)
            for code in part]
    assert codes == [n for _ in range(8) for n in range(1, 20)]


def test_killed_from_outside(api, engine, pending):
    key = api.create().ok()["id"]
    with api.stream(key, "echo begun; sleep 100") as stream:
        stream.until(b"begun")
        waiting = pending(key, "sleep 100")
        time.sleep(0.5)
        os.kill(engine.agent_of(key), signal.SIGKILL)
        ends_as(waiting.result(20), "ERROR", "AGENT_EXITED")
        stream_ends(stream, "ERROR")


@pytest.mark.parametrize("who", ["gateway", "caissond"])
@pytest.mark.parametrize("fields,reason", [
    ({"timeout_minutes": 0.05}, "TIMEOUT"), ({"idle_timeout_minutes": 0.05}, "IDLE_TIMEOUT")],
    ids=["lifetime", "idle"])
def test_times_outlive_restarts(fresh_engine, who, fields, reason):
    """Killed in between, and for longer than was left: it is over at the start."""
    engine = fresh_engine
    key = engine.api.create(**fields).ok()["id"]
    began = time.monotonic()
    if who == "gateway":
        os.kill(engine.gateway, signal.SIGKILL)
        harness.wait_until(engine.api.healthy, 20, "the next gateway")
        assert engine.api.get(key)["status"] == "RUNNING"
    else:
        engine.kill()
        time.sleep(4)
        engine.start()
    harness.wait_until(lambda: engine.api.get(key)["status"] == "TIMEOUT", 20, "its end")
    assert time.monotonic() - began > 2.5
    assert engine.api.get(key)["terminationReason"] == reason


def test_what_was_answered_outlives_the_gateway(fresh_engine):
    """Killed as soon as there is an answer: its end and its line of the audit log are kept by then."""
    engine = fresh_engine
    key = engine.api.create().ok()["id"]
    for turn in range(3):
        gateway = engine.gateway
        answer = engine.api.exec_raw(key, f"echo {turn}")
        os.kill(gateway, signal.SIGKILL)
        harness.wait_until(engine.api.healthy, 20, "the next gateway")
        kept = engine.api.request("GET", f"/api/v1/sandbox/{key}/exec/{answer.ok()['exec_id']}").ok()
        assert (kept["status"], kept["result"]["stdout"]) == ("ENDED", f"{turn}\n")
        noted = engine.api.request("GET", "/api/v1/audit").ok()["audit"]
        assert answer.headers["X-Request-Id"] in [row["requestId"] for row in noted]


@pytest.mark.parametrize("who", ["gateway", "caissond"])
def test_out_of_memory_while_nobody_looks(fresh_engine, who):
    """The kernel kills while the one is down who would hear of it: the next one finds out."""
    engine = fresh_engine
    key = engine.api.create(memory_gb=0.125).ok()["id"]
    agent = engine.agent_of(key)
    engine.api.exec(key, f"(sleep 2; {HOG}) >/dev/null 2>&1 &")
    if who == "gateway":
        os.kill(engine.pid, signal.SIGSTOP)  # or it would have a new one at once
        try:
            os.kill(engine.gateway, signal.SIGKILL)
            time.sleep(4)
        finally:
            os.kill(engine.pid, signal.SIGCONT)
        harness.wait_until(engine.api.healthy, 20, "the next gateway")
    else:
        engine.kill()
        time.sleep(4)
        assert harness.alive(agent), "only what was too big was killed"
        engine.start()
    harness.wait_until(lambda: engine.api.get(key)["status"] in ENDED, 20, "its end")
    row = engine.api.get(key).ok()
    assert row["errorType"] == "OOM_KILLED"
    assert row["outOfMemory"]["peakBytes"] > 120 << 20, row
    # Where nobody saw who it was, nobody else is blamed.
    assert (row["outOfMemory"]["process"] or {}).get("name") in (None, "tail"), row


def test_many_end_in_one_request(api, engine):
    """Each as completely as alone."""
    count = min(harness.SCALE, 100)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        keys = [made.ok()["id"] for made in pool.map(
            lambda _: harness.Api(api.path).create(memory_gb=0.0625, labels=["many"]), range(count))]
    answer = api.request("DELETE", "/api/v1/sandbox", {"sandbox_ids": keys}).ok()
    assert sorted(answer["succeeded"]) == sorted(keys) and answer["failed"] == []
    assert api.list("labels=many&is_active=true") == []
    api.reaped()
    assert not set(keys) & set(os.listdir(os.path.join(engine.run, "sandboxes")))
