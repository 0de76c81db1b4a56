# SPDX-License-Identifier: Apache-2.0
"""More sandboxes than the host has room for: a line that is kept in order, and nothing of it is lost."""

import concurrent.futures
import contextlib
import os
import signal
import time

import pytest

import conftest
import harness
from test_accounts import User

MANY = int(os.environ.get("CAISSON_ADMISSION", 120))  # 1000 is what is promised
GIB = 1 << 30


@contextlib.contextmanager
def engine_with(*options):
    run = contextlib.contextmanager(conftest.run_engine)
    with run(*options) as engine:
        yield engine


@pytest.fixture
def one():
    """An engine with room for one."""
    yield from conftest.run_engine("--max-sandboxes", "1", "--pool", "1")


def room(api):
    answer = api.request("GET", "/api/v1/host").ok()
    return {row["name"]: row for row in answer["resources"]} | {"queue": answer["queue"]}


def line(api):
    """ids of those that wait, in order."""
    waiting = [item for item in api.list() if item["queuePosition"] is not None]
    waiting.sort(key=lambda item: item["queuePosition"])
    assert [item["queuePosition"] for item in waiting] == list(range(1, len(waiting) + 1)), waiting
    return [item["id"] for item in waiting]


def runs(api, key):
    return api.get(key)["status"] == "RUNNING"


def wait_running(api, key, seconds=10):
    harness.wait_until(lambda: runs(api, key), seconds, f"{key} runs")


def remove(api, keys):
    """Those that wait first: none of them is to begin."""
    for key in sorted(keys, key=lambda key: runs(api, key)):
        api.delete(key).ok()


def test_a_line(one):
    api = one.api
    made = [api.create(secrets={"WORD": f"w{i}"}, timeout_minutes=60).ok() for i in range(5)]
    keys = [item["id"] for item in made]
    assert [item["status"] for item in made] == ["RUNNING"] + 4 * ["PENDING"]
    assert line(api) == keys[1:] and room(api)["queue"]["length"] == 4
    metrics = api.raw("GET", "/metrics")
    assert b"\ncaisson_queue_length 4\n" in metrics.body, metrics
    assert "4 sandboxes wait for room" in one.cli("doctor").stdout
    waiting = api.get(keys[1])
    assert waiting["startedAt"] is None and waiting["expiresAt"] is None and waiting["queuedAt"], waiting
    answer = api.exec_raw(keys[1], "true")
    assert answer.status == 409 and "waiting for room" in answer.detail, answer
    assert api.delete(keys[2]).ok()["status"] == "TERMINATED"
    assert line(api) == [keys[1], keys[3], keys[4]]
    for gone, comes in ((keys[0], keys[1]), (keys[1], keys[3])):
        api.delete(gone).ok()
        wait_running(api, comes)
        assert api.get(comes)["queuePosition"] is None and api.get(comes)["expiresAt"], comes
        assert api.exec(comes, "echo $WORD").stdout == f"w{keys.index(comes)}\n"
    assert line(api) == [keys[4]]
    remove(api, [keys[3], keys[4]])
    assert room(api)["queue"]["length"] == 0 and room(api)["sandboxes"]["promised"] == 0


def test_the_line_outlives_the_daemons(one):
    api = one.api
    keys = [api.create(environment_vars={"WORD": f"w{i}"}).ok()["id"] for i in range(5)]
    assert line(api) == keys[1:]
    old = one.gateway
    os.kill(old, signal.SIGKILL)
    harness.wait_until(lambda: api.healthy() and one.gateway != old, 10, "a new gateway")
    assert line(api) == keys[1:]
    one.kill()
    one.start()
    assert line(api) == keys[1:]
    api.delete(keys[0]).ok()
    wait_running(api, keys[1])
    assert api.exec(keys[1], "echo $WORD").stdout == "w1\n"
    one.stop()  # ends what runs; the line stays
    one.start()
    wait_running(api, keys[2])
    assert line(api) == keys[3:]
    remove(api, keys[2:])


def test_nobody_starves(one):
    """An owner with many in line lets the single one of another pass; within an owner order is kept."""
    many, single = User(one), User(one)
    keys = [many.api.create(name=f"m{i}").ok()["id"] for i in range(6)]
    own = single.api.create().ok()
    assert own["queuePosition"] == 2, own
    assert line(one.api) == [keys[1], own["id"]] + keys[2:]
    old = one.gateway
    os.kill(old, signal.SIGKILL)
    harness.wait_until(lambda: one.api.healthy() and one.gateway != old, 10, "a new gateway")
    assert line(one.api) == [keys[1], own["id"]] + keys[2:]
    remove(one.api, keys + [own["id"]])


def test_who_does_not_fit_is_not_passed():
    """A large one whose turn it is waits for enough; small ones behind it do not take its room."""
    with engine_with("--cpu-overcommit", "1", "--pool", "1") as engine:
        api, cores = engine.api, room(engine.api)["cpu"]["limit"] / 1000
        answer = api.create(cpu_cores=cores + 0.5)
        assert answer.status == 400, answer
        half = [api.create(cpu_cores=cores / 2).ok()["id"] for _ in range(2)]
        large = api.create(cpu_cores=cores).ok()["id"]
        small = api.create(cpu_cores=0.01).ok()["id"]
        assert line(api) == [large, small]
        api.delete(half[0]).ok()
        time.sleep(1.5)  # longer than a tick
        assert line(api) == [large, small]
        api.delete(half[1]).ok()
        wait_running(api, large)
        assert line(api) == [small]
        remove(api, [large, small])


