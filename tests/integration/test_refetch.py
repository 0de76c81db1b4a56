# SPDX-License-Identifier: Apache-2.0
"""Commands that go on without their client, and ends that can be fetched again."""

import base64
import concurrent.futures
import contextlib
import json
import os
import signal
import sqlite3

import harness


def call(api, method, where, body=None):
    """On a connection of its own."""
    return api.raw(method, where, None if body is None else json.dumps(body))


def path(key, rest=""):
    return f"/api/v1/sandbox/{key}/exec{rest}"


def start(api, key, command, **fields):
    """Answered when it has started."""
    return call(api, "POST", path(key), {"command": command, "detach": True, **fields}).ok()


def get(api, key, name, query=""):
    return call(api, "GET", path(key, f"/{name}{query}")).ok()


def used(end):
    return end["user_us"] + end["system_us"]


def result(api, key, name):
    return get(api, key, name, "?wait=30")["result"]


def output(api, key, name, offset=0, stream="stdout", query=""):
    """What is kept from offset on, to the end that is known; gaps are told."""
    text, gaps = b"", []
    while True:
        page = call(api, "GET", path(key, f"/{name}/output?stream={stream}&offset={offset}&encoding=base64{query}")).ok()
        if page["lost_bytes"]:
            gaps.append((offset, page["lost_bytes"]))
        text += base64.b64decode(page["data"])
        offset = page["next_offset"]
        if offset >= page["end_offset"]:
            return text, gaps, offset


def let_go(engine, key, name="go"):
    harness.wait_until(lambda: engine.cli("run", key, f"touch /{name}").returncode == 0, 30)


def test_a_command_goes_on_without_its_client(api, make):
    key = make()
    told = start(api, key, "echo a; while ! test -e /go; do sleep 0.05; done; echo b; echo c >&2; exit 3", id="one.1")
    assert (told["exec_id"], told["status"], told["result"]) == ("one.1", "RUNNING", None)
    page = call(api, "GET", path(key, "/one.1/output?offset=0&wait=10")).ok()
    assert (page["data"], page["next_offset"], page["ended"]) == ("a\n", 2, False)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waits = pool.submit(call, api, "GET", path(key, "/one.1/output?offset=2&wait=30"))
        assert get(api, key, "one.1")["status"] == "RUNNING"
        api.exec(key, "touch /go")
        assert waits.result().ok()["data"] == "b\n"
    end = result(api, key, "one.1")
    assert (end["exit_code"], end["reason"], end["stdout"], end["stderr"]) == (3, "exited", "a\nb\n", "c\n")
    assert (end["stdout_bytes"], end["stdout_truncated"]) == (4, False) and end["user_us"] is not None
    assert output(api, key, "one.1", 1) == (b"\nb\n", [], 4)
    assert output(api, key, "one.1", stream="stderr") == (b"c\n", [], 2)
    assert [(e["exec_id"], e["reason"]) for e in call(api, "GET", path(key)).ok()["execs"]][-1] == ("one.1", "exited")


def test_the_same_id_runs_once(api, make):
    key = make()
    body = {"command": "echo run >>/runs; sleep 0.5; cat /runs", "id": "x"}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = [a.result().ok() for a in [pool.submit(call, api, "POST", path(key), body) for _ in range(4)]]
    answers.append(call(api, "POST", path(key), body).ok())
    assert all(a == answers[0] for a in answers) and answers[0]["stdout"] == "run\n", answers
    other = call(api, "POST", path(key), dict(body, command="true"))
    assert other.status == 409 and "'x'" in other.detail
    for wrong in ({"id": "a/b"}, {"id": "a" * 65}, {"id": "t", "tty": True}, {"detach": True, "output_bytes": 10}):
        assert call(api, "POST", path(key), {"command": "true", **wrong}).status == 400
    missing = call(api, "POST", path(key), {"command": ["/no/such"], "id": "again"})
    assert missing.status == 400  # nothing ran: the id is free
    assert call(api, "POST", path(key), {"command": "echo $X", "env": {"X": "1"}, "id": "again"}).ok()["stdout"] == "1\n"


def test_every_end_is_kept_for_a_while(api, make):
    key = make()
    ended = call(api, "POST", path(key), {"command": "seq 1 20000; kill -9 $$"}).ok()
    kept = get(api, key, ended["exec_id"])
    assert kept["status"] == "ENDED" and kept["result"]["reason"] == "signalled"
    assert {k: v for k, v in ended.items() if not k.startswith("std")}.items() <= kept["result"].items()
    for number in range(140):
        call(api, "POST", path(key), {"command": ["true"]}).ok()
    listed = call(api, "GET", path(key)).ok()["execs"]
    assert len(listed) == 128
    assert call(api, "GET", path(key, "/" + ended["exec_id"])).status == 404
    api.delete(key).ok()
    assert get(api, key, listed[0]["exec_id"])["result"]["exit_code"] == 0  # its sandbox is gone


