# SPDX-License-Identifier: Apache-2.0
"""The caisson command against an engine and real registries: what people and scripts see."""

import json
import os
import signal
import subprocess
import tarfile
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


def workers(engine):
    return [pid for pid in harness.children(engine.pid) if harness.comm(pid).startswith("caisson-image")]


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


def members(path):
    with tarfile.open(path) as archive:
        return {member.name.removeprefix("./").rstrip("/") for member in archive}


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_save_and_import_again(fleet, images, caisson, tmp_path, kind):
    for name in ("three", "one"):
        assert caisson("image", "pull", "-q", f"{fleet.anonymous.address}/test/{name}").returncode == 0
    before = {image["name"]: image for image in images.list()}
    path = tmp_path / "images.tar"
    result = caisson("image", "save", *before, "--format", kind, "-o", str(path))
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b""), result
    assert os.listdir(tmp_path) == ["images.tar"]
    assert ("manifest.json" if kind == "docker" else "oci-layout") in members(path)
    images.clear()
    imported = caisson("image", "import", str(path))
    assert imported.returncode == 0, imported
    assert {line.split()[0] for line in imported.stdout.decode().splitlines()} == set(before)
    for image in images.list():
        assert image["id"] == before[image["name"]]["id"]
        assert kind == "docker" or image["digest"] == before[image["name"]]["digest"]
    images.sound()


def test_export_to_a_pipe(fleet, images, caisson, tmp_path):
    assert caisson("image", "pull", "-q", f"{fleet.anonymous.address}/test/three").returncode == 0
    result = caisson("image", "export", images.names()[0])
    assert result.returncode == 0, result
    (tmp_path / "rootfs.tar").write_bytes(result.stdout)
    assert "bin/sh" in members(tmp_path / "rootfs.tar") or "bin" in members(tmp_path / "rootfs.tar")


def test_archives_of_what_is_not_there(images, caisson, tmp_path):
    for command in ("save", "export"):
        result = caisson("image", command, "nothing:1", "-o", str(tmp_path / "file"))
        assert result.returncode == 5 and b"nothing:1" in result.stderr, result
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("command", ["save", "export"])
def test_a_worker_that_dies_is_seen(engine, fleet, images, environment, caisson, command):
    """Nobody reads the archive, so its workers are there to be killed; then it is not whole."""
    assert caisson("image", "pull", "-q", f"{fleet.anonymous.address}/test/big").returncode == 0
    process = subprocess.Popen([harness.program("caisson"), "image", command, images.names()[0]], env=environment,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(1)
    for worker in workers(engine):
        os.kill(worker, signal.SIGKILL)
    _, error = process.communicate(timeout=SECONDS)
    assert process.returncode == 9 and b"broke the answer off before its end" in error, error
    harness.wait_until(lambda: workers(engine) == [], 10, "the end of the workers")


@pytest.mark.parametrize("command", ["save", "export"])
def test_a_reader_that_goes_ends_the_workers(engine, fleet, images, environment, caisson, command):
    assert caisson("image", "pull", "-q", f"{fleet.anonymous.address}/test/big").returncode == 0
    process = subprocess.Popen([harness.program("caisson"), "image", command, images.names()[0]], env=environment,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(1) and workers(engine) != []
    process.stdout.close()
    assert process.wait(SECONDS) != 0
    process.stderr.close()
    harness.wait_until(lambda: workers(engine) == [], 10, "the end of the workers")
