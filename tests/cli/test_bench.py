# SPDX-License-Identifier: Apache-2.0
"""caisson bench, and the parts of bench that measure nothing: turns, goals, reports and the chart."""

import json
import os
import re
import subprocess
import sys
import time
import types
import xml.etree.ElementTree as xml

import pytest

BUILD = os.path.abspath(os.environ.get("CAISSON_BUILD", "."))
BENCH = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "bench")
sys.path.append(BENCH)

import chart  # noqa: E402
import goals  # noqa: E402
import host  # noqa: E402
import images  # noqa: E402
import measure  # noqa: E402
import report  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
ABOUT = {"processors": 2, "model": "a <fast> one", "memory_gib": 1, "kernel": "6.1", "system": "Debian", "cgroups": "v2",
         "load": 0.1}
OPTIONS = types.SimpleNamespace(rounds=3, sparse_ms=60.0)


# ---- the command -----------------------------------------------------------------------------------

def test_command_passes_its_options(tmp_path):
    script = tmp_path / "bench" / "run"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 7\n')
    script.chmod(0o755)
    done = subprocess.run([os.path.join(BUILD, "caisson"), "bench", "--libexec", str(tmp_path), "--rounds", "5", "--into",
                           "a dir", "--peers", "none", "--rows", "list"], stdout=subprocess.PIPE, text=True, timeout=20)
    words = done.stdout.split("\n")[:-1]
    assert dict(zip(words[::2], words[1::2])) == {"--into": "a dir", "--rounds": "5", "--rows": "list", "--peers": "none"}
    assert done.returncode == 7


def test_command_says_what_is_missing(tmp_path):
    done = subprocess.run([os.path.join(BUILD, "caisson"), "bench", "--libexec", str(tmp_path)], stderr=subprocess.PIPE,
                          text=True, timeout=20)
    assert done.returncode != 0 and f"{tmp_path}/bench/run" in done.stderr and "make install" in done.stderr


# ---- turns -----------------------------------------------------------------------------------------

def test_all_take_turns_and_another_is_first_each_time():
    order = []
    contenders = [measure.Contender(name, lambda name=name: order.append(name)) for name in "abc"]
    section = measure.latency("t", contenders, 3, 100, warm=False)
    assert order == list("abc" "bca" "cab")
    assert {name: len(samples) for name, samples in section.samples.items()} == {"a": 3, "b": 3, "c": 3}


def test_who_fails_is_out_with_the_reason():
    calls = []

    def fails():
        calls.append(None)
        if len(calls) == 3:
            raise RuntimeError("no such thing")
    section = measure.latency("t", [measure.Contender("good", lambda: None), measure.Contender("bad", fails)], 5, 100)
    assert list(section.samples) == ["good"] and len(section.samples["good"]) == 5
    assert section.failed == {"bad": "no such thing"} and len(calls) == 3


def test_ends_when_the_time_is_over():
    section = measure.latency("t", [measure.Contender("a", lambda: None)], 1000, 0)
    assert len(section.samples["a"]) == 1


def test_what_a_turn_has_made_goes_also_when_it_fails():
    gone = []

    def fails():
        raise RuntimeError("no")
    measure.latency("t", [measure.Contender("a", fails, after=lambda: gone.append(None))], 1, 100, warm=False)
    assert gone == [None]


def test_the_time_in_the_daemon_is_what_a_turn_adds():
    spent = [0.0]

    def step():
        spent[0] += 0.002
    section = measure.latency("t", [measure.Contender("a", step, inside=lambda: spent[0])], 2, 100)
    assert section.samples[measure.inside_of("a")] == [pytest.approx(2), pytest.approx(2)]


def test_several_clients_are_at_it_at_once():
    import threading
    together = threading.Barrier(3, timeout=20)  # nobody passes alone
    section = measure.latency("t", [measure.Contender("a", together.wait)], 2, 100, clients=3)
    assert len(section.samples["a"]) == 2 and not section.failed


def test_a_program_that_hangs_is_ended_with_all_it_started(tmp_path):
    begin = time.monotonic()
    with pytest.raises(host.Trouble, match="not done after"):
        host.call("sh", "-c", f"sleep 1000 & echo $! >{tmp_path}/pid; wait", seconds=0.5)
    assert time.monotonic() - begin < 500
    if os.path.exists(tmp_path / "pid"):
        pid = int(host.read(tmp_path / "pid"))

        def has_ended():  # killed, it may run to the end of a system call, and not be reaped
            try:
                return host.read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[0] in "ZX"
            except OSError:
                return True

        host.wait_for(has_ended, 20, "its end")


def test_a_program_that_fails_says_why():
    with pytest.raises(host.Trouble, match="status 3: oh"):
        host.call("sh", "-c", "echo oh >&2; exit 3")
    with pytest.raises(host.Trouble, match="nosuch"):
        host.call("nosuch-program")
    assert host.call("echo", "x", output=True) == b"x\n"


# ---- goals and reports -----------------------------------------------------------------------------

def book():
    """cold is twice as fast as it must be beside runc, and too slow beside bubblewrap."""
    made = goals.Book()
    section = measure.Section("create")
    section.samples = {goals.ONCE: [1.0] * 3, goals.ONCE_COLD: [2.0] * 3, "runc": [36.0] * 3, "bubblewrap": [2.0] * 3,
                       goals.FLOOR: [0.5] * 3}
    section.failed = {"crun": "does not | like it"}
    made.sections["create/sparse/1"] = section
    made.values["list/get"] = goals.Figure(0.5, 0.4, 0.6)
    return made


