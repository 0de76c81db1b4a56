# SPDX-License-Identifier: Apache-2.0
"""What is done to an engine while a fault happens, and what must be true afterwards.

Each scene is prepared while nothing is armed, acts once, and is looked at when the engine is at rest again. What it
promises: the client has its answer, or asks again and gets it, and nothing is there twice.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse

import archives
import harness
from world import TROUBLE, World, files


class Scene:
    """Acts on `target`, a sandbox that all scenes share, or on one of its own."""

    def __init__(self, world, target):
        self.world, self.api, self.target, self.answer = world, world.api, target, None
        self.mortal = False  # its own sandbox may die of it
        self.fired = lambda: False  # whether it has happened

    def ask(self, method, path, body=None, raw=None):
        """The answer, or None when the connection broke. Never asks twice."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        try:
            return self.api.raw(method, path, data, {} if raw is not None else {"Content-Type": "application/json"},
                                timeout=20)
        except TROUBLE:
            return None

    def must(self, method, path, body=None, raw=None):
        answer = self.ask(method, path, body, raw)
        assert answer is not None and answer.status == 200, f"asked again, {method} {path}: {answer}"
        return answer.json

    def works(self, key):
        said = self.must("POST", f"/api/v1/sandbox/{key}/exec", {"command": "echo alive; exit 3"})
        assert (said["stdout"], said["exit_code"]) == ("alive\n", 3), said

    def until(self, over, seconds):
        """Waits until it is over, or has happened, or so long."""
        end = time.monotonic() + seconds
        while not over() and not self.fired() and time.monotonic() < end:
            time.sleep(0.005)

    @staticmethod
    def is_yes(answer):
        return answer is not None and answer.status == 200

    def said_yes(self):
        return self.is_yes(self.answer)

    def prepare(self):
        """Of an engine at rest, before anything can happen."""

    def prepares(self):
        """Whether that is to come to rest before it acts."""
        return type(self).prepare is not Scene.prepare

    def act(self):
        raise NotImplementedError

    def check(self):
        """After the engine is at rest again; cleans up."""
        raise NotImplementedError

    def log(self):
        """Of the engine that it is about."""
        return self.world.engine.log()

    def cut(self):
        """Ends what nobody else does, when something is wrong."""

    def agents(self):
        """First processes of sandboxes that take part."""
        return [self.world.agents()[self.target]]


class Ssh(Scene):
    """Somebody who logs in has his command's end, or sees that he is cut off."""
    top = ""

    def prepare(self):
        self.top = tempfile.mkdtemp(prefix="caisson-it.ssh.")
        key = os.path.join(self.top, "key")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, timeout=20)
        with open(key + ".pub", encoding="ascii") as file:
            self.public = file.read()
        self.login()

    def login(self):
        self.session = self.must("POST", f"/api/v1/sandbox/{self.target}/ssh-session", {"public_key": self.public})

    def run(self, command):
        session, key = self.session, os.path.join(self.top, "key")
        options = [word for name, value in (("StrictHostKeyChecking", "no"), ("UserKnownHostsFile", "/dev/null"),
                                            ("BatchMode", "yes"), ("IdentitiesOnly", "yes"), ("LogLevel", "ERROR"))
                   for word in ("-o", f"{name}={value}")]
        return subprocess.run(["ssh", "-F", "/dev/null", "-i", key, "-p", str(session["port"]), *options,
                               f"{session['session_id']}@{session['host']}", command], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=10, check=False)

    def act(self):
        self.run("echo in; exit 3")

    def check(self):
        again = self.run("echo in; exit 3")
        assert (again.stdout, again.returncode) == (b"in\n", 3), again
        self.must("DELETE", f"/api/v1/sandbox/{self.target}/ssh-session/{self.session['session_id']}")
        self.cut()

    def cut(self):
        shutil.rmtree(self.top, ignore_errors=True)


class Idle(Scene):
    """What goes on without anybody, but for the looks at whether all is well."""

    def act(self):
        self.until(lambda: False, 0.3)

    def check(self):
        self.works(self.target)


