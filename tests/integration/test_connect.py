# SPDX-License-Identifier: Apache-2.0
"""Commands through the gateway that Prime's clients use: /exec and Connect, as raw bytes."""

import concurrent.futures
import contextlib
import gzip
import http.client
import json
import os
import random
import socket
import struct
import threading
import time
import uuid

import pytest

import archives
import harness
import rpc

KEY = "a-key-for-this-test-only"


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    """An engine that listens on TCP, where a token of a sandbox is needed."""
    key = tmp_path_factory.mktemp("key") / "key"
    key.write_text(KEY)
    os.chmod(key, 0o600)
    port = harness.free_port()
    for engine in harness.run_engine(
            "--listen", f"127.0.0.1:{port}", "--admin-key-file", str(key),
            prepare=lambda e: e.api.import_image("busybox", archives.busybox()).ok()):
        engine.port = port
        yield engine


class Box:
    """One sandbox, as a client with its token sees it."""

    def __init__(self, engine, **fields):
        self.engine = engine
        self.id = engine.api.create(**fields).ok()["id"]
        self.login()

    def login(self):
        auth = self.engine.api.request("POST", f"/api/v1/sandbox/{self.id}/auth").ok()
        self.token = auth["token"]
        self.base = f"/gw/{auth['user_ns']}/{auth['job_id']}"

    def request(self, path, body, headers=None, token=None, timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.engine.port, timeout=timeout)
        try:
            connection.request("POST", self.base + path, body, {
                "Authorization": f"Bearer {token or self.token}", **(headers or {})})
            response = connection.getresponse()
            return harness.Answer(response.status, response.read(), dict(response.getheaders()))
        finally:
            connection.close()

    def exec(self, command, **fields):
        body = {"command": command, "working_dir": None, "env": {}, "sandbox_id": self.id,
                "timeout": 300, **fields}
        return self.request("/exec", json.dumps(body), {"Content-Type": "application/json"})

    # Connect
    def stream(self, method, message, timeout_ms=None, headers=None, body=None, seconds=60):
        return rpc.Stream(self.engine.port, f"{self.base}/command_session.CommandSession/{method}", self.token,
                          rpc.envelope(message) if body is None else body, timeout_ms, headers, seconds)

    def start(self, message, timeout_ms=None, **more):
        return self.stream("Start", message, timeout_ms, **more)

    def shell(self, text, timeout_ms=None, **fields):
        return self.start(rpc.shell(text, **fields), timeout_ms)

    def attach(self, who, timeout_ms=None):
        return self.stream("Connect", rpc.selector(who), timeout_ms)

    def run(self, text, **fields):
        with self.shell(text, **fields) as stream:
            assert stream.wait() is None, stream.end
            return stream

    def call(self, method, message, headers=None, timeout=60):
        """A unary call: None, or the error's code."""
        answer = self.request(f"/command_session.CommandSession/{method}", message,
                              {"Content-Type": "application/proto", "Connect-Protocol-Version": "1",
                               **(headers or {})}, timeout=timeout)
        if answer.status == 200:
            assert answer.headers["Content-Type"] == "application/proto" and answer.body == b""
            return None
        return answer["code"]

    def input(self, who, what, key=None, **more):
        return self.call("SendInput", rpc.send_input(who, what, key), **more)

    def signal(self, who, signo, key=None):
        return self.call("SendSignal", rpc.send_signal(who, signo, key))

    def delete(self):
        return self.engine.api.delete(self.id)


@pytest.fixture(scope="module")
def shared(gate):
    box = Box(gate)
    yield box
    box.delete()


@pytest.fixture(scope="module", autouse=True)
def silence(shared):
    """A command that says nothing for longer than a sign of life takes; it is looked at by the last test."""
    with shared.shell("sleep 31; echo end") as stream:
        yield stream


