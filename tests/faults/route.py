# SPDX-License-Identifier: Apache-2.0
"""Which points there are, in what order they are taken, and what came of it.

A scene is gone through once without a fault, while each program remembers its places. A point that has never been
taken comes before one that was taken in another scene or as another time of its place. Case by case of these the seed
chooses.
"""

import collections
import random
from typing import NamedTuple

import faultplan
import scenes

AGENT_TIMES = 40  # of one system call, which has no place
LEARN_EVERY = 5  # of a sample: points, before another scene
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


class Result(NamedTuple):
    fired: str | None  # the name of the point at which it happened
    places: dict  # program -> place -> how often it was passed, kinds
    wrong: list
    where: str  # the functions that led there


ALL = "*"
CASES = [Case(name, program, mode) for name, (_, programs) in scenes.SCENES.items() for program in programs
         for mode in MODES]


class Points:
    """Tasks that wait, by case; a place is in none of them twice."""

    def __init__(self, chance):
        self.chance, self.cases = chance, {}

    def add(self, task):
        self.cases.setdefault(task.case, []).append(task)

    def take(self, case=None):
        case = case or self.chance.choice(sorted(self.cases))
        waiting = self.cases[case]
        task = waiting.pop(self.chance.randrange(len(waiting)))
        if not waiting:
            del self.cases[case]
        return task

    def __len__(self):
        return sum(map(len, self.cases.values()))


class Route:
    """sample: one point of each program first, then what the seed chooses; else all."""

    def __init__(self, chosen, seed, sample, verbose):
        self.chosen, self.verbose = set(chosen), verbose
        self.chance = random.Random(seed)
        self.new, self.again = Points(self.chance), Points(self.chance)
        self.known = collections.defaultdict(dict)  # case -> place -> how often
        self.owners = {}  # (program, mode, place) -> the case that takes it first
        self.taken, self.missed, self.elsewhere = (collections.Counter() for _ in range(3))
        self.given, self.failures, self.left = 0, [], []
        lessons = sorted({(case.scene, case.program if case.program == faultplan.AGENT else ALL) for case in chosen})
        self.unmet = {case.program for case in chosen} if sample else set()  # none of its points was taken yet
        self.flying, self.modes = set(), collections.Counter()
        now = self.cover(lessons) if sample else lessons
        self.lessons = [self.lesson(*one) for one in now]
        self.later = [self.lesson(*one) for one in lessons if one not in now]
        self.chance.shuffle(self.later)

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

    # ---- what is next ----------------------------------------------------------------------------

    def next(self, over):
        """A task, or None: nothing waits, or nothing that must be done though the time is over."""
        task = self.lessons.pop(0) if self.lessons else self.first() or (None if over else self.other())
        if task is not None:
            self.given += 1
            self.flying.add(task.case.program)
            self.modes[task.case.mode] += 1
        return task

    def first(self):
        """A point of a program that none was taken of, in the way that was chosen least."""
        cases = [case for case in self.new.cases if case.program in self.unmet - self.flying]
        return self.new.take(min(cases, key=lambda case: (self.modes[case.mode], self.chance.random()))) if cases else None

    def other(self):
        if self.later and (self.given % LEARN_EVERY == 0 or not self.new):
            return self.later.pop()
        return self.new.take() if self.new else self.again.take() if self.again else None

    # ---- what came of it -------------------------------------------------------------------------

    def tell(self, task, result):
        case = task.case
        self.flying.discard(case.program)
        if result.fired is not None:
            self.taken[case] += 1
            self.unmet.discard(case.program)
        elif task.place is not None:
            self.missed[case] += 1
        if self.verbose:
            print(f"{case} {task.place}:{task.nth} {result.fired} {'wrong' if result.wrong else 'ok'}", flush=True)
        if result.wrong:
            self.failures.append(task)
            at = f" --at {task.place}:{task.nth}" if task.place else ""
            print(f"WRONG: --only {case}{at}, at '{result.fired}': {result.where}")
            print("".join(f"    {line}\n" for line in result.wrong[:40]), flush=True)
        for program, places in result.places.items():
            for mode in MODES:
                self.learn(Case(case.scene, program, mode), places)

    def learn(self, case, places):
        if case not in self.chosen:
            return
        for place, (times, kinds) in sorted(places.items()):
            if kinds & faultplan.MODES[case.mode][0] == 0:
                continue
            before = self.known[case].get(place, 0)
            self.known[case][place] = max(before, times)
            if before == 0:
                self.add(case, place, times)

    def add(self, case, place, times):
        owner = self.owners.setdefault((case.program, case.mode, place), case)
        if owner != case and self.is_same(owner, case):
            self.elsewhere[case] += 1
            return
        first, *more = [Task(case, place, nth) for nth in self.times(case, times)]
        (self.new if owner == case else self.again).add(first)
        for task in more:
            self.again.add(task)

    @staticmethod
    def is_same(owner, case):
        """Whether there is no need: what fails has no past, and dying at rest is dying at rest."""
        return case.program != faultplan.AGENT and (case.mode != "kill" or owner.scene == "idle")

    @staticmethod
    def times(case, times):
        if case.program == faultplan.AGENT:
            return range(1, min(times, AGENT_TIMES) + 1)
        return sorted({1, times}) if case.mode == "kill" else (1,)

    # ---- its end ---------------------------------------------------------------------------------

    def row(self, cases):
        """Places, points taken, and points that were not, by why."""
        cases = list(cases)
        waiting = sum(len(points.cases.get(case, ())) for points in (self.new, self.again) for case in cases)
        return [sum(len(self.known[case]) for case in cases),
                *(sum(counter[case] for case in cases) for counter in (self.taken, self.elsewhere, self.missed)), waiting]

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
