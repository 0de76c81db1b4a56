# SPDX-License-Identifier: Apache-2.0
"""What the clients depend on and do not show: bytes and types of the platform's answers."""

import json

import pytest
from conftest import FIRST, PLAIN

SANDBOX = "/api/v1/sandbox"
IDS = SANDBOX + "/status:batchGet"
OTHER_AGENTS = {"0.2.32": "prime-sandboxes/0.2.32 python/3.11.2", "0.5.1": "prime-sandboxes/0.5.1 python/3.11.2"}


def test_statuses_of_many(api, make):
    ids = [make(PLAIN).id for _ in range(3)]
    api.delete(ids[0]).ok()
    answer = api.request("POST", IDS, {"sandbox_ids": [ids[2], "unknown429", ids[0], ids[1]]}).ok()
    assert [(row["sandbox_id"], row["status"]) for row in answer["statuses"]] == [
        (ids[2], "RUNNING"), (ids[0], "TERMINATED"), (ids[1], "RUNNING")]
    assert all(set(row) == {"sandbox_id", "status", "error_type", "error_message",
                            "pending_image_build_id"} for row in answer["statuses"])
    assert [(row["sandbox_id"], row["code"]) for row in answer["errors"]] == [("unknown429", "NOT_FOUND")]
    assert "429" not in answer["errors"][0]["message"], "taken for throttling by bulk_wait"


@pytest.mark.parametrize("body", [{}, {"sandbox_ids": []}, {"sandbox_ids": ["a", "a"]},
                                  {"sandbox_ids": [f"i{n}" for n in range(101)]},
                                  {"sandbox_ids": "abc"}, {"sandbox_ids": [1]}])
def test_statuses_refuse(api, body):
    answer = api.request("POST", IDS, body)
    assert answer.status == 400 and "sandbox_ids" in answer.detail, answer


@pytest.mark.newest
def test_statuses_by_the_sdk(sdk, make):
    made = make(PLAIN, sdk=sdk)
    answer = sdk.get_sandbox_statuses([made.id, "unknown"])
    assert [row.sandbox_id for row in answer.statuses] == [made.id]
    assert [row.code for row in answer.errors] == ["NOT_FOUND"]


def test_error_context(api, make):
    key = make(PLAIN).id
    path = f"{SANDBOX}/{key}/error-context"
    assert api.request("GET", path).ok() == {"status": "RUNNING", "errorType": None, "errorMessage": None}
    api.delete(key).ok()
    assert api.request("GET", path)["status"] == "TERMINATED"
    assert api.request("GET", SANDBOX + "/nobody/error-context").status == 404


def test_jobs_in_a_batch_are_not_there(api):
    """404 sends the newest client to the way that works: a command in the sandbox."""
    answer = api.request("POST", SANDBOX + "/background-jobs/status:batchGet", {"jobs": []})
    assert answer.status == 404 and answer.detail


def test_delete_answers_an_object(api, make):
    """204 or no body crashes every client up to 0.4."""
    key = make(PLAIN).id
    for answer in (api.delete(key), api.delete(key),
                   api.request("DELETE", SANDBOX, {"sandbox_ids": [key], "all_users": False})):
        assert answer.status == 200 and isinstance(answer.json, dict)


def test_a_token_of_one_that_ended(api, make):
    """A 4xx here would be an untyped error in place of SandboxNotRunningError."""
    key = make(PLAIN).id
    api.delete(key).ok()
    answer = api.request("POST", f"{SANDBOX}/{key}/auth").ok()
    assert not answer["gateway_url"].endswith("/") and answer["is_vm"] is False


def test_start_command_by_generation(api, make):
    """A text for those who know no other, an object for the others: one wrong and no list is read."""
    texts = {make(PLAIN, start_command=start).id: text for start, text in (
        [("sleep 1 'a b'", "sleep 1 'a b'")] if FIRST else
        [({"executable": "sleep", "args": ["1", "a b"]}, "'sleep' '1' 'a b'")])}
    for key, text in texts.items():
        for version, agent in OTHER_AGENTS.items():
            seen = api.raw("GET", f"{SANDBOX}/{key}", headers={"User-Agent": agent})["startCommand"]
            if version == "0.2.32":
                assert seen == text
            elif FIRST:
                assert seen == {"executable": "/bin/sh", "args": ["-c", text]}
            else:
                assert seen == {"executable": "sleep", "args": ["1", "a b"]}
        assert isinstance(api.get(key)["startCommand"], dict), "of an unknown agent"


@pytest.mark.parametrize("method, path, word", [
    ("POST", "/abc/checkpoints", "checkpoints"),
    ("POST", "/checkpoints:batchGet", "checkpoints"), ("GET", "/volumes", "volumes"),
    ("GET", "/networks", "networks"),
])
def test_what_is_not_offered_says_so(api, method, path, word):
    answer = api.request(method, SANDBOX + path, {} if method == "POST" else None)
    assert answer.status == 400 and word in answer.detail and "404" not in answer.detail


def test_a_token_comes_with_the_sandbox(api, make):
    """Whoever makes one with an SDK needs no second request; nobody else gets a credential to lose."""
    body = {"docker_image": PLAIN, "memory_gb": 0.25, "name": "with a token"}
    made = []
    for agent, wanted in (*((agent, True) for agent in OTHER_AGENTS.values()), ("curl/8", False)):
        answer = api.raw("POST", SANDBOX, json.dumps(body), {"User-Agent": agent}).ok()
        made.append(answer["id"])
        assert ("gatewayAuth" in answer) == wanted
        if wanted:
            token = answer["gatewayAuth"]
            assert set(token) >= {"gateway_url", "user_ns", "job_id", "token", "expires_at"}
            assert token["sandbox_id"] == answer["id"]
        assert "gatewayAuth" not in api.get(answer["id"]).json
    for key in made:
        api.delete(key).ok()
