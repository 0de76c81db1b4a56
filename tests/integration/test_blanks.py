# SPDX-License-Identifier: Apache-2.0
"""A sandbox that was a waiting blank and one that was begun when it was asked for are the same, in all that can be seen.

Of both everything is written down, from inside and from the host, names and numbers that are a sandbox's own taken
out, and compared.
"""

import ctypes
import difflib
import fcntl
import os
import re
import signal
import subprocess

import pytest

import conftest
import harness

RANGE = 65536
NS_GET_USERNS, NS_GET_OWNER_UID, IOPRIO_GET = 0xB701, 0xB704, 252
# Files of a group that count, or list who is there, in place of setting something.
COUNTERS = re.compile(r"usage|stat$|peak|events|failcnt|procs$|tasks$|threads$|current$|pressure|slabinfo|oom_control")
# What the kernel counts of processes.
STATUS_COUNTERS = re.compile(r"^(Vm|Rss|Hugetlb|(non)?voluntary|State|Pid|PPid|Tgid|Ngid|NStgid|TracerPid|FDSize"
                             r"|SigQ|SigPnd|ShdPnd)")
FILES = ("limits", "oom_score_adj", "personality", "coredump_filter", "timerslack_ns", "sessionid", "loginuid",
         "uid_map", "gid_map", "projid_map", "setgroups", "timens_offsets", "attr/current", "cmdline", "environ")
SYSCTLS = ("net", "kernel/shmmax", "kernel/shmall", "kernel/shmmni", "kernel/shm_rmid_forced", "kernel/msgmax",
           "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/domainname", "fs/mqueue")
INSIDE = r"""
for what in 'id' 'pwd' 'umask' 'ulimit -a' 'env | sort' 'cat /proc/self/cgroup' 'cat /proc/self/timens_offsets' \
    'ls -la / /dev /dev/ /sys /proc/sys/ /tmp/ /root/ /run/' 'cat /etc/hosts /etc/resolv.conf /etc/mtab' 'ls -l /proc/self/fd' \
    'cat /proc/filesystems' 'cat /proc/self/mountinfo' 'df' 'nice' 'chrt -p $$' 'cat /proc/1/limits' \
    'ls /proc/1/fd' 'ps -o pid,ppid,user,args' 'taskset -p $$' 'ionice' 'grep -s "" /proc/sys/user/*'
do
    printf '\001%s\n' "$what"; eval "$what" 2>&1
done
"""


class Names:
    """Takes out of a text what only this sandbox has."""

    def __init__(self, engine, key, agent):
        self.base = int(harness.read(f"/proc/{agent}/uid_map").split()[1])
        instance = re.findall(r"instance=(\w+)", engine.log())[-1]
        address = re.search(r"inet ([\d.]+)", enter(agent, "ip -o -4 addr show dev eth0"))
        self.own = [(key, "ID"), (engine.top, "TOP"), (instance, "INSTANCE"), (address[1], "ADDRESS")]

    def number(self, found):
        value = int(found[0])
        return f"BASE+{value - self.base}" if self.base <= value < self.base + RANGE else found[0]

    def plain(self, text):
        for name, word in self.own:
            text = text.replace(name, word)
        text = re.sub(r"\b(socket|pipe|mnt|net|pid|user|uts|ipc|cgroup|time):\[\d+\]", r"\1:[N]", text)
        text = re.sub(r"@if\d+", "@ifN", re.sub(r"/dev/loop\d+", "/dev/loopN", text))
        text = re.sub(r"(autogroup-|/proc/self/fd/|dr-xr-xr-x +)\d+", r"\1N", text)  # the last: /proc by its processes
        text = re.sub(r"\b06(:[0-9a-f]{2}){5}\b", "MAC", re.sub(r"[ \t]+", " ", text))
        text = re.sub(r"\w{3} +\d+ \d\d:\d\d", "DATE", text)
        return re.sub(r"\d+", self.number, text)


def enter(pid, command):
    """Output of a program of the host in the network, IPC and UTS namespaces of a process."""
    return subprocess.run(["nsenter", "-t", str(pid), "-n", "-i", "-u", "sh", "-c", command], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, timeout=30).stdout


def in_order(text, pattern):
    """Numbers that mean nothing but "the same as there", counted in the order in which they come."""
    seen = {}
    return re.sub(pattern, lambda found: "#" + str(seen.setdefault(found[0], len(seen))), text)


