# SPDX-License-Identifier: Apache-2.0
"""Images made on the fly: root file systems as tar, OCI layouts, docker-save archives, hostile ones.

Everything is bytes in memory or files in a directory that the caller gave; nothing is ever unpacked
on this machine. Hostile entries exist in archives only.
"""

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile

BUSYBOX = "/bin/busybox"
PASSWD = ("root:x:0:0:root:/root:/bin/sh\n"
          "app:x:1000:1000:app:/home/app:/bin/sh\n"
          "nobody:x:65534:65534:nobody:/:/bin/false\n")
GROUP = "root:x:0:\napp:x:1000:\nextra:x:2000:app\nnogroup:x:65534:\n"


class Entry:
    """One member of a layer: what tarfile.TarInfo holds, said in one line."""

    def __init__(self, name, data=None, type=None, mode=None, link=None, uid=0, gid=0, device=None,
                 pax=None, size=None):
        self.name, self.data, self.link = name, data, link
        self.uid, self.gid, self.device, self.pax, self.size = uid, gid, device, pax or {}, size
        if type is None:
            if link is not None:
                type = tarfile.SYMTYPE
            else:
                type = tarfile.REGTYPE if data is not None else tarfile.DIRTYPE
        self.type = type
        self.mode = mode if mode is not None else (0o755 if type == tarfile.DIRTYPE else 0o644)

    def add_to(self, tar):
        info = tarfile.TarInfo(self.name)
        info.type, info.mode, info.uid, info.gid = self.type, self.mode, self.uid, self.gid
        info.pax_headers = dict(self.pax)
        if self.link is not None:
            info.linkname = self.link
        if self.device is not None:
            info.devmajor, info.devminor = self.device
        data = self.data
        if data is not None and self.type == tarfile.REGTYPE:
            data = data.encode() if isinstance(data, str) else data
            info.size = len(data) if self.size is None else self.size
            tar.addfile(info, io.BytesIO(data))
        else:
            tar.addfile(info)


def directory(name, **more):
    return Entry(name, type=tarfile.DIRTYPE, **more)


def hardlink(name, target, **more):
    return Entry(name, type=tarfile.LNKTYPE, link=target, **more)


