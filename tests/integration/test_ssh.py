# SPDX-License-Identifier: Apache-2.0
"""SSH into sandboxes with OpenSSH's own clients: what runs, what is moved, who is let in, what ends when."""

import contextlib
import fcntl
import os
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time

import pytest

import conftest
import harness

SSH = shutil.which("ssh")
pytestmark = pytest.mark.skipif(SSH is None and not conftest.MUST_RUN, reason="no OpenSSH client")
SECONDS = 60
EXIT_OF_SSH = 255


@pytest.fixture(scope="module")
def engine():
    yield from conftest.run_engine("--ssh-listen", "0", "--network", "no")  # it needs none


@pytest.fixture
def box(shared_sandbox):
    return shared_sandbox


def make_key(directory, name="key"):
    path = os.path.join(directory, name)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True, timeout=SECONDS)
    return path


class Login:
    """A session of a sandbox with a key of its own, and command lines that use it."""

    def __init__(self, api, box, directory, key=None, **fields):
        self.api, self.box = api, box
        self.key = key or make_key(directory)
        with open(self.key + ".pub", encoding="ascii") as file:
            fields.setdefault("public_key", file.read())
        self.session = api.request("POST", f"/api/v1/sandbox/{box}/ssh-session", fields).ok()
        self.id, self.port = self.session["session_id"], self.session["port"]
        self.known = self.key + ".known"
        with open(self.known, "w", encoding="ascii") as file:
            file.write(f"box {self.session['host_key']}\n")

    def options(self, port="-p"):
        options = {"IdentitiesOnly": "yes", "StrictHostKeyChecking": "yes", "HostKeyAlias": "box",
                   "UserKnownHostsFile": self.known, "GlobalKnownHostsFile": "/dev/null", "LogLevel": "ERROR",
                   "BatchMode": "yes", "ControlPath": "none"}
        return ["-F", "/dev/null", "-i", self.key, port, str(self.port)] + [
            word for name, value in options.items() for word in ("-o", f"{name}={value}")]

    def command(self, *words):
        return [SSH, *self.options(), f"{self.id}@{self.session['host']}", *words]

    def run(self, *words, **more):
        more.setdefault("stdin", None if "input" in more else subprocess.DEVNULL)
        if "input" in more:
            del more["stdin"]
        return subprocess.run(self.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=SECONDS, check=False, **more)

    def start(self, *words, **more):
        return subprocess.Popen(self.command(*words), **more)

    def end(self):
        return self.api.request("DELETE", f"/api/v1/sandbox/{self.box}/ssh-session/{self.id}")


@pytest.fixture
def directory():
    with tempfile.TemporaryDirectory(prefix="caisson-ssh.") as path:
        yield path


@pytest.fixture
def login(api, box, directory):
    login = Login(api, box, directory)
    yield login
    login.end()


def gone(api, box, mark):
    """True when no process of the sandbox has mark among its words."""
    return mark not in api.exec(box, ["ps", "-o", "args"]).stdout.replace("ps -o args", "")


# ---- commands --------------------------------------------------------------------------------------

@pytest.mark.smoke
def test_commands_and_their_ends(login):
    ran = login.run("echo out; echo err >&2; pwd; exit 3")
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"out\n/\n", b"err\n", 3)
    assert login.run("true").returncode == 0
    assert login.run("no-such-program").returncode == 127
    killed = login.run("-v", "kill -TERM $$", env={"LC_ALL": "C", "PATH": os.environ["PATH"]})
    assert killed.returncode == EXIT_OF_SSH  # OpenSSH's word for a signal


def test_environment(login):
    ran = login.run("-o", "SendEnv=LC_TEST PATH_TEST", "echo $LC_TEST-$PATH_TEST-$TERM",
                    env={"LC_TEST": "here", "PATH_TEST": "not", "PATH": os.environ["PATH"]})
    assert ran.stdout == b"here--\n", ran


def test_bytes_both_ways(login):
    data = os.urandom(20 << 20)
    ran = login.run("cat", input=data)
    assert ran.returncode == 0 and ran.stdout == data
    ran = login.run("cat >&2", input=data[:3 << 20])
    assert ran.returncode == 0 and ran.stderr == data[:3 << 20]
    assert login.run("wc -c", input=data).stdout == b"%d\n" % len(data)
    assert len(login.run("head -c 30000000 /dev/zero").stdout) == 30000000


