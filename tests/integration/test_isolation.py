# SPDX-License-Identifier: Apache-2.0
"""Two sandboxes, a sandbox and the host, and images whose configuration is an attack."""

import ctypes
import errno
import os
import re
import socket
import stat
import tarfile
import time

import pytest

import archives
import conftest
import harness
from archives import Entry, directory

RANGE = 65536
RANGE_MIN, RANGE_MAX = 524288, 1879048191
MANY = 50
NAMESPACES = ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup")


def uid_map(pid, which="uid"):
    rows = [tuple(map(int, line.split())) for line in
            harness.read(f"/proc/{pid}/{which}_map").splitlines()]
    assert len(rows) == 1, rows
    return rows[0]


@pytest.mark.smoke
def test_namespaces_are_its_own(engine, make):
    keys = [make(), make()]
    agents = [engine.agent_of(key) for key in keys]
    for name in NAMESPACES:
        seen = [os.readlink(f"/proc/{pid}/ns/{name}") for pid in agents]
        seen.append(os.readlink(f"/proc/self/ns/{name}"))
        seen.append(os.readlink(f"/proc/{engine.pid}/ns/{name}"))
        assert len(set(seen[:2])) == 2 and not set(seen[:2]) & set(seen[2:]), (name, seen)


def test_id_ranges(api, engine):
    """Fifty sandboxes: host 0 is never mapped and no two ranges overlap."""
    count = min(MANY, harness.SCALE)
    keys = [api.create("busybox", memory_gb=0.0625).ok()["id"] for _ in range(count)]
    try:
        bases = []
        for key in keys:
            pid = engine.agent_of(key)
            assert uid_map(pid) == uid_map(pid, "gid")
            inside, base, size = uid_map(pid)
            assert inside == 0 and size == RANGE and base % RANGE == 0
            assert RANGE_MIN <= base and base + size - 1 <= RANGE_MAX
            bases.append(base)
        assert len(set(bases)) == count
    finally:
        for key in keys:
            api.delete(key).ok()


def test_host_files_carry_ids_of_the_range_only(api, engine, make):
    key = make()
    base = uid_map(engine.agent_of(key))[1]
    api.exec(key, "mkdir -p /a/b; echo x >/a/b/c; chown 1000:1000 /a/b/c; chown -R 65535:65535 /home; "
                  "mkfifo /a/f; ln -s c /a/b/l; touch /etc/passwd; chmod 4755 /a/b/c")
    top = os.path.join(engine.state, "writable", key)
    found = harness.written(engine, key)
    for uid, gid, kind, path in found:
        assert base <= uid < base + RANGE and base <= gid < base + RANGE, path
        assert kind != "b", path
    assert len(found) >= 6
    if harness.disk_of(key) is None:
        assert os.stat(top).st_uid == 0 and os.stat(top).st_mode & 0o777 == 0o700


PAIR = [
    ("a file", "echo secret >/tmp/pair; echo secret >/pair; echo secret >/dev/shm/pair",
     "cat /tmp/pair /pair /dev/shm/pair", "secret"),
    ("a process", "sleep 7777 & echo $!", "ps; cat /proc/*/cmdline | tr '\\0' ' '", "7777"),
    ("a host name", "true", "hostname", None),
    ("mounts", "true", "cat /proc/self/mountinfo", "caisson-it"),
]


@pytest.mark.parametrize("first,second,secret", [row[1:] for row in PAIR], ids=[row[0] for row in PAIR])
def test_pair_sees_nothing(api, make, first, second, secret):
    one, two = make(), make()
    api.exec(one, first + " >/dev/null 2>&1")
    seen = api.exec(two, second)
    if secret is None:
        assert seen.stdout != api.exec(one, second).stdout
    else:
        assert secret not in seen.stdout, seen


