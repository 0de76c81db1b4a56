# SPDX-License-Identifier: Apache-2.0
"""Exposed ports: HTTP and TCP from outside to a server in a sandbox, and back."""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
import urllib.parse

import pytest

import harness

BIG = 200 << 20
PIECE = b"0123456789abcdef" * 4096  # 64 KiB

SERVER = r'''
import base64, hashlib, http.server, os, socketserver, threading, time

PIECE = b"0123456789abcdef" * 4096
events = threading.Semaphore(0)

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        left, digest, size = int(self.headers.get("Content-Length", 0)), hashlib.sha256(), 0
        if self.headers.get("Transfer-Encoding") == "chunked":
            while True:
                n = int(self.rfile.readline(), 16)
                digest.update(self.rfile.read(n))
                size += n
                self.rfile.readline()
                if n == 0:
                    return size, digest.hexdigest()
        while left > 0:
            data = self.rfile.read(min(left, 1 << 20))
            if not data:
                break
            digest.update(data)
            left -= len(data)
            size += len(data)
        return size, digest.hexdigest()

    def say(self, text):
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        if self.path == "/early":
            self.send_response(413)
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.close_connection = True
            return
        self.say("%d %s" % self.body())

    do_PUT = do_POST

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "12345")
        self.end_headers()

    def do_GET(self):
        if self.path == "/heads":
            self.say("\n".join("%s: %s" % pair for pair in self.headers.items()))
        elif self.path.startswith("/big/"):
            n = int(self.path[5:])
            self.send_response(200)
            self.send_header("Content-Length", str(n * len(PIECE)))
            self.end_headers()
            for _ in range(n):
                self.wfile.write(PIECE)
        elif self.path == "/chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\nabc\r\n4;x\r\ndefg\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
        elif self.path == "/events":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for i in range(3):
                self.wfile.write(b"data: %d\n\n" % i)
                self.wfile.flush()
                events.acquire(timeout=20)
            self.close_connection = True
        elif self.path == "/next":
            events.release()
            self.say("")
        elif self.path == "/nothing":
            self.close_connection = True
        elif self.path == "/garbage":
            self.wfile.write(b"nonsense\r\n\r\n")
        elif self.path == "/twice":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx")
        elif self.path == "/cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly")
            self.close_connection = True
        elif self.path == "/ws":
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
            self.end_headers()
            self.frames()
        else:
            self.say("hello")

    def frames(self):
        while True:
            head = self.rfile.read(2)
            if len(head) < 2 or head[0] == 0x88:
                break
            mask = self.rfile.read(4)
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(head[1] & 127)))
            self.wfile.write(bytes([0x81, len(data)]) + data)
            self.wfile.flush()
        self.close_connection = True

class Echo(socketserver.BaseRequestHandler):
    """All that comes, back again; at its end its length, and our end."""
    def handle(self):
        n = 0
        while True:
            data = self.request.recv(1 << 16)
            if not data:
                break
            n += len(data)
            self.request.sendall(data)
        self.request.sendall(b"=%d" % n)

class First(socketserver.BaseRequestHandler):
    """Ends before the client, and hears it to its end all the same."""
    def handle(self):
        import socket
        self.request.sendall(b"hi")
        self.request.shutdown(socket.SHUT_WR)
        n = 0
        while data := self.request.recv(1 << 16):
            n += len(data)
        with open("/heard", "w") as file:
            file.write(str(n))

class Reset(socketserver.BaseRequestHandler):
    def handle(self):
        import socket, struct
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

class Threads(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 64

class Threads6(Threads):
    address_family = 10

for server in (http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler), Threads(("", 9000), Echo),
               Threads(("127.0.0.1", 5000), Reset), Threads(("127.0.0.1", 5001), First),
               Threads6(("::1", 6000), Echo)):
    threading.Thread(target=server.serve_forever).start()
open("/ready", "w").close()
'''


@pytest.fixture(scope="module")
def box(engine, python_image):
    """A sandbox with the servers above; it has no network."""
    api = engine.api
    key = api.create(python_image, memory_gb=0.5, network_access=False).ok()["id"]
    api.raw("PUT", f"/api/v1/sandbox/{key}/files?path=/server.py", SERVER.encode()).ok()
    api.exec(key, "nohup python3 /server.py >/log 2>&1 &")
    harness.wait_until(lambda: api.exec(key, "test -e /ready").code == 0, 30,
                       lambda: "the servers: " + api.exec(key, "cat /log").stdout, every=0.2)
    yield key
    api.delete(key)


