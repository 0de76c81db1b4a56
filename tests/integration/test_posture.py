# SPDX-License-Identifier: Apache-2.0
"""Who runs with what: each process against a golden row, and the directories' modes."""

import contextlib
import gzip
import http.client
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import tarfile
import tempfile
import threading

import pytest

import harness

CAPS = ["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
        "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
        "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
        "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
        "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
        "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE"]
# What root of a sandbox may do there; policy/caps.c says why.
INSIDE = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
          "NET_BIND_SERVICE", "SYS_CHROOT", "SETFCAP"}
# What they may do to the host, exactly; policy/caps.c says why.
SUPERVISOR = {"SYS_ADMIN", "SYS_CHROOT", "SETUID", "SETGID", "SETPCAP", "CHOWN", "DAC_OVERRIDE", "FOWNER",
              "MKNOD", "KILL", "NET_ADMIN", "NET_BIND_SERVICE"}
SPAWNER = {"SYS_ADMIN", "SETUID", "SETGID", "NET_ADMIN"}
REAPER = {"DAC_OVERRIDE", "KILL"}


def caps(text):
    value = int(text, 16)
    return {CAPS[bit] if bit < len(CAPS) else str(bit) for bit in range(64) if value >> bit & 1}


def posture(pid):
    status = harness.status_of(pid)
    return {"uid": {int(x) for x in status["Uid"].split()}, "gid": {int(x) for x in status["Gid"].split()},
            "groups": status["Groups"].split(), "nnp": status["NoNewPrivs"].strip(),
            "seccomp": status["Seccomp"].strip(), "threads": status["Threads"].strip(),
            "ignores": int(status["SigIgn"], 16), "blocks": int(status["SigBlk"], 16),
            **{name: caps(status["Cap" + name]) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}}


def holds_exactly(seen, want):
    """Whoever starts the engine may lack one of them, as in a container."""
    want = want & posture("self")["Bnd"]
    for name in ("Prm", "Eff", "Bnd"):
        assert seen[name] == want, (name, sorted(seen[name] ^ want))
    assert not seen["Inh"] and not seen["Amb"]


@pytest.mark.smoke
@pytest.mark.parametrize("name", harness.PROGRAMS)
def test_nothing_can_be_made_to_fail_on_purpose(name):
    """What "configure --enable-fault-injection" adds is in no other build."""
    program = harness.read(harness.program(name), binary=True)
    assert b"cx_fault_point" not in program and b"/faults/" not in program


def test_caissond(engine):
    seen = posture(engine.pid)
    assert seen["uid"] == {0} and (seen["nnp"], seen["threads"]) == ("1", "1")
    holds_exactly(seen, SUPERVISOR)