SPEAK = r"""
import ctypes, mmap, os, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
KEY = 0x70617a7a
def speak():
    shm = libc.shmget(KEY, 4096, 0o1666); libc.shmat.restype = ctypes.c_void_p
    at = libc.shmat(shm, None, 0); ctypes.memmove(at, b"secret", 6)
    print("shm", shm >= 0, "sem", libc.semget(KEY, 1, 0o1666) >= 0, "msg", libc.msgget(KEY, 0o1666) >= 0)
    rt = ctypes.CDLL("librt.so.1", use_errno=True)
    print("mq", rt.mq_open(b"/pair", 0o102, 0o666, None) >= 0)
    s = socket.socket(socket.AF_UNIX); s.bind("\0pair"); s.listen(1)
    t = socket.socket(); t.bind(("127.0.0.1", 7799)); t.listen(1)
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 7799))
    f = os.open("/dev/shm/pair", os.O_CREAT | os.O_RDWR, 0o666); os.write(f, b"secret")
    print("ready", flush=True); time.sleep(1000)
def listen():
    print("shm", libc.shmget(KEY, 0, 0) >= 0, "sem", libc.semget(KEY, 0, 0) >= 0,
          "msg", libc.msgget(KEY, 0) >= 0)
    rt = ctypes.CDLL("librt.so.1", use_errno=True)
    print("mq", rt.mq_open(b"/pair", 0, 0, None) >= 0)
    for name, make in (("abstract", lambda: socket.socket(socket.AF_UNIX).connect("\0pair")),
                       ("tcp", lambda: socket.socket().connect(("127.0.0.1", 7799))),
                       ("file", lambda: open("/dev/shm/pair"))):
        try: make(); print(name, True)
        except OSError: print(name, False)
    print("sysv", len(open("/proc/sysvipc/shm").readlines()) > 1)
{"speak": speak, "listen": listen}[sys.argv[1]]()
"""


@pytest.mark.slow
def test_pair_shares_no_ipc(api, make, python_image):
    """SysV and POSIX IPC, abstract and loopback sockets, shared memory: all by the same names."""
    one, two = make(python_image, memory_gb=0.5), make(python_image, memory_gb=0.5)
    with api.stream(one, ["python3", "-c", SPEAK, "speak"]) as stream:
        stream.until(b"ready")
        assert b"shm True sem True msg True" in stream.out and b"mq True" in stream.out, stream.out
        seen = harness.Api(api.path).exec(two, ["python3", "-c", SPEAK, "listen"])
        assert "True" not in seen.stdout and seen.stdout.count("False") == 8, seen
        # The control: from the same sandbox all of it is found.
        own = harness.Api(api.path).exec(one, ["python3", "-c", SPEAK, "listen"])
        assert "False" not in own.stdout, own
        stream.signal(9)


def test_pair_shares_no_abstract_or_loopback_socket(api, make):
    """The same with busybox alone."""
    one, two = make(), make()
    with api.stream(one, "echo ready; nc -l -p 7800 -e /bin/echo reached") as stream:
        stream.until(b"ready")
        time.sleep(0.2)
        assert "reached" not in api.exec(two, "nc -w 1 127.0.0.1 7800 </dev/null; ip -o addr").stdout
        assert "reached" in harness.Api(api.path).exec(one, "nc -w 2 127.0.0.1 7800 </dev/null").stdout


def test_reused_range_carries_nothing(api, engine):
    """Files, processes and shared memory of a former owner are not seen by the next."""
    for _ in range(6):
        key = api.create("busybox").ok()["id"]
        seen = api.exec(key, "ls -A /tmp /dev/shm /workspace /root; cat /mark; ps -o args")
        assert "left" not in seen.stdout and "sleep" not in seen.stdout, seen
        assert "ps -o args" in seen.stdout, "processes were listed"
        api.exec(key, "echo left >/mark; touch /tmp/left /dev/shm/left /workspace/left /root/left; "
                      "setsid sleep 6666 >/dev/null 2>&1 &")
        api.delete(key).ok()


HOARD = r"""
import ctypes, time
libc, held = ctypes.CDLL(None), 0
while libc.inotify_init1(0) >= 0:
    held += 1
print("have", held, flush=True)
time.sleep(1000)
"""


def inotify_instances():
    """How many more this process's user can have."""
    libc, held = ctypes.CDLL(None), []
    while (fd := libc.inotify_init1(os.O_CLOEXEC)) >= 0:
        held.append(fd)
    for fd in held:
        os.close(fd)
    return len(held)