class Create(Scene):
    def prepare(self):
        self.name = "c-" + os.urandom(6).hex()
        self.body = {"name": self.name, "docker_image": "busybox", "cpu_cores": 1, "memory_gb": 0.25,
                     "idempotency_key": self.name, "environment_vars": {"WORD": "kept"},
                     "network_allowlist": ["example.com", "192.0.2.0/24"]}

    def act(self):
        self.answer = self.ask("POST", "/api/v1/sandbox", self.body)

    def check(self):
        made = self.must("POST", "/api/v1/sandbox", self.body)
        if self.mortal and made["status"] == "ERROR":
            assert made["terminationReason"], made
            return
        if self.said_yes():
            assert made["id"] == self.answer["id"], f"the same key made {made['id']} after {self.answer['id']}"
        same = [key for key in self.world.rows() if self.must("GET", f"/api/v1/sandbox/{key}")["name"] == self.name]
        assert same == [made["id"]], same
        said = self.must("POST", f"/api/v1/sandbox/{made['id']}/exec", {"command": "echo $WORD"})
        assert said["stdout"] == "kept\n", said
        self.must("DELETE", f"/api/v1/sandbox/{made['id']}")

    def agents(self):
        """Of the blanks: one of them becomes it."""
        return [pid for key, pid in self.world.agents().items() if key not in self.world.rows()]


class Exec(Scene):
    def act(self):
        self.answer = self.ask("POST", f"/api/v1/sandbox/{self.target}/exec", {"command": "echo out; exit 7"})

    def check(self):
        if self.said_yes():
            said = self.answer.json
            if self.mortal and said["reason"] == "engine_error":  # the agent cannot tell of the end, and that is told
                assert said["exit_code"] is None and said["detail"], said
            else:  # without memory for what it said, that is told
                assert said["exit_code"] == 7 and (said["stdout"] == "out\n" or said["stdout_truncated"]), said
        self.works(self.target)


class Job(Scene):
    """It outlives whoever dies; it was started, or was not."""

    def act(self):
        self.run = self.world.engine.cli("jobs", "start", self.target, "--", "sh", "-c", "echo out; exit 7", timeout=20)

    def check(self):
        cli = self.world.engine.cli
        listed = cli("jobs", "list", self.target, "--json")
        assert listed.returncode == 0, listed.stderr
        jobs = [job["id"] for job in json.loads(listed.stdout)]
        if self.run.returncode == 0:
            assert self.run.stdout.strip() in jobs, (self.run.stdout, jobs)
        for job in jobs:
            assert cli("jobs", "wait", self.target, job, timeout=20).returncode == 7
            assert cli("jobs", "output", self.target, job, timeout=20).stdout == "out\n"
        self.must("POST", f"/api/v1/sandbox/{self.target}/exec", {"command": "rm -rf /tmp/job_*"})


class Pause(Scene):
    first, second = "pause", "resume"
    state = "PAUSED"

    def prepare(self):
        self.must("POST", f"/api/v1/sandbox/{self.target}/{self.second}")

    def act(self):
        self.answer = self.ask("POST", f"/api/v1/sandbox/{self.target}/{self.first}")

    def check(self):
        row = self.must("GET", f"/api/v1/sandbox/{self.target}")
        if self.said_yes():
            assert row["status"] == self.state, f"{self.first} was answered, and it is {row['status']}"
        assert self.must("POST", f"/api/v1/sandbox/{self.target}/{self.first}")["status"] == self.state
        assert self.must("POST", f"/api/v1/sandbox/{self.target}/resume")["status"] == "RUNNING"
        self.works(self.target)


class Resume(Pause):
    first, second = "resume", "pause"
    state = "RUNNING"


class Delete(Scene):
    def prepare(self):
        made = self.must("POST", "/api/v1/sandbox", {"name": "d-" + os.urandom(6).hex(), "docker_image": "busybox",
                                                     "memory_gb": 0.25, "start_command": "sleep 1000"})
        self.key = made["id"]

    def act(self):
        self.answer = self.ask("DELETE", f"/api/v1/sandbox/{self.key}")

    def check(self):
        again = self.ask("DELETE", f"/api/v1/sandbox/{self.key}")
        assert again is not None and again.status in (200, 404), again
        assert self.key not in self.world.rows()
        assert self.must("GET", f"/api/v1/sandbox/{self.key}")["status"] in ("TERMINATED", "ERROR")


