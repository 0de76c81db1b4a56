# SPDX-License-Identifier: Apache-2.0
"""Many come and go: each costs the kernel as many changes as the first, and nothing stays.

CAISSON_NETWORK_SCALE=500x3 for five hundred, three times over; times are printed, not judged.
"""

import concurrent.futures
import json
import os
import time

import pytest

import conftest
import harness
import world as worlds

COUNT, ROUNDS = map(int, os.environ.get("CAISSON_NETWORK_SCALE", "60x1").split("x"))
ONE4 = worlds.NET4[0]


@pytest.fixture(scope="module")
def engine(world):
    yield from conftest.run_engine(world, conftest.busybox)


def quiet(engine, router):
    """The state of the router when no sandbox is there and the pool is full."""
    def still():
        first = worlds.State(router)
        time.sleep(0.3)
        return not worlds.State(router).changes(first)
    harness.wait_until(still, 30, "the pool")
    state = worlds.State(router)
    # Blanks have any slots, so what bears the number of one is counted, not compared.
    slots = {kind: sum(" s" in line or "100.97." in line or "fdc0:" in line for line in lines)
             for kind, lines in state.sets.items() if kind != "rules"}
    listed = json.loads(router.output("nft", "-j", "list", "ruleset"))["nftables"]
    kept = [entry["rule"]["expr"] for entry in listed if "rule" in entry]
    elements = {entry[kind]["name"]: len(entry[kind].get("elem", ())) for entry in listed
                for kind in ("set", "map") if kind in entry}
    # The first is the last number given; the others go by themselves.
    elements["numbers"] = max(elements["numbers"], 1)
    return slots, kept, {name: count for name, count in elements.items()
                         if name not in ("packets", "fragments", "queries", "logged", "settling")}


@pytest.mark.timeout(900)
def test_come_and_go(engine):
    router = conftest.router_of(engine)
    tasks = concurrent.futures.ThreadPoolExecutor(4)

    def create(_):
        return harness.Api(engine.socket, 120).create("busybox", cpu_cores=0.1, memory_gb=0.0625,
                                                      network_allowlist=[ONE4]).ok()["id"]

    def changes():
        with router.inside():
            return worlds.generation()

    before = quiet(engine, router)
    work = []
    for turn in range(ROUNDS):
        keys, batch = [], max(COUNT // 5, 1)
        for start in range(0, COUNT, batch):
            at, begin = changes(), time.monotonic()
            keys += list(tasks.map(create, range(min(batch, COUNT - start))))
            work.append((changes() - at) / (len(keys) - start))
            print(f"round {turn + 1}, {len(keys)} alive: {work[-1]:.2f} changes and "
                  f"{(time.monotonic() - begin) * 1000 / (len(keys) - start):.1f} ms for each")
        addresses = set()
        for key in (keys[0], keys[len(keys) // 2], keys[-1]):
            box = conftest.Box(engine, key)
            addresses.add(box.address())
            assert box.force("tcp", ONE4, 80) == "ok"
            assert box.force("tcp", worlds.NET4[1], 80) == "ECONNREFUSED"
            box.close()
        assert len(addresses) == 3
        begin = time.monotonic()
        gone = tasks.map(lambda key: harness.Api(engine.socket, 120).delete(key).status, keys)
        assert list(gone).count(200) == COUNT
        print(f"round {turn + 1}: {(time.monotonic() - begin) * 1000 / COUNT:.1f} ms to remove each")
        for then, now in zip(before, quiet(engine, router)):
            assert now == then
    # Blanks are made in between, so the share of one batch differs a little.
    assert max(work) <= min(work) * 1.5 + 1, work
    tasks.shutdown()
    router.close()