@pytest.fixture(scope="module", autouse=True)
def trickle(gate):
    """A body of a byte a second, which is the other thing that takes its time; how long it was taken."""
    def send():
        begin = time.monotonic()
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(gate.socket)
            sock.sendall(b"POST /api/v1/sandbox HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
            for _ in range(60):
                time.sleep(1)
                sock.sendall(b" ")
        return time.monotonic() - begin

    with concurrent.futures.ThreadPoolExecutor() as pool:
        yield pool.submit(send)


@pytest.fixture
def box(gate):
    box = Box(gate)
    yield box
    box.delete()


# ---- /exec -----------------------------------------------------------------------------------------

def test_exec_answers(shared):
    seen = shared.exec("echo out; echo err >&2; exit 3")
    wanted = {"stdout": "out\n", "stderr": "err\n", "exit_code": 3, "reason": "exited"}
    assert {name: seen.ok()[name] for name in wanted} == wanted
    assert shared.exec("printf 'a\\377b'").ok()["stdout"] == "a\ufffdb"
    assert shared.exec("kill -9 $$").ok()["exit_code"] == 137
    assert shared.exec("pwd; echo $A", working_dir="/etc", env={"A": "x y"}).ok()["stdout"] == "/etc\nx y\n"
    assert shared.exec("id -un; echo $HOME $USER", user="app").ok()["stdout"] == "app\n/home/app app\n"


def test_exec_refuses(shared):
    for fields in ({"sandbox_id": "another"}, {"user": "nobody-here"}, {"working_dir": "/no/such"},
                   {"timeout": -1}, {"timeout": "x"}, {"env": []}, {"tty": True}):
        assert 400 <= shared.exec("true", **fields).status < 500, fields
    for command in (None, "", ["echo"], 7):
        assert shared.exec(command).status == 400, command
    assert shared.request("/exec", b"{").status == 400
    assert shared.request("/exec", b"{}", token="cxs_0_0_0").status == 401


def test_exec_is_late(shared):
    start = time.monotonic()
    late = shared.exec("sleep 300 & echo $! > /tmp/late; sleep 300", timeout=1)
    assert late.status == 408 and late.detail
    assert time.monotonic() - start < 10
    assert shared.exec("kill -0 $(cat /tmp/late)").ok()["exit_code"] != 0


def test_exec_leaves_children_alone(shared):
    child = "while ! test -e /tmp/live; do sleep 0.05; done; echo more; touch /tmp/lived"
    assert shared.exec(f"({child}) & echo now", timeout=20).ok()["stdout"] == "now\n"
    shared.exec("touch /tmp/live").ok()
    harness.wait_until(lambda: shared.exec("test -e /tmp/lived").ok()["exit_code"] == 0, 10)


def test_exec_of_the_dead(gate):
    box = Box(gate)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(box.exec("sleep 60")))
    thread.start()
    time.sleep(0.5)
    assert box.delete().status == 200
    thread.join(10)
    assert seen[0].status == 409, seen
    assert box.exec("true").status == 409
    box.login()  # also of what has ended
    assert box.exec("true").status == 409


# ---- Start -----------------------------------------------------------------------------------------

def new():
    return str(uuid.uuid4())


def test_order_of_events(shared):
    with shared.shell("echo out; sleep 0.2; echo err >&2; sleep 0.2; exit 3") as stream:
        assert stream.status == 200
        assert stream.headers["Content-Type"] == "application/connect+proto"
        seen = [stream.next() for _ in range(5)]
    assert seen[0][0] == "start" and seen[0][1] > 1
    assert seen[1:] == [("stdout", b"out\n"), ("stderr", b"err\n"), ("end", 3), ("last", {})]


def test_what_a_command_gets(shared):
    assert shared.run("exit 0").code == 0
    assert shared.run("kill -9 $$").code == 137
    assert shared.run("pwd; echo $A", cwd="/etc", envs={"B": "", "A": "x=y"}).out == b"/etc\nx=y\n"
    assert shared.run("id -un; id -G; echo $HOME $USER $LOGNAME", user="app").out == \
        b"app\n1000 2000\n/home/app app app\n"
    assert shared.run("echo $HOME", user="app", envs={"HOME": "/x"}).out == b"/x\n"
    assert shared.run("cat; echo over").out == b"over\n"  # stdin is at its end
    assert shared.run("printf 'a\\377b'").out == b"a\xffb"
    assert shared.run("test -d /workspace; echo $?").out == b"0\n"
    with shared.start(rpc.start("/bin/echo", ["$A", "b  c"])) as stream:
        assert stream.wait() is None and stream.out == b"$A b  c\n"


