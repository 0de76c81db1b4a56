# SPDX-License-Identifier: Apache-2.0
"""JSON-RPC of Nexus' clients as bytes: its errors, who may do what, and what the audit log says of it.
What the real clients do is in tests/clients/nexus."""

import json
import os

import pytest

from test_accounts import User


def post(api, method, body):
    answer = api.raw("POST", "/api/nfs/" + method, body, {"Content-Type": "application/json"})
    assert answer.status == 200, answer.body
    told = json.loads(answer.body)
    assert told["jsonrpc"] == "2.0" and set(told) in ({"jsonrpc", "id", "result"},
                                                      {"jsonrpc", "id", "error"})
    return told


def call(api, method, **params):
    body = {"jsonrpc": "2.0", "id": "i-1", "method": method, "params": params}
    told = post(api, method, json.dumps(body).encode())
    assert told["id"] == "i-1"
    return told


def result(api, method, **params):
    told = call(api, method, **params)
    assert "result" in told, told
    return told["result"]


def error(api, method, **params):
    told = call(api, method, **params)
    assert "error" in told, told
    assert set(told["error"]) == {"code", "message", "data"}
    return told["error"]["code"], told["error"]["message"]


HEAD = b'{"jsonrpc":"2.0","id":5,'

BAD = [  # path, body, code, id
    ("sandbox_list", b"", -32600, None),
    ("sandbox_list", b"{", -32700, None),
    ("sandbox_list", b"\xff", -32700, None),
    ("sandbox_list", b'{"a":1,"a":2}', -32700, None),
    ("sandbox_list", b"[" + HEAD + b'"method":"sandbox_list"}]', -32600, None),
    ("sandbox_list", b'{"jsonrpc":"2.0","method":"sandbox_list"}', -32600, None),
    ("sandbox_list", b'{"jsonrpc":"1.0","id":5}', -32600, 5),
    ("sandbox_list", HEAD + b'"method":"sandbox_stop"}', -32600, 5),
    ("sandbox_list", HEAD + b'"params":[]}', -32602, 5),
    ("sandbox_list", HEAD + b'"params":{"verify_status":"yes"}}', -32602, 5),
    ("sandbox_list", b"[" * 3000, -32700, None),
    ("no_such", HEAD + b'"params":{}}', -32601, 5),
    ("read", HEAD + b'"params":{"path":"/"}}', -32601, 5),
    ("sandbox_create", HEAD + b'"params":{}}', -32602, 5),
    ("sandbox_create", HEAD + b'"params":{"name":7}}', -32602, 5),
    ("sandbox_create", HEAD + b'"params":{"name":"a/b"}}', -32602, 5),
    ("sandbox_create", HEAD + b'"params":{"name":"a","ttl_minutes":-1}}', -32602, 5),
    ("sandbox_create", HEAD + b'"params":{"name":"a","provider":"modal"}}', -32602, 5),
    ("sandbox_run", HEAD + b'"params":{"sandbox_id":"x","language":"python"}}', -32602, 5),
    ("sandbox_run", HEAD + b'"params":{"sandbox_id":"x","language":"cobol","code":""}}', -32602, 5),
    ("sandbox_run", HEAD + b'"params":{"sandbox_id":"x","language":"bash","code":""}}', -32603, 5),
    ("sandbox_stop", HEAD + b'"params":{"sandbox_id":"x"}}', -32603, 5),
    ("sandbox_pause", HEAD + b'"params":{"sandbox_id":"x"}}', -32603, 5),
    ("sandbox_connect", HEAD + b'"params":{"sandbox_id":"x","provider":"e2b"}}', -32603, 5),
]


@pytest.mark.parametrize("path,body,code,key", BAD)
def test_errors_are_answers(engine, path, body, code, key):
    told = post(engine.api, path, body)
    assert told["error"]["code"] == code and told["id"] == key
    assert told["error"]["message"] and told["error"]["data"]["request_id"]


def test_a_body_has_an_end(engine):
    assert engine.api.raw("POST", "/api/nfs/sandbox_run", b" " * ((16 << 20) + 1)).status == 413


def test_who_nobody_is(engine):
    told = engine.api.request("GET", "/api/auth/whoami").ok()
    assert told == {"authenticated": True, "subject_type": "user", "subject_id": "admin",
                    "tenant_id": "default", "is_admin": True, "user": "admin"}


