# SPDX-License-Identifier: Apache-2.0
"""What a run has found, for readers (Markdown), for programs (JSON) and for those who look (SVG)."""

import json
import os
import re
import statistics
import time

import chart
import host
from goals import FLOOR, HTTP, IMPORT, ONCE, ONCE_COLD, PLAIN, ROWS, RUN
from measure import inside_of, percentile

PROGRAMS = ("runc", "crun", "bwrap", "systemd-nspawn", "podman", "dockerd", "isolate")
VERDICTS = {True: "reached", False: "**not reached**", None: "not measured"}
# What the ratios of a section's table are over; the first that is there.
BASES = (ONCE, RUN, HTTP, IMPORT, PLAIN)
CHARTS = (("Create a sandbox, run a command, remove it: milliseconds", "create/sparse/1", (ONCE, ONCE_COLD, HTTP)),
          ("Run a command in a live sandbox: milliseconds", "exec/sparse/1", (RUN, HTTP)))


def amount(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else chart.amount(value) if value >= 0 else f"{value:.2f}"


# ---- Markdown --------------------------------------------------------------------------------------

def versions():
    return [text for text in map(host.version, PROGRAMS) if text is not None]


def goal_lines(book):
    yield from ("### Goals", "", "| | figure | goal | measured (p10-p90) | |", "|---|---|---|---|---|")
    last = None
    for goal, found, reached in book.judge():
        text = "" if found is None else f"{amount(found.value)} {goal.unit}"
        if found is not None and found.low != found.high:
            text += f" ({amount(found.low)}-{amount(found.high)})"
        yield (f"| {ROWS[goal.row] if goal.row != last else ''} | {goal.what} | {goal.sense} {goal.bound:g} {goal.unit} "
               f"| {text} | {VERDICTS[reached]} |")
        last = goal.row
    yield ""


def section_lines(section):
    base = next((name for name in BASES if name in section.samples), None)
    yield from (f"### {section.title}", "", f"| | median {section.unit} | p10 | p90 | p99 | times {base or '-'} "
                "(p10-p90) | times floor |", "|---|---|---|---|---|---|---|")
    for name, samples in section.samples.items():
        yield (f"| {name} | " + " | ".join(amount(value) for value in (
            statistics.median(samples), *(percentile(samples, share) for share in (0.1, 0.9, 0.99)))) +
            f" | {times(section.ratios(name, base))} | {times(section.ratios(name, FLOOR), False)} |")
    for name, why in section.failed.items():
        yield f"| {name} | did not run: {why.replace('|', '/')} | | | | | |"
    yield ""


def times(ratios, spread=True):
    if not ratios:
        return ""
    text = amount(statistics.median(ratios))
    return text + (f" ({amount(percentile(ratios, 0.1))}-{amount(percentile(ratios, 0.9))})" if spread else "")


def markdown(book, about, options, took):
    yield from ("# Results of bench/run", "", time.strftime("%Y-%m-%d"), "", *host.lines(about),
                f"- {'; '.join(versions()) or 'no other engine is installed'}",
                f"- up to {options.rounds} rounds, {took:.0f} s in all; contenders take turns, in another order each "
                f"round; sparse means {options.sparse_ms:.0f} ms of pause before each turn; with several clients a turn "
                "is one thing for each of them at the same time, and the time is for each",
                "- the command is /bin/true of a static busybox, and the floor is posix_spawn and wait of it on the host; "
                "times are those of the whole client process or of the whole HTTP exchange on a kept connection, by "
                "a client in Python; *in the daemon* is what the gateway counts from a request's first byte to its "
                "answer's last",
                "- what lives no longer than a boot is kept in memory by all of them, as in /run of most hosts",
                "- bubblewrap has no cgroup, seccomp filter, overlay or own id range")
    yield from (f"- {note}" for note in book.notes)
    yield ""
    yield from goal_lines(book)
    for section in book.sections.values():
        yield from section_lines(section)


# ---- JSON and SVG ----------------------------------------------------------------------------------

def as_json(book, about, options, took):
    rows = {row: {"title": title, "goals": []} for row, title in ROWS.items()}
    for goal, found, reached in book.judge():
        rows[goal.row]["goals"].append({
            "what": goal.what, "goal": f"{goal.sense} {goal.bound:g}", "unit": goal.unit, "reached": reached,
            "value": found and found.value, "p10": found and found.low, "p90": found and found.high})
    return {"date": time.strftime("%Y-%m-%d"), "machine": about, "seconds": round(took), "rounds": options.rounds,
            "rows": rows, "notes": book.notes,
            "sections": {key: section.as_json() for key, section in book.sections.items()}}


def dump(found):
    """As text of which each list of samples is one line."""
    return re.sub(r"\[\s+([-+\de., \n]+?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]",
                  json.dumps(found, indent=1)) + "\n"


def svg(book, about):
    panels = []
    for title, key, ours in CHARTS:
        section = book.sections.get(key)
        rows = [] if section is None else sorted(
            ((name, section.median(name), name in ours) for name in section.samples
             if name != FLOOR and not any(name == inside_of(own) for own in (HTTP, *ours)) and "HTTP, cold" not in name),
            key=lambda row: row[1])
        base = next((value for name, value, _ in rows if name in (ONCE, RUN)), None)
        panels.append((title, "ms", rows, base))
    return chart.draw(panels, f"One request each 60 ms, medians; {about['processors']} x {about['model']}, "
                      f"Linux {about['kernel']}, {time.strftime('%Y-%m-%d')}; by bench/run")


def save(path, program, lines):
    """Prints them; in the file they take the place of this program's part, which its title begins."""
    text = "\n".join(lines).rstrip() + "\n"
    print(text, end="")
    if path == "-":
        return
    title, parts = f"# Results of {program}\n", []
    if os.path.exists(path):
        parts = [part.strip() + "\n" for part in re.split(r"(?m)^(?=# Results of )", host.read(path)) if part.strip()]
    there = [index for index, part in enumerate(parts) if part.startswith(title)]
    at = there[0] if there else len(parts)
    parts[at:at + 1] = [text]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(parts))


def write(into, book, about, options, took):
    """RESULTS.md, results.json and results.svg in that directory; without one, the text is printed."""
    save(os.path.join(into, "RESULTS.md") if into else "-", "bench/run", markdown(book, about, options, took))
    if into:
        with open(os.path.join(into, "results.json"), "w", encoding="utf-8") as file:
            file.write(dump(as_json(book, about, options, took)))
        with open(os.path.join(into, "results.svg"), "w", encoding="utf-8") as file:
            file.write(svg(book, about))