def test_bash_where_there_is_none(shared):
    """The image has a sh only; the clients ask for /bin/bash all the same."""
    assert shared.run("test -e /bin/bash || echo none").out == b"none\n"
    with shared.start(rpc.start("/bin/bash", ["-l"])) as stream:  # no text for a shell: as it says
        assert stream.wait() == "failed_precondition"


def test_pid_is_the_one_inside(shared):
    with shared.shell("sleep 60", uuid=new()) as stream:
        pid = stream.started()
        assert b"sleep" in shared.run(f"tr '\\0' ' ' < /proc/{pid}/cmdline").out
        assert shared.signal(pid, 9) is None
        stream.wait()
        assert stream.code == 137


def test_commands_that_cannot_start(shared):
    for fields in ({"user": "nobody-here"}, {"cwd": "/no/such"}, {"cmd": "/no/such"}, {"cmd": "nothing"}):
        with shared.start(rpc.start(**{"cmd": "true", **fields})) as stream:
            assert stream.wait() == "failed_precondition" and stream.pid is None, fields
    for message in (rpc.shell("true", user=""), rpc.start(""), rpc.shell(""), b"",
                    rpc.shell("true", envs={"A=B": "c"}), rpc.shell("true", envs={"": "c"}),
                    rpc.shell("a\0b"), rpc.shell("true", uuid="u" * 65), rpc.shell("true", cwd="/" * 5000),
                    rpc.data(1, rpc.data(1, "true") + 2 * rpc.data(3, rpc.data(1, "A")))):
        with shared.start(message) as stream:
            assert stream.wait() == "invalid_argument", message[:80]


def test_children_outlive_the_command(shared):
    child = "while ! test -e /tmp/outlive; do sleep 0.05; done; echo late; touch /tmp/outlived"
    assert shared.run(f"({child}) & echo now").out == b"now\n"
    shared.run("touch /tmp/outlive")
    harness.wait_until(lambda: shared.run("test -e /tmp/outlived").code == 0, 10)


def test_much_output_split_anywhere(shared):
    size = 10 << 20
    seen = shared.run(f"head -c {size} /dev/zero | tr '\\0' a; head -c {size} /dev/zero >&2")
    assert seen.out == b"a" * size and seen.err == bytes(size)


def test_events_are_flushed(shared):
    with shared.shell("for i in 1 2 3; do echo $i; sleep 0.3; done") as stream:
        stream.started()
        times = []
        for line in (b"1\n", b"2\n", b"3\n"):
            stream.until(line)
            times.append(time.monotonic())
    assert all(0.1 < b - a < 1 for a, b in zip(times, times[1:])), times


def gateway_kb(gate):
    return int(harness.status_of(gate.gateway)["VmRSS"].split()[0])


def test_a_slow_reader_loses_nothing(gate, shared):
    before, size = gateway_kb(gate), 64 << 20
    with shared.shell(f"head -c {size} /dev/zero; echo done >&2; sleep 0.1") as stream:
        stream.started()
        time.sleep(2)
        assert gateway_kb(gate) - before < 16 << 10
        running = shared.run("ps | grep -c '[h]ead -c'").out.strip()
        assert running != b"0"  # it waits
        stream.wait()
        assert len(stream.out) == size and stream.err == b"done\n" and stream.code == 0


# ---- the end of time, and of clients ----------------------------------------------------------------

def test_deadline(shared):
    start = time.monotonic()
    with shared.shell("sleep 300 & echo $! > /tmp/dead; echo go; sleep 300", timeout_ms=1000) as stream:
        assert stream.wait() == "deadline_exceeded" and stream.out == b"go\n"
    assert 0.9 < time.monotonic() - start < 5
    assert shared.run("kill -0 $(cat /tmp/dead)").code != 0
    with shared.shell("true", timeout_ms="x") as stream:
        assert stream.wait() == "invalid_argument"
    with shared.shell("sleep 5", timeout_ms=0) as stream:
        assert stream.wait() == "deadline_exceeded"


