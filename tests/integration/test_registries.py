# SPDX-License-Identifier: Apache-2.0
"""registries.conf and logins: what is kept, who may see it, and what a broken configuration does."""

import base64
import contextlib
import http.server
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

import harness

LOGINS = "/api/v1/registries"
PASSWORD = "s3cret-of-the-tests"
RIGHT = "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()


class Registry(http.server.BaseHTTPRequestHandler):
    """As much of a registry as a login asks for."""

    def do_GET(self):
        known = self.headers.get("Authorization") == RIGHT
        body = b"{}" if known else b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
        self.send_response(200 if known else 401)
        if not known:
            self.send_header("WWW-Authenticate", 'Basic realm="test"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def registry():
    """HOST:PORT of a registry that knows alice."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def engine(registry, tmp_path_factory):
    top = tmp_path_factory.mktemp("registries")
    for path in (top, *top.parents[:2]):
        path.chmod(0o755)
    conf = top / "registries.conf"
    conf.write_text(f'[registries]\ndefault = corp.example\n[registry "{registry}"]\nplain_http = yes\n')
    yield from harness.run_engine("--registries", str(conf))


def login(engine, registry, password=PASSWORD, **more):
    return engine.api.request("POST", LOGINS, {"registry": registry, "username": "alice", "password": password,
                                               **more})


def listed(engine):
    return engine.api.request("GET", LOGINS).ok()["registries"]


def auth_json(engine):
    return os.path.join(engine.state, "gateway/auth.json")


def logout(engine, registry):
    return engine.api.request("DELETE", f"{LOGINS}/{registry}")


# ---- logins ----------------------------------------------------------------------------------------

@pytest.mark.smoke
def test_login_and_logout(engine, registry):
    answer = login(engine, registry)
    assert answer.ok() == {"registry": registry}
    answer = engine.api.request("GET", LOGINS)
    assert answer.ok() == {"enabled": True, "default": "corp.example",
                           "registries": [{"registry": registry, "username": "alice"}]}
    assert PASSWORD.encode() not in answer.body
    status = os.stat(auth_json(engine))
    assert status.st_mode & 0o7777 == 0o600 and status.st_uid != 0
    assert json.loads(harness.read(auth_json(engine)))["auths"][registry]["auth"] == RIGHT.split()[1]
    assert logout(engine, registry).ok() == {"registry": registry}
    assert listed(engine) == [] and RIGHT.split()[1] not in harness.read(auth_json(engine))
    assert logout(engine, registry).status == 404


def test_a_login_outlives_the_gateway(engine, registry):
    login(engine, registry).ok()
    old = engine.gateway
    os.kill(old, signal.SIGKILL)
    harness.wait_until(lambda: engine.api.healthy() and engine.gateway != old, 10, "a new gateway")
    assert listed(engine) == [{"registry": registry, "username": "alice"}]
    logout(engine, registry).ok()


def test_what_the_registry_refuses_is_not_kept(engine, registry):
    answer = login(engine, registry, "wrong-password")
    assert answer.status == 403 and registry in answer["detail"], answer
    assert listed(engine) == []
    with contextlib.closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{sock.getsockname()[1]}"
    answer = login(engine, nobody)
    assert answer.status >= 500 and nobody in answer["detail"], answer
    assert listed(engine) == []


@pytest.mark.parametrize("fields, text", [
    ({"registry": ""}, "empty"), ({"registry": "https://h.x"}, "without scheme"), ({"registry": "plain"}, "port"),
    ({"username": ""}, "not only one"), ({"username": "a:b"}, "must not hold"), ({"password": None}, "not only one"),
    ({"password": 7}, "'password'"), ({"registry": "h.x/a"}, "without scheme and path"),
    ({"password": PASSWORD * 2000}, "'password'"),
])
def test_bad_requests(engine, fields, text):
    answer = login(engine, **{"registry": "h.x", **fields})
    assert answer.status == 400 and text in answer["detail"], answer
    assert PASSWORD not in answer["detail"]


def test_command_line(engine, registry):
    wrong = engine.cli("image", "login", registry, "-u", "alice", "--password-stdin", input="wrong-password\n")
    assert wrong.returncode == 4 and registry in wrong.stderr, wrong
    done = engine.cli("image", "login", registry, "-u", "alice", "--password-stdin", input=PASSWORD + "\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"logged in to {registry}\n", "")
    assert [entry["username"] for entry in listed(engine)] == ["alice"]
    assert engine.cli("image", "logout", registry).returncode == 0
    again = engine.cli("image", "logout", registry)
    assert again.returncode == 5 and registry in again.stderr


def test_a_client_that_goes_away(engine, registry):
    """A registry that never answers keeps nothing of ours once the client has gone."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        name = f"127.0.0.1:{silent.getsockname()[1]}"
        body = json.dumps({"registry": name, "username": "alice", "password": PASSWORD})
        before = len(harness.children(engine.pid))
        connection = harness.UnixConnection(engine.socket, 20)
        connection.request("POST", LOGINS, body)
        silent.settimeout(10)
        silent.accept()[0].close()
        connection.close()
        harness.wait_until(lambda: len(harness.children(engine.pid)) <= before, 20, "the worker's end")
    assert engine.api.healthy() and listed(engine) == []


def test_no_password_is_told(engine, registry):
    login(engine, registry).ok()
    login(engine, registry, "wrong-password")
    login(engine, "nowhere.invalid")
    logout(engine, registry).ok()
    for secret in (PASSWORD, "wrong-password", RIGHT.split()[1]):
        assert secret not in engine.log()
    for pid in harness.children(engine.pid):
        with contextlib.suppress(FileNotFoundError):  # it has ended
            assert PASSWORD.encode() not in harness.read(f"/proc/{pid}/cmdline", binary=True)


# ---- configuration ---------------------------------------------------------------------------------

@pytest.mark.parametrize("content, text", [
    (None, "open '{conf}'"), ("[registries]\ncolour = red\n", "'{conf}', line 2: 'colour' is no setting"),
    ('[registry "h.x"]\nca = /nowhere/ca.pem\n', "line 2: ca: open '/nowhere/ca.pem'"),
    ("unreadable", "cannot be read by the user that the gateway runs as"),
])
def test_a_broken_configuration_is_told(tmp_path, content, text):
    """Nothing serves until it is mended, and the log says why."""
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    conf = tmp_path / "registries.conf"
    if content is not None:
        conf.write_text(content)
        conf.chmod(0o600 if content == "unreadable" else 0o644)
    engine = harness.Engine("--registries", str(conf))
    with open(engine.log_path, "ab") as log:
        process = subprocess.Popen(engine.command("--on-stop", "end"), stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log, cwd="/", env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    try:
        harness.wait_until(lambda: text.format(conf=conf) in engine.log(), 10, "the reason: " + engine.log()[-500:])
        assert not engine.api.healthy()
        if content == "unreadable":
            return
        conf.write_text("")
        harness.wait_until(engine.api.healthy, 20, "a gateway")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        engine.remove()
