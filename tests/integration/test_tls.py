# SPDX-License-Identifier: Apache-2.0
"""HTTPS by certificate files: requests, long answers, bodies, streams of commands, refusals."""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import threading

import pytest

import archives
import harness

KEY = "k" * 32


def make_certificate(top, names):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", f"subjectAltName={names}",
                    "-keyout", top / "key.pem", "-out", top / "cert.pem"], check=True, capture_output=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A certificate for localhost, its key, and an admin key."""
    top = tmp_path_factory.mktemp("tls")
    make_certificate(top, "DNS:localhost,IP:127.0.0.1")
    (top / "admin").write_text(KEY)
    for name in ("key.pem", "admin"):
        (top / name).chmod(0o600)
    return top


@pytest.fixture(scope="module")
def engine(files):
    port = harness.free_port()
    for engine in harness.run_engine(
            "--listen", f"127.0.0.1:{port}", "--admin-key-file", str(files / "admin"), "--tls-cert",
            str(files / "cert.pem"), "--tls-key", str(files / "key.pem"),
            prepare=lambda engine: engine.api.import_image("busybox", archives.busybox()).ok()):
        engine.port, engine.cert = port, files / "cert.pem"
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


class Half:
    """A client that can end its half of TLS, and listen on."""

    def __init__(self, engine):
        self.sock = socket.create_connection(("127.0.0.1", engine.port), timeout=30)
        self.come, self.go = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = engine.trust.wrap_bio(self.come, self.go, server_hostname="localhost")
        self.do(self.tls.do_handshake)

    def do(self, step):
        """Until it needs nothing more from the other side; None at the end of all."""
        while True:
            try:
                result = step()
                self.sock.sendall(self.go.read())
                return result
            except ssl.SSLWantReadError:
                self.sock.sendall(self.go.read())
                data = self.sock.recv(65536)
                if not data:
                    return None
                self.come.write(data)

    def send(self, data, end):
        self.do(lambda: self.tls.write(data))
        if end:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.unwrap()
            self.sock.sendall(self.go.read())

    def rest(self):
        data = b""
        while True:
            try:
                piece = self.do(lambda: self.tls.read(65536))
            except (ssl.SSLZeroReturnError, ssl.SSLSyscallError, ssl.SSLEOFError):
                return data
            if not piece:
                return data
            data += piece


def test_who_ends_its_half_gets_the_answer(engine, make):
    box = make()
    body = json.dumps({"command": "sleep 0.5; echo late"}).encode()
    long = (f"POST /api/v1/sandbox/{box}/exec HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body
    for data, told in ((b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b'{"status":"ok"}'), (b"x", b'"invalid"'),
                       (long, b'"stdout":"late\\n"'), (long[:-1], b'"invalid"')):
        for _ in range(20 if len(data) < 100 else 3):
            client = Half(engine)
            client.send(data, True)
            said = client.rest()
            assert told in said.replace(b": ", b":"), (data, said)
            client.sock.close()
    client = Half(engine)  # that has only looked whether somebody listens
    client.send(b"", True)
    assert client.rest() == b""
    client.sock.close()


def test_who_says_bye_and_leaves_ends_the_command(engine, api, make):
    box = make()
    body = json.dumps({"command": "sleep 12345"}).encode()
    client = Half(engine)
    client.send((f"POST /api/v1/sandbox/{box}/exec HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
                 f"Content-Length: {len(body)}\r\n\r\n").encode() + body, False)
    running = lambda: "sleep 12345" in api.exec(box, "ps -o args").stdout
    harness.wait_until(running, 10, "the command")
    client.come.write(client.sock.recv(65536))  # with a session's ticket unread, it would be reset at once
    with contextlib.suppress(ssl.SSLWantReadError):
        client.tls.unwrap()
    client.sock.sendall(client.go.read())
    client.sock.close()
    harness.wait_until(lambda: not running(), 10, "its end")


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


def test_an_answer_that_does_not_wait_for_the_body_arrives(engine):
    """Also when the connection ends with it, in the middle of what the client sends."""
    with connect(engine) as sock:
        sock.sendall(b"POST /api/v1/sandbox HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n"
                     b"Content-Length: 1000000000\r\n\r\n" + b"x" * 300000)
        assert b" 401 " in sock.recv(65536)


@pytest.mark.parametrize("data, status", [
    (b"SSH-2.0-x\r\n", 400), (b"GET / FTP/1.1\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: a\r\n\r\n", 400),
    (b"GET /" + b"x" * 300000, 414), (b"GET / HTTP/1.1\r\nX: " + b"x" * 300000, 431)])
def test_what_is_no_request_is_told_so(engine, data, status):
    with connect(engine) as sock:
        sock.sendall(data)
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        assert answer.status == status and json.loads(answer.read())["detail"]
        assert sock.recv(1) == b""


# ---- the command line ----------------------------------------------------------------------------

def caisson(port, *arguments, host="localhost", cacert="", data=b""):
    return subprocess.run([harness.program("caisson"), *arguments], input=data, capture_output=True, timeout=60,
                          env={"PATH": os.environ["PATH"], "CAISSON_URL": f"https://{host}:{port}",
                               "CAISSON_API_KEY": KEY, "CAISSON_CACERT": str(cacert)})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_command_line_speaks_it(engine, make, tmp_path, host):
    box, data = make(), os.urandom(3_000_000)
    (tmp_path / "up").write_bytes(data)
    run = caisson(engine.port, "run", box, "--", "sh", "-c", "cat; echo error >&2; exit 3", host=host, data=data,
                  cacert=engine.cert)
    assert (run.stdout, run.stderr, run.returncode) == (data, b"error\n", 3)
    for arguments in (("upload", box, tmp_path / "up", "/tmp/a"), ("download", box, "/tmp/a", tmp_path / "down")):
        run = caisson(engine.port, *arguments, "--cacert", engine.cert, host=host)
        assert run.returncode == 0, run.stderr
    assert (tmp_path / "down").read_bytes() == data
    assert caisson(engine.port, "get", "nothing", host=host, cacert=engine.cert).returncode == 5


def test_nobody_speaks_with_a_stranger(engine, tmp_path):
    """No trust, the trust of another, another's certificate: not even the key is shown."""
    make_certificate(tmp_path, "DNS:other.example")
    for cacert in ("", tmp_path / "cert.pem"):
        run = caisson(engine.port, "list", cacert=cacert)
        assert run.returncode == 4 and b"not trusted" in run.stderr, run
    assert b"cannot read certificates" in caisson(engine.port, "list", cacert="/nowhere").stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    heard = []

    def listen():
        with contextlib.suppress(OSError), context.wrap_socket(listener.accept()[0], server_side=True) as sock:
            heard.append(sock.recv(1))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=listen)
        thread.start()
        run = caisson(listener.getsockname()[1], "list", cacert=tmp_path / "cert.pem")
        thread.join(30)
    assert run.returncode == 4 and b"mismatch" in run.stderr, run
    assert heard in ([], [b""])


