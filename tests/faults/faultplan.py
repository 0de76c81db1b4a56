# SPDX-License-Identifier: Apache-2.0
"""Programs of a fault build in a directory of their own, and what each is to do at which point.

See src/base/fault.h: the file faults/PROGRAM is shared with the running program. caisson-agent has none, as it runs
where no file of ours is: strace counts its system calls and injects the faults.
"""

import array
import collections
import contextlib
import errno
import hashlib
import mmap
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time

STEP, CALL, OPEN, MEMORY = 1, 2, 4, 8
NOTHING, KILL, STOP, FAIL = range(4)
WORKERS = tuple("caisson-image." + verb for verb in ("scan", "read", "write", "walk", "changes", "pack", "bundle", "same"))
AGENT = "caisson-agent"
PROGRAMS = ("caissond", "caisson-gateway", "caisson-spawner", "caisson-resolver", "caisson-firewall", "caisson-fetch",
            "caisson-ssh", "caissond.--reap", "caissond.--sweep", *WORKERS)
HEAD = struct.Struct("<7Q64s40Q")  # kinds, place, left, times, action, count, fired, name, stack
FIRED = struct.Struct("<48xQ64s")
SIZE = HEAD.size + 16384 * 24  # and as often: place, how often it was passed, kinds

# What happens at a point: which points count, what is done.
LEARN = "learn"
MODES = {
    "kill": (STEP | CALL, KILL),
    "ENOSPC": (STEP | CALL, FAIL + errno.ENOSPC),
    "EIO": (STEP | CALL, FAIL + errno.EIO),
    "EMFILE": (OPEN, FAIL + errno.EMFILE),
    "ENOMEM": (MEMORY, FAIL + errno.ENOMEM),
    LEARN: (STEP | CALL | OPEN | MEMORY, NOTHING),
}


