# SPDX-License-Identifier: Apache-2.0
"""An engine of one's own, its API over the Unix socket, and a look at what it leaves behind."""

import base64
import contextlib
import fcntl
import glob
import http.client
import json
import os
import pwd
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("CAISSON_BUILD", os.path.join(ROOT, "build")))
SCALE = int(os.environ.get("CAISSON_SCALE", "200"))
# Other engines run on this machine at the same time: what is not attributable is not compared.
SHARED = os.environ.get("CAISSON_SHARED", "") not in ("", "0")
IDS = "/run/caisson-ids"
START_SECONDS = 20
LEAK_SECONDS = 10
PROGRAMS = ("caissond", "caisson-gateway", "caisson-spawner", "caisson-image", "caisson-fetch", "caisson-firewall",
            "caisson-agent", "caisson-resolver", "caisson-ssh")
NAMES = PROGRAMS + ("caisson-reaper",)  # of processes


def program(name):
    return os.path.join(BUILD, name)


def read(path, binary=False):
    with open(path, "rb" if binary else "r", **({} if binary else {"errors": "replace"})) as file:
        return file.read()


def wait_until(condition, seconds, what="the condition", every=0.02):
    """The first true value of condition(); AssertionError after that many seconds.

    what: a text for the error, or a function that makes it.
    """
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what() if callable(what) else what}: not within {seconds} s"
        time.sleep(every)


def at_rest(look, seconds=10):
    """What look() sees when it has seen the same for half a second: nothing is on its way any more."""
    since, seen, end = time.monotonic(), look(), time.monotonic() + seconds
    while time.monotonic() < since + 0.5:
        assert time.monotonic() < end, f"not at rest within {seconds} s: {seen}"
        time.sleep(0.02)
        now = look()
        if now != seen:
            since, seen = time.monotonic(), now
    return seen


# ---- processes -------------------------------------------------------------------------------------

def exit_source():
    """Who tells how a command ended."""
    major, minor = re.match(r"(\d+)\.(\d+)", os.uname().release).groups()
    return "kernel" if (int(major), int(minor)) >= (6, 15) else "agent"


def status_of(pid):
    """/proc/PID/status as a dict, or None when it is gone."""
    try:
        lines = read(f"/proc/{pid}/status").splitlines()
    except OSError:
        return None
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def alive(pid):
    status = status_of(pid)
    return status is not None and not status["State"].startswith(("Z", "X"))


def children(pid):
    """Direct children of pid, alive ones."""
    found = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            text = read(path)
        except OSError:
            continue
        fields = text[text.rindex(")") + 2:].split()
        if int(fields[1]) == pid and fields[0] not in "ZX":
            found.append(int(text.split()[0]))
    return found


def comm(pid):
    try:
        return read(f"/proc/{pid}/comm").strip()
    except OSError:
        return ""


