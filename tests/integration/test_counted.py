# SPDX-License-Identifier: Apache-2.0
"""What one create, one exec and one remove cost, counted: no process may come to need one system call more.

The most that each may take is in counted.txt, with what it is for. After a change that takes less (or has a good
reason to take more) CAISSON_GOLDEN=1 writes the numbers anew; the difference belongs into the commit.
"""

import collections
import os
import shutil

import pytest

import calls
import conftest
import harness

BOUNDS = os.path.join(harness.HERE, "counted.txt")
FIGURES = ("calls", "messages", "forks", "KiB", "wakeups")
SLACK = {"wakeups": 2}  # what comes at once wakes once
FAULTS_MAX = 55  # of a command and who becomes it
ROUNDS = 11  # the first ones, when memory is got, are not among them
WARM_UP = 3
ROLES = {"caisson-gateway"[:15]: "gateway", "caisson-spawner"[:15]: "spawner", "caisson-resolver"[:15]: "resolver",
         "caisson-reaper": "reaper", "caisson-agent": "agent"}


# ---- the bounds ------------------------------------------------------------------------------------

def read_bounds():
    """(operation, who) -> ({figure: most}, why), in order."""
    bounds = {}
    for line in harness.read(BOUNDS).splitlines():
        if line and not line.startswith("#"):
            operation, who, *numbers, why = (field.strip() for field in line.split("|"))
            bounds[operation, who] = (dict(zip(FIGURES, map(int, numbers))), why)
    return bounds


def write_bounds(measured):
    bounds = read_bounds()
    comments = [line for line in harness.read(BOUNDS).splitlines() if line.startswith("#")]
    with open(BOUNDS, "w", encoding="utf-8") as file:
        print(*comments, sep="\n", file=file)
        for (operation, who), costs in measured.items():
            why = bounds.get((operation, who), (None, "?"))[1]
            most = figures(costs, UPPER)
            numbers = " | ".join(f"{most[name]:3}" for name in FIGURES)
            print(f"{operation:6} | {who:8} | {numbers} | {why}", file=file)


# ---- measuring -------------------------------------------------------------------------------------

class Operations:
    """The life of some sandboxes, one kind of operation after the other."""

    def __init__(self, engine):
        self.api, self.keys = engine.api, []

    def create(self):
        self.keys.append(self.api.create("busybox", cpu_cores=0.1, memory_gb=0.0625).ok()["id"])

    def exec(self):
        assert self.api.exec(self.keys[0], ["/bin/true"]).code == 0

    def remove(self):
        self.api.delete(self.keys.pop()).ok()

    def rounds(self):
        for step in (self.create, self.exec, self.remove):
            for number in range(WARM_UP + ROUNDS):
                yield step, number >= WARM_UP


def daemons(engine):
    found = {engine.pid: "caissond"}
    found.update((pid, ROLES[harness.comm(pid)]) for pid in harness.children(engine.pid)
                 if harness.comm(pid) in ROLES)
    return found


def traced(engine, path):
    """(operation, who) -> a Cost of each round. What was forked off belongs to its maker until it executes."""
    known, costs = daemons(engine), collections.defaultdict(list)
    operations = Operations(engine)
    with calls.Tracer(path, known) as tracer:
        begin = tracer.settle()
        for step, counts in operations.rounds():
            step()
            end = tracer.settle()
            of = {who: [] for who in known.values()}
            for call in tracer.between(begin, end):
                who = known.get(call.pid) or ROLES.get(call.name) or ("agent" if "memfd" in call.name else None)
                if who is not None:
                    of[who].append(call)
            if counts:
                for who, made in of.items():
                    costs[step.__name__, who].append(calls.Cost(made))
            begin = end
    return costs


LOWER, UPPER = 1, 3  # quarters of the rounds that took less


def figures(costs, quarter):
    """What most rounds take: others on the machine add to some, and what ends late counts for the next one."""
    def at(values):
        return sorted(values)[(len(costs) - 1) * quarter // 4]

    return {"calls": at([cost.calls for cost in costs]), "messages": at([cost.messages for cost in costs]),
            "forks": at([cost.forks for cost in costs]), "KiB": -(-at([cost.bytes for cost in costs]) // 1024),
            "wakeups": at([cost.wakeups for cost in costs])}


@pytest.fixture(scope="module")
def engine():
    yield from conftest.run_engine("--pool", "2")


@pytest.fixture(scope="module")
def measured(engine, tmp_path_factory):
    """(operation, who) -> a Cost of each round, of those that take part."""
    if shutil.which("strace") is None:
        conftest.skip("no strace")
    harness.wait_until(lambda: len(engine.agents()) == 2, 10, "blanks")
    costs = traced(engine, str(tmp_path_factory.mktemp("counted") / "strace"))
    return {key: rounds for key, rounds in costs.items() if figures(rounds, UPPER)["calls"] > 0}


# ---- the tests -------------------------------------------------------------------------------------

def told(names):
    return ", ".join(f"{name} {count}" for name, count in names.most_common())


def test_nothing_costs_more_than_it_did(measured):
    if os.environ.get("CAISSON_GOLDEN"):
        write_bounds(measured)
    bounds, bad = read_bounds(), []
    for (operation, who), costs in measured.items():
        seen, most = figures(costs, LOWER), bounds.get((operation, who), ({}, ""))[0]
        names = told(sorted(costs, key=lambda cost: cost.calls)[len(costs) // 4].names)
        print(f"{operation:6} {who:8} " + " ".join(f"{name} {seen[name]:3}" for name in FIGURES), "|", names)
        bad += [f"{operation}, {who}: {seen[name]} {name}, {most.get(name, 0)} at most: {names}"
                for name in FIGURES if seen[name] > most.get(name, 0) + SLACK.get(name, 0)]
    assert not bad, "\n" + "\n".join(bad)


def faults_of_children(pid):
    """Of those that have been waited for."""
    return int(harness.read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[8])


def test_a_command_comes_to_few_pages(engine):
    """Until it executes each page is a fault, as dear as some system calls. /bin/true itself has some forty."""
    box = engine.api.create("busybox", cpu_cores=0.1, memory_gb=0.0625).ok()["id"]
    agent = engine.agent_of(box)
    for _ in range(WARM_UP):
        assert engine.api.exec(box, ["/bin/true"]).code == 0
    faults = [faults_of_children(agent)]
    for _ in range(ROUNDS):
        assert engine.api.exec(box, ["/bin/true"]).code == 0
        faults.append(faults_of_children(agent))
    each = sorted(after - before for before, after in zip(faults, faults[1:]))
    engine.api.delete(box).ok()
    print("faults", each)
    assert each[len(each) // 4] <= FAULTS_MAX


def test_each_bound_is_of_something(measured):
    """A row that nothing is counted for any more guards nothing."""
    assert not set(read_bounds()) - set(measured), "rows to be removed"
