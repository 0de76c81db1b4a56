# SPDX-License-Identifier: Apache-2.0
"""What is measured: one function for each part of the table of goals, in the order of a run."""

import concurrent.futures
import contextlib
import os
import sqlite3
import time

import host
import images
import peers
from engine import COMMAND, IMAGE, Engine
from goals import DECODING, FLOOR, HTTP, HTTP_COLD, ONCE, ONCE_COLD, PLAIN, RUN, Figure, figure
from measure import Contender, Section, latency, percentile, rates

CLIENTS = (1, 2, 8)
PAUSES = ("sparse", "back to back")
PREPARED = ("--network", "no", "--pool", "16")
COLD = ("--network", "no", "--pool", "0")
GROWERS = 4  # threads that make many sandboxes
AGENTS = 20  # whose memory is looked at
SETTLE_SECONDS = 1


class Lab:
    """What the rows share: options, programs, the image, the peers that run here, and the book of results."""

    def __init__(self, options, programs, places, book, stack):
        top, _ = places
        self.options, self.programs, self.top, self.book, self.stack = options, programs, top, book, stack
        self.image, self.tree = peers.make_image(top)
        self.peers, missing = peers.gather(options.peers, places, self.tree, self.image, stack)
        book.notes += [f"{name} did not run: {why}" for name, why in missing.items()]
        self.running = {}

    def engine(self, *options):
        """One with these options and the image; the same one for who asks again."""
        if options not in self.running:
            engine = Engine(self.programs, *options)
            self.stack.callback(engine.remove)
            engine.start().import_image(self.image)
            self.running[options] = engine
        return self.running[options]

    def seconds(self, share):
        """What a part may take of the whole."""
        return share * self.options.minutes * 60

    def pause(self, how):
        length = self.options.sparse_ms / 1e3 if how == "sparse" else 0
        return lambda: time.sleep(length)

    def add(self, key, section):
        self.book.sections[key] = section
        print(f"  {section.title}: {max(map(len, section.samples.values()), default=0)} rounds", flush=True)


def floor():
    return Contender(FLOOR, host.floor)


# ---- create, run, remove ---------------------------------------------------------------------------

def creators(lab):
    prepared, cold = lab.engine(*PREPARED), lab.engine(*COLD)
    return [Contender(ONCE, lambda: prepared.cli("once", IMAGE, "--", *COMMAND)),
            Contender(HTTP, prepared.life, inside=prepared.request_seconds),
            Contender(ONCE_COLD, lambda: cold.cli("once", IMAGE, "--", *COMMAND)),
            Contender(HTTP_COLD, cold.life, inside=cold.request_seconds),
            *(Contender(peer.name, peer.once, begin=peer.begin) for peer in lab.peers)]


