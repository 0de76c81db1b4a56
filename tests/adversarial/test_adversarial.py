# SPDX-License-Identifier: Apache-2.0
"""Twenty hostile sandboxes at a time: each is held by its limits and judged truly, and the quiet ones go on.

    pytest tests/adversarial [--only NAME] [--long MINUTES [--seed N]] -s

One round is part of every check. What neighbours lose is measured and printed, and bounded generously only: it is
a matter of the machine.
"""

import concurrent.futures
import os
import random
import statistics
import threading
import time

import attacks
import harness

AT_ONCE = 20
GRANTED = {"cpu_cores": 0.5, "memory_gb": 0.125, "pids_limit": 64, "disk_size_gb": 0.125}
OF_COMMAND = ("output_bytes", "cpu_time", "memory_bytes")
HANG_SECONDS = 30  # what takes longer than this hangs
SLACK_BYTES, SLACK_PIDS = 2 << 20, 8  # of what the kernel charges late, or moves in
AGENT_BYTES = 48 << 20


def read_number(path):
    try:
        return int(harness.read(path).split()[0])
    except (OSError, ValueError, IndexError):  # it has just gone, or is "max"
        return None


# ---- what the host sees ------------------------------------------------------------------------------


class Guard(threading.Thread):
    """Compares what the kernel counts of each sandbox with what it was granted, all the time."""

    COUNTS = (("work/memory.usage_in_bytes", "memory"), ("work/memory.current", "memory"),
              ("work/memory.kmem.tcp.usage_in_bytes", "sockets"), ("work/pids.current", "pids"),
              ("memory.usage_in_bytes", "all"), ("agent/memory.current", "agent"))

    def __init__(self, instance):
        super().__init__(daemon=True)
        self.tops = [root + instance for root in harness.cgroup_roots()]
        self.granted, self.faults, self.most = {}, [], {}
        self.done = threading.Event()

    def watch(self, key, attack, limits):
        memory = int(limits["memory_gb"] * (1 << 30))
        self.granted[key] = (attack.name, {
            "memory": memory + SLACK_BYTES, "sockets": 2 * memory,  # they are looked at twice a second only
            "pids": limits["pids_limit"] + SLACK_PIDS, "agent": AGENT_BYTES + SLACK_BYTES,
            "all": memory + AGENT_BYTES + SLACK_BYTES})

    def look(self):
        for key, (name, most) in list(self.granted.items()):
            for top in self.tops:
                for file, what in self.COUNTS:
                    value = read_number(f"{top}/{key}/{file}")
                    if value is None:
                        continue
                    self.most[name, what] = max(value, self.most.get((name, what), 0))
                    if value > most[what]:
                        self.faults.append(f"{name}: {what} {value} of {most[what]}")
        for what, value in host().items():
            self.most["host", what] = max(value, self.most.get(("host", what), 0))

    def run(self):
        while not self.done.wait(0.2):
            self.look()


def host():
    """Pools that all share."""
    memory = dict(line.split(":") for line in harness.read("/proc/meminfo").splitlines())
    tcp = next(line for line in harness.read("/proc/net/sockstat").splitlines() if line.startswith("TCP:"))
    return {"files": int(harness.read("/proc/sys/fs/file-nr").split()[0]),
            "kernel MiB": int(memory["SUnreclaim"].split()[0]) >> 10,
            "TCP pages": int(tcp.split()[-1]),
            "terminals": int(harness.read("/proc/sys/kernel/pty/nr"))}


# ---- the neighbours ----------------------------------------------------------------------------------


class Neighbour:
    """Quiet commands, and sandboxes that come and go, each timed."""

    def __init__(self, engine):
        self.path, self.seconds, self.done = engine.api.path, {}, threading.Event()
        self.key = engine.api.create("python:3.11-slim", name="neighbour", disk_size_gb=0.25).ok()["id"]

    def timed(self, api, what, run, *args):
        began = time.monotonic()
        answer = run(*args).ok()
        self.seconds.setdefault(what, []).append(time.monotonic() - began)
        return answer

    def turn(self, api):
        for _ in range(4):
            answer = self.timed(api, "exec", api.exec_raw, self.key, ["/bin/echo", "quiet"])
            assert answer["stdout"] == "quiet\n", answer
        made = self.timed(api, "create", lambda: api.create("python:3.11-slim", disk_size_gb=0.25))
        self.timed(api, "delete", api.delete, made["id"])

    def quiet(self):
        """Its times on a machine that is quiet, as far as we are concerned."""
        api = harness.Api(self.path)
        for _ in range(6):
            self.turn(api)
        api.close()
        seconds, self.seconds = self.seconds, {}
        return seconds

    def __call__(self):
        api = harness.Api(self.path, 2 * HANG_SECONDS)
        while not self.done.is_set():
            self.turn(api)
        api.close()
        return self.seconds


def tell(quiet, loaded):
    for what, times in sorted(loaded.items()):
        base, now = statistics.median(quiet[what]), statistics.median(times)
        print(f"  neighbours' {what}: {now * 1000:.0f} ms, quiet {base * 1000:.0f} ms, ratio {now / base:.1f}; "
              f"the slowest of {len(times)} {max(times) * 1000:.0f} ms")


# ---- one attack --------------------------------------------------------------------------------------


