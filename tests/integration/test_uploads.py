# SPDX-License-Identifier: Apache-2.0
"""Imports that go on while their archive still comes: what is begun early ends well, or leaves nothing."""

import json
import os

import pytest

import archives
import harness
from archives import Entry

LARGE = 6 << 20  # bytes: such a layer is built while it comes


class Upload:
    """An import whose archive comes bit by bit."""

    def __init__(self, engine, name, data):
        self.data, self.at, self.connection = data, 0, harness.UnixConnection(engine.socket)
        self.connection.putrequest("POST", f"/api/v1/images?name={name}")
        self.connection.putheader("Content-Length", str(len(data)))
        self.connection.endheaders()

    def send(self, share):
        """As much as makes that share of it."""
        end = int(len(self.data) * share)
        self.connection.send(self.data[self.at:end])
        self.at = end

    def end(self):
        self.send(1)
        response = self.connection.getresponse()
        answer = harness.Answer(response.status, response.read(), {})
        self.connection.close()
        return answer

    def break_off(self):
        self.connection.close()


def archive(upper, spoil=lambda layout: None):
    """A layout whose large layer is its last file."""
    layout = archives.Layout([archives.tar(archives.busybox_entries()), archives.tar([Entry("upper", upper)])])
    spoil(layout)
    return archives.tar(Entry(n, data) for n, data in sorted(layout.build().items(), key=lambda item: len(item[1])))


def workers(engine):
    """Their roles."""
    lines = [harness.read(f"/proc/{pid}/cmdline") for pid in harness.children(engine.pid)
             if harness.comm(pid) == "caisson-image"]
    return sorted(line.split("\0")[1] for line in lines if line)


def wait_for_workers(engine, *roles):
    harness.wait_until(lambda: workers(engine) == sorted(roles), 20, f"the workers {roles}")


def files_of(engine):
    return len(os.listdir(os.path.join(engine.state, "layers"))), \
        len(os.listdir(os.path.join(engine.state, "gateway", "blobs", "sha256")))


def wait_for_rest(engine, files):
    wait_for_workers(engine)
    harness.wait_until(lambda: files_of(engine) == files, 20, "the store as it was")


@pytest.fixture(scope="module")
def rest(engine):
    """What the store holds without the images of these tests."""
    return files_of(engine)


@pytest.fixture
def image(engine, api, rest):
    yield "uploaded"
    assert api.remove_image("uploaded").status in (200, 404)
    wait_for_rest(engine, rest)


@pytest.fixture
def make(image, make):
    """Sandboxes go before the image that they run from."""
    return make


def expect_upper(api, make, upper):
    seen = api.exec(make("uploaded"), "sha256sum /upper")
    assert seen.stdout.split()[0] == archives.sha256(upper), seen


def test_layer_is_built_before_the_archive_is_there(engine, api, make, image):
    upper = os.urandom(LARGE)
    upload = Upload(engine, image, archive(upper))
    upload.send(0.5)
    wait_for_workers(engine, "read-known", "scan", "write")
    upload.end().ok()
    expect_upper(api, make, upper)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_upload_that_breaks_off(engine, api, make, image, rest, share):
    upload = Upload(engine, image, archive(os.urandom(LARGE)))
    upload.send(share)
    harness.wait_until(lambda: "scan" in workers(engine), 20, "the scan")
    upload.break_off()
    wait_for_rest(engine, rest)
    upper = os.urandom(LARGE)
    api.import_image(image, archive(upper)).ok()
    expect_upper(api, make, upper)


def test_slow_upload_holds_nobody_up(engine, api, make, image):
    upper = os.urandom(LARGE)
    slow = Upload(engine, image, archive(upper))
    slow.send(0.5)
    wait_for_workers(engine, "read-known", "scan", "write")
    second = Upload(engine, "second", archive(os.urandom(LARGE)))
    second.send(0.9)
    api.import_image("third", archive(os.urandom(LARGE))).ok()
    second.end().ok()
    wait_for_workers(engine)
    slow.end().ok()
    expect_upper(api, make, upper)
    for name in ("second", "third"):
        api.remove_image(name).ok()


def other_diff_id(layout):
    layout.image["rootfs"]["diff_ids"][-1] = "sha256:" + "0" * 64


def other_bytes(layout):
    layout.blobs[-1] = layout.blobs[-1][:-9] + b"\0" * 9


def no_gzip(layout):
    digest = archives.sha256(b"x" * LARGE)
    layout.blobs[-1] = b"x" * LARGE
    layout.manifest["layers"][-1].update(digest="sha256:" + digest, size=LARGE)


@pytest.mark.parametrize("spoil", [other_diff_id, other_bytes, no_gzip])
def test_spoilt_upload_is_refused_when_it_is_there(engine, image, spoil):
    upload = Upload(engine, image, archive(os.urandom(LARGE), spoil))
    upload.send(0.99)
    harness.wait_until(lambda: "scan" in workers(engine), 20, "the scan")
    answer = upload.end()
    assert answer.status == 400 and answer.detail, answer


def test_garbage_is_refused_when_it_is_there(engine, image):
    upload = Upload(engine, image, os.urandom(LARGE))
    upload.send(0.9)
    wait_for_workers(engine)
    answer = upload.end()
    assert answer.status == 400 and json.loads(answer.body)["detail"], answer


def test_tree_of_files(engine, api, make, image):
    """Known for what it is at once; its layer is built when all of it is there."""
    upper = os.urandom(LARGE)
    upload = Upload(engine, image, archives.tar([*archives.busybox_entries(), Entry("upper", upper)]))
    upload.send(0.9)
    wait_for_workers(engine)
    upload.end().ok()
    expect_upper(api, make, upper)
