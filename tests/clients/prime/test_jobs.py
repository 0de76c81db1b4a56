# SPDX-License-Identifier: Apache-2.0
"""Background jobs, which are nothing but commands and files."""

import prime_sandboxes
import pytest
from harness import wait_until


def test_a_job(sdk, box):
    job = sdk.start_background_job(box, "echo out; echo err >&2; sleep 1; exit 7")
    assert not sdk.get_background_job(box, job).completed
    done = wait_until(lambda: (lambda seen: seen if seen.completed else None)(
        sdk.get_background_job(box, job)), 20, "the end of the job", every=0.3)
    assert (done.exit_code, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_directory_and_environment(sdk, box):
    done = sdk.run_background_job(box, "pwd; echo $A", working_dir="/usr", env={"A": "b c"},
                                  poll_interval=1)
    assert (done.exit_code, done.stdout) == (0, "/usr\nb c\n")


def test_several_side_by_side(sdk, box):
    jobs = [sdk.start_background_job(box, f"sleep 1; echo {n}; exit {n}") for n in range(5)]
    for n, job in enumerate(jobs):
        done = wait_until(lambda: (lambda seen: seen if seen.completed else None)(
            sdk.get_background_job(box, job)), 20, "the end of the job", every=0.3)
        assert (done.exit_code, done.stdout) == (n, f"{n}\n")


@pytest.mark.newest
def test_many_at_once(sdk, box):
    jobs = [sdk.start_background_job(box, f"echo {n}; exit {n}") for n in range(3)]
    done = wait_until(lambda: (lambda seen: all(one.completed for one in seen) and seen)(
        sdk.get_background_jobs(jobs)), 20, "the end of the jobs", every=0.3)
    assert [(one.job_id, one.exit_code, one.stdout) for one in done] == [
        (job.job_id, n, f"{n}\n") for n, job in enumerate(jobs)]


def test_not_in_time(client, box):
    with pytest.raises(prime_sandboxes.CommandTimeoutError):
        client.run_background_job(box, "sleep 100", timeout=2, poll_interval=1)


def test_much_output(client, box):
    """Only the last 10 MiB are read."""
    done = client.run_background_job(box, "head -c 11000000 /dev/zero | tr '\\0' a; echo end",
                                     poll_interval=1)
    assert done.completed and done.stdout.endswith("end\n") and done.stdout_truncated
    assert len(done.stdout) == 10 << 20
