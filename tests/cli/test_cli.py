# SPDX-License-Identifier: Apache-2.0
"""The caisson command against a server that does exactly what a test says. Needs neither root nor engine."""

import glob
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import fcntl
import pytest

BUILD = os.path.abspath(os.environ.get("CAISSON_BUILD", "."))
CAISSON = os.path.join(BUILD, "caisson")
STDIN, STDOUT, STDERR, SIGNAL, WINDOW, STARTED, EXITED, FAILED = 0, 1, 2, 16, 17, 32, 33, 34
SECONDS = 20
FAULTS_MAX = 110  # of a command's client: two thirds of them its loader's and libc's


class Connection:
    """One request as it came, and the means to answer it."""

    def __init__(self, sock):
        self.sock, self.data = sock, b""
        sock.settimeout(SECONDS)
        while b"\r\n\r\n" not in self.data:
            self.more()
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        first, *lines = head.decode().split("\r\n")
        self.method, self.path, _ = first.split()
        self.headers = {key.lower(): value for key, value in (line.split(": ", 1) for line in lines)}
        self.body = self.read_body()

    def more(self):
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError
        self.data += data

    def take(self, n):
        while len(self.data) < n:
            self.more()
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def line(self):
        while b"\r\n" not in self.data:
            self.more()
        line, self.data = self.data.split(b"\r\n", 1)
        return line

    def read_body(self):
        if self.headers.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size = int(self.line(), 16)
                body += self.take(size)
                assert self.line() == b""
                if size == 0:
                    return body
        return self.take(int(self.headers.get("content-length", 0)))

    def json(self):
        return json.loads(self.body)

    def answer(self, value, status=200):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.sock.sendall(b"HTTP/1.1 %d Word\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)

    def upgrade(self, *frames):
        """101 and the first frames in one piece, as they may well come."""
        self.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                          b"Upgrade: caisson-exec/1\r\n\r\n" + b"".join(frames))

    def send(self, *frames):
        self.sock.sendall(b"".join(frames))

    def frame(self):
        channel, size = struct.unpack("<BI", self.take(5))
        return channel, self.take(size)

    def signal(self):
        """The next signal; the end of an empty stdin may come before it or after it."""
        channel, data = self.frame()
        if (channel, data) == (STDIN, b""):
            channel, data = self.frame()
        assert channel == SIGNAL
        return data[0]


def frame(channel, data=b""):
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    return struct.pack("<BI", channel, len(data)) + data


def exited(code=0, **fields):
    return frame(EXITED, {"exit_code": code, "signal": None, "timed_out": False, **fields})


class Server:
    """Runs handler(connection) for each connection in turn; keeps what went wrong in it."""

    def __init__(self, path, handler):
        self.requests, self.failure = [], None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, args=(handler,), daemon=True)
        self.thread.start()

    def serve(self, handler):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            try:
                with sock:
                    connection = Connection(sock)
                    self.requests.append((connection.method, connection.path))
                    handler(connection)
            except Exception as failure:  # shown by close()
                self.failure = failure

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(SECONDS)
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def serve(tmp_path):
    """serve(handler) starts a server; its failures fail the test."""
    servers = []

    def start(handler):
        servers.append(Server(str(tmp_path / "sock"), handler))
        return servers[0]

    yield start
    for server in servers:
        server.close()


def environment(tmp_path):
    """Ours, but for what chooses another engine or registry."""
    clean = {key: value for key, value in os.environ.items()
             if not key.startswith("CAISSON_")
             and key not in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "DOCKER_CONFIG")}
    return {**clean, "CAISSON_SOCKET": str(tmp_path / "sock"), "HOME": str(tmp_path)}


