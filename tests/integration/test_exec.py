# SPDX-License-Identifier: Apache-2.0
"""Commands: how they start, what they see, how they end, and what they cannot do to the gateway."""

import concurrent.futures
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

import archives
import harness
from harness import WINDOW

CONCURRENT = 300
RSS_GROWTH_KB = 64 * 1024


@pytest.fixture
def box(shared_sandbox):
    return shared_sandbox


@pytest.mark.smoke
def test_argv_and_shell(api, box):
    assert api.exec(box, ["echo", "a  b", "$HOME", "*"]).stdout == "a  b $HOME *\n"
    assert api.exec(box, "echo a  b; echo $((6*7)) | cat").stdout == "a b\n42\n"
    both = api.exec(box, "echo out; echo err >&2; exit 3")
    assert (both.stdout, both.stderr, both.code) == ("out\n", "err\n", 3)


def test_cwd(api, box):
    assert api.exec(box, "pwd", working_dir="/etc").stdout == "/etc\n"
    assert api.exec(box, "pwd").stdout == "/\n"
    for bad in ("/no/such", "/etc/passwd", "../..", "/proc/self/fd/7", "x" * 5000):
        answer = api.exec_raw(box, "pwd", working_dir=bad)
        assert answer.status == 400 and answer.detail, (bad, answer)


def test_environment(api, make):
    key = make(environment_vars={"A": "from create", "B": "kept"})
    seen = api.exec(key, ["env"], env={"A": "from exec", "C": "a=b\nc"}).stdout
    assert "A=from exec\n" in seen and "B=kept\n" in seen and "C=a=b\nc\n" in seen
    assert re.search("^PATH=.*/bin", seen, re.M) and "HOME=/root\n" in seen
    assert "CAISSON" not in seen and "NOTIFY" not in seen and "LISTEN_" not in seen
    assert api.exec(key, ["env"]).stdout.count("A=from create\n") == 1


def test_user(api, box):
    assert api.exec(box, "id", user="app").stdout.startswith("uid=1000(app) gid=1000(app)")
    assert "2000(extra)" in api.exec(box, "id", user="app").stdout
    assert api.exec(box, "id -u; id -g", user="1234:4321").stdout == "1234\n4321\n"
    assert api.exec(box, "id -g", user="app:extra").stdout == "2000\n"
    assert api.exec(box, "echo $HOME", user="app").stdout == "/home/app\n"
    for bad in ("nobody-knows", "-1", "65536", "99999999999", "4294967296", "0:99999999999", "1:2:3",
                " 0", "0x0", "app:nogrp", "+5", "u" * 300, "0\n"):
        answer = api.exec_raw(box, "id", user=bad)
        assert 400 <= answer.status < 500 and answer.detail, (bad, answer)


def test_stdin(api, box):
    assert api.exec(box, ["cat"], stdin="line\n").stdout == "line\n"
    assert api.exec(box, ["cat"]).stdout == "", "no input is the end of input"
    big = "x" * 300000
    assert api.exec(box, "wc -c", stdin=big).stdout.strip() == "300000"


def test_streamed_stdin_and_output(api, box):
    with api.stream(box, "while read line; do echo got $line; done; echo end >&2") as stream:
        assert stream.status == 101
        stream.stdin(b"one\n")
        stream.until(b"got one\n")
        stream.stdin(b"two\n", end=True)
        end = stream.wait()
        assert stream.out == b"got one\ngot two\n" and stream.err == b"end\n"
        assert end["exit_code"] == 0


def test_output_comes_as_it_is_written(api, box):
    with api.stream(box, "echo first; while ! test -e /tmp/second; do sleep 0.05; done; echo second") as stream:
        stream.until(b"first\n")
        assert b"second" not in stream.out
        api.exec(box, "touch /tmp/second")
        stream.wait()
        assert stream.out == b"first\nsecond\n"


def test_exit_codes(api, box):
    for code in (0, 1, 2, 77, 126, 127, 128, 200, 255):
        assert api.exec(box, f"exit {code}").code == code


def test_ended_by_signal(api, box):
    for number, name in ((signal.SIGKILL, "KILL"), (signal.SIGTERM, "TERM"), (signal.SIGSEGV, "SEGV")):
        result = api.exec(box, f"kill -{name} $$")
        assert result.code in (128 + number, -number) or result.raw.get("signal") == number, result
        assert result.raw.get("signal") in (number, name, "SIG" + name), result.raw


