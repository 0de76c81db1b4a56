# SPDX-License-Identifier: Apache-2.0
"""Walkers in processes of their own, of which any may die."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os

from route import Result

DEATHS = 5  # of walkers, without anything taken in between; each of the next leaves one fewer


def work(make, pipe, other):
    """A process with a walker of its own: takes what it is given, until there is nothing more."""
    other.close()
    os.setsid()  # who interrupts the walk does not mean the engines
    walker = make()
    try:
        with contextlib.suppress(EOFError):
            while tasks := pipe.recv():
                pipe.send(("taken", walker.take(tasks)))
    finally:
        left = walker.end()
    with contextlib.suppress(OSError):
        pipe.send(("left", left))


class Job:
    def __init__(self, make):
        self.pipe, other = multiprocessing.Pipe()
        self.tasks = []
        self.process = multiprocessing.Process(target=work, args=(make, other, self.pipe))
        self.process.start()
        other.close()

    def give(self, tasks):
        self.tasks = tasks
        with contextlib.suppress(OSError):  # it has ended: result() says so
            self.pipe.send(tasks)

    def result(self, wanted):
        """What it sends of this kind; EOFError when it has ended."""
        while True:
            try:
                kind, value = self.pipe.recv()
            except OSError as error:
                raise EOFError from error
            if kind == wanted:
                return value


class Jobs:
    """make() makes a walker."""

    def __init__(self, n, make):
        self.make, self.deaths, self.left = make, 0, []
        self.jobs = [Job(make) for _ in range(n)]

    def free(self):
        return [job for job in self.jobs if not job.tasks]

    def busy(self):
        return [job for job in self.jobs if job.tasks]

    def take(self, route):
        """Tells the route what one of them has taken."""
        ready = multiprocessing.connection.wait([job.pipe for job in self.busy()])
        job = next(job for job in self.jobs if job.pipe is ready[0])
        tasks, job.tasks = job.tasks, []
        try:
            results = job.result("taken")
        except EOFError:
            self.dead(job, tasks, route)
            return
        self.deaths = 0
        for task, result in results:
            route.tell(task, result)
        taken = [task for task, _ in results]
        route.back([task for task in tasks if task not in taken])

    def dead(self, job, tasks, route):
        """Another one takes what this had, each alone, so that the one it dies of is told."""
        job.process.join()
        why = f"the walker has ended with status {job.process.exitcode}"
        self.left.append(why + ", and whatever it had")
        if len(tasks) == 1:
            route.tell(tasks[0], Result(None, {}, [why], ""))
        else:
            route.back(tasks, alone=True)
        self.deaths += 1
        self.jobs.remove(job)
        if self.deaths < DEATHS:
            self.jobs.append(Job(self.make))

    def end(self):
        """What they left behind."""
        for job in self.jobs:
            job.give([])
        for job in self.jobs:
            try:
                self.left += job.result("left")
            except EOFError:
                self.left.append("a walker has ended before its time, and whatever it had")
            job.process.join()
        return self.left
