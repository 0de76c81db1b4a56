# SPDX-License-Identifier: Apache-2.0
"""Commands through the gateway that Prime's clients use: /exec and Connect, as raw bytes."""

import http.client
import json
import os
import threading
import time

import pytest

import archives
import harness

KEY = "a-key-for-this-test-only"


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    """An engine that listens on TCP, where a token of a sandbox is needed."""
    key = tmp_path_factory.mktemp("key") / "key"
    key.write_text(KEY)
    os.chmod(key, 0o600)
    with socket_port() as port:
        pass
    for engine in harness.run_engine(
            "--listen", f"127.0.0.1:{port}", "--admin-key-file", str(key),
            prepare=lambda e: e.api.import_image("busybox", archives.busybox()).ok()):
        engine.port = port
        yield engine


class socket_port:
    """A port that was free a moment ago."""

    def __enter__(self):
        import socket
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]

    def __exit__(self, *_):
        pass


class Box:
    """One sandbox, as a client with its token sees it."""

    def __init__(self, engine, **fields):
        self.engine = engine
        self.id = engine.api.create(**fields).ok()["id"]
        self.login()

    def login(self):
        auth = self.engine.api.request("POST", f"/api/v1/sandbox/{self.id}/auth").ok()
        self.token = auth["token"]
        self.base = f"/gw/{auth['user_ns']}/{auth['job_id']}"

    def request(self, path, body, headers=None, token=None, timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.engine.port, timeout=timeout)
        try:
            connection.request("POST", self.base + path, body, {
                "Authorization": f"Bearer {token or self.token}", **(headers or {})})
            response = connection.getresponse()
            return harness.Answer(response.status, response.read(), dict(response.getheaders()))
        finally:
            connection.close()

    def exec(self, command, **fields):
        body = {"command": command, "working_dir": None, "env": {}, "sandbox_id": self.id,
                "timeout": 300, **fields}
        return self.request("/exec", json.dumps(body), {"Content-Type": "application/json"})

    def delete(self):
        return self.engine.api.delete(self.id)


@pytest.fixture(scope="module")
def shared(gate):
    box = Box(gate)
    yield box
    box.delete()


@pytest.fixture
def box(gate):
    box = Box(gate)
    yield box
    box.delete()


# ---- /exec -----------------------------------------------------------------------------------------

def test_exec_answers(shared):
    seen = shared.exec("echo out; echo err >&2; exit 3")
    assert seen.ok() == {"stdout": "out\n", "stderr": "err\n", "exit_code": 3}
    assert shared.exec("printf 'a\\377b'").ok()["stdout"] == "a\ufffdb"
    assert shared.exec("kill -9 $$").ok()["exit_code"] == 137
    assert shared.exec("pwd; echo $A", working_dir="/etc", env={"A": "x y"}).ok()["stdout"] == "/etc\nx y\n"
    assert shared.exec("id -un; echo $HOME $USER", user="app").ok()["stdout"] == "app\n/home/app app\n"


def test_exec_refuses(shared):
    for fields in ({"sandbox_id": "another"}, {"user": "nobody-here"}, {"working_dir": "/no/such"},
                   {"timeout": -1}, {"timeout": "x"}, {"env": []}, {"tty": True}):
        assert 400 <= shared.exec("true", **fields).status < 500, fields
    for command in (None, "", ["echo"], 7):
        assert shared.exec(command).status == 400, command
    assert shared.request("/exec", b"{").status == 400
    assert shared.request("/exec", b"{}", token="cxs_0_0_0").status == 401


def test_exec_is_late(shared):
    start = time.monotonic()
    late = shared.exec("sleep 300 & echo $! > /tmp/late; sleep 300", timeout=1)
    assert late.status == 408 and late.detail
    assert time.monotonic() - start < 10
    assert shared.exec("kill -0 $(cat /tmp/late)").ok()["exit_code"] != 0


def test_exec_leaves_children_alone(shared):
    start = time.monotonic()
    assert shared.exec("(sleep 2; echo more; touch /tmp/lived) & echo now").ok()["stdout"] == "now\n"
    assert time.monotonic() - start < 1.5
    harness.wait_until(lambda: shared.exec("test -e /tmp/lived").ok()["exit_code"] == 0, 10)


def test_exec_of_the_dead(gate):
    box = Box(gate)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(box.exec("sleep 60")))
    thread.start()
    time.sleep(0.5)
    assert box.delete().status == 200
    thread.join(10)
    assert seen[0].status == 409, seen
    assert box.exec("true").status == 409
    box.login()  # also of what has ended
    assert box.exec("true").status == 409
