# SPDX-License-Identifier: Apache-2.0
"""What a command used and why it ended: the kernel's figures, read by the host, and the true reason."""

import concurrent.futures
import json
import os

import pytest

import archives
import harness
from conftest import skip

MIB = 1 << 20


@pytest.fixture(scope="module")
def box(engine):
    program = harness.program("tests/integration/known")
    if not os.path.exists(program):
        skip(f"{program} is not built (make check does)")
    engine.api.import_image("known", archives.known_image(program)).ok()
    key = engine.api.create("known", cpu_cores=2, memory_gb=0.5).ok()["id"]
    yield key
    engine.api.delete(key)


def used(answer):
    return answer["user_us"] + answer["system_us"]


def close_to(measured, expected, least):
    return abs(measured - expected) <= max(0.02 * expected, least)


@pytest.mark.parametrize("what", ["spin 400", "tree 100"])
def test_cpu_time_is_that_of_getrusage(api, box, what):
    """Of a tree of a hundred processes, too."""
    answer = api.exec_raw(box, f"exec /known {what}").ok()
    own = int(answer["stdout"].split()[0])
    assert close_to(used(answer), own, 10000), (answer, own)
    assert used(answer) >= 0.98 * own


def test_memory_peak_is_that_of_getrusage(api, box):
    """Also of a second command, after a larger one in the same place. Who reads the image's files is not compared."""
    api.exec_raw(box, "exec /known touch 1").ok()
    for mib in (100, 60, 8):
        answer = api.exec_raw(box, f"exec /known touch {mib}").ok()
        own = int(answer["stdout"].split()[1])
        peak = answer["memory_peak_bytes"] - answer["memory_file_bytes"]
        assert close_to(peak, own, MIB), (mib, answer, own)


def test_files_of_a_command_are_told_apart(api, make):
    key = make("known")
    answer = api.exec_raw(key, "dd if=/dev/zero of=/f bs=1M count=20; dd if=/dev/zero of=/tmp/f bs=1M count=5").ok()
    assert 19 * MIB <= answer["memory_file_bytes"] <= 23 * MIB, answer
    assert answer["memory_peak_bytes"] >= answer["memory_file_bytes"] + 5 * MIB, answer
    assert api.exec_raw(key, "cat /f").ok()["memory_file_bytes"] < MIB


def test_processes_at_once_are_counted(api, make):
    key = make("known")
    answer = api.exec_raw(key, "exec /known tree 100").ok()
    assert answer["processes_peak"] == 101


def test_commands_at_once_do_not_mix(api, box):
    def run(mib):
        own = harness.Api(api.path)
        answer = own.exec_raw(box, f"/known touch {mib}; sleep 0.3").ok()
        own.close()
        return mib, answer["memory_peak_bytes"]

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for mib, peak in pool.map(run, (10, 20, 30, 40, 50, 60)):
            assert (mib - 1) * MIB <= peak <= (mib + 4) * MIB, (mib, peak)


REASONS = [
    ("exit 3", {}, "exited", 3),
    ("kill -TERM $$", {}, "signalled", 143),
    ("sleep 60", {"timeout": 0.2}, "wall_timeout", 124),
    ("exec /known spin 60000", {"cpu_time": 0.2, "timeout": 30}, "cpu_timeout", 137),
    ("exec /known touch 200", {"memory_bytes": 50 * MIB, "timeout": 30}, "oom", 137),
    ("/known touch 200; sleep 60", {"memory_bytes": 50 * MIB, "timeout": 30}, "oom", 137),
    ("/known tree 100; sleep 60", {"processes": 20, "timeout": 30}, "pids_limit", 137),
    ("yes", {"output_bytes": 100000, "timeout": 30}, "output_limit", 137),
    ("head -c 2000000 /dev/zero > /tmp/f; exit 9", {"file_bytes": 1000000}, "exited", 9),
]


@pytest.mark.parametrize("command, limits, reason, code", REASONS)
def test_every_reason_is_the_true_one(api, box, command, limits, reason, code):
    answer = api.exec_raw(box, command, **limits).ok()
    assert (answer["reason"], answer["exit_code"]) == (reason, code), answer
    after = api.exec_raw(box, "exec /known touch 8").ok()
    assert after["reason"] == "exited" and 7 * MIB <= after["memory_peak_bytes"] < 20 * MIB, after
    assert api.get(box)["status"] == "RUNNING", "a command's limit ends the command alone"


def test_the_kernel_tells_how_a_command_ended(api, box):
    for command, limits in (("true", {}), ("exit 3", {}), ("kill -SEGV $$", {}), ("sleep 60", {"timeout": 0.2})):
        answer = api.exec_raw(box, command, **limits).ok()
        assert answer["exit_source"] == harness.exit_source(), answer
    with api.stream(box, "exit 5", tty=True) as stream:
        end = stream.wait()
    assert (end["exit_code"], end["exit_source"]) == (5, harness.exit_source()), end