def test_inotify_instances_are_its_own(api, engine, make, python_image):
    """The kernel counts them per user: one sandbox takes all of its own, and nobody else has fewer."""
    limit = int(harness.read("/proc/sys/fs/inotify/max_user_instances"))
    if limit > 900:
        conftest.skip(f"{limit} inotify instances: more than a process has descriptors")
    keys = [make(python_image) for _ in range(2)]
    before = inotify_instances()
    with api.stream(keys[0], ["python3", "-c", HOARD]) as one, \
            harness.Api(engine.socket).stream(keys[1], ["python3", "-c", HOARD]) as two:
        for stream in (one, two):
            stream.until(b"\n")
            assert int(stream.out.split()[1]) == limit, stream.out
        # Others may use the machine meanwhile; a shared pool would have nothing left.
        assert before > limit // 4 and inotify_instances() >= before - limit // 4
        one.signal(9), two.signal(9)


def test_interfaces(api, sandbox):
    """Loopback, and one link to the router: no neighbour but that, no other way."""
    seen = api.exec(sandbox, "ip -o link | grep -c UP; ip -o -4 addr").stdout
    assert seen.startswith("2\n") and "127.0.0.1/8" in seen and "/32 scope global eth0" in seen, seen
    assert api.exec(sandbox, "ip route").stdout.split() == ["default", "via", "169.254.1.1", "dev", "eth0",
                                                            "onlink"]


# ---- the escape probe ------------------------------------------------------------------------------

@pytest.fixture
def host(tmp_path):
    """Things of the host that must not be reached: an abstract socket, a port, a file."""
    name = "caisson-probe-" + os.urandom(6).hex()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("\0" + name)
    listener.listen(100)
    port = socket.socket()
    port.bind(("127.0.0.1", 0))
    port.listen(100)
    path = f"/tmp/caisson-probe-{os.getpid()}"
    text = os.urandom(12).hex()
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o644)
    yield ["--host-abstract", name, "--host-port", str(port.getsockname()[1]), "--host-file", path,
           "--host-text", text]
    os.unlink(path)
    listener.close()
    port.close()


def rows(text):
    return [line.split("\t") for line in text.splitlines() if "\t" in line]


def judge(text, code):
    """Every row as lines of what is wrong; the numbers have to be those of a whole run."""
    table = rows(text)
    bad = [" | ".join(row) for row in table if row[0] in ("OPEN", "HUNG", "BROKEN")]
    counts = {verdict: sum(row[0] == verdict for row in table) for verdict in
              ("BLOCKED", "N/A", "FINE", "OPEN", "HUNG", "BROKEN")}
    assert not bad, f"{counts}\n" + "\n".join(bad)
    assert code == 0, (code, text[-300:])
    assert counts["BLOCKED"] >= 700 and counts["FINE"] >= 15 and counts["N/A"] <= 30, counts
    return counts


@pytest.mark.smoke
@pytest.mark.parametrize("user", ["root", "app", "nobody"])
def test_probe(api, engine, make, escape_image, host, user):
    key = make(escape_image, memory_gb=0.5)
    with api.stream(key, ["/probe", *host], user=user, env={"PATH": "/bin"}) as stream:
        end = stream.wait()
    judge(stream.out.decode(), end["exit_code"])
    assert api.exec(key, "echo alive").stdout == "alive\n", "the agent still serves"
    assert api.get(key)["status"] == "RUNNING"


def test_probe_on_a_terminal(engine, api, make, escape_image, host):
    """The same with a controlling terminal, where TIOCSTI and its like would matter."""
    key = make(escape_image, memory_gb=0.5)
    with api.stream(key, ["/probe", "--only", "device"], tty=True, rows=24, cols=200) as stream:
        end = stream.wait()
    assert end["exit_code"] == 0, [line for line in stream.out.decode().splitlines() if "OPEN" in line]


def test_probe_control():
    """Outside a sandbox the same program succeeds at most of what is harmless: it can fail."""
    import subprocess
    probe = harness.program("tests/escape/probe")
    if not os.path.exists(probe):
        conftest.skip(f"{probe} is not built")
    script = os.path.join(harness.ROOT, "tests", "escape", "outside")
    result = subprocess.run([script, probe], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            timeout=100)
    table = rows(result.stdout)
    assert result.returncode == 0, result.stderr[-2000:] + result.stdout[-2000:]
    opened = [row[1].split(".")[0] for row in table if row[0] == "OPEN"]
    assert len(opened) >= 150, sorted(set(opened))
    assert {"mount", "file", "device", "agent", "kernel", "namespace", "socket", "cred",
            "limit"} == set(opened), "something of each group"


