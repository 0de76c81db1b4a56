# SPDX-License-Identifier: Apache-2.0
"""Many come and go: each costs the kernel as many changes as the first, and nothing stays.

CAISSON_NETWORK_SCALE=500x3 for five hundred, three times over, 2000x1 for two thousand; times are printed, not
judged.
"""

import concurrent.futures
import contextlib
import json
import os
import resource
import statistics
import time

import pytest

import conftest
import harness
import world as worlds

COUNT, ROUNDS = map(int, os.environ.get("CAISSON_NETWORK_SCALE", "60x1").split("x"))
ONE4 = worlds.NET4[0]
CONFIG = f"{conftest.CONFIG}[limits]\nmax_sandboxes = {COUNT}\n"
SAMPLE = 20       # of the sandboxes, to be looked into
FILES_EACH, FILES_MORE = 9, 64  # descriptors of caissond for each sandbox, at most, and for all of them


@pytest.fixture(scope="module")
def engine(world):
    """Started with what a shell gives: a thousand descriptors, and the right to more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
    try:
        yield from conftest.run_engine(world, conftest.busybox, config=CONFIG)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def quiet(engine, router):
    """The state of the router when no sandbox is there and the pool is full."""
    def still():
        first = worlds.State(router)
        time.sleep(0.3)
        return not worlds.State(router).changes(first)
    harness.wait_until(still, 30 + COUNT / 10, "the pool")  # the kernel takes its time over each that is removed
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


def descriptors(engine):
    """How many caissond and those of its children that stay have open."""
    return {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in
            (("caissond", engine.pid), *((name, engine.child("caisson-" + name))
                                         for name in ("gateway", "spawner", "resolver")))}


def namespaces():
    """Network namespaces that a process is in: those of sandboxes, and the host's."""
    found = set()
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/{name}/ns/net"))
    return len(found)


def routed(router):
    """{address: link}: who is reached by which."""
    words = [line.split() for line in router.output(*"ip -4 route show".split()).splitlines()]
    return {line[0]: line[line.index("dev") + 1] for line in words if line[0].startswith("100.97.")}


def tracked(router):
    return int(router.output("cat", "/proc/sys/net/netfilter/nf_conntrack_count"))


def same_again(what, now, before):
    """Waits for the kernel to let go."""
    with contextlib.suppress(AssertionError):
        harness.wait_until(lambda: now() == before, 20, what, every=0.2)
    assert now() == before, what


@pytest.mark.timeout(1800)
def test_come_and_go(engine):
    assert len(set(resource.prlimit(engine.pid, resource.RLIMIT_NOFILE))) == 1
    router = conftest.router_of(engine)
    tasks = concurrent.futures.ThreadPoolExecutor(4)

    def create(_):
        api, begin = harness.Api(engine.socket, 120), time.monotonic()
        made = api.create("busybox", cpu_cores=0.1, memory_gb=0.0625, network_allowlist=[ONE4]).ok()["id"]
        seconds.append(time.monotonic() - begin)
        api.close()
        return made

    def remove(key):
        api = harness.Api(engine.socket, 120)
        status = api.delete(key).status
        api.close()
        return status

    def changes():
        with router.inside():
            return worlds.generation()

    before = quiet(engine, router)
    open_before, spaces_before, tracked_before = descriptors(engine), namespaces(), tracked(router)
    work = []
    for turn in range(ROUNDS):
        keys, batch, seconds = [], max(COUNT // 5, 1), []
        for start in range(0, COUNT, batch):
            at, begin = changes(), time.monotonic()
            keys += list(tasks.map(create, range(min(batch, COUNT - start))))
            work.append((changes() - at) / (len(keys) - start))
            print(f"round {turn + 1}, {len(keys)} alive: {work[-1]:.2f} changes and "
                  f"{(time.monotonic() - begin) * 1000 / (len(keys) - start):.1f} ms for each")
        print(f"round {turn + 1}: a creation takes {statistics.median(seconds) * 1000:.1f} ms (median), open: "
              f"{descriptors(engine)}, before: {open_before}")
        links, addresses = routed(router), set()
        assert len(links) >= COUNT and len(set(links.values())) == len(links)
        sample = [conftest.Box(engine, key) for key in keys[::max(COUNT // SAMPLE, 1)]]
        for box in sample:
            addresses.add(box.address())
            assert engine.api.exec(box.key, "echo here").stdout == "here\n"
            assert box.force("tcp", ONE4, 80) == "ok"
            assert box.force("tcp", worlds.NET4[1], 80) == "ECONNREFUSED"
        assert len(addresses) == len(sample) and addresses <= set(links)
        for box in sample:
            box.close()
        files = descriptors(engine)["caissond"] - open_before["caissond"]
        assert files <= FILES_EACH * COUNT + FILES_MORE, files
        begin = time.monotonic()
        assert list(tasks.map(remove, keys)).count(200) == COUNT
        print(f"round {turn + 1}: {(time.monotonic() - begin) * 1000 / COUNT:.1f} ms to remove each")
        for then, now in zip(before, quiet(engine, router)):
            assert now == then
        same_again("tracked connections", lambda: max(tracked(router), tracked_before), tracked_before)
        same_again("network namespaces", namespaces, spaces_before)
        more = {name: count - open_before[name] for name, count in descriptors(engine).items()}
        assert max(more.values()) <= 4, more  # the image's layer, connections of this test
    # Blanks are made in between, so the share of one batch differs a little.
    assert max(work) <= min(work) * 1.5 + 1, work
    tasks.shutdown()
    router.close()
