# SPDX-License-Identifier: Apache-2.0
"""Registries of nonsense: refused with a text that a terminal survives, the store and the gateway as before."""

import re
import time

import pytest

import archives
import harness
import hostile

SECONDS = 45
GATEWAY_GROWTH_KIB = 64 << 10


@pytest.fixture(scope="module")
def base():
    return archives.tar(archives.busybox_entries())


@pytest.fixture
def serve(fleet, base):
    """Lets the hostile server answer as a case has it; the image's name."""
    def spoilt(spoil):
        fake = hostile.Fake(base)
        spoil(fake)
        fleet.hostile.answer = fake.answer
        return f"{fleet.hostile.address}/hostile/image:latest"
    return spoilt


def memory(engine):
    return int(harness.status_of(engine.gateway)["VmRSS"].split()[0])


def contained(engine, fleet, images, name):
    """A pull that ends in time, and what it left; the outcome."""
    gateway, before, begin = engine.gateway, memory(engine), time.monotonic()
    outcome = images.pull(name, username="alice", password="for-the-hostile", timeout=SECONDS)
    assert time.monotonic() - begin < SECONDS
    assert engine.gateway == gateway, "the gateway did not survive it"
    assert memory(engine) - before < GATEWAY_GROWTH_KIB
    for record in fleet.hostile.records:
        assert hostile.SECRET not in str(record.headers) + record.path, "a file of the host"
        assert "X-Injected" not in record.headers
    assert len(fleet.hostile.records) < 200
    return outcome


def test_good_one(fleet, images, serve, shows):
    name = serve(lambda fake: None)
    images.pull(name).ok()
    shows(name, "cat /upper", "upper")


@pytest.mark.parametrize("case", hostile.REFUSED)
def test_refused(engine, fleet, images, serve, case):
    spoil, words = hostile.REFUSED[case]
    outcome = contained(engine, fleet, images, serve(spoil))
    assert not outcome.done and outcome.error, outcome
    assert outcome.error.isprintable() and len(outcome.error) < 1000, outcome.error
    assert re.search(words, outcome.error), outcome.error
    assert images.list() == []
    images.prune().ok()
    assert images.files() == {}


@pytest.mark.parametrize("case", hostile.EITHER)
def test_either(engine, fleet, images, serve, case):
    outcome = contained(engine, fleet, images, serve(hostile.EITHER[case]))
    if outcome.done:
        inspected = engine.cli("image", "inspect", outcome.image["name"])
        assert inspected.returncode == 0 and "\x1b" not in inspected.stdout, inspected.stdout
        history = engine.cli("image", "history", outcome.image["name"])
        assert "\x1b" not in history.stdout
        images.sound()
    else:
        assert outcome.error.isprintable()
        assert images.list() == []


def test_worker_is_bounded(engine, fleet, images, serve):
    """The transfer worker while it reads what never ends: no privilege, little memory."""
    import threading
    name = serve(hostile.on("/manifests/", hostile.endless()))
    thread = threading.Thread(target=lambda: images.pull(name))
    thread.start()
    seen = []
    while thread.is_alive():
        for pid in harness.children(engine.pid):
            if harness.comm(pid).startswith("caisson-fetch"):
                status = harness.status_of(pid)
                if status and status.get("Seccomp", "").strip() == "2":
                    seen.append((int(status["VmHWM"].split()[0]), status["Uid"].split()[0], status["CapEff"],
                                 status["NoNewPrivs"].strip()))
    thread.join()
    assert seen, "no worker was seen"
    for peak, uid, capabilities, nnp in seen:
        assert peak < 64 << 10 and uid != "0" and int(capabilities, 16) == 0 and nnp == "1", seen[-1]
