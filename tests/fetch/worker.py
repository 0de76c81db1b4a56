# SPDX-License-Identifier: Apache-2.0
"""Speaks src/proto/fetch_msgs.h to a caisson-fetch of its own, as the gateway does."""

import hashlib
import os
import socket
import struct
import subprocess
import tempfile
import time

WORKER = os.path.join(os.environ["CAISSON_BUILD"], "caisson-fetch")
PLAIN, MIRROR = 1, 2
ENDPOINT, LOGIN, MANIFEST, BLOB, PUT_BLOB, PUT_MANIFEST, CANCEL = 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16
PROGRESS, GOT, FAILED = 0x20, 0x21, 0x22
HOW = ("moved", "existed", "mounted")
REASONS = ("other", "cancelled", "local", "unreachable", "certificate", "not_tls", "unauthorized", "not_found",
           "too_many", "server", "truncated", "digest", "protocol")
KINDS = ("internal", "invalid", "denied", "not_found", "conflict", "limit", "timeout", "unavailable")
SECONDS = 60


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return u32(len(value)) + value


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, n):
        part, self.data = self.data[:n], self.data[n:]
        assert len(part) == n
        return part

    def u32(self):
        return struct.unpack("<I", self.take(4))[0]

    def u64(self):
        return struct.unpack("<Q", self.take(8))[0]

    def bytes(self):
        return self.take(self.u32())

    def text(self):
        return self.bytes().decode()


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def raw(digest):
    return bytes.fromhex(digest.split(":")[1])


class Answer:
    """ok; of a success how, size, digest, media_type, claimed, endpoint; of a failure reason, status, kind,
    errnum, text. progress: what was told before, as pairs. file: what the request's file holds now."""

    def __init__(self, kind, body, progress):
        r = Reader(body)
        self.ok, self.progress = kind == GOT, progress
        if self.ok:
            self.how, self.size, self.digest = HOW[r.u32()], r.u64(), "sha256:" + r.bytes().hex()
            self.media_type, self.claimed, self.endpoint = r.text(), r.text(), r.text()
        else:
            self.reason, self.status, self.kind = REASONS[r.u32()], r.u32(), KINDS[r.u32()]
            self.errnum, self.text = r.u32(), r.text()
        assert not r.data

    def __repr__(self):
        return f"<{self.__dict__}>"


class Worker:
    def __init__(self):
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(SECONDS)
        self.number, self.progress, self.answers, self.files = 0, {}, {}, {}
        environment = {key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")}
        with theirs:
            self.process = subprocess.Popen([WORKER], stdin=theirs, stderr=subprocess.PIPE, env=environment)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
        try:
            self.status = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.stderr = self.process.communicate()[1].decode()
            for file in self.files.values():
                file.close()

    def send(self, kind, number, body=b"", fds=()):
        packet = struct.pack("<HHII", 1, kind, number, len(body)) + body
        socket.send_fds(self.sock, [packet], list(fds))

    def endpoint(self, host, flags=0, prefix="", ca=b"", user="", password="", identity="", token=""):
        self.send(ENDPOINT, 0, text(host) + text(prefix) + u32(flags) + text(ca) + text(user) + text(password) +
                  text(identity) + text(token))
        return self

    def ask(self, kind, body, *fds):
        self.number += 1
        self.send(kind, self.number, body, fds)
        return self.number

    def start_blob(self, repository, digest, size, have=b"", pipe=None, file=None):
        file = file or tempfile.TemporaryFile()
        file.write(have)
        file.flush()
        number = self.ask(BLOB, text(repository) + text(raw(digest)) + u64(size) + u64(len(have)), file.fileno(),
                          *([pipe] if pipe is not None else []))
        self.files[number] = file
        return number

    def wait(self, number):
        """The answer to a request."""
        end = time.monotonic() + SECONDS
        while number not in self.answers:
            assert time.monotonic() < end
            packet, fds, _, _ = socket.recv_fds(self.sock, 200000, 1)
            assert packet, "the worker ended"
            assert not fds
            version, kind, request, length = struct.unpack_from("<HHII", packet)
            body = packet[12:]
            assert version == 1 and length == len(body)
            assert request not in self.answers
            if kind == PROGRESS:
                r = Reader(body)
                self.progress.setdefault(request, []).append((r.u64(), r.u64()))
            else:
                assert kind in (GOT, FAILED)
                self.answers[request] = Answer(kind, body, self.progress.get(request, []))
        answer = self.answers[number]
        if number in self.files:
            self.files[number].seek(0)
            answer.file = self.files[number].read()
        return answer

    # one request each, with its answer
    def login(self):
        return self.wait(self.ask(LOGIN, b""))

    def manifest(self, repository, reference, most=4 << 20):
        file = tempfile.TemporaryFile()
        number = self.ask(MANIFEST, text(repository) + text(reference) + u32(most), file.fileno())
        self.files[number] = file
        return self.wait(number)

    def blob(self, repository, digest, size, have=b"", pipe=None, file=None):
        return self.wait(self.start_blob(repository, digest, size, have, pipe, file))

    def put_blob(self, repository, data, digest=None, mount_from=""):
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            return self.wait(self.ask(PUT_BLOB, text(repository) + text(raw(digest or digest_of(data))) +
                                      u64(len(data)) + text(mount_from), file.fileno()))

    def put_manifest(self, repository, reference, data, media_type):
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            return self.wait(self.ask(PUT_MANIFEST, text(repository) + text(reference) + text(media_type),
                                      file.fileno()))

    def cancel(self, number):
        self.send(CANCEL, number)
        return self.wait(number)
