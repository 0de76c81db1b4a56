# SPDX-License-Identifier: Apache-2.0
"""The caisson command against an engine and real registries: what people and scripts see."""

import json
import os
import signal
import subprocess
import time

import pytest

import chaos
import harness
from registry import PASSWORD, USER

SECONDS = 60


@pytest.fixture
def environment(engine, tmp_path):
    """Without the credentials of who runs the tests."""
    ours = ("CAISSON_", "DOCKER_", "REGISTRY_", "XDG_")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return {**clean, "CAISSON_SOCKET": engine.socket, "HOME": str(tmp_path)}


@pytest.fixture
def caisson(environment):
    def run(*arguments, **more):
        more = more if "input" in more else {"stdin": subprocess.DEVNULL, **more}
        return subprocess.run([harness.program("caisson"), *arguments], env=environment, timeout=SECONDS,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    return run


def only(output):
    """The one line that a command printed."""
    (line,) = output.decode().splitlines()
    return line


def test_pull_prints_what_came(fleet, images, caisson):
    name = f"{fleet.anonymous.address}/test/three"
    result = caisson("image", "pull", name)
    assert result.returncode == 0, result
    (image,) = images.list()
    assert only(result.stdout) == f"{image['name']} {image['digest']}"
    lines = result.stderr.decode().splitlines()
    assert lines[0].startswith("resolving ")
    for layer in image["layers"]:
        short = layer["digest"].split(":")[1][:12]
        phases = [line.split(": ")[1].split()[0] for line in lines if line.startswith(short)]
        assert "downloading" in phases and phases[-1] == "done", phases
    again = caisson("image", "pull", "--policy", "missing", name)
    assert again.stdout == result.stdout and b"downloading" not in again.stderr


def test_pull_tells_events(fleet, images, caisson):
    result = caisson("image", "pull", "--json", f"{fleet.anonymous.address}/test/three")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert (result.returncode, result.stderr) == (0, b"")
    assert events[-1]["status"] == "done" and events[-1]["image"] == images.list()[0]


def test_password(fleet, images, caisson):
    name = f"{fleet.basic.address}/test/three"
    for given, status in ((PASSWORD, 0), ("wrong", 4)):
        result = caisson("image", "pull", name, "-u", USER, "--password-stdin", input=given.encode() + b"\n")
        assert result.returncode == status, result
        assert PASSWORD.encode() not in result.stdout + result.stderr
    result = caisson("image", "pull", name)
    assert result.returncode == 4 and images.names() != []


def test_failures_have_their_status(fleet, images, caisson):
    result = caisson("image", "pull", f"{fleet.anonymous.address}/test/nothing")
    assert result.returncode == 5 and result.stdout == b"", result
    fleet.plain.close()
    result = caisson("image", "pull", f"{fleet.plain.address}/test/three")
    assert result.returncode == 9 and fleet.plain.address.encode() in result.stderr, result


def test_push_under_another_name(fleet, images, caisson):
    assert caisson("image", "pull", "-q", f"{fleet.anonymous.address}/test/three").returncode == 0
    (image,) = images.list()
    to = f"{fleet.anonymous.address}/pushed/by-command:1"
    result = caisson("image", "push", image["name"], to)
    assert result.returncode == 0, result
    assert fleet.anonymous.inspect("pushed/by-command:1")["Digest"] == image["digest"]


def test_interrupt_cancels(fleet, images, environment, caisson):
    """The transfer ends with the command, nothing is left but what the next one may go on with."""
    fleet.plain.fault(chaos.slow(1 << 20), blobs=True)
    name = f"{fleet.plain.address}/test/big"
    process = subprocess.Popen([harness.program("caisson"), "image", "pull", name], env=environment,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in process.stderr:
        if b"downloading" in line:
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == -signal.SIGINT
    process.stderr.close()
    process.stdout.close()
    harness.wait_until(lambda: all(path.startswith("gateway/blobs/partial/") for path in images.garbage()),
                       10, "what was begun is swept")
    fleet.heal()
    assert images.list() == []
    assert caisson("image", "pull", "-q", name).returncode == 0
    images.sound()
    assert images.garbage() == []


def test_tag_history_prune_verify(fleet, images, caisson):
    assert caisson("image", "pull", "-q", f"{fleet.anonymous.address}/test/three").returncode == 0
    (image,) = images.list()
    assert only(caisson("image", "tag", image["name"], "other:2").stdout) == f"other:2 {image['digest']}"
    history = caisson("image", "history", "other:2")
    assert history.returncode == 0 and history.stdout.startswith(b"CREATED"), history
    verified = caisson("image", "verify", "other:2")
    assert verified.returncode == 0 and verified.stdout.endswith(b" checked, 0 damaged, 0 repaired\n"), verified
    pruned = caisson("image", "prune", "--all", "--yes")
    assert pruned.returncode == 0 and b"other:2 removed\n" in pruned.stdout, pruned
    assert images.names() == []


def test_verify_repairs(fleet, engine, images, caisson):
    assert caisson("image", "pull", "-q", f"{fleet.anonymous.address}/test/three").returncode == 0
    layer = images.list()[0]["layers"][0]
    path = os.path.join(engine.state, "layers", layer["diffId"].split(":")[1] + ".erofs")
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"damage")
    found = caisson("image", "verify")
    assert found.returncode == 1 and f"damaged layer {layer['diffId']}" in found.stdout.decode(), found
    repaired = caisson("image", "verify", "--repair")
    assert repaired.returncode == 0 and f"repaired layer {layer['diffId']}" in repaired.stdout.decode(), repaired
    assert caisson("image", "verify").returncode == 0