def descriptors(engine):
    """Of caissond: what each one leads to."""
    found = []
    for name in os.listdir(f"/proc/{engine.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed since
            found.append(os.readlink(f"/proc/{engine.pid}/fd/{name}"))
    return sorted(found)


def test_descriptors_are_what_is_promised():
    with engine_with("--pool", "0") as engine:
        api = engine.api
        assert room(api)["files"]["promised"] == 0
        keys = [api.create().ok()["id"]]  # the first one of an image mounts its layers
        each = room(api)["files"]["promised"]
        opened = harness.at_rest(lambda: descriptors(engine))
        keys += [api.create().ok()["id"] for _ in range(3)]
        now = harness.at_rest(lambda: descriptors(engine))
        assert len(now) - len(opened) == 3 * each, (each, opened, now)
        remove(api, keys)


def test_descriptors_of_blanks_are_what_is_promised():
    opened, promised = [], []
    for blanks in 1, 9:
        with engine_with("--pool", str(blanks)) as engine:
            harness.wait_until(lambda: engine.api.blanks() == blanks, 10, "a full pool")
            harness.wait_until(lambda: len(engine.agents()) == blanks, 10, "their agents")
            opened.append(len(harness.at_rest(lambda: descriptors(engine))))
            promised.append(room(engine.api)["files"]["promised"])
    assert opened[1] - opened[0] == promised[1] - promised[0] == 8 * promised[0], (opened, promised)


def test_a_full_line_is_refused_at_once():
    with engine_with("--max-sandboxes", "1", "--queue-length", "2") as engine:
        api = engine.api
        keys = [api.create().ok()["id"]]
        users = [User(engine) for _ in range(2)]
        keys += [user.api.create().ok()["id"] for user in users]
        answer = api.create()
        assert answer.status == 429 and int(answer.headers["Retry-After"]) > 0, answer
        assert "2 sandboxes wait for room" in answer.detail, answer
        answer = api.create(image="not-here:1")  # what has to be pulled has no other entrance
        assert answer.status == 429, answer
        assert len(api.list()) == 3
        remove(api, keys)


def test_a_line_of_none():
    with engine_with("--max-sandboxes", "1", "--queue-length", "0") as engine:
        key = engine.api.create().ok()["id"]
        answer = engine.api.create()
        assert answer.status == 429 and "host is full" in answer.detail, answer
        assert len(engine.api.list()) == 1
        engine.api.delete(key).ok()


def test_a_wait_has_an_end():
    with engine_with("--max-sandboxes", "1", "--queue-wait", "1") as engine:
        api = engine.api
        keys = [api.create().ok()["id"] for _ in range(2)]
        harness.wait_until(lambda: api.get(keys[1])["status"] == "ERROR", 10, "it is given up")
        ended = api.get(keys[1])
        assert ended["errorType"] == "QUEUE_TIMEOUT" and "host is full" in ended["errorMessage"], ended
        assert api.get(keys[0])["status"] == "RUNNING"
        api.delete(keys[0]).ok()


@pytest.mark.parametrize("option,name", [("--memory-reserve", "memory"), ("--pids-reserve", "pids")])
def test_the_floor_holds_whatever_is_promised(option, name):
    reserve = "1000000000" if name == "memory" else "4194304"  # more than any host has
    with engine_with(option, reserve) as engine:
        api = engine.api
        key = api.create(memory_gb=0.05, pids_limit=20).ok()["id"]
        assert line(api) == [key] and room(api)[name]["left"] < room(api)[name]["reserve"]
        assert "of which it keeps" in room(api)["queue"]["why"], room(api)
        api.delete(key).ok()


@pytest.mark.timeout(900)
def test_very_many_at_once():
    """Each is served in its turn, or refused at once with 429; nothing is left of any."""
    places = max(MANY // 6, 10)
    with engine_with("--memory-overcommit", "0.2") as engine:
        api = engine.api
        share = room(api)["memory"]["limit"] / places / GIB

        def create(_):
            mine = harness.Api(engine.socket, 120)
            try:
                return mine.create(memory_gb=share * 0.999, cpu_cores=0.1)
            finally:
                mine.close()

        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(create, range(MANY)))
        assert {answer.status for answer in answers} <= {200, 429}, answers
        keys = [answer["id"] for answer in answers if answer.status == 200]
        assert len(keys) >= min(MANY, 750 + places) and len(set(keys)) == len(keys)
        started = []
        while len(started) < len(keys):
            alive = api.list()
            running = [item for item in alive if item["status"] == "RUNNING"]
            assert len(running) <= places and len(alive) == len(keys) - len(started), (len(running), len(alive))
            started += [(item["startedAt"], item["queuedAt"] or "", item["id"]) for item in running]
            for item in running:
                api.delete(item["id"]).ok()
        waited = [item[1] for item in sorted(started) if item[1]]
        assert len(waited) >= len(keys) - places - 1
        place_of = {when: place for place, when in enumerate(sorted(waited))}
        # Those that start together may be ready in another order; nobody is overtaken by all others.
        assert all(abs(place_of[when] - place) <= places for place, when in enumerate(waited)), waited
        assert room(api)["memory"]["promised"] == 0 and room(api)["queue"]["length"] == 0
