# SPDX-License-Identifier: Apache-2.0
"""A tree seen through caisson's layers equals the one that umoci unpacks: names, types, modes, owners, times to
the nanosecond, user attributes, links and contents. What differs is a row of the table in src/image/read.h."""

import contextlib
import gzip
import hashlib
import json
import os
import random
import shutil
import stat
import subprocess
import tarfile
import tempfile
import time

import pytest

import layer
from tars import Tar
from test_trees import ROOTFS

TAG = "t"
pytestmark = pytest.mark.skipif(shutil.which("umoci") is None, reason="no umoci")


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def run(*command, **more):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more)


# ---- images ----------------------------------------------------------------------------------------

def layout_of(top, archives, pack=lambda tar: gzip.compress(tar, 1)):
    """An OCI layout of tar archives, lowest first."""
    blobs = os.path.join(top, "blobs", "sha256")
    os.makedirs(blobs)

    def put(kind, data):
        with open(os.path.join(blobs, digest(data)[7:]), "wb") as file:
            file.write(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(data), "size": len(data)}

    config = put("config.v1+json", json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {},
         "rootfs": {"type": "layers", "diff_ids": [digest(a) for a in archives]}}).encode())
    layers = [put("layer.v1.tar+gzip", pack(a)) for a in archives]
    manifest = put("manifest.v1+json", json.dumps(
        {"schemaVersion": 2, "config": config, "layers": layers}).encode())
    manifest["annotations"] = {"org.opencontainers.image.ref.name": TAG}
    for name, document in (("index.json", {"schemaVersion": 2, "manifests": [manifest]}),
                           ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
        with open(os.path.join(top, name), "w") as file:
            json.dump(document, file)
    return top


def made_by_umoci(top, steps):
    """One layer for each function that changes the tree."""
    image, bundle = f"{top}/image:{TAG}", top + "/bundle"
    run("umoci", "init", "--layout", top + "/image")
    run("umoci", "new", "--image", image)
    run("umoci", "unpack", "--image", image, bundle)
    for step in steps:
        step(bundle + "/rootfs")
        run("umoci", "repack", "--refresh-bundle", "--image", image, bundle)
    shutil.rmtree(bundle)
    return top + "/image"


def made_by_buildah(top, steps):
    environment = {**os.environ, "HOME": top, "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}
    base = ["buildah", "--root", top + "/b", "--runroot", top + "/r", "--storage-driver", "vfs"]

    def buildah(*arguments):
        return subprocess.run([*base, *arguments], check=True, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True).stdout.strip()

    name = "scratch"
    for number, step in enumerate(steps):
        work = buildah("from", name)
        step(buildah("mount", work))
        buildah("umount", work)
        name = f"localhost/made:{number}"
        buildah("commit", "--format", "oci", "--disable-compression=false", work, name)
    buildah("push", name, f"oci:{top}/image:{TAG}")
    return top + "/image"


# ---- what both make of it --------------------------------------------------------------------------

def describe(top):
    """Every name with all that counts of it; devices are left out."""
    rows, links = {}, {}
    top = os.fsencode(top)
    for where, dirs, files in os.walk(top):
        for name in [b"."] * (where == top) + dirs + files:
            path = os.path.join(where, name)
            status = os.lstat(path)
            kind = stat.S_IFMT(status.st_mode)
            content = None
            if kind == stat.S_IFREG:
                with open(path, "rb") as file:
                    content = digest(file.read()), status.st_size
            elif kind == stat.S_IFLNK:
                content = os.readlink(path)
            xattrs = {a: os.getxattr(path, a, follow_symlinks=False)
                      for a in os.listxattr(path, follow_symlinks=False)
                      if a.startswith("user.") and a != "user.rootlesscontainers"}
            key = os.path.relpath(path, top)
            if kind not in (stat.S_IFCHR, stat.S_IFBLK):
                rows[key] = dict(mode=oct(status.st_mode), ids=(status.st_uid, status.st_gid),
                                 time=status.st_mtime_ns, content=content, xattrs=xattrs)
            if kind != stat.S_IFDIR:
                links.setdefault((status.st_dev, status.st_ino), []).append(key)
                rows.get(key, {})["nlink"] = status.st_nlink
    for names in links.values():
        for key in names:
            rows.get(key, {})["links"] = sorted(names)
    return rows


def blobs_of(image):
    def read(name):
        with open(f"{image}/{name}", "rb") as file:
            return json.load(file)

    entry, = [m for m in read("index.json")["manifests"]
              if m.get("annotations", {}).get("org.opencontainers.image.ref.name") == TAG]
    return [f"{image}/blobs/sha256/{b['digest'][7:]}"
            for b in read("blobs/sha256/" + entry["digest"][7:])["layers"]]


@contextlib.contextmanager
def seen_through_layers(image):
    with contextlib.ExitStack() as stack:
        layers = [stack.enter_context(layer.mounted(layer.build(blob))) for blob in blobs_of(image)]
        yield stack.enter_context(layer.overlay(layers))


def implied(image):
    """Directories that a layer has content of, but no entry: they hide the attributes of those below."""
    found = {b"."}  # a sandbox's root is its own
    for blob in blobs_of(image):
        with tarfile.open(blob, errors="surrogateescape") as tar:
            names = [os.path.normpath(m.name) for m in tar]
        for name in names:
            while name := os.path.dirname(name):
                if name not in names:
                    found.add(os.fsencode(name))
    return found


def documented(made, key, field):
    """The rows of the table that another engine does not have."""
    return (key in made and field in ("mode", "ids", "time", "xattrs")) or field == "nlink"


def differences(image):
    made = implied(image)
    with tempfile.TemporaryDirectory() as top:
        run("umoci", "unpack", "--image", f"{image}:{TAG}", top + "/bundle")
        want = describe(top + "/bundle/rootfs")
    with seen_through_layers(image) as at:
        got = describe(at)
    assert want.keys() == got.keys(), want.keys() ^ got.keys()
    return [(key, field, want[key][field], got[key][field]) for key in want for field in want[key]
            if want[key][field] != got[key][field] and not documented(made, key, field)]


# ---- a tree that lives -----------------------------------------------------------------------------

def write(path, data, mode=0o644, ids=(0, 0), mtime=1234567890123456789):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    os.chown(path, *ids)
    os.chmod(path, mode)
    os.utime(path, ns=(mtime, mtime))


def first(top):
    write(top + "/bin/tool", b"x" * 10000, 0o4755)
    write(top + "/etc/config", b"one\n", 0o640, (7, 8))
    os.setxattr(top + "/etc/config", "user.note", b"\0binary\xff")
    write(top + "/etc/secret", b"old\n", 0o600)
    for i in range(20):
        write(f"{top}/lib/{i}", b"%d" % i * 1000 * i, mtime=10 ** 18 + i)
    os.link(top + "/lib/3", top + "/lib/three")
    os.symlink("../lib/three", top + "/bin/three")
    os.symlink("/nowhere/at all", top + "/bin/dangling")
    os.makedirs(top + "/var/cache/deep/er")
    write(top + "/var/cache/deep/er/file", b"deep")
    os.mkfifo(top + "/var/pipe", 0o620)
    os.makedirs(top + "/tmp")
    os.chmod(top + "/tmp", 0o1777)
    os.chown(top + "/var", 65535, 1)


def second(top):
    os.unlink(top + "/etc/secret")
    write(top + "/etc/config", b"two two\n", 0o644, (9, 9))
    shutil.rmtree(top + "/var/cache/deep")
    write(top + "/var/cache/deep/new", b"new")
    os.link(top + "/lib/5", top + "/lib/five")
    os.unlink(top + "/bin/dangling")
    os.mkdir(top + "/bin/dangling")
    write(top + "/bin/dangling/file", b"now a directory")
    os.chmod(top + "/lib/7", 0o755)
    os.utime(top + "/lib", ns=(5, 5))


def third(top):
    shutil.rmtree(top + "/bin/dangling")
    write(top + "/bin/dangling", b"now a file")
    shutil.rmtree(top + "/var")
    os.symlink("usr/var", top + "/var")
    write(top + "/usr/var/x", b"x")
    os.unlink(top + "/lib/three")
    write(top + "/lib/9", b"", 0)
    os.utime(top + "/lib", ns=(6, 6))


STEPS = [first, second, third]
MAKERS = {"umoci": made_by_umoci, "buildah": made_by_buildah}


@pytest.mark.parametrize("maker", MAKERS)
def test_made_by(maker, tmp_path):
    if shutil.which(maker) is None:
        pytest.skip("no " + maker)
    image = MAKERS[maker](str(tmp_path), STEPS)
    assert len(blobs_of(image)) == 3
    assert differences(image) == []


def test_debian(tmp_path):
    """A root file system as mmdebstrap writes it, and a layer over it."""
    if not os.path.exists(ROOTFS):
        pytest.skip("no " + ROOTFS)
    with open(ROOTFS, "rb") as file:
        base = file.read()
    over = Tar().dir("etc", mtime=77).add("etc/.wh.motd").add("etc/hostname", data=b"changed\n", mtime=78)
    over = over.dir("usr", mtime=1).dir("usr/share", mtime=2).dir("usr/share/doc", mtime=3, mode=0o750)
    over = over.add("usr/share/doc/.wh..wh..opq").add("usr/share/doc/only", data=b"this", mtime=4)
    assert differences(layout_of(str(tmp_path / "i"), [base, over.bytes()])) == []


NAMES = ["a", "b", "c", "d/e", "d/f", "d/g/h", "i/j", "i/k/l"]


def random_layer(rng, previous):
    """Entries as a tool would write them: parents first, every change of a directory with its entry."""
    tar, made, times = Tar(), set(), lambda: rng.randrange(10 ** 9)

    def parents(name):
        for i, c in enumerate(name):
            if c == "/" and name[:i] not in made:
                tar.dir(name[:i], mtime=times(), mode=rng.choice([0o755, 0o700, 0o2775]), uid=rng.randrange(9))
                made.add(name[:i])

    files = []
    for name in sorted(rng.sample(NAMES, rng.randrange(1, len(NAMES)))):
        what = rng.random()
        parents(name)
        made.add(name)
        if what < 0.25 and name in previous:
            tar.add(os.path.join(os.path.dirname(name), ".wh." + os.path.basename(name)))
            previous.discard(name)
            continue
        if what < 0.35 and files:
            tar.hard(name, rng.choice(files))
        elif what < 0.45:
            tar.link(name, rng.choice(NAMES), mtime=times())
        else:
            tar.add(name, data=rng.randbytes(rng.choice([0, 5, 3000, 5000])), mtime=times(),
                    mode=rng.choice([0o644, 0o755, 0o4711]), gid=rng.randrange(65536),
                    pax_headers={"SCHILY.xattr.user.k": str(rng.random())} if what > 0.8 else {})
            files.append(name)
        previous.add(name)
    return tar.bytes()


@pytest.mark.parametrize("seed", range(12))
def test_random_layers(seed, tmp_path):
    rng, names = random.Random(seed), set()
    archives = [random_layer(rng, names) for _ in range(rng.randrange(2, 6))]
    assert differences(layout_of(str(tmp_path / "i"), archives)) == []


def test_127_layers(tmp_path):
    """Each has a file of its own, changes one that all have and removes the one before."""
    archives = []
    for i in range(127):
        tar = Tar().dir("d", mtime=i).add("d/all", data=b"%d" % i, mtime=i).add(f"d/{i}", data=b"x" * i, mtime=1)
        archives.append((tar.add(f"d/.wh.{i - 1}") if i else tar).bytes())
    image = layout_of(str(tmp_path / "i"), archives)
    began = time.monotonic()
    assert differences(image) == []
    assert time.monotonic() - began < 120