def mounts(text):
    """mountinfo: ids of mounts, of devices and of peer groups are anybody's."""
    lines = []
    for line in text.splitlines():
        number, parent, device, rest = line.split(" ", 3)
        lines.append(f"m{number} m{parent} d{device} {rest}")
    return in_order(in_order("\n".join(lines), r"\bm\d+\b"), r"\bd\d+:\d+\b")


def namespaces(pid, agent):
    """Of each kind: the host's, the sandbox's, or one of the process's own; and whose user namespace owns it."""
    def whose(stat):
        known = {os.stat("/proc/self/ns/user").st_ino: "host", os.stat(f"/proc/{agent}/ns/user").st_ino: "sandbox"}
        return known.get(stat.st_ino, "?")

    for kind in sorted(os.listdir(f"/proc/{pid}/ns")):
        path = f"/proc/{pid}/ns/{kind}"
        inode = os.stat(path).st_ino
        of = [name for name, other in (("host", "self"), ("sandbox", agent))
              if os.stat(f"/proc/{other}/ns/{kind}").st_ino == inode]
        with open(path, "rb") as file:
            owner = fcntl.ioctl(file, NS_GET_USERNS)
            yield f"{kind}: {of}, owned by {whose(os.fstat(owner))}"
            os.close(owner)
            if kind == "user":
                uid = bytearray(4)
                fcntl.ioctl(file, NS_GET_OWNER_UID, uid)
                yield f"{kind}: of uid {int.from_bytes(uid, 'little')}"


def descriptors(pid):
    for name in sorted(os.listdir(f"/proc/{pid}/fd"), key=int):
        flags = re.search(r"flags:\t(\d+)", harness.read(f"/proc/{pid}/fdinfo/{name}"))[1]
        yield f"{name} -> {os.readlink(f'/proc/{pid}/fd/{name}')} {flags}"


def scheduling(pid):
    fields = harness.read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
    return {"priority": fields[15], "nice": fields[16], "realtime": fields[37], "policy": fields[38],
            "io": ctypes.CDLL(None).syscall(IOPRIO_GET, 1, pid), "cpus": sorted(os.sched_getaffinity(pid)),
            "autogroup": harness.read(f"/proc/{pid}/autogroup") if os.path.exists("/proc/self/autogroup") else ""}


def process(pid, agent):
    """What the host sees of one."""
    facts = {"status": "\n".join(line for line in harness.read(f"/proc/{pid}/status").splitlines()
                                 if not STATUS_COUNTERS.match(line))}
    facts["status"] = re.sub(r"(?m)^(NS\w+:).*\t(\d+)$", r"\1 \2", facts["status"])
    for name in FILES:
        if os.path.exists(f"/proc/{pid}/{name}"):
            try:
                facts[name] = harness.read(f"/proc/{pid}/{name}")
            except OSError as error:
                facts[name] = str(error)
    facts["namespaces"] = "\n".join(namespaces(pid, agent))
    facts["descriptors"] = "\n".join(descriptors(pid))
    facts["mounts"] = mounts(harness.read(f"/proc/{pid}/mountinfo"))
    facts["scheduling"] = str(scheduling(pid))
    facts["groups"] = harness.read(f"/proc/{pid}/cgroup")
    facts["places"] = "\n".join(os.readlink(f"/proc/{pid}/{name}") for name in ("exe", "cwd", "root"))
    return facts


def groups(key):
    """What is set in each of its control groups."""
    for root in harness.cgroup_roots():
        for top, _, names in os.walk(root):
            if f"/{key}" not in top:
                continue
            for name in names:
                path = os.path.join(top, name)
                info = os.stat(path)
                if info.st_mode & 0o444 and not COUNTERS.search(name):
                    try:
                        value = harness.read(path)
                    except OSError as error:  # what this kernel does not tell
                        value = error.strerror
                    yield path, f"{info.st_mode:o} {info.st_uid} {info.st_gid} {value}"


def network(agent):
    show = "; ".join(f"ip {what}" for what in ("-d -o link", "-o addr", "route show table all", "-6 route show table all",
                                               "rule", "neigh", "-6 neigh", "netns list-id"))
    files = " ".join("/proc/sys/" + name for name in SYSCTLS)
    return {"links": enter(agent, show),
            "sysctls": "\n".join(line for line in sorted(enter(agent, f"grep -rs '' {files}").splitlines())
                                 if "conntrack_count" not in line)}