class Attacker:
    """A sandbox in which one attack runs; faults are what was not as it has to be."""

    def __init__(self, engine, guard, attack):
        self.engine, self.guard, self.attack, self.faults = engine, guard, attack, []
        self.api = harness.Api(engine.api.path, attack.seconds + 2 * HANG_SECONDS)
        self.limits = {**GRANTED, **{k: v for k, v in attack.limits.items() if k not in OF_COMMAND}}
        self.key = self.api.create("python:3.11-slim", **self.limits).ok()["id"]
        guard.watch(self.key, attack, self.limits)

    def expect(self, condition, what):
        if not condition:
            self.faults.append(f"{self.attack.name}: {what}")

    def timed(self, what, run, *args, **more):
        began = time.monotonic()
        answer = run(*args, **more)
        took = time.monotonic() - began
        self.expect(took < HANG_SECONDS, f"{what} took {took:.1f} s")
        return answer

    def verdict(self):
        """The reason of its command, or the word with which the sandbox ended."""
        more = {k: v for k, v in self.attack.limits.items() if k in OF_COMMAND}
        began = time.monotonic()
        answer = self.api.exec_raw(self.key, ["python3", "-c", attacks.PRELUDE + self.attack.source],
                                   timeout=self.attack.seconds, **more)
        took = time.monotonic() - began
        self.expect(took < self.attack.seconds + HANG_SECONDS, f"its command took {took:.1f} s")
        how = f"{answer.status} {answer.body[-300:]}"
        row = self.api.get(self.key).json
        if row["status"] == "RUNNING":
            return answer.json.get("reason"), how
        if row["errorType"] == "OOM_KILLED":
            self.expect(answer.status == 409 or answer.json.get("reason") == "oom", f"is told as {how}")
            report = row["outOfMemory"]
            limit = int(self.limits["memory_gb"] * (1 << 30))
            full = report["peakBytes"] > limit * 3 // 4 or report["kernelBytes"] > limit // 2
            self.expect(report["limitBytes"] == limit and full, f"is reported as {report}")
        return row["errorType"] or row["status"], f"{how} {row['errorMessage']}"

    def is_fine(self):
        """What is left of it answers still, but for one that has no memory left."""
        if self.api.get(self.key).json["status"] != "RUNNING":
            return
        answer = self.timed("a command after it", self.api.exec_raw, self.key, ["/bin/echo", "still here"],
                            timeout=HANG_SECONDS)
        if answer.status != 200 and attacks.OOM <= self.attack.verdicts | {self.now}:
            return
        self.expect(answer.status == 200 and answer.json.get("stdout") == "still here\n", f"then answers {answer}")

    def is_gone(self):
        answer = self.timed("its deletion", self.api.delete, self.key)
        self.expect(answer.status in (200, 404), f"its deletion says {answer}")
        left = self.engine.sandbox_pids(self.key)
        self.expect(not left, f"leaves processes {left}")
        harness.wait_until(lambda: not self.engine.left_of(self.key), harness.LEAK_SECONDS,
                           lambda: f"{self.key}: leaves {self.engine.left_of(self.key)}")

    def __call__(self):
        began = time.monotonic()
        self.now, how = self.verdict()
        took = time.monotonic() - began
        self.expect(self.now in self.attack.verdicts,
                    f"ended as {self.now} ({how}), not {' or '.join(sorted(self.attack.verdicts))}")
        self.is_fine()
        self.is_gone()
        self.api.close()
        return f"  {self.attack.name}: {self.now} after {took:.1f} s"


# ---- rounds ------------------------------------------------------------------------------------------


def attack_with(engine, chosen, quiet, neighbour):
    """One round; returns what went wrong."""
    guard = Guard(engine.instance())
    neighbour.done.clear()
    neighbour.seconds = {}
    with concurrent.futures.ThreadPoolExecutor(len(chosen) + 1) as pool:
        attackers = list(pool.map(lambda attack: Attacker(engine, guard, attack), chosen))
        guard.start()
        beside = pool.submit(neighbour)
        running = [pool.submit(one) for one in attackers]
        for one in running:
            print(one.result())
        neighbour.done.set()
        loaded = beside.result()
    guard.done.set()
    guard.join()
    tell(quiet, loaded)
    print("  host at most:", {what: value for (name, what), value in guard.most.items() if name == "host"})
    print("  most of one:", {what: max(value for (name, each), value in guard.most.items()
                                      if each == what and name != "host") for _, what in Guard.COUNTS
                             if any(each == what for _, each in guard.most)})
    faults = guard.faults[:10] + [fault for one in attackers for fault in one.faults]
    return faults + [f"a neighbour's {what} took {max(times):.1f} s" for what, times in loaded.items()
                     if max(times) > HANG_SECONDS]


def rounds(config):
    only, minutes = config.getoption("--only"), config.getoption("--long")
    if only is not None:
        yield [attack for attack in attacks.ATTACKS if only in attack.name]
        return
    if minutes is None:
        yield [attack for attack in attacks.ATTACKS if attack.quick]
        return
    seed = config.getoption("--seed") or random.randrange(1 << 30)
    chance, end = random.Random(seed), time.monotonic() + 60 * minutes
    print(f"\nseed {seed}")
    left = []
    while left or time.monotonic() < end:
        left = left or chance.sample(attacks.ATTACKS, len(attacks.ATTACKS))
        now, left = left[:AT_ONCE], left[AT_ONCE:]
        yield now + chance.sample([attack for attack in attacks.ATTACKS if attack not in now], AT_ONCE - len(now))


def test_hostile_sandboxes(engine, request):
    faults = []
    neighbour = Neighbour(engine)
    quiet = neighbour.quiet()
    print("\n  host before:", host())
    for chosen in rounds(request.config):
        assert chosen, "no such attack"
        print(f"\n{len(chosen)} at once:")
        faults += attack_with(engine, chosen, quiet, neighbour)
    engine.api.delete(neighbour.key).ok()
    assert not faults, "\n" + "\n".join(faults)
