# SPDX-License-Identifier: Apache-2.0
"""Slow and idle clients, many of them, cost the others nothing."""

import contextlib
import socket
import threading
import time

import pytest

import archives
import harness

KEY = "k" * 32
CROWD = 1000
HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    file = tmp_path_factory.mktemp("slow") / "key"
    file.write_text(KEY)
    file.chmod(0o600)
    port = harness.free_port()
    for engine in harness.run_engine(
            "--listen", f"127.0.0.1:{port}", "--admin-key-file", str(file),
            prepare=lambda engine: engine.api.import_image("busybox", archives.busybox()).ok()):
        engine.port = port
        yield engine


def tcp(engine):
    return socket.create_connection(("127.0.0.1", engine.port), timeout=20)


def unix(engine):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(20)
    sock.connect(engine.socket)
    return sock


@contextlib.contextmanager
def crowd(sockets, trickle):
    """All of them connected; with trickle each sends a byte of a header that never ends, every second."""
    stop = threading.Event()

    def send():
        at = 0
        while not stop.wait(1):
            byte = HEAD[at:at + 1] or b"x"
            for sock in sockets:
                with contextlib.suppress(OSError):
                    sock.send(byte)
            at += 1

    thread = threading.Thread(target=send)
    if trickle:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        if trickle:
            thread.join()
        for sock in sockets:
            sock.close()


def median_ms(ask, times=40):
    took = []
    for _ in range(times):
        begin = time.monotonic()
        ask()
        took.append((time.monotonic() - begin) * 1000)
    return sorted(took)[times // 2], max(took)


@pytest.mark.parametrize("trickle", [False, True], ids=["idle", "a byte a second"])
def test_a_crowd_does_not_delay_others(engine, api, make, trickle):
    box = make()

    def over_tcp():
        sock = tcp(engine)
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b" 200 " in sock.recv(4096)
        sock.close()

    def command():
        assert api.exec(box, ["true"]).code == 0

    with crowd([(unix if i % 2 else tcp)(engine) for i in range(CROWD)], trickle):
        time.sleep(1.5)
        for ask in (over_tcp, lambda: api.raw("GET", f"/api/v1/sandbox/{box}").ok(), command):
            median, longest = median_ms(ask)
            assert median < 30 and longest < 1000, (ask, median, longest)
        begin = time.monotonic()
        api.delete(api.create("busybox").ok()["id"]).ok()
        assert time.monotonic() - begin < 5


def test_a_full_house_lets_the_idlest_go(engine, api):
    """More TCP clients than there are places: new ones come in, the Unix socket notices nothing."""
    sockets, most = [], 4000
    with crowd(sockets, False):
        while len(sockets) < most:
            sockets.append(tcp(engine))
            if len(sockets) % 500 == 0:
                assert api.raw("GET", "/healthz", timeout=5).status == 200
        late = tcp(engine)
        late.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in late.recv(4096)
        late.close()
        assert sockets[0].recv(1) == b""  # which had waited longest
    harness.wait_until(lambda: api.raw("GET", "/healthz").status == 200, 10)


def test_requests_under_way_are_not_let_go(engine, api, make):
    """A crowd of idle clients cannot push out one who waits for an answer."""
    box = make()
    body = b'{"command": "sleep 2; echo done"}'
    sock = tcp(engine)
    sock.sendall(f"POST /api/v1/sandbox/{box}/exec HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
                 f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    time.sleep(0.2)
    with crowd([tcp(engine) for _ in range(2500)], False):
        answer = sock.recv(65536)
        assert b" 200 " in answer and b"done" in answer
    sock.close()
