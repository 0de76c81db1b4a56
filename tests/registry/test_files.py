# SPDX-License-Identifier: Apache-2.0
"""Images as files: what every builder makes goes in, what goes out is read by everybody, commits included."""

import io
import json
import os
import tarfile

import pytest

import archives
from archives import Entry, directory
from builders import NAME, SHOW, SHOWN, as_tar
from registry import skopeo
from test_pull import account

FORMS = ("one", "three", "three_zstd", "three_plain", "many", "index", "umoci", "umoci_opaque", "buildah",
         "buildah_docker", "skopeo_oci", "skopeo_zstd", "skopeo_oci_archive", "skopeo_docker_archive",
         "podman_docker_archive", "podman_oci_archive")


def bytes_of(path):
    if os.path.isdir(path):
        return as_tar(path)
    with open(path, "rb") as file:
        return file.read()


@pytest.mark.parametrize("form", FORMS)
def test_import(builder, images, shows, form):
    answer = images.load(bytes_of(getattr(builder, form)), None if form == "podman_docker_archive" else "form:1").ok()
    assert answer["skipped"] == 0
    image = next((image for image in answer["images"] if image["name"].endswith(NAME)), answer["images"][0])
    if form == "one":
        shows(image["name"], "echo it runs", "it runs\n")
    elif form == "many":
        assert len(image["layers"]) == 127
        shows(image["name"], "ls -d /n* | wc -l; cat /n126", "1\n126")
    else:
        shows(image["name"])
    assert images.garbage() == []
    images.sound()


@pytest.mark.parametrize("form", ["three", "umoci", "index"])
def test_import_of_a_directory(engine, builder, images, shows, form):
    result = engine.cli("image", "import", getattr(builder, form), "--name", "from-directory:1")
    assert result.returncode == 0, result
    shows("from-directory:1")


@pytest.mark.parametrize("form", ["skopeo_dir", "skopeo_schema2"])
def test_import_of_skopeos_own_form(engine, builder, images, shows, form):
    """dir: is no format for others to read. It is an image here, or refused; never a tree of files."""
    result = engine.cli("image", "import", getattr(builder, form), "--name", "dir:1")
    if result.returncode == 0:
        shows("dir:1")
    else:
        assert result.stderr and images.list() == []


def test_schema2_from_a_registry(fleet, builder, images, shows):
    fleet.anonymous.fill(f"dir:{builder.skopeo_schema2}", "test/schema2:latest")
    image = images.pull(f"{fleet.anonymous.address}/test/schema2").ok()
    assert image["layers"][0]["mediaType"] == "application/vnd.docker.image.rootfs.diff.tar.gzip"
    assert image["digest"] == fleet.anonymous.inspect("test/schema2:latest")["Digest"]
    shows(image["name"])


def test_many_layers_from_a_registry(fleet, builder, images, shows):
    fleet.anonymous.fill(f"oci:{builder.many}:latest", "test/many:latest", "--preserve-digests")
    image = images.pull(f"{fleet.anonymous.address}/test/many").ok()
    assert len(image["layers"]) == 127
    shows(image["name"], "ls -d /n*; cat /n126", "/n126\n126")


def test_several_images_in_one_file(builder, images, shows):
    loaded = images.load(bytes_of(builder.podman_docker_archive)).ok()["images"]
    assert len(loaded) == 2 and len(images.names()) == 2, loaded
    shows(next(image["name"] for image in loaded if image["name"].endswith(NAME)))


def test_same_digests_everywhere(fleet, builder, images):
    """Pulled, saved and imported again on a host with no network: the same image."""
    pulled = images.pull(f"{fleet.anonymous.address}/test/three").ok()
    data = images.save(pulled["name"])
    images.clear()
    loaded = images.load(data).ok()["images"]
    assert [(image["name"], image["id"], image["digest"]) for image in loaded] == \
        [(pulled["name"], pulled["id"], pulled["digest"])]
    assert loaded[0]["layers"] == pulled["layers"]


# ---- out -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("form", ["three", "three_zstd", "three_plain", "buildah_docker", "index", "many"])
@pytest.mark.parametrize("format", ["oci", "docker"])
def test_save_is_read_by_others(fleet, builder, images, shows, tmp_path, form, format):
    image = images.load(bytes_of(getattr(builder, form)), "saved/image:1").ok()["images"][0]
    path = str(tmp_path / "saved.tar")
    with open(path, "wb") as file:
        file.write(images.save("saved/image:1", format=format))
    source = f"oci-archive:{path}" if format == "oci" else f"docker-archive:{path}"
    inspected = json.loads(skopeo("inspect", source))
    if format == "oci":
        assert inspected["Digest"] == image["digest"]
    config = json.loads(skopeo("inspect", "--config", source))
    assert config["rootfs"]["diff_ids"] == [layer["diffId"] for layer in image["layers"]]
    # What another tool makes of it is the same image again; it knows no docker archive of zstd.
    kind = "oci" if form == "three_zstd" else "docker"
    skopeo("copy", "-q", source, f"{kind}-archive:{tmp_path}/again.tar:again:1")
    images.clear()
    again = images.load(bytes_of(str(tmp_path / "again.tar")), "again:1").ok()["images"][0]
    assert [layer["diffId"] for layer in again["layers"]] == [layer["diffId"] for layer in image["layers"]]
    if form not in ("many",):
        shows("again:1")