def test_a_full_disk_is_the_reason(api, make):
    key = make(disk_size_gb=0.05)
    full = api.exec_raw(key, "dd if=/dev/zero of=/f bs=1M").ok()
    assert (full["reason"], full["exit_code"]) == ("disk_full", 1), full
    assert api.exec_raw(key, "kill -TERM $$").ok()["reason"] == "signalled"
    assert api.exec_raw(key, "true").ok()["reason"] == "exited"
    assert api.exec_raw(key, "rm /f; exit 1").ok()["reason"] == "exited"


def test_the_end_of_the_sandbox_is_the_reason(api, engine):
    """Who waits for a command hears what is known of it; nobody saw its end."""
    key = api.create().ok()["id"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool, api.stream(key, "echo begun; sleep 100") as stream:
        stream.until(b"begun")
        told = pool.submit(engine.cli, "exec", "--json", key, "--", "sh", "-c", "echo begun; sleep 100")
        shown = pool.submit(engine.cli, "exec", key, "--", "sh", "-c", "echo begun; sleep 100")
        harness.wait_until(lambda: api.exec(key, "pidof sleep | wc -w").stdout.strip() == "3", 10, "the commands")
        api.delete(key).ok()
        end, told, shown = stream.wait(), told.result(20), shown.result(20)
    result = json.loads(told.stdout)
    for one in (end, result):
        assert one["reason"] == "sandbox_stopped" and one["exit_code"] is None and one["signal"] is None, one
        assert "TERMINATED" in one["detail"], one
    assert result["stdout"] == "begun\n" and told.returncode == shown.returncode == 125
    assert "sandbox_stopped" in shown.stderr, shown


def test_a_quiet_machine_is_one_core_and_the_same_addresses(api, box, engine):
    see = "grep Cpus_allowed_list /proc/self/status; cat /proc/self/personality; grep stack /proc/self/maps"
    runs = [api.exec_raw(box, see, quiet_machine=True).ok() for _ in range(2)]
    for run in runs:
        cores, personality, stack = run["stdout"].splitlines()
        assert cores.split()[1].isdigit() and personality == "00040000", run
        assert stack == runs[0]["stdout"].splitlines()[2], "other addresses"
        assert (run["cpu_wait_us"] is None) == (run["source"] == "cgroup v1"), run
    usual = api.exec_raw(box, see).ok()
    assert usual["stdout"].splitlines()[1] == "00000000" and usual["throttled_us"] is None, usual
    done = engine.cli("exec", "--json", "--quiet-machine", box, "--", "cat", "/proc/self/personality")
    assert json.loads(done.stdout)["stdout"] == "00040000\n", done


def test_output_that_is_cut_keeps_its_end(api, box):
    answer = api.exec_raw(box, "yes 0123456 | head -c 14680064; echo the end; seq 3 >&2").ok()
    assert answer["stdout_truncated"] and answer["stdout_bytes"] == (14 << 20) + 8 and len(answer["stdout"]) == 10 << 20
    assert len(answer["stdout_tail"]) == 1 << 20 and answer["stdout_tail"].endswith("\n0123456\nthe end\n")
    assert (answer["stderr"], answer["stderr_tail"], answer["stderr_truncated"]) == ("1\n2\n3\n", None, False)


def test_limits_of_a_process_are_set(api, box):
    answer = api.exec_raw(box, "ulimit -f; ulimit -s; ulimit -n", file_bytes=10 * MIB, stack_bytes=2 * MIB,
                          open_files=100).ok()
    assert answer["stdout"].split() == ["20480", "2048", "100"]


@pytest.mark.parametrize("field", [{"memory_bytes": 1}, {"processes": 0}, {"cpu_time": 0}, {"open_files": "x"},
                                   {"output_bytes": -1}])
def test_limits_that_cannot_be_are_refused(api, box, field):
    assert api.exec_raw(box, "true", **field).status in (400, 422)


def test_children_left_behind_count_for_nobody_else(api, box):
    """The result is as of the end of the command; what its children use then is theirs."""
    answer = api.exec_raw(box, "/known spin 30000 > /dev/null 2>&1 & exit 0").ok()
    assert answer["reason"] == "exited"
    for _ in range(3):
        assert used(api.exec_raw(box, "true").ok()) < 100000
    api.exec_raw(box, "killall known").ok()


def test_a_stream_tells_the_same(api, box):
    with api.stream(box, "printf abc; printf de >&2; exec /known spin 100") as stream:
        end = stream.wait()
    assert end["reason"] == "exited" and end["stderr_bytes"] == 2, end


def test_the_next_gateway_goes_on_measuring(api, engine, box):
    os.kill(engine.gateway, 9)
    harness.wait_until(api.healthy, 20, "the next gateway")
    for mib in (60, 8):
        answer = api.exec_raw(box, f"exec /known touch {mib}").ok()
        assert close_to(answer["memory_peak_bytes"], mib * MIB, 3 * MIB), answer


def test_the_command_line_tells_all_of_it(engine, box):
    done = engine.cli("exec", "--json", "--cpu-time", "10", box, "--", "sh", "-c", "echo hi; exit 7")
    result = json.loads(done.stdout)
    assert done.returncode == 7 and result["stdout"] == "hi\n" and result["reason"] == "exited"
    assert result["source"].startswith("cgroup v") and result["wall_us"] > 0
    done = engine.cli("exec", "--memory", "32M", box, "--", "/known", "touch", "100")
    assert done.returncode == 137
