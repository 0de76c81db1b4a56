# SPDX-License-Identifier: Apache-2.0
"""What was promised, as data. Each goal knows where its figure comes from; the report says whether it is reached.

A figure is a ratio of two contenders of one section, the median of paired samples, or a value that a row has worked out.
"""

import collections
import statistics

from measure import inside_of, percentile

FLOOR = "process of the host (floor)"
ONCE, HTTP, RUN = "caisson once", "caisson over HTTP", "caisson run"
ONCE_COLD, HTTP_COLD = "caisson once, cold", "caisson over HTTP, cold"
IMPORT, DECODING = "caisson image import", "decoding alone"
PLAIN = "cp on the host"

Goal = collections.namedtuple("Goal", "row what source sense bound unit")
Figure = collections.namedtuple("Figure", "value low high")

ROWS = {
    "cold": "Cold create + run + remove, no network, sparse",
    "prepared": "The same with prepared sandboxes",
    "exec": "A command in a live sandbox",
    "rate": "Rate of create + run + remove",
    "flat": "Flat: with many alive, against a hundred",
    "memory": "Memory of an idle sandbox",
    "image": "Image to runnable",
    "transfer": "Files in and out",
    "list": "List and get with 10,000 records",
}


def ratio(section, over, under):
    return lambda book: book.ratio(section, over, under)


def value(key):
    return lambda book: book.values.get(key)


def times(row, section, ours, *peers):
    """At least so many times as fast as each of the peers."""
    return [Goal(row, f"{peer} / {ours}", ratio(section, peer, ours), ">=", bound, "x") for peer, bound in peers]


def list_goals():
    sparse = "create/sparse/1"
    yield from times("cold", sparse, ONCE_COLD, ("runc", 9), ("crun", 6.5), ("systemd-nspawn", 20), ("podman", 50),
                     ("docker", 75))
    yield Goal("cold", f"{ONCE_COLD} / bubblewrap", ratio(sparse, ONCE_COLD, "bubblewrap"), "<=", 0.75, "x")
    yield from times("prepared", sparse, ONCE, ("runc", 20), ("crun", 15), ("podman", 100), ("docker", 150))
    yield Goal("prepared", "in the daemon / floor", ratio(sparse, inside_of(HTTP), FLOOR), "<=", 2.3, "x")
    dense = "exec/back to back/1"
    for how, at in (("sparse", "exec/sparse/1"), ("back to back", dense)):
        yield Goal("exec", f"in the daemon / floor, {how}", ratio(at, inside_of(HTTP), FLOOR), "<=", 1.1, "x")
        yield Goal("exec", f"over HTTP / floor, {how}", ratio(at, HTTP, FLOOR), "<=", 1.25, "x")
    yield Goal("exec", "stretch: in the daemon / floor, back to back", ratio(dense, inside_of(HTTP), FLOOR), "<", 1, "x")
    yield from times("exec", dense, RUN, ("runc", 14), ("docker", 60), ("podman", 140))
    yield Goal("exec", "p99 / median over HTTP", value("exec/tail"), "<=", 2, "x")
    yield Goal("rate", "over HTTP, 8 clients", value("rate"), ">=", 500, "/s")
    for peer, bound in (("runc", 7), ("crun", 2.8), ("docker", 55)):
        yield Goal("rate", f"{HTTP} / {peer}", ratio("rate/8", HTTP, peer), ">=", bound, "x")
    for links in ("with links", "without links"):
        for what in ("create", "exec", "remove"):
            yield Goal("flat", f"{what}, {links}", value(f"flat/{links}/{what}"), "<=", 1.25, "x")
    yield Goal("memory", "with network namespace and link, all of the kernel's", value("memory/with links"), "<=", 600,
               "KiB")
    yield Goal("memory", "agent's PSS", value("memory/agent"), "<=", 24, "KiB")
    yield Goal("image", f"{IMPORT} / {DECODING}", ratio("image", IMPORT, DECODING), "<=", 1.5, "x")
    yield from times("image", "image", IMPORT, ("umoci unpack", 10), ("podman pull", 7), ("podman load", 7))
    yield Goal("image", "what a second sandbox of an image adds", value("second"), "<=", 0.1, "ms")
    for way in ("upload", "download"):
        ours = f"caisson {way}"
        yield Goal("transfer", f"{ours} / {PLAIN}", ratio(way, ours, PLAIN), "<=", 1.2, "x")
        yield from times("transfer", way, ours, ("docker cp", 3), ("podman cp", 2))
    yield Goal("list", "get", value("list/get"), "<", 1, "ms")
    yield Goal("list", "list, 20 of them", value("list/list"), "<", 1, "ms")


GOALS = list(list_goals())
SENSES = {">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b, "<": lambda a, b: a < b}


def figure(samples):
    """The median of samples with p10 and p90; None of none."""
    return (Figure(statistics.median(samples), percentile(samples, 0.1), percentile(samples, 0.9))
            if samples else None)


class Book:
    """All that a run has found."""

    def __init__(self):
        self.sections, self.values, self.notes = {}, {}, []

    def ratio(self, section, over, under):
        found = self.sections.get(section)
        return figure(found.ratios(over, under)) if found is not None else None

    def judge(self):
        """(goal, figure or None, reached or None when it was not measured) of every goal."""
        for goal in GOALS:
            found = goal.source(self)
            yield goal, found, None if found is None else SENSES[goal.sense](found.value, goal.bound)