def tar(entries, format=tarfile.PAX_FORMAT, end=True):
    """The bytes of an uncompressed tar with these entries in this order; more may follow without an end."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, errors="surrogateescape",
                      encoding="utf-8") as archive:
        for entry in entries:
            entry.add_to(archive)
        length = archive.offset
    return out.getvalue() if end else out.getvalue()[:length]


def compress(data, how):
    if how == "none":
        return data
    if how == "gzip":
        return gzip.compress(data, 1, mtime=0)
    return subprocess.run([how, "-q", "-c"], input=data, stdout=subprocess.PIPE,
                          check=True, timeout=60).stdout


_applets = None


def busybox_entries(extra=()):
    """A whole small system: busybox, its links, a few files that programs expect."""
    global _applets
    if _applets is None:
        listed = subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, check=True, timeout=10)
        _applets = listed.stdout.decode().split()
    with open(BUSYBOX, "rb") as program:
        data = program.read()
    yield from (directory(name) for name in
                ("bin", "etc", "root", "home", "home/app", "usr", "usr/bin", "var", "proc", "sys", "dev"))
    yield directory("tmp", mode=0o1777)
    yield directory("var/tmp", mode=0o1777)
    yield Entry("bin/busybox", data, mode=0o755)
    for applet in _applets:
        if applet != "busybox":
            yield hardlink("bin/" + applet, "bin/busybox", mode=0o755)
    yield Entry("etc/passwd", PASSWD)
    yield Entry("etc/group", GROUP)
    yield from extra


def busybox(extra=(), how="none"):
    return compress(tar(busybox_entries(extra)), how)


def escape_image(probe, agent_name="probe"):
    """busybox with the escape probe in it: plain, set-user-ID, set-group-ID and with capabilities."""
    with open(probe, "rb") as program:
        data = program.read()
    all_caps = (b"\x01\x00\x00\x02" + b"\xff\xff\xff\xff" + b"\x00" * 4 +
                b"\xff\xff\xff\xff" + b"\x00" * 4)
    return busybox([
        Entry(agent_name, data, mode=0o755),
        Entry("probe-suid", data, mode=0o4755),
        Entry("probe-sgid", data, mode=0o2755),
        Entry("probe-caps", data, mode=0o755,
              pax={"SCHILY.xattr.security.capability": all_caps.decode("latin-1")}),
    ])


def known_image(program):
    """busybox with a program that uses what it is told to (known.c)."""
    with open(program, "rb") as file:
        return busybox([Entry("known", file.read(), mode=0o755)])


# ---- OCI -------------------------------------------------------------------------------------------

def sha256(data):
    return hashlib.sha256(data).hexdigest()


MEDIA = {"none": "application/vnd.oci.image.layer.v1.tar",
         "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
         "zstd": "application/vnd.oci.image.layer.v1.tar+zstd"}


class Layout:
    """An OCI image layout in memory: path -> bytes. The documents can be spoilt before it is written."""

    def __init__(self, layers, config=None, how="gzip", tag="latest"):
        """layers: uncompressed tars, lowest first; config: the "config" object of the image."""
        self.files = {}
        packed = [compress(layer, how) for layer in layers]
        self.image = {
            "architecture": "amd64", "os": "linux", "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha256(l) for l in layers]},
            "history": [{"created_by": "test"} for _ in layers],
        }
        self.manifest = {
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "layers": [{"mediaType": MEDIA[how], "digest": "sha256:" + sha256(blob),
                        "size": len(blob)} for blob in packed],
        }
        self.blobs = list(packed)
        self.tag = tag
        self.extra = {}

    def build(self):
        """The files, digests as they are now. Change self.image, self.manifest, self.blobs before."""
        files = {}
        for descriptor, blob in zip(self.manifest["layers"], self.blobs):
            files["blobs/sha256/" + descriptor["digest"].split(":")[1]] = blob
        config = json.dumps(self.image).encode()
        self.manifest["config"] = self.manifest.get("config") or {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": "sha256:" + sha256(config), "size": len(config)}
        files["blobs/sha256/" + sha256(config)] = config
        manifest = json.dumps(self.manifest).encode()
        files["blobs/sha256/" + sha256(manifest)] = manifest
        files["index.json"] = json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json",
                           "digest": "sha256:" + sha256(manifest), "size": len(manifest),
                           "annotations": {"org.opencontainers.image.ref.name": self.tag}}]}).encode()
        files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
        files.update(self.extra)
        return files

    def as_tar(self):
        return tar(Entry(name, data) for name, data in sorted(self.build().items(), reverse=True))

    def as_directory(self, path):
        for name, data in self.build().items():
            target = os.path.join(path, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(data)
        return path


def docker_save_several(images, config=None):
    """What `docker save` writes: manifest.json, configurations, one directory per layer. images: name -> layers."""
    entries, manifest, seen = [], [], set()
    for tag, layers in images.items():
        image = {"architecture": "amd64", "os": "linux", "config": config or {},
                 "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha256(l) for l in layers]}}
        document = json.dumps(image).encode()
        entries.append(Entry(sha256(document) + ".json", document))
        for layer in layers:
            at = sha256(layer)
            if at not in seen:
                entries += [directory(at), Entry(at + "/VERSION", "1.0"), Entry(at + "/layer.tar", layer)]
            seen.add(at)
        manifest.append({"Config": sha256(document) + ".json", "RepoTags": [tag],
                         "Layers": [sha256(layer) + "/layer.tar" for layer in layers]})
    entries.append(Entry("manifest.json", json.dumps(manifest)))
    return tar(entries)


def docker_save(layers, config=None, tag="test:latest"):
    return docker_save_several({tag: layers}, config)
