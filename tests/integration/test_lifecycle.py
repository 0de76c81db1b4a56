# SPDX-License-Identifier: Apache-2.0
"""Create, get, list, delete; names; every kind of bad input with its own message and nothing left."""

import contextlib
import datetime
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

import harness

FIELDS = ("id", "name", "dockerImage", "cpuCores", "memoryGB", "diskSizeGB", "diskMountPath", "gpuCount",
          "status", "timeoutMinutes", "createdAt", "updatedAt")


@pytest.mark.smoke
def test_create_get_list_delete(api):
    made = api.create("busybox", name="first", cpu_cores=0.5, memory_gb=0.5, labels=["a", "b"],
                      environment_vars={"A": "1"}, secrets={"S": "hidden-value"}).ok()
    assert [field for field in FIELDS if field not in made] == []
    assert made["status"] == "RUNNING" and made["name"] == "first"
    assert made["dockerImage"] == "busybox"
    assert made["cpuCores"] == 0.5 and made["memoryGB"] == 0.5
    assert made["labels"] == ["a", "b"] and made["diskMountPath"] == "/workspace"
    assert "hidden-value" not in json.dumps(made)
    datetime.datetime.fromisoformat(made["createdAt"].replace("Z", "+00:00"))
    assert api.get(made["id"]).ok() == made
    assert api.get("first").ok()["id"] == made["id"], "by name"
    assert made["id"] in [sandbox["id"] for sandbox in api.list()]
    assert api.exec(made["id"], "echo $A$S").stdout == "1hidden-value\n"
    gone = api.delete(made["id"]).ok()
    assert gone["id"] == made["id"]
    assert made["id"] not in [sandbox["id"] for sandbox in api.list()]
    after = api.get(made["id"])
    assert after.status == 404 or after["status"] == "TERMINATED", after


def test_ids_are_of_one_form(api, make):
    for _ in range(3):
        key = make()
        assert key.isalnum() or set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789-"), key
        assert len(key) <= 64


def test_a_name_of_several_needs_the_id(api):
    first = api.create("busybox", name="twice").ok()
    assert api.get("twice").ok()["id"] == first["id"]
    second = api.create("busybox", name="twice").ok()
    answer = api.get("twice")
    assert answer.status == 409 and "use the id" in answer.detail, answer
    api.delete(first["id"]).ok()
    assert api.get("twice").ok()["id"] == second["id"]
    api.delete("twice").ok()
    assert api.get("twice").ok()["id"] == second["id"]


def test_idempotency_key(api):
    first = api.create("busybox", name="once", idempotency_key="k" * 32).ok()
    second = api.create("busybox", name="once", idempotency_key="k" * 32)
    assert second.ok()["id"] == first["id"]
    api.delete(first["id"]).ok()


def test_delete_is_repeatable_and_unknown_is_404(api):
    key = api.create("busybox").ok()["id"]
    assert api.delete(key).status == 200
    assert api.delete(key).status in (200, 404)
    for unknown in ("nonesuch", "x" * 60, "..", "%2e%2e", "a%00b", "-", "%ff"):
        for method in ("GET", "DELETE"):
            answer = api.raw(method, f"/api/v1/sandbox/{unknown}")
            assert answer.status in (400, 404), (method, unknown, answer)
            assert answer.detail


def test_an_image_that_cannot_be_had(api):
    """Also where no registry may be asked: clients look for it in the status."""
    made = api.create("no-such-image").ok()
    assert made["status"] == "PENDING" and made["startedAt"] is None
    seen = harness.wait_until(lambda: api.get(made["id"])["status"] == "ERROR" and api.get(made["id"]),
                              5, "the end")
    assert seen["errorType"] == "IMAGE_PULL_FAILED" and "no-such-image" in seen["errorMessage"]
    assert seen["terminatedAt"] is not None and api.delete(made["id"]).status == 200


