# SPDX-License-Identifier: Apache-2.0
"""The store of images: names, sizes, what is removed when, and what verify sees and repairs."""
import json
import os

import pytest

import archives
import harness
from archives import Entry


@pytest.fixture
def image(api):
    """An image of two layers, the lower one shared with another image."""
    base = archives.tar(archives.busybox_entries())
    upper = archives.tar([Entry("etc/mark", "store"), Entry("srv/data", os.urandom(300000))])
    layout = archives.Layout([base, upper])
    [made] = api.import_image("store/test:1", layout.as_tar()).ok()["images"]
    yield made
    for name in [image["name"] for image in api.images() if image["name"].startswith("store/")]:
        assert api.remove_image(name).status == 200


@pytest.fixture
def make(image, make):
    """Sandboxes go before the image that they run from."""
    return make


def events(api, route, **body):
    answer = api.request("POST", "/api/v1/images/" + route, json.dumps(body).encode())
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


def verify(api, **body):
    *_, last = events(api, "verify", **body)
    assert last["status"] == "done", last
    return last


def blob_path(engine, digest):
    return os.path.join(engine.state, "gateway", "blobs", "sha256", digest.split(":")[1])


def layer_path(engine, layer):
    return os.path.join(engine.state, "layers", layer["diffId"].split(":")[1] + ".erofs")


def damage(path):
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0xff]))


def tag(api, image, name):
    return api.request("POST", "/api/v1/images/tag", json.dumps({"image": image, "name": name}).encode())


def test_tag_is_the_same_image(api, make, image):
    other = tag(api, "store/test:1", "docker.io/store/other").ok()
    assert other["name"] == "store/other:latest"
    assert {key: other[key] for key in ("id", "digest", "layers")} == {
        key: image[key] for key in ("id", "digest", "layers")}
    assert api.remove_image("store/test:1").status == 200
    assert api.exec(make("store/other"), "cat /etc/mark").stdout == "store"


def test_tag_refuses(api, image):
    assert tag(api, "store/none", "store/x").status == 404
    assert tag(api, "store/test:1", "Bad Name").status == 400
    assert tag(api, "store/test:1", "store/x@sha256:" + "0" * 64).status == 400
    assert api.request("POST", "/api/v1/images/tag", b"{}").status == 400


def test_sizes_are_shared_and_unique(api, image):
    again = api.request("GET", "/api/v1/images/store/test:1").ok()
    assert again["sharedBytes"] + again["uniqueBytes"] == again["sizeBytes"]
    upper = archives.tar([Entry("etc/mark", "more")])
    [more] = api.import_image("store/more:1", archives.Layout(
        [archives.tar(archives.busybox_entries()), upper]).as_tar()).ok()["images"]
    assert more["uniqueBytes"] == more["layers"][1]["sizeBytes"]
    assert more["sharedBytes"] == more["layers"][0]["sizeBytes"]


def test_history(api, image):
    assert api.request("GET", "/api/v1/images/store/test:1").ok()["history"] == [{"created_by": "test"}] * 2


def test_prune_removes_what_nobody_has(engine, api, make, image):
    box = make("store/test:1")
    tag(api, "store/test:1", "store/unused:1").ok()
    stray = blob_path(engine, "sha256:" + "0" * 64)
    with open(stray, "wb") as file:
        file.write(b"stray")
    answer = api.request("POST", "/api/v1/images/prune", b"{}").ok()
    assert answer["removed"] == [] and answer["reclaimedBytes"] == 5
    assert not os.path.exists(stray)
    answer = api.request("POST", "/api/v1/images/prune", b'{"all": true}').ok()
    assert "store/unused:1" in answer["removed"] and "store/test:1" not in answer["removed"]
    assert api.exec(box, "cat /etc/mark").stdout == "store"
    api.import_image("busybox", archives.busybox()).ok()


def test_prune_tells_what_it_reclaimed(engine, api, image):
    sizes = sum(layer["sizeBytes"] for layer in image["layers"][1:]) + sum(
        os.path.getsize(blob_path(engine, digest))
        for digest in [image["id"], image["digest"]] + [layer["digest"] for layer in image["layers"]])
    tag(api, "store/test:1", "store/kept:1").ok()
    assert api.remove_image("store/kept:1").status == 200
    answer = api.request("POST", "/api/v1/images/prune", b'{"all": true}').ok()
    assert "store/test:1" in answer["removed"]
    assert answer["reclaimedBytes"] >= sizes
    assert not os.path.exists(layer_path(engine, image["layers"][1]))
    api.import_image("busybox", archives.busybox()).ok()


def test_verify_finds_a_sound_store_sound(api, image):
    last = verify(api)
    assert last["bad"] == [] and last["repaired"] == [] and last["checked"] >= 6
    lines = events(api, "verify", image="store/test:1")
    assert lines[-1]["checked"] == 6  # manifest, configuration, two blobs, two layers
    assert {line["digest"] for line in lines[:-1]} <= {image["id"], image["digest"]} | {
        layer[key] for layer in image["layers"] for key in ("digest", "diffId")}


def test_verify_repairs_a_layer(engine, api, make, image):
    path = layer_path(engine, image["layers"][1])
    damage(path)
    last = verify(api)
    assert [(bad["kind"], bad["digest"]) for bad in last["bad"]] == [("layer", image["layers"][1]["diffId"])]
    assert verify(api, image="store/test:1", repair=True)["repaired"][0]["digest"] == image["layers"][1]["diffId"]
    assert verify(api)["bad"] == []
    os.unlink(path)
    assert verify(api, repair=True)["bad"][0]["problem"] == "it is missing"
    assert verify(api)["bad"] == []
    assert api.exec(make("store/test:1"), "cat /etc/mark").stdout == "store"


def test_verify_does_not_replace_a_layer_in_use(engine, api, make, image):
    box = make("store/test:1")
    damage(layer_path(engine, image["layers"][1]))
    last = verify(api, repair=True)
    assert len(last["bad"]) == 1 and last["repaired"] == []
    api.delete(box).ok()
    harness.wait_until(lambda: verify(api, repair=True)["repaired"], 10, "the layer to be free")
    assert verify(api)["bad"] == []


@pytest.mark.parametrize("which", ["manifest", "config", "layer"])
def test_verify_sees_a_damaged_blob_and_import_brings_it_back(engine, api, image, which):
    digest = {"manifest": image["digest"], "config": image["id"], "layer": image["layers"][1]["digest"]}[which]
    damage(blob_path(engine, digest))
    last = verify(api, image="store/test:1")
    assert [(bad["kind"], bad["digest"]) for bad in last["bad"]] == [("blob", digest)]
    assert verify(api, repair=True)["repaired"] == []  # nobody here can make it
    assert "missing" in verify(api)["bad"][0]["problem"]
