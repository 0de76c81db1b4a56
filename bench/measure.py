# SPDX-License-Identifier: Apache-2.0
"""Contenders that take turns: what hits the machine hits all of them alike, and ratios of pairs remain."""

import concurrent.futures
import statistics
import threading
import time


class Contender:
    """One way to do one thing; step() does it once.

    begin: what each of its threads does first. inside: the seconds that the daemons have spent for clients up to
    now; what a turn adds becomes a row of its own. after: takes away what a turn has made, not measured.
    """

    def __init__(self, name, step, begin=None, inside=None, after=None):
        self.name, self.step, self.begin, self.inside, self.after = name, step, begin, inside, after


def inside_of(name):
    return f"{name}, in the daemon"


class Crew:
    """The threads of one contender, its clients; they stay, and so do their connections."""

    def __init__(self, contender, clients):
        self.contender, self.clients, self.own = contender, clients, threading.local()
        self.pool = concurrent.futures.ThreadPoolExecutor(clients)

    def begin(self):
        if self.contender.begin is not None and not hasattr(self.own, "begun"):
            self.contender.begin()
            self.own.begun = True

    def one(self):
        self.begin()
        began = time.perf_counter()
        self.contender.step()
        return began, time.perf_counter()

    def turn(self):
        """All clients once, at the same time; milliseconds for each thing done."""
        done = [self.pool.submit(self.one) for _ in range(self.clients)]
        times = [one.result() for one in done]
        return (max(end for _, end in times) - min(begin for begin, _ in times)) * 1e3 / self.clients

    def rate(self, seconds):
        """How often a second, when each client begins anew as soon as it is done."""
        stop, counts = threading.Event(), []

        def work():
            self.begin()
            count = 0
            while not stop.is_set():
                self.contender.step()
                count += 1
            return count, time.perf_counter()

        began = time.perf_counter()
        done = [self.pool.submit(work) for _ in range(self.clients)]
        concurrent.futures.wait(done, seconds, concurrent.futures.FIRST_EXCEPTION)
        stop.set()
        counts = [one.result() for one in done]
        return sum(count for count, _ in counts) / (max(end for _, end in counts) - began)

    def close(self):
        self.pool.shutdown(cancel_futures=True)


class Section:
    """What one measurement has found: samples by contender, all lists of one length, or why there are none."""

    def __init__(self, title, unit="ms"):
        self.title, self.unit, self.samples, self.failed = title, unit, {}, {}

    def median(self, name):
        return statistics.median(self.samples[name])

    def ratios(self, over, under):
        """Of paired samples; None when one of the two was not measured."""
        if over not in self.samples or under not in self.samples:
            return None
        return [a / b for a, b in zip(self.samples[over], self.samples[under]) if b > 0]

    def as_json(self):
        return {"title": self.title, "unit": self.unit, "failed": self.failed,
                "samples": {name: [round(sample, 4) for sample in list_] for name, list_ in self.samples.items()}}


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def reason(error):
    return " ".join(str(error).split())[-160:] or type(error).__name__


def interleave(section, crews, rounds, seconds, sample):
    """Each crew once per round, in turn, another one first each time; who fails is out, with the reason.

    Ends with the round in which the seconds are over.
    """
    end = time.monotonic() + seconds
    for number in range(rounds):
        for crew in crews[number % len(crews):] + crews[:number % len(crews)]:
            name = crew.contender.name
            if name in section.failed:
                continue
            try:
                for key, value in sample(crew):
                    section.samples.setdefault(key, []).append(value)
            except Exception as error:  # a peer that does not work here is told, not fatal
                section.failed[name] = reason(error)
        if time.monotonic() > end:
            break
    for name in section.failed:
        for key in (name, inside_of(name)):
            section.samples.pop(key, None)
    return section


def with_crews(contenders, clients, work):
    """work(crews) with threads that end with it."""
    crews = [Crew(contender, clients) for contender in contenders]
    try:
        return work(crews)
    finally:
        for crew in crews:
            crew.close()


def latency(title, contenders, rounds, seconds, clients=1, pause=lambda: None, warm=True):
    """Milliseconds for each thing done; pause: called before each turn; warm: a first turn does not count."""
    section = Section(title)

    def turn(crew):
        name, after = crew.contender.name, crew.contender.after
        inside = crew.contender.inside if clients == 1 else None
        before = inside() if inside is not None else 0
        pause()
        try:
            took = crew.turn()
        finally:
            if after is not None:
                after()
        yield name, took
        if inside is not None:
            yield inside_of(name), (inside() - before) * 1e3

    def work(crews):
        for crew in crews if warm else ():
            try:
                list(turn(crew))
            except Exception as error:
                section.failed[crew.contender.name] = reason(error)
        return interleave(section, crews, rounds, seconds, turn)

    return with_crews(contenders, clients, work)


def rates(title, contenders, slices, slice_seconds, seconds, clients):
    """Things done in a second, by clients that never rest."""
    def work(crews):
        return interleave(Section(title, "1/s"), crews, slices, seconds,
                          lambda crew: [(crew.contender.name, crew.rate(slice_seconds))])
    return with_crews(contenders, clients, work)