def test_names_and_times(engine):
    made = result(engine.api, "sandbox_create", name="n-" + os.urandom(4).hex(), provider="docker",
                  template_id="busybox", ttl_minutes=5)
    key = made["sandbox_id"]
    assert engine.api.get(key).ok()["idleTimeoutMinutes"] == 5
    code, text = error(engine.api, "sandbox_create", name=made["name"], provider="docker",
                       template_id="busybox")
    assert code == -32602 and text.startswith(f"Active sandbox with name '{made['name']}' already exists")
    # Only of its own kind: caisson's own API lets names be used again.
    twin = engine.api.create("busybox", name=made["name"]).ok()["id"]
    code, text = error(engine.api, "sandbox_run", sandbox_id=key, language="python", code="1")
    assert code == -32603 and "'python3' not found in PATH" in text
    assert error(engine.api, "sandbox_connect", sandbox_id=key)[0] == -32004
    assert error(engine.api, "sandbox_disconnect", sandbox_id=key)[0] == -32004
    for one in (key, twin):
        assert result(engine.api, "sandbox_stop", sandbox_id=one)["status"] == "stopped"


@pytest.fixture
def two(engine):
    """Two accounts with a sandbox of the same name each."""
    users = [User(engine), User(engine)]
    for user in users:
        user.box = result(user.api, "sandbox_create", name="mine", provider="docker",
                          template_id="busybox", context={"user": "somebody-else", "agent_id": "a"})
    yield users
    for user in users:
        user.api.delete(user.box["sandbox_id"]).ok()


def test_users_have_their_own(engine, two):
    ann, bob = two
    for user in two:
        assert user.box["user_id"] == user.id  # whatever the context says
        assert user.api.request("GET", "/api/auth/whoami").ok()["subject_id"] == user.id
        mine = result(user.api, "sandbox_list")["sandboxes"]
        assert [row["sandbox_id"] for row in mine] == [user.box["sandbox_id"]]
        assert result(user.api, "sandbox_get_or_create", name="mine")["sandbox_id"] == \
            user.box["sandbox_id"]
    theirs = result(engine.api, "sandbox_list", user_id=ann.id, verify_status=True)["sandboxes"]
    assert [(row["user_id"], row["verified"]) for row in theirs] == [(ann.id, True)]
    assert result(engine.api, "sandbox_list", context={"user": bob.id})["sandboxes"][0]["user_id"] == bob.id
    assert {row["user_id"] for row in result(engine.api, "sandbox_list")["sandboxes"]} <= {"admin"}


@pytest.mark.parametrize("method,more", [
    ("sandbox_run", {"language": "bash", "code": "id"}), ("sandbox_pause", {}), ("sandbox_resume", {}),
    ("sandbox_stop", {}), ("sandbox_status", {}), ("sandbox_connect", {}), ("sandbox_disconnect", {})])
def test_nobody_touches_anothers(two, method, more):
    ann, bob = two
    foreign = error(ann.api, method, sandbox_id=bob.box["sandbox_id"], **more)
    assert foreign == (-32603, f"Sandbox {bob.box['sandbox_id']} not found")
    assert result(bob.api, "sandbox_status", sandbox_id=bob.box["sandbox_id"])["status"] == "active"


def test_only_an_administrator_lists_others(two):
    ann, bob = two
    for words in ({"user_id": bob.id}, {"context": {"user": bob.id}}, {"context": {"user_id": bob.id}}):
        code, text = error(ann.api, "sandbox_list", **words)
        assert code == -32004 and "administrator" in text
    assert len(result(ann.api, "sandbox_list", user_id=ann.id)["sandboxes"]) == 1


def test_budgets_hold(engine):
    user = User(engine, max_sandboxes=1)
    box = result(user.api, "sandbox_create", name="one", provider="docker", template_id="busybox")
    code, text = error(user.api, "sandbox_create", name="two", provider="docker", template_id="busybox")
    assert code == -32603 and text
    user.api.delete(box["sandbox_id"]).ok()


def test_the_audit_log_says_what_was_done(engine):
    name = "a-" + os.urandom(4).hex()
    key = result(engine.api, "sandbox_create", name=name, provider="docker",
                 template_id="busybox")["sandbox_id"]
    error(engine.api, "sandbox_run", sandbox_id=key, language="python", code="1")
    result(engine.api, "sandbox_stop", sandbox_id=key)
    noted = [row["object"] for row in engine.api.request("GET", "/api/v1/audit").ok()["audit"]]
    for line in (f"sandbox_create {name}", f"sandbox_run {key}: not_found", f"sandbox_stop {key}"):
        assert line in noted, noted[:10]
