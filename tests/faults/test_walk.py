# SPDX-License-Identifier: Apache-2.0
"""Of the walk itself: nothing is forgotten, and what is wrong gets its name. No engine is needed."""

import collections
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, *(os.path.join(os.path.dirname(HERE), name) for name in ("integration", "registry"))]

import faultplan  # noqa: E402
import jobs  # noqa: E402
import route  # noqa: E402
import walker  # noqa: E402
from route import Case, Result, Task  # noqa: E402

FAILS, DIES = Case("exec", "caissond", "ENOSPC"), Case("exec", "caissond", "kill")
LATER = Case("create", "caissond", "ENOSPC")
PLACES = {f"{n:016x}": (3, faultplan.CALL) for n in range(1, 21)}


def lesson(case, places):
    return Task(Case(case.scene, route.ALL, faultplan.LEARN), None, 1), Result(None, {case.program: places}, [], "")


def told(cases, journal=None):
    """A route that knows the places in one scene of each of the cases."""
    found = route.Route(cases, 7, False, False, journal)
    while (tasks := found.next(False)) and tasks[0].place is None:
        found.tell(tasks[0], Result(None, {case.program: PLACES for case in cases if case.scene == tasks[0].case.scene},
                                    [], ""))
    found.back(tasks)
    return found


def rest(found, result=lambda task: Result("write", {}, [], "")):
    """All that it still says, each told to be so."""
    taken = []
    while tasks := found.next(False):
        taken.append(tasks)
        for task in tasks:
            found.tell(task, result(task))
    return taken


def test_each_place_is_taken():
    found = told([FAILS, DIES])
    taken = collections.Counter(task for tasks in rest(found) for task in tasks)
    assert set(taken.values()) == {1}
    assert {task for task in taken if task.case == FAILS} == {Task(FAILS, place, 1) for place in PLACES}
    assert {task for task in taken if task.case == DIES} == {Task(DIES, place, nth) for place in PLACES for nth in (1, 3)}


def test_only_what_fails_is_taken_together():
    taken = rest(told([FAILS, DIES]))
    assert max(len(tasks) for tasks in taken if tasks[0].case == FAILS) == route.AT_ONCE
    assert all(len(tasks) == 1 for tasks in taken if tasks[0].case == DIES)
    assert all(len({task.case for task in tasks}) == 1 for tasks in taken)


def test_what_fails_does_so_in_the_first_scene():
    taken = {task for tasks in rest(told([LATER, FAILS])) for task in tasks}
    assert taken == {Task(FAILS, place, 1) for place in PLACES}


def test_a_place_that_is_not_come_to_is_tried_elsewhere_and_then_given_up():
    found = told([LATER, FAILS])
    missed = Task(FAILS, min(PLACES), 1)
    taken = [task for tasks in rest(found, lambda task: Result(None if task.place == missed.place else "write", {}, [], ""))
             for task in tasks if task.place == missed.place]
    assert len(taken) == route.TRIES and {task.case for task in taken} == {FAILS, LATER}
    assert [task.anew for task in taken] == [False] * (route.TRIES - 1) + [True], "some are come by once in a life"
    assert found.missed[taken[-1].case] == 1 and sum(found.taken.values()) == len(PLACES) - 1


def test_a_walk_that_was_cut_off_goes_on_behind_what_it_took(tmp_path):
    path, cases = str(tmp_path / "state"), [FAILS, DIES]
    found = told(cases, route.Journal(path, "one"))
    first = found.next(False) + found.next(False)
    for task in first:
        found.tell(task, Result("write", {}, ["lost"] if task == first[0] else [], ""))
    with open(path, "a", encoding="ascii") as file:
        file.write('[["exec", "caissond", "kill"], "00')  # as a power cut leaves it
    journal = route.Journal(path, "one")
    again = route.Route(cases, 8, False, False, journal)
    assert again.failures == [first[0]]
    taken = [task for tasks in rest(again) for task in tasks]
    assert not set(taken) & set(first) and all(task.place for task in taken)
    assert set(taken) | set(first) == {task for tasks in rest(told(cases)) for task in tasks}
    assert len(list(route.Journal(path, "one").results())) == len(first) + len(taken) + route.LESSONS


