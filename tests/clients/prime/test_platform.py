# SPDX-License-Identifier: Apache-2.0
"""create, get, list and delete by the SDK, with every option that this generation has."""

import os

import prime_sandboxes
import pytest
from conftest import FIRST, PLAIN, status_soon, sync_client, wanted
from harness import wait_until

START = "echo begun; sleep 1000" if FIRST else {"executable": "sh", "args": ["-c", "echo begun; sleep 1000"]}


def test_create_and_get(sdk, make):
    made = make(PLAIN, sdk=sdk, name="a name", cpu_cores=0.5, memory_gb=0.25, disk_size_gb=1.5,
                timeout_minutes=30, idle_timeout_minutes=10, labels=["one", "two"],
                environment_vars={"LEVEL": "debug"}, secrets={"TOKEN": "hush-hush"},
                region="here", start_command=START)
    for seen in (made, sdk.get(made.id)):
        assert (seen.id, seen.name, seen.docker_image) == (made.id, "a name", PLAIN)
        assert (seen.cpu_cores, seen.memory_gb, seen.disk_size_gb) == (0.5, 0.25, 1.5)
        assert (seen.timeout_minutes, seen.idle_timeout_minutes) == (30, 10)
        assert seen.labels == ["one", "two"] and seen.environment_vars == {"LEVEL": "debug"}
        assert seen.secrets == {"TOKEN": "***"}, "a secret is never given out"
        assert (seen.disk_mount_path, seen.gpu_count, seen.region) == ("/workspace", 0, "here")
        assert seen.user_id and seen.created_at.tzinfo is not None
        assert seen.error_type is None and seen.exit_code is None
        command = seen.start_command
        assert (command if FIRST else command.model_dump()) == START
    running = status_soon(sdk, made.id, "RUNNING")
    assert running.started_at >= running.created_at and running.terminated_at is None


def test_every_default(sdk):
    made = sdk.create(prime_sandboxes.CreateSandboxRequest(name="defaults", docker_image=PLAIN))
    try:
        assert made.labels == [] and not made.secrets
        assert made.memory_gb == (2 if FIRST else 1) and made.cpu_cores == 1
        if FIRST:
            assert made.start_command == "tail -f /dev/null" and made.network_access
            assert not made.vm, "the first generation keeps to /exec"
        else:
            assert made.start_command is None
    finally:
        sdk.delete(made.id)


def test_names_may_repeat(sdk, make):
    assert make(PLAIN, sdk=sdk, name="twin").id != make(PLAIN, sdk=sdk, name="twin").id


def test_the_same_key_is_the_same_sandbox(sdk, make):
    key = os.urandom(16).hex()
    first = make(PLAIN, sdk=sdk, idempotency_key=key)
    assert sdk.create(wanted(PLAIN, idempotency_key=key)).id == first.id
    assert make(PLAIN, sdk=sdk, idempotency_key=os.urandom(16).hex()).id != first.id


@pytest.mark.parametrize("fields, word", [
    ({"gpu_count": 1, "gpu_type": "H100_80GB", "vm": True} if FIRST else
     {"gpu_count": 1, "gpu_type": "H100_80GB"}, "gpu_count"),
    ({"timeout_minutes": 0}, "timeout_minutes"),
    ({"cpu_cores": 100000}, "cpu_cores"),
    ({"memory_gb": 1e9}, "memory_gb"),
    ({"labels": [""]}, "labels"),
    ({"environment_vars": {"A=B": "c"}}, "environment_vars"),
    ({"name": ""}, "name"),
])
def test_what_cannot_be_is_refused(sdk, fields, word):
    with pytest.raises(prime_sandboxes.APIError, match=f"HTTP 4.*{word}"):
        sdk.create(wanted(PLAIN, **fields))
    assert sdk.list(exclude_terminated=True).total == 0


