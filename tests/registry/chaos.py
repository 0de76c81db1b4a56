# SPDX-License-Identifier: Apache-2.0
"""A proxy in front of a registry that fails as a script says, and counts what went through it.

    proxy = Proxy(registry)
    proxy.fault(cut(after=1 << 20), blobs=digest, times=1)
    ...
    assert proxy.served(digest) < ...

A fault sees an exchange and the registry's answer to it, and passes on what it likes.
"""

import contextlib
import http.client
import re
import threading
import time

from web import PIECE, Cut, Server

HOP_BY_HOP = ("connection", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade")


class Answer:
    """The registry's answer: status, headers (a list of pairs), an iterator of bytes, their number."""

    def __init__(self, status, headers, pieces, size):
        self.status, self.headers, self.pieces, self.size = status, headers, pieces, size

    def header(self, name, value):
        self.headers = [(k, v) for k, v in self.headers if k.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))


# ---- faults: each a function of the answer, or one that answers instead ---------------------------------

def status(code, body=None, **headers):
    """An error of its own; header names are written with "_" for "-"."""
    def instead(exchange):
        exchange.reply(code, body if body is not None else
                       {"errors": [{"code": "UNKNOWN", "message": f"the test says {code}"}]},
                       {key.replace("_", "-"): str(value) for key, value in headers.items()})
    instead.instead = True
    return instead


def redirect(to, code=307):
    """To a URL; "{path}" in it is the path that was asked for."""
    def instead(exchange):
        exchange.reply(code, b"", {"Location": to.format(path=exchange.record.path)})
    instead.instead = True
    return instead


def cut(after=0):
    """The connection is reset after so many bytes of the body."""
    def change(answer):
        def pieces(source=answer.pieces):
            left = after
            for piece in source:
                if left - len(piece) <= 0:
                    yield piece[:left]
                    time.sleep(0.05)  # what was written shall arrive before the reset does
                    raise Cut
                left -= len(piece)
                yield piece
        answer.pieces = pieces()
    return change


def flip(at=-1):
    """One byte of the body is another; the length is right."""
    def change(answer):
        data = bytearray(b"".join(answer.pieces))
        data[at] ^= 0x55
        answer.pieces = iter([bytes(data)])
    return change


def shorter(by=1):
    """The body ends early, and its length is told so: an honest answer of something else."""
    def change(answer):
        data = b"".join(answer.pieces)[:-by]
        answer.pieces, answer.size = iter([data]), len(data)
    return change


def longer(by=1):
    def change(answer):
        data = b"".join(answer.pieces) + b"x" * by
        answer.pieces, answer.size = iter([data]), len(data)
    return change


def slow(bytes_per_second, piece=16 << 10):
    def change(answer):
        def pieces(source=answer.pieces):
            for data in source:
                for at in range(0, len(data), piece):
                    time.sleep(len(data[at:at + piece]) / bytes_per_second)
                    yield data[at:at + piece]
        answer.pieces = pieces()
    return change


def stall(after, until):
    """Nothing more after so many bytes, until the event `until` is set."""
    def change(answer):
        def pieces(source=answer.pieces):
            left = after
            for piece in source:
                if left is not None and left - len(piece) <= 0:
                    yield piece[:left]
                    until.wait(120)
                    piece, left = piece[left:], None
                elif left is not None:
                    left -= len(piece)
                yield piece
        answer.pieces = pieces()
    return change


def call(function, after=0):
    """function() once so many bytes have gone through."""
    def change(answer):
        def pieces(source=answer.pieces):
            left, called = after, False
            for piece in source:
                yield piece
                left -= len(piece)
                if left <= 0 and not called:
                    called = True
                    function()
        answer.pieces = pieces()
    return change


def with_headers(**more):
    """Other headers; None takes one away."""
    def change(answer):
        for key, value in more.items():
            answer.header(key.replace("_", "-"), value)
    return change


class Fault:
    def __init__(self, act, method, path, times, skip):
        self.act, self.method, self.path, self.times, self.skip = act, method, re.compile(path), times, skip
        self.hits = 0

    def takes(self, record):
        """Whether it is this one's turn; counts it."""
        if record.method not in self.method or not self.path.search(record.path):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        self.hits += 1
        return True


