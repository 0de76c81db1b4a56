# SPDX-License-Identifier: Apache-2.0
"""Pull and push against the real registry in each mode, and who else can read what came of it."""

import json
import os

import pytest

import chaos
from builders import SHOW, SHOWN
from registry import PASSWORD, USER

MODES = ("anonymous", "basic", "tls", "token")


def account(server):
    return {"username": USER, "password": PASSWORD} if server.accounts else {}


def manifest_layers(server, name):
    return json.loads(server.manifest(name))["layers"]


@pytest.mark.parametrize("mode", MODES)
def test_pull_and_run(fleet, images, shows, mode):
    server = fleet.registries[mode]
    name = f"{server.address}/test/three:latest"
    image = images.pull(name, **account(server)).ok()
    assert image["name"] == name.removeprefix(fleet.anonymous.address + "/")
    assert image["digest"] == server.digests["three"] == server.inspect("test/three:latest")["Digest"]
    wanted = manifest_layers(server, "test/three:latest")
    assert [(layer["digest"], layer["blobBytes"]) for layer in image["layers"]] == \
        [(layer["digest"], layer["size"]) for layer in wanted]
    assert images.garbage() == [] and not images.missing()
    shows(name)


@pytest.mark.parametrize("name", ["one", "three_zstd", "index"])
def test_kinds_of_images(fleet, images, shows, name):
    image = images.pull(f"{fleet.anonymous.address}/test/{name}").ok()
    assert image["platform"].startswith("linux/amd64"), image
    if name == "one":
        shows(image["name"], "echo it runs", "it runs\n")
    else:
        shows(image["name"])


def test_other_platform(fleet, images):
    """What this host cannot run can be kept and passed on, and it is said what that is."""
    name = f"{fleet.anonymous.address}/test/index"
    other = images.pull(name, platform="linux/arm64").ok()
    assert other["platform"].startswith("linux/arm64") and len(other["layers"]) == 1
    refused = images.api.create(other["name"], pull_policy="never")
    assert refused.status == 400 and "linux/arm64" in refused.detail and "linux/amd64" in refused.detail
    again = images.pull(name, platform="linux/amd64").ok()
    assert again["platform"] == "linux/amd64" and len(again["layers"]) == 3
    assert "s390x" in images.pull(name, platform="linux/s390x").error
    assert images.names() == [again["name"]]


def test_by_digest(fleet, images, shows):
    digest = fleet.anonymous.digests["three"]
    for name in (f"{fleet.plain.address}/test/three@{digest}", f"{fleet.plain.address}/test/three:latest@{digest}"):
        image = images.pull(name).ok()
        assert image["digest"] == digest
        shows(name)


def test_without_a_registry(fleet, images, shows):
    """The default registry's name is left out, and so is the tag."""
    assert images.pull("test/three").ok()["name"] == "test/three:latest"
    assert images.get(f"{fleet.anonymous.address}/test/three").ok()["name"] == "test/three:latest"
    shows("test/three:latest")


def test_mirror(fleet, images, shows):
    """The first mirror is not there, the second has it; mirrored.test does not exist at all."""
    image = images.pull("mirrored.test/test/three:latest").ok()
    assert image["name"] == "mirrored.test/test/three:latest"
    assert fleet.plain.requests("/manifests/")
    shows(image["name"])


def test_policies(fleet, images):
    name = f"{fleet.plain.address}/test/one:latest"
    images.pull(name).ok()
    fleet.plain.forget()
    images.pull(name, policy="missing").ok()
    assert fleet.plain.records == [], "what is there is not asked for"
    images.pull(name).ok()
    assert fleet.plain.requests("/manifests/") and not fleet.plain.requests("/blobs/sha256")


def test_a_tag_that_moves(fleet, builder, images, shows):
    server, name = fleet.anonymous, f"{fleet.plain.address}/moving/image:1"
    server.fill(f"oci:{builder.one}:latest", "moving/image:1")
    first = images.pull(name).ok()
    server.fill(f"oci:{builder.three}:latest", "moving/image:1")
    assert images.pull(name, policy="missing").ok()["digest"] == first["digest"]
    fleet.plain.forget()
    second = images.pull(name).ok()
    assert second["digest"] != first["digest"] and images.names() == [name]
    assert fleet.plain.served(first["layers"][0]["digest"]) == 0, "the lowest layer is shared"
    shows(name)