@pytest.mark.parametrize("format", ["oci", "docker"])
def test_podman_loads_what_is_saved(builder, images, tmp_path, format):
    images.load(bytes_of(builder.three), "for/podman:1").ok()
    images.load(bytes_of(builder.one), "for/podman:2").ok()
    names = ("for/podman:1", "for/podman:2") if format == "docker" else ("for/podman:1",)
    path = str(tmp_path / "saved.tar")
    with open(path, "wb") as file:
        file.write(images.save(*names, format=format))
    loaded = builder.podman_loads(path)
    assert len(loaded) == len(names), loaded
    container = builder.buildah_do("from", "--pull-never", loaded[0])
    shown = builder.buildah_do("run", "--isolation", "chroot", container, "--", "/bin/sh", "-c", SHOW)
    builder.buildah_do("rm", container)
    assert shown == SHOWN.strip()


def test_save_of_several(builder, images):
    images.load(bytes_of(builder.three), "first:1").ok()
    images.load(bytes_of(builder.one), "second:2").ok()
    before = {image["name"]: image["digest"] for image in images.list()}
    for format in ("oci", "docker"):
        data = images.save("first:1", "second:2", format=format)
        images.clear()
        loaded = {image["name"]: image["digest"] for image in images.load(data).ok()["images"]}
        assert set(loaded) == set(before) and (format == "docker" or loaded == before)


def test_save_is_the_same_each_time(builder, images):
    images.load(bytes_of(builder.three), "same:1").ok()
    assert images.save("same:1") == images.save("same:1")


def test_export(builder, images):
    images.load(bytes_of(builder.three), "exported:1").ok()
    with tarfile.open(fileobj=io.BytesIO(images.export("exported:1"))) as tar:
        names = {name.lstrip("./").rstrip("/") for name in tar.getnames()}
    assert {"data/keep", "data/dir/new", "bin/busybox"} <= names
    assert not names & {"data/gone", "data/dir/old"} and not any(".wh." in name for name in names)


# ---- commit ----------------------------------------------------------------------------------------

CHANGE = ("echo new >/data/added; rm /data/keep; rm -r /data/dir; mkdir /data/dir; echo inner >/data/dir/inner; "
          "chown 1000:2000 /data/added; chmod 4750 /data/added; ln -s added /data/link; ln /data/added /data/hard")
LOOK = ("cat /data/added; ls /data /data/dir; stat -c '%u:%g %a %h' /data/added; readlink /data/link")
LOOKED = "new\n/data:\nadded\ndir\nhard\nlink\n\n/data/dir:\ninner\n1000:2000 4750 2\nadded\n"


@pytest.fixture
def committed(builder, images, api, make):
    images.load(bytes_of(builder.three), "before:1").ok()
    key = make("before:1")
    assert api.exec(key, CHANGE).code == 0
    images.commit(key, "after:1", message="changed").ok()
    return key


def test_commit(images, api, shows, committed):
    shows("after:1", LOOK, LOOKED)
    assert api.exec(committed, LOOK).stdout == LOOKED, "the sandbox goes on"
    before, after = images.get("before:1").ok(), images.get("after:1").ok()
    assert after["layers"][:3] == before["layers"] and len(after["layers"]) == 4
    assert after["config"] == before["config"]
    assert after["history"][-1].get("comment") == "changed"
    assert images.garbage() == []
    images.sound()


def test_commit_is_reproducible(images, committed):
    images.commit(committed, "once-more:1").ok()
    assert images.get("once-more:1")["layers"][-1]["diffId"] == images.get("after:1")["layers"][-1]["diffId"]


def test_commit_is_an_image_for_others(fleet, builder, images, committed, tmp_path):
    to = f"{fleet.token.address}/pushed/committed:1"
    images.push("after:1", to=to, **account(fleet.token)).ok()
    assert fleet.token.inspect("pushed/committed:1")["Digest"] == images.get("after:1")["digest"]
    path = str(tmp_path / "after.tar")
    with open(path, "wb") as file:
        file.write(images.save("after:1"))
    loaded = builder.podman_loads(path)
    container = builder.buildah_do("from", "--pull-never", loaded[0])
    looked = builder.buildah_do("run", "--isolation", "chroot", container, "--", "/bin/sh", "-c", LOOK)
    builder.buildah_do("rm", container)
    assert looked == LOOKED.strip()


