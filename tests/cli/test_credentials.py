# SPDX-License-Identifier: Apache-2.0
"""Who the caller is for a registry: logins, options, and the files of Docker and podman."""

import base64
import json
import os
import pty
import select
import subprocess
import termios
import time

import pytest

from test_cli import CAISSON, SECONDS, cli, environment, serve  # noqa: F401 (fixtures)
from test_images import DONE, chunked

LOGINS = "/api/v1/registries"


def entry(user, password):
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def write(path, auths, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"auths": auths, **more}))


@pytest.fixture
def bodies(serve):
    """What pull and push send; the engine's default registry is corp.example."""
    seen = []

    def handler(connection):
        if connection.path == LOGINS:
            assert connection.method == "GET"
            connection.answer({"enabled": True, "default": "corp.example", "registries": []})
            return
        body = connection.json()
        seen.append((body.get("username"), body.get("password")))
        chunked(connection, DONE)
    serve(handler)
    return seen


@pytest.fixture
def transfer(tmp_path):
    def run(*arguments, **variables):
        return subprocess.run([CAISSON, "image", *arguments], env={**environment(tmp_path), **variables},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=SECONDS)
    return run


# ---- files -----------------------------------------------------------------------------------

def test_files_in_their_order(bodies, transfer, tmp_path):
    write(tmp_path / ".docker/config.json", {"h.x": entry("home", "1"), "g.x": entry("home", "g")})
    write(tmp_path / "dc/config.json", {"h.x": entry("docker", "2")})
    write(tmp_path / "run/containers/auth.json", {"h.x": entry("podman", "3")})
    write(tmp_path / "env.json", {"h.x": entry("variable", "4")})
    write(tmp_path / "option.json", {"h.x": entry("option", "5")})
    variables = {}
    for more, arguments, expected in [
            ({}, [], ("home", "1")),
            ({"DOCKER_CONFIG": str(tmp_path / "dc")}, [], ("docker", "2")),
            ({"XDG_RUNTIME_DIR": str(tmp_path / "run")}, [], ("podman", "3")),
            ({"REGISTRY_AUTH_FILE": str(tmp_path / "env.json")}, [], ("variable", "4")),
            ({}, ["--authfile", str(tmp_path / "option.json")], ("option", "5"))]:
        variables.update(more)
        assert transfer("pull", "h.x/a", *arguments, **variables).returncode == 0
        assert bodies.pop() == expected
    # A file that has nothing for a registry leaves it to the next; one that was named does not.
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    assert transfer("pull", "g.x/a", **runtime).returncode == 0
    assert bodies.pop() == ("home", "g")
    assert transfer("pull", "g.x/a", REGISTRY_AUTH_FILE=str(tmp_path / "env.json")).returncode == 0
    assert bodies.pop() == (None, None)


def test_the_engine_says_whose_a_short_name_is(bodies, transfer, tmp_path):
    write(tmp_path / ".docker/config.json",
          {"https://index.docker.io/v1/": entry("hub", "1"), "corp.example": entry("corp", "2")})
    for name, expected in [("python:3.11", ("corp", "2")), ("docker.io/python", ("hub", "1")),
                           ("other.x/a", (None, None))]:
        assert transfer("pull", name).returncode == 0
        assert bodies.pop() == expected


def test_push_looks_at_the_destination(bodies, transfer, tmp_path):
    write(tmp_path / ".docker/config.json", {"h.x": entry("here", "1"), "h.x/b": entry("there", "2")})
    assert transfer("push", "a", "h.x/b/c").returncode == 0
    assert transfer("push", "h.x/a").returncode == 0
    assert bodies == [("there", "2"), ("here", "1")]


def test_tokens(bodies, transfer, tmp_path):
    write(tmp_path / ".docker/config.json", {"h.x": {"identitytoken": "t0ken"}})
    assert transfer("pull", "h.x/a").returncode == 0
    assert bodies == [("<token>", "t0ken")]


def test_programs_are_not_run(bodies, transfer, tmp_path):
    """A file that nobody named is passed over, for the registry may want no credentials."""
    write(tmp_path / ".docker/config.json", {"h.x": {}}, credsStore="desktop")
    result = transfer("pull", "h.x/a")
    assert result.returncode == 0 and b"docker-credential-desktop" in result.stderr
    assert bodies == [(None, None)]
    result = transfer("pull", "h.x/a", "--authfile", str(tmp_path / ".docker/config.json"))
    assert result.returncode == 4 and b"caisson image login h.x" in result.stderr
    assert len(bodies) == 1


