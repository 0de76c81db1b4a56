# SPDX-License-Identifier: Apache-2.0
"""Connect and protobuf as bytes, by hand: what the newest Prime clients send, and worse."""

import http.client
import json
import socket
import struct

PACKED, LAST = 1, 2


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value)


def data(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def read_varint(buffer, at):
    value = shift = 0
    while True:
        byte = buffer[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(message):
    """[(field, value)...]: numbers and bytes."""
    at, found = 0, []
    while at < len(message):
        key, at = read_varint(message, at)
        value, at = read_varint(message, at)
        if key & 7 == 2:
            at, value = at + value, message[at:at + value]
            assert len(value) == at - (at - len(value))
        else:
            assert key & 7 == 0, message
        found.append((key >> 3, value))
    return found


def envelope(message, flags=0):
    return struct.pack(">BI", flags, len(message)) + message


# ---- requests --------------------------------------------------------------------------------------

def start(cmd="/bin/bash", args=(), envs=None, cwd=None, user=None, stdin=False, uuid=None, pty=None):
    spec = data(1, cmd) + b"".join(data(2, word) for word in args)
    for key, value in (envs or {}).items():
        spec += data(3, data(1, key) + data(2, value))
    spec += b"" if cwd is None else data(4, cwd)
    spec += b"" if user is None else data(5, user)
    body = data(1, spec)
    if pty is not None:
        body += data(2, data(1, number(1, pty[0]) + number(2, pty[1])))
    body += b"" if stdin is None else number(4, int(stdin))
    return body + (b"" if uuid is None else data(5, uuid))


def shell(text, **more):
    return start("/bin/bash", ["-c", text], **more)


def selector(who):
    return data(1, number(1, who) if isinstance(who, int) else data(3, who))


def send_input(who, what, uuid=None, pty=False):
    return selector(who) + data(2, data(2 if pty else 1, what)) + (b"" if uuid is None else data(3, uuid))


def send_signal(who, signo, uuid=None):
    return selector(who) + number(2, signo) + (b"" if uuid is None else data(3, uuid))


# ---- answers ---------------------------------------------------------------------------------------

KINDS = {1: "stdout", 2: "stderr", 3: "pty"}


def event(message):
    """(kind, value) of one StartResponse."""
    (one, inner), = fields(message)
    assert one == 1
    (kind, value), = fields(inner)
    if kind == 1:
        return "start", dict(fields(value)).get(1, 0)
    if kind == 2:
        (stream, text), = fields(value)
        return KINDS[stream], text
    if kind == 3:
        end = dict(fields(value))
        code = end.get(1, 0)
        return "end", (code >> 1) ^ -(code & 1)
    assert kind == 4 and value == b""
    return "keepalive", None


class Stream:
    """The answer to Start or Connect, event by event."""

    def __init__(self, port, path, token, body, timeout_ms=None, headers=None, seconds=60):
        self.socket = socket.create_connection(("127.0.0.1", port), seconds)
        lines = {"Host": "localhost", "Authorization": f"Bearer {token}",
                 "Content-Type": "application/connect+proto", "Connect-Protocol-Version": "1",
                 "Connect-Content-Encoding": "identity", "Transfer-Encoding": "chunked",
                 **({} if timeout_ms is None else {"Connect-Timeout-Ms": str(timeout_ms)}),
                 **(headers or {})}
        head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        self.socket.sendall(head.encode() + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
        self.response = http.client.HTTPResponse(self.socket, method="POST")
        self.response.begin()
        self.status, self.headers = self.response.status, self.response.headers
        self.buffer, self.pid, self.code, self.end = b"", None, None, None
        self.out, self.err = bytearray(), bytearray()

    def take(self, size):
        while len(self.buffer) < size:
            more = self.response.read1(65536)
            if not more:
                raise EOFError(f"cut after {self.buffer!r}")
            self.buffer += more
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def next(self):
        """The next event, or ("last", its JSON)."""
        flags, size = struct.unpack(">BI", self.take(5))
        message = self.take(size)
        if flags & LAST:
            assert flags == LAST
            self.end = json.loads(message)
            return "last", self.end
        assert flags == 0
        kind, value = event(message)
        if kind == "start":
            self.pid = value
        elif kind == "end":
            self.code = value
        elif kind == "stderr":
            self.err += value
        elif value is not None:
            self.out += value
        return kind, value

    def started(self):
        while self.pid is None:
            assert self.next()[0] != "last", self.end
        return self.pid

    def until(self, what):
        while what not in self.out:
            assert self.next()[0] != "last", (self.out, self.end)
        return self

    def wait(self):
        """All of it; the error's code or None."""
        while self.end is None:
            self.next()
        return self.error

    @property
    def error(self):
        return (self.end or {}).get("error", {}).get("code")

    def close(self):
        self.response.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
