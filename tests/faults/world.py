# SPDX-License-Identifier: Apache-2.0
"""An engine that may die at any moment, and whether what it lists is what the kernel has."""

import contextlib
import ctypes
import functools
import http.client
import itertools
import os
import re
import signal
import socket
import subprocess
import threading
import time
from typing import NamedTuple

import harness

SETTLE_SECONDS, LOOK_SECONDS = 30, 0.005
TROUBLE = (OSError, http.client.HTTPException)  # a connection that broke, or was not to be had
NAME = re.compile(r"[a-z][a-z0-9]{11}$")


def names(path):
    """Ids of sandboxes below path."""
    with contextlib.suppress(FileNotFoundError):
        return {name for name in os.listdir(path) if NAME.match(name)}
    return set()


def files(path):
    with contextlib.suppress(FileNotFoundError):
        return set(os.listdir(path))
    return set()


@functools.cache
def cgroup_roots():
    return harness.cgroup_roots()


class Process(NamedTuple):
    pid: int
    name: str
    state: str
    parent: int


def processes():
    """All that there are now, from one file each: this is looked at most often."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb", buffering=0) as file:
            head, _, tail = file.read(1024).rpartition(b") ")
            state, parent = tail.split(None, 2)[:2]
            found.append(Process(int(entry), head.partition(b"(")[2].decode(errors="replace"), state.decode(), int(parent)))
    return found


def links_in(namespace):
    """Names of the links there, seen by a thread that enters it and ends."""
    found, libc = [], ctypes.CDLL(None, use_errno=True)

    def look():
        with contextlib.suppress(OSError), open(namespace, "rb") as file:
            if libc.setns(file.fileno(), 0x40000000) == 0:  # CLONE_NEWNET
                found.extend(name for _, name in socket.if_nameindex())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found


class World:
    """An engine and what belongs to it."""

    def __init__(self, *options):
        self.engine = harness.Engine(*options)
        self.engine.instance_path = None
        self.instance, self.registry = None, None
        self.blanks = int(self.engine.options[self.engine.options.index("--pool") + 1])
        self.api = harness.Api(self.engine.socket, 20)

    # ---- its life --------------------------------------------------------------------------------

    def alive(self):
        return self.engine.process is not None and self.engine.process.poll() is None

    def begin(self):
        """Starts caissond; does not wait until it answers."""
        engine = self.engine
        self.api.close()
        with open(engine.log_path, "ab") as log:
            engine.process = subprocess.Popen(
                engine.command("--on-stop", "end"), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    def kill(self):
        """As the kernel would: nothing of it is told."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.engine.pid, signal.SIGKILL)
        self.engine.process.wait()

    def ready(self):
        """Whether it answers, with a gateway that has adopted all."""
        try:
            return self.alive() and self.api.raw("GET", "/readyz", timeout=2).status == 200
        except TROUBLE:
            return False

    def is_full(self):
        """Whether its pool is, when it has no other sandboxes."""
        return len(names(os.path.join(self.engine.run, "sandboxes"))) == self.blanks

    def start(self):
        """From nothing, or from what died, to an engine with its pool full."""
        if not self.alive():
            self.begin()
        harness.wait_until(self.ready, harness.START_SECONDS, lambda: self.engine.log()[-2000:])
        self.instance = re.findall(r"instance=(\w+)", self.engine.log())[-1]
        self.engine.instance_path = "/caisson-" + self.instance
        wrong = self.settle()
        assert not wrong, wrong

    def end(self):
        """Nothing of it is left; only who lives can end what there is."""
        if self.instance is not None and not self.alive():
            self.start()
        self.engine.stop()

    # ---- what is there -----------------------------------------------------------------------------

    def agents(self, there=None):
        """id -> pid of process 1, by the control groups."""
        mark, found = f"/caisson-{self.instance}/", {}
        for process in there or processes():
            if process.name != "caisson-agent" or not self.is_first(process.pid):
                continue
            for path in harness.cgroups_of(process.pid).values():
                if mark in path:
                    found[path.split(mark)[1].split("/")[0]] = process.pid
        return found

    @staticmethod
    def is_first(pid):
        return (harness.status_of(pid) or {}).get("NSpid", "").split()[-1:] == ["1"]

    def groups(self):
        """Ids that have a control group, whatever tree it is in."""
        found = set()
        for root in cgroup_roots():
            found |= names(os.path.join(root, "caisson-" + self.instance))
        return found

    def reservations(self):
        """Who has user ids of this engine: ids of sandboxes; "lock" once for each worker."""
        owners, mark = [], self.engine.run + "/"
        for name in files(harness.IDS):
            with contextlib.suppress(OSError):
                owner = os.readlink(os.path.join(harness.IDS, name))
                if owner.startswith(mark):
                    owners.append(owner[len(mark):].replace("sandboxes/", ""))
        return owners

    def links(self):
        """How many links of sandboxes end in the router."""
        return sum(re.fullmatch(r"s\d+", name) is not None for name in links_in(os.path.join(self.engine.run, "net")))

    def workers(self, there=None):
        """(name, pid) of caissond's children, without agents."""
        return sorted((process.name, process.pid) for process in there or processes()
                      if process.parent == self.engine.pid and process.state not in "ZX" and process.name != "caisson-agent")

    def frozen(self, key):
        """Whether the commands of a sandbox stand still, as the kernel says."""
        states = set()
        for root in cgroup_roots():
            for name in ("freezer.state", "cgroup.freeze"):
                with contextlib.suppress(OSError):
                    states.add(harness.read(os.path.join(root, "caisson-" + self.instance, key, "work", name)).strip())
        return bool(states & {"FROZEN", "FREEZING", "1"})

    def rows(self):
        """id -> status of what is said to live."""
        answer = self.api.raw("GET", "/api/v1/sandbox?per_page=1000&is_active=true").ok()
        return {row["id"]: row["status"] for row in answer["sandboxes"]}

    def layers(self):
        """The sandboxes that have something to write to, as a directory or as a disk of their own."""
        mark = f"caisson-{self.instance}/"
        disks = {name.removeprefix(mark) for _, name in harness.disks() if name.startswith(mark)}
        return names(os.path.join(self.engine.state, "writable")) | set(filter(NAME.match, disks))

    def differences(self):
        """What differs between the list, the records and the kernel, line by line: what is cheap to see comes first."""
        if not self.ready():
            yield "it does not answer"
            return
        rows, records = self.rows(), names(os.path.join(self.engine.run, "sandboxes"))
        if len(records) != len(rows) + self.blanks:
            yield f"{len(records)} records of {len(rows)} sandboxes and {self.blanks} blanks"
        yield from (f"{key} is {status}" for key, status in rows.items() if status not in ("RUNNING", "PAUSED"))
        yield from (f"{key} is listed and has no record" for key in rows if key not in records)
        if files(os.path.join(self.engine.state, "trash")):
            yield "something is in the trash"
        remains = self.api.raw("GET", "/api/v1/host").ok()["remains"]
        if any(remains.values()):
            yield f"remains of sandboxes: {remains}"
        owners = self.reservations()
        if owners.count("lock") != 1:  # the resolver
            yield f"{owners.count('lock')} workers have user ids"
        yield from self.unlike(records, "user ids", set(owners) - {"lock"})
        yield from self.unlike(records, "control groups", self.groups())
        yield from self.unlike(records, "a writable layer", self.layers())
        if self.links() != len(records):
            yield f"{self.links()} links for {len(records)} sandboxes"
        yield from (f"{key} is {status}, and frozen is {self.frozen(key)}" for key, status in rows.items()
                    if self.frozen(key) != (status == "PAUSED"))
        there = processes()
        yield from self.unlike(records, "a process", set(self.agents(there)))
        zombies = [process for process in there if process.state == "Z" and process.parent == self.engine.pid]
        if zombies:
            yield f"children of caissond that nobody has reaped: {zombies}"
        workers = [name for name, _ in self.workers(there)]
        if workers != ["caisson-gateway"[:15], "caisson-reaper", "caisson-resolve"[:15], "caisson-spawner"[:15]]:
            yield f"children of caissond: {workers}"

    @staticmethod
    def unlike(records, what, keys):
        yield from (f"{key} has {what} and no record" for key in keys - records)
        yield from (f"{key} has a record and not {what}" for key in records - keys)

    def settle(self, seconds=SETTLE_SECONDS):
        """Waits until all that is listed is there and nothing else, starting caissond when it has died.

        What is wrong still after that time is returned.
        """
        end = time.monotonic() + seconds
        while True:
            if not self.alive():
                self.begin()
            over = time.monotonic() > end
            try:
                wrong = list(itertools.islice(self.differences(), None if over else 1))
            except (*TROUBLE, AssertionError) as error:
                wrong = [f"while looking: {error!r}"]
            if not wrong or over:
                return wrong
            time.sleep(LOOK_SECONDS)

    def descriptors(self):
        """How many descriptors caissond and the gateway have open: program -> (pid, count)."""
        found = {}
        for pid in [self.engine.pid, *harness.children(self.engine.pid)]:
            if harness.comm(pid) in ("caissond", "caisson-gateway"[:15]):
                found[harness.comm(pid)] = (pid, len(files(f"/proc/{pid}/fd")))
        return found