def test_signals_from_outside(api, box):
    with api.stream(box, "trap 'echo caught; exit 9' USR1; echo ready; while :; do sleep 0.05; done") \
            as stream:
        stream.until(b"ready")
        stream.signal(signal.SIGUSR1)
        assert stream.wait()["exit_code"] == 9 and b"caught" in stream.out
    with api.stream(box, ["sleep", "1000"]) as stream:
        stream.started()
        stream.signal(signal.SIGKILL)
        stream.wait()


def test_pid_is_the_one_inside(api, box):
    with api.stream(box, ["sh", "-c", "echo $$; exec sleep 0.2"]) as stream:
        pid = stream.started()
        stream.wait()
        assert int(stream.out) == pid and 1 < pid < 65536


@pytest.mark.smoke
def test_timeout_kills_the_whole_tree(api, make, engine):
    key = make()
    before = set(engine.sandbox_pids(key))
    script = ("(sh -c 'sleep 1001 & sleep 1002' &) ; setsid sh -c 'sleep 1003 & sleep 1004' & "
              "setsid setsid sleep 1005 & trap '' TERM INT HUP; echo begun; sleep 1006")
    began = time.monotonic()
    answer = api.exec_raw(key, script, timeout=1)
    assert 0.9 < time.monotonic() - began < 8, answer
    text = answer.body.decode().lower()
    assert "time" in text, answer
    harness.wait_until(lambda: set(engine.sandbox_pids(key)) <= before, 3, "the end of the tree")
    assert api.exec(key, "echo still here").stdout == "still here\n"


def test_timeout_keeps_output(api, box):
    answer = api.exec_raw(box, "echo before; sleep 1000", timeout=1)
    assert "before" in answer.body.decode(), answer


def test_detached_children_live_on(api, make):
    key = make()
    began = time.monotonic()
    result = api.exec(key, "setsid sh -c 'sleep 1; echo done >/tmp/mark; sleep 1000' >/dev/null 2>&1 & "
                           "echo started")
    assert result.stdout == "started\n" and time.monotonic() - began < 5
    harness.wait_until(lambda: api.exec(key, "cat /tmp/mark").stdout == "done\n", 5, "the child's mark")
    assert "sleep 1000" in api.exec(key, "ps").stdout


def test_held_output_does_not_hold_the_answer(api, make):
    """A background child that keeps stdout open: the answer comes with the main process's end."""
    key = make()
    began = time.monotonic()
    assert api.exec(key, "sleep 1000 & echo main").stdout == "main\n"
    assert time.monotonic() - began < 10


def rss_kb(pid):
    return int(harness.status_of(pid)["VmRSS"].split()[0])


def test_endless_output_is_bounded(api, make, engine):
    key = make()
    before = rss_kb(engine.gateway)
    answer = api.exec_raw(key, "exec yes 0123456789012345678901234567890123456789", timeout=5)
    assert answer.status in (200, 400, 413, 507, 504, 408), answer.status
    assert len(answer.body) < 64 << 20
    assert rss_kb(engine.gateway) - before < RSS_GROWTH_KB
    assert api.exec(key, "echo ok").stdout == "ok\n"


def test_endless_output_nobody_reads(api, make, engine):
    """A client that stops reading stops the command, not the gateway."""
    key = make()
    before = rss_kb(engine.gateway)
    with api.stream(key, ["yes"]) as stream:
        stream.started()
        time.sleep(2)
        assert rss_kb(engine.gateway) - before < RSS_GROWTH_KB
        assert harness.Api(engine.socket).healthy()
    # The client is gone: the gateway must be rid of the stream and others be served.
    assert api.exec(key, "echo ok").stdout == "ok\n"


def test_missing_binary(api, box):
    for command, words in ((["/no/such/program"], "does not exist"), (["no-such-program"], "no-such-program"),
                           (["/etc"], ""), (["/etc/passwd"], "permission")):
        answer = api.exec_raw(box, command)
        assert 400 <= answer.status < 500, (command, answer)
        assert words in answer.detail.lower() and command[0] in answer.detail, answer
    assert api.exec(box, "no-such-program").code == 127


