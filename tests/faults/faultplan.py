# SPDX-License-Identifier: Apache-2.0
"""Programs of a fault build in a directory of their own, and what each is to do at which point.

See src/base/fault.h: the first page of faults/PROGRAM is shared with the running program.
"""

import errno
import mmap
import os
import shutil
import struct
import subprocess
import tempfile

STEP, CALL, OPEN, MEMORY = 1, 2, 4, 8
NOTHING, KILL, STOP, FAIL = range(4)
PROGRAMS = ("caissond", "caisson-gateway", "caisson-spawner", "caisson-resolver", "caisson-image")
LAYOUT = struct.Struct("<6Q64s")  # kinds, left, times, action, count, fired, name

# What happens at a point: which points count, what is done, how often.
MODES = {
    "kill": (STEP | CALL, KILL, 0),
    "ENOSPC": (STEP | CALL, FAIL + errno.ENOSPC, 0),
    "EIO": (STEP | CALL, FAIL + errno.EIO, 0),
    "EMFILE": (OPEN, FAIL + errno.EMFILE, 0),
    "ENOMEM": (MEMORY, FAIL + errno.ENOMEM, 0),
}


class Plan:
    """What one program is to do; it is told while it runs, or before it starts."""

    def __init__(self, path):
        with open(path, "wb+") as file:
            file.truncate(mmap.PAGESIZE)
            os.fchmod(file.fileno(), 0o666)
            self.page = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def _set(self, *values):
        LAYOUT.pack_into(self.page, 0, *values)

    def arm(self, mode, point):
        """At the point-th point from now on, 1 is the next; 0 only counts."""
        kinds, action, times = MODES[mode]
        self._set(0, 0, 0, 0, 0, 0, b"")
        self._set(0, point, times, action, 0, 0, b"")
        struct.pack_into("<Q", self.page, 0, kinds)

    def disarm(self):
        struct.pack_into("<4Q", self.page, 0, 0, 0, 0, 0)

    @property
    def count(self):
        return LAYOUT.unpack_from(self.page)[4]

    @property
    def fired(self):
        return LAYOUT.unpack_from(self.page)[5] > 0

    @property
    def name(self):
        """Of the point at which it happened."""
        return LAYOUT.unpack_from(self.page)[6].rstrip(b"\0").decode()


def has_faults(build):
    """Whether the programs there are a fault build's."""
    symbols = subprocess.run(["nm", os.path.join(build, "caissond")], stdout=subprocess.PIPE, text=True).stdout
    return " cx_fault_point" in symbols


class Programs:
    """The programs of a build once more, beside plans that no other test has."""

    def __init__(self, build):
        self.path = tempfile.mkdtemp(prefix="caisson-faults.")
        os.chmod(self.path, 0o755)
        os.mkdir(os.path.join(self.path, "faults"))
        os.chmod(os.path.join(self.path, "faults"), 0o755)
        for name in os.listdir(build):
            source = os.path.join(build, name)
            if name.startswith("caisson") and os.path.isfile(source) and os.access(source, os.X_OK):
                shutil.copy(source, os.path.join(self.path, name))
        self.plans = {name: Plan(os.path.join(self.path, "faults", name)) for name in PROGRAMS}

    def disarm(self):
        for plan in self.plans.values():
            plan.disarm()

    def remove(self):
        shutil.rmtree(self.path)
