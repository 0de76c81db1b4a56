# SPDX-License-Identifier: Apache-2.0
"""The pool of blanks: what it gives, and how many it keeps (what that costs: test_idle.py)."""

import concurrent.futures
import os
import signal
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