class Proxy(Server):
    """Stands in for `registry` (anything with connection()) at its own address."""

    def __init__(self, registry, certificate=None, host="127.0.0.1"):
        self.registry, self.faults, self.lock = registry, [], threading.Lock()
        super().__init__(certificate=certificate, host=host)

    def fault(self, act, path="", method=("GET",), blobs=None, manifests=False, times=None, skip=0):
        """Applies `act` to the next `times` requests (None: all) that match, after `skip` of them. blobs: a
        digest, or True for any."""
        if blobs is not None:
            path = "/blobs/" + ("sha256:" if blobs is True else re.escape(blobs))
        if manifests:
            path = "/manifests/"
        fault = Fault(act, (method,) if isinstance(method, str) else method, path, times, skip)
        self.faults.append(fault)
        return fault

    def heal(self):
        self.faults.clear()

    def forget(self):
        """Counts from here."""
        self.records.clear()

    def requests(self, path="", method="GET"):
        return [record for record in self.records if record.method == method and re.search(path, record.path)]

    def served(self, digest):
        """Bytes of a blob that went out, in all answers together."""
        return sum(record.sent for record in self.requests("/blobs/" + digest))

    def answer(self, exchange):
        with self.lock:
            turn = [fault for fault in self.faults if fault.takes(exchange.record)]
        for fault in turn:
            if getattr(fault.act, "instead", False):
                fault.act(exchange)
                return
        with contextlib.closing(self.registry.connection()) as connection:
            try:
                answer = self.ask(connection, exchange)
            except (OSError, http.client.HTTPException):
                raise Cut from None
            for fault in turn:
                fault.act(answer)
            self.relay(exchange, answer)

    def ask(self, connection, exchange):
        passed = {key: value for key, value in exchange.headers.items() if key.lower() not in HOP_BY_HOP}
        if self.tls is not None:
            passed["X-Forwarded-Proto"] = "https"
        body = None
        chunked = "chunked" in exchange.headers.get("Transfer-Encoding", "").lower()
        if chunked or int(exchange.headers.get("Content-Length") or 0) > 0:
            body = exchange.pieces()
            if exchange.headers.get("Expect", "").lower() == "100-continue":
                passed.pop("Expect", None)
        if chunked:
            passed["Transfer-Encoding"] = "chunked"
        connection.request(exchange.command, exchange.path, body, passed, encode_chunked=chunked)
        response = connection.getresponse()
        length = response.getheader("Content-Length")
        if exchange.command == "HEAD" or response.status in (204, 304):
            pieces, size = iter(()), length
        elif length is None:
            data = response.read()
            pieces, size = iter([data]), len(data)
        else:
            pieces, size = self.pieces_of(response, int(length)), int(length)
        answer = Answer(response.status, [(key, value) for key, value in response.getheaders()
                                          if key.lower() not in (*HOP_BY_HOP, "content-length")], pieces, size)
        return answer

    @staticmethod
    def pieces_of(response, left):
        """The registry's bytes; that it died shows as it would without us."""
        while left > 0:
            try:
                piece = response.read(min(left, PIECE))
            except (OSError, http.client.HTTPException):
                raise Cut from None
            if not piece:
                raise Cut
            left -= len(piece)
            yield piece

    @staticmethod
    def relay(exchange, answer):
        if answer.size is not None:
            answer.header("Content-Length", str(answer.size))
        exchange.head(answer.status, answer.headers)
        for piece in answer.pieces:
            exchange.write(piece)


class Store(Server):
    """Another host that redirects lead to: the blobs of a registry, without asking who wants them."""

    def __init__(self, registry, certificate=None, host="127.0.0.2"):
        self.registry = registry
        super().__init__(certificate=certificate, host=host)

    def answer(self, exchange):
        found = re.search(r"sha256:[0-9a-f]{64}", exchange.record.path)
        try:
            with open(self.registry.blob(found.group()), "rb") as file:
                data = file.read()
        except (OSError, AttributeError):
            exchange.reply(404, b"no such object")
            return
        begin = re.fullmatch(r"bytes=(\d+)-", exchange.record.range or "")
        if begin is None:
            exchange.reply(200, data, {"Content-Type": "application/octet-stream"})
            return
        at = int(begin.group(1))
        exchange.reply(206, data[at:], {"Content-Range": f"bytes {at}-{len(data) - 1}/{len(data)}"})