def expose(api, key, port, protocol="HTTP", **fields):
    return api.request("POST", f"/api/v1/sandbox/{key}/expose", {"port": port, "protocol": protocol, **fields})


def unexpose(api, key, exposure):
    return api.request("DELETE", f"/api/v1/sandbox/{key}/expose/{exposure}")


def exposures(api, key=None):
    return api.request("GET", f"/api/v1/sandbox/{key}/expose" if key else "/api/v1/sandbox/expose/all").ok()["exposures"]


@pytest.fixture
def exposed(api, box):
    """Exposes ports of the box for one test; the answer's object."""
    made = []

    def make(port, protocol="HTTP", **fields):
        made.append(expose(api, box, port, protocol, **fields).ok())
        return made[-1]

    yield make
    for one in made:
        assert unexpose(api, box, one["exposure_id"]).status in (200, 404)


def address(exposure):
    """(host, port) of where it is served."""
    at = urllib.parse.urlsplit(exposure["url"])
    return at.hostname, at.port


def connect(exposure):
    return socket.create_connection(address(exposure), timeout=30)


def get(exposure, path="/", method="GET", body=None, headers=None):
    """(status, headers, body) of one request on a connection of its own."""
    connection = http.client.HTTPConnection(*address(exposure), timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def talk(exposure, data, shut=False):
    """Sends bytes and returns all that comes up to the end."""
    with connect(exposure) as sock:
        sock.sendall(data)
        if shut:
            sock.shutdown(socket.SHUT_WR)
        return receive(sock)


def receive(sock):
    came = []
    with contextlib.suppress(ConnectionResetError):
        while not came or came[-1]:
            came.append(sock.recv(1 << 20))
    return b"".join(came)


def is_cut(exposure):
    """The connection ends at once without a byte."""
    try:
        with connect(exposure) as sock:
            return receive(sock) == b""
    except ConnectionResetError:
        return True


def is_refused(exposure):
    with socket.socket() as sock:
        return sock.connect_ex(address(exposure)) != 0


# ---- the API ---------------------------------------------------------------------------------------

@pytest.mark.smoke
def test_an_exposure_from_its_making_to_its_end(api, box):
    one = expose(api, box, 8000, name="web").ok()
    assert {**one, "exposure_id": 0, "url": 0, "created_at": 0} == {
        "exposure_id": 0, "sandbox_id": box, "port": 8000, "name": "web", "url": 0, "tls_socket": "", "protocol": "HTTP",
        "external_port": None, "external_endpoint": None, "created_at": 0}
    assert address(one)[0] == "127.0.0.1" and 20000 <= address(one)[1] <= 29999
    assert get(one)[2] == b"hello"
    two = expose(api, box, 9000, "TCP").ok()
    assert two["external_endpoint"] == f"127.0.0.1:{two['external_port']}" and two["name"] is None
    assert talk(two, b"abc", shut=True) == b"abc=3"
    assert exposures(api, box) == [one, two] and [e for e in exposures(api) if e["sandbox_id"] == box] == [one, two]
    assert expose(api, box, 8000).status == 409
    assert unexpose(api, box, one["exposure_id"]).json == {}
    assert is_refused(one) and exposures(api, box) == [two]
    with connect(two) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        assert unexpose(api, box, two["exposure_id"]).status == 200
        assert receive(sock) == b"", "its connections ended with it"
    assert unexpose(api, box, two["exposure_id"]).status == 404 and exposures(api, box) == []


def test_what_cannot_be_exposed(api, box):
    for port in (21, 9001, 0, -1, 65536, 8080, 2222, 8081):
        answer = expose(api, box, port)
        assert answer.status == 400 and "8080" in answer.detail, answer
    for body in ({}, {"port": "8000"}, {"port": 8000, "protocol": "UDP"}, {"port": 80.5}, {"port": 80, "name": "x" * 300}):
        assert api.request("POST", f"/api/v1/sandbox/{box}/expose", body).status == 400, body
    made = [expose(api, box, 100 + i).ok() for i in range(16)]
    assert expose(api, box, 99).status == 409
    assert len({address(one) for one in made}) == 16
    for one in made:
        unexpose(api, box, one["exposure_id"]).ok()
    assert expose(api, "nobody", 8000).status == 404


def test_the_end_of_a_sandbox(api, make):
    key = make()
    one = expose(api, key, 8000).ok()
    api.delete(key)
    assert is_refused(one) and [e for e in exposures(api) if e["sandbox_id"] == key] == []
    answer = expose(api, key, 8000)
    assert answer.status == 409 and "ended" in answer.detail


# ---- HTTP ------------------------------------------------------------------------------------------

def test_heads_are_rewritten(exposed):
    one = exposed(8000)
    status, answer, body = get(one, "/heads", headers={
        "X-Forwarded-For": "6.6.6.6", "X_Forwarded_For": "6.6.6.6", "Forwarded": "for=6.6.6.6", "X-Mine": "1",
        "Connection": "keep-alive, X-Hop", "X-Hop": "1", "Keep-Alive": "300"})
    said = dict(line.split(": ", 1) for line in body.decode().splitlines())
    host = "%s:%d" % address(one)
    assert status == 200 and answer["Connection"] == "close"
    assert said == {"Host": host, "Accept-Encoding": "identity", "X-Mine": "1", "X-Forwarded-For": "127.0.0.1",
                    "X-Forwarded-Proto": "http", "X-Forwarded-Host": host, "Connection": "close"}


def test_bodies_of_every_kind(exposed):
    one = exposed(8000)
    assert get(one, "/chunks")[2] == b"abcdefg", "and nothing of what came behind"
    head = get(one, "/", "HEAD")
    assert head[0] == 200 and head[1]["Content-Length"] == "12345" and head[2] == b""
    digest = hashlib.sha256(b"abc").hexdigest()
    assert get(one, "/", "POST", b"abc")[2].decode() == f"3 {digest}"
    assert get(one, "/", "POST", iter([b"a", b"bc"]))[2].decode() == f"3 {digest}"
    assert get(one, "/early", "POST", b"x" * (4 << 20))[0] == 413
    sent = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /next HTTP/1.1\r\nHost: a\r\n\r\n"
    assert talk(one, sent).count(b"HTTP/1.1 ") == 1, "one request for each connection"
    sent = b"GET / HTTP/1.0\r\n\r\n"
    assert talk(one, sent).endswith(b"hello")
    assert subprocess.run(["curl", "-sS", "--http1.1", "-H", "Expect: 100-continue", "--data-binary", "@-", one["url"]],
                          input=b"abc", capture_output=True, timeout=60, check=True).stdout.decode() == f"3 {digest}"


def test_large_bodies(exposed):
    one = exposed(8000)
    digest = hashlib.sha256()
    for _ in range(BIG // len(PIECE)):
        digest.update(PIECE)
    pieces = (PIECE for _ in range(BIG // len(PIECE)))
    said = get(one, "/", "PUT", pieces, {"Content-Length": str(BIG)})[2].decode()
    assert said == f"{BIG} {digest.hexdigest()}"
    connection = http.client.HTTPConnection(*address(one), timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", f"/big/{BIG // len(PIECE)}")
        answer, came = connection.getresponse(), hashlib.sha256()
        while data := answer.read(1 << 20):
            came.update(data)
    assert came.hexdigest() == digest.hexdigest()


def test_a_stream_of_events(exposed):
    one = exposed(8000)
    with connect(one) as sock:
        sock.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        came = b""
        for i in range(3):
            while b"data: %d\n\n" % i not in came:
                data = sock.recv(4096)
                assert data, came
                came += data
            assert b"data: %d" % (i + 1) not in came
            get(one, "/next")
        assert receive(sock) == b""


def test_a_websocket(exposed):
    with connect(exposed(8000)) as sock:
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(f"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(4096)
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        assert b" 101 " in head and accept in head and b"Upgrade: websocket" in head, head
        for text in (b"one", b"two"):
            sock.sendall(bytes([0x81, 0x80 | len(text)]) + b"\0\0\0\0" + text)
            assert sock.recv(len(text) + 2, socket.MSG_WAITALL) == bytes([0x81, len(text)]) + text
        sock.sendall(b"\x88\x80\0\0\0\0")
        assert sock.recv(1) == b""


def test_what_goes_wrong_inside(api, exposed):
    one, dead = exposed(8000), exposed(7777)
    status, answer, body = get(dead)
    said = json.loads(body)
    assert status == 502 and answer["Content-Type"] == "application/json" and answer["Connection"] == "close"
    assert "nothing listens on port 7777" in said["detail"] and said["code"] == "unavailable"
    assert get(dead, "/", "POST", b"x" * (8 << 20))[0] == 502
    for path, why in (("/nothing", "without an answer"), ("/garbage", "wrongly"), ("/twice", "wrongly")):
        status, _, body = get(one, path)
        assert status == 502 and why in json.loads(body)["detail"], (path, body)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        get(one, "/cut")


HEADS = [
    (b"GET / HTTP/1.1\r\n\r\n", 400), (b"nonsense\r\n\r\n", 400), (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
    (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"x" * (1 << 17) + b"\r\n\r\n", 431),
]


@pytest.mark.parametrize("head,status", HEADS, ids=range(len(HEADS)))
def test_hostile_heads(exposed, head, status):
    answer = talk(exposed(8000), head)
    assert answer.startswith(b"HTTP/1.1 %d " % status) and b'"detail"' in answer, answer[:200]


# ---- TCP -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("port", [9000, 6000])
def test_tcp(exposed, port):
    one = exposed(port, "TCP")
    with connect(one) as sock:
        for text in (b"a", b"bc" * 1000):
            sock.sendall(text)
            assert sock.recv(len(text), socket.MSG_WAITALL) == text
        sock.shutdown(socket.SHUT_WR)
        assert receive(sock) == b"=2001", "one half was closed, the other goes on"


def test_tcp_that_the_server_ends_first(api, box, exposed):
    with connect(exposed(5001, "TCP")) as sock:
        assert receive(sock) == b"hi"
        for _ in range(20):
            sock.sendall(PIECE)
        sock.shutdown(socket.SHUT_WR)
        harness.wait_until(lambda: api.exec(box, "cat /heard").stdout == str(20 * len(PIECE)), 20, "the server to hear all")


def test_tcp_that_nobody_takes(exposed):
    for port in (7777, 5000):
        assert is_cut(exposed(port, "TCP"))


def rss_kib(pid):
    return int(harness.status_of(pid)["VmRSS"].split()[0])


def test_a_slow_client_costs_little(engine, exposed):
    one, before = exposed(8000), rss_kib(engine.gateway)
    socks = [connect(one) for _ in range(20)]
    for sock in socks:
        sock.sendall(b"GET /big/512 HTTP/1.1\r\nHost: a\r\n\r\n")
    time.sleep(1)
    assert rss_kib(engine.gateway) - before < 20 * 300, "what is not taken waits inside"
    assert get(one)[2] == b"hello"
    for sock in socks:
        assert len(receive(sock)) > 512 * len(PIECE)
        sock.close()


def test_more_connections_than_there_may_be(exposed):
    one, web = exposed(9000, "TCP"), exposed(8000)
    with contextlib.ExitStack() as all_of_them:
        socks = [all_of_them.enter_context(connect(one)) for _ in range(64)]
        for sock in socks:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
        assert is_cut(one)
        assert get(web)[0] == 503
    harness.wait_until(lambda: get(web)[0] == 200, 10, "room for another")


# ---- pauses and ends -------------------------------------------------------------------------------

def test_a_paused_sandbox(api, box, exposed):
    web, tcp = exposed(8000), exposed(9000, "TCP")
    with connect(tcp) as sock:
        sock.sendall(b"a")
        assert sock.recv(1) == b"a"
        api.request("POST", f"/api/v1/sandbox/{box}/pause").ok()
        sock.sendall(b"x")
        status, _, body = get(web)
        assert status == 409 and "PAUSED" in json.loads(body)["detail"]
        assert is_cut(tcp)
        api.request("POST", f"/api/v1/sandbox/{box}/resume").ok()
        assert sock.recv(1) == b"x"
    assert get(web)[0] == 200


def test_the_gateway_dies(engine, api, box, exposed):
    web, tcp = exposed(8000, name="web"), exposed(9000, "TCP")
    before = exposures(api, box)
    with connect(tcp) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        os.kill(engine.gateway, signal.SIGKILL)
        assert receive(sock) == b""
    harness.wait_until(api.healthy, 20, "the next gateway")
    harness.wait_until(lambda: not is_refused(web) and not is_refused(tcp), 20, "the ports")
    assert exposures(api, box) == before
    assert get(web)[2] == b"hello" and talk(tcp, b"abc", shut=True) == b"abc=3"


def test_both_die_and_an_ended_sandbox_comes_not_back(fresh_engine):
    api = fresh_engine.api
    keys = [api.create().ok()["id"] for _ in range(2)]
    made = [expose(api, key, 8000, name="n").ok() for key in keys]
    fresh_engine.kill()
    fresh_engine.start()
    harness.wait_until(lambda: not is_refused(made[0]), 20, "the port")
    assert exposures(api) == made
    api.delete(keys[0])
    os.kill(fresh_engine.gateway, signal.SIGKILL)
    harness.wait_until(api.healthy, 20, "the next gateway")
    harness.wait_until(lambda: not is_refused(made[1]), 20, "the port")
    assert exposures(api) == made[1:] and is_refused(made[0])
