# SPDX-License-Identifier: Apache-2.0
"""Two things that happen at once to one sandbox: each order has one answer (ARCHITECTURE.md, Orders).

What is the same from either side is driven many times over with a chosen delay between the two, so that each order
comes up; what differs is only who is told what.
"""

import concurrent.futures
import os
import time

import pytest

import harness

DELAYS = (0, 0.001, 0.003, 0.006, 0.01, 0.02, 0.05)
ENDED = ("TERMINATED", "TIMEOUT", "ERROR")


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        yield executor


def alone(api, method, path, body=None):
    """A request on a connection of its own."""
    own = harness.Api(api.path)
    try:
        return own.request(method, path, body)
    finally:
        own.close()


def path(key, verb=""):
    return f"/api/v1/sandbox/{key}" + verb


def renew(api, key, **times):
    return alone(api, "PATCH", path(key), times)


def gone(engine, key):
    """Nothing of it runs; the rest goes, and nobody waits for that."""
    if engine.sandbox_pids(key):
        return False
    harness.wait_until(lambda: not engine.left_of(key), 10, lambda: f"left {engine.left_of(key)}")
    return True


# ---- renewing ------------------------------------------------------------------------------------

def test_new_times_count_from_now(api, make):
    key = make(timeout_minutes=0.05)
    first = api.get(key)["expiresAt"]
    row = renew(api, key, timeout_minutes=10).ok()
    assert row["expiresAt"] > first and row["timeoutMinutes"] == 10 and row["status"] == "RUNNING"
    time.sleep(3.2)
    assert api.exec(key, "echo alive").stdout == "alive\n"
    assert renew(api, key, timeout_minutes=-1).ok()["expiresAt"] is None
    assert renew(api, key, idle_timeout_minutes=5).ok()["idleExpiresAt"]
    assert renew(api, key, timeout_minutes=0.01).status == 200
    harness.wait_until(lambda: api.get(key)["status"] == "TIMEOUT", 5, "its end")
    assert api.get(key)["terminationReason"] == "TIMEOUT"


def test_new_times_outlive_a_gateway(fresh_engine):
    api = fresh_engine.api
    key = api.create(timeout_minutes=0.03).ok()["id"]
    row = renew(api, key, timeout_minutes=10).ok()
    os.kill(fresh_engine.gateway, 9)
    harness.wait_until(api.healthy, 20, "the next gateway")
    assert api.get(key)["expiresAt"] == row["expiresAt"]
    time.sleep(2)
    assert api.get(key)["status"] == "RUNNING"


@pytest.mark.parametrize("times", [{}, {"timeout_minutes": 0}, {"timeout_minutes": -2}, {"timeout_minutes": "x"},
                                   {"idle_timeout_minutes": 0}, {"name": "other"}])
def test_what_is_no_time_is_refused(api, shared_sandbox, times):
    before = api.get(shared_sandbox).json
    assert renew(api, shared_sandbox, **times).status == 400
    assert api.get(shared_sandbox)["expiresAt"] == before["expiresAt"]


def test_renewing_while_it_expires(api, pool):
    """Renewed and alive, or refused and over; never renewed and over."""
    seen = set()
    for delay in (-0.03, -0.01, -0.003, 0, 0.003, 0.01, 0.03):
        made = api.create(timeout_minutes=0.005).ok()
        began = time.monotonic()
        time.sleep(max(0, 0.3 + delay - (time.monotonic() - began)))
        answer = renew(api, made["id"], timeout_minutes=5)
        assert answer.status in (200, 409), answer
        seen.add(answer.status)
        if answer.status == 200:
            time.sleep(0.05)
            assert api.exec(made["id"], "echo alive").stdout == "alive\n"
        else:
            assert "TIMEOUT" in answer.detail, answer
            harness.wait_until(lambda: api.get(made["id"])["status"] == "TIMEOUT", 5)
        api.delete(made["id"]).ok()
    assert seen, "one of them at least"


# ---- ending --------------------------------------------------------------------------------------

@pytest.mark.parametrize("delay", DELAYS)
def test_stopping_twice(api, engine, pool, delay):
    """Both are told that it has ended, when nothing of it is left."""
    key = api.create(start_command="sleep 1000").ok()["id"]
    first = pool.submit(alone, api, "POST", path(key, "/stop"))
    time.sleep(delay)
    second = pool.submit(alone, api, "DELETE", path(key))
    for answer in (first.result(20), second.result(20)):
        assert answer.ok()["status"] == "TERMINATED"
    assert gone(engine, key)
    assert alone(api, "POST", path(key, "/stop")).ok()["status"] == "TERMINATED", "a third time, too"


