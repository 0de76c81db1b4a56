# SPDX-License-Identifier: Apache-2.0
"""Which points there are, in what order they are taken, and what came of it.

A scene is gone through once without a fault, while each program remembers its places. A point that has never been
taken comes before one that was taken in another scene or as another time of its place. Case by case of these the seed
chooses. What fails leaves the engine alive, so that several points of a case are taken one after the other.
"""

import collections
import contextlib
import itertools
import json
import os
import random
from typing import NamedTuple

import faultplan
import scenes

AGENT_TIMES = 40  # of one system call, which has no place
LESSONS = 2  # of each scene, as no two times come by quite the same places
LEARN_EVERY = 5  # of a sample: points, before another scene
AT_ONCE = 8  # points that fail, one after the other
TRIES = 3  # to come to a place once more, in another scene where there is one, and at last with daemons that are new
MODES = [mode for mode in faultplan.MODES if mode != faultplan.LEARN]


class Case(NamedTuple):
    """What happens to which program in which scene; to learn: to all of them but the agent, which is traced."""
    scene: str
    program: str
    mode: str

    def __str__(self):
        return "/".join(self)


class Task(NamedTuple):
    case: Case
    place: str | None
    nth: int
    anew: bool = False  # with daemons that were just started: some places are come by once in their lives

    @property
    def at(self):
        return f"{self.place}:{self.nth}"


class Result(NamedTuple):
    fired: str | None  # the name of the point at which it happened
    places: dict  # program -> place -> how often it was passed, kinds; those not told before
    wrong: list
    where: str  # the functions that led there
    behind: tuple = ()  # where it happened before, when only all together are wrong


ALL = "*"
CASES = [Case(name, program, mode) for name, (_, programs) in scenes.SCENES.items() for program in programs
         for mode in MODES]


class Points:
    """Tasks that wait, by case; a place is in none of them twice."""

    def __init__(self, chance):
        self.chance, self.cases = chance, {}

    def add(self, task):
        self.cases.setdefault(task.case, []).append(task)

    def take(self, case):
        waiting = self.cases[case]
        task = waiting.pop(self.chance.randrange(len(waiting)))
        if not waiting:
            del self.cases[case]
        return task

    def several(self):
        """Of one case."""
        case = self.chance.choice(sorted(self.cases))
        most = AT_ONCE if case.mode != "kill" and case.program != faultplan.AGENT else 1
        return [self.take(case) for _ in range(min(most, len(self.cases[case])))]

    def without(self, done):
        """done: how often each was taken; one that is to be tried again is there more than once."""
        waiting, self.cases = self.cases, {}
        for task in itertools.chain.from_iterable(waiting.values()):
            if done[task] > 0:
                done[task] -= 1
            else:
                self.add(task)

    def __len__(self):
        return sum(map(len, self.cases.values()))


class Journal:
    """A file with what was taken of a build, so that a walk that was cut off goes on where it was."""
    lines, is_other = [], False  # of another build: they count for nothing

    def __init__(self, path, build):
        with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
            head, *lines = file.read().splitlines(keepends=True) or [""]
            self.is_other = head != self.head(build)
            self.lines = [] if self.is_other else [json.loads(line) for line in lines if line.endswith("\n")]
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(self.head(build) + "".join(json.dumps(line) + "\n" for line in self.lines))
        os.replace(path + ".new", path)
        self.file = open(path, "a", encoding="utf-8", buffering=1)

    @staticmethod
    def head(build):
        return json.dumps({"build": build}) + "\n"

    def results(self):
        """What is in it: task, result."""
        for case, place, nth, anew, *result in self.lines:
            yield Task(Case(*case), place, nth, anew), Result(*result)

    def write(self, task, result):
        self.file.write(json.dumps([*task, *result]) + "\n")