def test_credentials_of_the_configuration(fleet, images):
    images.pull(f"{fleet.plain_basic.address}/test/three").ok()
    images.pull(f"{fleet.bearer.address}/test/three").ok()
    assert fleet.tokens.records[-1].authorization.startswith("Basic ")
    assert not any(USER in json.dumps(record.query) + record.path and PASSWORD in record.path
                   for record in fleet.tokens.records)


def test_anonymous_tokens(fleet, images):
    fleet.tokens.anonymous = True
    images.pull(f"{fleet.token.address}/test/three").ok()
    assert fleet.tokens.records and all(record.authorization is None for record in fleet.tokens.records)


@pytest.mark.parametrize("field", ["token", "access_token"])
@pytest.mark.parametrize("told", [None, 300])
def test_forms_of_tokens(fleet, images, field, told):
    fleet.tokens.field, fleet.tokens.told = field, told
    images.pull(f"{fleet.bearer.address}/test/three").ok()


def test_one_token_serves_all_layers(fleet, images):
    images.pull(f"{fleet.bearer.address}/test/three").ok()
    assert len(fleet.tokens.records) <= 2


def test_layers_come_in_parallel(fleet, images):
    fleet.plain.fault(chaos.slow(2 << 20), blobs=True)
    images.pull(f"{fleet.plain.address}/test/wide").ok()
    spans = sorted((record.begin, record.end) for record in fleet.plain.requests("/blobs/"))
    assert any(later[0] < earlier[1] for earlier, later in zip(spans, spans[1:])), "one after the other"


def test_events(fleet, images):
    fleet.plain.fault(chaos.slow(8 << 20), blobs=True)
    outcome = images.pull(f"{fleet.plain.address}/test/big")
    image = outcome.ok()
    assert outcome.events[0]["status"] == "resolving"
    for index, layer in enumerate(image["layers"]):
        events = [e for e in outcome.events if e.get("status") == "layer" and e["digest"] == layer["digest"]]
        assert {event["index"] for event in events} == {index}
        assert events[-1]["phase"] == "done", events
        bytes_ = [event["bytes"] for event in events if event["phase"] == "downloading"]
        assert bytes_ == sorted(bytes_) and all(e["bytes"] <= e["total"] for e in events if "total" in e)
    assert 2 <= len(outcome.phases(image["layers"][1]["digest"])) <= 40


# ---- push ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", MODES)
def test_push(fleet, builder, images, mode):
    """What is pushed is what was pulled, to the byte; skopeo can read it and finds the same digest."""
    server = fleet.registries[mode]
    image = images.pull(f"{fleet.anonymous.address}/test/three").ok()
    to = f"{server.address}/pushed/by-caisson:{mode}"
    outcome = images.push(image["name"], to=to, **account(server))
    outcome.ok()
    assert server.inspect(f"pushed/by-caisson:{mode}")["Digest"] == image["digest"]
    assert server.manifest(f"pushed/by-caisson:{mode}") == fleet.anonymous.manifest("test/three:latest")
    for layer in image["layers"]:
        assert os.path.getsize(server.blob(layer["digest"])) == layer["blobBytes"]


@pytest.mark.parametrize("name", ["skopeo_docker_archive", "skopeo_oci_archive", "buildah"])
def test_push_of_an_imported_file(fleet, builder, images, shows, name):
    with open(getattr(builder, name), "rb") as file:
        images.load(file.read(), "imported:1").ok()
    to = f"{fleet.anonymous.address}/pushed/{name.replace('_', '-')}:1"
    before = images.get("imported:1").ok()
    images.push("imported:1", to=to).ok()
    assert fleet.anonymous.inspect(to.split("/", 1)[1])["Digest"] == before["digest"]
    images.clear()
    assert images.pull(to).ok()["id"] == before["id"]
    shows(to)


def test_push_moves_only_what_is_not_there(fleet, images):
    image = images.pull(f"{fleet.anonymous.address}/test/three").ok()
    to = f"{fleet.plain.address}/pushed/twice:1"
    images.push(image["name"], to=to).ok()
    fleet.plain.forget()
    again = images.push(image["name"], to=to)
    again.ok()
    assert not fleet.plain.requests("/blobs/uploads", "PATCH")
    assert not fleet.plain.requests("/blobs/uploads", "PUT")
    assert all(again.phases(layer["digest"])[-1] in ("exists", "done") for layer in image["layers"])


