# SPDX-License-Identifier: Apache-2.0
"""The pool of blanks: what it gives, and how many it keeps (what that costs: test_idle.py)."""

import concurrent.futures
import contextlib
import os
import re
import signal
import struct
import subprocess
import threading
import time

import pytest

import conftest
import harness


def has_ended(pid):
    """Its parent may not have looked yet."""
    try:
        return harness.read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


@pytest.fixture
def dead_blanks(fresh_engine):
    """A create that caissond finds in its loop before the ends of all its blanks."""
    engine = fresh_engine
    harness.wait_until(lambda: engine.api.blanks() == 4, 10, "a full pool")
    victims = engine.agents()
    os.kill(engine.pid, signal.SIGSTOP)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            made = pool.submit(harness.Api(engine.socket).create)
            time.sleep(0.5)  # its message waits in a socket then, which is no event that could be seen
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            harness.wait_until(lambda: all(has_ended(pid) for pid in victims), 10, "their ends")
        finally:
            os.kill(engine.pid, signal.SIGCONT)
        yield engine, made


def test_what_is_handed_out_is_alive(dead_blanks):
    engine, made = dead_blanks
    key = made.result(30).ok()["id"]
    assert engine.api.exec(key, "echo alive").stdout == "alive\n"
    engine.api.delete(key).ok()


# ---- making them -----------------------------------------------------------------------------------

@contextlib.contextmanager
def busy_spawner(engine):
    """One that is asked for blanks and does not answer; with some left that can be given."""
    harness.wait_until(lambda: engine.api.blanks() == 4, 10, "a full pool")
    spawner = engine.child("caisson-spawner")
    os.kill(spawner, signal.SIGSTOP)
    try:
        key = engine.api.create().ok()["id"]
        harness.wait_until(lambda: blanks_asked_for(engine) > 0, 5, "a request to the spawner")
        yield spawner, key
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(spawner, signal.SIGCONT)


def blanks_asked_for(engine):
    return int(re.search(r'state="starting"\} (\d+)', engine.api.request("GET", "/metrics").body.decode())[1])


def test_nobody_waits_while_one_is_made(fresh_engine):
    """The spawner takes its time: others are served meanwhile."""
    api = fresh_engine.api
    with busy_spawner(fresh_engine) as (_, key):
        began = time.monotonic()
        other = api.create().ok()["id"]
        api.delete(key).ok()
        api.delete(other).ok()
        assert time.monotonic() - began < 8, "somebody waited for the spawner"
        assert blanks_asked_for(fresh_engine) > 0
    harness.wait_until(lambda: api.blanks() == 4, 10, "a full pool")


def test_a_spawner_that_dies_while_it_is_asked(fresh_engine):
    """What it was asked for is asked of the next one, and nothing is left."""
    api = fresh_engine.api
    with busy_spawner(fresh_engine) as (spawner, key):
        other = api.create().ok()["id"]
        harness.wait_until(lambda: blanks_asked_for(fresh_engine) > 1, 5, "two requests to the spawner")
        os.kill(spawner, signal.SIGKILL)
        harness.wait_until(lambda: api.blanks() == 4, 20, "a full pool")
        api.delete(key).ok()
        api.delete(other).ok()
    api.reaped()
    assert "instead of" not in harness.read(fresh_engine.log_path), "an answer was taken for another's"


def test_a_stop_while_blanks_are_made(fresh_engine):
    """None is left behind: the engine of this test looks for what is left."""
    with busy_spawner(fresh_engine) as (spawner, _):
        fresh_engine.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        os.kill(spawner, signal.SIGCONT)
        fresh_engine.process.wait(30)


# ---- one that dies when it is handed out -----------------------------------------------------------

CLAIMED = 2  # engine/record.h
PLACE = 8192  # each of the two in the file of a record
GIVES = 3    # CX_POOL_GIVES


def turn(record):
    return struct.unpack_from("<Q", record, 24)[0]


def claimed(engine):
    """First processes of those that have an image and have not answered yet, by id."""
    found = {}
    for key in os.listdir(os.path.join(engine.run, "sandboxes")):
        with contextlib.suppress(FileNotFoundError):
            file = harness.read(os.path.join(engine.run, "sandboxes", key, "record"), binary=True)
            record = max((file[at:at + PLACE] for at in range(0, len(file), PLACE)), key=turn, default=b"")
            if record and struct.unpack_from("<I", record, 20)[0] == CLAIMED:
                found[key] = struct.unpack_from("<I", record, 88)[0]
    return found


