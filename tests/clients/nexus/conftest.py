# SPDX-License-Identifier: Apache-2.0
"""Fixtures: an engine on loopback, the CLI and RemoteNexusFS of nexus-ai-fs, and no leftovers."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "integration")]

import archives  # noqa: E402
import harness  # noqa: E402

HOME = tempfile.mkdtemp(prefix="caisson-nexus.")
KEY = "nexus-" + os.urandom(20).hex()
PYTHON_ARCHIVE = "/var/cache/caisson/images/python-3.11-slim.tar"

for name in [name for name in os.environ if name.startswith(("NEXUS_", "E2B_"))]:
    del os.environ[name]
os.environ.update(HOME=HOME, NEXUS_API_KEY=KEY, NEXUS_DATA_DIR=HOME + "/data")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from nexus.remote import RemoteNexusFS  # noqa: E402


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        pytest.exit("needs root", 1)


def pytest_unconfigure():
    shutil.rmtree(HOME)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of its engine's log."""
    report = (yield).get_result()
    engine = item.funcargs.get("engine") if hasattr(item, "funcargs") else None
    if report.failed and engine is not None and os.path.exists(engine.log_path):
        report.sections.append(("engine log", engine.log()[-4000:]))


# ---- the engine --------------------------------------------------------------------------------

def node_layer():
    """The machine's own node with its libraries, apart from those of the image that it is added to."""
    node = shutil.which("node")
    assert node is not None, "install nodejs"
    listed = subprocess.run(["ldd", node], stdout=subprocess.PIPE, check=True, text=True).stdout
    files = [word for line in listed.splitlines() for word in line.split() if word.startswith("/")]
    run = "#!/bin/sh\nexec /opt/node/{} --library-path /opt/node /opt/node/node \"$@\"\n".format(
        next(os.path.basename(file) for file in files if "ld-linux" in file))
    yield archives.directory("opt")
    yield archives.directory("opt/node")
    for file in [os.path.realpath(node), *files]:
        with open(file, "rb") as data:
            yield archives.Entry("opt/node/" + os.path.basename(file), data.read(), mode=0o755)
    yield archives.Entry("usr/bin/node", run.encode(), mode=0o755)


def fill(engine):
    with open(PYTHON_ARCHIVE, "rb") as file:
        python = file.read()
    engine.api.import_image("python:3.11-slim", python).ok()
    engine.api.import_image("busybox", archives.busybox()).ok()
    both = archives.Layout([python, archives.tar(node_layer())], how="none")
    engine.api.import_image("node", both.as_tar()).ok()


def write(name, text):
    path = os.path.join(HOME, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
        file.write(text)
    return path


@pytest.fixture(scope="session")
def engine():
    """One that RemoteNexusFS and the CLI find by their environment."""
    port = harness.free_port()
    os.environ["NEXUS_URL"] = f"http://127.0.0.1:{port}"
    templates = write("templates.conf", "[templates]\nmulti-lang = node\n")
    os.chmod(HOME, 0o755)
    os.chmod(templates, 0o644)
    yield from harness.run_engine("--listen", f"127.0.0.1:{port}", "--templates", templates,
                                  "--admin-key-file", write("admin.key", KEY), prepare=fill)


@pytest.fixture(autouse=True)
def nothing_left(engine):
    yield
    for row in engine.api.list():
        engine.api.delete(row["id"]).ok()


# ---- the clients -------------------------------------------------------------------------------

def connect(key=KEY):
    return RemoteNexusFS(os.environ["NEXUS_URL"], api_key=key)


@pytest.fixture
def nx(engine):
    client = connect()
    yield client
    client.close()


@pytest.fixture
def box(nx):
    """A sandbox made by RemoteNexusFS."""
    return nx.sandbox_create("t-" + os.urandom(4).hex())["sandbox_id"]


def run_cli(*words, stdin="", code=0, cwd="/"):
    """`nexus sandbox WORDS...`, which has to end with that status; what it printed to stdout."""
    done = subprocess.run([os.path.join(os.path.dirname(sys.executable), "nexus"), "sandbox", *words],
                          input=stdin, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60, cwd=cwd)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def cli(engine):
    return run_cli


@pytest.fixture
def cli_json(cli):
    return lambda *words, **more: json.loads(cli(*words, "--json", **more))