class Expiry(Scene):
    """It is given a lifetime, which ends."""
    CHANGE = {"timeout_minutes": 0.001}

    def prepare(self):
        made = self.must("POST", "/api/v1/sandbox", {"name": "e-" + os.urandom(6).hex(), "docker_image": "busybox",
                                                     "memory_gb": 0.25})
        self.key = made["id"]

    def change(self):
        return self.ask("PATCH", f"/api/v1/sandbox/{self.key}", self.CHANGE)

    def act(self):
        self.answer = self.change()
        if self.said_yes():
            self.until(lambda: self.key not in files(os.path.join(self.world.engine.run, "sandboxes")), 1)

    def check(self):
        if not self.said_yes():
            again = self.change()
            assert again is not None and again.status in (200, 409), again  # it has ended
        harness.wait_until(lambda: self.key not in self.world.rows(), 5, "its end")
        row = self.must("GET", f"/api/v1/sandbox/{self.key}")
        assert (row["status"], row["terminationReason"]) == ("TIMEOUT", "TIMEOUT"), row


class Import(Scene):
    """An image is there as a whole or not at all, and what was half done takes no room."""
    name = "half:1"
    PLACES = ("layers", "gateway/blobs/sha256", "gateway/blobs/partial")
    DATA = None

    def store(self):
        return {(place, name) for place in self.PLACES for name in files(os.path.join(self.world.engine.state, place))}

    def prepare(self):
        Import.DATA = Import.DATA or archives.busybox([archives.Entry("etc/mark", "half")])
        self.before = self.store()

    def fetch(self):
        return self.ask("POST", f"/api/v1/images?name={self.name}", raw=self.DATA)

    def act(self):
        self.answer = self.fetch()

    def check(self):
        there = [image for image in self.must("GET", "/api/v1/images")["images"] if image["name"] == self.name]
        assert there or not self.said_yes(), "its making was told, and it is not there"
        again = self.answer if there else self.fetch()
        assert there or self.is_yes(again), f"asked again: {again}"
        answer = self.ask("POST", "/api/v1/images/verify", raw=b"{}")
        last = json.loads(answer.body.splitlines()[-1])
        assert last["status"] == "done" and last["bad"] == [], last
        self.must("DELETE", "/api/v1/images/" + urllib.parse.quote(self.name, safe=""))
        harness.wait_until(lambda: self.store() == self.before, 10, lambda: f"left: {self.store() - self.before}")


class Pull(Import):
    """The same from a registry."""

    def prepare(self):
        self.name = self.world.registry + "/half:latest"
        super().prepare()

    def fetch(self):
        return self.ask("POST", "/api/v1/images/pull", {"image": self.name})

    @staticmethod
    def is_yes(answer):
        return Scene.is_yes(answer) and json.loads(answer.body.splitlines()[-1])["status"] == "done"


class Commit(Import):
    def act(self):
        self.answer = self.ask("POST", f"/api/v1/sandbox/{self.target}/commit", {"image": self.name})

    def check(self):
        self.works(self.target)
        super().check()


class Egress(Scene):
    LIST = {"allowlist": ["example.org", "198.51.100.0/24"]}

    def prepare(self):
        self.must("PUT", f"/api/v1/sandbox/{self.target}/egress", {"allowlist": ["example.net"]})

    def act(self):
        self.answer = self.ask("PUT", f"/api/v1/sandbox/{self.target}/egress", self.LIST)

    def check(self):
        now = self.must("GET", f"/api/v1/sandbox/{self.target}/egress")
        if self.said_yes():
            assert sorted(now["allowlist"]) == sorted(self.LIST["allowlist"]), now
        again = self.must("PUT", f"/api/v1/sandbox/{self.target}/egress", self.LIST)
        assert again["applied"] and sorted(again["allowlist"]) == sorted(self.LIST["allowlist"]), again
        self.works(self.target)


class Restart(Scene):
    """caissond is killed and started again, and dies while it starts."""

    def act(self):
        self.world.kill()
        self.world.begin()
        self.until(lambda: not self.world.alive() or self.world.ready(), 20)

    def check(self):
        self.works(self.target)


class Gateway(Scene):
    """The gateway is killed, and the next one dies while it adopts what there is."""

    def act(self):
        try:
            pid = self.world.engine.gateway
            os.kill(pid, signal.SIGKILL)
        except (AssertionError, ProcessLookupError):
            assert self.fired(), "a gateway that nothing has happened to"  # it has come to the place before this
        else:
            harness.wait_until(lambda: not harness.alive(pid), 5)
        self.until(self.world.ready, 2)

    def check(self):
        self.works(self.target)


