# SPDX-License-Identifier: Apache-2.0
"""What a command used, as BenchExec's runexec measures the same programs on the host by control groups of its own."""

import os
import re
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "..", "integration")]

import archives  # noqa: E402
import harness  # noqa: E402

MIB = 1 << 20
PROGRAM = harness.program("tests/integration/known")


@pytest.fixture(scope="module")
def engine():
    def prepare(engine):
        engine.api.import_image("known", archives.known_image(PROGRAM)).ok()
        engine.key = engine.api.create("known", cpu_cores=2, memory_gb=0.5).ok()["id"]
        engine.api.exec_raw(engine.key, "exec /known touch 1").ok()  # reads the image's files

    for engine in harness.run_engine(prepare=prepare):
        yield engine
        engine.api.delete(engine.key).ok()


def own_figures(output):
    """Of the program itself, by getrusage: microseconds of CPU time, bytes of memory."""
    return tuple(map(int, output.split("\n")[-2].split()))


def judge(what, file):
    """(microseconds, bytes) by the judge, and those of the program itself."""
    tool = os.path.join(os.path.dirname(sys.executable), "runexec")
    ran = subprocess.run([tool, "--no-container", "--quiet", "--walltimelimit", "60", "--output", str(file), "--",
                          PROGRAM, *what.split()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         timeout=100)
    found = dict(re.findall(r"^(\w+)=([\d.]+)[sB]?$", ran.stdout, re.MULTILINE))
    if "memory" not in found and "cgroup" in ran.stdout.lower():
        pytest.skip("runexec has no control groups here: " + ran.stdout.strip()[-300:])
    assert found.get("returnvalue") == "0", ran.stdout
    return round(float(found["cputime"]) * 1e6), int(found["memory"]), own_figures(file.read_text())


def measure(engine, what):
    answer = engine.api.exec_raw(engine.key, "exec /known " + what).ok()
    assert answer["reason"] == "exited" and answer["exit_code"] == 0, answer
    return (answer["user_us"] + answer["system_us"], answer["memory_peak_bytes"] - answer["memory_file_bytes"],
            own_figures(answer["stdout"]))


@pytest.mark.parametrize("what", ["spin 1000", "tree 100"])
def test_cpu_time_is_the_judges(engine, tmp_path, what):
    """Within 2 %. No two runs use the same, so each is taken by what its program says of itself."""
    theirs, _, their_own = judge(what, tmp_path / "output")
    ours, _, our_own = measure(engine, what)
    assert abs(ours / our_own[0] - theirs / their_own[0]) <= 0.02, (ours, our_own, theirs, their_own)


def test_memory_is_the_judges(engine, tmp_path):
    """Within 1 MiB and 2 %."""
    _, theirs, _ = judge("touch 80", tmp_path / "output")
    _, ours, _ = measure(engine, "touch 80")
    assert abs(ours - theirs) <= max(MIB, 0.02 * theirs), (ours, theirs)
