# SPDX-License-Identifier: Apache-2.0
"""While an image is on its way: what a client sees of its sandbox."""

import os
import signal
import threading

import chaos
import harness
import pytest
from test_create import wait_for

NAME = "test/three"


@pytest.fixture
def stalled(fleet, images):
    """The image whose blobs do not come until the event is set."""
    go_on = threading.Event()
    fleet.plain.fault(chaos.stall(0, go_on), blobs=True)
    yield f"{fleet.plain.address}/{NAME}", go_on
    go_on.set()


@pytest.fixture
def create(api, images):
    """Makes sandboxes that are gone before the store has to be empty."""
    made = []

    def run(image, **fields):
        made.append(api.create(image, **fields).ok()["id"])
        return made[-1]

    yield run
    for key in made:
        api.delete(key).ok()


def workers(engine):
    return [pid for pid in harness.children(engine.pid) if harness.comm(pid) == "caisson-fetch"]


def asked_for_blobs(fleet):
    harness.wait_until(lambda: fleet.plain.requests("/blobs/"), 20)


def test_create_answers_at_once(fleet, stalled, api, create):
    image, go_on = stalled
    made = api.get(create(image, name="early", idempotency_key="early")).ok()
    assert made["status"] == "PENDING" and made["dockerImage"] == image and made["startedAt"] is None
    assert create(image, name="other", idempotency_key="early") == made["id"]
    assert made["id"] in [sandbox["id"] for sandbox in api.list()]
    for answer in (api.exec_raw(made["id"], "true"), api.raw("GET", f"/api/v1/sandbox/{made['id']}/usage"),
                   api.raw("GET", f"/api/v1/sandbox/{made['id']}/logs")):
        assert answer.status == 409 and answer.detail, answer
    assert api.raw("GET", "/api/v1/sandbox?status=PENDING").ok()["total"] == 1
    go_on.set()
    running = wait_for(api, made["id"], "RUNNING")
    assert running["startedAt"] is not None and running["createdAt"] == made["createdAt"]
    for key in ("early", made["id"]):
        assert api.exec(key, "cat /data/keep").stdout == "kept"
    assert api.raw("GET", f"/api/v1/sandbox/{made['id']}/usage").ok()["id"] == made["id"]
    api.delete(made["id"]).ok()
    assert api.get(made["id"]).ok()["status"] == "TERMINATED"


def test_environment_and_secrets_wait_along(fleet, stalled, api, create):
    image, go_on = stalled
    key = create(image, environment_vars={"A": "1"}, secrets={"S": "hidden"},
                 start_command="echo from the start; sleep 100")
    go_on.set()
    wait_for(api, key, "RUNNING")
    assert api.exec(key, "echo $A $S").stdout == "1 hidden\n"
    harness.wait_until(lambda: "from the start" in str(api.raw("GET", f"/api/v1/sandbox/{key}/logs").ok()), 10)
    api.delete(key).ok()


def test_what_was_pulled_for_can_be_committed(fleet, images, api, create):
    key = create(f"{fleet.plain.address}/{NAME}")
    wait_for(api, key, "RUNNING")
    assert api.exec(key, "echo more > /data/more").code == 0
    api.request("POST", f"/api/v1/sandbox/{key}/commit", {"image": "more:1"}).ok()
    assert api.exec(create("more:1"), "cat /data/more").stdout == "more\n"


def test_what_cannot_start_says_so(fleet, images, api, create):
    key = create(f"{fleet.plain.address}/{NAME}", start_command={"executable": "/no/such"})
    seen = wait_for(api, key, "ERROR")
    assert seen["errorType"] == "START_FAILED" and "/no/such" in seen["errorMessage"], seen
    assert seen["startedAt"] is None


def test_the_last_to_leave_ends_the_pull(engine, fleet, stalled, api, create):
    image, _ = stalled
    keys = [create(image) for _ in range(2)]
    asked_for_blobs(fleet)
    api.delete(keys[0]).ok()
    assert workers(engine)
    assert api.get(keys[1]).ok()["status"] == "PENDING"
    api.delete(keys[1]).ok()
    harness.wait_until(lambda: not workers(engine), 10)
    for key in keys:
        seen = api.get(key).ok()
        assert seen["status"] == "TERMINATED" and seen["errorType"] is None, seen


def test_so_many_workers_and_no_more(engine, fleet, images, api, create, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(fleet.hostile, "answer", lambda exchange: go_on.wait(60))
    fleet.hostile.records.clear()
    try:
        keys = [create(f"{fleet.hostile.address}/n{i}") for i in range(10)]
        harness.wait_until(lambda: len(fleet.hostile.records) >= 8, 20)
        assert len(workers(engine)) == 8
        assert {api.get(key).ok()["status"] for key in keys} == {"PENDING"}
        api.delete(keys[0]).ok()
        harness.wait_until(lambda: len(fleet.hostile.records) == 9 and len(workers(engine)) == 8, 20)
        for key in keys:
            api.delete(key).ok()
        harness.wait_until(lambda: not workers(engine), 20)
    finally:
        go_on.set()


def test_a_gateway_that_dies(engine, fleet, stalled, api, create):
    """The next one pulls again, and still knows what the client has told."""
    image, go_on = stalled
    key = create(image, environment_vars={"A": "1"}, secrets={"S": "hidden"})
    asked_for_blobs(fleet)
    gateway = engine.gateway
    os.kill(gateway, signal.SIGKILL)
    harness.wait_until(lambda: not harness.alive(gateway), 10)
    harness.wait_until(api.healthy, 20)
    assert api.get(key).ok()["status"] == "PENDING"
    go_on.set()
    wait_for(api, key, "RUNNING")
    assert api.exec(key, "echo $A $S").stdout == "1 hidden\n"
    api.delete(key).ok()


def test_a_restart_keeps_what_was_pulled_for(engine, fleet, images, api, create):
    """Its id is not caissond's: both are found again."""
    key = create(f"{fleet.plain.address}/{NAME}")
    wait_for(api, key, "RUNNING")
    gateway = engine.gateway
    os.kill(gateway, signal.SIGKILL)
    harness.wait_until(lambda: not harness.alive(gateway), 10)
    harness.wait_until(api.healthy, 20)
    assert api.exec(key, "cat /data/keep").stdout == "kept"
    api.delete(key).ok()
    assert api.get(key).ok()["status"] == "TERMINATED"


def test_once_pulls_and_shows_it(engine, fleet, images):
    result = engine.cli("once", f"{fleet.plain.address}/{NAME}", "cat", "/data/keep")
    assert (result.returncode, result.stdout) == (0, "kept"), result
    assert "downloading" in result.stderr or "done" in result.stderr, result


def test_once_says_what_the_registry_said(engine, fleet, images):
    fleet.plain.fault(chaos.status(403, {"errors": [{"code": "DENIED", "message": "not for you"}]}), manifests=True)
    result = engine.cli("once", f"{fleet.plain.address}/{NAME}", "true")
    assert result.returncode == 125 and "not for you" in result.stderr, result


def test_a_worker_that_dies_fails_its_pull(engine, fleet, stalled, api, create):
    key = create(stalled[0])
    asked_for_blobs(fleet)
    [pid] = workers(engine)
    os.kill(pid, signal.SIGKILL)
    seen = wait_for(api, key, "ERROR")
    assert seen["errorType"] == "IMAGE_PULL_FAILED" and "signal 9" in seen["errorMessage"], seen
