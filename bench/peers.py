# SPDX-License-Identifier: Apache-2.0
"""The others: the same static busybox, each with the least configuration that it needs here.

Each peer has once(): create, run the command, remove; and those with a life between calls have start(), exec()
and stop(). All are given the same limits, where they know any. Directories are below one of ours.
"""

import contextlib
import glob
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import tarfile
import threading

import host
from engine import COMMAND, IMAGE

BUSYBOX = "/bin/busybox"
APPLETS = ("cat", "cp", "echo", "ls", "rm", "sh", "sleep", "true", "wc")
IDLE = ["/bin/sleep", "100000"]
MEMORY, PIDS = 256 << 20, 512
# A hard limit cannot be raised without CAP_SYS_RESOURCE, which containers on some machines do not have.
NOFILE = 16384
PODMAN_SETTINGS = f'[containers]\ndefault_ulimits = ["nofile={NOFILE}:{NOFILE}", "nproc=30000:30000"]\n'


def make_image(top):
    """(tar, directory) of the same small system; the directory holds what this wrote itself."""
    tree = os.path.join(top, "rootfs")
    for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "var"):
        os.makedirs(os.path.join(tree, name))
    shutil.copy(BUSYBOX, os.path.join(tree, "bin", "busybox"))
    for applet in APPLETS:
        os.link(os.path.join(tree, "bin", "busybox"), os.path.join(tree, "bin", applet))
    for name, text in (("passwd", "root:x:0:0:root:/root:/bin/sh\n"), ("group", "root:x:0:\n"),
                       ("os-release", "ID=bench\n")):
        with open(os.path.join(tree, "etc", name), "w", encoding="ascii") as file:
            file.write(text)
    image = os.path.join(top, "image.tar")
    with tarfile.open(image, "w") as tar:
        tar.add(tree, ".")
    return image, tree


def make_other(image, path, number):
    """The same with one file that no other has: an image that has never been seen."""
    shutil.copy(image, path)
    with tarfile.open(path, "a") as tar:
        data = f"{number}\n".encode()
        info = tarfile.TarInfo("./number")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))


class Peer:
    """What all have in common; begin: what each thread that calls it has to do first."""

    name = program = None
    begin = None

    def once(self):
        raise NotImplementedError

    def stop(self):
        """Ends all that start() or once() may have left."""


class Runtime(Peer):
    """An OCI runtime: all namespaces but that of users, cgroup limits, default masks; `runc spec` writes the rest."""

    def __init__(self, top, run, tree, _):
        self.base = [self.program, "--root", os.path.join(run, self.program)]
        self.numbers, self.live = itertools.count(), f"bench-{self.program}-{os.getpid()}"
        self.bundle, self.idle = (self.make(os.path.join(top, f"{self.program}-{word}"), tree, command)
                                  for word, command in (("bundle", COMMAND), ("idle", IDLE)))

    def make(self, bundle, tree, command):
        os.makedirs(bundle)
        host.call("sh", "-c", 'cd "$0" && exec "$1" spec', bundle, self.program)
        path = os.path.join(bundle, "config.json")
        spec = json.loads(host.read(path))
        spec["root"] = {"path": tree, "readonly": False}
        spec["process"].update(terminal=False, args=command, rlimits=[])
        spec["linux"]["resources"] = {
            "devices": [{"allow": False, "access": "rwm"}], "memory": {"limit": MEMORY},
            "cpu": {"quota": 100000, "period": 100000}, "pids": {"limit": PIDS}}
        with open(path, "w", encoding="ascii") as file:
            json.dump(spec, file)
        return bundle

    def once(self):
        host.call(*self.base, "run", "--bundle", self.bundle, f"{self.live}-{next(self.numbers)}")

    def start(self):
        host.call(*self.base, "run", "--detach", "--bundle", self.idle, self.live)

    def exec(self):
        host.call(*self.base, "exec", self.live, *COMMAND)

    def stop(self):
        with contextlib.suppress(host.Trouble):
            host.call(*self.base, "delete", "--force", self.live)


class Runc(Runtime):
    name = program = "runc"


class Crun(Runtime):
    name = program = "crun"
    begin = staticmethod(host.without_unified)


class Bubblewrap(Peer):
    """Every namespace it knows and own /proc, /dev, /tmp: no cgroup, no seccomp, no overlay, no own ids."""

    name, program = "bubblewrap", "bwrap"

    def __init__(self, _, __, tree, ___):
        self.command = ["bwrap", "--unshare-all", "--bind", tree, "/", "--proc", "/proc", "--dev", "/dev",
                        "--tmpfs", "/tmp", "--die-with-parent", "--new-session", *COMMAND]

    def once(self):
        host.call(*self.command)


class Nspawn(Peer):
    """systemd-nspawn on a directory, without systemd's own records; each client has a copy, for it locks them."""

    name = program = "systemd-nspawn"

    def __init__(self, top, _, tree, __):
        self.top, self.tree, self.own, self.numbers = top, tree, threading.local(), itertools.count()

    def once(self):
        if not hasattr(self.own, "tree"):
            self.own.tree = os.path.join(self.top, f"nspawn-{next(self.numbers)}")
            shutil.copytree(self.tree, self.own.tree)
        host.call(self.program, "--quiet", "--register=no", "--keep-unit", "--settings=no", "--console=pipe",
                  "--private-network", "--link-journal=no", "--timezone=off", "--resolv-conf=off",
                  f"--machine=bench-{os.getpid()}-{next(self.numbers)}", "--directory", self.own.tree, *COMMAND)