class Plan:
    """What one program is to do; it is told while it runs, or before it starts."""

    def __init__(self, path, program):
        self.program = program
        with open(path, "wb+") as file:
            file.truncate(SIZE)
            os.fchmod(file.fileno(), 0o666)
            self.page = mmap.mmap(file.fileno(), SIZE)

    def arm(self, mode, place=None, nth=1):
        """At the nth time that it comes to the place ("any": wherever); without one it only remembers places."""
        kinds, action = MODES[mode]
        self.page[:] = bytes(SIZE)
        at = int(place, 16) if place not in (None, "any") else 0
        HEAD.pack_into(self.page, 0, 0, at, nth if place else 0, 0, action, 0, 0, b"", *[0] * 40)
        struct.pack_into("<Q", self.page, 0, kinds)

    def disarm(self):
        struct.pack_into("<Q", self.page, 0, 0)

    @property
    def fired(self):
        """The name of the point at which it happened, or None."""
        fired, name = FIRED.unpack_from(self.page)
        return name.rstrip(b"\0").decode() if fired > 0 else None

    def places(self):
        """Place -> how often it was passed before anything happened, kinds."""
        words = array.array("Q", self.page[HEAD.size:SIZE])
        return {f"{place:016x}": (times, kinds) for place, times, kinds in zip(words[::3], words[1::3], words[2::3]) if place}

    def where(self, build):
        """The functions that led to where it happened."""
        stack = [f"{address - 1:#x}" for address in HEAD.unpack_from(self.page)[8:] if address]
        told = subprocess.run(["addr2line", "-f", "-s", "-e", os.path.join(build, self.program.split(".")[0]), *stack],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.splitlines()
        return " < ".join(f"{name} ({line})" for name, line in zip(told[::2], told[1::2]) if "fault" not in line)


class AgentPlan:
    """The same of the first processes of sandboxes; a place is the name of a system call."""
    SECONDS = 10
    CALLED = re.compile(r"^(?:\d+ +)?(\w+)\(", re.M)
    KINDS = {
        OPEN: "accept accept4 dup dup3 epoll_create1 epoll_ctl eventfd2 memfd_create open_tree openat openat2 pidfd_open "
              "pipe2 signalfd4 socket socketpair timerfd_create",
        MEMORY: "brk clone clone3 fork mmap mremap vfork",
        0: "access clock_gettime close close_range epoll_pwait epoll_wait exit_group faccessat2 fcntl fstat fstatfs getdents64 "
           "getegid geteuid getgid getpid getppid getrandom getrlimit getsockname getsockopt gettid getuid ioctl lseek madvise "
           "mprotect munmap newfstatat pidfd_send_signal poll ppoll prctl pread64 prlimit64 read readlinkat readv recvfrom "
           "recvmsg rt_sigaction rt_sigprocmask rt_sigreturn sched_yield statx sysinfo timerfd_settime umask uname wait4 waitid",
    }  # all others change something outside of the process
    KIND_OF = {name: kind for kind, names in KINDS.items() for name in names.split()}
    INJECTED = {"kill": "signal=SIGKILL"}

    def __init__(self, path):
        self.path, self.strace, self.pids = path, None, lambda: ()

    def arm(self, mode, place=None, nth=1):
        self.disarm()
        self.at = f"{place} {nth}" if place else None
        inject = self.INJECTED.get(mode, "error=" + mode)
        pids = [str(pid) for pid in self.pids()]
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.path)
        options = ["-e", f"inject={place}:{inject}:when={nth}"] if place else []
        self.strace = subprocess.Popen(["strace", "-qq", "-o", self.path, *options, "-p", ",".join(pids)],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + self.SECONDS
        while not all(self.traced(pid) for pid in pids):
            assert time.monotonic() < end and self.strace.poll() is None, "strace does not trace"
            time.sleep(0.005)

    def traced(self, pid):
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return f"TracerPid:\t{self.strace.pid}\n" in file.read()

    def disarm(self):
        if self.strace is None:
            return
        self.strace.send_signal(signal.SIGINT)  # it lets go what it traces
        self.strace.wait(self.SECONDS)
        self.strace = None

    def log(self):
        with contextlib.suppress(FileNotFoundError), open(self.path, encoding="utf-8", errors="replace") as file:
            return file.read()
        return ""

    @property
    def fired(self):
        return self.at if self.at and re.search(r"\(INJECTED\)|killed by SIGKILL", self.log()) else None

    def places(self):
        called = collections.Counter(self.CALLED.findall(self.log()))
        return {name: (times, self.KIND_OF.get(name, CALL)) for name, times in called.items()}

    def where(self, _):
        return self.at or ""


def has_faults(build):
    """Whether the programs there are a fault build's."""
    symbols = subprocess.run(["nm", os.path.join(build, "caissond")], stdout=subprocess.PIPE, text=True).stdout
    return " cx_fault_point" in symbols


def programs_of(build):
    return sorted(entry.path for entry in os.scandir(build)
                  if entry.name.startswith("caisson") and entry.is_file() and os.access(entry.path, os.X_OK))


def identity(build):
    """A text that is another one when programs or libraries are, whose places they are, or the eyes that look at them."""
    programs, told = programs_of(build), hashlib.sha256()
    linked = subprocess.run(["ldd", *programs], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    eyes = sorted(entry.path for entry in os.scandir(os.path.dirname(os.path.abspath(__file__))) if entry.is_file())
    for path in programs + sorted(set(re.findall(r"(/\S+) \(0x", linked))) + eyes:
        with open(path, "rb") as file:
            told.update(hashlib.sha256(file.read()).digest())
    return told.hexdigest()


class Programs:
    """The programs of a build once more, beside plans that no other test has."""

    def __init__(self, build):
        self.path = tempfile.mkdtemp(prefix="caisson-faults.")
        os.chmod(self.path, 0o755)
        plans = os.path.join(self.path, "faults")
        os.mkdir(plans)
        os.chmod(plans, 0o755)
        for source in programs_of(build):
            shutil.copy(source, self.path)
        self.plans = {name: Plan(os.path.join(plans, name), name) for name in PROGRAMS}
        self.plans[AGENT] = AgentPlan(os.path.join(self.path, "strace"))

    def disarm(self):
        for plan in self.plans.values():
            plan.disarm()

    def remove(self):
        self.disarm()
        shutil.rmtree(self.path)