HUGE = 10 ** 30
BAD = [
    ("unknown image, not to be asked for", {"docker_image": "no-such-image", "pull_policy": "never"},
     404, "no-such-image"),
    ("no image", {"docker_image": None}, 400, "docker_image"),
    ("empty image", {"docker_image": ""}, 400, "image"),
    ("image is a path", {"docker_image": "../../etc/passwd"}, (400, 404), "image"),
    ("image of 10,000 letters", {"docker_image": "a" * 10000}, 400, "image"),
    ("image with NUL", {"docker_image": "busy\0box"}, 400, ""),
    ("empty name", {"name": ""}, 400, "name"),
    ("name of 10,000 letters", {"name": "n" * 10000}, 400, "name"),
    ("name is a number", {"name": 7}, 400, "name"),
    ("name with a slash", {"name": "a/b"}, 400, "name"),
    ("name with a newline", {"name": "a\nb"}, 400, "name"),
    ("cpu zero", {"cpu_cores": 0}, 400, "cpu_cores"),
    ("cpu negative", {"cpu_cores": -1}, 400, "cpu_cores"),
    ("cpu huge", {"cpu_cores": 1e18}, 400, "cpu_cores"),
    ("cpu beyond a number", {"cpu_cores": HUGE}, 400, ""),
    ("cpu text", {"cpu_cores": "two"}, 400, "cpu_cores"),
    ("cpu tiny", {"cpu_cores": 1e-9}, 400, "cpu_cores"),
    ("memory zero", {"memory_gb": 0}, 400, "memory_gb"),
    ("memory negative", {"memory_gb": -0.5}, 400, "memory_gb"),
    ("memory huge", {"memory_gb": 1e15}, 400, "memory_gb"),
    ("memory tiny", {"memory_gb": 1e-9}, 400, "memory_gb"),
    ("memory true", {"memory_gb": True}, 400, "memory_gb"),
    ("pids zero", {"pids_limit": 0}, 400, "pids_limit"),
    ("pids negative", {"pids_limit": -1}, 400, "pids_limit"),
    ("pids huge", {"pids_limit": 10 ** 12}, 400, "pids_limit"),
    ("pids half", {"pids_limit": 1.5}, 400, "pids_limit"),
    ("disk zero", {"disk_size_gb": 0}, 400, "disk_size_gb"),
    ("disk negative", {"disk_size_gb": -5}, 400, "disk_size_gb"),
    ("timeout zero", {"timeout_minutes": 0}, 400, "timeout_minutes"),
    ("timeout huge", {"timeout_minutes": 10 ** 15}, 400, "timeout_minutes"),
    ("environment is a list", {"environment_vars": ["A=1"]}, 400, "environment_vars"),
    ("environment of numbers", {"environment_vars": {"A": 1}}, 400, "environment_vars"),
    ("environment key with =", {"environment_vars": {"A=B": "1"}}, 400, "environment_vars"),
    ("environment key empty", {"environment_vars": {"": "1"}}, 400, "environment_vars"),
    ("environment with NUL", {"environment_vars": {"A": "x\0y"}}, 400, ""),
    ("environment of a megabyte", {"environment_vars": {"A": "x" * (1 << 20)}}, (400, 413), ""),
    ("labels is text", {"labels": "a"}, 400, "labels"),
    ("labels of numbers", {"labels": [1]}, 400, "labels"),
    ("start command is a number", {"start_command": 5}, 400, "start_command"),
    ("gpu", {"gpu_count": 1}, 400, "gpu"),
]


