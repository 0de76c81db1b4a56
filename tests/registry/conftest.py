# SPDX-License-Identifier: Apache-2.0
"""Fixtures: the registries of the session, images to fill them with, an engine that knows them."""

import os
import shutil
import sys
import tempfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "integration")]

import archives  # noqa: E402
import harness  # noqa: E402
import registry  # noqa: E402
from builders import SHOW, SHOWN, Builder  # noqa: E402
from client import Images  # noqa: E402
from fleet import Fleet  # noqa: E402

MUST_RUN = os.environ.get("CAISSON_MUST_RUN", "") not in ("", "0")
FILLED = {"anonymous": ("one", "three", "three_zstd", "index", "big", "wide"), "basic": ("three",),
          "tls": ("three",), "token": ("three", "big")}


def pytest_collection_modifyitems(config, items):
    why = "needs root" if os.geteuid() != 0 else registry.available()
    if why is None:
        return
    if MUST_RUN:
        pytest.exit(f"must run, but {why}", 1)
    for item in items:
        item.add_marker(pytest.mark.skip(reason=why))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of its engine's log."""
    report = (yield).get_result()
    engine = item.funcargs.get("engine") if hasattr(item, "funcargs") else None
    if report.failed and engine is not None and os.path.exists(engine.log_path):
        report.sections.append(("engine log", engine.log()[-4000:]))


@pytest.fixture(scope="session")
def top():
    path = tempfile.mkdtemp(prefix="registry-test.", dir="/var/tmp")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def builder(top):
    return Builder(os.path.join(top, "images"))


@pytest.fixture(scope="session")
def servers(top, builder):
    """The session's fleet, every registry filled with its part of FILLED as test/NAME:latest."""
    fleet = Fleet(top)
    try:
        fleet.start()
        for mode, server in fleet.registries.items():
            server.digests = {name: server.fill(f"oci:{getattr(builder, name)}:latest", f"test/{name}:latest",
                                                "--all", "--preserve-digests") for name in FILLED[mode]}
        yield fleet
    finally:
        fleet.close()


@pytest.fixture
def fleet(servers):
    """Healthy at the beginning of each test."""
    servers.heal()
    yield servers
    servers.heal()


@pytest.fixture(scope="module")
def engine(servers, top):
    """One engine per module that knows the fleet; the machine is as before when it has ended."""
    yield from harness.run_engine("--registries", servers.configure(os.path.join(top, "configuration")))


@pytest.fixture
def api(engine):
    return engine.api


@pytest.fixture
def images(engine, fleet):
    """An empty store, at the beginning and at the end."""
    asks = Images(engine)
    yield asks
    asks.clear()


@pytest.fixture
def make(api, images):
    """Makes sandboxes that go with their test."""
    made = []

    def create(image, **fields):
        made.append(api.create(image, **fields).ok()["id"])
        return made[-1]

    yield create
    for key in made:
        assert api.delete(key).status in (200, 404)


@pytest.fixture
def shows(api, make):
    """What a command says in a sandbox of an image."""
    def run(image, command=SHOW, expected=SHOWN):
        result = api.exec(make(image), command)
        assert result.stdout == expected, result
    return run
