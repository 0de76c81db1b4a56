# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a worker, the gateway or caissond at random moments: a store that is sound, nothing that leaks, and
the same once more works. CAISSON_SEED repeats a run, CAISSON_CRASHES says how often (100)."""

import contextlib
import http.client
import json
import os
import random
import signal
import threading
import time

import pytest

import archives
import harness
from archives import Entry, directory
from client import Images

CRASHES = int(os.environ.get("CAISSON_CRASHES", "100"))
SEED = os.environ.get("CAISSON_SEED", "") or os.urandom(4).hex()
WORKERS = ("caisson-fetch", "caisson-image")
DOES = ("pull", "unpack", "commit", "prune")
SANDBOX, BEFORE, AFTER = "crashes", "kept:1", "committed:1"


class Scene:
    """An engine with one image and one sandbox that are there all the time, and the four things that are done
    while somebody is killed. prepare_X makes it possible, do_X does it and fails if it fails."""

    def __init__(self, engine, fleet, builder):
        self.engine, self.images, self.pulled = engine, Images(engine), f"{fleet.anonymous.address}/crash/image:1"
        noise = [archives.tar([directory("d"), Entry(f"d/noise{i}", random.randbytes(300_000))]) for i in range(4)]
        self.file = archives.Layout([builder.base, *noise]).as_tar()
        fleet.anonymous.fill(f"oci:{builder.layout('crash', [builder.base, *noise])}:latest", "crash/image:1")
        self.images.load(archives.Layout([builder.base]).as_tar(), BEFORE).ok()
        self.took = {}
        self.sandbox()

    def sandbox(self):
        """Lives on through all crashes, or is made anew."""
        found = self.engine.api.get(SANDBOX)
        if found.status != 200 or found["status"] != "RUNNING":
            self.engine.api.create(BEFORE, name=SANDBOX).ok()
        done = self.engine.api.exec(SANDBOX, f"echo {random.random()} >/tmp/x; dd if=/dev/urandom of=/noise bs=64k count=16",
                                    timeout=20)
        assert done.code == 0, done
        return SANDBOX

    def forget(self):
        for name in self.images.names():
            if name != BEFORE:
                assert self.images.remove(name).status in (200, 404)
        self.images.prune().ok()

    prepare_pull = prepare_unpack = forget

    def do_pull(self):
        self.images.pull(self.pulled).ok()

    def do_unpack(self):
        self.images.load(self.file, "unpacked:1").ok()

    prepare_commit = forget

    def do_commit(self):
        self.images.commit(SANDBOX, AFTER).ok()

    def prepare_prune(self):
        self.do_unpack()
        self.images.tag("unpacked:1", "second:1").ok()

    def do_prune(self):
        self.images.prune(all=True).ok()

    # ---- killing ----------------------------------------------------------------------------------

    def victim(self, kind):
        """A pid, or None when there is nobody (any more)."""
        if kind == "caissond":
            return self.engine.pid
        names = WORKERS if kind == "worker" else ("caisson-gateway",)
        found = [pid for pid in harness.children(self.engine.pid) if harness.comm(pid) in names]
        return random.choice(found) if found else None

    def crash(self, what, kind):
        """Does one thing and kills somebody meanwhile; whether one was there to be killed."""
        getattr(self, "prepare_" + what)()
        errors = []

        def act():
            try:
                getattr(self, "do_" + what)()
            except (AssertionError, OSError, http.client.HTTPException, json.JSONDecodeError) as error:
                errors.append(error)
        thread = threading.Thread(target=act)
        begin = time.monotonic()
        thread.start()
        time.sleep(random.uniform(0, self.took[what] * (0.8 if kind == "worker" else 1)))
        pid = None
        while pid is None and thread.is_alive():
            pid = self.victim(kind)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        thread.join(40)
        assert not thread.is_alive(), f"{what} hangs after the end of {kind}"
        self.engine.api.close()
        return pid, errors, time.monotonic() - begin

    def recover(self, kind, pid):
        """Until the engine answers again."""
        if pid is None or kind == "worker":
            return
        if kind == "caissond":
            self.engine.process.wait()
            self.engine.start()
        else:
            harness.wait_until(lambda: self.victim("gateway") not in (None, pid) and self.engine.api.healthy(), 20,
                               "a new gateway")

    def check(self, kind, pid):
        """Sound, complete, and without a remainder once it has been started again."""
        if kind == "worker" or pid is None:
            self.images.prune().ok()
        harness.wait_until(lambda: self.images.garbage() == [], 10, f"no garbage: {self.images.garbage()}")
        self.images.sound()
        self.sandbox()
        assert BEFORE in self.images.names()


@pytest.fixture(scope="module")
def scene(engine, servers, builder):
    random.seed(SEED)
    scene = Scene(engine, servers, builder)
    for what in DOES:
        times = []
        for _ in range(3):
            getattr(scene, "prepare_" + what)()
            begin = time.monotonic()
            getattr(scene, "do_" + what)()
            times.append(time.monotonic() - begin)
        scene.took[what] = sorted(times)[1]
    yield scene
    engine.api.delete(SANDBOX)


@pytest.mark.timeout(400)
def test_crashes(scene, fleet):
    print(f"CAISSON_SEED={SEED}; each takes {scene.took}")
    hits = {}
    for i in range(2 * CRASHES):  # some come too late
        if sum(hits.values()) == CRASHES:
            break
        what = DOES[i % len(DOES)]
        kind = ("worker", "gateway", "caissond")[i // len(DOES) % 3]
        if (what, kind) == ("prune", "worker"):  # has none
            kind = random.choice(("gateway", "caissond"))
        pid, errors, took = scene.crash(what, kind)
        where = f"crash {i}: {kind} {pid} during {what}, {took:.3f} s, {errors[:1]}"
        print(where)
        try:
            scene.recover(kind, pid)
            scene.check(kind, pid)
            getattr(scene, "prepare_" + what)()
            getattr(scene, "do_" + what)()
        except BaseException:
            print("it was", where)
            raise
        hits[kind] = hits.get(kind, 0) + (pid is not None)
    print(hits)
    assert sum(hits.values()) == CRASHES, "it ends before anybody can be killed"