class Containers(Peer):
    """What podman and docker have in common: their words, and that they leave empty parent groups behind."""

    live, parent = "bench-idle", "bench-peers"

    def call(self, *words, **more):
        raise NotImplementedError

    def once(self, network="none"):
        self.call("run", "--rm", "--network", network, "--memory", str(MEMORY), "--cpus", "1",
                  "--pids-limit", str(PIDS), "--cgroup-parent", "/" + self.parent, IMAGE, *COMMAND)

    def start(self):
        self.call("run", "--detach", "--name", self.live, "--network", "none", "--cgroup-parent", "/" + self.parent,
                  IMAGE, *IDLE)

    def exec(self):
        self.call("exec", self.live, *COMMAND)

    def copy(self, source, target):
        self.call("cp", source, target)

    def remove_groups(self):
        for top in glob.glob(f"/sys/fs/cgroup/{self.parent}") + glob.glob(f"/sys/fs/cgroup/*/{self.parent}"):
            for at, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(at)


class Podman(Containers):
    """podman on a store of its own, cgroupfs, no network; over runc where it is, as crun refuses hybrid hosts."""

    name = program = "podman"

    def __init__(self, top, run, _, image):
        self.environment = {"PATH": os.environ["PATH"], "HOME": top,
                            "CONTAINERS_CONF": os.path.join(top, "containers.conf")}
        with open(self.environment["CONTAINERS_CONF"], "w", encoding="ascii") as file:
            file.write(PODMAN_SETTINGS)
        self.base = ["podman", "--root", os.path.join(top, "p-root"), "--runroot", os.path.join(run, "p-run"),
                     "--tmpdir", os.path.join(run, "p-tmp"), "--cgroup-manager", "cgroupfs",
                     "--events-backend", "file"]
        if shutil.which("runc") is not None:
            self.base += ["--runtime", "runc"]
        if image is not None:
            self.call("import", image, IMAGE)

    def call(self, *words, **more):
        return host.call(*self.base, *words, env=self.environment, **more)

    def stop(self):
        for words in (("rm", "--force", "--time", "0", "--all"), ("rmi", "--all", "--force")):
            with contextlib.suppress(host.Trouble):
                self.call(*words)
        self.remove_groups()


class Docker(Containers):
    """A dockerd of our own, on directories of our own, with cgroupfs, and neither bridge nor firewall."""

    name, program = "docker", "dockerd"

    def __init__(self, top, run, _, image):
        self.top = os.path.join(top, "docker")
        os.mkdir(self.top)
        self.socket = "unix://" + os.path.join(self.top, "socket")
        self.log = open(os.path.join(self.top, "log"), "w+", encoding="utf-8", errors="replace")
        self.daemon = subprocess.Popen(
            ["dockerd", "--host", self.socket, "--data-root", os.path.join(self.top, "data"), "--exec-root",
             os.path.join(run, "docker"), "--pidfile", os.path.join(self.top, "pid"), "--iptables=false",
             "--bridge=none", "--exec-opt", "native.cgroupdriver=cgroupfs", "--default-ulimit",
             f"nofile={NOFILE}:{NOFILE}"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            start_new_session=True)
        try:
            host.wait_for(self.answers, what="dockerd")
            self.call("import", image, IMAGE)
        except BaseException:
            self.stop()
            raise

    def answers(self):
        if self.daemon.poll() is not None:
            self.log.seek(0)
            raise host.Trouble("dockerd ended: " + self.log.read()[-200:])
        with contextlib.suppress(host.Trouble):
            self.call("version", seconds=5)
            return True
        return False

    def call(self, *words, **more):
        return host.call("docker", "--host", self.socket, *words, **more)

    def stop(self):
        with contextlib.suppress(host.Trouble):
            self.call("rm", "--force", self.live)
        self.daemon.terminate()
        try:
            self.daemon.wait(host.START_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.daemon.pid, signal.SIGKILL)
            self.daemon.wait()
        self.log.close()
        self.remove_groups()


class Isolate(Peer):
    """The judge of programming contests: no image, no cgroup; it shows the host's own directories.

    Only where it is named: its boxes are the machine's, and one in use would be wiped.
    """

    name = program = "isolate"

    def __init__(self, *_):
        pass

    def once(self):
        for words in (["--init"], ["--run", "--", *COMMAND], ["--cleanup"]):
            host.call(self.program, f"--box-id={threading.get_native_id() % 1000}", *words)


ALL = (Runc, Crun, Bubblewrap, Nspawn, Podman, Docker, Isolate)
ON_REQUEST = (Isolate,)


def gather(names, places, tree, image, stack):
    """([peer that runs here], {name: why another one does not}); places: for files, in memory; stack: ends them."""
    found, missing = [], {}
    for kind in ALL:
        wanted = kind.name in names if names else kind not in ON_REQUEST
        if not wanted:
            continue
        if shutil.which(kind.program) is None:
            missing[kind.name] = "not installed"
            continue
        try:
            peer = kind(*places, tree, image)
            stack.callback(on_thread, peer, peer.stop)
            on_thread(peer, peer.start if hasattr(peer, "start") else peer.once)
            found.append(peer)
        except Exception as error:
            missing[kind.name] = " ".join(str(error).split())[-160:]
    return found, missing


def on_thread(peer, step):
    """Does it on a thread as the measurement will have them."""
    def work():
        try:
            if peer.begin is not None:
                peer.begin()
            step()
        except Exception as error:
            failed.append(error)
    failed = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