def test_a_plain_command_goes_with_its_client(shared):
    with shared.shell("echo $$ > /tmp/plain; sleep 300") as stream:
        pid = stream.started()
    harness.wait_until(lambda: shared.run(f"kill -0 {pid}").code != 0, 5)
    with shared.attach(pid) as stream:
        assert stream.wait() == "not_found"


def test_the_dead_the_unknown_and_strangers(gate):
    box = Box(gate)
    live, plain = box.shell("sleep 300", uuid="live"), box.shell("sleep 300")
    with live, plain:
        live.started(), plain.started()
        assert box.delete().status == 200
        assert live.wait() == "not_found" and plain.wait() == "not_found"
    for method, message in (("Start", rpc.shell("true")), ("Connect", rpc.selector("live"))):
        with box.stream(method, message) as stream:
            assert stream.status == 200 and stream.wait() == "not_found"
    assert box.input("live", b"x") == "not_found" and box.signal("live", 9) == "not_found"
    box.token = "cxs_0_0_0"
    with box.shell("true") as stream:
        assert stream.status == 401


def test_a_paused_sandbox(gate, box):
    with box.shell("sleep 60", uuid="live") as stream:
        stream.started()
        gate.api.request("POST", f"/api/v1/sandbox/{box.id}/pause").ok()
        for again in (box.shell("true"), box.attach("live")):
            with again:
                assert again.wait() == "not_found"
        assert box.input("live", b"x") == "not_found" and box.signal("live", 9) == "not_found"
        assert box.exec("true").status == 409
        gate.api.request("POST", f"/api/v1/sandbox/{box.id}/resume").ok()
        assert box.signal("live", 9) is None
        assert stream.wait() is None and stream.code == 137


def test_unknown_calls(shared):
    assert shared.request("/command_session.CommandSession/Nothing", b"").status == 401
    for type in ("application/json", "application/connect+json", "application/proto", None):
        with shared.start(b"", headers={"Content-Type": type or ""}) as stream:
            assert stream.status == 415
    assert shared.call("SendSignal", b"", {"Content-Type": "application/connect+proto"}) == "invalid"
    with shared.start(rpc.shell("true"), headers={"Connect-Protocol-Version": "2"}) as stream:
        assert stream.status == 400


# ---- live processes --------------------------------------------------------------------------------

def test_input_and_signals(shared):
    key = new()
    with shared.shell("trap 'echo caught; exit 7' TERM; while read -r line; do echo \"got $line\"; done",
                      uuid=key, stdin=True) as stream:
        stream.started()
        for word in (b"one\n", b"two\n"):
            assert shared.input(key, word, new()) is None
        stream.until(b"got one\ngot two\n")
        again = new()
        assert [shared.input(key, b"x\n", again) for _ in range(3)] == [None] * 3
        assert shared.input(key, b"last\n") is None
        stream.until(b"got last\n")
        assert stream.out.count(b"got x") == 1
        assert shared.signal(key, 15, again[:-1]) is None
        assert stream.wait() is None and stream.code == 7
    assert shared.signal(key, 9) is None and shared.signal(key, 15, again[:-1]) is None
    assert shared.input(key, b"x") == "failed_precondition"
    assert shared.input(key, b"x\n", again) is None  # what was done stays done
    assert shared.signal(key, 1) == "invalid_argument"
    assert shared.input("never", b"x") == "not_found" and shared.signal("never", 9) == "not_found"


def test_attaching(shared):
    key = new()
    message = rpc.shell("read a; echo $a; read b; echo $b; exit 5", uuid=key, stdin=True)
    with shared.start(message) as first:
        pid = first.started()
        shared.input(key, b"one\n")
        first.until(b"one\n")
    with shared.start(message) as second:  # the same again: attached, nothing of before
        assert second.started() == pid
        with shared.attach(key) as third, shared.attach(pid) as fourth:
            assert third.started() == pid and fourth.started() == pid
            shared.input(key, b"two\n")
            for stream in (second, third, fourth):
                assert stream.wait() is None and (stream.out, stream.code) == (b"two\n", 5)
    for again in (shared.start(message), shared.attach(key)):  # it has ended
        with again:
            assert again.wait() is None and (again.pid, again.out, again.code) == (pid, b"", 5)
    for other in (rpc.shell("true", uuid=key, stdin=True), rpc.shell("read a", uuid=key)):
        with shared.start(other) as stream:
            assert stream.wait() == "failed_precondition"
    with shared.attach(new()) as stream:
        assert stream.wait() == "not_found"
    with shared.attach(4000000) as stream:
        assert stream.wait() == "not_found"