def cgroups_of(pid):
    """controller -> path of a process's groups."""
    groups = {}
    try:
        for line in read(f"/proc/{pid}/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            groups[controllers] = path
    except OSError:
        pass
    return groups


def cgroup_roots():
    roots = []
    for line in read("/proc/self/mountinfo").splitlines():
        fields = line.split(" - ")
        if fields[1].split()[0] in ("cgroup", "cgroup2"):
            roots.append(fields[0].split()[4])
    return roots


# ---- what is there ---------------------------------------------------------------------------------

def tree(path):
    """Every name below path."""
    return {os.path.relpath(os.path.join(top, name), path)
            for top, directories, files in os.walk(path) for name in directories + files}


def mounts_of(pid):
    """Mount points of a process's namespace with what is mounted there."""
    found = []
    try:
        for line in read(f"/proc/{pid}/mountinfo").splitlines():
            left, right = line.split(" - ")
            found.append(f"{left.split()[4]} {' '.join(right.split()[:2])}")
    except OSError:
        pass
    return sorted(found)


# What the first podman of a machine makes and keeps, even if a test that wants a peer's opinion runs it.
FOREIGN = {"/dev/shm/libpod_lock"}


class Snapshot:
    """Kernel objects and files that an engine could leave behind, as sets of text."""

    def __init__(self):
        self.sets = {
            "mount": set(mounts_of(1)) | set(mounts_of("self")),
            "cgroup": {os.path.join(top, name) for root in cgroup_roots()
                       for top, names, _ in os.walk(root) for name in names
                       if "caisson" in os.path.join(top, name)},
            "link": set(os.listdir("/sys/class/net")),
            "firewall": {line for line in subprocess.run(["nft", "list", "tables"], stdout=subprocess.PIPE,
                                                         text=True).stdout.splitlines()
                         if "caisson" in line},
            "ids": set(os.listdir(IDS)) if os.path.isdir(IDS) else set(),
            "loop": set(),
            "process": {f"{pid} {comm(pid)}" for pid in self.ours()},
            "netns": set(),
            "temporary": (set(glob.glob("/tmp/caisson*")) | set(glob.glob("/dev/shm/*"))) - FOREIGN,
        }
        for kind in ("shm", "sem", "msg"):
            self.sets["sysv " + kind] = set(read(f"/proc/sysvipc/{kind}").splitlines()[1:])
        for name in loops():
            path = f"/sys/block/{name}/loop/backing_file"
            with contextlib.suppress(OSError):  # let go of just now
                self.sets["loop"].add(f"{path}: {read(path).strip()}")
        for path in glob.glob("/proc/[0-9]*/ns/net"):
            with contextlib.suppress(OSError):
                self.sets["netns"].add(os.readlink(path))

    @staticmethod
    def ours():
        for entry in os.listdir("/proc"):
            if entry.isdigit() and comm(entry) in tuple(name[:15] for name in NAMES):
                if alive(entry):
                    yield entry

    def beyond(self, before):
        """What is here and was not there before, as lines."""
        return [f"{kind}: {item}" for kind, items in self.sets.items()
                for item in sorted(items - before.sets[kind])]


def settled():
    """A Snapshot at a moment when nothing goes on: another engine may just be filling its pool."""
    last = Snapshot()
    for _ in range(50):
        time.sleep(0.1)
        now = Snapshot()
        if now.sets == last.sets:
            break
        last = now
    return now


# ---- the API ---------------------------------------------------------------------------------------

class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    """Status and body of one request; [] reaches into the JSON."""

    def __init__(self, status, body, headers):
        self.status, self.body, self.headers = status, body, headers

    @property
    def json(self):
        return json.loads(self.body)

    def __getitem__(self, key):
        return self.json[key]

    @property
    def detail(self):
        return self.json.get("detail", "")

    def ok(self):
        assert self.status in (200, 201), f"{self.status}: {self.body[:500]!r}"
        return self.json

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Result:
    """How a command ended."""

    def __init__(self, answer):
        self.raw = answer
        self.stdout, self.stderr = answer.get("stdout", ""), answer.get("stderr", "")
        self.code = answer.get("exit_code")

    def __repr__(self):
        return f"<exit {self.code} out {self.stdout[-300:]!r} err {self.stderr[-300:]!r}>"


class Api:
    """The resource routes over the Unix socket; keeps one connection."""

    def __init__(self, path, timeout=60):
        self.path, self.timeout, self.connection = path, timeout, None

    def raw(self, method, path, body=None, headers=None, timeout=None):
        """One request on a connection of its own."""
        connection = UnixConnection(self.path, timeout or self.timeout)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.read(), dict(response.getheaders()))

    def request(self, method, path, body=None, headers=None):
        """On the kept connection; a connection that went away is made anew once."""
        if body is not None and not isinstance(body, (bytes, bytearray)):
            body = json.dumps(body).encode()
            headers = {"Content-Type": "application/json", **(headers or {})}
        for last in (False, True):
            if self.connection is None:
                self.connection = UnixConnection(self.path, self.timeout)
            try:
                self.connection.request(method, path, body, headers or {})
                response = self.connection.getresponse()
                return Answer(response.status, response.read(), dict(response.getheaders()))
            except (http.client.RemoteDisconnected, ConnectionError, http.client.CannotSendRequest):
                self.close()
                if last:
                    raise
        raise AssertionError("unreachable")

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def healthy(self):
        try:
            return self.raw("GET", "/healthz", timeout=2).status == 200
        except (OSError, http.client.HTTPException):
            return False

    # sandboxes
    def create(self, image="busybox", **fields):
        """The answer, whatever it is."""
        body = {"name": "t-" + os.urandom(6).hex(), "docker_image": image, "cpu_cores": 1,
                "memory_gb": 0.25}
        body.update(fields)
        return self.request("POST", "/api/v1/sandbox",
                            {key: value for key, value in body.items() if value is not None})

    def get(self, key):
        return self.request("GET", f"/api/v1/sandbox/{key}")

    def list(self, query="per_page=1000&is_active=true"):
        return self.request("GET", "/api/v1/sandbox?" + query).ok()["sandboxes"]

    def delete(self, key):
        return self.request("DELETE", f"/api/v1/sandbox/{key}")

    def usage(self, key):
        return self.request("GET", f"/api/v1/sandbox/{key}/usage").ok()

    def logs(self, key):
        return self.request("GET", f"/api/v1/sandbox/{key}/logs").ok()["logs"]

    def remains(self):
        """What ended sandboxes left and is still being removed, by kind, without what is 0."""
        found = self.request("GET", "/api/v1/host").ok()["remains"]
        return {kind: count for kind, count in found.items() if count > 0}

    def reaped(self, seconds=10):
        """Waits until nothing is left of any sandbox that has ended: a delete is answered before."""
        wait_until(lambda: not self.remains(), seconds, lambda: f"remains {self.remains()}")

    def blanks(self):
        return int(re.search(r'state="blank"\} (\d+)', self.request("GET", "/metrics").body.decode())[1])

    # commands
    def exec_raw(self, key, command, **fields):
        return self.request("POST", f"/api/v1/sandbox/{key}/exec", {"command": command, **fields})

    def exec(self, key, command, **fields):
        return Result(self.exec_raw(key, command, **fields).ok())

    def stream(self, key, command, **fields):
        return Stream(self.path, key, command, fields, self.timeout)

    # images
    def import_image(self, name, data):
        return self.request("POST", f"/api/v1/images?name={name}", data)

    def images(self):
        return self.request("GET", "/api/v1/images").ok()["images"]

    def remove_image(self, name):
        return self.request("DELETE", f"/api/v1/images/{name}")