def test_a_reader_that_waits(login):
    """What the client does not take yet waits, and is all there in the end."""
    with login.start("head -c 50000000 /dev/zero; echo end >&2", stdout=subprocess.PIPE,
                     stderr=subprocess.PIPE) as process:
        time.sleep(0.5)
        out, err = process.communicate(timeout=SECONDS)
    assert (len(out), err, process.returncode) == (50000000, b"end\n", 0)
    ran = login.run("sleep 0.5; wc -c", input=b"x" * 8000000)
    assert ran.stdout == b"8000000\n"


def test_what_is_left_in_the_background(login):
    """A command is over when its main process is; others live on."""
    assert login.run("sleep 31337 & echo $!").returncode == 0
    assert not gone(login.api, login.box, "sleep 31337")
    login.api.exec(login.box, "pkill -f 'sleep 3133[7]'")


def test_many_at_once_over_one_connection(login, directory):
    path = os.path.join(directory, "master")
    with login.start("-M", "-S", path, "-N") as master:
        harness.wait_until(lambda: os.path.exists(path), SECONDS, "the master's socket")
        many = [subprocess.Popen([SSH, "-S", path, "x", f"echo {n}; cat"], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE) for n in range(9)]
        assert [p.communicate(timeout=SECONDS)[0] for p in many] == [b"%d\n" % n for n in range(9)]
        master.terminate()


# ---- terminals -------------------------------------------------------------------------------------

class Terminal:
    """A client on a terminal of ours."""

    def __init__(self, command, rows=33, cols=101):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
            os.environ["TERM"] = "vt220"
            os.execv(command[0], command)
        self.seen = b""

    def until(self, pattern):
        end = time.monotonic() + SECONDS
        while not re.search(pattern, self.seen):
            assert time.monotonic() < end, self.seen
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            assert data, self.seen
            self.seen += data

    def type(self, text):
        os.write(self.fd, text)

    def resize(self, rows, cols):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        os.kill(self.pid, signal.SIGWINCH)

    def wait(self):
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def test_a_shell_on_a_terminal(login):
    terminal = Terminal(login.command())
    terminal.type(b"stty size; echo $TERM; tty\n")
    terminal.until(rb"33 101\r\n.*vt220\r\n.*/dev/pts/\d+")
    terminal.resize(44, 111)
    terminal.type(b"while [ \"$(stty size)\" != '44 111' ]; do sleep 0.1; done; echo re''sized\n")
    terminal.until(rb"resized")
    terminal.type(b"sh -c \"echo be''gun; exec sleep 4242\"\n")  # said by whom the interrupt is for
    terminal.until(rb"begun\r\n")
    terminal.type(b"\x03")
    terminal.until(rb"\^C\s+\S* ?[#$] ")  # what is typed before the prompt may be thrown away
    terminal.type(b"exit 5\n")
    assert terminal.wait() == 5


def test_a_shell_without_a_terminal(login):
    ran = login.run(input=b"echo $((6*7)); exit 4\n")
    assert (ran.stdout, ran.returncode) == (b"42\n", 4)


def test_the_best_shell_that_there_is(api, box, login):
    try:
        for name in ("zsh", "bash"):  # which also runs the line that looks for the best one
            text = f"#!/bin/sh\n[ $1 = -c ] && exec /bin/sh \"$@\"\necho {name} $1\n"
            api.raw("PUT", f"/api/v1/sandbox/{box}/files?path=/bin/{name}&mode=0755", text.encode()).ok()
            assert login.run().stdout == f"{name} -l\n".encode()
    finally:
        api.exec(box, "rm -f /bin/zsh /bin/bash")


# ---- ports -----------------------------------------------------------------------------------------

