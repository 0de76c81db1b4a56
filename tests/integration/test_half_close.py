# SPDX-License-Identifier: Apache-2.0
"""Clients that end their half of the connection behind what they ask, and clients that leave meanwhile."""

import contextlib
import hashlib
import json
import os
import socket
import time

import pytest

import archives
import harness

KEY = "a-key-for-this-test-only"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """It listens on TCP, too."""
    key = tmp_path_factory.mktemp("key") / "key"
    key.write_text(KEY)
    os.chmod(key, 0o600)
    port = harness.free_port()
    for engine in harness.run_engine(
            "--listen", f"127.0.0.1:{port}", "--admin-key-file", str(key),
            prepare=lambda e: e.api.import_image("busybox", archives.busybox()).ok()):
        engine.port = port
        yield engine


@pytest.fixture(params=["unix", "tcp"])
def door(request, engine):
    """Connects."""
    def connect():
        if request.param == "tcp":
            return socket.create_connection(("127.0.0.1", engine.port), 30)
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(30)
        sock.connect(engine.socket)
        return sock
    connect.tcp = request.param == "tcp"
    return connect


def request(method, path, body=b"", headers=()):
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {KEY}",
             f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def command(key, line, **fields):
    body = json.dumps({"command": line, **fields}).encode()
    return request("POST", f"/api/v1/sandbox/{key}/exec", body, ["Content-Type: application/json"])


def rest(sock):
    data = b""
    while True:
        piece = sock.recv(1 << 20)
        if not piece:
            return data
        data += piece


def ask(door, data, pause=None):
    """Sends it and the end of all, together or after a pause, and returns all that comes until the end."""
    with contextlib.closing(door()) as sock:
        sock.sendall(data)
        if pause is not None:
            time.sleep(pause)
        sock.shutdown(socket.SHUT_WR)
        return rest(sock)


def answers(data):
    """Statuses and bodies, without what only says that there will be an answer."""
    found = []
    while data:
        head, mark, data = data.partition(b"\r\n\r\n")
        assert mark, head
        status = int(head.split()[1])
        if status == 100:
            continue
        length = int(next(line for line in head.lower().split(b"\r\n")
                          if line.startswith(b"content-length:")).split(b":")[1])
        found.append((status, data[:length]))
        assert len(data) >= length, (length, data)
        data = data[length:]
    return found


def test_an_answer_that_takes_long_comes(api, make, door):
    """The end comes with the request, while it is worked on, and about when the answer does."""
    key = make()
    for pause in (None, 0, 0.002, 0.3):
        (status, body), = answers(ask(door, command(key, "sleep 0.5; echo all"), pause))
        assert status == 200 and json.loads(body)["stdout"] == "all\n", pause
    for turn in range(300):
        (status, body), = answers(ask(door, command(key, f"echo {turn}"), turn % 30 / 5000))
        assert status == 200 and json.loads(body)["stdout"] == f"{turn}\n", turn


def test_all_that_were_asked_for_are_answered(api, make, door):
    key = make()
    three = b"".join(command(key, f"sleep 0.2; echo {n}") for n in range(3))
    for pause in (None, 0.3):
        said = answers(ask(door, three + request("GET", "/healthz"), pause))
        assert [status for status, _ in said] == [200] * 4
        assert [json.loads(body)["stdout"] for _, body in said[:3]] == ["0\n", "1\n", "2\n"]


def test_a_sandbox_is_made_and_removed(door):
    body = json.dumps({"name": "half-" + os.urandom(4).hex(), "docker_image": "busybox", "cpu_cores": 1,
                       "memory_gb": 0.25}).encode()
    (status, said), = answers(ask(door, request("POST", "/api/v1/sandbox", body)))
    assert status in (200, 201), said
    (status, said), = answers(ask(door, request("DELETE", f"/api/v1/sandbox/{json.loads(said)['id']}")))
    assert status == 200, said


def test_files_come_and_go_whole(api, make, door):
    """Also when the sandbox takes them later than they are sent."""
    key = make()
    data = os.urandom(3 << 20)
    where = f"/api/v1/sandbox/{key}/files?path=/tmp/x"
    for _ in range(5):
        (status, said), = answers(ask(door, request("PUT", where, data)))
        assert status == 200 and json.loads(said)["sha256"] == hashlib.sha256(data).hexdigest(), said
        (status, said), = answers(ask(door, request("GET", where)))
        assert status == 200 and said == data


