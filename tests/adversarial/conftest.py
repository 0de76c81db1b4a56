# SPDX-License-Identifier: Apache-2.0
"""One engine for all rounds, with the image of Python in it."""

import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "integration")]

import harness  # noqa: E402

PYTHON_IMAGE = "/var/cache/caisson/images/python-3.11-slim.tar"


def pytest_addoption(parser):
    parser.addoption("--long", type=float, metavar="MINUTES", help="every attack, in rounds, for so long at least")
    parser.addoption("--seed", type=int, help="repeats the rounds of --long")
    parser.addoption("--only", help="attacks whose name has this in it, in one round")


@pytest.fixture(scope="session")
def engine():
    if os.geteuid() != 0 or not os.path.exists(PYTHON_IMAGE):
        why = f"needs root and {PYTHON_IMAGE} (./setup makes it)"
        (pytest.fail if os.environ.get("CAISSON_MUST_RUN", "") not in ("", "0") else pytest.skip)(why)
    with open(PYTHON_IMAGE, "rb") as file:
        image = file.read()
    yield from harness.run_engine(prepare=lambda engine: engine.api.import_image("python:3.11-slim", image).ok())