@pytest.fixture
def cli(tmp_path):
    def run(*arguments, **options):
        options = {"stdin": subprocess.DEVNULL, **options} if "input" not in options else options
        return subprocess.run([CAISSON, *arguments], env=environment(tmp_path), timeout=SECONDS,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    return run


@pytest.fixture
def spawn(tmp_path):
    started = []

    def run(*arguments, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                   **options}
        started.append(subprocess.Popen([CAISSON, *arguments], env=environment(tmp_path), **options))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


# ---- exec streams ----------------------------------------------------------------------------

def test_streams_apart_and_status(serve, cli):
    def handler(connection):
        assert (connection.method, connection.path) == ("POST", "/api/v1/sandbox/ab12/exec")
        assert connection.headers["upgrade"] == "caisson-exec/1"
        assert connection.json() == {"command": "echo hi"}
        connection.upgrade(frame(STARTED, {"pid": 7}), frame(STDOUT, b"out\n"), frame(STDERR, b"err\n"))
        connection.send(frame(STDOUT, b"\x00\xff"), exited(42))
    serve(handler)
    result = cli("run", "ab12", "echo hi")
    assert (result.returncode, result.stdout, result.stderr) == (42, b"out\n\x00\xff", b"err\n")


def test_frames_in_single_bytes(serve, cli):
    def handler(connection):
        connection.upgrade()
        for byte in frame(STDOUT, b"slow") + exited(0):
            connection.send(bytes([byte]))
    serve(handler)
    assert cli("run", "ab12", "x").stdout == b"slow"


def test_body(serve, cli):
    def handler(connection):
        assert connection.json() == {
            "command": ["ls", "-l", "--"], "working_dir": "/w", "user": "1:2", "timeout": 1.5,
            "env": {"A": "1=2", "B": ""}}
        connection.upgrade(exited())
    serve(handler)
    assert cli("run", "ab12", "-w", "/w", "--user", "1:2", "--timeout", "1.5", "-e", "A=1=2", "--env=B=",
               "ls", "-l", "--").returncode == 0


def test_top(serve, cli):
    """Two looks a second apart: who computes stands first, who began in between has no history."""
    looks = iter([{"busy": 1_000_000, "idle": 500}, {"busy": 1_500_000, "idle": 500, "new": 900_000}])

    def handler(connection):
        if connection.path == "/api/v1/usage":
            return connection.answer({"sandboxes": [
                {"id": id, "at_ms": time.time() * 1000, "cpu_us": cpu_us, "memory_bytes": 2048,
                 "memory_peak_bytes": 4096, "pids": 3} for id, cpu_us in next(looks).items()]})
        connection.answer({"hasNext": False, "sandboxes": [
            {"id": id, "name": id, "status": "RUNNING", "cpuCores": 1, "memoryGB": 2}
            for id in ("idle", "new", "busy", "pending")]})
    serve(handler)
    shown = [line.split() for line in cli("top", "--interval", "0.5").stdout.decode().splitlines()]
    assert shown[0][:4] == ["ID", "NAME", "STATUS", "CPU%"]
    assert shown[1][0] == "busy" and shown[4][0] == "pending"
    assert {shown[2][0], shown[3][0]} == {"idle", "new"}
    assert 50 <= int(shown[1][3]) <= 110 and shown[2][3] == "0" and shown[3][3] == "0"
    assert shown[1][5:7] == ["2.0", "KiB"] and shown[4][3] == "-"


def test_top_wants_a_sensible_interval(cli):
    assert cli("top", "--interval", "0.01").returncode == 3


def test_doctor(serve, cli):
    serve(lambda connection: connection.answer({}))
    findings = {item["check"]: item for item in json.loads(cli("doctor", "--json").stdout)}
    assert {findings[name]["verdict"] for name in ("kernel", "engine", "permission")} == {"ok"}
    assert all((item["fix"] is None) == (item["verdict"] == "ok") for item in findings.values())


def test_doctor_misses_the_engine(cli):
    result = cli("doctor")
    lines = [line for line in result.stdout.decode().splitlines() if line.startswith("engine ")]
    assert result.returncode == 1 and "FAIL" in lines[0] and "systemctl start" in lines[0]


CODE = "print('x')\n"


@pytest.mark.parametrize("arguments, stdin, command", [
    (["-c", CODE], b"", ["python3", "-c", CODE]),
    (["-c", ""], b"", ["python3", "-c", ""]),
    (["-l", "javascript", "-c", "1;"], b"", ["node", "-e", "1;"]),
    (["-l", "bash", "-c", "-"], b"ls\n", ["bash", "-c", "ls\n"]),
    (["-f", "a.py"], b"", ["python3", "-c", CODE]),
    (["-f", "a.sh"], b"", ["bash", "-c", CODE]),
    (["-f", "a"], b"", ["python3", "-c", CODE]),
    (["-f", "a.sh", "-l", "python"], b"", ["python3", "-c", CODE]),
    (["-f", "full"], b"", ["python3", "-c", "#" * 131071]),
])
def test_code(serve, cli, tmp_path, arguments, stdin, command):
    for name in ("a", "a.py", "a.sh"):
        (tmp_path / name).write_text(CODE)
    (tmp_path / "full").write_text("#" * 131071)

    def handler(connection):
        assert connection.json() == {"command": command}
        connection.upgrade(exited())
    serve(handler)
    assert cli("run", "ab12", *arguments, cwd=tmp_path, input=stdin).returncode == 0


@pytest.mark.parametrize("arguments, says", [
    (["-c", "x", "-f", "a"], b"not both"), (["-c", "x", "ls"], b"not both"),
    (["-f", "none"], b"none"), (["-f", "long"], b"131071 bytes"), (["-f", "nul"], b"NUL"),
    (["-f", "latin"], b"UTF-8"), (["-l", "cobol", "-c", "x"], b"must be"), ([], b"something is missing"),
])
def test_no_code(cli, tmp_path, arguments, says):
    (tmp_path / "long").write_text("#" * 131072)
    (tmp_path / "nul").write_bytes(b"a\0b")
    (tmp_path / "latin").write_bytes(b"\xff")
    result = cli("run", "ab12", *arguments, cwd=tmp_path)
    assert result.returncode != 0 and says in result.stderr


@pytest.mark.parametrize("line, want", [
    ("caisson cre", {"create"}), ("caisson image pu", {"pull", "push"}), ("caisson exec --wor", {"--working-dir"}),
    ("caisson --help image ex", {"export"}), ("caisson image ls --out", {"--output"}),
    ("caisson delete ab", {"ab12", "ab34"}), ("caisson nonsense x", set()),
])
def test_completion(serve, cli, tmp_path, line, want):
    def handler(connection):
        connection.answer({"sandboxes": [{"id": "ab12"}, {"id": "ab34"}, {"id": "x"}], "hasNext": False})
    serve(handler)
    script = cli("completion", "bash").stdout.decode()
    words = line.split(" ")
    result = subprocess.run(
        ["bash", "-c", script + f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _caisson\n"
         "printf '%s\\n' \"${COMPREPLY[@]}\""], timeout=SECONDS, stdout=subprocess.PIPE, text=True,
        env={**environment(tmp_path), "PATH": BUILD + ":" + os.environ["PATH"]}, check=True)
    assert set(result.stdout.split()) == want


def test_completion_for_other_shells(cli):
    assert "complete -o default -F _caisson caisson" in cli("completion", "zsh").stdout.decode()
    assert "-n '__caisson_is image' -a pull -d" in cli("completion", "fish").stdout.decode()
    assert cli("completion", "csh").returncode == 3


@pytest.mark.parametrize("last, status", [
    (exited(0), 0), (exited(255), 255),
    (exited(0, signal=9), 137), (exited(0, signal=15), 143),
    (exited(137, timed_out=True, signal=9), 124),
    (frame(FAILED, {"detail": "'x' not found in PATH", "code": "not_found"}), 127),
    (frame(FAILED, {"detail": "no right", "code": "denied"}), 126),
    (frame(FAILED, {"detail": "too many", "code": "limit"}), 125),
    (frame(EXITED, b"not json"), 125), (frame(EXITED, {}), 125), (frame(EXITED, {"exit_code": None}), 125),
    (frame(99, b"?"), 125),
    (struct.pack("<BI", STDOUT, 1 << 30), 125),
    (b"", 125),
])
def test_exit_status(serve, cli, last, status):
    serve(lambda connection: connection.upgrade(frame(STDOUT, b"x"), last))
    result = cli("run", "ab12", "x")
    assert (result.returncode, result.stdout) == (status, b"x")
    assert (status in (125, 126, 127)) == result.stderr.startswith(b"caisson: ")


def test_large_output_comes_whole(serve, cli):
    data = os.urandom(1 << 16)

    def handler(connection):
        connection.upgrade()
        for _ in range(256):
            connection.send(frame(STDOUT, data))
        connection.send(exited())
    serve(handler)
    assert cli("run", "ab12", "x").stdout == data * 256


def test_stdin_comes_whole_with_its_end(serve, cli):
    data, got = os.urandom(5_000_000), []

    def handler(connection):
        connection.upgrade()
        while True:
            channel, piece = connection.frame()
            assert channel == STDIN
            got.append(piece)
            if piece == b"":
                break
        connection.send(exited(int(len(got) > 1)))
    serve(handler)
    assert cli("run", "ab12", "x", input=data).returncode == 1
    assert b"".join(got) == data


def test_no_stdin(serve, cli):
    def handler(connection):
        connection.upgrade()
        assert connection.frame() == (STDIN, b"")
        connection.send(exited())
    serve(handler)
    assert cli("run", "--no-stdin", "ab12", "x", input=b"unread").returncode == 0


def resident(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_back_pressure_both_ways(serve, spawn):
    """Nobody reads our output and the server reads no input: memory stays where it is."""
    release = threading.Event()

    def handler(connection):
        connection.upgrade()
        connection.sock.settimeout(0.5)
        try:
            while True:
                connection.send(frame(STDOUT, b"y" * 65536))
        except TimeoutError:
            release.set()
    serve(handler)
    process = spawn("run", "ab12", "yes", stdin=subprocess.PIPE)
    os.set_blocking(process.stdin.fileno(), False)
    sent = 0
    while not release.wait(0.01):
        try:
            sent += os.write(process.stdin.fileno(), b"i" * 65536)
        except BlockingIOError:
            pass
    assert resident(process.pid) < 32 << 20
    assert sent < 4 << 20


def test_gone_reader_is_a_broken_pipe_for_the_command(serve, spawn):
    def handler(connection):
        connection.upgrade(frame(STDOUT, b"first\n"))
        time.sleep(0.2)
        for _ in range(3):
            connection.send(frame(STDOUT, b"more\n" * 1000))
        assert connection.signal() == signal.SIGPIPE
        connection.send(exited(signal=13))
    serve(handler)
    process = spawn("run", "ab12", "yes")
    assert process.stdout.readline() == b"first\n"
    process.stdout.close()
    assert process.wait(SECONDS) == 141
    assert process.stderr.read() == b""


def test_signals_are_passed_on_then_kill(serve, spawn):
    def handler(connection):
        connection.upgrade(frame(STDOUT, b"ready\n"))
        assert connection.signal() == signal.SIGINT
        connection.send(frame(STDOUT, b"again\n"))
        assert connection.signal() == signal.SIGKILL
        connection.send(exited(signal=9))
    serve(handler)
    process = spawn("run", "ab12", "x")
    for line in (b"ready\n", b"again\n"):
        assert process.stdout.readline() == line
        process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 137


def test_third_signal_gives_up_on_a_silent_server(serve, spawn):
    done = threading.Event()

    def handler(connection):
        connection.upgrade(frame(STDOUT, b"ready\n"))
        done.wait(SECONDS)
    serve(handler)
    process = spawn("run", "ab12", "x")
    assert process.stdout.readline() == b"ready\n"
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    assert process.wait(SECONDS) == 143
    done.set()


def test_terminal(serve, tmp_path):
    """Raw while the command runs, the window's size and its changes go over, restored at the end."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 30, 100, 0, 0))
    before = termios.tcgetattr(terminal)

    def handler(connection):
        assert connection.json() == {"command": "sh", "tty": True, "rows": 30, "cols": 100}
        connection.upgrade(frame(STDOUT, b"$ "))
        assert connection.frame() == (STDIN, b"\x03")
        assert termios.tcgetattr(terminal)[3] & termios.ECHO == 0
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
        os.kill(process.pid, signal.SIGWINCH)
        assert connection.frame() == (WINDOW, struct.pack("<2H", 40, 120))
        connection.send(exited(3))
    serve(handler)
    process = subprocess.Popen([CAISSON, "run", "ab12", "sh"], env=environment(tmp_path), stdin=terminal,
                               stdout=terminal, stderr=terminal, start_new_session=True)
    assert select.select([controller], [], [], SECONDS)[0]
    assert os.read(controller, 100) == b"$ "
    os.write(controller, b"\x03")
    assert process.wait(SECONDS) == 3
    assert termios.tcgetattr(terminal) == before
    os.close(controller)
    os.close(terminal)


def test_terminal_is_restored_after_a_failure(serve, tmp_path):
    controller, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    serve(lambda connection: connection.upgrade())
    process = subprocess.Popen([CAISSON, "run", "ab12", "sh"], env=environment(tmp_path), stdin=terminal,
                               stdout=terminal, stderr=subprocess.PIPE)
    assert process.wait(SECONDS) == 125
    assert b"closed the stream" in process.stderr.read()
    assert termios.tcgetattr(terminal) == before
    os.close(controller)
    os.close(terminal)


# ---- once ------------------------------------------------------------------------------------

def once_handler(run):
    """Create, exec by run(connection), delete; each other request is an error."""
    def handler(connection):
        if connection.path == "/api/v1/sandbox":
            body = connection.json()
            assert body["docker_image"] == "img" and body["name"].startswith("once-")
            connection.answer({"id": "made", "status": "RUNNING"}, 201)
        elif connection.method == "DELETE":
            connection.answer({"id": "made", "status": "TERMINATED"})
        else:
            run(connection)
    return handler


ONCE = [("POST", "/api/v1/sandbox"), ("POST", "/api/v1/sandbox/made/exec"), ("DELETE", "/api/v1/sandbox/made")]


def test_once(serve, cli):
    def run(connection):
        assert connection.json() == {"command": ["sh", "-c", "x"]}
        connection.upgrade(frame(STDOUT, b"42\n"), exited(7))
    server = serve(once_handler(run))
    result = cli("once", "img", "-e", "A=1", "sh", "-c", "x")
    assert (result.returncode, result.stdout) == (7, b"42\n")
    assert server.requests == ONCE


@pytest.mark.parametrize("run", [
    lambda connection: connection.answer({"detail": "no", "code": "limit"}, 507),
    lambda connection: connection.upgrade(),
    lambda connection: connection.answer(b"not json", 500),
])
def test_once_removes_after_a_failure(serve, cli, run):
    server = serve(once_handler(run))
    assert cli("once", "img", "x").returncode == 125
    assert server.requests == ONCE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_once_removes_when_interrupted(serve, spawn, number):
    def run(connection):
        connection.upgrade(frame(STDOUT, b"ready\n"))
        assert connection.signal() == number
        connection.send(exited(signal=int(number)))
    server = serve(once_handler(run))
    process = spawn("once", "img", "x")
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    assert process.wait(SECONDS) == 128 + number
    assert server.requests == ONCE


def test_once_interrupted_while_creating(serve, spawn):
    ready = threading.Event()

    def handler(connection):
        if connection.method == "POST":
            ready.set()
            time.sleep(0.3)
            connection.answer({"id": "made", "status": "RUNNING"})
        else:
            connection.answer({"id": "made"})
    server = serve(handler)
    process = spawn("once", "img", "x")
    assert ready.wait(SECONDS)
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 130
    assert server.requests == [ONCE[0], ONCE[2]]


def waiting(statuses):
    """An engine that has to pull first; statuses is what the sandbox is, look by look."""
    def handler(connection):
        if connection.path.startswith("/api/v1/images/pull"):
            assert connection.json() == {"image": "img", "policy": "missing"}
            connection.answer({"detail": "not to be seen", "code": "unavailable"}, 503)
        elif connection.method == "DELETE":
            connection.answer({"id": "made", "status": "TERMINATED"})
        elif connection.path.endswith("/exec"):
            connection.upgrade(exited(0))
        else:
            connection.answer({"id": "made", **statuses.pop(0)})
    return handler


PULL, LOOK = ("POST", "/api/v1/images/pull"), ("GET", "/api/v1/sandbox/made")


def test_create_waits_for_its_image(serve, cli):
    server = serve(waiting([{"status": "PENDING"}, {"status": "PENDING"}, {"status": "PROVISIONING"},
                            {"status": "RUNNING"}]))
    result = cli("create", "img")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"made\n", b"")
    assert server.requests == [ONCE[0], PULL, LOOK, LOOK, LOOK]


def test_create_waits_as_json(serve, cli):
    server = serve(waiting([{"status": "PENDING"}, {"status": "RUNNING"}]))
    result = cli("create", "img", "-o", "json")
    assert json.loads(result.stdout) == {"id": "made", "status": "RUNNING"}
    assert server.requests == [ONCE[0], LOOK]


def test_create_whose_image_cannot_be_had(serve, cli):
    serve(waiting([{"status": "PENDING"}, {"status": "ERROR", "errorType": "IMAGE_PULL_FAILED",
                                           "errorMessage": "no such\x1btag"}]))
    result = cli("create", "img")
    assert (result.returncode, result.stdout) == (9, b"")
    assert b"ERROR: no such" in result.stderr and b"\x1b" not in result.stderr


def test_create_of_what_has_ended_already(serve, cli):
    serve(waiting([{"status": "PENDING"}, {"status": "TERMINATED", "startedAt": "2026-01-01T00:00:00.000Z"}]))
    assert cli("create", "img").stdout == b"made\n"


def test_once_waits_for_its_image(serve, cli):
    server = serve(waiting([{"status": "PENDING"}, {"status": "RUNNING"}]))
    assert cli("once", "img", "x").returncode == 0
    assert server.requests == [ONCE[0], PULL, LOOK, *ONCE[1:]]


def test_once_whose_image_cannot_be_had(serve, cli):
    server = serve(waiting([{"status": "PENDING"}, {"status": "ERROR", "errorMessage": "why"}]))
    result = cli("once", "img", "x")
    assert (result.returncode, result.stderr) == (125, b"caisson: the sandbox is ERROR: why\n")
    assert server.requests == [ONCE[0], PULL, LOOK, ONCE[2]]


def test_once_interrupted_while_it_waits(serve, spawn):
    looked = threading.Event()
    inner = waiting([{"status": "PENDING"}] * 100)

    def handler(connection):
        if connection.method == "GET":
            looked.set()
        inner(connection)
    server = serve(handler)
    process = spawn("once", "img", "x")
    assert looked.wait(SECONDS)
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 143
    assert server.requests[-1] == ONCE[2]


def test_once_that_cannot_create(serve, cli):
    server = serve(lambda connection: connection.answer({"detail": "no image 'img'", "code": "not_found"}, 404))
    result = cli("once", "img", "x")
    assert (result.returncode, result.stderr) == (125, b"caisson: no image 'img'\n")
    assert server.requests == ONCE[:1]


# ---- plain requests --------------------------------------------------------------------------

def test_create(serve, cli):
    def handler(connection):
        assert connection.json() == {
            "docker_image": "python:3.11-slim", "name": "lab", "cpu_cores": 0.5, "memory_gb": 1.5,
            "disk_size_gb": 20.0, "pids_limit": 64, "timeout_minutes": 5,
            "start_command": "sleep 9", "environment_vars": {"A": "1"}, "secrets": {"S": "x"},
            "labels": ["l1", "l2"], "network_access": False, "pull_policy": "always"}
        connection.answer({"id": "made", "status": "RUNNING"})
    serve(handler)
    result = cli("create", "python:3.11-slim", "--name", "lab", "--pull", "always", "--cpu-cores", "0.5", "--memory", "1536M",
                 "--disk-size-gb", "20", "--pids", "64", "--timeout-minutes", "5",
                 "--start-command", "sleep 9", "--env", "A=1", "--secret", "S=x", "--label", "l1",
                 "--label", "l2", "--no-network-access")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"made\n", b"")


@pytest.mark.parametrize("code, http, status", [
    ("internal", 500, 1), ("invalid", 400, 3), ("denied", 403, 4), ("not_found", 404, 5),
    ("conflict", 409, 6), ("limit", 507, 7), ("timeout", 504, 8), ("unavailable", 503, 9),
    (None, 404, 5), (None, 500, 1), ("new-word", 409, 6),
])
def test_errors_have_their_status(serve, cli, code, http, status):
    body = {"detail": "what\n\033[2Jto do"} | ({"code": code} if code else {})
    serve(lambda connection: connection.answer(body, http))
    result = cli("get", "ab12")
    assert (result.returncode, result.stderr) == (status, b"caisson: what??[2Jto do\n")


def test_ids_are_escaped(serve, cli):
    server = serve(lambda connection: connection.answer({"id": "x"}))
    assert cli("get", "../a b?c#d%").returncode == 0
    assert server.requests == [("GET", "/api/v1/sandbox/..%2Fa%20b%3Fc%23d%25")]


def test_commit(serve, cli):
    bodies = []

    def answer(connection):
        bodies.append((connection.path, connection.json()))
        connection.answer({"name": "new:1", "digest": "sha256:" + "a" * 64})

    serve(answer)
    assert cli("commit", "box", "new:1").stdout == b"new:1 sha256:" + b"a" * 64 + b"\n"
    assert cli("commit", "b/x", "new", "-m", "why", "--author", "me", "--json").returncode == 0
    assert bodies == [("/api/v1/sandbox/box/commit", {"image": "new:1"}),
                      ("/api/v1/sandbox/b%2Fx/commit", {"image": "new", "message": "why", "author": "me"})]
    assert cli("commit", "box").returncode == 2


def test_list_pages_and_filters(serve, cli):
    def handler(connection):
        page = int(connection.path.split("page=")[2].split("&")[0])
        assert connection.path.endswith("&is_active=true&labels=a%26b")
        connection.answer({"sandboxes": [{"id": f"id{page}", "name": "n\033", "cpuCores": 0.5}],
                           "hasNext": page < 3})
    serve(handler)
    lines = cli("ls", "--label", "a&b").stdout.decode().splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [[f"id{n}", "n?", "-"] for n in (1, 2, 3)]


def test_delete_reports_each(serve, cli):
    def handler(connection):
        if connection.path.endswith("/bad"):
            connection.answer({"detail": "no sandbox 'bad'", "code": "not_found"}, 404)
        else:
            connection.answer({"id": "x"})
    server = serve(handler)
    result = cli("rm", "a,bad", "c")
    assert (result.returncode, result.stdout) == (5, b"a deleted\nc deleted\n")
    assert result.stderr == b"caisson: bad not deleted: no sandbox 'bad'\n"
    assert len(server.requests) == 3


@pytest.mark.parametrize("verb,done", [("pause", "paused"), ("resume", "resumed"), ("stop", "stopped")])
def test_pause_resume_stop(serve, cli, verb, done):
    def handler(connection):
        if "/bad/" in connection.path:
            connection.answer({"detail": "the sandbox has ended", "code": "conflict"}, 409)
        else:
            connection.answer({"id": "x"})
    server = serve(handler)
    result = cli(verb, "a,bad", "c")
    assert (result.returncode, result.stdout) == (6, f"a {done}\nc {done}\n".encode()), result
    assert result.stderr == f"caisson: bad not {done}: the sandbox has ended\n".encode()
    assert server.requests == [("POST", f"/api/v1/sandbox/{key}/{verb}") for key in ("a", "bad", "c")]
    assert json.loads(cli(verb, "a", "--json").stdout) == [{"id": "a", done: True}]
    assert cli(verb).returncode == 2


EXPOSURE = {"exposure_id": "e1", "sandbox_id": "a", "port": 80, "name": None, "url": "tcp://h:1", "protocol": "TCP"}


def test_expose_unexpose_list_ports(serve, cli):
    def handler(connection):
        if connection.method == "POST":
            assert connection.json() == {"port": 80, "protocol": "TCP", "name": "n"}
            connection.answer(EXPOSURE)
        else:
            connection.answer({"exposures": [EXPOSURE]} if connection.method == "GET" else {})
    server = serve(handler)
    assert cli("expose", "a", "80", "--protocol", "tcp", "-n", "n").stdout == b"e1 tcp://h:1\n"
    assert b"e1  a" in cli("list-ports", "a").stdout
    assert json.loads(cli("list-ports", "--json").stdout) == [EXPOSURE]
    assert cli("unexpose", "a", "e1", "e2").returncode == 0
    assert cli("unexpose", "a", "e/1").returncode == cli("expose", "a", "x").returncode == 3
    assert server.requests == [("POST", "/api/v1/sandbox/a/expose"), ("GET", "/api/v1/sandbox/a/expose"),
                               ("GET", "/api/v1/sandbox/expose/all"), ("DELETE", "/api/v1/sandbox/a/expose/e1"),
                               ("DELETE", "/api/v1/sandbox/a/expose/e2")]


@pytest.mark.parametrize("options,sent", [
    ((), {}), (("--no-timeout",), {"timeout_minutes": -1}), (("--timeout-minutes", "0.5"), {"timeout_minutes": 0.5}),
    (("--idle-timeout-minutes", "3"), {"idle_timeout_minutes": 3})])
def test_times_of_create(serve, cli, options, sent):
    def handler(connection):
        assert connection.json() == {"docker_image": "img", **sent}
        connection.answer({"id": "made", "status": "RUNNING"})
    serve(handler)
    assert cli("create", "img", *options).stdout == b"made\n"


def test_one_lifetime_only(serve, cli):
    server = serve(lambda connection: connection.answer({}))
    assert cli("create", "img", "--no-timeout", "--timeout-minutes", "5").returncode == 3
    assert server.requests == []


def test_delete_all_asks_first(serve, cli):
    def handler(connection):
        connection.answer({"sandboxes": [{"id": "a"}], "hasNext": False} if connection.method == "GET" else {})
    server = serve(handler)
    assert cli("delete", "--all").returncode == 3
    assert [method for method, _ in server.requests] == ["GET"]
    assert cli("delete", "--all", "--yes").stdout == b"a deleted\n"


def test_import_file_and_stdin(serve, cli, tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "image.tar").write_bytes(data)
    bodies = []

    def handler(connection):
        bodies.append((connection.headers.get("transfer-encoding"), connection.body))
        connection.answer({"images": [{"name": "a/b:1", "digest": "sha256:0"}, {"name": "c", "digest": "sha256:1"}]})
    server = serve(handler)
    assert cli("image", "import", str(tmp_path / "image.tar"), "--name", "a/b:1").stdout == b"a/b:1 sha256:0\nc sha256:1\n"
    assert cli("image", "import", "-", "--name", "x", input=data).returncode == 0
    assert bodies == [(None, data), ("chunked", data)]
    assert server.requests[0] == ("POST", "/api/v1/images?name=a/b:1")


def test_import_directory(serve, cli, tmp_path):
    layout = tmp_path / "layout"
    (layout / "blobs" / "sha256").mkdir(parents=True)
    names = {"./oci-layout"[2:]: b"{}", "index.json": b"[]", "blobs/sha256/00": b"blob"}
    for name, data in names.items():
        (layout / name).write_bytes(data)
    found = {}

    def handler(connection):
        listed = subprocess.run(["tar", "-tf", "-"], input=connection.body, stdout=subprocess.PIPE, check=True)
        found["names"] = set(listed.stdout.decode().split())
        connection.answer({"name": "x"})
    serve(handler)
    assert cli("image", "import", str(layout)).returncode == 0
    assert set(names) <= found["names"]


def test_import_of_what_is_not_there(serve, cli, tmp_path):
    server = serve(lambda connection: connection.answer({}))
    assert cli("image", "import", str(tmp_path / "none")).returncode == 5
    result = cli("image", "import", str(tmp_path))
    assert result.returncode == 3 and b"oci-layout" in result.stderr
    assert server.requests == []


def test_early_refusal_of_an_upload(tmp_path, cli):
    """The server answers and closes before it has read everything: its reason is shown."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "sock"))
    listener.listen()

    def refuse():
        sock, _ = listener.accept()
        sock.recv(1000)
        body = b'{"detail": "too large", "code": "limit"}'
        sock.sendall(b"HTTP/1.1 413 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        sock.close()
    thread = threading.Thread(target=refuse)
    thread.start()
    result = cli("image", "import", "-", input=bytes(20_000_000))
    thread.join()
    listener.close()
    assert (result.returncode, result.stderr) == (7, b"caisson: import '-': too large\n")


def test_server_is_not_there(cli):
    result = cli("ls")
    assert result.returncode == 9
    assert b"cannot reach caissond at" in result.stderr and b"caissond" in result.stderr


@pytest.mark.parametrize("url, text", [
    ("ftp://host", b"http://"), ("https://host/path", b"has a path"), ("nonsense", b"no URL"),
    ("http://host/path", b"has a path"),
])
def test_urls(cli, url, text):
    result = cli("--url", url, "ls")
    assert result.returncode == 3 and text in result.stderr


def test_tcp_and_key(tmp_path):
    listener = socket.create_server(("127.0.0.1", 0))
    seen = []

    def answer():
        sock, _ = listener.accept()
        with sock:
            connection = Connection(sock)
            seen.append((connection.headers["authorization"], connection.headers["host"]))
            connection.answer({"images": []})
    thread = threading.Thread(target=answer)
    thread.start()
    env = {**os.environ, "CAISSON_URL": "http://127.0.0.1:%d/" % listener.getsockname()[1],
           "CAISSON_API_KEY": "sesame"}
    env.pop("CAISSON_SOCKET", None)
    result = subprocess.run([CAISSON, "image", "ls"], env=env, timeout=SECONDS, stdout=subprocess.PIPE)
    thread.join()
    listener.close()
    assert result.returncode == 0 and seen == [("Bearer sesame", "127.0.0.1")]
    env["CAISSON_API_KEY"] = "a\r\nX: y"
    assert subprocess.run([CAISSON, "image", "ls"], env=env, stderr=subprocess.DEVNULL).returncode == 3


@pytest.mark.parametrize("answer", [
    b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", b"HTTP/1.1 200 OK\r\n\r\n{",
])
def test_broken_answers(serve, cli, answer):
    serve(lambda connection: connection.sock.sendall(answer))
    result = cli("get", "ab12")
    assert result.returncode in (1, 9) and result.stderr.startswith(b"caisson: ")


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("create",), ("run", "id"), ("ls", "--wrong"),
                                       ("delete",), ("delete", "a", "--all"), ("image",)])
def test_usage_errors(cli, arguments):
    result = cli(*arguments)
    assert (result.returncode, result.stdout) == (2, b"") and result.stderr


def test_output_that_cannot_be_written(serve, tmp_path):
    serve(lambda connection: connection.answer({"id": "x"}))
    with open("/dev/full", "wb") as full:
        result = subprocess.run([CAISSON, "get", "x"], env=environment(tmp_path), stdout=full,
                                stderr=subprocess.PIPE, timeout=SECONDS)
    assert result.returncode == 7 and b"No space left" in result.stderr


def libraries():
    return subprocess.run(["ldd", CAISSON], stdout=subprocess.PIPE, check=True).stdout


def test_starts_fast():
    """What matters is that no library slips in, not even those that can be parts of it."""
    assert not any(name in libraries() for name in (b"archive", b"crypto", b"sqlite", b"microhttpd"))
    if glob.glob("/usr/lib/*/libjansson.a") and b"san.so" not in libraries():
        assert not any(name in libraries() for name in (b"jansson", b"sodium", b"yaml", b"http_parser"))


def test_a_command_touches_little_memory(serve, spawn):
    """Each page is a fault, and most of what the client's part of a command takes."""
    with open(CAISSON, "rb") as program:
        if b"__asan_init" in program.read():
            pytest.skip("with sanitizers")

    def handler(connection):
        connection.upgrade()
        connection.frame()
        connection.send(exited())
    serve(handler)
    _, status, usage = os.wait4(spawn("run", "id", "true").pid, 0)
    print(usage.ru_minflt)
    assert status == 0 and usage.ru_minflt < FAULTS_MAX
