# SPDX-License-Identifier: Apache-2.0
"""Takes points with an engine of its own, and looks each time that nothing is lost and nothing is left."""

import collections
import os
import re
import subprocess
import traceback

import archives
import faultplan
import harness
import hostile
import scenes
import web
import world
from faultplan import AGENT
from route import ALL, Result

JOB = "i=0; while :; do i=$((i+1)); echo $i >/next; mv /next /count; sleep 1; done"
COMMAND = "kept"  # its id
DEATHS = 2  # of workers, of one caissond
REBORN = ("restart", "gateway")  # scenes in which the next point would repair what this one has lost
STARTS = 3  # tries to have an engine
SOON_SECONDS = 10  # for an engine to come to rest, where each point is taken again if it does not
TROUBLE = (AssertionError, subprocess.SubprocessError, ValueError, KeyError, *world.TROUBLE)


class Walker:
    """An engine with two sandboxes that must outlive everything, and one that the scenes act on."""

    def __init__(self, build):
        self.build, self.left, self.world = build, [], None
        self.programs = faultplan.Programs(build)
        harness.BUILD = self.programs.path
        self.registry = web.Server(hostile.Fake(archives.tar([archives.Entry("lower", "half")])).answer)
        self.registries = os.path.join(self.programs.path, "registries.conf")
        with open(self.registries, "w", encoding="ascii") as file:
            file.write(f'[registry "{self.registry.address}"]\nplain_http = yes\n')
        self.before = harness.Snapshot()
        self.plans, self.places, self.scene, self.patience = {}, {}, None, world.SETTLE_SECONDS
        self.told = collections.defaultdict(set)  # (scene, program) -> places

    def begin(self):
        """An engine, if it has none; AssertionError when none will start."""
        for last in (False,) * (STARTS - 1) + (True,):
            if self.world is not None:
                return
            try:
                self.start()
            except TROUBLE:
                self.end_world()
                if last:
                    raise

    def start(self):
        self.world = world.World("--ssh-listen", str(harness.free_port()), "--registries", self.registries)
        self.world.registry = self.registry.address
        self.world.start()
        self.fill()

    def fill(self):
        api = self.world.api
        api.import_image("busybox", archives.busybox()).ok()
        self.kept = api.create("busybox", name="kept", start_command=JOB).ok()["id"]
        self.still = api.create("busybox", name="still").ok()["id"]
        self.target = api.create("busybox", name="target").ok()["id"]
        cli = self.world.engine.cli
        job = cli("jobs", "start", self.kept, "--", "sh", "-c", "echo before; exit 5").stdout.strip()
        assert cli("jobs", "wait", self.kept, job).returncode == 5
        self.files = {"/count": r"\d+\n", f"/tmp/job_{job}.exit": "5\n", f"/var/tmp/job_{job}.stdout.log": "before\n"}
        api.exec_raw(self.kept, "echo before; exit 5", id=COMMAND).ok()
        api.request("POST", f"/api/v1/sandbox/{self.still}/pause").ok()
        assert self.world.settle() == []
        self.agents = self.world.agents()
        self.pid, self.deaths, self.workers = self.world.engine.pid, 0, self.world.workers()

    # ---- points ---------------------------------------------------------------------------------

    def take(self, tasks):
        """(task, Result) of each that was taken; of those behind one that is wrong none.

        Of several points the costly looks are taken once, behind the last one. When something is wrong, the last one is
        taken again alone; when that is not it, so is each of the others; and when none is, it is what they do together.
        """
        return [(task, self.news(task.case.scene, result)) for task, result in self.sift(tasks)]

    def sift(self, tasks):
        results = self.row(tasks)
        wrong = results[-1]
        if not wrong.wrong or len(tasks) == 1:
            return list(zip(tasks, results))
        *before, last = tasks[:len(results)]
        alone = self.row([last])[0]
        if alone.wrong:
            return [*(self.sift(before) if before else []), (last, alone)]
        others = [(task, self.row([task])[0]) for task in before]
        if before and not any(result.wrong for _, result in others):
            alone = wrong._replace(behind=tuple(task.at for task in before))
        return [*others, (last, alone)]

    def row(self, tasks):
        """One after the other until something is wrong."""
        results, self.patience = [], world.SETTLE_SECONDS if len(tasks) == 1 else SOON_SECONDS
        for task in tasks:
            results.append(self.point(task, task == tasks[-1]))
            if results[-1].wrong:
                break
        return results

    def point(self, task, last):
        self.plans, self.places, self.scene, where = {}, {}, None, ""
        self.begin()
        try:
            wrong = (self.calm(task) or self.anew(task) or self.act(task) or
                     (self.survived() if last or task.case.scene in REBORN else []))
        except TROUBLE as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            wrong = [f"{type(error).__name__}: {error} ({at.name})"[:700]]
        fired = self.fired()
        self.programs.disarm()
        if wrong:
            where = "; ".join(plan.where(self.programs.path) for plan in self.plans.values() if plan.fired)
            log = self.scene.log() if self.scene is not None else self.world.engine.log()
            wrong = wrong + ["| " + line[:300] for line in log.splitlines()[-25:]]
            if self.scene is not None:
                self.ended(self.scene.cut)
            self.end_world()  # as it may not be what it was; what it leaves is told at the end
        return Result(fired, self.places, wrong, where)

    def fired(self):
        """The name of the point at which it happened, or None."""
        return next((name for name in (plan.fired for plan in self.plans.values()) if name is not None), None)

    def act(self, task):
        """What is wrong, while and after it happens."""
        case = task.case
        scene = self.scene = self.scene_of(case)
        pid = self.world.engine.pid
        scene.prepare()
        if (scene.mortal or scene.prepares()) and (wrong := self.world.settle(self.patience)):
            return wrong
        self.plans = self.armed(task)
        scene.fired = lambda: self.fired() is not None
        scene.act()
        happened = scene.fired()
        if wrong := self.world.settle(self.patience):
            return wrong
        self.places = {program: plan.places() for program, plan in self.plans.items()}
        self.programs.disarm()
        if not happened and scene.fired() and (wrong := self.world.settle(self.patience)):
            return wrong
        if case.mode != "kill" and pid != self.world.engine.pid and not isinstance(scene, scenes.Restart):
            return ["caissond ended of it"]
        self.check(case, scene)
        return self.world.settle(self.patience)

    def news(self, scene, result):
        """The same with the places only that were not told before."""
        places = {}
        for program, passed in result.places.items():
            told = self.told[scene, program]
            places[program] = {place: row for place, row in passed.items() if place not in told}
            told.update(passed)
        return result._replace(places=places)

    def scene_of(self, case):
        """The scene, on a sandbox of its own when that one's first process is to die."""
        make = scenes.SCENES[case.scene][0]
        if case.program != AGENT:
            return make(self.world, self.target)
        scene = make(self.world, self.world.api.create("busybox", name="victim", memory_gb=0.25).ok()["id"])
        self.programs.plans[AGENT].pids, scene.mortal = scene.agents, True
        return scene

    def check(self, case, scene):
        if case.program != AGENT:
            scene.check()
            return
        row = scene.must("GET", f"/api/v1/sandbox/{scene.target}")
        if row["status"] in ("RUNNING", "PAUSED"):
            scene.check()
        else:
            assert row["status"] in ("TERMINATED", "ERROR") and row["terminationReason"], row
        scene.must("DELETE", f"/api/v1/sandbox/{scene.target}")

    def armed(self, task):
        """Plans that are armed now: of one program to fail, of all that learn."""
        case = task.case
        programs = [case.program] if case.program != ALL else \
            [program for program in scenes.SCENES[case.scene][1] if program != AGENT]
        for program in programs:
            self.programs.plans[program].arm(case.mode, task.place, task.nth)
        return {program: self.programs.plans[program] for program in programs}

    def calm(self, task):
        """What is wrong behind another start of caissond: there is one when workers have died of the last so often that
        it waits long before it starts the next. A scene that starts it anew needs none."""
        pid, workers = self.world.engine.pid, self.world.workers()
        if pid != self.pid:
            self.deaths = 0
        elif workers != self.workers:
            self.deaths += 1
        self.pid, self.workers = pid, workers
        if self.deaths < DEATHS or task.case.scene == "restart":
            return []
        return self.another_start()

    def anew(self, task):
        """What is wrong behind the start of daemons that have not come by anything yet."""
        return self.another_start() if task.anew else []

    def another_start(self):
        if wrong := self.survived():  # of what it would repair
            return wrong
        self.world.kill()
        wrong = self.world.settle(self.patience)
        self.pid, self.deaths, self.workers = self.world.engine.pid, 0, self.world.workers()
        return wrong

    def survived(self):
        """What was lost of those that had nothing to do with it."""
        api, agents = self.world.api, self.world.agents()
        lost = [f"{key} has another process 1" for key in (self.kept, self.still, self.target)
                if agents.get(key) != self.agents[key]]
        if lost:
            return lost
        box = f"/api/v1/sandbox/{self.kept}"
        for path, want in self.files.items():
            there = api.raw("GET", f"{box}/files?path={path}").body.decode(errors="replace")
            if not re.fullmatch(want, there):
                lost.append(f"its {path} is {there!r} now")
        result = api.raw("GET", f"{box}/exec/{COMMAND}").ok()["result"]
        if (result["stdout"], result["exit_code"]) != ("before\n", 5):
            lost.append(f"its command's result is {result} now")
        return lost

    # ---- its end --------------------------------------------------------------------------------

    def ended(self, end):
        try:
            end()
        except TROUBLE as error:
            self.left.append(str(error)[:500])

    def end_world(self):
        self.programs.disarm()
        if self.world is None:
            return
        self.ended(self.world.end)
        left = harness.leaks(self.before, self.world.engine, alone=False)  # another job may live beside it
        self.left += left
        if not left:
            self.world.engine.remove()
        self.world = None

    def end(self):
        """What is left on the machine."""
        self.end_world()
        self.registry.close()
        self.programs.remove()
        return self.left
