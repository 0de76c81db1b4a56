# SPDX-License-Identifier: Apache-2.0
"""An image from an OCI layout on this disk to where it can be started: caisson, others, and decoding alone."""

import hashlib
import json
import os
import shutil
import subprocess
import time

import host
import peers
from goals import DECODING, IMPORT
from measure import Contender, latency

TAG = "bench"
SECONDS = 300  # for one image, with the slowest of them on a slow disk
MEDIA = {"gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
         "zstd": "application/vnd.oci.image.layer.v1.tar+zstd"}
PACK = {"gzip": ["gzip", "-6", "-c"], "zstd": ["zstd", "-3", "-q", "-c"]}
DECODE = {"gzip": [["gzip", "-dc"], ["igzip", "-dc"]], "zstd": [["zstd", "-dcq"]]}


# ---- the image -------------------------------------------------------------------------------------

def digest_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


class Image:
    """One tree in one compression: the blob, and an OCI layout around it."""

    def __init__(self, top, tree, tar, how):
        self.tree, self.how, self.tar = tree, how, tar
        self.layout = os.path.join(top, f"{tree}-{how}")
        self.blobs = os.path.join(self.layout, "blobs", "sha256")
        os.makedirs(self.blobs)
        fresh = os.path.join(self.blobs, "fresh")
        with open(fresh, "wb") as out:
            subprocess.run([*PACK[how], tar], stdout=out, check=True)
        layer = {"mediaType": MEDIA[how], "digest": "sha256:" + digest_of(fresh), "size": os.path.getsize(fresh)}
        self.blob = os.path.join(self.blobs, layer["digest"][7:])
        os.rename(fresh, self.blob)
        config = self.document("application/vnd.oci.image.config.v1+json", {
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest_of(tar)]}})
        manifest = self.document("application/vnd.oci.image.manifest.v1+json", {
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config, "layers": [layer]})
        manifest["annotations"] = {"org.opencontainers.image.ref.name": TAG}
        for name, what in (("index.json", {"schemaVersion": 2, "manifests": [manifest]}),
                           ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
            with open(os.path.join(self.layout, name), "w", encoding="ascii") as file:
                json.dump(what, file)

    def document(self, kind, what):
        data = json.dumps(what).encode()
        name = hashlib.sha256(data).hexdigest()
        with open(os.path.join(self.blobs, name), "wb") as file:
            file.write(data)
        return {"mediaType": kind, "digest": "sha256:" + name, "size": len(data)}

    def describe(self):
        return (f"{self.tree}: {os.path.getsize(self.tar) / 1e6:.0f} MB of tar, "
                f"{os.path.getsize(self.blob) / 1e6:.0f} MB with {self.how}")


# ---- the contenders: the step makes it runnable, what comes after takes it away, unmeasured -----------

def call(*argv, **more):
    return host.call(*argv, seconds=SECONDS, **more)


def remove(*paths):
    return lambda: [shutil.rmtree(path, ignore_errors=True) for path in paths]


def caisson(engine, image):
    layers = os.path.join(engine.state, "layers")
    before = len(os.listdir(layers))

    def after():
        engine.cli("image", "rm", TAG)
        host.wait_for(lambda: len(os.listdir(layers)) <= before, what="the end of the layer")  # a moment later
    return Contender(IMPORT, lambda: call(engine.programs.caisson, "image", "import", "--name", TAG, image.layout,
                                          env=engine.environment), after=after)


def umoci(top, image):
    at = os.path.join(top, "tree")
    yield Contender("umoci unpack", lambda: call("umoci", "unpack", "--image", f"{image.layout}:{TAG}", at),
                    after=remove(at))


def skopeo(top, image):
    at, copy = os.path.join(top, "tree"), os.path.join(top, "copy")

    def step():
        call("skopeo", "--insecure-policy", "copy", f"oci:{image.layout}:{TAG}", f"oci:{copy}:{TAG}")
        call("umoci", "unpack", "--image", f"{copy}:{TAG}", at)
    yield Contender("skopeo copy + umoci unpack", step, after=remove(at, copy))


def podman(top, image):
    """A store of its own; pull reads the layout as it lies there, load an archive of it."""
    store = os.path.join(top, "images")
    os.mkdir(store)
    peer, policy = peers.Podman(store, store, None, None), os.path.join(store, "policy.json")
    with open(policy, "w", encoding="ascii") as file:
        json.dump({"default": [{"type": "insecureAcceptAnything"}]}, file)
    archive = image.layout + ".tar"
    call("tar", "-C", image.layout, "-cf", archive, ".")

    def after():
        peer.call("rmi", "--all", "--force", seconds=SECONDS)
    yield Contender("podman pull", lambda: peer.call(
        "pull", "--signature-policy", policy, f"oci:{image.layout}:{TAG}", seconds=SECONDS), after=after)
    yield Contender("podman load", lambda: peer.call(
        "load", "--signature-policy", policy, "--input", archive, seconds=SECONDS), after=after)


def tar(top, image):
    at = os.path.join(top, "tree")

    def step():
        os.mkdir(at)
        call("tar", "-C", at, f"--{image.how}", "--numeric-owner", "--xattrs", "-xpf", image.blob)
    yield Contender("GNU tar", step, after=remove(at))


PEERS = {"umoci": umoci, "skopeo": skopeo, "podman": podman, "tar": tar}


def decoders(image):
    for command in DECODE[image.how]:
        if shutil.which(command[0]):
            yield Contender(f"{DECODING} ({command[0]})", lambda c=command: call(
                "sh", "-c", '"$0" "$@" >/dev/null', *c, image.blob))


def measure(top, engine, image, rounds, seconds, names):
    """Section of milliseconds. The blob was written just now, so nobody reads it from the disk."""
    contenders, missing = [caisson(engine, image), *decoders(image)], {}
    for name in names:
        if shutil.which(name) is None:
            missing[name] = "not installed"
        else:
            contenders += PEERS[name](top, image)

    def rest():
        os.sync()
        time.sleep(0.2)
    section = latency(image.describe(), contenders, rounds, seconds, pause=rest, warm=False)
    section.failed.update(missing)
    host.remove(os.path.join(top, "images"))
    return section
