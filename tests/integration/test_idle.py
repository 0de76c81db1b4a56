# SPDX-License-Identifier: Apache-2.0
"""An engine that nobody uses does nothing at all, and what waits in it costs what the documents say."""

import collections
import os
import re
import time

import pytest

import conftest
import harness

pytestmark = pytest.mark.skipif(harness.SHARED, reason="other engines change the network that this one watches")

LARGEST = 256 if harness.SCALE >= 200 else harness.SCALE  # [pool] blanks
SANDBOXES = 10
LOOKS = 2  # a second, at what waits in sockets of all sandboxes (engine/oom.c): caissond's only one, on version 1
READS = 2  # of each look: the number, and that nothing is behind it
WINDOW_S, TRIES = 6, 4
AGENT_KIB = 128  # of its own; its program is shared by all


def processes(engine):
    return {pid: harness.comm(pid) for pid in [engine.pid, *harness.children(engine.pid)]}


def ran(engine):
    """pid -> how often it was on a processor."""
    found = {}
    for pid in processes(engine):
        status = harness.status_of(pid)
        if status is not None:
            found[pid] = int(status["voluntary_ctxt_switches"]) + int(status["nonvoluntary_ctxt_switches"])
    return found


def ran_while_idle(engine, allowed):
    """Who ran more often in some seconds than it may, when it still did after some tries; what is new counts too."""
    engine.api.close()
    for _ in range(TRIES):  # what a change before had as consequences is over some day
        before = ran(engine)
        time.sleep(WINDOW_S)
        names, after, busy = processes(engine), ran(engine), collections.Counter()
        for pid, count in after.items():
            busy[names.get(pid, "?")] += count - before.get(pid, 0)
        busy.update({"gone": len(set(before) - set(after))})
        busy.subtract(allowed)
        busy = +busy
        if not busy:
            break
    return {name: f"{count} times in {WINDOW_S} s" for name, count in busy.items()}


def groups_of(pid):
    """Directories of a process's control groups on the host."""
    for line in harness.read("/proc/self/mountinfo").splitlines():
        left, right = line.split(" - ")
        if right.split()[0] in ("cgroup", "cgroup2"):
            options = set(right.split()[2].split(","))
            for controllers, path in harness.cgroups_of(pid).items():
                if set(controllers.split(",")) <= options or (not controllers and right.startswith("cgroup2")):
                    yield left.split()[4] + path


def charged(pid):
    """Bytes that the kernel has charged to a blank: its processes, their kernel objects, page tables."""
    for path in groups_of(pid):
        top = os.path.dirname(path) if os.path.basename(path) == "agent" else path
        for name in ("memory.usage_in_bytes", "memory.current"):
            if os.path.exists(os.path.join(top, name)):
                return int(harness.read(os.path.join(top, name)))
    raise AssertionError("no group counts the memory")


def documented():
    """KiB that each waiting blank costs, as the manual says."""
    text = harness.read(os.path.join(harness.ROOT, "man", "caisson.conf.5"))
    return int(re.search(r"each costs the host some (\d+) KiB", text.replace("\n", " "))[1])


@pytest.fixture(scope="module")
def engine():
    for engine in conftest.run_engine("--pool", str(LARGEST)):
        harness.wait_until(lambda: len(engine.agents()) == LARGEST, 100, "the pool is full", every=0.2)
        yield engine


@pytest.mark.timeout(200)
def test_a_full_pool_does_nothing(engine):
    assert ran_while_idle(engine, {}) == {}


def test_blanks_cost_what_is_documented(engine):
    """Medians; the kernel charges some of it ahead, and what is nobody's (a namespace's tables) is not in it."""
    agents = engine.agents()
    private = sorted(sum(map(int, re.findall(r"Private_\w+:\s+(\d+)", harness.read(f"/proc/{pid}/smaps_rollup"))))
                     for pid in agents)[len(agents) // 2]
    group = sorted(map(charged, agents))[len(agents) // 2] // 1024
    print(f"agent {private} KiB, charged {group} KiB")
    assert private <= AGENT_KIB and group <= documented()


def test_idle_sandboxes_cost_no_time_each(engine):
    """Ten that nobody uses: what caissond looks at does not become more with their number, the others sleep."""
    keys = [engine.api.create("busybox", cpu_cores=0.1, memory_gb=0.0625).ok()["id"] for _ in range(SANDBOXES)]
    for key in keys:
        assert engine.api.exec(key, "true").code == 0
    try:
        may = {"caissond": LOOKS * WINDOW_S + 2}
        assert ran_while_idle(engine, may) == {}
        before = reads(engine)
        time.sleep(WINDOW_S)
        assert reads(engine) - before <= READS * (LOOKS * WINDOW_S + 2)
    finally:
        for key in keys:
            engine.api.delete(key).ok()


def reads(engine):
    """How often caissond has read from anything."""
    return int(re.search(r"syscr: (\d+)", harness.read(f"/proc/{engine.pid}/io"))[1])