def test_bad_exec_requests(api, box):
    for body, word in (({}, "command"), ({"command": ""}, "command"), ({"command": []}, "command"),
                       ({"command": [1]}, "command"), ({"command": {"a": 1}}, "command"),
                       ({"command": "true", "timeout": -1}, "timeout"),
                       ({"command": "true", "timeout": 1e300}, "timeout"),
                       ({"command": "true", "timeout": "soon"}, "timeout"),
                       ({"command": "true", "env": {"A=": "x"}}, "env"),
                       ({"command": "true", "env": ["A=x"]}, "env"),
                       ({"command": "true", "user": 0}, "user"),
                       ({"command": "true", "working_dir": 1}, "working_dir"),
                       ({"command": ["true", "a\0b"]}, ""),
                       ({"command": ["x" * 300000]}, "")):
        answer = api.request("POST", f"/api/v1/sandbox/{box}/exec", body)
        assert 400 <= answer.status < 500 and word in answer.detail, (body, answer)
    assert api.exec_raw("no-such", "true").status == 404


def test_binary_output(api, box):
    with api.stream(box, r"printf '\000\001\377\n\200'; printf '\376' >&2") as stream:
        stream.wait()
        assert stream.out == b"\x00\x01\xff\n\x80" and stream.err == b"\xfe"
    result = api.exec_raw(box, r"printf '\000\377'")
    assert result.status == 200 and result["stdout"] is not None, "an answer in JSON all the same"


def test_large_output_arrives_whole(api, box):
    with api.stream(box, "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done") as stream:
        stream.wait()
        assert stream.out == b"".join(b"line %d\n" % i for i in range(20000))


def test_hundreds_at_once(api, engine, make):
    key = make(pids_limit=4096, memory_gb=1)

    def one(number):
        result = harness.Api(engine.socket, 100).exec(key, f"sleep 0.2; echo {number}")
        return result.stdout == f"{number}\n"

    with concurrent.futures.ThreadPoolExecutor(CONCURRENT) as pool:
        results = list(pool.map(one, range(CONCURRENT)))
    assert results.count(True) == CONCURRENT