def test_a_sandbox_by_its_name(gate, shared):
    """An administrator's way; processes are the sandbox's whatever it is called."""
    key, name = new(), gate.api.get(shared.id)["name"]
    with shared.shell("sleep 60", uuid=key) as stream:
        stream.started()
        answer = gate.api.request("POST", f"/gw/s/{name}/command_session.CommandSession/SendSignal",
                                  rpc.send_signal(key, 9), {"Content-Type": "application/proto"})
        assert answer.status == 200
        assert stream.wait() is None and stream.code == 137


def test_same_environment_in_another_order(shared):
    key = new()
    with shared.shell("sleep 60", uuid=key, envs={"A": "1", "B": "2", "AB": "3"}) as first:
        pid = first.started()
        with shared.shell("sleep 60", uuid=key, envs={"B": "2", "AB": "3", "A": "1"}) as second:
            assert second.started() == pid
        shared.signal(key, 9)
        first.wait()


def test_output_while_nobody_looks(shared):
    key = new()
    with shared.shell("echo before; read x; echo missed; head -c 3000000 /dev/zero; echo; echo tail; "
                      "touch /tmp/went-on; read x; echo last", uuid=key, stdin=True) as stream:
        stream.until(b"before\n")
    assert shared.input(key, b"\n") is None
    harness.wait_until(lambda: shared.run("test -e /tmp/went-on").code == 0, 10)  # it does not wait
    with shared.attach(key) as stream:
        stream.until(b"tail\n")
        assert b"before" not in stream.out and len(stream.out) < 512 << 10
        shared.input(key, b"\n")
        assert stream.wait() is None and stream.out.endswith(b"\ntail\nlast\n")


def test_input_waits_for_who_does_not_read(shared):
    key = new()
    with shared.shell("sleep 1.5; exec wc -c", uuid=key, stdin=True) as stream:
        stream.started()
        block = bytes(200_000)
        assert [shared.input(key, block) for _ in range(2)] == [None, None]
        late = shared.input(key, block, headers={"Connect-Timeout-Ms": "200"})
        assert late == "deadline_exceeded"
        start = time.monotonic()
        assert shared.input(key, block) is None
        assert time.monotonic() - start > 0.3
        shared.run("pkill -15 -x nothing; true")
        shared.signal(key, 15)
        stream.wait()


def test_order_of_input_from_many(shared):
    key = new()
    with shared.shell("cat > /tmp/all", uuid=key, stdin=True) as stream:
        stream.started()
        for i in range(200):
            assert shared.input(key, b"%d\n" % i, new()) is None
        harness.wait_until(lambda: shared.run("wc -l < /tmp/all").out == b"200\n", 5)
        shared.signal(key, 15)
        stream.wait()
    assert shared.run("cat /tmp/all").out == b"".join(b"%d\n" % i for i in range(200))


def test_a_terminal(shared):
    key = new()
    with shared.start(rpc.start("/bin/sh", ["-c", "stty size; read x; echo got $x"], pty=(101, 33), uuid=key)) as stream:
        stream.until(b"33 101\r\n")
        assert shared.call("SendInput", rpc.send_input(key, b"hello\n", pty=True)) is None
        assert stream.wait() is None and b"got hello\r\n" in stream.out


def test_deadline_of_a_watch_is_not_the_process(shared):
    key = new()
    with shared.shell("sleep 60", uuid=key) as stream:
        stream.started()
        with shared.attach(key, timeout_ms=300) as second:
            assert second.wait() == "deadline_exceeded"
        assert shared.run(f"kill -0 {stream.pid}").code == 0
        shared.signal(key, 9)
        assert stream.wait() is None and stream.code == 137