def test_push_under_its_own_name(fleet, images):
    images.pull(f"{fleet.anonymous.address}/test/three").ok()
    name = f"{fleet.anonymous.address}/tagged/three:2"
    images.tag("test/three:latest", name).ok()
    images.push(name).ok()
    assert fleet.anonymous.inspect("tagged/three:2")["Digest"] == fleet.anonymous.digests["three"]


@pytest.mark.parametrize("act", [chaos.status(500), chaos.status(429, Retry_After=1), chaos.cut()])
def test_push_tries_again(fleet, images, act):
    image = images.pull(f"{fleet.anonymous.address}/test/three").ok()
    fleet.plain.fault(act, path="/blobs/uploads/", method=("POST", "PATCH", "PUT"), times=2)
    to = f"{fleet.plain.address}/pushed/again-{os.urandom(3).hex()}:1"
    images.push(image["name"], to=to).ok()
    assert fleet.anonymous.inspect(to.split("/", 1)[1])["Digest"] == image["digest"]


def test_push_that_may_not(fleet, images):
    image = images.pull(f"{fleet.anonymous.address}/test/three").ok()
    for more in ({}, {"username": USER, "password": "wrong"}):
        outcome = images.push(image["name"], to=f"{fleet.basic.address}/pushed/no:1", **more)
        assert not outcome.done and fleet.basic.address in outcome.error, outcome
    fleet.tokens.actions = {"pull"}
    outcome = images.push(image["name"], to=f"{fleet.token.address}/pushed/no:1", **account(fleet.token))
    assert outcome.code == "denied" and fleet.token.address in outcome.error, outcome


# ---- logins ----------------------------------------------------------------------------------------

def test_login(engine, fleet, images):
    server = fleet.token
    body = {"registry": server.address, "username": USER, "password": PASSWORD}
    wrong = engine.api.request("POST", "/api/v1/registries", {**body, "password": "wrong"})
    assert wrong.status in (401, 403, 422, 502), wrong
    assert not images.pull(f"{server.address}/test/three").done
    engine.api.request("POST", "/api/v1/registries", body).ok()
    listed = engine.api.request("GET", "/api/v1/registries")
    assert server.address in listed.body.decode() and PASSWORD not in listed.body.decode()
    images.pull(f"{server.address}/test/three").ok()
    images.clear()
    engine.api.request("DELETE", f"/api/v1/registries/{server.address}").ok()
    assert not images.pull(f"{server.address}/test/three").done


def test_login_survives_a_restart_and_is_private(engine, fleet, images):
    server = fleet.basic
    engine.api.request("POST", "/api/v1/registries",
                       {"registry": server.address, "username": USER, "password": PASSWORD}).ok()
    path = os.path.join(engine.state, "gateway/auth.json")
    assert os.stat(path).st_mode & 0o777 == 0o600
    engine.stop()
    engine.start()
    images.pull(f"{server.address}/test/three").ok()
    assert PASSWORD not in engine.log()
    engine.api.request("DELETE", f"/api/v1/registries/{server.address}").ok()


# ---- the command line ------------------------------------------------------------------------------

def test_command_line(engine, fleet, images):
    name = f"{fleet.tls.address}/test/three:latest"
    pulled = engine.cli("image", "pull", name)
    assert pulled.returncode == 0, pulled
    assert engine.cli("once", name, "--", "/bin/sh", "-c", SHOW).stdout == SHOWN
    to = f"{fleet.token.address}/pushed/cli:1"
    denied = engine.cli("image", "push", name, to)
    assert denied.returncode != 0 and fleet.token.address in denied.stderr, denied
    login = engine.cli("image", "login", fleet.token.address, "--username", USER, "--password-stdin", input=PASSWORD)
    assert login.returncode == 0, login
    pushed = engine.cli("image", "push", name, to)
    assert pushed.returncode == 0, pushed
    assert engine.cli("image", "logout", fleet.token.address).returncode == 0
    assert fleet.token.inspect("pushed/cli:1")["Digest"] == fleet.tls.digests["three"]
    events = engine.cli("image", "pull", "--json", f"{fleet.anonymous.address}/test/one")
    assert [json.loads(line) for line in events.stdout.splitlines()][-1]["status"] == "done", events
