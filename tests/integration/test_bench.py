# SPDX-License-Identifier: Apache-2.0
"""bench/run from end to end, with next to nothing of everything. What it measures here says nothing."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

import pytest

import harness

BENCH = os.path.join(harness.ROOT, "bench")
SMALL = ["--rounds", "1", "--alive", "1,2,4", "--megabytes", "1", "--records", "30", "--slice", "0.1", "--sparse-ms", "0",
         "--peers", "none"]
# What has to be there without any peer: (row, goal).
FIGURES = {("prepared", "in the daemon / floor"), ("exec", "over HTTP / floor, sparse"), ("exec", "p99 / median over HTTP"),
           ("rate", "over HTTP, 8 clients"), ("flat", "create, with links"), ("flat", "exec, without links"),
           ("memory", "agent's PSS"),
           ("image", "what a second sandbox of an image adds"), ("transfer", "caisson upload / cp on the host"),
           ("transfer", "caisson download / cp on the host"), ("list", "get"), ("list", "list, 20 of them")}


@pytest.fixture
def place():
    """Where the gateway's user may go."""
    top = tempfile.mkdtemp(prefix="bench-it.", dir="/tmp")
    os.chmod(top, 0o755)
    yield top
    shutil.rmtree(top)


@pytest.mark.timeout(300)
def test_all_rows_come_from_one_run(place):
    scratch, into = os.path.join(place, "scratch"), os.path.join(place, "into")
    os.mkdir(scratch, 0o755)
    done = subprocess.run([os.path.join(BENCH, "run"), "--build", harness.BUILD, "--into", into, "--rootfs", "/none", *SMALL],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=280,
                          env={**os.environ, "TMPDIR": scratch})
    assert done.returncode == 0, done.stdout[-3000:]
    found = json.loads(harness.read(os.path.join(into, "results.json")))
    sys.path.append(BENCH)
    import goals
    assert list(found["rows"]) == list(goals.ROWS)
    known = {(row, goal["what"]) for row, content in found["rows"].items() for goal in content["goals"]
             if goal["value"] is not None}
    assert FIGURES <= known, f"{FIGURES - known}: {found['notes']}"
    assert [note for note in found["notes"] if "/none" not in note] == []
    assert all(not section["failed"] for section in found["sections"].values()), found["sections"]
    text = harness.read(os.path.join(into, "RESULTS.md"))
    assert text in done.stdout and text.count("### ") == len(found["sections"]) + 1
    assert harness.read(os.path.join(into, "results.svg")).startswith("<svg ")
    assert os.listdir(scratch) == [], "something was left behind"
