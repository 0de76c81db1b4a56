# SPDX-License-Identifier: Apache-2.0
"""What goes on while nobody asks: logs that are followed."""

import contextlib
import subprocess

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


def test_only_what_exists_can_be_followed(engine):
    run = engine.cli("logs", "--follow", "nothing")
    assert run.returncode == 5 and "nothing" in run.stderr