# ---- many, and hostile ones -------------------------------------------------------------------------

def descriptors(gate):
    return len(os.listdir(f"/proc/{gate.gateway}/fd"))


def test_many_at_once(gate, shared):
    shared.run("true")
    before = descriptors(gate)

    def one(i):
        return shared.run(f"echo {i}; sleep 0.5; exit {i}")

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        for i, stream in enumerate(pool.map(one, range(50))):
            assert (stream.out, stream.code) == (b"%d\n" % i, i)
    harness.wait_until(lambda: descriptors(gate) <= before, 10, f"{before} descriptors again")


def test_packed_requests(shared):
    message = gzip.compress(rpc.shell("echo packed"))
    packed = {"Connect-Content-Encoding": "gzip"}
    with shared.start(b"", body=rpc.envelope(message, rpc.PACKED), headers=packed) as stream:
        assert stream.wait() is None and stream.out == b"packed\n"
    with shared.start(rpc.shell("echo not"), headers=packed) as stream:
        assert stream.wait() is None and stream.out == b"not\n"
    with shared.start(b"", body=rpc.envelope(message, rpc.PACKED)) as stream:
        assert stream.wait() == "invalid_argument"
    with shared.start(b"", body=rpc.envelope(gzip.compress(bytes(64 << 20)), rpc.PACKED),
                      headers=packed) as stream:
        assert stream.wait() == "resource_exhausted"
    with shared.start(rpc.shell("true"), headers={"Connect-Content-Encoding": "br"}) as stream:
        assert stream.wait() == "invalid_argument"


def hostile_bodies():
    dice = random.Random(5)
    good = rpc.envelope(rpc.shell("echo x", envs={"A": "b"}, cwd="/", user="root", uuid="u", pty=(1, 1)))
    for n in range(len(good)):
        yield good[:n]
    for _ in range(300):
        bad = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            bad[dice.randrange(len(bad))] = dice.randrange(256)
        yield bytes(bad)
    for flags in range(2, 256, 7):
        yield struct.pack(">BI", flags, len(good) - 5) + good[5:]
    for size in (0, 1, len(good), 0x7fffffff, 0xffffffff):
        yield struct.pack(">BI", 0, size) + good[5:]
    yield good + good
    yield rpc.envelope(rpc.data(1, rpc.data(1, "true") + b"\x12\x00" * (1 << 20)))
    yield rpc.envelope(b"\x0a\xff\xff\xff\xff\x0f")
    yield rpc.envelope(bytes(4 << 20))
    yield rpc.envelope(bytes((4 << 20) + 1))


def test_hostile_frames(gate, shared):
    gateway, answers = gate.gateway, {}
    for body in hostile_bodies():
        with shared.start(b"", 2000, body=body) as stream:
            assert stream.status == 200, (stream.status, body[:60])
            error = stream.wait()
            answers[error] = answers.get(error, 0) + 1
            assert error != "internal", (stream.end, body[:60])
    assert answers.get("invalid_argument", 0) > 100, answers
    for method in ("SendInput", "SendSignal"):
        for body in list(hostile_bodies())[:200]:
            assert shared.call(method, body) in ("invalid_argument", "not_found", None)
    assert gate.gateway == gateway and shared.run("echo fine").out == b"fine\n"


def test_clients_that_leave_in_the_middle(gate, shared):
    shared.run("true")
    before, gateway = descriptors(gate), gate.gateway
    for i in range(60):
        stream = shared.shell("yes", uuid=new() if i % 2 else None)
        if i % 3:
            stream.started()
        stream.close()
    ours = "ps | grep -c '[y]es'"
    harness.wait_until(lambda: int(shared.run(ours).out) <= 30, 10, "plain commands ended")
    shared.run("killall -9 yes")
    harness.wait_until(lambda: descriptors(gate) <= before, 10, f"{before} descriptors again")
    assert gate.gateway == gateway


def test_a_long_silence_has_signs_of_life(silence):
    silence.started()
    assert silence.next() == ("keepalive", None)
    assert silence.wait() is None and silence.out == b"end\n"


def test_a_body_that_trickles_is_cut(trickle):
    assert 29 < trickle.result() < 50