def verdict_of(made, what):
    return next(reached for goal, _, reached in made.judge() if goal.what == what)


def test_goals_are_judged():
    made = book()
    assert verdict_of(made, f"runc / {goals.ONCE_COLD}") is True
    assert verdict_of(made, f"{goals.ONCE_COLD} / bubblewrap") is False
    assert verdict_of(made, f"podman / {goals.ONCE_COLD}") is None
    assert verdict_of(made, "get") is True


def test_json_has_every_row_and_every_goal():
    found = report.as_json(book(), ABOUT, OPTIONS, 1)
    assert list(found["rows"]) == list(goals.ROWS)
    assert sum(len(row["goals"]) for row in found["rows"].values()) == len(goals.GOALS)
    assert all(row["goals"] for row in found["rows"].values())
    text = report.dump(found)
    assert json.loads(text) == found and '"runc": [36.0, 36.0, 36.0]' in text
    first = found["rows"]["cold"]["goals"][0]
    assert first["value"] == 18 and first["reached"] is True


def test_tables_say_who_did_not_run_and_what_was_reached():
    lines = list(report.markdown(book(), ABOUT, OPTIONS, 1))
    text = "\n".join(lines)
    assert "| crun | did not run: does not / like it |" in text
    assert re.search(r"runc / caisson once, cold \| >= 9 x \| 18.0 x \| reached", text)
    assert "**not reached**" in text and "not measured" in text
    columns = [line.count("|") for line in lines if line.startswith("| ") or line.startswith("|-")]
    assert set(columns) <= {6, 8}, "a row has other cells than its head"


def test_a_part_of_the_results_is_replaced_and_others_stay(tmp_path, capsys):
    path = tmp_path / "RESULTS.md"
    path.write_text("# Results of bench/run\n\nold\n\n# Results of bench/other\n\nkept\n")
    report.save(str(path), "bench/run", ["# Results of bench/run", "", "new"])
    assert path.read_text() == "# Results of bench/run\n\nnew\n\n# Results of bench/other\n\nkept\n"
    assert capsys.readouterr().out == "# Results of bench/run\n\nnew\n"
    report.save(str(path), "bench/other", ["# Results of bench/other"])
    report.save(str(path), "bench/third", ["# Results of bench/third"])
    assert re.findall("# Results of bench/(.*)\n", path.read_text()) == ["run", "other", "third"], "each keeps its place"


def test_podman_gets_a_store_of_its_own_for_images(tmp_path):
    layout = tmp_path / "layout"
    layout.mkdir()
    names = [contender.name for contender in images.podman(str(tmp_path), types.SimpleNamespace(layout=str(layout)))]
    assert names == ["podman pull", "podman load"] and (tmp_path / "images" / "containers.conf").exists()


# ---- the chart -------------------------------------------------------------------------------------

def drawn(*panels):
    return xml.fromstring(chart.draw(panels, "a note"))


def test_bars_are_as_long_as_what_they_stand_for():
    root = drawn(("title", "ms", [("ours", 1.0, True), ("other", 4.0, False)], 1.0))
    bars = root.findall(f"{SVG}rect")
    assert [bar.get("class") for bar in bars] == ["ours", "bar"]
    short, long = (float(bar.get("width")) for bar in bars)
    assert long == pytest.approx(4 * short, rel=0.01)
    texts = ["".join(text.itertext()) for text in root.findall(f"{SVG}text")]
    assert "4.00 ms \u00a04.00\u00d7" in texts and texts[-1] == "a note"


def test_nothing_is_outside_of_the_picture():
    root = drawn(("one", "ms", [(f"row {at}", 10.0 ** at, False) for at in range(6)], None), ("none", "ms", [], None),
                 ("two", "ms", [("x", 3.0, True)], 3.0))
    width, height = (float(root.get(name)) for name in ("width", "height"))
    for bar in root.findall(f"{SVG}rect"):
        assert float(bar.get("width")) >= 1
        assert float(bar.get("x")) + float(bar.get("width")) <= width - chart.RIGHT
        assert float(bar.get("y")) + float(bar.get("height")) <= height
    titles = [text.text for text in root.findall(f"{SVG}text") if text.get("class") == "title"]
    assert titles == ["one", "two"]


def test_names_are_only_text():
    root = drawn(("<b>&\"", "ms", [("</text><script/>", 1.0, True)], None))
    assert root.find(f".//{SVG}script") is None
    assert "</text><script/>" in ["".join(text.itertext()) for text in root.findall(f"{SVG}text")]


def test_readable_on_light_and_dark_ground():
    style = chart.draw([("t", "ms", [("a", 1.0, True)], None)], "n").split("<style>")[1].split("</style>")[0]
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for word in ("text", ".note", ".bar", ".ours"):
        assert re.search(rf"{re.escape(word)}\b[^}}]*fill", light) and re.search(rf"{re.escape(word)}\b[^}}]*fill", dark)


def test_the_chart_of_a_run():
    text = report.svg(book(), ABOUT)
    root = xml.fromstring(text)
    names = ["".join(text.itertext()) for text in root.findall(f"{SVG}text") if text.get("text-anchor") == "end"]
    assert names == [goals.ONCE, goals.ONCE_COLD, "bubblewrap", "runc"], "by time, and without the floor"
