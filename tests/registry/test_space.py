# SPDX-License-Identifier: Apache-2.0
"""A disk that is full: said so, with a store as before, and what fits still works."""

import contextlib
import os
import re
import threading

import pytest

import chaos
import harness
from builders import as_tar
from client import Outcome
from registry import run
from test_faults import layers_of

MIB = 1 << 20
DISK_MIB = 160
RESERVE_MIB = 64  # what a pull leaves to others
FULL = "(?i)disk.* full|space|free"


@pytest.fixture(scope="module")
def engine(servers, top):
    """Its state is on a file system of DISK_MIB."""
    engine = harness.Engine("--registries", servers.configure(os.path.join(top, "configuration")), "--pool", "1",
                            "--disk-backend", "none", "--disk-reserve", "1")  # what is tried here is its last byte
    os.mkdir(engine.state)
    run("mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=755", "caisson-test", engine.state)
    try:
        engine.start()
        yield engine
        engine.stop()
    finally:
        if engine.process is not None and engine.process.poll() is None:
            engine.process.kill()
            engine.process.wait()
        run("umount", "--lazy", engine.state)
    engine.remove()


@pytest.fixture
def small(builder, images):
    """An image that fits, and what the store holds with it alone."""
    images.load(as_tar(builder.one), "small:1").ok()
    return images.files()


def unchanged(images, shows, before):
    images.prune().ok()
    assert images.names() == ["small:1"] and images.files() == before
    images.sound()
    shows("small:1", "echo it runs", "it runs\n")


@pytest.fixture
def leave(engine):
    """Lets somebody else take all of the disk but so many bytes; gives it back at the end."""
    path = os.path.join(engine.state, "ballast")

    def take(free):
        def fill():
            status = os.statvfs(engine.state)
            with contextlib.suppress(OSError):  # somebody wrote meanwhile
                os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - free)
                return True
        with open(path, "wb") as file:
            harness.wait_until(fill, 10)
    yield take
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)


def test_import(builder, images, shows, small, leave):
    leave(12 * MIB)
    answer = images.load(as_tar(builder.big), "big:1")
    assert answer.status == 507 and re.search(FULL, answer.detail), answer
    unchanged(images, shows, small)


def test_pull_that_will_not_fit(fleet, images, shows, small, leave):
    """Known beforehand: nothing is fetched."""
    leave((RESERVE_MIB + 6) * MIB)
    outcome = images.pull(f"{fleet.plain.address}/test/big")
    assert not outcome.done and re.search(FULL, outcome.error), outcome
    assert not fleet.plain.requests("/blobs/" + layers_of(fleet, "big")[1][0])
    unchanged(images, shows, small)


def test_pull_meets_the_end_of_the_disk(fleet, images, shows, small, leave):
    digest, _ = layers_of(fleet, "big")[1]
    go_on = threading.Event()
    fleet.plain.fault(chaos.stall(2 * MIB, go_on), blobs=digest)
    with images.stream("images/pull", image=f"{fleet.plain.address}/test/big") as stream:
        harness.wait_until(lambda: fleet.plain.served(digest) >= 2 * MIB, 20)
        leave(MIB)
        go_on.set()
        outcome = Outcome(200, list(stream))
    assert not outcome.done and re.search(FULL, outcome.error), outcome
    unchanged(images, shows, small)


def test_full_to_the_last_byte(fleet, images, shows, small, leave):
    leave(0)
    outcome = images.pull(f"{fleet.anonymous.address}/test/three")
    assert not outcome.done and re.search(FULL, outcome.error), outcome
    assert images.names() == ["small:1"]
    leave(100 * MIB)
    unchanged(images, shows, small)
    images.pull(f"{fleet.anonymous.address}/test/three").ok()