class Route:
    """sample: one point of each program first, then what the seed chooses; else all."""

    def __init__(self, chosen, seed, sample, verbose, journal=None):
        self.chosen, self.verbose, self.journal = set(chosen), verbose, journal
        self.chance = random.Random(seed)
        self.new, self.again, self.alone = Points(self.chance), Points(self.chance), []
        self.known = collections.defaultdict(set)  # case -> places
        self.owners = {}  # (program, mode, place) -> the cases that come by it, the one that takes it first
        self.tries = collections.Counter()  # of the same
        self.taken, self.missed, self.elsewhere = (collections.Counter() for _ in range(3))
        self.given, self.failures, self.left = 0, [], []
        asked = {(case.scene, case.program if case.program == faultplan.AGENT else ALL) for case in chosen}
        lessons = sorted(asked, key=lambda one: (list(scenes.SCENES).index(one[0]), one[1]))
        self.unmet = {case.program for case in chosen} if sample else set()  # none of its points was taken yet
        self.flying, self.modes = collections.Counter(), collections.Counter()
        now = self.cover(lessons) if sample else lessons * LESSONS
        self.lessons = [self.lesson(*one) for one in now]
        self.later = [self.lesson(*one) for one in lessons if one not in now]
        self.chance.shuffle(self.later)
        self.go_on()

    @staticmethod
    def lesson(scene, program):
        return Task(Case(scene, program, faultplan.LEARN), None, 1)

    def cover(self, lessons):
        """Few of them in which all programs take part."""
        unmet, chosen = set(self.unmet), []
        parts = {(scene, what): {program for program in scenes.SCENES[scene][1]
                                 if (program == faultplan.AGENT) == (what == faultplan.AGENT)} for scene, what in lessons}
        while unmet:
            chosen.append(max(lessons, key=lambda one: (len(parts[one] & unmet), self.chance.random())))
            unmet -= parts[chosen[-1]]
        return chosen

    def go_on(self):
        """Behind what the journal tells."""
        done = collections.Counter()
        for task, result in self.journal.results() if self.journal else ():
            if task.place is None or task.case in self.chosen:
                done[task] += 1
                self.hear(task, result)
        self.new.without(done)
        self.again.without(done)
        waiting, self.lessons = self.lessons, []
        for task in waiting:  # each stands there more than once
            if done[task] > 0:
                done[task] -= 1
            else:
                self.lessons.append(task)
        self.later = [task for task in self.later if not done[task]]

    # ---- what is next ----------------------------------------------------------------------------

    def next(self, over):
        """Tasks of one case, or none: nothing waits, or nothing that must be done though the time is over."""
        tasks = self.alone.pop() if self.alone else self.must() or ([] if over else self.other())
        for task in tasks:
            self.given += 1
            self.flying[task.case.program] += 1
            self.modes[task.case.mode] += 1
        return tasks

    def must(self):
        if self.lessons:
            return [self.lessons.pop(0)]
        # a point of a program that none was taken of, in the way that was chosen least
        cases = [case for case in self.new.cases if case.program in self.unmet and not self.flying[case.program]]
        return [self.new.take(min(cases, key=lambda case: (self.modes[case.mode], self.chance.random())))] if cases else []

    def other(self):
        if self.later and (self.given % LEARN_EVERY == 0 or not self.new):
            return [self.later.pop()]
        return self.new.several() if self.new else self.again.several() if self.again else []

    def back(self, tasks, alone=False):
        """They were not taken after all."""
        for task in tasks:
            self.flying[task.case.program] -= 1
            if alone or task.place is None:
                self.alone.append([task])
            else:
                self.new.add(task)

    # ---- what came of it -------------------------------------------------------------------------

    def tell(self, task, result):
        self.flying[task.case.program] -= 1
        if self.journal:
            self.journal.write(task, result)
        if self.verbose:
            print(f"{task.case} {task.at} {result.fired} {'wrong' if result.wrong else 'ok'}", flush=True)
        self.hear(task, result)

    def hear(self, task, result):
        case = task.case
        if result.fired is not None:
            self.taken[case] += 1
            self.unmet.discard(case.program)
        elif task.place is not None and (result.wrong or not self.retry(task)):
            self.missed[case] += 1
        if result.wrong:
            self.failures.append(task)
            at = f" --at {','.join([*result.behind, task.at])}" if task.place else ""
            print(f"WRONG: --only {case}{at}, at '{result.fired}': {result.where}")
            print("".join(f"    {line}\n" for line in result.wrong[:40]), flush=True)
        for program, places in result.places.items():
            for mode in MODES:
                self.learn(Case(case.scene, program, mode), places)

    def learn(self, case, places):
        if case not in self.chosen:
            return
        for place, (times, kinds) in sorted(places.items()):
            if kinds & faultplan.MODES[case.mode][0] != 0 and place not in self.known[case]:
                self.known[case].add(place)
                self.add(case, place, times)

    def add(self, case, place, times):
        owners = self.owners.setdefault((case.program, case.mode, place), [])
        owners.append(case)
        if owners[0] != case and self.is_same(case):
            self.elsewhere[case] += 1
            return
        first, *more = [Task(case, place, nth) for nth in self.times(case, times)]
        (self.new if owners[0] == case else self.again).add(first)
        for task in more:
            self.again.add(task)

    @staticmethod
    def is_same(case):
        """Whether there is no need in a second scene: what fails has no past."""
        return case.program != faultplan.AGENT and case.mode != "kill"

    @staticmethod
    def times(case, times):
        if case.program == faultplan.AGENT:
            return range(1, min(times, AGENT_TIMES) + 1)
        return sorted({1, times}) if case.mode == "kill" else (1,)

    def retry(self, task):
        """Whether the place is tried once more, as it was not come to: where it may be done, in the next scene."""
        case = task.case
        place = case.program, case.mode, task.place
        self.tries[place, task.nth] += 1
        tries = self.tries[place, task.nth]
        if tries >= TRIES or place not in self.owners:
            return False
        owners = self.owners[place] if self.is_same(case) else [case]
        self.again.add(Task(owners[tries % len(owners)], task.place, task.nth, anew=tries == TRIES - 1))
        return True

    # ---- its end ---------------------------------------------------------------------------------

    def row(self, cases):
        """Places, points taken, and points that were not, by why."""
        cases = list(cases)
        waiting = sum(len(points.cases.get(case, ())) for points in (self.new, self.again) for case in cases)
        return [sum(len(self.known[case]) for case in cases),
                *(sum(counter[case] for case in cases) for counter in (self.taken, self.elsewhere, self.missed)), waiting]

    def so_far(self):
        return (f"{sum(self.taken.values())} points taken, {len(self.new) + len(self.again)} wait, {len(self.failures)} "
                f"wrong")

    def end(self):
        """Prints what was done; the status to end with."""
        known = sorted(case for case in self.known if self.known[case])
        words = "{} places: taken {}, in another scene {}, not come to again {}, not reached {}"
        for program, mode in sorted({(case.program, case.mode) for case in known}):
            row = self.row(case for case in known if (case.program, case.mode) == (program, mode))
            print(f"{program} {mode}: " + words.format(*row))
        for line in self.left:
            print("left behind: " + line)
        for program in sorted(self.unmet - {case.program for case in known}):
            print(f"no scene came by any point of {program}: of this disk's back end it may have none")
        for program in sorted(self.unmet & {case.program for case in known}):
            self.failures.append(program)
            print(f"WRONG: no point of {program} was taken")
        killed = sum(n for case, n in self.taken.items() if case.mode == "kill")
        print(f"{len(known)} cases of {len(CASES)}, {words.format(*self.row(known))}; of those taken killed at {killed}, failed "
              f"at {sum(self.taken.values()) - killed}; {len(self.failures)} wrong, {len(self.left)} left behind")
        return 1 if self.failures or self.left else 0
