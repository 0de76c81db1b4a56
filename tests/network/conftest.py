# SPDX-License-Identifier: Apache-2.0
"""Fixtures: the world, an engine in the middle of it, sandboxes that try things."""

import base64
import contextlib
import ipaddress
import json
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "integration")]

import archives  # noqa: E402
import harness  # noqa: E402
import probe  # noqa: E402
import world as worlds  # noqa: E402

PYTHON_IMAGE = "/var/cache/caisson/images/python-3.11-slim.tar"
PYTHON = "python:3.11-slim"
CONFIG = f"""[network]
pool = 100.97.0.0/20
pool6 = fdc0:ffee::/112
[dns]
upstream = {worlds.NAMESERVER}
[services]
metrics = {worlds.LAN4}:7001
"""


def pytest_collection_modifyitems(config, items):
    if os.environ.get("CAISSON_NETWORK_WORLD") is None:
        pytest.exit("these tests want a world of their own: tests/network/run BUILD", 1)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of its engine's log."""
    report = (yield).get_result()
    engine = item.funcargs.get("engine") if hasattr(item, "funcargs") else None
    if report.failed and engine is not None and os.path.exists(engine.log_path):
        report.sections.append(("engine log", engine.log()[-4000:]))


@pytest.fixture(scope="session")
def world():
    return worlds.World()


# ---- sandboxes -------------------------------------------------------------------------------------

class Box:
    """A sandbox. ask() tries from a program in it, force() with all rights in its namespace."""

    def __init__(self, engine, key):
        self.engine, self.key, self.stream, self.held = engine, key, None, {}
        self.namespace = worlds.Namespace(f"/proc/{engine.agent_of(key)}/ns/net")

    def ask(self, name, *arguments):
        if self.stream is None:
            with open(os.path.join(HERE, "probe.py"), "rb") as file:
                source = base64.b64encode(file.read()).decode()
            self.stream = self.engine.api.stream(
                self.key, f"exec python3 -u -c 'import base64\nexec(base64.b64decode(\"{source}\"))'")
            self.stream.started()
        self.stream.out = b""
        self.stream.stdin(json.dumps([name, *arguments]).encode() + b"\n")
        self.stream.until(b"\n")
        return json.loads(self.stream.out)

    def force(self, name, *arguments):
        probe.held = self.held  # connections that stay are those of this sandbox
        with self.namespace.inside():
            return getattr(probe, name)(*arguments)

    def policy(self, allow=None, deny=None):
        """Live change; returns when it is in force."""
        path = f"/api/v1/sandbox/{self.key}/egress-policy"
        answer = self.engine.api.request("PUT", path, {"allowlist": allow, "denylist": deny}).ok()
        return answer

    def policy_is(self):
        return self.engine.api.request("GET", f"/api/v1/sandbox/{self.key}/egress-policy").ok()

    def address(self, family=4):
        listed = json.loads(self.namespace.output("ip", "-j", f"-{family}", "addr", "show", "eth0"))
        return next(entry["local"] for entry in listed[0]["addr_info"] if entry["scope"] == "global")

    def index(self):
        """ifindex of the other end of its link."""
        return json.loads(self.namespace.output("ip", "-j", "link", "show", "eth0"))[0]["link_index"]

    def close(self):
        if self.stream is not None:
            self.stream.close()
        for made in self.held.values():
            made.close()
        self.namespace.close()


def router_of(engine):
    return worlds.Namespace(os.path.join(engine.run, "net"))


class Engine(harness.Engine):
    """With settings of its own."""

    def __init__(self, text, *options):
        super().__init__(*options)
        path = os.path.join(self.top, "caisson.conf")
        with open(path, "w") as file:
            file.write(text)
        self.options += ["--config", path]


def unchanged(namespace, before):
    """Waits for the kernel to let go of what is on its way out."""
    with contextlib.suppress(AssertionError):
        harness.wait_until(lambda: not worlds.State(namespace).changes(before),
                           harness.LEAK_SECONDS, every=0.2)
    left = worlds.State(namespace).changes(before)
    assert not left, "the network has changed:\n" + "\n".join(left[:40])


def run_engine(world, *images, config=CONFIG, options=()):
    """An engine with images; at its end the network is as it was before."""
    before = worlds.State(world.host)
    engine = Engine(config, *options)
    try:
        engine.start()
        for image in images:
            image(engine)
        yield engine
        engine.stop()
    except BaseException:
        if engine.process is not None and engine.process.poll() is None:
            engine.process.terminate()
            engine.process.wait(30)
        raise
    unchanged(world.host, before)
    engine.remove()


def busybox(engine):
    engine.api.import_image("busybox", archives.busybox()).ok()


def python(engine):
    with open(PYTHON_IMAGE, "rb") as file:
        engine.api.import_image(PYTHON, file.read()).ok()


@pytest.fixture(scope="session")
def engine(world):
    yield from run_engine(world, busybox, python)


@pytest.fixture
def fresh_engine(world):
    """For tests that end or kill their engine."""
    yield from run_engine(world, busybox)


class Maker:
    def __init__(self, engine):
        self.engine, self.made = engine, []

    def __call__(self, image="busybox", **fields):
        box = Box(self.engine, self.engine.api.create(image, **fields).ok()["id"])
        self.made.append(box)
        return box

    def end(self):
        for box in self.made:
            box.close()
            answer = self.engine.api.delete(box.key)
            assert answer.status in (200, 404), answer


@pytest.fixture
def make(engine):
    """Makes sandboxes that go with the test. Of busybox: quick, and only force() works in them."""
    maker = Maker(engine)
    yield maker
    maker.end()


@pytest.fixture(scope="session")
def router(engine):
    namespace = router_of(engine)
    yield namespace
    namespace.close()


@pytest.fixture
def outside(world):
    """What leaves the host by any link; not that to the name server, nor mere ends of connections.

    Nor what somebody outside still has to say to a sandbox of an engine that has ended: the host knows the
    connection, and has only its default route for the uplink that is gone.
    """
    uplinks = ipaddress.ip_network("169.254.192.0/19")
    captures = [world.capture(link) for link in ("wan0", "lan0", "meta0")]

    def packets(*addresses):
        return [packet for capture in captures for packet in capture.packets(*addresses)
                if packet.outgoing and not packet.reset and packet.to != worlds.NAMESERVER
                and ipaddress.ip_address(packet.to) not in uplinks]

    packets()
    yield packets
    for capture in captures:
        capture.socket.close()