def test_slow_stream_delays_nobody(api, engine, make):
    slow, quick = make(), make()
    with api.stream(slow, ["yes"]) as stream:
        stream.started()
        times = []
        for _ in range(20):
            began = time.monotonic()
            assert api.exec(quick, ["true"]).code == 0
            times.append(time.monotonic() - began)
        assert sorted(times)[len(times) // 2] < 0.5


def test_client_that_goes_away_leaves_the_sandbox(api, make):
    key = make()
    stream = api.stream(key, "echo begun; sleep 1000")
    stream.until(b"begun")
    stream.close()
    assert api.exec(key, "echo ok").stdout == "ok\n"


def test_hosts_and_resolver_files(api, make):
    key = make(name="named-box")
    hosts = api.exec(key, "cat /etc/hosts").stdout
    assert "127.0.0.1" in hosts and "localhost" in hosts
    name = api.exec(key, "hostname").stdout.strip()
    assert name and name in hosts
    assert api.exec(key, "cat /etc/resolv.conf").code == 0
    assert api.exec(key, "cd /workspace && touch x && ls").stdout == "x\n"


def test_image_configuration(api, engine):
    layer = archives.tar(archives.busybox_entries())
    layout = archives.Layout([layer], {"Env": ["FROM_IMAGE=yes", "A=image"], "WorkingDir": "/var/made",
                                       "User": "app:extra", "Cmd": ["/bin/false"]})
    api.import_image("configured", layout.as_tar()).ok()
    key = api.create("configured", environment_vars={"A": "client"}).ok()["id"]
    try:
        result = api.exec(key, "echo $FROM_IMAGE $A; pwd; id -un; id -gn")
        assert result.stdout.split() == ["yes", "client", "/var/made", "app", "extra"], result
        assert api.exec(key, "id -u", user="root").stdout == "0\n"
    finally:
        api.delete(key).ok()
        api.remove_image("configured").ok()


# ---- the command line ------------------------------------------------------------------------------

@pytest.mark.smoke
def test_once(engine, api):
    before = {s["id"] for s in api.list()}
    result = engine.cli("once", "busybox", "sh", "-c", "echo out; echo err >&2; exit 42")
    assert (result.returncode, result.stdout, result.stderr) == (42, "out\n", "err\n")
    assert {s["id"] for s in api.list()} == before


def test_once_takes_input_and_binary(engine):
    result = engine.cli("once", "busybox", "cat", input=bytes(range(256)), text=False)
    assert result.returncode == 0 and result.stdout == bytes(range(256)), result


def test_once_signal_status(engine):
    assert engine.cli("once", "busybox", "sh", "-c", "kill -9 $$").returncode == 137


def test_run_status_of_missing_binary(engine, shared_sandbox):
    assert engine.cli("run", shared_sandbox, "/no/such").returncode == 127
    assert engine.cli("run", shared_sandbox, "/etc/passwd").returncode == 126


def test_ctrl_c_stops_the_command(engine, api):
    """SIGINT to the client ends the command inside and the sandbox of `once`."""
    before = {s["id"] for s in api.list()}
    client = subprocess.Popen([harness.program("caisson"), "once", "busybox",
                               "sh", "-c", "echo ready; exec sleep 1000"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=engine.cli_environment())
    assert client.stdout.readline() == b"ready\n"
    client.send_signal(signal.SIGINT)
    assert client.wait(10) == 130
    client.stdout.close()
    client.stderr.close()
    harness.wait_until(lambda: {s["id"] for s in api.list()} == before, 5, "the sandbox's removal")


class Terminal:
    """The CLI on a pseudo terminal."""

    def __init__(self, engine, *arguments, rows=33, cols=101):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(harness.program("caisson"),
                      ["caisson", *arguments], engine.cli_environment())
        self.size(rows, cols)
        self.text = b""

    def size(self, rows, cols):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def until(self, what, seconds=15):
        end = time.monotonic() + seconds
        while what not in self.text:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            assert ready, f"no {what!r} in {self.text!r}"
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            assert data, f"ended without {what!r}: {self.text!r}"
            self.text += data

    def type(self, text):
        os.write(self.fd, text)

    def end(self, seconds=15):
        """Exit status of the client."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.text += os.read(self.fd, 65536)
                except OSError:
                    pass
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)
        raise AssertionError(f"the client did not end: {self.text[-500:]!r}")


def test_terminal(engine, shared_sandbox):
    terminal = Terminal(engine, "run", shared_sandbox, "sh")
    terminal.type(b"tty; stty size; test -t 1 && echo is''tty\r")
    terminal.until(b"istty")
    assert b"/dev/pts/" in terminal.text
    terminal.until(b"33 101")
    terminal.size(20, 55)
    os.kill(terminal.pid, signal.SIGWINCH)
    time.sleep(0.5)
    terminal.type(b"stty size\r")
    terminal.until(b"20 55")
    terminal.type(b"sleep 1000\r")
    time.sleep(0.5)
    terminal.type(b"\x03")
    terminal.type(b"echo after $?\r")
    terminal.until(b"after 130")
    terminal.type(b"exit 5\r")
    assert terminal.end() == 5


def test_terminal_is_restored_and_is_ours(engine, shared_sandbox):
    """Job control works inside: a controlling terminal of the sandbox's own devpts."""
    terminal = Terminal(engine, "run", shared_sandbox, "sh", "-c", "ls -l /proc/self/fd/0; cat; echo end")
    terminal.until(b"/dev/pts/")
    terminal.type(b"text\r")
    terminal.until(b"text\r\ntext")
    terminal.type(b"\x04")
    terminal.until(b"end")
    assert terminal.end() == 0


def test_frames_out_of_place_end_the_stream_only(api, engine, box):
    for junk in (b"\xff\xff\xff\xff\xff", b"\x00\x00\x00\x00\x80", b"\x63\x01\x00\x00\x00x",
                 b"\x10\x00\x00\x00\x00", b"\x10\x01\x00\x00\x00\xff", b"\x11\x01\x00\x00\x00x"):
        with api.stream(box, ["sleep", "1000"]) as stream:
            stream.started()
            stream.socket.sendall(junk)
            try:
                stream.wait()
            except (EOFError, ConnectionError):
                pass
    assert api.exec(box, "echo ok").stdout == "ok\n"


def test_window_without_terminal_is_harmless(api, box):
    with api.stream(box, "sleep 0.3; echo end") as stream:
        stream.started()
        stream.send(WINDOW, struct.pack("<HH", 10, 20))
        stream.wait()
        assert b"end" in stream.out
