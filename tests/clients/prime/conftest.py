# SPDX-License-Identifier: Apache-2.0
"""Fixtures: an engine on loopback, the installed generation of the Prime clients, and no leftovers."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "integration")]

import archives  # noqa: E402
import harness  # noqa: E402

HOME = tempfile.mkdtemp(prefix="caisson-clients.")
KEY = "pit-" + os.urandom(20).hex()
PYTHON = "python:3.11-slim"  # with bash
PLAIN = "busybox"  # with sh only
SHARED = "shared"  # by the tests of one module
PYTHON_ARCHIVE = "/var/cache/caisson/images/python-3.11-slim.tar"

for name in [name for name in os.environ if name.startswith("PRIME_")]:
    del os.environ[name]
os.environ.update(HOME=HOME, PRIME_API_KEY=KEY, PRIME_DISABLE_VERSION_CHECK="1")

import prime_sandboxes  # noqa: E402

# The first generation speaks JSON with the gateway, the newest one protobuf only.
FIRST = tuple(map(int, prime_sandboxes.__version__.split(".")[:2])) < (0, 3)


def pytest_collection_modifyitems(config, items):
    if os.geteuid() != 0:
        pytest.exit("needs root", 1)
    others = [item for item in items if item.get_closest_marker("newest" if FIRST else "first")]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


def pytest_unconfigure():
    subprocess.run(["rm", "-rf", HOME], check=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of its engine's log."""
    report = (yield).get_result()
    engine = item.funcargs.get("engine") if hasattr(item, "funcargs") else None
    if report.failed and engine is not None and os.path.exists(engine.log_path):
        report.sections.append(("engine log", engine.log()[-4000:]))


def fill(engine):
    engine.api.import_image(PLAIN, archives.busybox()).ok()
    with open(PYTHON_ARCHIVE, "rb") as file:
        engine.api.import_image(PYTHON, file.read()).ok()


def start(*options):
    """An engine as run_engine() gives it, that the clients of this process find."""
    port = harness.free_port()
    key_file = os.path.join(HOME, "admin.key")
    with open(os.open(key_file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
        file.write(KEY)
    os.environ["PRIME_API_BASE_URL"] = f"http://127.0.0.1:{port}"
    yield from harness.run_engine("--listen", f"127.0.0.1:{port}", "--admin-key-file", key_file,
                                  "--ssh-listen", "0", *options, prepare=fill)


@pytest.fixture(scope="session")
def engine():
    yield from start()


@pytest.fixture
def api(engine):
    """caisson's own way, to look behind the clients' backs."""
    return engine.api


@pytest.fixture(autouse=True)
def nothing_left(engine):
    yield
    left = [row for row in engine.api.list() if row["name"] != SHARED]
    for row in left:
        engine.api.delete(row["id"]).ok()
    assert not left, "sandboxes that the test has left: " + str([row["name"] for row in left])


# ---- the SDK -----------------------------------------------------------------------------------

class Async:
    """The async client, called as if it were the other one: the two have the same methods."""

    def __init__(self, client):
        self.client, self.loop = client, asyncio.new_event_loop()

    def __getattr__(self, name):
        method = getattr(self.client, name)
        if not asyncio.iscoroutinefunction(method):
            return method
        return lambda *values, **named: self.loop.run_until_complete(method(*values, **named))

    def close(self):
        self.loop.run_until_complete(self.client.aclose())
        self.loop.close()


def sync_client(**options):
    return prime_sandboxes.SandboxClient(prime_sandboxes.APIClient(**options))


@pytest.fixture(params=["sync", "async"])
def sdk(engine, request):
    """Each client in turn."""
    if request.param == "sync":
        yield sync_client()
        return
    adapter = Async(prime_sandboxes.AsyncSandboxClient())
    yield adapter
    adapter.close()


@pytest.fixture
def client(engine):
    """The sync client alone, where the way to call makes no difference."""
    return sync_client()


def wanted(image=PYTHON, **fields):
    fields = {"name": "t-" + os.urandom(4).hex(), "memory_gb": 0.25, **fields}
    return prime_sandboxes.CreateSandboxRequest(docker_image=image, **fields)


@pytest.fixture
def make(client):
    """Creates sandboxes that are gone after the test."""
    made = []

    def create(image=PYTHON, sdk=client, **fields):
        made.append(sdk.create(wanted(image, **fields)))
        return made[-1]

    yield create
    for sandbox in made:
        client.delete(sandbox.id)


@pytest.fixture(scope="module")
def box(engine):
    """The id of one that runs, for all tests of a module that do not spoil it."""
    client = sync_client()
    made = client.create(wanted(name=SHARED))
    client.wait_for_creation(made.id)
    yield made.id
    client.delete(made.id)


def status_soon(client, sandbox_id, *expected, seconds=20):
    """The sandbox, when its status is one of the expected."""
    def seen():
        sandbox = client.get(sandbox_id)
        return sandbox if sandbox.status in expected else None
    return harness.wait_until(seen, seconds, f"status {expected}", every=0.1)


# ---- the CLI -----------------------------------------------------------------------------------

def run_cli(*words, stdin="", code=0, env=None):
    """`prime WORDS...`, which has to end with that status; what it printed."""
    done = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "prime"), *words], input=stdin, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
        env={**os.environ, "COLUMNS": "200", "TERM": "dumb", **(env or {})})
    assert done.returncode == code, f"{words}: status {done.returncode}\n{done.stdout}"
    return done.stdout


@pytest.fixture
def cli(engine):
    return run_cli


@pytest.fixture
def cli_json(cli):
    return lambda *words: json.loads(cli(*words, "--output", "json"))