class First(Scene):
    """The first start of another engine, which ends as if nothing had been."""
    other = None

    def prepare(self):
        self.other = World("--pool", "1")

    def log(self):
        return self.other.engine.log() if self.other is not None else super().log()

    def cut(self):
        if self.other is not None:
            self.other.end()

    def act(self):
        self.other.begin()
        end = time.monotonic() + 20  # also when it has happened: it may end of it, and is started anew then
        while self.other.alive() and not (self.other.ready() and self.other.is_full()) and time.monotonic() < end:
            time.sleep(0.005)

    def check(self):
        other = self.other
        other.start()
        other.end()
        left = [name for name in os.listdir("/sys/class/net") if other.instance in name]
        left += [line for line in harness.mounts_of(1) + harness.mounts_of("self") if other.engine.top in line]
        left += sorted(other.groups())
        other.engine.remove()
        self.other = None
        assert not left, left


class Files(Scene):
    """An upload is there as a whole or not at all."""

    def act(self):
        self.data = os.urandom(100000)
        self.answer = self.ask("PUT", f"/api/v1/sandbox/{self.target}/files?path=/up", raw=self.data)
        self.ask("GET", f"/api/v1/sandbox/{self.target}/files/list?path=/")

    def check(self):
        got = self.ask("GET", f"/api/v1/sandbox/{self.target}/files?path=/up")
        assert got.status == 200 or (got.status == 404 and not self.said_yes()), got
        assert got.status == 404 or got.body == self.data, "another file than was sent"
        self.must("PUT", f"/api/v1/sandbox/{self.target}/files?path=/up", raw=b"again")
        self.must("POST", f"/api/v1/sandbox/{self.target}/exec", {"command": "rm /up"})


class Save(Scene):
    """An archive is whole, or cut so that one sees it."""
    PATH = "/api/v1/image-archive?image=busybox&format=oci"

    def act(self):
        self.answer = self.ask("GET", self.PATH)

    def check(self):
        again = self.ask("GET", self.PATH)
        assert again is not None and again.status == 200 and len(again.body) > 100000, again
        assert not self.said_yes() or len(self.answer.body) == len(again.body), "an archive without its end"


class Export(Save):
    PATH = "/api/v1/image-rootfs?image=busybox"


class Verify(Scene):
    def verify(self):
        answer = self.ask("POST", "/api/v1/images/verify", raw=b"{}")
        return answer and json.loads(answer.body.splitlines()[-1])

    def act(self):
        self.verify()

    def check(self):
        last = self.verify()
        assert last["status"] == "done" and last["bad"] == [], last


BOTH = ("caissond", "caisson-gateway")
AGENT = "caisson-agent"
# name: the scene, and in which programs faults are worth it. What fails at a place does so in the first scene that comes
# by it, so the soonest done are the first.
SCENES = {
    "idle": (Idle, (*BOTH, "caisson-resolver")),
    "exec": (Exec, (*BOTH, AGENT)),
    "egress": (Egress, (*BOTH, "caisson-resolver")),
    "pause": (Pause, BOTH),
    "resume": (Resume, BOTH),
    "files": (Files, ("caisson-gateway", AGENT)),
    "job": (Job, ("caisson-gateway", AGENT)),
    "verify": (Verify, ("caisson-gateway", "caisson-image.same")),
    "save": (Save, ("caisson-gateway", "caisson-image.bundle")),
    "export": (Export, ("caisson-gateway", "caisson-image.walk", "caisson-image.pack")),
    "delete": (Delete, (*BOTH, "caisson-spawner", "caissond.--reap", "caissond.--sweep")),
    "create": (Create, (*BOTH, "caisson-spawner", "caisson-resolver", AGENT)),
    "expiry": (Expiry, BOTH),
    "import": (Import, (*BOTH, "caisson-image.scan", "caisson-image.read", "caisson-image.write")),
    "pull": (Pull, (*BOTH, "caisson-fetch")),
    "commit": (Commit, (*BOTH, "caisson-image.changes", "caisson-image.pack", "caisson-image.write")),
    "ssh": (Ssh, (*BOTH, "caisson-ssh")),
    "gateway": (Gateway, (*BOTH, "caisson-resolver")),
    "restart": (Restart, (*BOTH, "caisson-spawner", "caisson-resolver", "caisson-firewall")),
    "first": (First, (*BOTH, "caisson-spawner", "caisson-resolver", "caisson-firewall")),
}
