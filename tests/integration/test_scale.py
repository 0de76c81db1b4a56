# SPDX-License-Identifier: Apache-2.0
"""Many at once: each answers, all go, nothing stays (the module's leak check compares)."""

import concurrent.futures
import os

import pytest

import conftest
import harness


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_sandboxes(engine):
    def create(number):
        return harness.Api(engine.socket, 120).create("busybox", name=f"scale-{number}", cpu_cores=0.1,
                                                      memory_gb=0.0625).ok()["id"]

    def answer(pair):
        number, key = pair
        return harness.Api(engine.socket, 120).exec(key, f"echo {number}").stdout == f"{number}\n"

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(create, range(harness.SCALE)))
        assert len(set(keys)) == harness.SCALE
        assert len(engine.api.list()) == harness.SCALE
        assert list(pool.map(answer, enumerate(keys))).count(True) == harness.SCALE
        bases = [int(harness.read(f"/proc/{engine.agent_of(key)}/uid_map").split()[1]) for key in keys]
        assert len(set(bases)) == harness.SCALE
        gone = list(pool.map(lambda key: harness.Api(engine.socket, 120).delete(key).status, keys))
    assert gone.count(200) == harness.SCALE
    assert engine.api.list() == []
    for key in keys:
        assert engine.sandbox_pids(key) == []
    engine.api.reaped()
    assert not set(keys) & set(os.listdir(os.path.join(engine.run, "sandboxes")))


@pytest.fixture
def four_blanks():
    """A pool that stays as large as it is, so that what is held can be compared."""
    yield from conftest.run_engine("--pool", "4")


def test_churn(four_blanks):
    """Create, use, remove, many times: what the daemons hold does not grow."""
    engine = four_blanks

    def held():
        return {name: (len(os.listdir(f"/proc/{pid}/fd")),
                       int(harness.status_of(pid)["VmRSS"].split()[0]))
                for name, pid in (("caissond", engine.pid), ("gateway", engine.gateway),
                                  ("spawner", engine.child("caisson-spawner")))}

    def once():
        key = engine.api.create("busybox").ok()["id"]
        assert engine.api.exec(key, "echo x").stdout == "x\n"
        engine.api.delete(key).ok()

    for _ in range(20):
        once()
    harness.wait_until(lambda: engine.api.blanks() == 4, 10, "a full pool")
    engine.api.reaped()
    before = held()
    for _ in range(min(100, harness.SCALE)):
        once()

    def is_back():  # once the pool is full again: a request in the making holds descriptors
        return all(fds <= before[name][0] + 10 and rss <= before[name][1] + 8192
                   for name, (fds, rss) in held().items())
    harness.wait_until(is_back, 5, f"no more than {before}")


@pytest.fixture
def small_engine():
    yield from conftest.run_engine("--max-sandboxes", "3", "--pool", "1")


def test_limit_on_the_number_is_told(small_engine):
    """One more than may run waits; when one is gone there is room again."""
    api = small_engine.api
    keys = [api.create("busybox").ok()["id"] for _ in range(3)]
    waits = api.create("busybox").ok()
    assert waits["status"] == "PENDING" and waits["queuePosition"] == 1, waits
    api.delete(keys.pop()).ok()
    keys.append(waits["id"])
    harness.wait_until(lambda: api.get(waits["id"])["status"] == "RUNNING", 10, "it is its turn")
    for key in keys:
        api.delete(key).ok()
