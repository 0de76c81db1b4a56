# SPDX-License-Identifier: Apache-2.0
"""Images as the tools of this world make them: buildah, umoci, podman, skopeo, and by hand.

Each is built when it is first asked for and stays for the session. They all show the same tree, told by SHOW,
but for `one` and `many`. Everything is small: busybox and a few files.
"""

import functools
import json
import os
import shutil
import subprocess
import tarfile

import archives
from archives import Entry, directory
from registry import run, skopeo

SHOW = "cat /data/keep; echo; ls /data; ls /data/dir"
SHOWN = "kept\ndir\nkeep\nnew\n"
CONFIG = {"Env": ["PATH=/bin", "MADE=here"], "Cmd": ["/bin/sh"], "WorkingDir": "/data"}
NAME = "made/image:1"
APPLETS = ("sh cat ls stat echo wc rm mkdir readlink ln chown chmod sleep true dd find touch sync sha256sum "
           "id mv cp").split()


class Builder:
    """Paths of images below a directory of its own."""

    def __init__(self, top):
        self.top = top
        os.makedirs(top, exist_ok=True)

    def at(self, name):
        return os.path.join(self.top, name)

    # ---- by hand ----------------------------------------------------------------------------------

    @functools.cached_property
    def base(self):
        """The lowest layer of all: a tar of busybox, with few names of it, as umoci hashes each."""
        return archives.tar(entry for entry in archives.busybox_entries()
                            if entry.type != tarfile.LNKTYPE or entry.name.removeprefix("bin/") in APPLETS)

    @functools.cached_property
    def layers(self):
        """Three layers: the second has files that the third hides, one by name and one by an opaque
        directory."""
        second = archives.tar([directory("data"), Entry("data/keep", "kept"), Entry("data/gone", "gone"),
                               directory("data/dir"), Entry("data/dir/old", "old")])
        third = archives.tar([directory("data"), Entry("data/.wh.gone", b""), directory("data/dir"),
                              Entry("data/dir/.wh..wh..opq", b""), Entry("data/dir/new", "new")])
        return [self.base, second, third]

    def layout(self, name, layers, how="gzip", **more):
        """An OCI layout as a directory, made once."""
        path = self.at(name)
        if not os.path.isdir(path):
            archives.Layout(layers, CONFIG, how, **more).as_directory(path)
        return path

    @functools.cached_property
    def one(self):
        return self.layout("one", [self.base])

    @functools.cached_property
    def three(self):
        return self.layout("three", self.layers)

    @functools.cached_property
    def three_zstd(self):
        return self.layout("three-zstd", self.layers, "zstd")

    @functools.cached_property
    def three_plain(self):
        return self.layout("three-plain", self.layers, "none")

    @functools.cached_property
    def many(self):
        """127 layers, as many as Docker allows; each has a file, and hides the one before."""
        def layer(i):
            entries = [Entry(f"n{i}", str(i))]
            return archives.tar(entries + ([Entry(f".wh.n{i - 1}", b"")] if i > 1 else []))
        return self.layout("many", [self.base] + [layer(i) for i in range(1, 127)])

    @functools.cached_property
    def big(self):
        """A layer of 8 MiB that nothing compresses: there is time to fail in it."""
        return self.layout("big", [self.base, archives.tar([Entry("noise", os.urandom(8 << 20))])])

    @functools.cached_property
    def wide(self):
        """Eight layers of a MiB each."""
        return self.layout("wide", [self.base] + [archives.tar([Entry(f"noise{i}", os.urandom(1 << 20))])
                                                  for i in range(8)])

    @functools.cached_property
    def index(self):
        """An image index: amd64 is `three`, arm64 something else; and an attestation, as BuildKit adds it."""
        path = self.at("index")
        shutil.copytree(self.three, path)
        other = archives.Layout([archives.tar([Entry("other", "other")])], CONFIG)
        other.image["architecture"] = "arm64"
        made = self.descriptor(path), self.merge(other, path)
        attestation = archives.Layout([archives.tar([Entry("in-toto", "{}")])])
        attestation.image["architecture"] = attestation.image["os"] = "unknown"
        made += (self.merge(attestation, path),)
        platforms = ({"os": "linux", "architecture": "amd64"},
                     {"os": "linux", "architecture": "arm64", "variant": "v8"},
                     {"os": "unknown", "architecture": "unknown"})
        index = json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{**{key: d[key] for key in ("mediaType", "digest", "size")}, "platform": platform}
                          for d, platform in zip(made, platforms)]}).encode()
        with open(os.path.join(path, "blobs/sha256", archives.sha256(index)), "wb") as file:
            file.write(index)
        with open(os.path.join(path, "index.json"), "w") as file:
            json.dump({"schemaVersion": 2, "manifests": [{
                "mediaType": "application/vnd.oci.image.index.v1+json", "size": len(index),
                "digest": "sha256:" + archives.sha256(index),
                "annotations": {"org.opencontainers.image.ref.name": "latest"}}]}, file)
        return path

    @staticmethod
    def descriptor(path):
        with open(os.path.join(path, "index.json")) as file:
            return json.load(file)["manifests"][0]

    def merge(self, layout, path):
        """Adds the blobs of a layout in memory to one on disk; the descriptor of its manifest."""
        files = layout.build()
        for name, data in files.items():
            if name.startswith("blobs/"):
                with open(os.path.join(path, name), "wb") as file:
                    file.write(data)
        return json.loads(files["index.json"])["manifests"][0]

    # ---- by skopeo --------------------------------------------------------------------------------

    def copy(self, name, source, destination, *options):
        path = self.at(name)
        if not os.path.exists(path):
            skopeo("copy", "--quiet", *options, source, destination.format(path=path))
        return path

    @functools.cached_property
    def skopeo_oci(self):
        return self.copy("skopeo-oci", f"oci:{self.three}:latest", "oci:{path}:latest")

    @functools.cached_property
    def skopeo_zstd(self):
        return self.copy("skopeo-zstd", f"oci:{self.three_plain}:latest", "oci:{path}:latest",
                         "--dest-compress-format", "zstd")

    @functools.cached_property
    def skopeo_oci_archive(self):
        return self.copy("skopeo-oci.tar", f"oci:{self.three}:latest", "oci-archive:{path}:" + NAME)

    @functools.cached_property
    def skopeo_docker_archive(self):
        return self.copy("skopeo-docker.tar", f"oci:{self.three}:latest", "docker-archive:{path}:" + NAME)

    @functools.cached_property
    def skopeo_dir(self):
        return self.copy("skopeo-dir", f"oci:{self.three}:latest", "dir:{path}")

    @functools.cached_property
    def skopeo_schema2(self):
        """Docker's own media types."""
        return self.copy("skopeo-schema2", f"oci:{self.three}:latest", "dir:{path}", "--format", "v2s2")

    # ---- by umoci ---------------------------------------------------------------------------------

    @functools.cached_property
    def umoci(self):
        path, bundle = self.at("umoci"), self.at("umoci-bundle")
        shutil.copytree(self.one, path)
        image = f"{path}:latest"
        run("umoci", "unpack", "--image", image, bundle)
        for change in (self.add, self.remove):
            change(os.path.join(bundle, "rootfs"))
            run("umoci", "repack", "--refresh-bundle", "--image", image, bundle)
        run("umoci", "gc", "--layout", path)
        shutil.rmtree(bundle)
        return path

    @functools.cached_property
    def umoci_opaque(self):
        """Whiteouts as umoci writes them without a tree to compare."""
        path, empty = self.at("umoci-opaque"), self.at("empty")
        shutil.copytree(self.one, path)
        self.add(self.fresh(empty))
        run("umoci", "insert", "--image", f"{path}:latest", os.path.join(empty, "data"), "/data")
        os.makedirs(os.path.join(self.fresh(empty), "new-dir"))
        with open(os.path.join(empty, "new-dir", "new"), "w") as file:
            file.write("new")
        run("umoci", "insert", "--opaque", "--image", f"{path}:latest", os.path.join(empty, "new-dir"),
            "/data/dir")
        run("umoci", "insert", "--whiteout", "--image", f"{path}:latest", "/data/gone")
        return path

    @staticmethod
    def fresh(path):
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        return path

    @staticmethod
    def add(root):
        os.makedirs(os.path.join(root, "data/dir"))
        for name, text in (("keep", "kept"), ("gone", "gone"), ("dir/old", "old")):
            with open(os.path.join(root, "data", name), "w") as file:
                file.write(text)

    @staticmethod
    def remove(root):
        os.remove(os.path.join(root, "data/gone"))
        shutil.rmtree(os.path.join(root, "data/dir"))
        os.makedirs(os.path.join(root, "data/dir"))
        with open(os.path.join(root, "data/dir/new"), "w") as file:
            file.write("new")

    # ---- by buildah and podman, each with a store of its own ------------------------------------------

    def environment(self):
        home = self.at("home")
        os.makedirs(home, exist_ok=True)
        policy = os.path.join(home, ".config/containers/policy.json")
        os.makedirs(os.path.dirname(policy), exist_ok=True)
        with open(policy, "w") as file:
            json.dump({"default": [{"type": "insecureAcceptAnything"}]}, file)
        with open(os.path.join(home, "containers.conf"), "w") as file:
            file.write('[containers]\ndefault_ulimits = ["nofile=16384:16384", "nproc=30000:30000"]\n')
        return {"PATH": os.environ["PATH"], "HOME": home, "TMPDIR": home, "XDG_RUNTIME_DIR": home,
                "CONTAINERS_CONF": os.path.join(home, "containers.conf"), "BUILDAH_ISOLATION": "chroot"}

    def storage(self):
        return ("--root", self.at("storage"), "--runroot", self.at("storage-run"), "--storage-driver", "vfs")

    def buildah_do(self, *arguments):
        return run("buildah", *self.storage(), *arguments, env=self.environment()).decode().strip()

    @functools.cached_property
    def buildah(self):
        """Two layers over the base, one by a RUN that adds and one by a RUN that removes."""
        container = self.buildah_do("from", "--pull-never", self.buildah_base)
        for script in ("mkdir -p /data/dir && printf kept >/data/keep && echo >/data/gone && echo >/data/dir/old",
                       "rm -r /data/gone /data/dir && mkdir /data/dir && echo >/data/dir/new"):
            self.buildah_do("run", "--isolation", "chroot", container, "--", "/bin/sh", "-c", script)
            image = self.buildah_do("commit", "--quiet", container)
            self.buildah_do("rm", container)
            container = self.buildah_do("from", "--pull-never", image)
        self.buildah_do("config", "--env", "MADE=here", container)
        self.buildah_do("commit", "--quiet", container, NAME)
        self.buildah_do("rm", container)
        self.buildah_do("push", "--quiet", NAME, f"oci-archive:{self.at('buildah.tar')}:{NAME}")
        return self.at("buildah.tar")

    @functools.cached_property
    def buildah_base(self):
        return self.buildah_do("pull", "--quiet", f"oci:{self.one}:latest")

    @functools.cached_property
    def buildah_docker(self):
        """The same as `docker save` would write it."""
        assert self.buildah
        self.buildah_do("push", "--quiet", "--format", "docker", NAME,
                        f"docker-archive:{self.at('buildah-docker.tar')}:{NAME}")
        return self.at("buildah-docker.tar")

    def podman_do(self, *arguments):
        return run("podman", *self.storage(), "--tmpdir", self.at("podman-tmp"), "--cgroup-manager", "cgroupfs",
                   "--events-backend", "file", *arguments, env=self.environment()).decode().strip()

    @functools.cached_property
    def podman_docker_archive(self):
        """`podman save` of two images in one file."""
        assert self.buildah
        self.podman_do("tag", self.buildah_base, "made/base:2")
        self.podman_do("save", "--quiet", "--multi-image-archive", "-o", self.at("podman-docker.tar"), NAME,
                       "made/base:2")
        return self.at("podman-docker.tar")

    @functools.cached_property
    def podman_oci_archive(self):
        assert self.buildah
        self.podman_do("save", "--quiet", "--format", "oci-archive", "-o", self.at("podman-oci.tar"), NAME)
        return self.at("podman-oci.tar")

    def podman_loads(self, path):
        """Names of the images that podman finds in a file that somebody else wrote."""
        said = self.podman_do("load", "--quiet", "-i", path)
        return [line.split(": ", 1)[1] for line in said.splitlines() if line.startswith("Loaded image")]


def as_tar(path):
    """A directory as the bytes of a tar."""
    return subprocess.run(["tar", "-C", path, "-cf", "-", "."], stdout=subprocess.PIPE, check=True,
                          timeout=60).stdout
