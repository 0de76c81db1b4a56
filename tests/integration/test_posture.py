# SPDX-License-Identifier: Apache-2.0
"""Who runs with what: each process against a golden row, and the directories' modes."""

import os
import pwd
import socket
import stat

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
# Never in caissond or its spawner: nothing of an engine needs them.
NEVER = {"SYS_MODULE", "SYS_RAWIO", "SYS_BOOT", "SYS_TIME", "MAC_ADMIN", "MAC_OVERRIDE", "AUDIT_CONTROL",
         "AUDIT_READ", "SYSLOG", "SYS_TTY_CONFIG", "WAKE_ALARM", "BLOCK_SUSPEND", "LINUX_IMMUTABLE",
         "SYS_PACCT", "IPC_OWNER", "NET_RAW", "NET_BROADCAST", "LEASE", "BPF", "PERFMON"}


def caps(text):
    value = int(text, 16)
    return {CAPS[bit] if bit < len(CAPS) else str(bit) for bit in range(64) if value >> bit & 1}


def posture(pid):
    status = harness.status_of(pid)
    return {"uid": {int(x) for x in status["Uid"].split()}, "gid": {int(x) for x in status["Gid"].split()},
            "groups": status["Groups"].split(), "nnp": status["NoNewPrivs"].strip(),
            "seccomp": status["Seccomp"].strip(), "threads": status["Threads"].strip(),
            **{name: caps(status["Cap" + name]) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}}


@pytest.mark.smoke
def test_caissond(engine):
    seen = posture(engine.pid)
    assert seen["uid"] == {0} and seen["threads"] == "1"
    assert not seen["Inh"] and not seen["Amb"]
    assert not (seen["Prm"] | seen["Eff"] | seen["Bnd"]) & NEVER, sorted((seen["Prm"] | seen["Bnd"]) & NEVER)


@pytest.mark.smoke
def test_gateway(engine):
    seen = posture(engine.gateway)
    account = pwd.getpwnam(harness.gateway_user())
    assert seen["uid"] == {account.pw_uid} and account.pw_uid != 0 and 0 not in seen["gid"]
    assert "0" not in seen["groups"]
    assert not any(seen[name] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb"))
    assert (seen["nnp"], seen["seccomp"], seen["threads"]) == ("1", "2", "1")
    environment = harness.read(f"/proc/{engine.gateway}/environ")
    assert "must-not-leak" not in environment
    assert os.readlink(f"/proc/{engine.gateway}/cwd") in ("/", engine.state + "/gateway")


def test_spawner(engine):
    spawner = engine.child("caisson-spawner")
    seen = posture(spawner)
    assert seen["threads"] == "1" and not seen["Inh"] and not seen["Amb"]
    assert not (seen["Prm"] | seen["Eff"] | seen["Bnd"]) & NEVER
    assert os.readlink(f"/proc/{spawner}/ns/mnt") != os.readlink(f"/proc/{engine.pid}/ns/mnt")
    assert len(harness.mounts_of(spawner)) <= 4, harness.mounts_of(spawner)
    assert len(os.listdir(f"/proc/{spawner}/fd")) <= 12, "no descriptor of any sandbox"


def test_mounts_stay_in_their_namespaces(engine, make):
    make()
    for pid in ("1", "self"):
        assert not [line for line in harness.mounts_of(pid) if engine.top in line]
    assert os.readlink(f"/proc/{engine.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")


@pytest.mark.smoke
def test_agent_and_command(engine, api, make):
    key = make()
    base = int(harness.read(f"/proc/{engine.agent_of(key)}/uid_map").split()[1])
    with api.stream(key, ["sleep", "1000"]) as root, \
            harness.Api(engine.socket).stream(key, ["sleep", "2000"], user="app") as user:
        root.started(), user.started()
        pids = {harness.read(f"/proc/{pid}/cmdline").replace("\0", " ").strip(): pid
                for pid in engine.sandbox_pids(key)}
        agent = posture(engine.agent_of(key))
        command = posture(pids["sleep 1000"])
        other = posture(pids["sleep 2000"])
        root.signal(9), user.signal(9)
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
    own = {os.readlink(f"/proc/{pid}/fd/{fd}") for pid in (engine.pid, engine.gateway)
           for fd in os.listdir(f"/proc/{pid}/fd")}
    inodes = {name[8:-1] for name in own if name.startswith("socket:")}
    for line in harness.read("/proc/net/unix").splitlines()[1:]:
        fields = line.split()
        assert not (len(fields) > 7 and fields[7].startswith("@") and fields[6] in inodes), line


def test_gateway_holds_nothing_of_the_host(engine, make):
    """Its open files are its state, sockets and pipes."""
    make()
    for fd in os.listdir(f"/proc/{engine.gateway}/fd"):
        target = os.readlink(f"/proc/{engine.gateway}/fd/{fd}")
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