@pytest.mark.smoke
def test_gateway(engine):
    seen = posture(engine.gateway)
    account = pwd.getpwnam(harness.gateway_user())
    assert seen["uid"] == {account.pw_uid} and account.pw_uid != 0 and 0 not in seen["gid"]
    assert "0" not in seen["groups"]
    assert not any(seen[name] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb"))
    assert (seen["nnp"], seen["seccomp"], seen["threads"]) == ("1", "2", "1")
    limits = harness.read(f"/proc/{engine.gateway}/limits")
    assert int(re.search(r"Max open files\s+(\d+)\s+(\d+)", limits).group(2)) <= 16384
    environment = harness.read(f"/proc/{engine.gateway}/environ")
    assert "must-not-leak" not in environment
    assert os.readlink(f"/proc/{engine.gateway}/cwd") in ("/", engine.state + "/gateway")


def test_spawner(engine):
    spawner = engine.child("caisson-spawner")
    seen = posture(spawner)
    assert seen["uid"] == {0} and (seen["nnp"], seen["threads"]) == ("1", "1")
    holds_exactly(seen, SPAWNER)
    assert os.readlink(f"/proc/{spawner}/ns/mnt") != os.readlink(f"/proc/{engine.pid}/ns/mnt")
    assert len(harness.mounts_of(spawner)) <= 4, harness.mounts_of(spawner)
    assert len(os.listdir(f"/proc/{spawner}/fd")) <= 12, "no descriptor of any sandbox"


def test_reaper(engine):
    harness.wait_until(lambda: "caisson-reaper" in map(harness.comm, harness.children(engine.pid)), 10, "a reaper")
    seen = posture(engine.reaper)
    assert seen["uid"] == {0} and (seen["nnp"], seen["threads"]) == ("1", "1")
    holds_exactly(seen, REAPER)


def test_mounts_stay_in_their_namespaces(engine, make):
    make()
    for pid in ("1", "self"):
        seen = [line for line in harness.mounts_of(pid) if engine.top in line]
        assert seen == [f"{engine.run}/net nsfs nsfs"], "the router, which outlives caissond"
    assert os.readlink(f"/proc/{engine.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")


def both(pids):
    """Command -> pid, when both sleep."""
    found = {harness.read(f"/proc/{pid}/cmdline").replace("\0", " ").strip(): pid for pid in pids}
    return found if {"sleep 1000", "sleep 2000"} <= set(found) else None


@pytest.mark.smoke
def test_agent_and_command(engine, api, make):
    key = make()
    base = int(harness.read(f"/proc/{engine.agent_of(key)}/uid_map").split()[1])
    with api.stream(key, ["sleep", "1000"]) as root, \
            harness.Api(engine.socket).stream(key, ["sleep", "2000"], user="app") as user:
        root.started(), user.started()
        pids = harness.wait_until(lambda: both(engine.sandbox_pids(key)), 10, "both, whose words come after their start")
        agent = posture(engine.agent_of(key))
        command = posture(pids["sleep 1000"])
        other = posture(pids["sleep 2000"])
        root.signal(9), user.signal(9)
    assert not agent["ignores"]
    for seen in (command, other):
        assert not seen["ignores"] and not seen["blocks"]
    for seen in (agent, command, other):
        assert (seen["nnp"], seen["seccomp"]) == ("1", "2") and not seen["Inh"] and not seen["Amb"]
        assert seen["Bnd"] <= INSIDE, sorted(seen["Bnd"] - INSIDE)
    assert agent["uid"] == {base} and agent["threads"] == "1" and agent["Prm"] <= INSIDE
    assert command["uid"] == {base} and command["Eff"] == command["Bnd"] == INSIDE, sorted(
        command["Eff"] ^ INSIDE)
    assert other["uid"] == {base + 1000} and not other["Prm"] and not other["Eff"]


def test_blank_agents_have_no_privilege_over_the_host(engine):
    harness.wait_until(engine.agents, 5, "a blank")
    for pid in engine.agents():
        assert 0 not in posture(pid)["uid"]
        assert os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")


def test_agent_is_undumpable_and_unreadable(engine, make):
    """Its /proc files belong to the host's root, so the sandbox's root is a stranger to them."""
    pid = engine.agent_of(make())
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0 or os.stat(f"/proc/{pid}/environ").st_uid == 0
    target = os.readlink(f"/proc/{pid}/exe")
    assert target.startswith("/memfd:"), target
    status = os.stat(f"/proc/{pid}/exe")
    assert stat.S_IMODE(status.st_mode) == 0o111 and status.st_uid == 0, oct(status.st_mode)
    assert harness.read(f"/proc/{pid}/environ") == ""


def test_directories(engine):
    account = pwd.getpwnam(harness.gateway_user())
    rows = [("state", 0o710, 0), ("state/layers", 0o700, 0), ("state/writable", 0o700, 0),
            ("state/trash", 0o700, 0), ("state/gateway", 0o700, account.pw_uid), ("run", 0o710, 0),
            ("run/sandboxes", 0o700, 0)]
    for name, mode, owner in rows:
        status = os.stat(os.path.join(engine.top, name))
        assert (stat.S_IMODE(status.st_mode), status.st_uid) == (mode, owner), \
            (name, oct(status.st_mode), status.st_uid)
    api = os.stat(engine.socket)
    assert stat.S_IMODE(api.st_mode) == 0o660
    ids = os.stat(harness.IDS)
    assert (stat.S_IMODE(ids.st_mode), ids.st_uid) == (0o700, 0)
    for top, names, files in os.walk(os.path.join(engine.state, "gateway")):
        for name in files:
            assert os.stat(os.path.join(top, name)).st_mode & 0o077 == 0, name


def test_no_abstract_sockets(engine, make):
    make()
    own = set()
    for pid in (engine.pid, engine.gateway):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed since
                own.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    inodes = {name[8:-1] for name in own if name.startswith("socket:")}
    for line in harness.read("/proc/net/unix").splitlines()[1:]:
        fields = line.split()
        assert not (len(fields) > 7 and fields[7].startswith("@") and fields[6] in inodes), line


def test_gateway_holds_nothing_of_the_host(engine, make):
    """Its open files are its state, sockets and pipes, and control groups from which no way leads up."""
    make()
    for fd in os.listdir(f"/proc/{engine.gateway}/fd"):
        try:
            target = os.readlink(f"/proc/{engine.gateway}/fd/{fd}")
        except FileNotFoundError:
            continue  # closed since
        if target == "/":
            group = f"/proc/{engine.gateway}/fd/{fd}"
            assert os.path.exists(group + "/cmd-1/cgroup.procs") and os.path.samefile(group, group + "/..")
            continue
        assert target.startswith(("socket:", "pipe:", "anon_inode:", "/dev/null",
                                  engine.state + "/gateway")) or target == engine.log_path, target


def test_others_cannot_connect(engine):
    """The API socket is for root and the engine's group."""
    child = os.fork()
    if child == 0:
        code = 0
        try:
            os.setgroups([])
            os.setgid(54321)
            os.setuid(54321)
            socket.socket(socket.AF_UNIX).connect(engine.socket)
        except PermissionError:
            code = 7
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


# ---- image workers -----------------------------------------------------------------------------

ZEROS = 1 << 29


@pytest.fixture(scope="module")
def large_archive(tmp_path_factory):
    archive = tmp_path_factory.mktemp("archive") / "large.tar.gz"
    with gzip.open(archive, "wb", 1) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        entry = tarfile.TarInfo("zeros")
        entry.size = ZEROS
        with open("/dev/zero", "rb") as zeros:
            tar.addfile(entry, zeros)
    return archive.read_bytes()


@pytest.fixture
def importing(large_archive):
    """Starts an import that takes a while."""
    started = []

    def start(engine):
        def run():
            with contextlib.suppress(OSError, http.client.HTTPException):
                harness.Api(engine.socket).import_image("large", large_archive)
        started.append(threading.Thread(target=run))
        started[-1].start()

    yield start
    for thread in started:
        thread.join(60)


def confined_worker(engine):
    """pid of a worker that has shut itself in, stopped so that it stays for a look."""
    def stops(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            harness.wait_until(lambda: not harness.alive(pid) or
                               (harness.status_of(pid) or {"State": "X"})["State"][0] in "TX", 5, "its stop")
        return harness.alive(pid)

    def find():
        for pid in harness.children(engine.pid):
            if harness.comm(pid) == "caisson-image":
                status = harness.status_of(pid)
                if status is not None and status["Seccomp"].strip() == "2" and stops(pid):
                    return pid
        return None
    return harness.wait_until(find, 20, "a worker behind its filter", every=0.002)


def test_image_workers(engine, importing):
    importing(engine)
    pid = confined_worker(engine)
    try:
        seen = posture(pid)
        _, base, size = map(int, harness.read(f"/proc/{pid}/uid_map").split())
        limits = {line[:26].strip(): line[26:].split()[:2] for line in
                  harness.read(f"/proc/{pid}/limits").splitlines()[1:]}
        spaces = {name: os.readlink(f"/proc/{pid}/ns/{name}") !=
                  os.readlink(f"/proc/{engine.pid}/ns/{name}")
                  for name in ("user", "mnt", "pid", "net", "ipc", "uts")}
        mounts, fds = harness.mounts_of(pid), os.listdir(f"/proc/{pid}/fd")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert not any(seen[name] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")), seen
    assert (seen["nnp"], seen["seccomp"], seen["threads"]) == ("1", "2", "1")
    assert seen["uid"] == {base} and base >= size == 65536
    assert all(spaces.values()), spaces
    assert len(mounts) == 1 and set(fds) <= {"0", "1", "2", "3"}, (mounts, fds)
    assert limits["Max processes"] == limits["Max core file size"] == ["0", "0"], limits
    for name in ("Max address space", "Max cpu time", "Max open files"):
        assert "unlimited" not in limits[name], (name, limits[name])
    engine.api.remove_image("large")


def test_image_workers_end_with_their_engine(fresh_engine, importing):
    importing(fresh_engine)
    confined_worker(fresh_engine)
    workers = [pid for pid in harness.children(fresh_engine.pid)
               if harness.comm(pid) in ("caisson-image", "caissond")]
    fresh_engine.kill()
    harness.wait_until(lambda: not any(map(harness.alive, workers)), 10, "the workers' end")
    fresh_engine.start()


# ---- a transfer worker: a registry that listens and never answers ------------------------------

@pytest.fixture
def pulling():
    """An engine with a pull that waits, and the pid of its worker."""
    with socket.create_server(("127.0.0.1", 0)) as silent, tempfile.NamedTemporaryFile("w") as settings:
        address = "127.0.0.1:%d" % silent.getsockname()[1]
        settings.write(f'[registry "{address}"]\nplain_http = yes\n')
        settings.flush()
        os.chmod(settings.name, 0o644)

        def begin(engine):
            engine.api.create(f"{address}/a").ok()
            silent.settimeout(20)
            connection.append(silent.accept()[0])  # so it is confined: it has looked for the name, too
        connection = []
        for engine in harness.run_engine("--registries", settings.name, prepare=begin):
            [pid] = [pid for pid in harness.children(engine.pid) if harness.comm(pid) == "caisson-fetch"]
            yield engine, pid
        connection[0].close()


def test_transfer_workers(pulling):
    engine, pid = pulling
    seen = posture(pid)
    _, base, size = map(int, harness.read(f"/proc/{pid}/uid_map").split())
    limits = {line[:26].strip(): line[26:].split()[:2] for line in
              harness.read(f"/proc/{pid}/limits").splitlines()[1:]}
    same = {name for name in ("user", "mnt", "pid", "net", "ipc", "uts")
            if os.readlink(f"/proc/{pid}/ns/{name}") == os.readlink(f"/proc/{engine.pid}/ns/{name}")}
    fds = {number: os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
    assert not any(seen[name] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")), seen
    assert (seen["nnp"], seen["seccomp"]) == ("1", "2")
    assert seen["uid"] == {base} and base >= size == 65536
    assert same == {"net"}
    assert len(harness.mounts_of(pid)) == 1 and os.listdir(f"/proc/{pid}/root") == ["etc"]
    assert set(os.listdir(f"/proc/{pid}/root/etc")) <= {"resolv.conf", "hosts", "nsswitch.conf"}
    assert all(re.match(r"socket:|anon_inode:|/dev/null|/memfd:|pipe:|.*deleted", to) for to in fds.values()), fds
    assert limits["Max core file size"] == ["0", "0"] and limits["Max processes"] == ["32", "32"], limits
    for name in ("Max address space", "Max cpu time", "Max open files"):
        assert "unlimited" not in limits[name], (name, limits[name])


def test_transfer_workers_end_with_their_engine(pulling):
    engine, pid = pulling
    engine.kill()
    harness.wait_until(lambda: not harness.alive(pid), 10, "the worker's end")
    engine.start()


# ---- the API over TCP --------------------------------------------------------------------------

KEY = "a-key-of-this-test-only"


def over_tcp(port, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", "/api/v1/sandbox", headers=headers)
        return connection.getresponse().status


@contextlib.contextmanager
def listening(*options):
    port = harness.free_port()
    engine = harness.Engine("--listen", f"127.0.0.1:{port}", *options)
    try:
        engine.start()
        yield engine, port
        engine.stop()
    finally:
        if engine.process is not None and engine.process.poll() is None:
            engine.process.kill()
            engine.process.wait()
    engine.remove()


def test_tcp_without_a_key_is_closed():
    with listening() as (engine, port):
        assert over_tcp(port) == 401
        for value in ("Bearer ", "Bearer x", "Bearer " + KEY, "Basic Og=="):
            assert over_tcp(port, Authorization=value) == 401, value
        assert engine.api.list() == [], "the Unix socket needs none"


def test_tcp_needs_the_key(tmp_path):
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    file.chmod(0o600)
    with listening("--admin-key-file", str(file)) as (engine, port):
        assert over_tcp(port) == 401
        assert over_tcp(port, Authorization="Bearer " + KEY[:-1]) == 401
        assert over_tcp(port, Authorization="Bearer " + KEY) == 200
        for pid in (engine.pid, engine.gateway, engine.child("caisson-spawner")):
            for name in ("cmdline", "environ"):
                assert KEY not in harness.read(f"/proc/{pid}/{name}")


def test_key_that_everybody_reads_is_refused(tmp_path):
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    file.chmod(0o604)
    engine = harness.Engine("--listen", f"127.0.0.1:{harness.free_port()}", "--admin-key-file", str(file))
    ended = subprocess.run(engine.command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=20, text=True)
    engine.remove()
    assert ended.returncode != 0 and "open to everybody" in ended.stdout, ended
