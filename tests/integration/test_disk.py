# SPDX-License-Identifier: Apache-2.0
"""What a sandbox writes has the limit that was asked for, wherever it is kept, and is gone afterwards."""
import os
import re

import pytest

import conftest
import harness

MIB = 1 << 20


@pytest.fixture(scope="module", params=["auto", "memory"])
def engine(request):
    yield from conftest.run_engine("--disk-backend", request.param)


def disk(api, key):
    """Size and free KiB, inodes, free inodes of "/" as a program sees them."""
    seen = []
    for option in ("-k", "-i"):
        fields = api.exec(key, f"df -P {option} /").stdout.splitlines()[-1].split()
        seen += [int(fields[1]), int(fields[3])]
    return seen


def fill(api, key, path="/full"):
    """Writes until that fails; how many bytes fitted in."""
    end = api.exec(key, f"dd if=/dev/zero of={path} bs=64k count=40000 2>&1")
    assert end.code != 0 and re.search("No space left|[Qq]uota exceeded", end.stdout), end
    return int(api.exec(key, f"stat -c %s {path}").stdout)


def test_df_shows_what_was_asked_for(api, make):
    key = make(disk_size_gb=0.1, memory_gb=0.25)
    size, free, inodes, free_inodes = disk(api, key)
    assert 0.97 * 0.1 * MIB < size <= 0.1 * MIB and free > 0.94 * size
    assert 6500 < inodes < 7000 and free_inodes > 0.95 * inodes


def test_bytes_end_and_neighbours_go_on(api, make):
    key, other = make(disk_size_gb=0.05), make(disk_size_gb=0.05)
    assert 45 * MIB < fill(api, key) <= 52 * MIB
    assert api.exec(key, "dd if=/dev/zero of=/more bs=64k count=1").code != 0
    assert api.exec(other, "dd if=/dev/zero of=/f bs=1M count=20 2>/dev/null && cat /f | wc -c").stdout == f"{20 * MIB}\n"
    assert api.exec(key, "rm /full && dd if=/dev/zero of=/again bs=1M count=20 2>/dev/null").code == 0


def test_inodes_end(api, make):
    key = make(disk_size_gb=0.02)
    limit = disk(api, key)[2]
    assert 1200 < limit < 1500
    end = api.exec(key, "mkdir /d && cd /d && for i in $(seq 1 3000); do touch $i || break; done; ls | wc -l")
    assert limit * 0.9 < int(end.stdout.splitlines()[-1]) < limit
    assert api.exec(make(disk_size_gb=0.02), ": >/x").code == 0


def test_output_without_end(api, make):
    key = make(disk_size_gb=0.02)
    api.exec(key, "(yes >/log 2>/dev/null); true")
    size, free, *_ = disk(api, key)
    assert free < size / 100
    assert api.exec(key, "echo alive").stdout == "alive\n"


def test_kept_in_memory(api, make):
    key = make(scratch="memory", memory_gb=0.25, disk_size_gb=5)
    size, *_ = disk(api, key)
    assert size == 128 * 1024
    before = api.usage(key)["memory_bytes"]
    api.exec(key, "dd if=/dev/zero of=/f bs=1M count=60")
    assert api.usage(key)["memory_bytes"] - before > 50 * MIB
    assert 60 * MIB < fill(api, key) <= 68 * MIB
    assert any("disk_size_gb" in notice for notice in api.get(key)["notices"])
    assert api.exec(key, "echo alive").stdout == "alive\n"


def test_a_limit_holds_after_caissond_died(engine, api, make):
    key = make(disk_size_gb=0.05)
    api.exec(key, "echo before >/kept; dd if=/dev/zero of=/f bs=1M count=20 2>/dev/null")
    engine.kill()
    engine.start()
    assert api.exec(key, "cat /kept").stdout == "before\n"
    assert fill(api, key) < 35 * MIB
    assert disk(api, key)[0] <= 0.05 * MIB
    answer = api.request("POST", f"/api/v1/sandbox/{key}/commit", {"image": "kept:1"})
    if "memory" in engine.options:
        assert answer.status == 503 and "in memory" in answer.detail, answer
        return
    assert answer.status in (200, 201), answer
    assert api.exec(make("kept:1"), "cat /kept").stdout == "before\n"
    assert harness.disk_of(key) is not None
    api.delete(key).ok()
    harness.wait_until(lambda: harness.disk_of(key) is None, 10, "the device goes")


def test_nothing_is_left_of_many_sizes(engine, api, make):
    for gb in (0.02, 0.03, 0.02):
        key = make(disk_size_gb=gb)
        assert disk(api, key)[0] <= gb * MIB
        api.delete(key).ok()
    api.reaped()
    assert os.listdir(os.path.join(engine.state, "trash")) == []


BOUNDED = [
    ("pool", ["--disk-pool", "64", "--queue-length", "0"], 0.05, 429, "of 64 MiB of disk"),
    ("reserve", ["--disk-reserve", str(1 << 28)], 0.02, 507, "of which it keeps"),
    ("free space", [], 1 << 18, 507, "no room for a disk"),
]


@pytest.mark.parametrize("options,gb,status,text", [row[1:] for row in BOUNDED], ids=[row[0] for row in BOUNDED])
def test_the_host_keeps_what_it_needs(options, gb, status, text):
    for engine in conftest.run_engine(*options):
        answers = [engine.api.create(disk_size_gb=gb) for _ in range(2)]
        assert answers[-1].status == status and text in answers[-1].detail, answers
        for answer in answers[:-1]:
            if answer.status == 200:
                engine.api.delete(answer["id"]).ok()


def test_a_back_end_that_does_not_work_is_refused():
    engine = harness.Engine("--disk-backend", "btrfs")
    try:
        with pytest.raises(AssertionError, match="no btrfs"):
            engine.start()
    finally:
        engine.cut()
        engine.remove()


def test_none_says_so():
    for engine in conftest.run_engine("--disk-backend", "none"):
        made = engine.api.create(disk_size_gb=0.02).ok()
        assert any("not enforced: disk_size_gb" in notice for notice in made["notices"])
        assert engine.api.raw("GET", "/readyz").json["disks"] == "none"
        engine.api.delete(made["id"]).ok()