@pytest.mark.parametrize("content, text", [
    ("{", b"is not JSON"), ('{"auths": 7}', b'"auths" is not an object'),
    ('{"auths": {"h.x": {"auth": "c2VjcmV0"}}}', b"USER:PASSWORD"), ("x" * (1 << 20 | 1), b"no file"),
], ids=["text", "auths", "auth", "size"])
def test_broken_files(bodies, transfer, tmp_path, content, text):
    path = tmp_path / ".docker/config.json"
    path.parent.mkdir()
    path.write_text(content)
    result = transfer("pull", "h.x/a")
    assert result.returncode == 3 and text in result.stderr and bytes(path) in result.stderr
    assert b"c2VjcmV0" not in result.stderr and b"secret" not in result.stderr
    assert bodies == []


def test_a_named_file_must_exist(bodies, transfer, tmp_path):
    result = transfer("pull", "h.x/a", "--authfile", str(tmp_path / "none"))
    assert result.returncode == 5 and b"there is no file" in result.stderr
    assert bodies == []


# ---- login, logout ---------------------------------------------------------------------------

def login_handler(seen):
    def handler(connection):
        seen.append((connection.method, connection.path, connection.body and connection.json()))
        connection.answer({"registry": "localhost:5000"})
    return handler


def test_login(serve, cli):
    seen = []
    serve(login_handler(seen))
    result = cli("image", "login", "Localhost:5000", "-u", "alice", "--password-stdin", input=b"s3 cret\n")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"logged in to localhost:5000\n", b"")
    assert seen == [("POST", LOGINS, {"registry": "Localhost:5000", "username": "alice", "password": "s3 cret"})]


def test_logout(serve, cli):
    seen = []
    serve(login_handler(seen))
    result = cli("image", "logout", "localhost:5000")
    assert (result.returncode, result.stdout) == (0, b"logged out of localhost:5000\n")
    assert seen == [("DELETE", LOGINS + "/localhost:5000", b"")]


@pytest.mark.parametrize("arguments, stdin, text", [
    (["-u", "alice"], b"", b"no terminal to ask on"), ([], b"", b"no terminal to ask on"),
    (["--password-stdin"], b"p", b"given together"),
    (["-u", "alice", "--password-stdin"], b"\n", b"no password"),
    (["-u", "al:ice", "--password-stdin"], b"s3cret\n", b"must not hold ':'"),
])
def test_logins_that_are_none(serve, cli, arguments, stdin, text):
    server = serve(login_handler([]))
    result = cli("image", "login", "h.x", *arguments, input=stdin)
    assert result.returncode == 3 and text in result.stderr and b"s3cret" not in result.stderr
    assert server.requests == []


class Terminal:
    """caisson with a terminal for its standard input and error."""

    def __init__(self, tmp_path, *arguments):
        self.controller, self.terminal = pty.openpty()
        self.before = termios.tcgetattr(self.terminal)
        self.process = subprocess.Popen([CAISSON, *arguments], env=environment(tmp_path), stdin=self.terminal,
                                        stdout=subprocess.PIPE, stderr=self.terminal, start_new_session=True)

    def expect(self, text):
        seen = b""
        while text not in seen:
            assert select.select([self.controller], [], [], SECONDS)[0], seen
            seen += os.read(self.controller, 1000)
        return seen

    def hidden(self):
        return not termios.tcgetattr(self.terminal)[3] & termios.ECHO

    def close(self):
        self.process.kill()
        self.process.communicate()
        os.close(self.controller)
        os.close(self.terminal)


def test_login_asks(serve, tmp_path):
    seen = []
    serve(login_handler(seen))
    at = Terminal(tmp_path, "image", "login", "localhost:5000")
    try:
        at.expect(b"Username: ")
        assert not at.hidden()
        os.write(at.controller, b"alice\n")
        at.expect(b"Password: ")
        assert at.hidden()
        os.write(at.controller, b"s3cret\n")
        assert at.process.wait(SECONDS) == 0
        assert termios.tcgetattr(at.terminal) == at.before
        while select.select([at.controller], [], [], 0.2)[0]:
            assert b"s3cret" not in os.read(at.controller, 1000)
    finally:
        at.close()
    assert seen == [("POST", LOGINS, {"registry": "localhost:5000", "username": "alice", "password": "s3cret"})]


def test_an_interrupted_question_leaves_the_terminal_as_it_was(serve, tmp_path):
    server = serve(login_handler([]))
    at = Terminal(tmp_path, "image", "login", "localhost:5000", "-u", "alice")
    try:
        at.expect(b"Password: ")
        end = time.monotonic() + SECONDS
        while not at.hidden():
            assert time.monotonic() < end
        at.process.terminate()
        assert at.process.wait(SECONDS) != 0
        assert termios.tcgetattr(at.terminal) == at.before
    finally:
        at.close()
    assert server.requests == []
