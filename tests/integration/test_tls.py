# SPDX-License-Identifier: Apache-2.0
"""HTTPS by certificate files: requests, long answers, bodies, streams of commands, refusals."""

import http.client
import json
import os
import socket
import ssl
import struct
import subprocess

import pytest

import archives
import harness

KEY = "k" * 32


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A certificate for localhost, its key, and an admin key."""
    top = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", top / "key.pem", "-out",
                    top / "cert.pem"], check=True, capture_output=True)
    (top / "admin").write_text(KEY)
    for name in ("key.pem", "admin"):
        (top / name).chmod(0o600)
    return top


@pytest.fixture(scope="module")
def engine(files):
    port = free_port()
    for engine in harness.run_engine(
            "--listen", f"127.0.0.1:{port}", "--admin-key-file", str(files / "admin"), "--tls-cert",
            str(files / "cert.pem"), "--tls-key", str(files / "key.pem"),
            prepare=lambda engine: engine.api.import_image("busybox", archives.busybox()).ok()):
        engine.port = port
        engine.trust = ssl.create_default_context(cafile=files / "cert.pem")
        yield engine


def connect(engine):
    plain = socket.create_connection(("127.0.0.1", engine.port), timeout=30)
    return engine.trust.wrap_socket(plain, server_hostname="localhost")


def ask(engine, method, path, body=None, key=KEY):
    connection = http.client.HTTPSConnection("localhost", engine.port, context=engine.trust, timeout=30)
    connection.request(method, path, body, {"Authorization": f"Bearer {key}"})
    response = connection.getresponse()
    answer = harness.Answer(response.status, response.read(), dict(response.getheaders()))
    connection.close()
    return answer


def test_requests_go_through_tls(engine):
    with connect(engine) as sock:
        assert sock.version() in ("TLSv1.2", "TLSv1.3")
    assert ask(engine, "GET", "/healthz").json == {"status": "ok"}
    assert ask(engine, "GET", "/api/v1/sandbox", key="wrong" * 8).status == 401
    assert ask(engine, "GET", "/nowhere").status == 404
    assert engine.api.healthy()  # the Unix socket is as it was


def test_an_answer_that_is_waited_for_comes(engine, make):
    box = make()
    run = ask(engine, "POST", f"/api/v1/sandbox/{box}/exec",
              json.dumps({"command": "sleep 0.3; head -c 3000000 /dev/zero | tr '\\0' x"}))
    assert run.ok()["stdout"] == "x" * 3000000
    answer = ask(engine, "POST", f"/api/v1/sandbox/{box}/auth")
    assert answer.ok()["gateway_url"].startswith("https://")


def test_bodies_and_pieces(engine):
    assert ask(engine, "POST", "/api/v1/images?name=again", archives.busybox()).ok()["images"]
    rootfs = ask(engine, "GET", "/api/v1/image-rootfs?image=again")
    assert rootfs.status == 200 and len(rootfs.body) > 500000
    engine.api.remove_image("again").ok()


def test_a_stream_of_a_command(engine, make):
    box = make()
    body = json.dumps({"command": "while read a; do echo got $a; done; head -c 200000 /dev/zero"}).encode()
    with connect(engine) as sock:
        sock.sendall((f"POST /api/v1/sandbox/{box}/exec HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
                      "Connection: Upgrade\r\nUpgrade: caisson-exec/1\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n").encode() + body)
        buffer = b""
        while b"\r\n\r\n" not in buffer:
            buffer += sock.recv(65536)
        head, buffer = buffer.split(b"\r\n\r\n", 1)
        assert b" 101 " in head
        out, end = b"", None
        for word in (b"one\n", b"two\n"):
            sock.sendall(struct.pack("<BI", harness.STDIN, len(word)) + word)
            while b"got " + word not in out:
                assert (data := sock.recv(65536))
                buffer += data
                out, buffer, end = frames(out, buffer)
        sock.sendall(struct.pack("<BI", harness.STDIN, 0))
        while end is None:
            assert (data := sock.recv(65536))
            buffer += data
            out, buffer, end = frames(out, buffer)
        assert len(out) == len("got one\ngot two\n") + 200000 and end["exit_code"] == 0
        assert sock.recv(1) == b""  # and then it ends


def frames(out, buffer):
    end = None
    while len(buffer) >= 5:
        channel, size = struct.unpack_from("<BI", buffer)
        if len(buffer) < 5 + size:
            break
        data, buffer = buffer[5:5 + size], buffer[5 + size:]
        if channel == harness.STDOUT:
            out += data
        elif channel in (harness.EXITED, harness.FAILED):
            end = json.loads(data)
    return out, buffer, end


def test_what_is_not_tls_or_too_old_gets_nothing(engine):
    with socket.create_connection(("127.0.0.1", engine.port), timeout=30) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP/1.1" not in sock.recv(4096)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        old.wrap_socket(socket.create_connection(("127.0.0.1", engine.port), timeout=30))
    assert ask(engine, "GET", "/healthz").status == 200


def caissond(*options):
    return subprocess.run([harness.program("caissond"), *options], capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("options, words", [
    (("--listen", "0.0.0.0:1"), ("--tls-cert", "--insecure")),
    (("--listen", "[::]:1"), ("--tls-cert",)),
    (("--tls-cert", "/a"), ("--tls-key", "missing")),
    (("--tls-key", "/a"), ("--tls-cert", "missing")),
])
def test_keys_do_not_go_in_the_clear_by_accident(options, words):
    run = caissond(*options)
    assert run.returncode != 0 and all(word in run.stderr for word in words), run.stderr


def test_a_key_that_everybody_can_read_is_refused(files, tmp_path):
    (tmp_path / "key.pem").write_bytes((files / "key.pem").read_bytes())
    os.chmod(tmp_path / "key.pem", 0o644)
    os.chmod(tmp_path, 0o755)
    run = caissond("--state", str(tmp_path / "s"), "--run", str(tmp_path / "r"), "--user",
                   harness.gateway_user(), "--libexec", harness.BUILD, "--tls-cert", str(files / "cert.pem"),
                   "--tls-key", str(tmp_path / "key.pem"))
    assert run.returncode != 0 and "open to everybody" in run.stderr
