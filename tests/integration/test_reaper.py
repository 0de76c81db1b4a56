# SPDX-License-Identifier: Apache-2.0
"""What a sandbox leaves: nobody who ends one waits for it, it is counted and bounded, and always goes."""

import concurrent.futures
import os
import re
import signal
import socket
import struct
import subprocess
import time

import pytest

import conftest
import harness

BOUND = 64  # CX_POOL_REMAINS_MAX
SPARE = 8   # blanks that there were, and that were being made
LET_GO = struct.pack("=HHII", 1, 3, 0, 0)  # proto/reap_msgs.h
SMALL = "10.77.0.0/29"  # six addresses


def states(api):
    """How many sandboxes caissond has, by state."""
    text = api.request("GET", "/metrics").body.decode()
    return {state: int(count) for state, count in re.findall(r'caisson_engine_sandboxes\{state="(\w+)"\} (\d+)', text)}


def test_a_delete_does_not_wait_for_what_is_left(engine, api):
    key = api.create().ok()["id"]
    api.exec(key, "sleep 1000 & setsid sleep 1000 & echo x >/kept")
    with engine.standing_reaper():
        assert api.delete(key).ok()["status"] == "TERMINATED"
        assert engine.sandbox_pids(key) == []
        assert engine.left_of(key) and api.remains()["sandboxes"] == 1
        assert 'caisson_engine_remains{of="sandboxes"} 1' in api.request("GET", "/metrics").body.decode()
        assert "remains of 1 are being removed" in engine.cli("doctor").stdout
        assert api.delete(key).ok()["status"] == "TERMINATED", "a second time, too"
        assert api.exec_raw(key, "true").status == 409
        other = api.create().ok()["id"]
        assert api.exec(other, "echo on").stdout == "on\n"
        api.delete(other).ok()
    api.reaped()
    assert engine.left_of(key) == [] and engine.left_of(other) == []


def test_who_hands_it_over_is_the_first_to_close(tmp_path):
    """Else it could be who waits for what goes with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    tree = os.open(tmp_path, os.O_RDONLY)
    reaper = subprocess.Popen([harness.program("caissond"), "--reap"], close_fds=False, preexec_fn=lambda: (
        os.dup2(theirs.fileno(), 60), os.dup2(tree, 61), os.dup2(60, 3), os.dup2(61, 4), os.closerange(5, 100)))
    theirs.close()
    os.close(tree)
    try:
        for _ in range(20):
            last, held = os.pipe()
            began = time.monotonic()
            socket.send_fds(ours, [LET_GO], [held])
            os.close(held)
            assert os.read(last, 1) == b"" and time.monotonic() - began > 0.001
            os.close(last)
    finally:
        ours.close()
        assert reaper.wait(10) == 0


def test_one_that_ends_by_itself_is_told_as_soon(engine, api):
    key = api.create().ok()["id"]
    with engine.standing_reaper():
        os.kill(engine.agent_of(key), signal.SIGKILL)
        harness.wait_until(lambda: api.get(key)["status"] == "ERROR", 10, "its end")
        assert api.get(key)["errorType"] == "AGENT_EXITED" and engine.left_of(key)
    api.reaped()
    assert engine.left_of(key) == []


def test_a_killed_reaper_is_replaced(engine, api):
    key = api.create().ok()["id"]
    with engine.standing_reaper() as pid:
        api.delete(key).ok()
        os.kill(pid, signal.SIGKILL)
        api.reaped()
    assert engine.left_of(key) == [] and engine.reaper != pid


def test_its_image_is_free_at_once(engine, api):
    """What is left reads an image's layers no more, though they are mounted still."""
    api.import_image("short", conftest.archives.busybox()).ok()
    key = api.create("short").ok()["id"]
    with engine.standing_reaper():
        api.delete(key).ok()
        assert api.remove_image("short").status == 200
    api.reaped()


@pytest.fixture
def small_engine():
    yield from conftest.run_engine("--network-pool", SMALL, "--pool", "1")


def test_an_address_is_free_when_all_is_gone(small_engine):
    api, seen = small_engine.api, []
    with small_engine.standing_reaper():
        while (made := api.create()).status in (200, 201):
            seen.append(api.exec(made["id"], "ip -4 -o addr show eth0 | awk '{print $4}'").stdout)
            api.delete(made["id"]).ok()
            assert len(seen) <= 6, seen
        assert len(set(seen)) == len(seen) and "addresses" in made.detail, (seen, made)
    assert harness.wait_until(lambda: api.create().status in (200, 201), 10, "an address")


def test_creates_wait_when_much_is_left(fresh_engine):
    """Neither ids nor memory grow without end when sandboxes end faster than they are removed."""
    api, count = fresh_engine.api, 2 * BOUND

    def churn():
        own = harness.Api(fresh_engine.socket, 120)
        for _ in range(count):
            own.delete(own.create(memory_gb=0.0625).ok()["id"]).ok()

    def stands(last=[0, 0]):
        """Not a number but that nothing changes any more: half a second of the same."""
        now = (states(api), api.remains())
        last[1] = last[1] + 1 if now == last[0] and now[1].get("sandboxes", 0) >= BOUND else 0
        last[0] = now
        return last[1] == 25
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with fresh_engine.standing_reaper():
            work = pool.submit(churn)
            harness.wait_until(lambda: work.done() or stands(), 60, lambda: f"a halt: {states(api)}")
            assert not work.done() and BOUND <= api.remains()["sandboxes"] <= BOUND + SPARE, states(api)
        work.result(120)
    api.reaped()


@pytest.fixture
def unprepared_engine():
    yield from conftest.run_engine("--pool", "0")


def test_a_create_does_not_wait_for_all_of_it(unprepared_engine):
    """When very many have ended at once, some of them have to be removed for the next one, and not most of them."""
    engine, api = unprepared_engine, unprepared_engine.api
    keys = [api.create(memory_gb=0.0625).ok()["id"] for _ in range(3 * BOUND)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        with engine.standing_reaper():
            list(pool.map(lambda key: harness.Api(engine.socket, 120).delete(key).ok(), keys))
            work = pool.submit(lambda: harness.Api(engine.socket, 120).create().ok())
            assert api.remains()["sandboxes"] == len(keys) and not work.done()
        harness.wait_until(lambda: api.remains()["sandboxes"] < len(keys) - SPARE, 10, "some to be gone", every=0.001)
        with engine.standing_reaper():
            work.result(60)
            assert BOUND < api.remains()["sandboxes"] < len(keys)
    api.reaped()


def test_a_killed_caissond_leaves_it_to_the_next(fresh_engine):
    engine, api = fresh_engine, fresh_engine.api
    key = api.create().ok()["id"]
    with engine.standing_reaper() as pid:
        api.delete(key).ok()
        engine.kill()
        harness.wait_until(lambda: not harness.alive(pid), 10, "the reaper's end")
    assert engine.left_of(key)
    engine.start()
    api.reaped()
    assert engine.left_of(key) == []


def test_stopping_waits_for_it(fresh_engine):
    engine = fresh_engine
    key = engine.api.create().ok()["id"]
    with engine.standing_reaper():
        engine.api.delete(key).ok()
        engine.note()
        engine.process.send_signal(signal.SIGTERM)
        harness.wait_until(lambda: "stopping" in engine.log(), 10, "it to stop")
        time.sleep(0.2)
        assert engine.process.poll() is None and engine.left_of(key)
    engine.process.wait(30)
    assert engine.left_of(key) == []