def test_of_much_output_the_beginning_and_the_newest_are_kept(api, make):
    key = make()
    wanted = b"".join(b"%d\n" % n for n in range(1, 200001))
    start(api, key, "seq 1 200000", id="much")
    end = result(api, key, "much")
    assert end["exit_code"] == 0 and end["stdout_bytes"] == len(wanted) and end["stdout_truncated"]
    assert wanted.startswith(end["stdout"].encode()) and wanted.endswith(end["stdout_tail"].encode())
    text, gaps, last = output(api, key, "much")
    (at, lost), = gaps
    assert text == wanted[:at] + wanted[at + lost:] and at >= 16384 and last == len(wanted)
    assert len(text) > 256 << 10
    api.delete(key).ok()
    text, gaps, last = output(api, key, "much")
    (at, lost), = gaps
    assert text == wanted[:at] + wanted[at + lost:] and len(text) == 32 << 10


def test_output_just_over_what_is_kept_of_its_beginning_is_whole(api, make):
    key = make()
    for size in (20000, 30000, 36000):
        wanted = b"".join(b"%d\n" % n for n in range(1, size))[:size]
        end = call(api, "POST", path(key), {"command": f"seq 1 {size} | head -c {size}", "id": f"n{size}"}).ok()
        truncated = size > 32 << 10
        assert (end["stdout_bytes"], end["stdout_truncated"]) == (size, truncated)
        tail = (end["stdout_tail"] or "").encode()
        assert len(end["stdout"]) + len(tail) == min(size, 32 << 10)
        assert wanted.startswith(end["stdout"].encode()) and wanted.endswith(tail)


def test_input_is_there_before_it_starts(api, make):
    key = make()
    text = "x" * 500000
    end = call(api, "POST", path(key), {"command": "wc -c", "stdin": text, "id": "in"}).ok()
    assert end["stdout"].strip() == "500000"


def test_it_outlives_gateway_and_caissond(engine, make):
    key, gone = make(), make()
    api = engine.api
    call(api, "POST", path(gone), {"command": "true", "id": "dead"}).ok()
    api.delete(gone).ok()
    start(api, key, "echo 1; while ! test -e /go1; do sleep 0.05; done; echo 2; "
          "while ! test -e /go2; do sleep 0.05; done; echo 3; exit 4", id="long")
    start(api, key, "sleep 0.5; echo while you were away; exit 5", id="meanwhile")
    os.kill(engine.gateway, signal.SIGKILL)
    let_go(engine, key, "go1")
    assert output(api, key, "long", 0, query="&wait=5")[0] in (b"1\n", b"1\n2\n")
    engine.kill()
    with contextlib.closing(sqlite3.connect(os.path.join(engine.state, "gateway", "state.db"))) as db, db:
        db.execute("UPDATE execs SET ended_ms=0, result=NULL, reason=NULL WHERE id='dead'")  # as if nobody had seen it
    engine.start()
    lost, = call(api, "GET", path(gone)).ok()["execs"]
    assert (lost["exec_id"], lost["status"], lost["reason"]) == ("dead", "ENDED", "engine_error")
    lost = get(api, gone, "dead")["result"]
    assert (lost["exec_id"], lost["exit_code"]) == ("dead", None)
    assert call(api, "POST", path(key), {"command": "sleep 0.5; echo while you were away; exit 5", "id": "meanwhile",
                                       "detach": True}).ok()
    assert result(api, key, "meanwhile")["exit_code"] == 5
    assert get(api, key, "long")["status"] == "RUNNING"
    let_go(engine, key, "go2")
    end = result(api, key, "long")
    assert (end["exit_code"], end["reason"], end["stdout"]) == (4, "exited", "1\n2\n3\n")
    api.delete(key).ok()
    assert result(api, key, "long") == end