def test_descriptors_of_a_command(api, make, escape_image):
    """Golden: 0, 1, 2 and nothing else, each a pipe; on a terminal each the sandbox's own pts."""
    key = make(escape_image)
    script = "for f in /proc/self/fd/*; do echo ${f##*/} $(readlink $f); done; exec 3</dev/null"
    seen = api.exec(key, ["sh", "-c", "ls -l /proc/$$/fd"]).stdout
    targets = re.findall(r" (\d+) -> (\S+)", seen)
    assert [number for number, _ in targets] == ["0", "1", "2"], (seen, script)
    for _, target in targets:
        assert target.startswith(("pipe:", "socket:")) or target == "/dev/null", seen
    with api.stream(key, ["sh", "-c", "ls -l /proc/$$/fd"], tty=True) as stream:
        stream.wait()
    targets = re.findall(r" (\d+) -> ([^\s\x1b]+)", re.sub(rb"\x1b\[[0-9;]*m", b"", stream.out).decode())
    assert {target for _, target in targets} <= {"/dev/pts/0", "/dev/tty"} and len(targets) <= 4, stream.out


def work_files(root, engine, key):
    """The sandbox's own work group in one tree, and what it joins by."""
    top = f"{root}{engine.instance()}/{key}/work"
    return [path for path in (top, top + "/tasks", top + "/cgroup.procs") if os.path.exists(path)]


def test_descriptors_of_the_agent(engine, make):
    """Golden classes of PID 1: sockets, event descriptors, its groups, and files of its own mounts."""
    key = make()
    pid = engine.agent_of(key)
    mounts = {line.split()[0] for line in harness.read(f"/proc/{pid}/mountinfo").splitlines()}
    work = {(status.st_dev, status.st_ino) for root in harness.cgroup_roots()
            for status in [os.stat(path) for path in work_files(root, engine, key)]}
    groups = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        at = f"/proc/{pid}/fd/{name}"
        target, status = os.readlink(at), os.stat(at)
        if target.startswith(("socket:", "pipe:", "anon_inode:")):
            continue
        info = dict(line.split(":\t") for line in
                    harness.read(f"/proc/{pid}/fdinfo/{name}").splitlines() if ":\t" in line)
        assert not stat.S_ISBLK(status.st_mode), target
        if (status.st_dev, status.st_ino) in work:
            groups += 1
            # A directory is the root of its mount, so ".." leads nowhere.
            assert not stat.S_ISDIR(status.st_mode) or os.path.samefile(at + "/..", at), target
        else:
            assert info["mnt_id"].strip() in mounts, (name, target, "is outside of its mounts")
    assert groups >= 1, "its groups were looked for"


def below_the_root(pid):
    """What lies in "/" of its mount namespace, and in "/proc" there, when the image's root is taken off."""
    libc, detach = ctypes.CDLL(None, use_errno=True), 2
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            space = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
            for _ in range(2):  # the second time to what is uppermost then
                assert libc.setns(space, 0) == 0
                names, result = os.listdir("/"), libc.umount2(b"/", detach)
            os.write(tell, f"{result} {ctypes.get_errno()} {len(os.listdir('/proc'))} {' '.join(names)}".encode())
        finally:
            os._exit(0)
    os.close(tell)
    os.waitpid(child, 0)
    with os.fdopen(told) as text:
        result, error, processes, *names = text.read().split()
    return int(result), int(error), int(processes), set(names)


def test_nothing_of_the_host_is_below_the_root(engine, make):
    """Who could unmount the image's root would find a tmpfs of the sandbox's own, and no way further."""
    ours = {"dev", "masks", "proc", "shm", "sys", "tmp"}
    assert below_the_root(engine.agent_of(make())) == (-1, errno.EINVAL, 0, ours)


# ---- hostile image configuration -------------------------------------------------------------------

