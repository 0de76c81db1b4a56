# SPDX-License-Identifier: Apache-2.0
"""A caissond of one's own, and a client whose cost is next to nothing beside what it asks for."""

import contextlib
import itertools
import json
import os
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import host

HERE = os.path.dirname(os.path.abspath(__file__))
ANSWER_SECONDS = 60
STOP_SECONDS = 120
COMMAND = ["/bin/true"]
ASK_FOR_IT = json.dumps({"command": COMMAND}).encode()  # once: JSON is not what is measured
IMAGE = "bench"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.I)
TIMES = re.compile(r"^caisson_http_request_seconds_sum{(.*)} (\S+)$", re.M)
AGENT = "caisson-agent"


class Programs:
    """Where caisson, caissond and what caissond starts are: in a build tree, or installed beside us."""

    def __init__(self, build=None):
        tree = os.path.join(os.path.dirname(HERE), "build")
        if build is None and os.path.exists(os.path.join(tree, "caissond")):
            build = tree
        if build is not None:
            build = os.path.abspath(build)
            self.libexec, places = build, [build]
        else:
            self.libexec = os.path.dirname(HERE)
            prefix = os.path.dirname(os.path.dirname(self.libexec))
            places = [os.path.join(prefix, "bin"), os.path.join(prefix, "sbin"), "/usr/local/sbin", "/usr/sbin",
                      os.environ.get("PATH", "")]
        self.caisson, self.caissond = (shutil.which(name, path=os.pathsep.join(places))
                                       for name in ("caisson", "caissond"))
        if self.caisson is None or self.caissond is None:
            raise host.Trouble("caisson is neither installed nor built in ./build; say where with --build DIR")


class Client:
    """HTTP over the engine's socket, each thread on a connection of its own that it keeps."""

    def __init__(self, path):
        self.path, self.own = path, threading.local()

    def connect(self):
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(ANSWER_SECONDS)
        made.connect(self.path)
        self.own.socket = made
        return made

    def ask(self, method, path, body=None):
        """(status, bytes); body: an object for JSON, or bytes."""
        if not isinstance(body, (bytes, type(None))):
            body = json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
        if body is not None:
            kind = "json" if body[:1] == b"{" else "octet-stream"
            head += f"Content-Type: application/{kind}\r\nContent-Length: {len(body)}\r\n"
        request = head.encode() + b"\r\n" + (body or b"")
        made = getattr(self.own, "socket", None)
        if made is not None and select.select([made], [], [], 0)[0]:  # closed by the engine, after a long silence
            made.close()
            made = None
        made = made or self.connect()
        try:
            made.sendall(request)
            return self.answer(made)
        except BaseException:
            made.close()
            self.own.socket = None
            raise

    @staticmethod
    def answer(made):
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += made.recv(1 << 16) or Client.cut()
        length = LENGTH.search(data, 0, end + 2)
        if length is None:
            raise host.Trouble(f"an answer without a length: {data[:200]!r}")
        want, body = int(length[1]), [data[end + 4:]]
        have = len(body[0])
        while have < want:
            body.append(made.recv(1 << 16) or Client.cut())
            have += len(body[-1])
        return int(data[9:12]), b"".join(body)

    @staticmethod
    def cut():
        raise host.Trouble("the engine has closed the connection")

    def json(self, method, path, body=None):
        status, data = self.ask(method, path, body)
        if status not in (200, 201):
            raise host.Trouble(f"{method} {path}: {status}: {data[:200].decode(errors='replace')}")
        return json.loads(data)


class Engine:
    """caissond with directories, settings and images of its own; nothing of another one is touched."""

    def __init__(self, programs, *options):
        self.programs, self.options, self.process, self.names = programs, options, None, itertools.count()
        self.top = tempfile.mkdtemp(prefix="caisson-bench.")
        os.chmod(self.top, 0o755)
        self.state, self.run = os.path.join(self.top, "state"), host.make_run("caisson-bench.")
        os.chmod(self.run, 0o755)
        self.socket, self.log = os.path.join(self.run, "caisson.sock"), os.path.join(self.top, "log")
        self.client = Client(self.socket)
        self.environment = {"PATH": os.environ["PATH"], "CAISSON_SOCKET": self.socket, "HOME": "/"}
        for name, text in (("caisson.conf", ""), ("registries.conf", "[registries]\nenabled = no\n")):
            with open(os.path.join(self.top, name), "w", encoding="utf-8") as file:
                file.write(text)

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.programs.caissond, "--config", os.path.join(self.top, "caisson.conf"), "--registries",
                 os.path.join(self.top, "registries.conf"), "--state", self.state, "--run", self.run, "--user", user(),
                 "--libexec", self.programs.libexec, "--on-stop", "end", "--ssh-listen", "0", *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        try:
            host.wait_for(self.answers, what="caissond")
        except BaseException:
            self.stop()
            raise
        return self

    @property
    def pid(self):
        return self.process.pid

    def answers(self):
        if self.process.poll() is not None:
            raise host.Trouble("caissond ended: " + host.read(self.log)[-1000:])
        with contextlib.suppress(OSError, host.Trouble):
            return self.client.ask("GET", "/healthz")[0] == 200
        return False

    def stop(self):
        """With all its sandboxes; its directories stay for the next start."""
        self.client = Client(self.socket)
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise host.Trouble(f"caissond did not end within {STOP_SECONDS} s; look for what it left") from None

    def remove(self):
        try:
            self.stop()
        finally:
            for path in (self.top, self.run):
                shutil.rmtree(path, ignore_errors=True)

    # ---- what is asked of it ----
    def import_image(self, path, name=IMAGE):
        with open(path, "rb") as file:
            self.client.json("POST", f"/api/v1/images?name={name}", file.read())

    def create(self, image=IMAGE, **fields):
        """A sandbox that runs; its id."""
        made = self.client.json("POST", "/api/v1/sandbox", {
            "name": f"bench-{next(self.names)}", "docker_image": image, "cpu_cores": 1, "memory_gb": 0.25, **fields})
        if made["status"] != "RUNNING":
            raise host.Trouble(f"the sandbox is {made['status']}")
        return made["id"]

    def exec(self, key):
        answer = self.client.json("POST", f"/api/v1/sandbox/{key}/exec", ASK_FOR_IT)
        if answer["exit_code"] != 0:
            raise host.Trouble("the command failed")

    def delete(self, key):
        self.client.json("DELETE", f"/api/v1/sandbox/{key}")

    def life(self):
        """Created, one command, removed."""
        key = self.create()
        self.exec(key)
        self.delete(key)

    def cli(self, *words):
        host.call(self.programs.caisson, *words, env=self.environment)

    def request_seconds(self):
        """What the gateway has spent on requests, from the first byte to the last, waiting included."""
        _, text = self.client.ask("GET", "/metrics")
        return sum(float(value) for labels, value in TIMES.findall(text.decode()) if "/metrics" not in labels)

    def agents(self, keys):
        """pids of the first processes of these sandboxes."""
        wanted, found = set(keys), []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if (host.read(f"/proc/{pid}/comm").strip() == AGENT and
                        wanted & set(re.split(r"[/\n]", host.read(f"/proc/{pid}/cgroup")))):
                    found.append(int(pid))
        return found


def user():
    """Whom the gateway may run as here."""
    for name in ("caisson", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise host.Trouble("neither a user caisson nor nobody")