def portrait(engine, key):
    """name -> text, of all that tells one sandbox from another, but for what is its own by design."""
    agent = engine.agent_of(key)
    names = Names(engine, key, agent)
    inside = engine.api.exec(key, INSIDE).stdout
    with harness.Api(engine.socket).stream(key, ["sleep", "1000"]) as stream:
        stream.started()
        command = next(pid for pid in engine.sandbox_pids(key) if harness.comm(pid) == "sleep")
        facts = {f"agent {name}": text for name, text in process(agent, agent).items()}
        facts.update({f"command {name}": text for name, text in process(command, agent).items()})
        facts.update({f"group {path}": text for path, text in groups(key)})
        stream.signal(9)
        stream.wait()
    facts.update({f"network {name}": text for name, text in network(agent).items()})
    for part in inside.split("\1")[1:]:
        name, text = part.split("\n", 1)
        facts["inside " + name] = mounts(text) if name.endswith("mountinfo") else text
    return {names.plain(name): names.plain(text) for name, text in facts.items()}


def directories(engine):
    return set(os.listdir(os.path.join(engine.run, "sandboxes")))


def use_up(engine, pool, wish):
    """Blanks have the limits that were asked for last: after this all of them have those of wish."""
    first = set(engine.agents())
    engine.api.delete(engine.api.create("busybox", **wish).ok()["id"]).ok()
    for pid in first & set(engine.agents()):
        os.kill(pid, signal.SIGKILL)
    harness.wait_until(lambda: engine.api.blanks() == pool and not first & set(engine.agents()), 20, "other blanks")
    engine.api.reaped()


def limits_of(engine):
    """What is set in the groups of the blanks of an engine."""
    return {value for key in directories(engine) for path, value in groups(key)
            if path.endswith(("/work/memory.limit_in_bytes", "/work/memory.max"))}


def made(pool, before=None):
    """The portrait of a sandbox of an engine with so many blanks, which have come up before.

    before: they have the limits of such a one.
    """
    for engine in conftest.run_engine("--pool", str(pool)):
        harness.wait_until(lambda: len(engine.agents()) == pool, 10, "blanks")
        if before is not None:
            use_up(engine, pool, before)
            (limit,) = limits_of(engine)
            assert int(limit.split()[-1]) == before["memory_gb"] * 2**30
        waited = directories(engine)
        key = engine.api.create("busybox", name="the-same", environment_vars={"A": "b"}).ok()["id"]
        assert (key in waited) == (pool > 0)
        seen = portrait(engine, key)
        engine.api.delete(key).ok()
    return seen


# More and less than what is asked for afterwards; less than a core's share is never set before.
OTHERS = (None, {"cpu_cores": 2, "memory_gb": 0.5, "pids_limit": 77}, {"cpu_cores": 1, "memory_gb": 0.0625})


@pytest.fixture(scope="module")
def begun():
    """Of one that was begun when it was asked for."""
    seen = made(0)
    empty = [name for name, text in seen.items() if "inside" in name and not text]
    assert len(seen) > 100 and not empty, (empty, sorted(seen))
    return seen


@pytest.mark.parametrize("before", OTHERS, ids=("no limits", "more", "less"))
def test_a_claimed_blank_is_like_one_that_was_begun_for_its_claim(begun, before):
    waited = made(3, before)
    different = [line for name in sorted(set(waited) | set(begun))
                 for line in difflib.unified_diff(waited.get(name, "").splitlines(), begun.get(name, "").splitlines(),
                                                  name + ", waited", name + ", begun", lineterm="", n=0)]
    assert not different, "\n" + "\n".join(different)


def test_it_is_made_of_no_more_than_it_needs():
    """For each file system of the host the kernel keeps memory in each memory group of the host: for the square of what
    a sandbox has of both."""
    for engine in conftest.run_engine("--pool", "1"):
        key = engine.api.create("busybox").ok()["id"]
        agent = engine.agent_of(key)
        mounted = {line.split()[2]: line for line in harness.read(f"/proc/{agent}/mountinfo").splitlines()}
        groups = {os.path.relpath(top, root).split(key, 1)[1] for root in harness.cgroup_roots()
                  for top, _, _ in os.walk(root) if key in top}
        own = int(re.search(r"Anonymous: +(\d+)", harness.read(f"/proc/{agent}/smaps_rollup"))[1])
        assert own < 60, f"pages of the agent's own: {own} KiB"
        assert len(mounted) == 6, mounted  # the root, /dev, /dev/pts, /dev/mqueue, /proc, all others
        assert groups - {"/agent"} == {"", "/work", "/work/cmd-1"}, groups
        assert ("/agent" in groups) == (len(harness.cgroups_of(agent)) == 1), groups  # on version 2