@pytest.fixture
def hostile(api, engine):
    """Makes an image and, if that is not refused, a sandbox of it; both go with the test."""
    made = []

    def take(entries=(), config=None, without=()):
        layer = archives.tar(e for e in archives.busybox_entries(entries)
                             if e.name.rstrip("/") not in without)
        answer = api.import_image("hostile", archives.Layout([layer], config).as_tar())
        made.append(("image", "hostile"))
        if answer.status != 200:
            return None, answer
        answer = api.create("hostile")
        if answer.status == 200:
            made.append(("sandbox", answer["id"]))
            return answer["id"], answer
        return None, answer

    yield take
    for kind, key in reversed(made):
        if kind == "sandbox":
            api.delete(key).ok()
        else:
            api.remove_image(key)


CONFIGS = {
    "user wraps": {"User": "0:99999999999"},
    "user wraps to root": {"User": "4294967296"},
    "user unknown": {"User": "mallory"},
    "user is a path": {"User": "../../etc/passwd"},
    "cwd is a descriptor": {"WorkingDir": "/proc/self/fd/7"},
    "cwd climbs": {"WorkingDir": "../../../.."},
    "cwd of pid 1": {"WorkingDir": "/proc/1/root"},
    "cwd is long": {"WorkingDir": "/" + "x" * 5000},
    "environment is odd": {"Env": ["=x", "A", "LD_PRELOAD=/evil.so", "PATH=", "A=1\nB=2"]},
    "environment is large": {"Env": [f"V{i}=" + "x" * 4000 for i in range(500)]},
    "volumes": {"Volumes": {"/var/lib/caisson": {}, "../../x": {}}},
    "labels": {"Labels": {"run.oci.hooks": "/bin/touch /tmp/evil", "x": "y" * 100000}},
    "entrypoint": {"Entrypoint": ["/proc/self/exe"], "Cmd": ["--help"]},
    "ports": {"ExposedPorts": {"99999/tcp": {}}, "StopSignal": "SIGKILL", "Shell": ["/evil"]},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_hostile_configuration(api, engine, hostile, name):
    """Refused with a reason, or interpreted inside only: the answer is the sandbox's own."""
    key, answer = hostile(config=CONFIGS[name])
    if key is None:
        assert 400 <= answer.status < 500 and answer.detail, answer
    else:
        ran = api.exec_raw(key, ["/bin/sh", "-c", "id -u; pwd -P; cat /etc/group | head -n 1"])
        if ran.status == 200 and ran["exit_code"] == 0:
            lines = ran["stdout"].splitlines()
            assert int(lines[0]) < RANGE and lines[1].startswith("/"), ran
            assert "(unreachable)" not in lines[1]
            if "user" in name:
                raise AssertionError(f"an unknown user was accepted: {ran}")
        else:
            assert ran.status < 500 and ran.detail, ran
        assert api.exec(key, ["/bin/echo", "x"], user="0", working_dir="/", env={"PATH": "/bin"}).code == 0
    assert not os.path.exists("/tmp/evil")


TREES = {
    "passwd is a FIFO": ([Entry("etc/passwd", type=tarfile.FIFOTYPE)], {"User": "app"}, ("etc/passwd",)),
    "passwd is a link to the host": ([Entry("etc/passwd", link="/proc/1/root/etc/shadow")], {"User": "app"},
                                     ("etc/passwd",)),
    "passwd is a directory": ([directory("etc/passwd")], {"User": "app"}, ("etc/passwd",)),
    "passwd is huge": ([Entry("etc/passwd", b"x:x:1:1:::\n" * 1000000)], {"User": "app"}, ("etc/passwd",)),
    "passwd is /dev/zero": ([Entry("etc/passwd", link="/dev/zero")], {"User": "app"}, ("etc/passwd",)),
    "passwd wraps": ([Entry("etc/passwd", "app:x:4294967296:0::/:\n")], {"User": "app"}, ("etc/passwd",)),
    "group is a FIFO": ([Entry("etc/group", type=tarfile.FIFOTYPE)], {"User": "app:extra"}, ("etc/group",)),
    "dev is a link": ([Entry("dev", link="/tmp")], {}, ("dev",)),
    "dev is a file": ([Entry("dev", "x")], {}, ("dev",)),
    "proc is a link": ([Entry("proc", link="/etc")], {}, ("proc",)),
    "proc is a link up": ([Entry("proc", link="../../../..")], {}, ("proc",)),
    "sys is a link": ([Entry("sys", link="proc/1/root")], {}, ("sys",)),
    "etc is a link": ([Entry("etc", link="/tmp")], {}, ("etc", "etc/passwd", "etc/group")),
    "etc is a link to proc": ([Entry("etc", link="/proc/sys/kernel")], {}, ("etc", "etc/passwd",
                                                                         "etc/group")),
    "tmp is a link": ([Entry("tmp", link="/etc")], {}, ("tmp",)),
    "tmp is a file": ([Entry("tmp", "x")], {}, ("tmp",)),
    "workspace is a link": ([Entry("workspace", link="/etc")], {}, ()),
    "hosts is a link": ([Entry("etc/hosts", link="/proc/sys/kernel/core_pattern")], {}, ()),
    "hosts is a FIFO": ([Entry("etc/hosts", type=tarfile.FIFOTYPE)], {}, ()),
    "resolv.conf is a link": ([Entry("etc/resolv.conf", link="/tmp/elsewhere")], {}, ()),
    "resolv.conf is a directory": ([directory("etc/resolv.conf")], {}, ()),
    "devices are links": ([Entry("dev/null", link="/proc/sys/kernel/core_pattern"),
                           Entry("dev/pts", link="/etc"), Entry("dev/shm", link="/etc"),
                           Entry("dev/ptmx", link="/etc/passwd")], {}, ()),
    "shell is missing": ([], {}, ("bin/sh", "bin/ash")),
    "shell is a link to the agent": ([Entry("bin/sh", link="/proc/1/exe")], {}, ("bin/sh",)),
    "shell is a script of the agent": ([Entry("bin/sh", "#!/proc/self/exe\n", mode=0o755)], {}, ("bin/sh",)),
    "shell is a FIFO": ([Entry("bin/sh", type=tarfile.FIFOTYPE, mode=0o755)], {}, ("bin/sh", "bin/ash")),
}


@pytest.mark.parametrize("name", TREES)
def test_hostile_tree(api, engine, hostile, name):
    """Refused or contained: real /proc and /dev, nothing of the host, and others are not held up."""
    entries, config, without = TREES[name]
    began = time.monotonic()
    key, answer = hostile(entries, config, without)
    assert time.monotonic() - began < 20
    assert api.healthy()
    if key is None:
        assert 400 <= answer.status < 500 and answer.detail, answer
        return
    ran = api.exec_raw(key, ["/bin/busybox", "id"])
    assert time.monotonic() - began < 40 and ran.status < 500, ran
    ran = api.exec(key, ["/bin/busybox", "sh", "-c",
                         "stat -f -c %T /proc; stat -c '%t %T' /dev/null; ls -d /proc/1 /proc/self; "
                         "cat /proc/sys/kernel/core_pattern"], user="0", working_dir="/",
                   env={"PATH": "/bin"})
    assert "proc" in ran.stdout.splitlines()[0] and "1 3" in ran.stdout, ran
    assert ran.stdout.splitlines()[-1] == harness.read("/proc/sys/kernel/core_pattern").strip()
    api.exec_raw(key, "echo from the shell")
    api.exec(key, ["/bin/busybox", "true"], user="0", working_dir="/")
    assert api.get(key)["status"] == "RUNNING"


def test_agent_cannot_be_had_through_a_script(api, engine, hostile):
    """CVE-2019-5736: `#!/proc/self/exe` run by the agent must not give a writable agent."""
    key, _ = hostile([Entry("evil", "#!/proc/self/exe\n", mode=0o755)])
    before = harness.read(harness.program("caisson-agent"), binary=True)
    api.exec_raw(key, ["/evil"], timeout=5)
    script = ("for i in 1 2 3 4 5 6 7 8 9; do for p in /proc/[0-9]*; do "
              "(echo x >$p/exe) 2>/dev/null && echo written $p; done; done")
    with api.stream(key, script) as stream:
        for _ in range(5):
            harness.Api(engine.socket).exec_raw(key, ["/evil"], timeout=2)
            harness.Api(engine.socket).exec(key, ["/bin/true"])
        stream.wait()
    assert b"written /proc/1" not in stream.out, stream.out
    assert harness.read(harness.program("caisson-agent"), binary=True) == before
    other = api.create("busybox").ok()["id"]
    assert api.exec(other, "echo sound").stdout == "sound\n"
    api.delete(other).ok()