def test_a_file_is_taken_later_than_it_was_sent(api, make, door):
    key = make()
    data = os.urandom(300 << 10)  # more than the pipe has room for
    whole = request("PUT", f"/api/v1/sandbox/{key}/files?path=/tmp/x", data)
    with contextlib.closing(door()) as sock:
        sock.sendall(whole[:-len(data) + 1])
        time.sleep(0.5)
        assert api.raw("POST", f"/api/v1/sandbox/{key}/pause").status == 200
        sock.sendall(whole[-len(data) + 1:])
        sock.shutdown(socket.SHUT_WR)
        time.sleep(0.5)
        assert api.raw("POST", f"/api/v1/sandbox/{key}/resume").status == 200
        (status, said), = answers(rest(sock))
    assert status == 200 and json.loads(said)["sha256"] == hashlib.sha256(data).hexdigest(), said


def test_half_a_body_is_refused(api, make, door):
    key = make()
    whole = request("PUT", f"/api/v1/sandbox/{key}/files?path=/tmp/x", bytes(1000))
    for part in (whole[:-1], whole[:-1000], command(key, "touch /tmp/y")[:-1]):
        (status, said), = answers(ask(door, part))
        assert status == 400 and json.loads(said)["code"] == "invalid", said
    assert api.exec(key, "ls /tmp").stdout == ""


def gateway_cpu(engine):
    with open(f"/proc/{engine.gateway}/stat", encoding="ascii") as file:
        return sum(int(field) for field in file.read().rpartition(")")[2].split()[11:13]) / os.sysconf("SC_CLK_TCK")


def test_who_waits_costs_nothing(engine, api, make, door):
    key = make()
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(contextlib.closing(door())) for _ in range(5)]
        for sock in socks:
            sock.sendall(command(key, "sleep 3; echo late"))
            sock.shutdown(socket.SHUT_WR)
        time.sleep(0.5)
        before = gateway_cpu(engine)
        time.sleep(1.5)
        assert gateway_cpu(engine) - before < 0.2
        for sock in socks:
            (status, body), = answers(rest(sock))
            assert status == 200 and json.loads(body)["stdout"] == "late\n"


def test_a_log_is_followed(api, make, door):
    """Over TCP nobody can tell who has gone from who only listens: what may be silent for long ends there."""
    key = make(start_command="echo begun; sleep 2; echo later; sleep 1000")
    with contextlib.closing(door()) as sock:
        sock.sendall(request("GET", f"/api/v1/sandbox/{key}/logs/follow"))
        sock.shutdown(socket.SHUT_WR)
        seen = b""
        began = time.monotonic()
        while b"later" not in seen:
            piece = sock.recv(65536)
            if not piece:
                break
            seen += piece
        assert time.monotonic() - began < 10
        assert (b"later" in seen) != door.tcp, seen


def running(api, key):
    return "sleep 12345" in api.exec(key, "ps -o args").stdout


def test_who_leaves_ends_the_command(api, make, door):
    """At once, or when it had ended its half before."""
    key = make()
    for half in (False, True):
        sock = door()
        sock.sendall(command(key, "sleep 12345"))
        harness.wait_until(lambda: running(api, key), 10, "the command")
        if half:
            sock.shutdown(socket.SHUT_WR)
            time.sleep(0.5)
            assert running(api, key)
        sock.close()
        harness.wait_until(lambda: not running(api, key), 10, "its end")


def keepalive_seconds(server, client):
    """When the kernel asks next whether the client of this connection is still there; None: never."""
    for line in harness.read("/proc/net/tcp").splitlines()[1:]:
        words = line.split()
        ports = [int(word.split(":")[1], 16) for word in words[1:3]]
        kind, _, ticks = words[5].partition(":")
        if ports == [server, client] and kind == "02":
            return int(ticks, 16) / os.sysconf("SC_CLK_TCK")
    return None


def test_a_client_that_vanishes_is_asked_for(engine):
    """One that ended its half and goes later says nothing, and neither does a host that is gone."""
    with socket.create_connection(("127.0.0.1", engine.port), 30) as sock:
        sock.sendall(request("GET", "/healthz"))
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
        seconds = keepalive_seconds(engine.port, sock.getsockname()[1])
        assert seconds is not None and seconds <= 61
