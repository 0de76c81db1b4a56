# SPDX-License-Identifier: Apache-2.0
"""Exposed ports need no network, and pass the end of each half on."""

import contextlib
import os
import signal
import socket

import pytest

import conftest
import harness

PIECE = 128 << 10  # what the gateway reads at a time
ROUNDS = 8         # and how often in one turn
SO_SNDBUFFORCE = 32


def expose(engine, key, port, protocol="TCP"):
    return engine.api.request("POST", f"/api/v1/sandbox/{key}/expose", {"port": port, "protocol": protocol}).ok()


def connect(exposure):
    return socket.create_connection(("127.0.0.1", exposure["external_port"]), timeout=20)


def receive(sock):
    came = bytearray()
    while data := sock.recv(1 << 20):
        came += data
    return bytes(came)


def echo(engine, key, port=7000):
    """An exposed server that gives back what comes, and ends when that does."""
    engine.api.exec(key, f"nc -ll -p {port} -e cat >/log 2>&1 &")
    made = expose(engine, key, port)

    def answers():
        with contextlib.suppress(ConnectionResetError), connect(made) as sock:
            sock.sendall(b"x")
            return sock.recv(1) == b"x"
    harness.wait_until(answers, 20, lambda: "the server: " + engine.api.exec(key, "cat /log; ps; netstat -ltn").stdout, every=0.1)
    return made


@pytest.fixture
def large_windows(world):
    """The kernel keeps all that a client of this test sends, until it is read."""
    with open("/proc/sys/net/ipv4/tcp_rmem") as file:
        before = file.read()
    world.host.sysctl("ipv4/tcp_rmem", "4096 4194304 6291456")
    yield
    world.host.sysctl("ipv4/tcp_rmem", before)


def test_half_closed(engine, make, large_windows):
    """Bytes and the end behind them, all there when the gateway looks."""
    made = echo(engine, make(network_access=False).key)
    for pieces in range(1, ROUNDS + 3):
        data = os.urandom(pieces * PIECE)
        with connect(made) as sock:
            sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 4 << 20)
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
            os.kill(engine.gateway, signal.SIGSTOP)
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            finally:
                os.kill(engine.gateway, signal.SIGCONT)
            assert receive(sock) == data, pieces


def test_without_a_network(world):
    """[network] enabled = no: no link, no rule, and ports are exposed all the same."""
    for engine in conftest.run_engine(world, conftest.busybox, config="[network]\nenabled = no\n"):
        key = engine.api.create("busybox").ok()["id"]
        made = echo(engine, key)
        with connect(made) as sock:
            sock.sendall(b"abc")
            sock.shutdown(socket.SHUT_WR)
            assert receive(sock) == b"abc"
        web = expose(engine, key, 8000, "HTTP")
        engine.api.exec(key, "echo hello >/tmp/index.html; httpd -p 127.0.0.1:8000 -h /tmp")
        with socket.create_connection(("127.0.0.1", int(web["url"].rsplit(":", 1)[1])), timeout=20) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert receive(sock).endswith(b"hello\n")
        engine.api.delete(key).ok()
