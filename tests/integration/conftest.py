# SPDX-License-Identifier: Apache-2.0
"""Fixtures: one engine per module, its images, sandboxes that go with their test, and a leak check."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import archives  # noqa: E402
import harness  # noqa: E402

PYTHON_IMAGE = "/var/cache/caisson/images/python-3.11-slim.tar"
MUST_RUN = os.environ.get("CAISSON_MUST_RUN", "") not in ("", "0")


def skip(why):
    """A skip, or a failure where nothing may be skipped."""
    if MUST_RUN:
        pytest.fail("must run, but " + why)
    pytest.skip(why)


def pytest_collection_modifyitems(config, items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of its engine's log."""
    report = (yield).get_result()
    engine = item.funcargs.get("engine") if hasattr(item, "funcargs") else None
    if report.failed and engine is not None and os.path.exists(engine.log_path):
        report.sections.append(("engine log", engine.log()[-4000:]))


def run_engine(*options, **more):
    yield from harness.run_engine(
        *options, prepare=lambda engine: engine.api.import_image("busybox", archives.busybox()).ok(), **more)


@pytest.fixture(scope="module")
def engine():
    yield from run_engine()


@pytest.fixture
def fresh_engine():
    """For tests that end or kill their engine."""
    yield from run_engine()


@pytest.fixture
def api(engine):
    return engine.api


@pytest.fixture
def make(api):
    """Makes sandboxes that are removed at the end of the test; removing has to succeed."""
    made = []

    def create(image="busybox", **fields):
        sandbox = api.create(image, **fields).ok()
        made.append(sandbox["id"])
        return sandbox["id"]

    yield create
    for key in made:
        answer = api.delete(key)
        assert answer.status in (200, 404), answer


@pytest.fixture
def sandbox(make):
    return make()


@pytest.fixture(scope="module")
def shared_sandbox(engine):
    """One sandbox for all tests of a module that do not spoil it."""
    key = engine.api.create("busybox", name="shared").ok()["id"]
    yield key
    engine.api.delete(key).ok()


@pytest.fixture(scope="module")
def python_image(engine):
    if not os.path.exists(PYTHON_IMAGE):
        skip(f"no image of Python at {PYTHON_IMAGE} (./setup makes it)")
    name = "python:3.11-slim"
    with open(PYTHON_IMAGE, "rb") as file:
        engine.api.import_image(name, file.read()).ok()
    return name


@pytest.fixture(scope="module")
def escape_image(engine):
    probe = harness.program("tests/escape/probe")
    if not os.path.exists(probe):
        skip(f"{probe} is not built (make check does)")
    engine.api.import_image("escape", archives.escape_image(probe)).ok()
    return "escape"