# ---- the store -------------------------------------------------------------------------------------

def test_tag_and_rm(builder, images):
    images.load(bytes_of(builder.three), "a:1").ok()
    before = images.files()
    images.tag("a:1", "b:2").ok()
    assert images.names() == ["a:1", "b:2"] and images.files() == before
    images.remove("a:1").ok()
    assert images.names() == ["b:2"] and images.missing() == set()
    images.remove("b:2").ok()
    images.prune().ok()
    assert images.files() == {}


def test_sizes(builder, images):
    images.load(bytes_of(builder.three), "three:1").ok()
    images.load(bytes_of(builder.one), "one:1").ok()
    three, one = images.get("three:1").ok(), images.get("one:1").ok()
    assert one["uniqueBytes"] == 0 or one["sharedBytes"] > 0, one
    assert three["sharedBytes"] >= one["layers"][0]["sizeBytes"]
    for image in (three, one):
        assert image["sizeBytes"] == image["sharedBytes"] + image["uniqueBytes"]


def test_prune(builder, images, make):
    images.load(bytes_of(builder.three), "used:1").ok()
    images.load(bytes_of(builder.three_zstd), "unused:1").ok()
    make("used:1")
    assert images.prune().ok()["removed"] == []
    pruned = images.prune(all=True).ok()
    assert pruned["removed"] == ["unused:1"] and pruned["reclaimedBytes"] > 0
    assert images.names() == ["used:1"] and images.garbage() == []


def spoil(path, at=100):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x55]))


@pytest.mark.parametrize("what", ["layer", "blob", "configuration", "manifest", "layer is gone", "blob is gone"])
def test_verify_finds_and_repairs(engine, fleet, images, shows, what):
    image = images.pull(f"{fleet.anonymous.address}/test/three").ok()
    layer = image["layers"][-1]
    path = {"layer": f"layers/{layer['diffId'][7:]}.erofs", "blob": f"gateway/blobs/sha256/{layer['digest'][7:]}",
            "configuration": f"gateway/blobs/sha256/{image['id'][7:]}",
            "manifest": f"gateway/blobs/sha256/{image['digest'][7:]}"}[what.removesuffix(" is gone")]
    path = os.path.join(engine.state, path)
    images.sound()
    if what.endswith("gone"):
        os.remove(path)
    else:
        spoil(path, os.path.getsize(path) // 2)
    found = images.verify()
    assert found.done and len(found.last["bad"]) == 1, found
    repaired = images.verify(repair=True)
    if not repaired.last["repaired"]:  # from the registry, then
        images.pull(image["name"], policy="always").ok()
    images.sound()
    shows(image["name"])


@pytest.mark.parametrize("gone", [False, True])
def test_repair_without_a_registry(engine, builder, images, shows, gone):
    """A layer is made again from the blob that it came as."""
    image = images.load(bytes_of(builder.three), "repaired:1").ok()["images"][0]
    path = os.path.join(engine.state, f"layers/{image['layers'][-1]['diffId'][7:]}.erofs")
    if gone:
        os.remove(path)
    else:
        spoil(path, os.path.getsize(path) // 2)
    found = images.verify()
    assert found.done and len(found.last["bad"]) == 1 and found.last["repaired"] == [], found
    repaired = images.verify(image="repaired:1", repair=True)
    assert len(repaired.last["repaired"]) == 1, repaired
    images.sound()
    shows("repaired:1")


def test_verify_tells_what_cannot_be_repaired(engine, builder, images):
    image = images.load(bytes_of(builder.three), "broken:1").ok()["images"][0]
    spoil(os.path.join(engine.state, f"gateway/blobs/sha256/{image['layers'][-1]['digest'][7:]}"))
    outcome = images.verify(repair=True)
    assert outcome.done and len(outcome.last["bad"]) == 1 and outcome.last["repaired"] == [], outcome
    assert image["layers"][-1]["digest"] in str(outcome.last["bad"])
    images.remove("broken:1").ok()
    images.sound()


def test_hard_to_name_layers(builder, images, shows):
    """Two images whose second layers are the same bytes, one compressed and one not, share it."""
    extra = archives.tar([directory("d"), Entry("d/f", "f")])
    images.load(archives.Layout([builder.base, extra], how="gzip").as_tar(), "x:1").ok()
    before = len([path for path in images.files() if path.startswith("layers/")])
    images.load(archives.Layout([builder.base, extra], how="none").as_tar(), "y:1").ok()
    assert len([path for path in images.files() if path.startswith("layers/")]) == before
    shows("y:1", "cat /d/f", "f")
