# SPDX-License-Identifier: Apache-2.0
"""What running processes ask of the kernel, by strace: no time is in it, so a busy machine counts the same."""

import collections
import os
import re
import signal
import subprocess
import time

import harness

# pid<name> call(arguments) = result ERROR, or the end of a call that another process's line came between.
LINE = re.compile(r"^(\d+)<(.*?)> (?:<\.\.\. (\w+) resumed>|(\w+)\()(.*?) = (-?[0-9a-fx]+|\?)(?: (E[A-Z0-9]+) )?")
COPIES = frozenset(("read", "readv", "pread64", "recvfrom", "recvmsg", "write", "writev", "pwrite64", "sendto",
                    "sendmsg", "sendfile", "splice", "copy_file_range"))
SENDS = frozenset(("sendto", "sendmsg"))
FORKS = frozenset(("clone", "clone3", "fork", "vfork"))
# How often one waits, and looks in vain, depends on what came together; a clock may be read without a call.
WAITS = frozenset(("epoll_wait", "epoll_pwait", "poll", "ppoll", "restart_syscall", "clock_gettime"))

# What caissond does twice a second while a sandbox runs (engine/oom.c) is no part of what happens meanwhile.
LOOK, LOOK_CALLS = "memory.kmem.tcp.usage_in_bytes", ("openat", "read", "read", "close")

SIGNAL_BYTES = 128  # of what signalfd tells: signals of one kind that come together are one


class Call(collections.namedtuple("Call", "pid name call arguments result error")):
    def in_vain(self):
        """Looked, and found nothing, or a signal."""
        return (self.error == "EAGAIN" or (self.call == "read" and self.result == SIGNAL_BYTES) or
                (self.call in ("wait4", "waitid") and (self.error == "ECHILD" or self.result == 0)))


class Cost:
    """What one process, or several of a kind, did."""

    def __init__(self, calls=()):
        self.names, self.bytes, self.wakeups, look = collections.Counter(), 0, 0, []
        for call in calls:
            if LOOK in call.arguments:
                look = list(LOOK_CALLS)
            if look[:1] == [call.call]:
                look.pop(0)
                continue
            if call.call in WAITS or call.in_vain():
                self.wakeups += call.call in WAITS and call.result > 0
                continue
            self.names[call.call] += 1
            if call.call in COPIES and call.result > 0:
                self.bytes += call.result

    def of(self, names):
        return sum(self.names[name] for name in names)

    @property
    def calls(self):
        return sum(self.names.values())

    @property
    def messages(self):
        return self.of(SENDS)

    @property
    def forks(self):
        return self.of(FORKS)


class Tracer:
    """Notes the calls of processes and of all that they start, from __enter__ to __exit__."""
    SECONDS, QUIET = 20, 0.08

    def __init__(self, path, pids):
        self.path, self.pids = path, [str(pid) for pid in pids]

    def __enter__(self):
        self.strace = subprocess.Popen(
            ["strace", "-f", "-qq", "--decode-pids=comm", "-e", "raw=!openat", "-e", "signal=none", "-o", self.path,
             "-p", ",".join(self.pids)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        harness.wait_until(lambda: self.strace.poll() is not None or all(map(self.traces, self.pids)), self.SECONDS,
                           "strace traces all")
        assert self.strace.poll() is None, "strace ended"
        return self

    def traces(self, pid):
        return (harness.status_of(pid) or {}).get("TracerPid") == str(self.strace.pid)

    def __exit__(self, *_):
        self.strace.send_signal(signal.SIGINT)  # it lets go what it traces
        self.strace.wait(self.SECONDS)

    def settle(self):
        """Waits until nothing is called for a moment; the place in the log."""
        end, last, since = time.monotonic() + self.SECONDS, -1, 0
        while True:
            size, now = os.path.getsize(self.path), time.monotonic()
            if size != last:
                last, since = size, now
            elif now - since >= self.QUIET:
                return size
            assert now < end, "calls come without end"
            time.sleep(self.QUIET / 8)

    def between(self, begin, end):
        """Calls that ended between two places of the log."""
        with open(self.path, "rb") as file:
            file.seek(begin)
            text = file.read(end - begin).decode(errors="replace")
        for line in text.splitlines():
            found = LINE.match(line)
            if found:
                result = 0 if found[6] == "?" else int(found[6], 0)
                yield Call(int(found[1]), found[2], found[3] or found[4], found[5], result, found[7])