def test_a_walk_that_was_cut_off_in_its_lessons_takes_the_others(tmp_path):
    path = str(tmp_path / "state")
    found = route.Route([FAILS, DIES], 7, False, False, route.Journal(path, "one"))
    lesson, = found.next(False)
    found.tell(lesson, Result(None, {}, [], ""))
    again = route.Route([FAILS, DIES], 7, False, False, route.Journal(path, "one"))
    assert len(again.lessons) == len(found.lessons) and route.LESSONS > 1


def test_a_state_of_another_build_counts_for_nothing(tmp_path):
    path = str(tmp_path / "state")
    rest(told([FAILS], route.Journal(path, "one")))
    other = route.Journal(path, "two")
    assert other.is_other and not other.lines and not route.Journal(path, "two").is_other


# ---- walkers ---------------------------------------------------------------------------------------

class Fake(walker.Walker):
    """One whose engine loses something at some places, or when it has come by all of several; where that is seen."""

    def __init__(self, wrong_at=(), together=None, at_once=False):
        self.lost, self.at_once, self.seen, self.looks = [{place} for place in wrong_at], at_once, set(), 0
        self.lost += [set(together)] if together else []

    def point(self, task, last):
        self.seen.add(task.place)
        self.looks += last
        wrong = (last or self.at_once) and any(self.seen >= places for places in self.lost)
        if wrong or last:
            self.seen = set()
        return Result("write", {}, ["lost"] if wrong else [], "")

    def end(self):
        return []


TASKS = [Task(FAILS, place, 1) for place in sorted(PLACES)[:8]]


def test_places_of_a_row_that_is_wrong_are_told():
    class Learning(Fake):
        def point(self, task, last):
            result = super().point(task, last)
            return result._replace(places={"caissond": {f"new {task.place}": (1, 1)}})
    fake = Learning([TASKS[3].place])
    fake.told = collections.defaultdict(set)
    places = [place for _, result in fake.take(TASKS) for place in result.places["caissond"]]
    assert sorted(places) == sorted(f"new {task.place}" for task in TASKS)
    assert not any(result.places["caissond"] for _, result in fake.take(TASKS[:2])), "told already"


def test_the_first_of_several_is_given_its_time_too():
    class Slow(Fake):
        def row(self, tasks):
            return [Result("write", {}, ["not yet"] if len(tasks) > 1 else [], "")]
    (task, result), = Slow().take(TASKS)
    assert task == TASKS[0] and not result.wrong


def test_of_several_there_is_one_look():
    fake = Fake()
    assert not any(result.wrong for _, result in fake.take(TASKS)) and fake.looks == 1


def test_who_is_wrong_among_several_is_named():
    wrong = TASKS[3].place
    results = Fake([wrong]).take(TASKS)
    assert [task.place for task, result in results if result.wrong] == [wrong] and len(results) == len(TASKS)


def test_behind_one_that_is_seen_to_be_wrong_none_is_taken():
    wrong = [TASKS[3].place, TASKS[5].place]
    results = Fake(wrong, at_once=True).take(TASKS)
    assert [(task, bool(result.wrong)) for task, result in results] == list(zip(TASKS[:4], [False] * 3 + [True]))


def test_what_is_wrong_together_only_is_told_with_all_of_them(capsys):
    results = Fake(together=[TASKS[2].place, TASKS[5].place]).take(TASKS)
    assert [task for task, result in results if result.wrong] == [TASKS[-1]]
    found = told([FAILS])
    for task, result in results:
        found.tell(task, result)
    assert "--at " + ",".join(task.at for task in TASKS) + "," in capsys.readouterr().out


class Mortal(Fake):
    def point(self, task, last):
        if task == TASKS[5]:
            os._exit(9)
        return super().point(task, last)


def test_a_walker_that_dies_ends_nothing_and_what_it_died_of_is_told():
    found = told([FAILS])
    walkers = jobs.Jobs(2, Mortal)
    while True:
        for job in walkers.free():
            if tasks := found.next(False):
                job.give(tasks)
        if not walkers.busy():
            break
        walkers.take(found)
    left = walkers.end()
    assert found.failures == [TASKS[5]] and len(left) == 2
    assert sum(found.taken.values()) == len(PLACES) - 1