@pytest.mark.parametrize("delay", DELAYS)
def test_delete_during_create(api, engine, pool, delay):
    """By its name: not found while it has none, else gone, and its creator is told which."""
    name = "c-" + os.urandom(6).hex()
    create = pool.submit(alone, api, "POST", "/api/v1/sandbox", {"name": name, "docker_image": "busybox",
                                                                "memory_gb": 0.25})
    time.sleep(delay)
    deleted = alone(api, "DELETE", path(name))
    made = create.result(20)
    assert deleted.status in (200, 404), deleted
    if deleted.status == 404:
        assert made.status == 200 and alone(api, "DELETE", path(name)).status == 200
    elif made.status != 200:
        assert made.status == 409 and "deleted" in made.detail, made
    if made.status == 200:
        assert gone(engine, made["id"])
    assert name not in [row["name"] for row in api.list()]


@pytest.mark.parametrize("delay", DELAYS[::2])
@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_delete_during_a_pause(api, engine, pool, verb, delay):
    """The delete has its way; the pause has happened before, or is told of the end."""
    key = api.create(start_command="while :; do :; done").ok()["id"]
    if verb == "resume":
        alone(api, "POST", path(key, "/pause")).ok()
    change = pool.submit(alone, api, "POST", path(key, "/" + verb))
    time.sleep(delay)
    assert alone(api, "DELETE", path(key)).ok()["status"] == "TERMINATED"
    answer = change.result(20)
    assert answer.status in (200, 409), answer
    assert answer.status == 200 or "TERMINATED" in answer.detail, answer
    assert gone(engine, key)


@pytest.mark.parametrize("delay", DELAYS)
def test_exec_during_delete(api, engine, pool, delay):
    """It runs to its end, or its caller is told that the sandbox has ended; nobody hangs."""
    key = api.create().ok()["id"]
    delete = pool.submit(alone, api, "DELETE", path(key))
    time.sleep(delay)
    began = time.monotonic()
    answer = alone(api, "POST", path(key, "/exec"), {"command": "sleep 0.01; echo done"})
    assert time.monotonic() - began < 10
    assert answer.status in (200, 409), answer
    if answer.status == 409:
        assert "TERMINATED" in answer.detail, answer
    elif answer["reason"] == "sandbox_stopped":
        assert "TERMINATED" in answer["detail"], answer
    else:
        assert answer["stdout"] == "done\n", answer
    assert delete.result(20).ok()["status"] == "TERMINATED" and gone(engine, key)


def test_expiry_during_exec(api, engine, pool):
    """The lifetime has its way, with commands that run and with such as just begin."""
    key = api.create(timeout_minutes=0.01).ok()["id"]
    end = time.monotonic() + 20
    runs = pool.submit(alone, api, "POST", path(key, "/exec"), {"command": "sleep 100"})
    last = None
    while time.monotonic() < end and (last is None or last.status == 200):
        last = alone(api, "POST", path(key, "/exec"), {"command": "true"})
    ran = runs.result(20).ok()
    assert ran["reason"] == "sandbox_stopped" and "TIMEOUT" in ran["detail"], ran
    assert last.status == 409 and "TIMEOUT" in last.detail, last
    harness.wait_until(lambda: gone(engine, key), 5, "its removal")
    assert api.get(key)["terminationReason"] == "TIMEOUT"


@pytest.mark.parametrize("verb", ["stop", "pause", "resume"])
def test_expiry_during_a_change(api, engine, pool, verb):
    """Whatever was asked for at that moment: it is over, once, and says why."""
    for delay in (0.27, 0.29, 0.3, 0.31):
        key = api.create(timeout_minutes=0.005).ok()["id"]
        time.sleep(delay)
        answer = alone(api, "POST", path(key, "/" + verb))
        assert answer.status in (200, 409), answer
        harness.wait_until(lambda: api.get(key)["status"] in ENDED, 5, "its end")
        row = api.get(key).json
        if verb != "stop":
            assert (row["status"], row["terminationReason"]) == ("TIMEOUT", "TIMEOUT"), row
        else:
            assert (row["status"], row["terminationReason"]) in (("TIMEOUT", "TIMEOUT"), ("TERMINATED", "DELETED"))
            assert answer.status == 200 and answer["status"] == row["status"], (answer, row)
        harness.wait_until(lambda: gone(engine, key), 5, "its removal")
