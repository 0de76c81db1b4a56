# SPDX-License-Identifier: Apache-2.0
"""The machine that is measured on: programs started on it, each bounded, and what it is."""

import contextlib
import ctypes
import os
import platform
import select
import shutil
import signal
import tempfile
import threading
import time

CALL_SECONDS = 30
START_SECONDS = 30
CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x4000, 1 << 18, 2
UNIFIED = "/sys/fs/cgroup/unified"

own = threading.local()  # what each thread keeps for its calls


class Trouble(RuntimeError):
    """A program or an engine did not do what it was asked for."""


# ---- programs --------------------------------------------------------------------------------------

def spawn(argv, env, out, err):
    """A process of a group of its own, with these descriptors and nothing to read; its pid."""
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    actions.append((os.POSIX_SPAWN_DUP2, out, 1) if out is not None
                   else (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0))
    actions.append((os.POSIX_SPAWN_DUP2, err, 2))
    return os.posix_spawnp(argv[0], argv, os.environ if env is None else env, file_actions=actions, setpgroup=0)


def wait(pid, seconds):
    """Its exit status; after so many seconds it and all it has started are killed."""
    watch = os.pidfd_open(pid)
    try:
        waiter = select.poll()
        waiter.register(watch, select.POLLIN)
        ended = waiter.poll(seconds * 1000)
    except BaseException:
        kill(pid)
        raise
    finally:
        os.close(watch)
    if not ended:
        kill(pid)
        raise Trouble(f"not done after {seconds:g} s")
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def call(*argv, env=None, seconds=CALL_SECONDS, output=False):
    """Runs a program to its end, as cheaply as Python can; its output if that is wanted.

    What it prints goes to files: a container that lives on may keep them without anybody waiting for it.
    """
    if not hasattr(own, "err"):
        own.out, own.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    for file in (own.out, own.err) if output else (own.err,):
        file.seek(0)
        file.truncate()
    try:
        pid = spawn(argv, env, own.out.fileno() if output else None, own.err.fileno())
    except OSError as error:
        raise Trouble(f"{argv[0]}: {error.strerror}") from None
    status = wait(pid, seconds)
    if status != 0:
        own.err.seek(0)
        said = own.err.read()[-300:].decode(errors="replace")
        raise Trouble(f"{' '.join(argv[:4])}: status {status}: {said}")
    if not output:
        return b""
    own.out.seek(0)
    return own.out.read()


def floor():
    """What nobody can be below: a process of the host is started, runs and is reaped."""
    os.waitpid(os.posix_spawn("/bin/busybox", ["true"], {}), 0)


def wait_for(condition, seconds=START_SECONDS, what="it"):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Trouble(f"{what} did not come up within {seconds} s")
        time.sleep(0.05)


def make_run(prefix):
    """A directory for what lives no longer than a boot, in memory as /run is by rights; the caller's to remove."""
    mounts = [line.split(" - ") for line in read("/proc/self/mountinfo").splitlines()]
    memory = {left.split()[4] for left, right in mounts if right.startswith("tmpfs ")}
    return tempfile.mkdtemp(prefix=prefix, dir=next((path for path in ("/run", "/dev/shm") if path in memory), None))


def remove(top):
    """A directory with all that is below; peers leave mounts there."""
    for line in reversed(read("/proc/self/mountinfo").splitlines()):
        path = line.split()[4]
        if path.startswith(top + "/"):
            with contextlib.suppress(Trouble):
                call("umount", "--lazy", path)
    shutil.rmtree(top, ignore_errors=True)


def without_unified():
    """Takes the calling thread into a mount namespace where a hybrid host looks like one of version 1.

    crun refuses hybrid ones. What the thread starts is there, too; nobody else notices.
    """
    if not os.path.ismount(UNIFIED):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if (libc.unshare(CLONE_NEWNS) < 0 or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) < 0 or
            libc.umount2(UNIFIED.encode(), MNT_DETACH) < 0):
        raise Trouble(f"a mount namespace without {UNIFIED}: {os.strerror(ctypes.get_errno())}")


# ---- what it is ------------------------------------------------------------------------------------

def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def available_kib():
    """Memory that could be had now, with all that the kernel would give back."""
    return next(int(line.split()[1]) for line in read("/proc/meminfo").splitlines() if line.startswith("MemAvailable"))


def is_static(path):
    """Is it an executable that no loader has to complete?"""
    try:
        with open(path, "rb") as file:
            return b"/lib64/ld-linux" not in file.read(4096)
    except OSError:
        return False


def describe():
    """The machine, by name of what is told."""
    models = [line.split(":")[1].strip() for line in read("/proc/cpuinfo").splitlines()
              if line.startswith("model name")]
    kinds = {line.split(" - ")[1].split()[0] for line in read("/proc/self/mountinfo").splitlines()}
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "?")
    except OSError:
        system = "?"
    return {"processors": os.cpu_count(), "model": models[0] if models else "?",
            "memory_gib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30,
            "kernel": platform.release().split("-")[0], "system": system,
            "cgroups": "v2" if "cgroup" not in kinds else "hybrid" if "cgroup2" in kinds else "v1",
            "load": round(os.getloadavg()[0], 2)}


def lines(about):
    """The same for readers."""
    busy = (" (busy with other work: only the ratios say something, and these only roughly)"
            if about["load"] > about["processors"] / 2 else "")
    return [f"- {about['processors']} x {about['model']}, {about['memory_gib']} GiB, Linux {about['kernel']}, "
            f"cgroup {about['cgroups']}, {about['system']}", f"- load before the run {about['load']:.2f}{busy}"]


def version(program):
    """The first line of what it says about itself, or None when it is not installed."""
    if shutil.which(program) is None:
        return None
    try:
        text = call(program, "--version", output=True).decode(errors="replace").splitlines()[0]
    except (Trouble, IndexError):
        return f"{program}: does not start"
    return text if program in text.lower() else f"{program} {text}"