@pytest.mark.parametrize("fields,status,names", [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_input(api, fields, status, names):
    before = {s["id"] for s in api.list()}
    answer = api.create("busybox", **fields) if "docker_image" not in fields else api.create(
        fields["docker_image"], **{k: v for k, v in fields.items() if k != "docker_image"})
    allowed = status if isinstance(status, tuple) else (status,)
    assert answer.status in allowed, answer
    assert names in answer.detail, answer.detail
    assert len(answer.detail) < 700 and "\n" not in answer.detail, "bounded, one line"
    assert {s["id"] for s in api.list()} == before, "something was left"


def test_messages_differ(api):
    """Each refusal tells one from another: no two kinds share a text."""
    details = {}
    for name, fields, _, _ in BAD:
        body = dict(fields)
        image = body.pop("docker_image", "busybox") if "docker_image" in body else "busybox"
        details.setdefault(api.create(image, **body).detail, []).append(name)
    same = [names for names in details.values() if len(names) > 1
            and len({name.split()[0] for name in names}) > 1]
    assert not same, same


RAW = [
    ("not JSON", b"{", 400), ("nothing", b"", 400), ("an array", b"[]", 400), ("a number", b"1", 400),
    ("NaN", b'{"name":"x","docker_image":"busybox","cpu_cores":NaN}', 400),
    ("Infinity", b'{"name":"x","docker_image":"busybox","cpu_cores":Infinity}', 400),
    ("trailing bytes", b'{"name":"x","docker_image":"busybox"} x', 400),
    ("a key twice", b'{"name":"x","name":"y","docker_image":"busybox"}', 400),
    ("not UTF-8", b'{"name":"\xff\xfe","docker_image":"busybox"}', 400),
    ("deep", b'{"name":' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
    ("large", b'{"name":"' + b"x" * (8 << 20) + b'"}', (400, 413)),
]


@pytest.mark.parametrize("body,status", [row[1:] for row in RAW], ids=[row[0] for row in RAW])
def test_bad_documents(api, body, status):
    before = {s["id"] for s in api.list()}
    answer = api.raw("POST", "/api/v1/sandbox", body, {"Content-Type": "application/json"})
    assert answer.status in (status if isinstance(status, tuple) else (status,)), answer
    assert answer.detail and "code" in answer.json
    assert api.healthy() and {s["id"] for s in api.list()} == before


def test_unknown_routes_and_methods(api):
    for method, path, status in (("GET", "/nowhere", 404), ("GET", "/api/v1/sandboxx", 404),
                                 ("PUT", "/api/v1/sandbox", 405), ("PATCH", "/healthz", 405),
                                 ("GET", "/api/v1/../../etc/passwd", 404)):
        answer = api.raw(method, path)
        assert answer.status == status and answer.detail, (method, path, answer)


def test_list_pages_and_filters(api, make):
    keys = {make(name=f"page-{i}", labels=["paged", f"n{i}"]) for i in range(5)}
    one = api.request("GET", "/api/v1/sandbox?page=1&per_page=2&labels=paged&is_active=true").ok()
    assert len(one["sandboxes"]) == 2 and one["total"] == 5 and one["hasNext"] is True
    last = api.request("GET", "/api/v1/sandbox?page=3&per_page=2&labels=paged&is_active=true").ok()
    assert len(last["sandboxes"]) == 1 and last["hasNext"] is False
    both = api.request("GET", "/api/v1/sandbox?labels=paged&labels=n3&is_active=true").ok()
    assert [s["name"] for s in both["sandboxes"]] == ["page-3"]
    assert keys == {s["id"] for s in api.list("labels=paged&is_active=true&per_page=50")}


def test_bulk_delete_that_names_nothing_deletes_nothing(api, make):
    key = make()
    for body in ({}, {"sandbox_ids": []}, {"labels": []}, {"sandbox_ids": [key], "labels": ["a"]}):
        assert api.request("DELETE", "/api/v1/sandbox", body).status == 400, body
    assert api.get(key)["status"] == "RUNNING"


def test_bulk_delete(api):
    keys = [api.create("busybox", labels=["bulk"]).ok()["id"] for _ in range(3)]
    answer = api.request("DELETE", "/api/v1/sandbox", {"sandbox_ids": keys[:2]}).ok()
    assert sorted(answer["succeeded"]) == sorted(keys[:2]) and answer["failed"] == []
    answer = api.request("DELETE", "/api/v1/sandbox", {"labels": ["bulk"]}).ok()
    assert answer["succeeded"] == keys[2:]


def test_nothing_runs_when_a_delete_is_answered(api, engine):
    key = api.create("busybox").ok()["id"]
    api.exec(key, "sleep 1000 & setsid sleep 1000 & mkdir -p /a/b/c; echo x >/a/b/c/d")
    assert len(engine.sandbox_pids(key)) >= 3
    api.delete(key).ok()
    assert engine.sandbox_pids(key) == []
    api.reaped()
    assert engine.left_of(key) == []


def test_start_command_and_log(api, make):
    key = make(start_command="echo from the start; echo to stderr >&2; sleep 1000")
    harness.wait_until(lambda: "to stderr" in api.logs(key), 5, "the log")
    assert "from the start" in api.logs(key)
    assert api.get(key)["status"] == "RUNNING"
    assert "sleep" in api.exec(key, "ps").stdout


def test_start_command_as_argv(api, make):
    key = make(start_command={"executable": "/bin/echo", "args": ["one two", "$HOME"]})
    harness.wait_until(lambda: "one two $HOME" in api.logs(key), 5, "the log")


def test_missing_start_command_does_not_start(api):
    before = {s["id"] for s in api.list()}
    answer = api.create("busybox", start_command={"executable": "/no/such/program", "args": []})
    assert answer.status in (400, 200), answer
    if answer.status == 200:
        key = answer["id"]
        harness.wait_until(lambda: api.get(key)["status"] in ("ERROR", "TERMINATED"), 5, "its end")
        api.delete(key)
    else:
        assert "/no/such/program" in answer.detail
    assert {s["id"] for s in api.list()} == before


def test_usage(api, sandbox):
    api.exec(sandbox, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
    usage = api.usage(sandbox)
    assert any("cpu" in key.lower() for key in usage) and any("mem" in key.lower() for key in usage)


def test_events(api, engine, make):
    """What lives is told first, then each change in its order; the present alone ends by itself."""
    old = make()
    watcher = subprocess.Popen([harness.program("caisson"), "events", "--follow", "--json"],
                               stdout=subprocess.PIPE, env=engine.cli_environment(), text=True)
    try:
        told = {}
        while old not in told:
            event = json.loads(watcher.stdout.readline())
            told[event["id"]] = [event["status"]]
        new = make()
        api.delete(new)
        while told.get(new, [""])[-1] != "TERMINATED":
            event = json.loads(watcher.stdout.readline())
            told.setdefault(event["id"], []).append(event["status"])
    finally:
        watcher.kill()
        watcher.communicate()
    assert told[old] == ["RUNNING"] and told[new] == ["RUNNING", "TERMINATED"]
    present = engine.cli("events").stdout
    assert f" {old} " in present and f" {new} " not in present
    assert api.request("GET", "/api/v1/events?follow=maybe").status == 400


def events(engine, *arguments):
    """What `caisson events` prints: an object each."""
    out = engine.cli("events", "--json", *arguments)
    assert out.returncode == 0, out.stderr
    return [json.loads(line) for line in out.stdout.splitlines()]


def test_events_go_on_behind_a_number(fresh_engine):
    """Each change is told once and in order, whoever died meanwhile; also to one who reads slowly."""
    engine, api = fresh_engine, fresh_engine.api
    first = api.create().ok()["id"]
    start = events(engine)[-1]["seq"]
    api.request("POST", f"/api/v1/sandbox/{first}/pause").ok()
    middle = events(engine, "--after", str(start))
    os.kill(engine.gateway, signal.SIGKILL)
    harness.wait_until(api.healthy, 10)
    harness.wait_until(lambda: api.request("POST", f"/api/v1/sandbox/{first}/resume").status == 200, 10)
    second = api.create().ok()["id"]
    engine.kill()
    os.kill(engine.agent_of(first), signal.SIGKILL)  # nobody is there to see it
    engine.start()
    harness.wait_until(lambda: api.get(first)["status"] == "ERROR", 10)
    api.delete(second)
    told = [(event["id"], event["status"]) for event in events(engine, "--after", str(start))]
    assert told[:1] == [(event["id"], event["status"]) for event in middle] == [(first, "PAUSED")]
    assert [status for key, status in told if key == first] == ["PAUSED", "RUNNING", "ERROR"]
    assert [status for key, status in told if key == second][-2:] == ["RUNNING", "TERMINATED"]
    seqs = [event["seq"] for event in events(engine, "--after", str(start))]
    assert seqs == sorted(set(seqs)) and seqs[0] > start
    assert len(events(engine, "--after", str(seqs[0]))) == len(seqs) - 1
    assert events(engine, "--after", str(seqs[-1])) == [] == events(engine)
    assert api.request("GET", f"/api/v1/events?after={seqs[-1] + 1}").status == 409
    assert api.request("GET", "/api/v1/events?after=-1").status == 400


def test_events_wait_for_who_is_slow(api, engine, make):
    """More than is kept for one who does not read: nothing of it is missed."""
    key = make()
    last = events(engine)[-1]["seq"]
    watcher = socket.socket(socket.AF_UNIX)
    watcher.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    watcher.connect(engine.socket)
    watcher.sendall(f"GET /api/v1/events?after={last} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    for _ in range(40):
        assert api.request("POST", f"/api/v1/sandbox/{key}/pause").status == 200
        assert api.request("POST", f"/api/v1/sandbox/{key}/resume").status == 200
    got, end = b"", time.monotonic() + 20
    watcher.settimeout(1)
    while got.count(b'"status"') < 80 and time.monotonic() < end:
        with contextlib.suppress(TimeoutError):
            got += watcher.recv(4096)
    watcher.close()
    mine = [json.loads(line)["status"] for line in re.findall(rb"^\{.*\}", got, re.M) if key.encode() in line]
    assert mine == ["PAUSED", "RUNNING"] * 40


def test_usage_of_all(api, engine, make):
    """100 sandboxes are more than are asked for at once; each is there, those that have ended are not."""
    keys = [make() for _ in range(100)]
    gone = keys.pop()
    api.delete(gone)
    answer = api.request("GET", "/api/v1/usage").ok()
    found = {item["id"]: item for item in answer["sandboxes"]}
    assert set(keys) <= set(found) and gone not in found
    assert all(item["at_ms"] > 0 for item in found.values())
    shown = engine.cli("top", "--interval", "0.1", "--output", "{id} {pids}").stdout
    assert all(f"{key} " in shown for key in keys), shown


@pytest.mark.smoke
def test_cli(engine):
    made = engine.cli("create", "busybox", "--name", "by-cli")
    assert made.returncode == 0, made.stderr
    try:
        assert "by-cli" in engine.cli("ls").stdout
        ran = engine.cli("run", "by-cli", "echo", "hello")
        assert (ran.returncode, ran.stdout) == (0, "hello\n"), ran.stderr
    finally:
        gone = engine.cli("rm", "by-cli")
    assert gone.returncode == 0, gone.stderr


def test_cli_errors(engine):
    for arguments in (("create", "no-such-image"), ("run", "no-such-sandbox", "true"),
                      ("rm", "no-such-sandbox"), ("no-such-command",), ("create",),
                      ("image", "rm", "no-such-image"), ("once", "no-such-image", "true")):
        result = engine.cli(*arguments)
        assert result.returncode not in (0, 1) or arguments[0] not in ("run", "once"), arguments
        assert result.returncode != 0 and result.stderr.strip(), arguments
        assert len(result.stderr.splitlines()) < 30
