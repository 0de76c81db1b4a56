# SPDX-License-Identifier: Apache-2.0
"""A small HTTP server on loopback that does exactly what a test says, and remembers what it was asked.

One `answer(exchange)` decides everything: a token service, a proxy with faults and a registry of nonsense are
each one such function. TLS where a certificate is given.
"""

import contextlib
import http.server
import json
import os
import socket
import ssl
import struct
import threading
import time
import urllib.parse

PIECE = 64 << 10


class Cut(Exception):
    """Raised in an answer: the connection is reset in the middle of whatever was being said."""


class Exchange(http.server.BaseHTTPRequestHandler):
    """One request and what was answered; `sent` counts the bytes of the body."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True

    def do(self):
        url = urllib.parse.urlsplit(self.path)
        self.query = {key: " ".join(values) for key, values in urllib.parse.parse_qs(url.query).items()}
        record = Record(self.command, url.path, self.query, dict(self.headers))
        self.record = record
        self.server.owner.records.append(record)
        try:
            self.server.owner.answer(self)
        except Cut:
            self.reset()
        finally:
            record.end = time.monotonic()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do

    @property
    def address(self):
        """host:port as the client called us."""
        return self.headers.get("Host", self.server.owner.address)

    def pieces(self):
        """The request's body as it comes, whether its length was told or not."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                piece = self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return
                yield piece
        left = int(self.headers.get("Content-Length") or 0)
        while left > 0:
            piece = self.rfile.read(min(left, PIECE))
            if not piece:
                raise Cut
            left -= len(piece)
            yield piece

    def head(self, status, headers):
        """The head of an answer; headers is a dict or a list of pairs."""
        self.record.status = status
        self.send_response_only(status)
        for key, value in headers.items() if isinstance(headers, dict) else headers:
            self.send_header(key, value)
        self.end_headers()

    def write(self, data):
        self.wfile.write(data)
        self.record.sent += len(data)

    def reply(self, status, body=b"", headers=()):
        """A whole answer; a body that is not bytes goes as JSON."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        for _ in self.pieces():
            pass
        headers = dict(headers)
        headers.setdefault("Content-Length", str(len(body)))
        self.head(status, headers)
        if self.command != "HEAD":
            self.write(body)

    def reset(self):
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())  # close() would wait for rfile and wfile

    def log_message(self, *_):
        pass


class Record:
    """What remains of an exchange."""

    def __init__(self, method, path, query, headers):
        self.method, self.path, self.query, self.headers = method, path, query, headers
        self.status, self.sent, self.begin, self.end = None, 0, time.monotonic(), None

    @property
    def authorization(self):
        return next((v for k, v in self.headers.items() if k.lower() == "authorization"), None)

    @property
    def range(self):
        return next((v for k, v in self.headers.items() if k.lower() == "range"), None)

    def __repr__(self):
        return f"<{self.method} {self.path} {self.range or ''} -> {self.status}, {self.sent} bytes>"


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, owner, address):
        self.owner, self.connections = owner, set()
        super().__init__(address, Exchange)

    def get_request(self):
        sock, peer = super().get_request()
        if self.owner.tls is not None:  # the handshake is the thread's, not the listener's
            sock = self.owner.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self.connections.add(sock)
        return sock, peer

    def shutdown_request(self, request):
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        """A client that goes away is what tests are about; anything else is ours to know."""
        import sys
        kind, error, _ = sys.exc_info()
        if not issubclass(kind, (OSError, ValueError)):
            self.owner.errors.append(error)


class Server:
    """Listens from birth until close()."""

    def __init__(self, answer=None, certificate=None, host="127.0.0.1"):
        self.records, self.errors, self.host, self.port, self.tls = [], [], host, 0, None
        if answer is not None:
            self.answer = answer
        if certificate is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate.chain, certificate.key)
        self.listener = None
        self.open()

    def open(self):
        """Listens (again), always on the same port."""
        assert self.listener is None
        self.listener = Listener(self, (self.host, self.port))
        self.port = self.listener.server_address[1]
        self.thread = threading.Thread(target=self.listener.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self):
        """Refuses connections and resets those that are open."""
        if self.listener is None:
            return
        self.listener.shutdown()
        self.listener.server_close()
        for sock in list(self.listener.connections):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener = None

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://{self.address}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        assert not self.errors, self.errors