def test_what_is_not_tls_or_too_old_gets_nothing(engine):
    with socket.create_connection(("127.0.0.1", engine.port), timeout=30) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        said = b""
        with contextlib.suppress(ConnectionResetError):
            said = sock.recv(4096)
        assert b"HTTP/1.1" not in said
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


# ---- renewal; the last one, as it changes the certificate ----------------------------------------

def shown(engine):
    """The certificate that new connections get."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", engine.port), timeout=30) as plain:
        with context.wrap_socket(plain) as sock:
            return sock.getpeercert(True)


def test_a_new_certificate_cuts_nobody_off(engine, files, tmp_path, make):
    box = make()
    first = shown(engine)
    kept = http.client.HTTPSConnection("localhost", engine.port, context=engine.trust, timeout=30)

    def healthy():
        kept.request("GET", "/healthz")
        return kept.getresponse().read() == b'{"status":"ok"}'

    assert healthy()
    with subprocess.Popen([harness.program("caisson"), "run", box, "--", "cat"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, env={"CAISSON_URL": f"https://localhost:{engine.port}",
                                                       "CAISSON_API_KEY": KEY, "CAISSON_CACERT": engine.cert}) as cat:
        cat.stdin.write(b"before\n")
        cat.stdin.flush()
        assert cat.stdout.readline() == b"before\n"
        make_certificate(files, "DNS:localhost,IP:127.0.0.1")
        os.kill(engine.pid, signal.SIGHUP)
        second = harness.wait_until(lambda: (now := shown(engine)) != first and now, 20)
        assert second == ssl.PEM_cert_to_DER_cert((files / "cert.pem").read_text())
        assert healthy()
        out, _ = cat.communicate(b"after\n", timeout=30)
        assert out == b"after\n" and cat.returncode == 0
    engine.trust = ssl.create_default_context(cafile=files / "cert.pem")
    make_certificate(tmp_path, "DNS:localhost")
    (files / "key.pem").write_bytes((tmp_path / "key.pem").read_bytes())
    os.kill(engine.pid, signal.SIGHUP)
    harness.wait_until(lambda: "the certificate stays as it was" in engine.log(), 20)
    assert shown(engine) == second and ask(engine, "GET", "/healthz").status == 200
