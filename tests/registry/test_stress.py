# SPDX-License-Identifier: Apache-2.0
"""Everybody at once: pulls that share layers, imports, tags, removals, prunes and sandboxes, at random. Whatever
each of them was answered, the store is sound in the end and holds what its images need, nothing else."""

import http.client
import os
import random
import threading
import time

import pytest

import harness
from builders import as_tar
from client import Images

SECONDS = 15
SEED = os.environ.get("CAISSON_SEED", "") or os.urandom(4).hex()
NAMES = ("a:1", "b:1", "c:1")


class Actor(threading.Thread):
    """Asks for one random thing after the other. An answer may be a refusal, with words; never a fault of ours."""

    def __init__(self, engine, servers, files, seed):
        super().__init__()
        self.engine, self.servers, self.files, self.random = engine, servers, files, random.Random(seed)
        self.images = Images(engine)
        self.images.api = self.api = harness.Api(engine.socket)
        self.wrong, self.done, self.end = [], {}, time.monotonic() + SECONDS

    def sources(self):
        return [f"{self.servers.anonymous.address}/test/{name}:latest" for name in ("one", "three", "three_zstd", "wide")]

    def pull(self):
        return self.images.pull(self.random.choice(self.sources()), policy="always")

    def leave(self):
        with self.images.stream("images/pull", image=self.random.choice(self.sources()), policy="always") as stream:
            for _ in range(self.random.randrange(6)):
                next(iter(stream), None)

    def load(self):
        return self.images.load(self.random.choice(self.files), self.random.choice(NAMES))

    def tag(self):
        return self.images.tag(self.random.choice([*NAMES, *self.sources()]), self.random.choice(NAMES))

    def remove(self):
        return self.images.remove(self.random.choice([*NAMES, *self.sources()]))

    def prune(self):
        return self.images.prune(all=self.random.random() < 0.3)

    def create(self):
        made = self.api.create(self.random.choice(NAMES), name=None)
        if made.status == 200:
            if made["status"] == "RUNNING":  # no, if it waits for an image that was just removed
                assert self.api.exec(made["id"], "echo it runs").stdout == "it runs\n"
            self.api.delete(made["id"]).ok()
        return made

    def verify(self):
        outcome = self.images.verify()
        assert outcome.done and not outcome.last["bad"], outcome
        return outcome

    def save(self):
        answer = self.api.request("GET", f"/api/v1/image-archive?image={self.random.choice(NAMES)}&format=oci")
        return answer

    def run(self):
        acts = [self.pull, self.pull, self.leave, self.load, self.tag, self.remove, self.prune, self.create, self.verify,
                self.save]
        while time.monotonic() < self.end and not self.wrong:
            act = self.random.choice(acts)
            try:
                answer = act()
            except (AssertionError, OSError, http.client.HTTPException, ValueError) as error:
                self.wrong.append(f"{act.__name__}: {error!r}"[:600])
                return
            if answer is not None and (answer.status >= 500 or (hasattr(answer, "error") and answer.error == "")):
                self.wrong.append(f"{act.__name__}: {answer!r}"[:600])
            self.done[act.__name__] = self.done.get(act.__name__, 0) + 1


@pytest.mark.timeout(SECONDS + 100)
def test_everybody_at_once(engine, fleet, builder, images):
    print(f"CAISSON_SEED={SEED}")
    files = [as_tar(path) for path in (builder.one, builder.three, builder.wide)]
    gateway = engine.gateway
    actors = [Actor(engine, fleet, files, f"{SEED}-{i}") for i in range(6)]
    for actor in actors:
        actor.start()
    for actor in actors:
        actor.join()
    print([actor.done for actor in actors])
    assert not any(actor.wrong for actor in actors), [actor.wrong for actor in actors]
    assert engine.gateway == gateway
    images.prune().ok()
    assert images.garbage() == [] and not images.missing()
    images.sound()
    assert sum(actor.done.get("pull", 0) for actor in actors) > 5