def test_forwarding(login):
    login.api.exec(login.box, "mkdir -p /www && echo hello >/www/index.html && httpd -p 127.0.0.1:8123 -h /www")
    port = harness.free_port()
    with login.start("-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{port}:localhost:8123",
                     stdin=subprocess.DEVNULL) as process:
        def fetch(path="/"):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 10) as client:
                client.sendall(b"GET %s HTTP/1.0\r\n\r\n" % path.encode())
                return b"".join(iter(lambda: client.recv(65536), b""))
            return b""
        harness.wait_until(lambda: fetch().endswith(b"hello\n"), SECONDS, "an answer through the tunnel")
        login.api.exec(login.box, "head -c 9000000 /dev/zero >/www/big")
        assert len(fetch("/big").split(b"\r\n\r\n", 1)[1]) == 9000000
        process.terminate()
    login.api.exec(login.box, "pkill httpd; rm -r /www")


@pytest.mark.parametrize("target", ["localhost:8124", "10.0.0.1:80", "example.org:80", "169.254.169.254:80"])
def test_forwarding_leads_nowhere_else(login, target):
    ran = login.run("-W", target)
    assert ran.stdout == b"" and (ran.returncode != 0 or target.startswith("localhost")), ran


def test_what_is_not_offered(login):
    assert login.run("-o", "ExitOnForwardFailure=yes", "-R", "0:localhost:22", "true").returncode == EXIT_OF_SSH
    assert login.run("-s", "nothing").returncode != 0


# ---- files -----------------------------------------------------------------------------------------

