# SPDX-License-Identifier: Apache-2.0
"""Exposed ports under names of a domain: https, one certificate for all of them."""

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import urllib.parse

import pytest

import harness
import test_expose as plain
from conftest import run_engine
from test_tls import make_certificate

DOMAIN = "Apps.Caisson.test"
NAMES = "DNS:*.apps.caisson.test"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    top = tmp_path_factory.mktemp("https")
    make_certificate(top, NAMES)
    (top / "key.pem").chmod(0o600)
    return top


@pytest.fixture(scope="module")
def engine(files):
    port = harness.free_port()
    for engine in run_engine("--expose-domain", DOMAIN, "--expose-listen", str(port), "--expose-cert",
                             str(files / "cert.pem"), "--expose-key", str(files / "key.pem")):
        engine.port = port
        yield engine


@pytest.fixture
def trust(files):
    return ssl.create_default_context(cafile=files / "cert.pem")


@pytest.fixture(scope="module")
def box(engine, python_image):
    api = engine.api
    key = api.create(python_image, memory_gb=0.5, network_access=False).ok()["id"]
    api.raw("PUT", f"/api/v1/sandbox/{key}/files?path=/server.py", plain.SERVER.encode()).ok()
    api.exec(key, "nohup python3 /server.py >/log 2>&1 &")
    harness.wait_until(lambda: api.exec(key, "test -e /ready").code == 0, 30, "the servers", every=0.2)
    yield key
    api.delete(key)


@pytest.fixture
def web(api, box):
    one = plain.expose(api, box, 8000, name="web").ok()
    yield one
    assert plain.unexpose(api, box, one["exposure_id"]).status in (200, 404)


def connect(engine, name, trust):
    sock = socket.create_connection(("127.0.0.1", engine.port), timeout=60)
    return trust.wrap_socket(sock, server_hostname=name, suppress_ragged_eofs=False)


def name_of(exposure):
    return urllib.parse.urlsplit(exposure["url"]).hostname


def get(engine, trust, exposure, path="/", method="GET", body=None, host=None):
    name = name_of(exposure)
    connection = http.client.HTTPSConnection(name, engine.port, context=trust, timeout=60)
    connection.sock = connect(engine, name, trust)
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_its_url_works(engine, api, box, web, files, trust):
    assert web["url"] == f"https://{web['exposure_id']}.{DOMAIN.lower()}:{engine.port}"
    assert web["external_port"] is None and web["external_endpoint"] is None
    assert plain.exposures(api, box) == [web]
    name = name_of(web)
    said = subprocess.run(["curl", "-sS", "--cacert", files / "cert.pem", "--resolve", f"{name}:{engine.port}:127.0.0.1",
                           "-H", "X-Forwarded-Proto: http", web["url"] + "/heads"], capture_output=True, timeout=60,
                          check=True).stdout.decode()
    heads = dict(line.split(": ", 1) for line in said.splitlines())
    host = f"{name}:{engine.port}"
    assert {key: heads[key] for key in heads if key.startswith("X-") or key == "Host"} == {
        "Host": host, "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": host}
    for host in (name, name.upper(), name + ".", f"{name}:443"):
        assert get(engine, trust, web, host=host) == (200, b"hello")


def test_others_by_the_same_socket(engine, api, box, make, web, trust):
    """Each name leads to its own sandbox; no name, and that of nothing, to none."""
    other = make()
    dead, tcp = plain.expose(api, other, 8000).ok(), plain.expose(api, box, 9000, "TCP").ok()
    assert get(engine, trust, web) == (200, b"hello")
    status, body = get(engine, trust, dead)
    assert status == 502 and "nothing listens" in json.loads(body)["detail"]
    for host in ("apps.caisson.test", "x.apps.caisson.test", f"a.{name_of(web)}", f"{name_of(web)}.example", "localhost",
                 f"{tcp['exposure_id']}.apps.caisson.test", ".apps.caisson.test", name_of(web)[1:], "[::1]",
                 f"{web['exposure_id'][:6]}.apps.caisson.test"):
        status, body = get(engine, trust, web, host=host)
        assert status == 404 and json.loads(body)["code"] == "not_found", host
    assert plain.talk(tcp, b"abc", shut=True) == b"abc=3", "ports of TCP are served as ever"
    plain.unexpose(api, other, dead["exposure_id"]).ok()
    assert get(engine, trust, web, host=name_of(dead))[0] == 404
    plain.unexpose(api, box, tcp["exposure_id"]).ok()


def test_bodies_and_streams(engine, web, trust):
    name, count = name_of(web), 320
    status, body = get(engine, trust, web, f"/big/{count}")
    assert status == 200 and body == plain.PIECE * count
    assert get(engine, trust, web, "/", "PUT", plain.PIECE * count)[1].startswith(b"%d " % len(body))
    with connect(engine, name, trust) as sock:
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(f"GET /ws HTTP/1.1\r\nHost: {name}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(4096)
        assert b" 101 " in head
        sock.sendall(b"\x81\x83\0\0\0\0one")
        assert sock.recv(5) == b"\x81\x03one"


def events(sock, name):
    sock.sendall(f"GET /events HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
    came = b""
    while b"data: 0\n\n" not in came:
        came += sock.recv(4096)


def test_the_end_of_a_stream_tells_whether_all_came(engine, api, box, trust):
    one = plain.expose(api, box, 8000).ok()
    with connect(engine, name_of(one), trust) as sock:
        events(sock, name_of(one))
        for _ in range(2):
            get(engine, trust, one, "/next")
        while data := sock.recv(4096):  # up to an end that TLS says
            assert data.startswith(b"data")
    with connect(engine, name_of(one), trust) as sock:
        events(sock, name_of(one))
        plain.unexpose(api, box, one["exposure_id"]).ok()
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            assert sock.recv(4096) == b"", "the connection was cut"
            pytest.fail("this looks like the end of the stream")


def test_the_gateway_dies(engine, api, box, web, trust):
    os.kill(engine.gateway, signal.SIGKILL)
    harness.wait_until(api.healthy, 20, "the next gateway")

    def served():
        with contextlib.suppress(OSError):
            return get(engine, trust, web) == (200, b"hello")
    harness.wait_until(served, 20, "the name")
    assert plain.exposures(api, box) == [web]


def test_a_new_certificate(engine, web, files, trust):
    make_certificate(files, NAMES)
    os.kill(engine.pid, signal.SIGHUP)

    def served():
        with contextlib.suppress(ssl.SSLError):
            return get(engine, ssl.create_default_context(cafile=files / "cert.pem"), web)[0] == 200
    harness.wait_until(served, 20, "the new certificate")
    with pytest.raises(ssl.SSLError):
        get(engine, trust, web)
