# SPDX-License-Identifier: Apache-2.0
"""All that a command writes, in a file inside as well."""

import contextlib
import hashlib
import os
import signal
import threading
import time

import pytest

import harness

MIB = 1 << 20
LONG = "i=0; while [ $i -lt 40 ]; do head -c 1048576 /dev/urandom | tee -a /tmp/mine; i=$((i+1)); done"


def shell(api, key, line):
    done = api.exec(key, line)
    assert done.code == 0, done
    return done.stdout


def told(answer):
    return answer["output_file_bytes"], answer["output_file_error"]


def streamed(api, key, command, **fields):
    """The last frame, and what came before."""
    with harness.Api(api.path).stream(key, command, **fields) as stream:
        return stream.wait(), stream.out + stream.err


@pytest.fixture
def box(make):
    return make(memory_gb=0.5)


def test_it_has_both_streams_whole(api, box):
    answer = api.exec_raw(box, "echo one; echo two >&2; echo three; exit 5", output_file="/tmp/new/dir/out").ok()
    assert (answer["stdout"], answer["stderr"], answer["exit_code"], answer["reason"]) == ("one\nthree\n", "two\n", 5, "exited")
    assert told(answer) == (14, None), answer
    assert sorted(shell(api, box, "cat /tmp/new/dir/out").splitlines()) == ["one", "three", "two"]
    assert not {"output_file_bytes", "output_file_error"} & api.exec_raw(box, "echo no file").ok().keys()
    kept = api.request("GET", f"/api/v1/sandbox/{box}/exec/{answer['exec_id']}").ok()["result"]
    assert told(kept) == (14, None), kept
    assert told(api.exec_raw(box, "true", output_file="/tmp/empty").ok()) == (0, None)
    assert shell(api, box, "wc -c < /tmp/empty") == "0\n"


def test_what_the_answer_has_no_room_for_is_there(api, box):
    answer = api.exec_raw(box, LONG, output_file="/root/out", timeout=100).ok()
    assert told(answer) == (40 * MIB, None) and answer["stdout_truncated"], answer["output_file_error"]
    assert shell(api, box, "cmp /tmp/mine /root/out && wc -c < /root/out") == f"{40 * MIB}\n"


def writer_of(engine, box):
    """The agent's child that writes the file, once the command's own ones are other programs."""
    def alone():
        there = {pid: harness.comm(pid) for pid in engine.sandbox_pids(box) if pid != engine.agent_of(box)}
        return "sleep" in there.values() and [pid for pid, name in there.items() if name == "caisson-agent"]
    (writer,) = harness.wait_until(alone, 10, "who writes")
    return writer


@pytest.mark.timeout(120)
def test_a_writer_that_stands_still_holds_nobody(engine, api, box):
    """The end is told, and that the file is not there: code inside can stop what writes it."""
    got = []
    asks = threading.Thread(target=lambda: got.append(
        streamed(api, box, "sleep 2; cat /dev/zero", output_file="/root/still", timeout=5)[0]))
    asks.start()
    writer = writer_of(engine, box)
    os.kill(writer, signal.SIGSTOP)
    asks.join(60)
    with contextlib.suppress(ProcessLookupError):  # it may have been ended already
        os.kill(writer, signal.SIGCONT)
    assert got and got[0]["reason"] == "wall_timeout" and got[0]["output_file_bytes"] is None, got
    assert got[0]["output_file_error"] and shell(api, box, "ls /root/still || true") == "", got


@pytest.mark.parametrize("as_stream", [False, True])
def test_a_slow_disk_is_waited_for(engine, api, box, as_stream):
    """More than anybody keeps is behind while its writer stands still."""
    shell(api, box, "head -c 50000000 /dev/urandom > /tmp/big")
    got, command, fields = [], "sleep 2; cat /tmp/big", {"output_file": "/root/out", "timeout": 60}
    asks = threading.Thread(target=lambda: got.append(
        streamed(api, box, command, **fields)[0] if as_stream
        else harness.Api(api.path).exec_raw(box, command, **fields).ok()))
    asks.start()
    writer = writer_of(engine, box)
    os.kill(writer, signal.SIGSTOP)
    time.sleep(4)
    assert not got
    os.kill(writer, signal.SIGCONT)
    asks.join(60)
    assert told(got[0]) == (50000000, None) and got[0]["exit_code"] == 0
    assert shell(api, box, "cmp /tmp/big /root/out") == ""