def scp(login, *words):
    return subprocess.run([shutil.which("scp"), "-q", *login.options("-P"), *words], timeout=SECONDS,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def test_scp(login, directory):
    """busybox has no server for SFTP: it is the agent's."""
    data = os.urandom(5 << 20)
    os.makedirs(os.path.join(directory, "up", "deeper"))
    for name, content in (("up/a b", data), ("up/deeper/empty", b"")):
        with open(os.path.join(directory, name), "wb") as file:
            file.write(content)
    os.chmod(os.path.join(directory, "up/a b"), 0o751)
    there = f"{login.id}@{login.session['host']}:"
    assert scp(login, "-r", "-p", os.path.join(directory, "up"), there + "/tmp/").returncode == 0
    assert login.run("stat -c %a:%s '/tmp/up/a b'").stdout == b"751:%d\n" % len(data)
    assert scp(login, "-r", there + "/tmp/up", os.path.join(directory, "down")).returncode == 0
    assert harness.read(os.path.join(directory, "down/a b"), binary=True) == data
    assert harness.read(os.path.join(directory, "down/deeper/empty")) == ""
    assert scp(login, there + "/no/such", directory).returncode != 0
    assert scp(login, os.path.join(directory, "up/a b"), there + "/no/such/").returncode != 0


def test_sftp(login, directory):
    script = os.path.join(directory, "script")
    local = os.path.join(directory, "local")
    with open(local, "w", encoding="ascii") as file:
        file.write("content\n")
    with open(script, "w", encoding="ascii") as file:
        file.write(f"""cd /tmp
mkdir s
put {local} s/one
rename s/one s/two
ln -s two s/link
ls -l s
chmod 640 s/two
get s/link {local}.back
rm s/link
-rmdir s
rm s/two
rmdir s
""")
    ran = subprocess.run([shutil.which("sftp"), "-q", *login.options("-P"), "-b", script,
                          f"{login.id}@{login.session['host']}"], timeout=SECONDS,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert ran.returncode == 0, ran
    assert re.search(rb"lrwxrwxrwx .* s/link|lrwxrwxrwx .* link", ran.stdout), ran
    assert harness.read(local + ".back") == "content\n"
    assert login.run("ls -d /tmp/s").returncode != 0


def test_files_have_the_users_rights(api, make, directory):
    """SFTP is spoken by whoever commands run as."""
    key = make()
    api.exec(key, "echo secret >/root/secret; chmod 600 /root/secret; chmod 755 /root")
    login = Login(api, key, directory)
    assert login.run("id -u").stdout == b"0\n"
    there = f"{login.id}@{login.session['host']}:/root/secret"
    assert scp(login, there, directory).returncode == 0


# ---- who is let in ---------------------------------------------------------------------------------

def refused(ran):
    return ran.returncode == EXIT_OF_SSH and ran.stdout == b""


def test_only_the_key_of_the_session(login, directory):
    other = make_key(directory, "other")
    shutil.copy(login.known, other + ".known")
    right, login.key = login.key, other
    assert refused(login.run("echo in"))
    login.key = right
    assert login.run("echo in").stdout == b"in\n"
    own, login.id = login.id, "x" * 26
    assert refused(login.run("echo in"))
    login.id = own


def test_a_key_of_one_sandbox_opens_no_other(api, make, login, directory):
    other = Login(api, make(), directory, key=make_key(directory, "other"))
    other.key, login.key = login.key, other.key
    assert refused(other.run("echo in")) and refused(login.run("echo in"))
    assert api.request("DELETE", f"/api/v1/sandbox/{other.box}/ssh-session/{login.id}").status == 404


def test_a_session_without_a_key_lets_nobody_in(api, box, directory):
    """The first generation: the key comes later, with the token of the sandbox."""
    login = Login(api, box, directory, public_key=None)
    session = login.session
    assert refused(login.run("echo in"))
    path = re.sub("^https?://[^/]*", "", session["gateway_url"])
    path = f"{path}/{session['user_ns']}/{session['job_id']}/authorize"
    body = {"session_id": login.id, "public_key": harness.read(login.key + ".pub"), "ttl_seconds": 100}
    bearer = {"Authorization": f"Bearer {session['token']}"}
    assert api.request("POST", path, {**body, "public_key": "rubbish"}, bearer).status == 400
    assert api.request("POST", path, {**body, "session_id": "x"}, bearer).status == 404
    api.request("POST", path, body, bearer).ok()
    assert login.run("echo in").stdout == b"in\n"
    assert api.request("POST", path, body, bearer).status == 409  # nobody puts another key into it
    login.end()


def test_sessions_are_over_at_their_time(api, box, directory):
    login = Login(api, box, directory, ttl_seconds=3)
    with login.start("echo begun; sleep 77777", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"begun\n"
        assert process.wait(SECONDS) == EXIT_OF_SSH
    assert refused(login.run("echo in"))
    harness.wait_until(lambda: gone(api, box, "sleep 77777"), SECONDS, "the command's end")


@pytest.mark.parametrize("body", [{"public_key": "x"}, {"public_key": 5}, {"ttl_seconds": 0},
                                  {"ttl_seconds": 86401}, {"ttl_seconds": "a"}])
def test_wrong_requests(api, box, body):
    answer = api.request("POST", f"/api/v1/sandbox/{box}/ssh-session", body)
    assert answer.status == 400 and answer.detail


def test_sessions_need_a_sandbox_that_runs(api, make):
    key = make()
    api.delete(key).ok()
    assert api.request("POST", f"/api/v1/sandbox/{key}/ssh-session", {}).status == 409
    assert api.request("POST", "/api/v1/sandbox/nobody/ssh-session", {}).status == 404


# ---- the wire --------------------------------------------------------------------------------------

@pytest.mark.parametrize("first, answers", [
    (b"PRIME-SSH-SESSION abc\nSSH-2.0-test\r\n", True), (b"SSH-2.0-test\r\n", True),
    (b"PRIME-SSH-SESSION \n", False), (b"PRIME" + b"x" * 500, False), (b"P", False),
])
def test_the_first_bytes(login, first, answers):
    with socket.create_connection(("127.0.0.1", login.port), SECONDS) as client:
        client.sendall(first)
        client.shutdown(socket.SHUT_WR)
        said = b""
        with contextlib.suppress(ConnectionError):
            said = client.recv(100)
    assert said.startswith(b"SSH-2.0-") == answers, said


def test_strangers_are_few(engine, login):
    """More than there is room for are sent away; who has logged in stays."""
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(login.start("echo in; cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert process.stdout.readline() == b"in\n"
        strangers = [stack.enter_context(socket.create_connection(("127.0.0.1", login.port), SECONDS))
                     for _ in range(40)]
        assert strangers[-1].recv(1) == b""  # 32 of one address
        process.stdin.write(b"still here\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"still here\n"
        process.stdin.close()
    harness.wait_until(lambda: not workers(engine), SECONDS, "the workers' end")
    assert login.run("echo in").stdout == b"in\n"


# ---- ends ------------------------------------------------------------------------------------------

def workers(engine):
    return [pid for pid in harness.children(engine.pid) if harness.comm(pid) == "caisson-ssh"]


def begin(login, mark):
    process = login.start(f"echo begun; sleep {mark}", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == b"begun\n"
    return process


def test_a_client_that_is_killed(engine, login):
    with begin(login, 88881) as process:
        process.kill()
    harness.wait_until(lambda: gone(login.api, login.box, "sleep 88881"), SECONDS, "the command's end")
    harness.wait_until(lambda: not workers(engine), SECONDS, "the worker's end")


def test_what_ignores_the_hangup_is_killed(login):
    with login.start("trap '' HUP; echo begun; while :; do sleep 88882; done", stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"begun\n"
        process.kill()
    harness.wait_until(lambda: gone(login.api, login.box, "sleep 88882"), SECONDS, "the command's end")


def test_a_session_that_is_deleted(login):
    with begin(login, 88883) as process:
        login.end().ok()
        assert process.wait(SECONDS) == EXIT_OF_SSH
    harness.wait_until(lambda: gone(login.api, login.box, "sleep 88883"), SECONDS, "the command's end")
    assert refused(login.run("echo in"))


def test_a_sandbox_that_is_deleted(engine, api, make, directory):
    login = Login(api, make(), directory)
    with begin(login, 88884) as process:
        api.delete(login.box).ok()
        assert process.wait(SECONDS) != 0
    assert refused(login.run("echo in"))
    harness.wait_until(lambda: not workers(engine), SECONDS, "the worker's end")


def test_a_gateway_that_is_killed(engine, login):
    """Connections go with it, sessions and the host key stay."""
    with begin(login, 88885) as process:
        old = engine.gateway
        os.kill(old, signal.SIGKILL)
        assert process.wait(SECONDS) == EXIT_OF_SSH
    harness.wait_until(lambda: any(harness.comm(pid) == "caisson-gateway" and pid != old
                                   for pid in harness.children(engine.pid)), SECONDS, "a new gateway")
    harness.wait_until(engine.api.healthy, SECONDS, "its answer")
    answers = []

    def asked():  # until it listens it says that this is not yet
        answers.append(engine.api.request("POST", f"/api/v1/sandbox/{login.box}/ssh-session", {}))
        assert answers[-1].status in (200, 503), answers
        return answers[-1].status == 200

    harness.wait_until(asked, SECONDS, "SSH")
    again = answers[-1]
    login.port = again["port"]
    assert again["host_key"] == login.session["host_key"]
    assert login.run("echo in").stdout == b"in\n"


def test_a_worker_is_shut_off(engine, login):
    with begin(login, 88886) as process:
        [pid] = workers(engine)
        status = harness.status_of(pid)
        same = {name for name in ("user", "mnt", "pid", "net", "ipc", "uts")
                if os.readlink(f"/proc/{pid}/ns/{name}") == os.readlink(f"/proc/{engine.pid}/ns/{name}")}
        files = os.listdir(f"/proc/{pid}/root")
        process.kill()
    assert same == set() and files == []
    assert all(int(status[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert int(status["Uid"].split()[0]) >= 65536


def test_the_cli(engine, login):
    """caisson ssh, which leaves no session behind and nothing in its directory."""
    with tempfile.TemporaryDirectory() as tmp:
        def caisson(*words, **more):
            return subprocess.run([harness.program("caisson"), "ssh", "--socket", engine.socket, *words],
                                  env={"PATH": os.environ["PATH"], "TMPDIR": tmp, "HOME": tmp}, timeout=SECONDS,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **more)
        ran = caisson(login.box, "echo out; cat; exit 3", input=b"data")
        assert (ran.stdout, ran.returncode) == (b"out\ndata", 3), ran
        assert caisson(login.box, "--", "-T", input=b"exit 6\n").returncode == 6
        assert caisson(login.box, "--shell", "sh", input=b"exit 7\n").returncode == 7
        assert caisson("no-such-sandbox", "true").returncode == 125
        assert [name for name in os.listdir(tmp) if name.startswith("caisson-ssh")] == []
