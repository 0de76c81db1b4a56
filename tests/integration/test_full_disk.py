# SPDX-License-Identifier: Apache-2.0
"""A state directory whose disk becomes full: a clear error, and the store is what it was before."""
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess

import pytest

import archives
import harness
from archives import Entry

SIZE = 48 << 20


@pytest.fixture(scope="module")
def engine():
    """An engine whose state directory is a disk of its own, and small."""
    before = harness.settled()
    engine = harness.Engine("--disk-backend", "none")  # nothing else bounds what is written
    os.makedirs(engine.state)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0710", "small", engine.state], check=True)
    try:
        engine.start()
        engine.instance_path = engine.instance()
        engine.api.import_image("busybox", archives.busybox()).ok()
        yield engine
    finally:
        engine.stop()
        subprocess.run(["umount", engine.state], check=True)
    left = harness.leaks(before, engine)
    engine.remove()
    assert left == []


def store(engine):
    """Names and files of the store, and the free MiB of its disk."""
    def look():
        files = {}
        for place in ("layers", "gateway/blobs/sha256", "gateway/blobs/partial"):
            for entry in os.scandir(os.path.join(engine.state, place)):
                files[place, entry.name] = entry.stat().st_size
        return sorted(image["name"] for image in engine.api.images()), files

    free = os.statvfs(engine.state)
    return look(), free.f_bavail * free.f_frsize // (1 << 20)


@pytest.fixture
def unchanged(engine):
    before = store(engine)
    yield

    def same():
        # The journal of state.db may have grown by some pages, and a layer that nobody names any more,
        # from the test before, may have gone only now.
        (names, files), free = store(engine)
        return names == before[0][0] and files.items() <= before[0][1].items() and free >= before[1] - 1

    harness.wait_until(same, 10, lambda: f"{before} again, not {store(engine)}")
    *_, last = [json.loads(line) for line in engine.api.request("POST", "/api/v1/images/verify", b"{}").body.splitlines()]
    assert last["status"] == "done" and last["bad"] == []
    [image] = engine.api.import_image("after:1", archives.busybox([Entry("etc/mark", "after")])).ok()["images"]
    assert image["name"] == "after:1"
    assert engine.api.remove_image("after:1").status == 200


def noise(size):
    """Bytes that gzip makes small and that are not alike for who looks at whole blocks."""
    block = os.urandom(12000)
    return (block * (size // len(block) + 1))[:size]


def test_upload_that_says_it_is_too_large(engine, unchanged):
    answer = engine.api.import_image("large:1", archives.tar([Entry("f", os.urandom(60 << 20))]))
    assert answer.status == 507 and "free in the state directory" in answer.detail, answer


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


def test_upload_of_unknown_length(engine, unchanged):
    connection = UnixConnection(engine.socket)
    pieces = (os.urandom(1 << 20) for _ in range(60))
    connection.request("POST", "/api/v1/images?name=large:1", pieces, encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    assert answer.status == 507 and "full" in body["detail"], body


@pytest.mark.parametrize("kind", ["tree", "layout", "saved"])
def test_archive_that_unpacks_to_too_much(engine, unchanged, kind):
    layer = archives.tar([Entry("f", noise(80 << 20))])
    data = {"tree": lambda: archives.compress(layer, "gzip"),
            "layout": lambda: archives.Layout([archives.tar(archives.busybox_entries()), layer]).as_tar(),
            "saved": lambda: archives.compress(archives.docker_save([layer]), "gzip")}[kind]()
    assert len(data) < 8 << 20
    answer = engine.api.import_image("large:1", data)
    assert answer.status == 507 and "full" in answer.detail, answer


def test_a_sandbox_that_fills_the_disk_harms_only_itself(engine):
    name = engine.api.create("busybox").ok()["id"]
    result = engine.api.exec(name, "dd if=/dev/zero of=/workspace/f bs=1M count=100")
    assert result.code != 0 and "No space left" in result.stderr
    assert engine.api.exec(name, "echo still here").stdout == "still here\n"
    engine.api.delete(name).ok()
    harness.wait_until(lambda: store(engine)[1] > 20, 10, "the space to be free again")
    assert engine.api.exec(engine.api.create("busybox", name="next").ok()["id"], "echo x").stdout == "x\n"
    engine.api.delete("next").ok()


def test_upload_into_a_sandbox(engine, api, make):
    """The old file stays, and what did not fit takes no room."""
    key = make()
    path = f"/api/v1/sandbox/{key}/files?path=/root/f"
    api.raw("PUT", path, b"old").ok()
    free = os.statvfs(engine.state).f_bavail
    answer = api.raw("PUT", path, bytes(100 << 20))
    assert answer.status == 507 and "/root/f" in answer.detail, answer
    assert api.raw("GET", path).body == b"old"
    harness.wait_until(lambda: os.statvfs(engine.state).f_bavail >= free - 16, 10, "room again")
    api.raw("PUT", path, b"new").ok()
    assert api.exec(key, "ls -A /root; cat /root/f").stdout == "f\nnew"


def test_a_gateway_begins_while_the_disk_is_full(engine, api, make):
    """Else nobody could delete what fills it."""
    key = make()
    filler = os.path.join(engine.state, "filler")
    try:
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        os.truncate(filler, os.path.getsize(filler) - 4096)  # room for a row that waits, not for the database
        api.exec(key, "true")
        os.kill(engine.gateway, signal.SIGKILL)
        harness.wait_until(api.healthy, 30, "the next gateway")
        assert api.exec(key, "echo here").stdout == "here\n"
        api.delete(key).ok()
    finally:
        os.unlink(filler)