STDIN, STDOUT, STDERR, SIGNAL, WINDOW, STARTED, EXITED, FAILED = 0, 1, 2, 16, 17, 32, 33, 34


class Stream:
    """An exec with its frames, both ways."""

    def __init__(self, path, key, command, fields, timeout):
        body = json.dumps({"command": command, **fields}).encode()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.socket.sendall(
            f"POST /api/v1/sandbox/{key}/exec HTTP/1.1\r\nHost: localhost\r\n"
            f"Connection: Upgrade\r\nUpgrade: caisson-exec/1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.status = int(head.split()[1])
        self.head = head
        self.out, self.err, self.pid, self.end = b"", b"", None, None

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(self.buffer)
        self.buffer += data

    def frame(self):
        """The next frame: (channel, bytes)."""
        while len(self.buffer) < 5 or len(self.buffer) < 5 + struct.unpack_from("<I", self.buffer, 1)[0]:
            self.more()
        channel, size = struct.unpack_from("<BI", self.buffer)
        data, self.buffer = self.buffer[5:5 + size], self.buffer[5 + size:]
        if channel == STDOUT:
            self.out += data
        elif channel == STDERR:
            self.err += data
        elif channel == STARTED:
            self.pid = json.loads(data)["pid"]
        elif channel in (EXITED, FAILED):
            self.end = json.loads(data)
        return channel, data

    def send(self, channel, data=b""):
        self.socket.sendall(struct.pack("<BI", channel, len(data)) + data)

    def stdin(self, data, end=False):
        if data:
            self.send(STDIN, data)
        if end:
            self.send(STDIN)

    def signal(self, number):
        self.send(SIGNAL, bytes([number]))

    def until(self, what, channel=STDOUT):
        """Reads frames until the output of channel holds what."""
        while what not in (self.out if channel == STDOUT else self.err):
            if self.frame()[0] in (EXITED, FAILED):
                raise AssertionError(f"ended with {self.end} before {what!r}: {self.out!r} {self.err!r}")

    def started(self):
        while self.pid is None:
            if self.frame()[0] in (EXITED, FAILED):
                raise AssertionError(f"ended with {self.end} instead of starting")
        return self.pid

    def wait(self):
        """Everything up to the last frame, which is returned."""
        while self.end is None:
            self.frame()
        return self.end

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---- the engine ------------------------------------------------------------------------------------

def free_port():
    """One of loopback that nobody had a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def gateway_user():
    for name in ("caisson", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise AssertionError("neither a user caisson nor nobody")


class Engine:
    """caissond from the build directory, with state and run directories of its own."""

    def __init__(self, *options):
        self.top = tempfile.mkdtemp(prefix="caisson-it.")
        os.chmod(self.top, 0o755)
        self.state, self.run = os.path.join(self.top, "state"), os.path.join(self.top, "run")
        self.socket = os.path.join(self.run, "caisson.sock")
        self.log_path = os.path.join(self.top, "log")
        self.options = list(options)
        if "--pool" not in options:  # so that their number is known
            self.options += ["--pool", "4"]
        if "--registries" not in options:  # an unknown image is none: nothing is asked of the world
            path = os.path.join(self.top, "registries.conf")
            with open(path, "w", encoding="utf-8") as file:
                file.write("[registries]\nenabled = no\n")
            self.options += ["--registries", path]
        self.process = None
        self.api = Api(self.socket)
        self.seen = set()

    def command(self, *options):
        return [program("caissond"), "--state", self.state, "--run", self.run, "--user",
                gateway_user(), "--libexec", BUILD, *self.options, *options]

    def start(self, *options):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command("--on-stop", "end", *options), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd="/",
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CAISSON_SECRET": "must-not-leak"})
        end = time.monotonic() + START_SECONDS
        while not self.api.healthy():
            assert self.process.poll() is None, "caissond ended:\n" + self.log()[-3000:]
            assert time.monotonic() < end, "no answer from /healthz:\n" + self.log()[-3000:]
            time.sleep(0.02)
        self.note()
        return self

    def log(self):
        return read(self.log_path)

    @property
    def pid(self):
        return self.process.pid

    def child(self, name):
        """pid of the one child of caissond with this name."""
        found = [pid for pid in children(self.pid) if comm(pid) == name[:15]]
        assert len(found) == 1, f"{name}: {found}"
        return found[0]

    @property
    def gateway(self):
        return self.child("caisson-gateway")

    @property
    def reaper(self):
        return self.child("caisson-reaper")

    @contextlib.contextmanager
    def standing_reaper(self):
        """What ended sandboxes leave stays as long as this lasts."""
        pid = wait_until(lambda: [child for child in children(self.pid) if comm(child) == "caisson-reaper"], 10,
                         "a reaper")[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def left_of(self, key):
        """What there is of a sandbox besides its row, as lines."""
        left = [os.path.join(place, key) for place in ("run/sandboxes", "state/writable", "state/trash")
                if os.path.lexists(os.path.join(self.top, place, key))]
        left += [top for root in cgroup_roots() for top, names, _ in os.walk(root) if key in names]
        for name in os.listdir(IDS):
            with contextlib.suppress(OSError):
                left += [f"ids {name}"] if os.readlink(os.path.join(IDS, name)).endswith("/" + key) else []
        return left + [f"process {pid}" for pid in self.sandbox_pids(key)]

    def agents(self):
        """pids of the first processes of this engine's sandboxes, adopted ones as well."""
        mark = "/caisson-%s/" % re.findall(r"instance=(\w+)", self.log())[-1]
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return [pid for pid in pids if comm(pid) == "caisson-agent"
                and (status_of(pid) or {}).get("NSpid", "").split()[-1:] == ["1"]
                and any(mark in path for path in cgroups_of(pid).values())]

    def note(self):
        """Remembers which processes and groups are this engine's, to look for them afterwards."""
        for pid in children(self.pid):
            with contextlib.suppress(OSError, IndexError):  # it may end while we look
                self.seen.add((pid, read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[19]))

    def instance(self):
        """The path of this engine's groups below each tree."""
        for pid in self.agents():
            for path in cgroups_of(pid).values():
                found = re.match(r"(.*/caisson-[^/]+)/", path)
                if found:
                    return found.group(1)
        return None

    def stop(self, seconds=30):
        """SIGTERM: with --on-stop end nothing may be left."""
        self.api.close()
        if self.process is None or self.process.poll() is not None:
            return
        with contextlib.suppress(OSError, IndexError):
            self.note()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("caissond did not end on SIGTERM:\n" + self.log()[-3000:])

    def kill(self):
        self.api.close()
        self.note()
        self.process.kill()
        self.process.wait()

    def remains(self):
        """Processes of this engine that are still there."""
        left = []
        for pid, started in self.seen:
            with contextlib.suppress(OSError, IndexError):
                fields = read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
                if fields[19] == started and fields[0] not in "ZX":
                    left.append(f"process {pid} {comm(pid)}")
        return left

    def remove(self):
        shutil.rmtree(self.top)

    def cut(self):
        """Removes the network of an engine that cannot do it itself any more."""
        with contextlib.suppress(OSError, IndexError):
            instance = re.findall(r"instance=(\w+)", self.log())[-1]
            subprocess.run(["ip", "link", "delete", "cx" + instance], stderr=subprocess.DEVNULL)
            subprocess.run(["nft", "delete", "table", "inet", "caisson-" + instance],
                           stderr=subprocess.DEVNULL)
        subprocess.run(["umount", "--lazy", os.path.join(self.run, "net")], stderr=subprocess.DEVNULL)

    def cli(self, *arguments, input=None, timeout=60, text=True):
        """Runs `caisson` against this engine."""
        return subprocess.run([program("caisson"), *arguments], input=input, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=timeout, text=text,
                              env=self.cli_environment(), cwd="/",
                              **({} if input is not None else {"stdin": subprocess.DEVNULL}))

    def cli_environment(self):
        return {"PATH": os.environ["PATH"], "CAISSON_SOCKET": self.socket, "TERM": "xterm", "HOME": "/"}

    def sandbox_pids(self, key):
        """All processes of a sandbox as the host sees them."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and any(f"/{key}/" in path + "/" for path in
                                       cgroups_of(entry).values()):
                found.append(int(entry))
        return found

    def agent_of(self, key):
        found = [pid for pid in self.agents()
                 if any(f"/{key}/" in path + "/" for path in cgroups_of(pid).values())]
        assert len(found) == 1, f"agents of {key}: {found}"
        return found[0]


def loops():
    """Names of the loop devices that are in use: the others have no size, however many there have ever been."""
    names = (line.split()[-1] for line in read("/proc/partitions").splitlines()[2:])
    return [name for name in names if re.fullmatch(r"loop\d+", name)]


def disks():
    """(device, name that its engine gave it) of each loop device that is in use."""
    for name in loops():
        device = "/dev/" + name
        info = bytearray(232)  # struct loop_info64; the name begins at 56
        with contextlib.suppress(OSError), open(device, "rb") as file:
            fcntl.ioctl(file, 0x4C05, info)
            yield device, info[56:120].split(b"\0")[0].decode(errors="replace")


def disk_of(key):
    """The loop device that a sandbox writes to, or None."""
    return next((device for device, name in disks() if name.endswith("/" + key)), None)


def written(engine, key):
    """What a sandbox has written, as the host has it: (uid, gid, kind, path) of each file."""
    device = disk_of(key)
    top = "/mnt" if device else os.path.join(engine.state, "writable", key)
    show = f"mount -t ext4 -o nosuid,nodev {device} {top} &&" if device else ""
    out = subprocess.run(["unshare", "-m", "sh", "-c", f"{show} find {top}/upper -printf '%U %G %y %P\\n'"],
                         stdout=subprocess.PIPE, check=True, text=True).stdout
    return [(int(uid), int(gid), kind, path)
            for uid, gid, kind, path in (line.split(" ", 3) for line in out.splitlines())]


def leaks(before, engine, alone=not SHARED):
    """What an engine that has ended left behind; waits a little for the kernel to let go.

    alone: no other engine lives beside it, so all that is new is its.
    """
    end = time.monotonic() + LEAK_SECONDS
    while True:
        left = Snapshot().beyond(before)
        if not alone:
            # Another engine may have made it: only what bears our marks counts.
            mark = (engine.instance_path or "\0").rsplit("/caisson-", 1)[-1]
            marks = (engine.top, engine.instance_path or "\0", "link: cx" + mark, "caisson-" + mark)
            left = [line for line in left if any(mark in line for mark in marks)]
        left = [line for line in left if f"temporary: {engine.top}" not in line]
        left += engine.remains()
        for place in ("run/sandboxes", "run/layers", "state/writable", "state/trash"):
            at = os.path.join(engine.top, place)
            left += [f"{place}/{name}" for name in (os.listdir(at) if os.path.isdir(at) else ())]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.1)


def run_engine(*options, prepare=lambda engine: None, alone=not SHARED):
    """Starts an engine, hands it out, ends it, and compares the machine with what it was before."""
    before = settled()
    engine = Engine(*options)
    try:
        engine.start()
        engine.instance_path = engine.instance()
        prepare(engine)
        yield engine
        engine.stop()
    except BaseException:
        if engine.process is not None and engine.process.poll() is None:
            engine.process.terminate()
            engine.process.wait(30)
        engine.cut()
        raise
    left = leaks(before, engine, alone)
    if not left:
        engine.remove()
    assert not left, "left behind:\n" + "\n".join(left[:40]) + "\n" + engine.log()[-2000:]


def around(command):
    """Runs a command with engines that live beside each other, each of which looks for its own only; its status.

    What none of them knows as its own is seen here, when all have ended.
    """
    before = settled()
    status = subprocess.run(command, env={**os.environ, "CAISSON_SHARED": "1"}).returncode
    if not SHARED:
        wait_until(lambda: not Snapshot().beyond(before), LEAK_SECONDS,
                   lambda: "left behind:\n" + "\n".join(Snapshot().beyond(before)) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(around(sys.argv[1:]))