@pytest.mark.parametrize("tty", [False, True])
def test_a_stream_has_one(api, box, tty):
    line = "i=0; while [ $i -lt 30000 ]; do echo a line of output number $i; i=$((i+1)); done"
    end, out = streamed(api, box, line, output_file="/tmp/out", tty=tty)
    assert told(end) == (len(out), None) and end["exit_code"] == 0, end
    assert shell(api, box, "sha256sum < /tmp/out").split()[0] == hashlib.sha256(out).hexdigest()


def test_whose_it_is_and_where(api, box):
    answer = api.exec_raw(box, "echo x", user="app", working_dir="/tmp", output_file="mine").ok()
    assert told(answer) == (2, None) and shell(api, box, "stat -c %U /tmp/mine") == "app\n"
    answer = api.exec_raw(box, "echo x; exit 3", user="app", output_file="/etc/passwd").ok()
    assert answer["exit_code"] == 3 and answer["stdout"] == "x\n" and answer["output_file_bytes"] is None
    assert "Permission denied" in answer["output_file_error"], answer
    end, out = streamed(api, box, "echo x", output_file="/tmp")
    assert out == b"x\n" and end["exit_code"] == 0 and "directory" in end["output_file_error"], end


def test_who_has_none(api, box):
    for more in ({"id": "one"}, {"detach": True}):
        answer = api.exec_raw(box, "true", output_file="/tmp/out", **more)
        assert answer.status == 400 and "output_file" in answer.detail, answer
    answer = api.exec_raw(box, ["nosuch"], output_file="/tmp/out")
    assert answer.status == 400, answer
    end, _ = streamed(api, box, ["nosuch"], output_file="/tmp/out")
    assert "nosuch" in end["detail"], end
    assert shell(api, box, "ls -A /tmp; find / -xdev -name '.caisson-*'") == ""


def test_a_full_disk_holds_nobody_up(api, make):
    """The command goes on, its answer is as ever, and what is no whole file is none."""
    key = make(scratch="memory", memory_gb=0.25)
    shell(api, key, "head -c 120000000 /dev/zero > /root/fill || true")
    left = int(shell(api, key, "df -k /root | tail -1").split()[3])
    assert left < 100000, left
    begun = time.monotonic()
    answer = api.exec_raw(key, "head -c 150000000 /dev/zero; echo end >&2", output_file="/root/out", timeout=60).ok()
    assert answer["exit_code"] == 0 and answer["stderr"] == "end\n" and answer["stdout_bytes"] == 150000000, told(answer)
    assert answer["output_file_bytes"] is None and "No space left" in answer["output_file_error"], told(answer)
    assert time.monotonic() - begun < 30
    assert shell(api, key, "test ! -e /root/out; find / -xdev -name '.caisson-*'") == ""


def test_a_command_that_is_ended_has_its_file(api, box):
    answer = api.exec_raw(box, "echo before; sleep 60", timeout=0.5, output_file="/tmp/out").ok()
    assert answer["reason"] == "wall_timeout" and told(answer) == (7, None), answer
    answer = api.exec_raw(box, "yes", output_bytes=100000, output_file="/tmp/out").ok()
    assert answer["reason"] == "output_limit" and answer["output_file_bytes"] == answer["stdout_bytes"] > 100000, answer
    assert shell(api, box, "wc -c < /tmp/out") == f"{answer['stdout_bytes']}\n"


def test_a_sandbox_that_ends_meanwhile(engine, api, make):
    key = make()
    got = []
    asks = threading.Thread(target=lambda: got.append(harness.Api(api.path).exec_raw(key, "echo x; sleep 60",
                                                                                     output_file="/tmp/out")))
    asks.start()
    harness.wait_until(lambda: "sleep" in map(harness.comm, engine.sandbox_pids(key)), 10, "the command")
    api.delete(key).ok()
    asks.join(20)
    (answer,) = got
    assert answer["reason"] == "sandbox_stopped" and answer["output_file_bytes"] is None, answer
    assert answer["output_file_error"], answer


def test_the_command_line_has_one(engine, api, box):
    done = engine.cli("run", "--output-file", "/tmp/cli", box, "echo hello")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", ""), done
    assert shell(api, box, "cat /tmp/cli") == "hello\n"
    done = engine.cli("run", "--output-file", "/proc/none", box, "echo hello; exit 4")
    assert done.returncode == 4 and done.stdout == "hello\n" and "the output is not in its file: " in done.stderr, done
    done = engine.cli("run", "--json", "--output-file", "/tmp/cli", box, "echo again")
    assert '"output_file_bytes": 6' in done.stdout.replace('":6', '": 6'), done
