# SPDX-License-Identifier: Apache-2.0
"""Registries of nonsense: refused with a text that a terminal survives, the store and the gateway as before."""

import concurrent.futures
import re
import threading
import time

import pytest

import archives
import harness
import hostile
from client import Images

AT_ONCE = 8
SECONDS = 60
GATEWAY_GROWTH_KIB = 96 << 10
WORKER_KIB = 64 << 10
CASES = {**{name: spoil for name, (spoil, _) in hostile.REFUSED.items()}, **hostile.EITHER, **hostile.RIGHT}


@pytest.fixture(scope="module")
def base():
    return archives.tar(archives.busybox_entries())


def memory(engine):
    return int(harness.status_of(engine.gateway)["VmRSS"].split()[0])


@pytest.fixture(scope="module")
def pulled(request, engine, servers, base):
    """Pulls all cases that are wanted, several at a time, as most of them wait to try again: case -> a future
    of (outcome, what the server saw). In the end the store is empty and the gateway the same."""
    stage, images = hostile.Stage(servers.stage), Images(engine)
    wanted = [item.callspec.params["case"] for item in request.session.items
              if item.module is request.module and hasattr(item, "callspec")]
    before, gateway = memory(engine), engine.gateway

    def pull(case):
        name, fake = stage.enter(CASES[case], base)
        outcome = images.pull(name, username="alice", password="for-the-hostile", timeout=SECONDS)
        return outcome, fake.records
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        yield {case: pool.submit(pull, case) for case in wanted}
    assert engine.gateway == gateway, "the gateway did not survive it"
    assert memory(engine) - before < GATEWAY_GROWTH_KIB
    images.sound()
    images.clear()


def contained(future):
    """The outcome, after a look at what the client told the server."""
    outcome, records = future.result()
    for record in records:
        assert hostile.SECRET not in str(record.headers) + record.path, "a file of the host"
        assert "X-Injected" not in record.headers
    assert len(records) < 100
    return outcome


@pytest.mark.parametrize("case", hostile.REFUSED)
def test_refused(engine, pulled, case):
    outcome = contained(pulled[case])
    assert not outcome.done and outcome.error, outcome
    assert outcome.error.isprintable() and len(outcome.error) < 1000, outcome.error
    assert re.search(hostile.REFUSED[case][1], outcome.error), outcome.error


@pytest.mark.parametrize("case", hostile.EITHER)
def test_either(engine, pulled, case):
    outcome = contained(pulled[case])
    if outcome.done:
        for command in ("inspect", "history"):
            said = engine.cli("image", command, outcome.image["name"])
            assert said.returncode == 0 and "\x1b" not in said.stdout, said.stdout
    else:
        assert outcome.error.isprintable()


@pytest.mark.parametrize("case", hostile.RIGHT)
def test_right(pulled, case):
    image = contained(pulled[case]).ok()
    assert len(image["layers"]) >= 2


def test_worker_is_bounded(engine, fleet, base):
    """The transfer worker while it reads what never ends: no privilege, little memory."""
    fake = hostile.Fake(base)
    hostile.on("GET .*/blobs/", hostile.endless())(fake)
    fleet.hostile.answer = fake.answer
    seen = []

    def look():
        for pid in harness.children(engine.pid):
            status = harness.status_of(pid) if harness.comm(pid) == "caisson-fetch" else None
            if status and "VmHWM" in status and status["Seccomp"].strip() == "2":
                seen.append((int(status["VmHWM"].split()[0]), status["Uid"].split()[0], status["CapEff"],
                             status["NoNewPrivs"].strip()))

    for _ in range(20):  # on a busy machine one is over before it is looked at
        thread = threading.Thread(target=lambda: Images(engine).pull(f"{fleet.hostile.address}/hostile/image"))
        thread.start()
        while thread.is_alive():
            look()
            time.sleep(0.001)
        thread.join()
        if seen:
            break
    assert seen, "no worker was seen"
    for peak, uid, capabilities, nnp in seen:
        assert peak < WORKER_KIB and uid != "0" and int(capabilities, 16) == 0 and nnp == "1", seen[-1]