def test_a_wrong_key_is_unauthorized(engine):
    for wrong in ("pit-wrong", "x" * 300):
        with pytest.raises(prime_sandboxes.UnauthorizedError):
            sync_client(api_key=wrong).list()


def test_list_filters_and_pages(sdk, make):
    mark = os.urandom(4).hex()
    names = [make(PLAIN, sdk=sdk, name=f"n{i}", labels=[mark, f"is{i % 2}"]).name for i in range(5)]
    mine = sdk.list(labels=[mark])
    assert sorted(s.name for s in mine.sandboxes) == names and mine.total == 5 and not mine.has_next
    assert sdk.list(labels=[mark, "is1"]).total == 2, "all labels have to match"
    assert sdk.list(labels=["is0", "is1"]).total == 0
    pages = [sdk.list(labels=[mark], page=page, per_page=2) for page in (1, 2, 3)]
    assert [len(page.sandboxes) for page in pages] == [2, 2, 1]
    assert [page.has_next for page in pages] == [True, True, False]
    assert len({s.id for page in pages for s in page.sandboxes}) == 5
    assert {page.total for page in pages} == {5} and pages[1].page == 2 and pages[1].per_page == 2
    gone = mine.sandboxes[0].id
    sdk.delete(gone)
    assert sdk.list(labels=[mark], status="TERMINATED").sandboxes[0].id == gone
    assert sdk.list(labels=[mark], exclude_terminated=True).total == 4
    assert sdk.list(labels=[mark]).total == 5, "without a filter those that ended are there as well"


def test_delete(sdk, make):
    sandbox = make(PLAIN, sdk=sdk)
    assert isinstance(sdk.delete(sandbox.id), dict)
    seen = sdk.get(sandbox.id)
    assert seen.status == "TERMINATED" and seen.terminated_at >= seen.created_at
    assert isinstance(sdk.delete(sandbox.id), dict), "a repeated request finds its work done"
    with pytest.raises(prime_sandboxes.APIError, match="HTTP 404"):
        sdk.delete("nosuchsandbox")
    with pytest.raises(prime_sandboxes.APIError, match="HTTP 404"):
        sdk.get("nosuchsandbox")


def test_delete_many_by_id(sdk, make):
    ids = [make(PLAIN, sdk=sdk).id for _ in range(3)]
    answer = sdk.bulk_delete(sandbox_ids=[*ids, "nosuchsandbox"])
    assert sorted(answer.succeeded) == sorted(ids)
    assert [row["sandbox_id"] for row in answer.failed] == ["nosuchsandbox"]
    assert all(isinstance(value, str) for row in answer.failed for value in row.values())
    assert sorted(sdk.bulk_delete(sandbox_ids=ids).succeeded) == sorted(ids), "it may be a retry"


def test_delete_many_by_label(sdk, make):
    both = make(PLAIN, sdk=sdk, labels=["a", "b"])
    one = make(PLAIN, sdk=sdk, labels=["a"])
    assert sdk.bulk_delete(labels=["a", "b"]).succeeded == [both.id]
    assert sdk.get(one.id).status == "RUNNING"
    assert sdk.bulk_delete(labels=["a"]).succeeded == [one.id], "what has ended is left alone"


def test_delete_many_wants_one_selector(sdk, make):
    sandbox = make(PLAIN, sdk=sdk, labels=["a"])
    with pytest.raises(prime_sandboxes.APIError, match="HTTP 4"):
        sdk.bulk_delete(sandbox_ids=[sandbox.id], labels=["a"])
    with pytest.raises(prime_sandboxes.APIError, match="HTTP 4"):
        sdk.bulk_delete()
    assert sdk.get(sandbox.id).status == "RUNNING"


def test_logs(sdk, make):
    sandbox = make(PLAIN, sdk=sdk, start_command=START)
    status_soon(sdk, sandbox.id, "RUNNING")
    wait_until(lambda: sdk.get_logs(sandbox.id) == "begun\n", 5, "the log")
