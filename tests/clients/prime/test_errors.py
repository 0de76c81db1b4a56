# SPDX-License-Identifier: Apache-2.0
"""Every typed exception, by its real cause."""

import contextlib
import os
import signal
import threading

import harness
import prime_sandboxes
import pytest
from conftest import PYTHON, status_soon, sync_client

MISSING = "no-such-image:1"


def test_a_missing_image_is_accepted_and_fails(sdk, make):
    """Here no registry may be asked at all; tests/registry has those that can be."""
    made = make(MISSING, sdk=sdk)
    assert made.status == "PENDING" and made.docker_image == MISSING
    with pytest.raises(prime_sandboxes.SandboxImagePullError, match=MISSING):
        sdk.wait_for_creation(made.id)
    seen = status_soon(sdk, made.id, "ERROR")
    assert seen.error_type == "IMAGE_PULL_FAILED" and MISSING in seen.error_message


def test_many_that_fail(sdk, make):
    made = [make(MISSING, sdk=sdk) for _ in range(3)]
    with pytest.raises(RuntimeError, match="failed"):
        sdk.bulk_wait_for_creation([sandbox.id for sandbox in made])


NOT_RUNNING = (prime_sandboxes.SandboxOOMError, prime_sandboxes.SandboxTimeoutError,
               prime_sandboxes.SandboxImagePullError)


def everything(sdk, key, tmp_path):
    """Each call of the gateway, as (name, function)."""
    (tmp_path / "x").write_bytes(b"x")
    yield "command", lambda: sdk.execute_command(key, "true")
    yield "upload", lambda: sdk.upload_file(key, "/workspace/x", str(tmp_path / "x"))
    yield "download", lambda: sdk.download_file(key, "/workspace/x", str(tmp_path / "y"))
    yield "read", lambda: sdk.read_file(key, "/workspace/x")
    yield "job", lambda: sdk.start_background_job(key, "true")


def test_one_that_was_deleted(sdk, make, tmp_path):
    made = make(sdk=sdk)
    sdk.wait_for_creation(made.id)
    sdk.delete(made.id)
    for name, call in everything(sdk, made.id, tmp_path):
        with pytest.raises(prime_sandboxes.SandboxNotRunningError) as caught:
            call()
        assert not isinstance(caught.value, NOT_RUNNING), name
    with pytest.raises(prime_sandboxes.SandboxNotRunningError):
        sdk.wait_for_creation(made.id)


def test_one_that_is_deleted_under_a_command(sdk, make, api):
    """The command is answered after the change is visible, not cut."""
    made = make(sdk=sdk)
    sdk.wait_for_creation(made.id)
    timer = threading.Timer(1, lambda: harness.Api(api.path).delete(made.id))
    timer.start()
    with pytest.raises(prime_sandboxes.SandboxNotRunningError):
        sdk.execute_command(made.id, "sleep 100")
    timer.join()


def test_out_of_memory(sdk, make, tmp_path):
    made = make(sdk=sdk, memory_gb=0.06)
    sdk.wait_for_creation(made.id)
    with pytest.raises(prime_sandboxes.SandboxOOMError):
        sdk.execute_command(made.id, "python -c 'x = bytearray(1 << 30)'")
    seen = sdk.get(made.id)
    assert (seen.status, seen.error_type) == ("ERROR", "OOM_KILLED")
    for name, call in everything(sdk, made.id, tmp_path):
        with pytest.raises(prime_sandboxes.SandboxOOMError):
            call()


def test_the_end_of_its_lifetime(sdk, api, tmp_path):
    """Clients count in minutes; the engine takes parts of one."""
    made = api.create(PYTHON, timeout_minutes=0.08).ok()["id"]
    with pytest.raises(prime_sandboxes.SandboxTimeoutError):
        sdk.execute_command(made, "sleep 100")
    seen = status_soon(sdk, made, "TIMEOUT")
    assert seen.error_type == "TIMEOUT"
    for name, call in everything(sdk, made, tmp_path):
        with pytest.raises(prime_sandboxes.SandboxTimeoutError):
            call()
    assert sdk.list(status="TIMEOUT").total >= 1, "and the list can still be read"


def test_a_platform_that_is_not_there(engine, monkeypatch):
    monkeypatch.setenv("PRIME_API_BASE_URL", f"http://127.0.0.1:{harness.free_port()}")
    with pytest.raises(prime_sandboxes.APIError):
        sync_client().list()


@contextlib.contextmanager
def standing_still(engine):
    """The gateway takes connections and says nothing."""
    pid = engine.gateway
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_no_answer_in_time(engine, sdk, make, tmp_path):
    made = make(sdk=sdk)
    sdk.wait_for_creation(made.id)
    (tmp_path / "x").write_bytes(b"x" * 100000)
    with standing_still(engine), pytest.raises(prime_sandboxes.UploadTimeoutError):
        sdk.upload_file(made.id, "/workspace/x", str(tmp_path / "x"), timeout=1)
    sdk.upload_file(made.id, "/workspace/x", str(tmp_path / "x"))
    with standing_still(engine), pytest.raises(prime_sandboxes.DownloadTimeoutError):
        sdk.download_file(made.id, "/workspace/x", str(tmp_path / "y"), timeout=1)
    sdk.download_file(made.id, "/workspace/x", str(tmp_path / "y"))


def test_no_answer_of_the_platform(engine, client):
    with standing_still(engine), pytest.raises(prime_sandboxes.APITimeoutError):
        client.client.request("GET", "/sandbox", timeout=1)
    assert client.list().page == 1


def test_the_platform_answers_though_the_engine_stands_still(engine, client, make):
    """Clients have no timeout of their own for these calls: without an answer they hang for good."""
    made = make()
    client.wait_for_creation(made.id)
    calls = (client.list, lambda: client.get(made.id), lambda: client.get_logs(made.id),
             lambda: client.execute_command(made.id, "true"),
             lambda: client.client.get(f"/sandbox/{made.id}/error-context"),
             lambda: client.client.get("/user/whoami"), lambda: client.client.get("/user/teams"))
    os.kill(engine.pid, signal.SIGSTOP)
    try:
        threads = [threading.Thread(target=call, daemon=True) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
    finally:
        os.kill(engine.pid, signal.SIGCONT)