def in_turns(lab, what, title, contenders, share):
    """Sparse and back to back, for each number of clients; most of the rounds for one."""
    for clients in CLIENTS:
        rounds = lab.options.rounds if clients == 1 else max(1, lab.options.rounds // 3)
        for how in PAUSES:
            lab.add(f"{what}/{how}/{clients}", latency(
                f"{title}: {how}, {clients} client{'s' if clients > 1 else ''}", contenders, rounds,
                lab.seconds(share / len(CLIENTS) / len(PAUSES)), clients, lab.pause(how)))


def create(lab):
    in_turns(lab, "create", "create, first command, removed", [*creators(lab), floor()], 0.33)


def execs(lab):
    engine = lab.engine(*PREPARED)
    key = engine.create()
    over_http = Contender(HTTP, lambda: engine.exec(key), inside=engine.request_seconds)
    in_turns(lab, "exec", "a command in a live sandbox", [
        Contender(RUN, lambda: engine.cli("run", key, "--", *COMMAND)), over_http,
        *(Contender(peer.name, peer.exec, begin=peer.begin) for peer in lab.peers if hasattr(peer, "exec")),
        floor()], 0.15)
    tail = latency("the slowest of many commands", [Contender(HTTP, over_http.step), floor()],
                   20 * lab.options.rounds, lab.seconds(0.02))
    lab.add("exec/tail", tail)
    if HTTP in tail.samples:
        far = percentile(tail.samples[HTTP], 0.99) / tail.median(HTTP)
        lab.book.values["exec/tail"] = Figure(far, far, far)
    engine.delete(key)


def rate(lab):
    contenders = creators(lab)
    for clients in CLIENTS[1:]:
        lab.add(f"rate/{clients}", rates(
            f"create, first command, removed: rate of {clients} clients that never rest", contenders,
            max(1, lab.options.rounds // 10), lab.options.slice, lab.seconds(0.08), clients))
    found = lab.book.sections[f"rate/{CLIENTS[-1]}"].samples.get(HTTP)
    lab.book.values["rate"] = figure(found)


# ---- many alive ------------------------------------------------------------------------------------

class Crowd:
    """Sandboxes that are alive and idle."""

    def __init__(self, engine):
        self.engine, self.keys = engine, []

    def room(self):
        """(how many more fit, what ends it), from what one takes of what may be promised."""
        before = self.promised()
        self.keys.append(self.engine.create())
        most, why = float("inf"), ""
        for name, (limit, promised) in self.promised().items():
            each = promised - before[name][1]
            if limit is not None and each > 0 and (limit - promised) // each < most:
                most, why = (limit - promised) // each, f"{name}: {limit:,}, {each:,} for each"
        return most, why

    def promised(self):
        rows = self.engine.client.json("GET", "/api/v1/host")["resources"]
        return {row["name"]: (row["limit"], row["promised"]) for row in rows}

    def each(self, work, items):
        with concurrent.futures.ThreadPoolExecutor(GROWERS) as pool:
            for done in [pool.submit(work, item) for item in items]:
                done.result()

    def resize(self, count, seconds):
        """Fewer, when it takes longer to make them."""
        end = time.monotonic() + seconds

        def make(_):
            if time.monotonic() < end:
                self.keys.append(self.engine.create())
        self.each(make, range(count - len(self.keys)))
        surplus, self.keys[count:] = self.keys[count:], []
        self.each(self.engine.delete, surplus)
        time.sleep(SETTLE_SECONDS)

    def contenders(self):
        """create makes one more and remove takes it away, so that the number stays."""
        return [Contender("create", lambda: self.keys.append(self.engine.create())),
                Contender("exec", lambda: self.engine.exec(self.keys[0])),
                Contender("remove", lambda: self.engine.delete(self.keys.pop()))]


def levels_of(lab, crowd, links):
    """Those that are wanted, the last no higher than what fits; it is told when it does not."""
    wanted = sorted(lab.options.alive)
    most, why = crowd.room()
    most = most + len(crowd.keys) - GROWERS - 1  # some are on their way in or out
    if wanted[-1] > most:
        lab.book.notes.append(f"{links}: {most:,} sandboxes fit here at once instead of {wanted[-1]:,} ({why})")
    return sorted({int(min(level, most)) for level in wanted})


def reach(lab, crowd, links, level):
    """Makes or removes sandboxes until so many are alive, or as many as there can be; how many are."""
    why = f"no more within {lab.seconds(0.1):.0f} s"
    try:
        crowd.resize(level, lab.seconds(0.1))
    except Exception as error:
        why = error
    if len(crowd.keys) != level:
        lab.book.notes.append(f"{links}: {len(crowd.keys):,} alive instead of {level:,}: {why}")
    return len(crowd.keys)


def look(lab, crowd, links, level, seconds):
    """What is measured with so many alive; added to what was measured at this level before."""
    found = latency(f"{level:,} alive, {links}", [*crowd.contenders(), floor()], lab.options.rounds, seconds,
                    pause=lab.pause("sparse"))
    key = f"alive/{links}/{level}"
    if key not in lab.book.sections:
        lab.add(key, found)
        return
    for name, samples in found.samples.items():
        lab.book.sections[key].samples.setdefault(name, []).extend(samples)


def climb(lab, crowd, links):
    """Each level twice, on the way up and on the way down: what drifts meanwhile is in both."""
    wanted, levels, free = levels_of(lab, crowd, links), [], {}
    seconds = lab.seconds(0.04) / len(wanted)
    for level in wanted:
        levels.append(reach(lab, crowd, links, level))
        free[levels[-1]] = host.available_kib()
        agent_memory(lab, crowd)
        look(lab, crowd, links, levels[-1], seconds)
    for level in levels[-2::-1]:
        look(lab, crowd, links, reach(lab, crowd, links, level), seconds)
    compare(lab, levels, links, free)


def compare(lab, levels, links, free):
    top, base = (lab.book.sections[f"alive/{links}/{level}"] for level in (levels[-1], levels[max(len(levels) - 2, 0)]))
    for what in ("create", "exec", "remove"):
        if what in top.samples and what in base.samples:
            at = base.median(what)
            lab.book.values[f"flat/{links}/{what}"] = Figure(*(part / at for part in figure(top.samples[what])))
    each = (free[levels[0]] - free[levels[-1]]) / max(1, levels[-1] - levels[0])
    if each > 0:  # else it drowns in what others take and give back
        lab.book.values[f"memory/{links}"] = Figure(each, each, each)


def agent_memory(lab, crowd):
    sizes = []
    for pid in crowd.engine.agents(crowd.keys[:AGENTS]):
        lines = host.read(f"/proc/{pid}/smaps_rollup").splitlines()
        sizes += [int(line.split()[1]) for line in lines if line.startswith("Pss:")]
    lab.book.values["memory/agent"] = figure(sizes) or lab.book.values.get("memory/agent")


def alive(lab):
    for links, network in (("with links", "yes"), ("without links", "no")):
        engine = Engine(lab.programs, "--network", network, "--pool", "8", "--max-sandboxes",
                        str(max(lab.options.alive) + 64), "--queue-length", "0")
        try:
            engine.start().import_image(lab.image)
            climb(lab, Crowd(engine), links)
        except Exception as error:
            lab.book.notes.append(f"{links}: {error}")
        finally:
            engine.remove()


# ---- files, images, records ------------------------------------------------------------------------

def transfer(lab):
    engine, size = lab.engine(*PREPARED), lab.options.megabytes
    source, target = (os.path.join(engine.top, name) for name in ("source", "target"))
    with open(source, "wb") as file:
        for _ in range(size):
            file.write(os.urandom(1000000))
    key, rounds = engine.create(memory_gb=1), max(1, lab.options.rounds // 4)
    others = [peer for peer in lab.peers if hasattr(peer, "copy")]

    def rest():  # what was written before goes to the disk, in nobody's turn
        os.sync()
        time.sleep(0.1)

    def section(way, ours, copy):
        lab.add(way, latency(f"{way} of {size} MB, over what was there", [
            Contender(PLAIN, lambda: host.call("cp", source, target)), Contender(f"caisson {way}", ours),
            *(Contender(f"{peer.name} cp", lambda peer=peer: copy(peer)) for peer in others)],
            rounds, lab.seconds(0.05), pause=rest))

    section("upload", lambda: engine.cli("upload", "--quiet", key, source, "/root/file"),
            lambda peer: peer.copy(source, f"{peer.live}:/root/file"))
    section("download", lambda: engine.cli("download", "--quiet", key, "/root/file", target),
            lambda peer: peer.copy(f"{peer.live}:/root/file", target))
    engine.delete(key)
    for path in (source, target):
        os.unlink(path)


def second(lab):
    """A create of an image that one sandbox uses already, against one of an image that many have used."""
    engine, path = lab.engine(*PREPARED), os.path.join(lab.top, "other.tar")
    pause, section = lab.pause("sparse"), Section("create, by what is there of the image")
    end = time.monotonic() + lab.seconds(0.03)
    for number in range(lab.options.rounds):
        peers.make_other(lab.image, path, number)
        engine.import_image(path, "other")
        keys = []
        for name, image in (("first sandbox of an image", "other"), ("second sandbox of an image", "other"),
                            ("one of an image in use", IMAGE)):
            pause()
            began = time.perf_counter()
            keys.append(engine.create(image))
            section.samples.setdefault(name, []).append((time.perf_counter() - began) * 1e3)
        for key in keys:
            engine.delete(key)
        engine.client.json("DELETE", "/api/v1/images/other")
        if time.monotonic() > end:
            break
    _, two, used = section.samples.values()
    lab.add("second", section)
    lab.book.values["second"] = figure([a - b for a, b in zip(two, used)])


def image(lab):
    second(lab)
    if not os.path.exists(lab.options.rootfs):
        lab.book.notes.append(f"image to runnable: no {lab.options.rootfs}; ./setup run makes it, or --rootfs TAR")
        return
    names = [name for name in ("umoci", "podman") if name in (lab.options.peers or images.PEERS)]
    blob = images.Image(lab.top, "debian", lab.options.rootfs, "gzip")
    section = images.measure(lab.top, lab.engine(*PREPARED), blob, max(1, lab.options.rounds // 15),
                             lab.seconds(0.12), names)
    decoders = [name for name in section.samples if DECODING in name]
    if decoders:  # the fastest there is
        section.samples[DECODING] = section.samples.pop(min(decoders, key=section.median))
    lab.add("image", section)


def fill(engine, count):
    """Copies of the one record that there is, as old as they come."""
    with contextlib.closing(sqlite3.connect(os.path.join(engine.state, "gateway", "state.db"))) as db:
        names = [row[1] for row in db.execute("PRAGMA table_info(sandboxes)") if row[1] != "row"]
        kept = ", ".join(name for name in names if name not in ("id", "engine_id", "idempotency_key"))
        for at in range(count):
            db.execute(f"INSERT INTO sandboxes (id, {kept}) SELECT 'copy{at}', {kept} FROM sandboxes WHERE row = 1")
        db.commit()


LISTS = (("get", "/copy5"), ("list", "?per_page=20"), ("list, page 400", "?per_page=20&page=400"),
         ("list of the active", "?is_active=true"), ("list by label", "?labels=a&is_active=true"))


def records(lab):
    engine = Engine(lab.programs, *COLD)
    try:
        engine.start().import_image(lab.image)
        engine.delete(engine.create())
        engine.stop()
        fill(engine, lab.options.records)
        engine.start()
        engine.create(labels=["a"])
        section = latency(f"with {lab.options.records:,} records", [
            Contender(name, lambda path=path: engine.client.json("GET", "/api/v1/sandbox" + path))
            for name, path in LISTS], 3 * lab.options.rounds, lab.seconds(0.02))
        lab.add("list", section)
        for name in ("get", "list"):
            lab.book.values[f"list/{name}"] = figure(section.samples.get(name))
    finally:
        engine.remove()


# Of a run, in this order; by the row of the goals that they are for.
PARTS = (("cold", create), ("prepared", create), ("exec", execs), ("rate", rate), ("transfer", transfer),
         ("image", image), ("list", records), ("flat", alive), ("memory", alive))


def measure(lab, wanted):
    """The parts of these rows, each once; one that fails leaves a note, and the others go on."""
    for part in dict.fromkeys(part for row, part in PARTS if row in wanted):
        print(f"{part.__name__}:", flush=True)
        try:
            part(lab)
        except Exception as error:
            lab.book.notes.append(f"{part.__name__}: {error}")