def test_the_next_gateway_goes_on_measuring_it(engine, make):
    """What it used before, while nobody looked and after; its limit of CPU time; who tells of its end."""
    key, api = make(), engine.api

    def spin(seconds):
        """Until the shell itself has used so much."""
        return ("while read -r stat </proc/self/stat; set -- $stat; "
                f"[ $((${{14}} + ${{15}})) -lt {seconds * os.sysconf('SC_CLK_TCK'):.0f} ]; do :; done; ")
    api.exec(key, spin(0.6))  # another command was there before
    start(api, key, spin(0.1) + "touch /spun; while ! test -e /go; do sleep 0.05; done; " + spin(0.2) + "exit 3", id="long")
    start(api, key, "while ! test -e /go; do sleep 0.05; done; while :; do :; done", id="limited", cpu_time=1)
    start(api, key, "while ! test -e /spun; do sleep 0.05; done; kill -9 $$", id="meanwhile")
    result(api, key, "meanwhile")
    os.kill(engine.gateway, signal.SIGKILL)
    let_go(engine, key)
    end = result(api, key, "long")
    assert end["exit_code"] == 3 and end["source"].startswith("cgroup v"), end
    assert 190000 < used(end) < 600000, end
    assert end["exit_source"] == harness.exit_source(), end
    limited = result(api, key, "limited")
    assert limited["reason"] == "cpu_timeout" and 1000000 <= used(limited) < 2000000, limited


def test_a_sandbox_that_ends_ends_it_with_a_reason(api, make):
    key = make()
    start(api, key, "echo begun; echo bad >&2; exec sleep 1000", id="stopped")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waits = pool.submit(call, api, "GET", path(key, "/stopped?wait=60"))
        call(api, "GET", path(key, "/stopped/output?stream=stderr&wait=10")).ok()
        api.delete(key).ok()
        end = waits.result().ok()["result"]
    assert (end["exit_code"], end["reason"]) == (None, "sandbox_stopped")
    assert (end["stdout"], end["stderr"]) == ("begun\n", "bad\n")
    assert get(api, key, "stopped")["result"] == end


def test_it_takes_signals_and_limits(api, make):
    key = make()
    start(api, key, "trap 'exit 9' USR1; while :; do sleep 0.05; done", id="s")
    assert call(api, "POST", path(key, "/s/signal"), {"signal": 10}).ok()["exec_id"] == "s"
    assert result(api, key, "s")["exit_code"] == 9
    assert call(api, "POST", path(key, "/s/signal"), {}).status == 200  # it means nothing any more
    assert call(api, "POST", path(key, "/none/signal"), {}).status == 404
    assert call(api, "POST", path(key), {"command": ["sleep", "100"], "id": "t", "timeout": 0.3}).ok()["reason"] == "wall_timeout"
    assert call(api, "POST", path(key), {"command": "while :; do :; done", "id": "c", "cpu_time": 0.2}).ok()["reason"] == "cpu_timeout"


def test_the_command_line_attaches_and_fetches(engine, make):
    key = make()
    run = engine.cli("run", "--detach", "--id", "c", key, "echo out; echo err >&2; while ! test -e /go; do sleep 0.05; done; "
                     "echo last; exit 6")
    assert (run.stdout, run.returncode) == ("c\n", 0)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        attached = pool.submit(engine.cli, "attach", key, "c", "--offset", "1")
        os.kill(engine.gateway, signal.SIGKILL)
        let_go(engine, key)
        assert (attached.result().stdout, attached.result().returncode) == ("ut\nlast\n", 6)
    assert engine.cli("attach", "--stderr", key, "c").stdout == "err\n"
    record = json.loads(engine.cli("result", "--wait", "--json", key, "c").stdout)
    assert (record["status"], record["result"]["exit_code"]) == ("ENDED", 6)
    assert "exited" in engine.cli("result", key).stdout
    assert engine.cli("attach", key, "../x").returncode == 125
    assert engine.cli("run", "--id", "d", key, "true").returncode == 125


def test_waiting_for_a_job_outlives_the_gateway(engine, make):
    key = make()
    job = engine.cli("jobs", "start", key, "--", "sh", "-c", "echo 123; while ! test -e /go; do sleep 0.05; done; exit 8").stdout.strip()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        wait = pool.submit(engine.cli, "jobs", "wait", key, job)
        follow = pool.submit(engine.cli, "jobs", "output", "--follow", "--offset", "2", key, job)
        harness.wait_until(lambda: engine.cli("jobs", "output", key, job).stdout == "123\n", 20)
        os.kill(engine.gateway, signal.SIGKILL)
        let_go(engine, key)
        assert wait.result().returncode == 8, wait.result().stderr
        assert follow.result().stdout == "3\n", follow.result().stderr
    on = engine.cli("run", key, f"stat -Lf -c %T /tmp/job_{job}.stdout.log; stat -f -c %T /").stdout.split()
    assert on[0] == on[1]  # where the disk's limit counts it