@contextlib.contextmanager
def dying_blanks(engine, times, **fields):
    """A create whose first blanks die in the middle of their claims: the create, and the blanks' ids."""
    died, stopped = set(), set()

    def stop_new():
        """Alive and silent, so it is well, and answers nothing."""
        for pid in set(engine.agents()) - stopped:
            os.kill(pid, signal.SIGSTOP)
            stopped.add(pid)

    harness.wait_until(lambda: engine.api.blanks() == times, 10, "a full pool")
    stop_new()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        made = pool.submit(harness.Api(engine.socket).create, **fields)
        try:
            for _ in range(times):
                ((key, pid),) = harness.wait_until(lambda: (claimed(engine).items() - died) or stop_new(), 10, "a claim",
                                                   every=0.001)
                os.kill(pid, signal.SIGKILL)
                died.add((key, pid))
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        yield made, [key for key, _ in died]


@pytest.fixture(params=[1, GIVES - 1])
def few(request):
    for engine in conftest.run_engine("--pool", str(request.param)):
        yield engine, request.param


def test_one_that_dies_at_its_claim_is_replaced(few):
    engine, times = few
    wish = {"name": "the-one", "idempotency_key": "once", "memory_gb": 0.25,
            "network_allowlist": ["192.0.2.0/24"], "environment_vars": {"WORD": "kept"}}
    with dying_blanks(engine, times, **wish) as (made, died):
        key = made.result(30).ok()["id"]
    api = engine.api
    assert key not in died and api.create(**wish).ok()["id"] == key
    assert [row["id"] for row in api.list()] == [key]
    assert api.exec(key, "echo $WORD").stdout == "kept\n"
    promised = {row["name"]: row["promised"] for row in api.request("GET", "/api/v1/host").ok()["resources"]
                if row["name"] in ("sandboxes", "memory")}
    assert promised == {"sandboxes": 1, "memory": 2**28}, promised
    api.reaped()
    assert not [left for one in died for left in engine.left_of(one)]
    # Its policy is in force on its own link, and no other has one.
    address = re.search(r"inet ([\d.]+)", api.exec(key, "busybox ip -o -4 addr show dev eth0").stdout)[1]
    router = f"--net={engine.run}/net"
    link = re.search(rf"^{address} dev (\w+)", subprocess.check_output(["nsenter", router, "ip", "route"], text=True),
                     re.M)[1]
    numbers = subprocess.check_output(["nsenter", router, "nft", "list", "map", "inet", "caisson", "numbers"], text=True)
    assert re.findall(r'"(s\d+)" :', numbers) == [link], numbers
    api.delete(key).ok()


@pytest.fixture
def three():
    yield from conftest.run_engine("--pool", str(GIVES))


def test_not_for_ever(three):
    wish = {"name": "the-one", "idempotency_key": "once"}
    with dying_blanks(three, GIVES, **wish) as (made, died):
        answer = made.result(30)
    assert answer.status == 500 and three.log().count("a blank died at its claim") == GIVES - 1, answer
    key = three.api.create(**wish).ok()["id"]
    assert key not in died and [row["id"] for row in three.api.list()] == [key]
    three.api.delete(key).ok()


@pytest.fixture
def auto_engine():
    yield from conftest.run_engine("--pool", "auto")


def test_more_are_kept_when_more_are_asked_for(auto_engine):
    api = auto_engine.api
    harness.wait_until(lambda: api.blanks() == 4, 10, "the least")

    def burst():
        keys = [made.ok()["id"] for made in pool.map(
            lambda _: harness.Api(api.path).create(memory_gb=0.0625), range(16))]
        for key in keys:
            api.delete(key).ok()
        return api.blanks() > 4
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        harness.wait_until(burst, 60, "a larger pool")


def test_creates_outlive_a_spawner(fresh_engine):
    """Several that wait: what one death takes away from each of them is one failure."""
    api, got = fresh_engine.api, []
    with busy_spawner(fresh_engine) as (spawner, key):
        keys = [api.create().ok()["id"] for _ in range(api.blanks())]
        tasks = [threading.Thread(target=lambda: got.append(harness.Api(api.path).create())) for _ in range(6)]
        for task in tasks:
            task.start()
        harness.wait_until(lambda: blanks_asked_for(fresh_engine) >= 3, 5, "three requests to the spawner")
        os.kill(spawner, signal.SIGKILL)
        for task in tasks:
            task.join(20)
        keys += [key, *(answer.ok()["id"] for answer in got)]
    assert len(got) == 6
    for key in keys:
        api.delete(key).ok()
