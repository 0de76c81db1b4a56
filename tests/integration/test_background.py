# SPDX-License-Identifier: Apache-2.0
"""What goes on while nobody asks: logs that are followed, jobs."""

import contextlib
import json
import os
import signal
import subprocess
import time

import harness


@contextlib.contextmanager
def caisson(engine, *arguments):
    """The command line, running."""
    with subprocess.Popen([harness.program("caisson"), *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=engine.cli_environment()) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_log_is_followed_through_pauses_to_the_end(engine, api, make):
    key = make(start_command="echo first; while ! test -e /go; do sleep 0.05; done; printf 'a\\0b\\n'; exec sleep 1000")
    with caisson(engine, "logs", "--follow", key) as log:
        assert log.stdout.readline() == b"first\n"
        api.request("POST", f"/api/v1/sandbox/{key}/pause").ok()
        api.request("POST", f"/api/v1/sandbox/{key}/resume").ok()
        api.exec(key, "touch /go")
        assert log.stdout.readline() == b"a\0b\n"
        api.delete(key).ok()
        rest, errors = log.communicate(timeout=30)
        assert (rest, errors, log.returncode) == (b"", b"", 0)
    assert engine.cli("logs", "-f", key).stdout == "first\na b\n"  # the record is a text


def test_what_was_printed_last_is_not_lost(engine, make):
    key = make(start_command="while ! test -e /go; do sleep 0.05; done; seq 1 30000")
    with caisson(engine, "logs", "--follow", key) as log:
        engine.api.exec_raw(key, "touch /go")
        out, errors = log.communicate(timeout=60)
    assert (errors, log.returncode) == (b"", 0)
    assert out == "".join(f"{n}\n" for n in range(1, 30001)).encode()


def test_a_log_is_followed_through_a_new_gateway(engine, make):
    """Also one that has lost its beginning before: no byte of the rest is missing, none comes twice."""
    key = make(start_command="seq 1 60000; for i in 1 2 3; do while ! test -e /go$i; do sleep 0.05; done; "
               "seq $i 10 20000; done; while ! test -e /end; do sleep 0.05; done")
    harness.wait_until(lambda: engine.api.raw("GET", f"/api/v1/sandbox/{key}/logs").ok()["logs"].endswith("\n60000\n"), 20)
    expected = "".join(f"{n}\n" for n in range(1, 60001))[-(256 << 10):]
    with caisson(engine, "logs", "--follow", key) as log:
        assert log.stdout.read(256 << 10).decode() == expected
        for i in (1, 2, 3):
            os.kill(engine.gateway, signal.SIGKILL)
            harness.wait_until(lambda: engine.cli("run", key, f"touch /go{i}").returncode == 0, 30)
            expected = "".join(f"{n}\n" for n in range(i, 20001, 10))
            assert log.stdout.read(len(expected)).decode() == expected
        engine.cli("run", key, "touch /end")  # its end may come with that of the sandbox
        assert log.communicate(timeout=30) == (b"", b"") and log.returncode == 0


def test_only_what_exists_can_be_followed(engine):
    run = engine.cli("logs", "--follow", "nothing")
    assert run.returncode == 5 and "nothing" in run.stderr


# ---- jobs ----------------------------------------------------------------------------------------

def start(engine, key, *command):
    run = engine.cli("jobs", "start", *command[:-1], key, "--", *command[-1])
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def jobs(engine, key):
    listed = json.loads(engine.cli("jobs", "list", key, "--json").stdout)
    return {job["id"]: job for job in listed}


def test_a_job_runs_on_and_is_waited_for(engine, make):
    key = make()
    job = start(engine, key, "-e", "WORD=it's", "-w", "/var", ("sh", "-c", "echo \"$WORD\" in $PWD; "
                "while ! test -e /go; do sleep 0.05; done; echo last; echo wrong >&2; exit 7"))
    assert jobs(engine, key)[job]["status"] == "running"
    with caisson(engine, "jobs", "output", "--follow", key, job) as output, \
            caisson(engine, "jobs", "wait", key, job) as wait:
        assert output.stdout.readline() == b"it's in /var\n"
        engine.api.request("POST", f"/api/v1/sandbox/{key}/pause").ok()
        time.sleep(1)  # three looks at what does nothing
        assert output.poll() is None and wait.poll() is None
        engine.api.request("POST", f"/api/v1/sandbox/{key}/resume").ok()
        assert engine.cli("run", key, "touch /go").returncode == 0
        rest = output.communicate(timeout=30)
        assert rest == (b"last\n", b"") and output.returncode == 0
        assert wait.wait(timeout=30) == 7
    assert engine.cli("jobs", "output", "--stderr", key, job).stdout == "wrong\n"
    assert jobs(engine, key)[job]["exitCode"] == "7"
    assert engine.cli("jobs", "wait", key, job).returncode == 7


def test_jobs_outlive_the_gateway(engine, make):
    key = make()
    job = start(engine, key, ("sh", "-c", "while ! test -e /go; do sleep 0.05; done; echo done"))
    os.kill(engine.gateway, signal.SIGKILL)
    harness.wait_until(lambda: engine.cli("run", key, "touch /go").returncode == 0, 30)
    assert engine.cli("jobs", "wait", key, job).returncode == 0
    assert engine.cli("jobs", "output", key, job).stdout == "done\n"


def test_a_job_is_stopped_with_all_that_it_started(engine, make):
    key = make()
    job = start(engine, key, ("sh", "-c", "setsid sleep 1234 & trap '' TERM; sleep 1235"))
    assert engine.cli("jobs", "stop", "--signal", "SIGCONT", key, job).returncode == 0
    assert jobs(engine, key)[job]["status"] == "running"
    assert engine.cli("jobs", "stop", "--signal", "KILL", key, job).returncode == 0
    assert engine.cli("jobs", "wait", key, job).returncode == 137
    assert engine.cli("run", key, "! grep -qs sleep /proc/[0-9]*/comm").returncode == 0
    gentle = start(engine, key, ("sleep", "1236"))
    assert engine.cli("jobs", "stop", key, gentle).returncode == 0
    assert engine.cli("jobs", "wait", key, gentle).returncode == 143
    assert set(jobs(engine, key)) == {job, gentle}
    last = start(engine, key, ("sleep", "1237"))
    engine.api.delete(key).ok()
    assert engine.cli("jobs", "wait", key, last).returncode == 125  # nobody will resume it


def test_what_is_no_job_is_said(engine, make):
    key = make()
    assert engine.cli("jobs", "wait", key, "00000000").returncode == 125
    assert engine.cli("jobs", "output", "--follow", key, "00000000").returncode == 5
    for command in (("wait", key, "../../x"), ("stop", key, "0'; x"), ("stop", "-s", "$(x)", key, "00000000")):
        assert engine.cli("jobs", *command).returncode in (3, 125)
    assert jobs(engine, key) == {}
