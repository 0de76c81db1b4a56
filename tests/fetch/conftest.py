# SPDX-License-Identifier: Apache-2.0
"""caisson-fetch alone, against real registries and servers that do what a test says."""

import contextlib
import os
import shutil
import sys
import tempfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "registry")]

import registry  # noqa: E402
from registry import Authority, Registry, TokenService  # noqa: E402
from worker import PLAIN, Worker  # noqa: E402

MUST_RUN = os.environ.get("CAISSON_MUST_RUN", "") not in ("", "0")


def pytest_collection_modifyitems(config, items):
    why = "needs root" if os.geteuid() != 0 else registry.available()
    if why is None:
        return
    if MUST_RUN:
        pytest.exit(f"must run, but {why}", 1)
    for item in items:
        item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def top():
    path = tempfile.mkdtemp(prefix="fetch-test.", dir="/var/tmp")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def authority(top):
    return Authority(os.path.join(top, "authority"))


@pytest.fixture(scope="session")
def certificate(authority):
    return authority.issue("localhost")


@pytest.fixture(scope="session")
def ca(authority):
    with open(authority.certificate, "rb") as file:
        return file.read()


@pytest.fixture(scope="session")
def tokens(certificate):
    with TokenService(certificate, anonymous=True) as service:
        yield service


@pytest.fixture(scope="session")
def registries(top, authority, certificate, tokens):
    """By mode: anonymous, basic, tls, token."""
    modes = {"anonymous": {}, "basic": {"htpasswd": True}, "tls": {"tls": certificate, "htpasswd": True},
             "token": {"tls": certificate, "tokens": tokens}}
    with contextlib.ExitStack() as stack:
        made = {}
        for mode, how in modes.items():
            directory = os.path.join(top, mode)
            os.makedirs(directory)
            made[mode] = stack.enter_context(Registry(directory, authority=authority, **how))
        yield made


@pytest.fixture
def worker():
    """A function that makes workers; each ends well, and says nothing on stderr."""
    made = []

    def make():
        made.append(Worker())
        return made[-1]

    yield make
    for one in made:
        one.__exit__()
        assert (one.status, one.stderr) == (0, "")


@pytest.fixture
def plain(worker):
    """A worker for one server in plain HTTP."""
    def make(server, **more):
        return worker().endpoint(server.address, flags=PLAIN, **more)
    return make
