# SPDX-License-Identifier: Apache-2.0
"""Images by file: every accepted form with the right content, every hostile one refused by name."""

import contextlib
import json
import os
import shutil
import subprocess
import tarfile

import pytest

import archives
import conftest
import harness
from archives import Entry, directory, hardlink

LIMIT_OF_A_LAYER = 32 << 30

LARGE = 6 << 20  # bytes: such a layer is built while it comes


@pytest.fixture(scope="module")
def base():
    """The lowest layer of the images here: busybox."""
    return archives.tar(archives.busybox_entries())


@pytest.fixture
def imported(api):
    """Imports images that go with their test."""
    names = []

    def take(name, data):
        answer = api.import_image(name, data)
        if answer.status in (200, 201):
            names.append(name)
        return answer

    yield take
    for name in names:
        assert api.remove_image(name).status in (200, 404)


@pytest.fixture
def make(imported, make):
    """Sandboxes go before the images that they run from, which nobody may remove until then."""
    return make


def stored(engine):
    """Layer files with their sizes: what the store holds."""
    files = {}
    with os.scandir(os.path.join(engine.state, "layers")) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # one that is just being removed
                files[entry.name] = entry.stat().st_size
    return files


def settled(engine):
    """The same once every layer belongs to an image: layers are removed in the background."""
    def belongs():
        used = {layer["diffId"].split(":")[1] for image in engine.api.images() for layer in image["layers"]}
        files = stored(engine)
        return files if all(any(digest in name for digest in used) for name in files) else None

    return harness.wait_until(belongs, 5, "the removal of layers that no image has")


def look(api, make, image, command, **fields):
    return api.exec(make(image), command, **fields)


@pytest.mark.parametrize("how", ["none", "gzip", "zstd"])
@pytest.mark.smoke
def test_plain_tar(api, make, imported, how):
    imported("plain-" + how, archives.busybox([Entry("etc/mark", how)], how)).ok()
    assert look(api, make, "plain-" + how, "cat /etc/mark").stdout == how


@pytest.mark.parametrize("how", ["none", "gzip", "zstd"])
def test_oci_layout_as_tar(api, make, imported, base, how):
    upper = archives.tar([Entry("etc/mark", "upper " + how)])
    layout = archives.Layout([base, upper], {"Env": ["A=b"]}, how)
    [image] = imported("oci-" + how, layout.as_tar()).ok()["images"]
    assert image["name"].startswith("oci-" + how)
    assert image["digest"] == "sha256:" + archives.sha256(json.dumps(layout.manifest).encode())
    assert image["id"] == layout.manifest["config"]["digest"]
    assert [layer["digest"] for layer in image["layers"]] == [layer["digest"] for layer in layout.manifest["layers"]]
    assert image["sharedBytes"] + image["uniqueBytes"] == image["sizeBytes"]
    assert look(api, make, "oci-" + how, "cat /etc/mark; echo $A").stdout == f"upper {how}b\n"


def test_oci_layout_as_directory(engine, api, make, base, tmp_path):
    path = archives.Layout([base]).as_directory(str(tmp_path / "layout"))
    result = engine.cli("image", "import", path, "--name", "from-directory")
    assert result.returncode == 0, result.stderr
    assert look(api, make, "from-directory", "echo it runs").stdout == "it runs\n"


def test_docker_save(api, make, imported, base):
    layers = [base, archives.tar([Entry("etc/mark", "docker")])]
    imported("saved", archives.docker_save(layers, {"Env": ["A=b"]})).ok()
    assert look(api, make, "saved", "cat /etc/mark; echo $A").stdout == "dockerb\n"


def blobs(engine):
    return set(os.listdir(os.path.join(engine.state, "gateway", "blobs", "sha256")))


def named_by(image):
    return {digest.split(":")[1] for digest in
            [image["id"], image["digest"]] + [layer["digest"] for layer in image["layers"]]}


def test_blobs_of_an_image_come_and_go_with_it(engine, api, imported, base):
    layers = [base, archives.tar([Entry("etc/mark", "blobs")])]
    [first] = imported("blobs:1", archives.docker_save(layers)).ok()["images"]
    assert named_by(first) <= blobs(engine)
    assert api.remove_image("blobs:1").status == 200
    left = set().union(*(named_by(image) for image in api.images()))
    assert blobs(engine) <= left
    [again] = imported("blobs:1", archives.docker_save(layers)).ok()["images"]
    assert named_by(again) == named_by(first)


def test_a_tree_of_files_has_documents_and_the_same_ones_each_time(imported):
    data = archives.busybox([Entry("etc/mark", "documents")], "gzip")
    [first] = imported("tree:1", data).ok()["images"]
    [second] = imported("tree:2", data).ok()["images"]
    assert named_by(first) == named_by(second)
    assert first["layers"][0]["mediaType"].endswith("tar+gzip")
    assert first["layers"][0]["digest"] == "sha256:" + archives.sha256(data)


def test_all_images_of_a_file(api, make, imported, base):
    marks = {name: archives.tar([Entry("etc/mark", name)]) for name in ("one", "two")}
    data = archives.docker_save_several({f"several/{name}:1": [base, mark] for name, mark in marks.items()})
    answer = api.request("POST", "/api/v1/images", data).ok()
    assert [image["name"] for image in answer["images"]] == ["several/one:1", "several/two:1"]
    for name in marks:
        assert look(api, make, f"several/{name}:1", "cat /etc/mark").stdout == name
    [only] = imported("docker.io/several/two:1", data).ok()["images"]
    assert only["name"] == "several/two:1"
    refused = imported("several/three:1", data)
    assert refused.status == 400 and "several/one:1, several/two:1" in refused.detail
    for name in marks:
        assert api.remove_image(f"several/{name}:1").status in (200, 404, 409)


def test_docker_save_by_skopeo(api, make, imported, base, tmp_path):
    if shutil.which("skopeo") is None:
        conftest.skip("skopeo is not installed")
    path = archives.Layout([base, archives.tar([Entry("etc/mark", "skopeo")])]).as_directory(
        str(tmp_path / "layout"))
    subprocess.run(["skopeo", "--tmpdir", str(tmp_path), "copy", "-q", f"oci:{path}:latest",
                    f"docker-archive:{tmp_path}/saved.tar:made/by:skopeo"], check=True, timeout=60)
    imported("skopeo", (tmp_path / "saved.tar").read_bytes()).ok()
    assert look(api, make, "skopeo", "cat /etc/mark").stdout == "skopeo"


def test_layout_by_umoci(api, make, imported, base, tmp_path):
    if shutil.which("umoci") is None:
        conftest.skip("umoci is not installed")
    path = archives.Layout([base]).as_directory(str(tmp_path / "layout"))
    upper = tmp_path / "etc"
    upper.mkdir()
    (upper / "mark").write_text("umoci")
    subprocess.run(["umoci", "insert", "--image", f"{path}:latest", str(upper / "mark"), "/etc/mark"],
                   check=True, timeout=60)
    subprocess.run(["umoci", "config", "--image", f"{path}:latest", "--config.env", "A=b"],
                   check=True, timeout=60)
    subprocess.run(["umoci", "gc", "--layout", path], check=True, timeout=60)
    packed = subprocess.run(["tar", "-C", path, "-cf", "-", "."], check=True, stdout=subprocess.PIPE,
                            timeout=60).stdout
    imported("umoci", packed).ok()
    assert look(api, make, "umoci", "cat /etc/mark; echo $A").stdout == "umocib\n"


def test_cli_says_what_it_left_out(engine, base):
    for count, said in ((0, ""), (1, "1 entry left out"), (2, "2 entries left out")):
        nodes = [Entry(f"node{i}", type=tarfile.CHRTYPE, device=(1, 3)) for i in range(count)]
        data = archives.tar([*archives.busybox_entries(), *nodes])
        result = engine.cli("image", "import", "-", "--name", "nodes", input=data, text=False)
        assert result.returncode == 0 and said.encode() in result.stderr, result
        assert len(result.stderr.splitlines()) == (count > 0), result.stderr
    assert engine.cli("image", "rm", "nodes").returncode == 0


def test_cli_import_from_stdin_ls_inspect_rm(engine, base):
    result = engine.cli("image", "import", "-", "--name", "piped:tag", input=base, text=False)
    assert result.returncode == 0, result.stderr
    assert "piped:tag" in engine.cli("image", "ls").stdout
    inspected = engine.cli("image", "inspect", "piped:tag")
    assert inspected.returncode == 0 and json.loads(inspected.stdout), inspected.stderr
    assert engine.cli("image", "rm", "piped:tag").returncode == 0
    assert "piped:tag" not in engine.cli("image", "ls").stdout


@pytest.mark.smoke
def test_whiteouts_and_opaque_directories(api, make, imported, base):
    one = archives.tar([directory("d"), Entry("d/gone", "1"), Entry("d/kept", "1"), directory("o"),
                        Entry("o/old", "1"), directory("o/sub"), Entry("o/sub/old", "1"),
                        directory("whole"), Entry("whole/x", "1"), Entry("f", "file"),
                        directory("swap"), Entry("swap/x", "1")])
    two = archives.tar([Entry("d/.wh.gone", ""), directory("o"), Entry("o/.wh..wh..opq", ""),
                        Entry("o/new", "2"), Entry(".wh.whole", ""), directory("f"),
                        Entry("f/now-a-directory", "2"), Entry("swap", "now a file")])
    three = archives.tar([directory("d"), Entry("d/gone", "back")])
    imported("white", archives.Layout([base, one, two, three]).as_tar()).ok()
    seen = look(api, make, "white", "ls d o f; ls -d whole; cat d/gone swap; ls -a d o | grep wh")
    assert seen.stdout == ("d:\ngone\nkept\n\nf:\nnow-a-directory\n\no:\nnew\n"
                           "backnow a file"), seen
    assert "whole" in seen.stderr


def test_links_modes_owners_times(api, make, imported):
    extra = [directory("t"), Entry("t/a", "data", mode=0o640, uid=1000, gid=2000), hardlink("t/b", "t/a"),
             Entry("t/abs", link="/etc/passwd"), Entry("t/rel", link="../etc/passwd"),
             Entry("t/dangling", link="/no/such"), Entry("t/fifo", type=tarfile.FIFOTYPE),
             directory("t/sticky", mode=0o1777, uid=7, gid=8), Entry("t/suid", "x", mode=0o4755),
             Entry("t/empty", b"")]
    imported("kinds", archives.busybox(extra)).ok()
    seen = look(api, make, "kinds", "cd /t; stat -c '%n %a %u %g %h %F' *; cat rel | head -n 1; "
                                    "readlink dangling; [ a -ef b ] && echo same").stdout
    assert "a 640 1000 2000 2 regular file\n" in seen and "b 640 1000 2000 2 regular file\n" in seen
    assert "sticky 1777 7 8" in seen and "fifo 644 0 0 1 fifo" in seen
    assert "suid 4755" in seen and "root:x:0:0" in seen and "/no/such\n" in seen and "same\n" in seen


def test_hardlink_to_a_lower_layer(api, make, imported, base):
    """Legal in a layer that repeats the file, refused when the target is not in the layer."""
    upper = archives.tar([directory("h"), Entry("h/a", "1"), hardlink("h/b", "h/a")])
    imported("hard", archives.Layout([base, upper]).as_tar()).ok()
    assert look(api, make, "hard", "cat /h/b; stat -c %h /h/a").stdout == "12\n"


def test_xattrs(api, make, imported):
    extra = [Entry("x", "1", pax={"SCHILY.xattr.user.colour": "blue",
                                  "SCHILY.xattr.trusted.evil": "1",
                                  "SCHILY.xattr.security.capability": "x" * 20,
                                  "SCHILY.xattr.user.overlay.redirect": "/etc",
                                  "SCHILY.xattr.trusted.overlay.redirect": "/etc"})]
    imported("attrs", archives.busybox(extra)).ok()
    script = "cat /x && (getfattr -d -m - /x || true)"
    assert look(api, make, "attrs", script).stdout.startswith("1")


def test_sparse_and_large_files(api, make, imported, tmp_path):
    """A file with a hole, written by GNU tar as sparse."""
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.write(b"begin")
        file.seek(200 << 20)
        file.write(b"end")
    packed = subprocess.run(["tar", "-C", tmp_path, "--format=pax", "-Scf", "-", "sparse"], check=True,
                            stdout=subprocess.PIPE, timeout=60).stdout
    base = archives.tar(archives.busybox_entries())
    imported("sparse", archives.Layout([base, packed]).as_tar()).ok()
    seen = look(api, make, "sparse", "stat -c %s /sparse; tail -c 3 /sparse; head -c 5 /sparse; "
                                     "dd if=/sparse bs=1M skip=100 count=1 2>/dev/null | tr -d '\\0' | wc -c")
    assert seen.stdout == f"{(200 << 20) + 3}\nendbegin0\n", seen


def test_odd_names(api, make, imported):
    raw = b"bytes-\xff\xfe\x80".decode("utf-8", "surrogateescape")
    long_name = "long/" + "/".join("d" * 100 for _ in range(8)) + "/" + "f" * 200
    parents, at = [], ""
    for part in long_name.split("/")[:-1]:
        at = at + "/" + part if at else part
        parents.append(directory(at))
    extra = [directory("n"), Entry("n/" + raw, "1"), Entry("n/new\nline", "9"),
             Entry("n/\x1b[31mred", "0"), Entry("n/space and 'quote\"", "2"),
             Entry("n/-rf", "3"), Entry("n/日本語", "4"), Entry("n/..hidden", "5"),
             Entry("n/trailing.", "6"), Entry("n/" + "m" * 255, "7"), *parents, Entry(long_name, "8")]
    data = archives.tar(archives.busybox_entries(extra), tarfile.GNU_FORMAT)
    imported("names", data).ok()
    seen = look(api, make, "names", "cd /n; cat ./* ./..hidden; echo; cat /{long_name}; echo; ".format(
        long_name=long_name) + "for f in * ..hidden; do echo x; done | wc -l; echo * | od -c | grep -c 377; "
        "cat 'new\nline' $'\\x1b[31mred'").stdout
    digits, eight, count, bytes_, last = seen.split("\n")
    assert sorted(digits) == list("012345679") and eight == "8", seen
    assert count == "9" and bytes_ == "1" and last == "90", seen


def test_layers_are_shared(api, engine, imported, base):
    before = settled(engine)
    imported("share-a", archives.Layout([base, archives.tar([Entry("a", "a")])]).as_tar()).ok()
    middle = stored(engine)
    imported("share-b", archives.Layout([base, archives.tar([Entry("b", "b")])]).as_tar()).ok()
    after = stored(engine)
    assert len(after) - len(middle) == 1, "the second image adds one layer"
    assert len(middle) - len(before) in (1, 2)
    api.remove_image("share-a").ok()
    assert archives.sha256(base) in "".join(stored(engine)), "still used by share-b"
    api.remove_image("share-b").ok()


def test_import_twice_changes_nothing(api, engine, imported, base):
    data = archives.Layout([base, archives.tar([Entry("twice", "x")])]).as_tar()
    imported("twice", data).ok()
    before = settled(engine)
    imported("twice", data).ok()
    assert settled(engine) == before
    assert len([i for i in api.images() if i["name"].startswith("twice")]) == 1


@pytest.mark.parametrize("how", ["none", "gzip", "zstd"])
def test_large_layers(api, engine, make, imported, base, how):
    """They are built while they come, also what no image names in the end, which must leave nothing."""
    layers = [archives.tar([Entry(f"large-{i}", os.urandom(LARGE))]) for i in range(3)]
    sums = [archives.sha256(layer[512:512 + LARGE]) for layer in layers]
    layout = archives.Layout([base, layers[0], layers[1], layers[0]], how=how)
    for blob in (layers[2], os.urandom(LARGE)):
        layout.extra["blobs/sha256/" + archives.sha256(blob)] = blob
    data = layout.as_tar()
    before = settled(engine)
    for _ in range(2):
        imported("large", data).ok()
        seen = look(api, make, "large", "sha256sum large-0 large-1", working_dir="/")
        assert [line.split()[0] for line in seen.stdout.splitlines()] == sums[:2], seen
        new = set(settled(engine)) - set(before)
        assert {n for n in new if archives.sha256(base) not in n} == \
            {archives.sha256(layer) + ".erofs" for layer in layers[:2]}
    imported("large-docker", archives.docker_save([base, layers[2]])).ok()
    seen = look(api, make, "large-docker", "sha256sum large-2", working_dir="/")
    assert seen.stdout.split()[0] == sums[2], seen


def test_layer_files_are_erofs_and_pass_fsck(engine, imported, base):
    layer = archives.tar([directory("d"), Entry("d/f", b"x" * 100000), Entry("d/l", link="f"),
                          hardlink("d/h", "d/f"), *(Entry(f"d/n{i}", str(i)) for i in range(3000))])
    imported("fsck", archives.Layout([base, layer]).as_tar()).ok()
    if shutil.which("fsck.erofs") is None:
        conftest.skip("fsck.erofs is not installed")
    files = os.listdir(os.path.join(engine.state, "layers"))
    assert archives.sha256(layer) in "".join(files)
    for name in files:
        checked = subprocess.run(["fsck.erofs", os.path.join(engine.state, "layers", name)],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        assert checked.returncode == 0, (name, checked.stdout)


def test_rm_is_refused_while_in_use(api, imported):
    imported("used", archives.busybox([Entry("u", "u")])).ok()
    key = api.create("used").ok()["id"]
    answer = api.remove_image("used")
    assert answer.status == 409 and "used" in answer.detail, answer
    assert api.exec(key, "cat /u").stdout == "u"
    api.delete(key).ok()
    api.remove_image("used").ok()
    assert api.create("used", pull_policy="never").status == 404


def test_removed_image_leaves_nothing(api, engine, imported):
    before = settled(engine)
    imported("short-lived", archives.busybox([Entry("only-here", "x")])).ok()
    assert stored(engine) != before
    api.remove_image("short-lived").ok()
    harness.wait_until(lambda: stored(engine) == before, 5, "the layer's removal")


# ---- what is not an image --------------------------------------------------------------------------

HEADER = 512


def spoil(data, at, new):
    return data[:at] + new + data[at + len(new):]


HOSTILE = {
    "dot dot": ([Entry("../evil", "x")], "../evil"),
    "dot dot inside": ([directory("d"), Entry("d/../../evil", "x")], "evil"),
    "dot dot at the end": ([directory("d/..")], ".."),
    "absolute link parent": ([Entry("etc2", link="/etc"), Entry("etc2/evil", "x")], "etc2"),
    "relative link parent": ([Entry("up", link="../../.."), Entry("up/evil", "x")], "up"),
    "link chain": ([Entry("a", link="b"), Entry("b", link="/tmp"), Entry("a/evil", "x")], "a"),
    "hard link out": ([hardlink("evil", "../../../etc/shadow")], "evil"),
    "hard link absolute": ([hardlink("evil", "/etc/shadow")], "evil"),
    "hard link to nothing": ([hardlink("evil", "no/such")], "evil"),
    "hard link to a directory": ([directory("d"), hardlink("evil", "d")], "evil"),
    "hard link to itself": ([hardlink("evil", "evil")], "evil"),
    "hard link to nothing, much follows": ([hardlink("evil", "no/such"), Entry("f", b"x" * (8 << 20))], "evil"),
    "hard link through a link": ([Entry("l", link="/etc"), hardlink("evil", "l/shadow")], "evil"),
    "file is a parent": ([Entry("f", "x"), Entry("f/evil", "x")], "f"),
    "name with a newline": ([hardlink("ev\nil", "no/such")], "ev"),
    "name with escape": ([hardlink("ev\x1b[31mil", "no/such")], "ev"),
    "name of 300 bytes": ([Entry("e" * 300, "x")], "eee"),
    "path of 5000 bytes": ([Entry("/".join(["e" * 50] * 100), "x")], "eee"),
    "whiteout of dot dot": ([Entry(".wh...", "")], ".wh."),
    "whiteout of dot": ([Entry(".wh..", "")], ".wh."),
    "whiteout of nothing": ([Entry(".wh.", "")], ".wh."),
    "link target of 5000 bytes": ([Entry("evil", link="x" * 5000)], "evil"),
    "empty link": ([Entry("evil", link="")], "evil"),
}
# Never made, but told: real images bring the nodes of the /dev they were made with.
SKIPPED = {
    "block device": Entry("evil", type=tarfile.BLKTYPE, device=(8, 0)),
    "character device": Entry("evil", type=tarfile.CHRTYPE, device=(1, 1)),
    "whiteout device": Entry("evil", type=tarfile.CHRTYPE, device=(0, 0)),
    "whiteout device over a file": Entry("etc/passwd", type=tarfile.CHRTYPE, device=(0, 0)),
}
# Odd, legal by one reading: taken or refused, but contained.
EITHER = {"absolute name": [Entry("/abs/file", "x")], "dot": [directory(".")],
          "dot slash": [Entry("./d/./f", "x")], "double slash": [Entry("d//f", "x")],
          "trailing slash": [Entry("f/", "x")], "same file twice": [Entry("f", "1"), Entry("f", "2")],
          "name of spaces": [Entry("   ", "x")],
          "unknown type": [Entry("f", type=b"Z")],
          "deep": [directory("/".join(["d"] * 1500))],
          "setuid directory": [directory("d", mode=0o7777)],
          "uid too large": [Entry("f", "x", uid=4000000000)],
          "negative time": [Entry("f", "x", pax={"mtime": "-99999999999"})],
          "xattr of a megabyte": [Entry("f", "x", pax={"SCHILY.xattr.user.big": "x" * (1 << 20)})]}


@pytest.mark.parametrize("name", SKIPPED)
def test_devices_are_left_out(api, make, imported, base, name):
    def upper(form):
        return [SKIPPED[name], Entry("mark", "x"), Entry(form, "so that each is a new layer")]

    for data in (archives.tar([*archives.busybox_entries(), *upper("1")]),
                 archives.Layout([base, archives.tar(upper("2"))]).as_tar(),
                 archives.docker_save([base, archives.tar(upper("3"))])):
        assert imported("devices", data).ok()["skipped"] == 1
        seen = look(api, make, "devices", "cat mark; ls -l evil; head -n 1 etc/passwd", working_dir="/")
        passwd = "" if "over a file" in name else archives.PASSWD.split("\n")[0] + "\n"
        assert "No such file" in seen.stderr and seen.stdout == "x" + passwd, seen


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_layer_is_refused_by_name(api, engine, base, name):
    entries, culprit = HOSTILE[name]
    before, images = settled(engine), api.images()
    upper = archives.tar(entries)
    for data in (archives.tar([*archives.busybox_entries(), *entries]),
                 archives.Layout([base, upper]).as_tar(), archives.docker_save([base, upper])):
        answer = api.import_image("hostile", data)
        try:
            assert 400 <= answer.status < 500, answer
            assert culprit.replace("\n", "\\n").replace("\x1b", "") in answer.detail.replace("\x1b", "\\x1b") \
                or culprit[:2] in answer.detail, answer.detail
            assert "\n" not in answer.detail and "\x1b" not in answer.detail
            assert api.images() == images
        finally:
            if answer.status == 200:
                api.remove_image("hostile")
    # What was good of it (the lowest layer) may stay for the next try; nothing else.
    assert set(stored(engine)) - set(before) <= {n for n in stored(engine)
                                                 if archives.sha256(base) in n}


@pytest.mark.parametrize("name", EITHER)
def test_odd_layer_is_contained(api, engine, make, name):
    answer = api.import_image("odd", archives.busybox(EITHER[name]))
    assert answer.status == 200 or (400 <= answer.status < 500 and answer.detail), answer
    assert not os.path.exists("/abs")
    if answer.status == 200:
        key = api.create("odd").ok()["id"]
        assert api.exec(key, "find / -xdev | wc -l").code == 0
        api.delete(key).ok()
        api.remove_image("odd").ok()


def changed_digest(layout):
    digest = layout.manifest["layers"][-1]["digest"]
    layout.manifest["layers"][-1]["digest"] = digest[:-4] + ("0000" if digest[-4:] != "0000" else "1111")


def changed_diff_id(layout):
    layout.image["rootfs"]["diff_ids"][-1] = "sha256:" + "0" * 64


def changed_size(layout):
    layout.manifest["layers"][-1]["size"] += 1


def changed_blob(layout):
    layout.blobs[-1] = layout.blobs[-1][:-9] + b"\0" * 9


def changed_size_of_the_config(layout):
    config = json.dumps(layout.image).encode()
    layout.manifest["config"] = {"mediaType": "application/vnd.oci.image.config.v1+json",
                                 "digest": "sha256:" + archives.sha256(config), "size": len(config) - 1}


def other_files(layout):
    layout.extra["README"] = b"This is my image."


def missing_blob(layout):
    layout.manifest["layers"].append(dict(layout.manifest["layers"][-1], digest="sha256:" + "1" * 64))
    layout.image["rootfs"]["diff_ids"].append("sha256:" + "1" * 64)


def fewer_diff_ids(layout):
    layout.image["rootfs"]["diff_ids"].pop()


def more_diff_ids(layout):
    layout.image["rootfs"]["diff_ids"].append("sha256:" + "2" * 64)


def digest_is_a_path(layout):
    layout.manifest["layers"][-1]["digest"] = "sha256:../../../../etc/passwd"


def digest_of_another_kind(layout):
    layout.manifest["layers"][-1]["digest"] = "md5:" + "0" * 32


def layer_is_not_tar(layout):
    layout.manifest["layers"][-1]["mediaType"] = "application/vnd.oci.image.layer.v1.tar+bzip2"


def foreign_layer(layout):
    layout.manifest["layers"][-1]["urls"] = ["http://127.0.0.1:1/x"]
    layout.blobs[-1] = b""


def two_readings(layout):
    layout.manifest["manifests"] = []
    layout.manifest["fsLayers"] = []


def index_is_not_json(layout):
    layout.extra["index.json"] = b"{"


def index_of_megabytes(layout):
    layout.extra["index.json"] = b"[" * (20 << 20)


def other_architecture(layout):
    layout.image["architecture"] = "s390x"


def many_layers(layout):
    layout.manifest["layers"] *= 200
    layout.image["rootfs"]["diff_ids"] *= 200


DOCUMENTS = {"wrong digest": changed_digest, "wrong diff id": changed_diff_id, "wrong size": changed_size,
             "wrong size of the config": changed_size_of_the_config, "other files": other_files,
             "changed blob": changed_blob, "missing blob": missing_blob, "fewer diff ids": fewer_diff_ids,
             "more diff ids": more_diff_ids, "digest is a path": digest_is_a_path,
             "md5 digest": digest_of_another_kind, "bzip2 layer": layer_is_not_tar,
             "foreign layer": foreign_layer, "two readings": two_readings,
             "index is not JSON": index_is_not_json, "index of megabytes": index_of_megabytes,
             "other architecture": other_architecture, "two hundred layers": many_layers}


@pytest.mark.parametrize("size", [3000, LARGE])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_spoilt_layout_is_refused(api, engine, base, name, size):
    upper = archives.tar([Entry("upper", os.urandom(size))])
    layout = archives.Layout([base, upper])
    DOCUMENTS[name](layout)
    images = api.images()
    answer = api.import_image("spoilt", layout.as_tar())
    assert 400 <= answer.status < 500 and answer.detail, answer
    assert api.images() == images
    assert archives.sha256(upper) not in "".join(stored(engine)), "nothing that was not proven stays"


def test_truncated_everywhere(api, engine, base):
    upper = archives.tar([Entry("upper", os.urandom(20000))])
    whole = archives.Layout([upper], how="gzip").as_tar()
    before, images = settled(engine), api.images()
    for length in (0, 1, 100, 511, 512, 513, 1500, len(whole) // 2, len(whole) - 20000):
        answer = api.import_image("cut", whole[:length])
        assert 400 <= answer.status < 500 and answer.detail, (length, answer)
    for how in ("gzip", "zstd"):
        data = archives.compress(upper, how)
        answer = api.import_image("cut", data[:len(data) // 2])
        assert 400 <= answer.status < 500 and answer.detail, (how, answer)
    assert settled(engine) == before and api.images() == images


def test_not_an_archive(api, engine):
    before, images = settled(engine), api.images()
    for data in (b"hello", os.urandom(5000), b"PK\3\4" + b"\0" * 100, b"!<arch>\n",
                 b"BZh9" + os.urandom(500), b"\xfd7zXZ\0" + os.urandom(500), b"Rar!\x1a\7\0" + b"x" * 99,
                 b"#!/bin/sh\n", b"7z\xbc\xaf\x27\x1c" + b"x" * 99, b"\x1f\x8b" + os.urandom(500),
                 b"\x28\xb5\x2f\xfd" + os.urandom(500)):
        answer = api.import_image("junk", data)
        assert 400 <= answer.status < 500 and answer.detail, (data[:8], answer)
    assert settled(engine) == before and api.images() == images


def test_empty_archive(api, make, imported):
    """`tar -c --files-from /dev/null | docker import - scratch`: an image of nothing is one."""
    imported("nothing", b"\0" * 10240).ok()
    key = make("nothing")
    ran = api.exec_raw(key, ["/bin/sh"])
    assert 400 <= ran.status < 500 and "/bin/sh" in ran.detail or ran["exit_code"] == 127, ran
    assert api.get(key)["status"] == "RUNNING"


def test_bombs(api, engine):
    """Gigabytes from kilobytes: refused or bounded, and the gateway does not grow."""
    before = settled(engine)
    gateway = engine.gateway
    rss = int(harness.status_of(gateway)["VmRSS"].split()[0])
    entry = tarfile.TarInfo("bomb")
    entry.size = LIMIT_OF_A_LAYER * 4
    header = entry.tobuf(tarfile.PAX_FORMAT)
    answer = api.import_image("bomb", archives.compress(header + b"\0" * (64 << 20), "gzip"))
    assert 400 <= answer.status < 500 or answer.status == 507, answer
    assert int(harness.status_of(gateway)["VmRSS"].split()[0]) - rss < 64 * 1024
    harness.wait_until(lambda: stored(engine) == before, 5, "the store as it was")


SIZES = {"header says none": (0, None), "extended header says none": (None, 0)}


@pytest.mark.parametrize("name", SIZES)
def test_pax_size_that_differs(api, make, imported, name):
    """TARmageddon: the extended header's size is the one that counts, as POSIX and Docker have it."""
    header_size, pax_size = SIZES[name]
    inner = archives.tar([Entry("smuggled", "x")])
    outer = tarfile.TarInfo("outer")
    outer.size = len(inner) if header_size is None else header_size
    outer.pax_headers = {"size": str(len(inner) if pax_size is None else pax_size)}
    data = archives.tar(archives.busybox_entries(), end=False) + outer.tobuf(tarfile.PAX_FORMAT) + inner
    assert data.count(b"smuggled\0") == 1
    imported("two-sizes", data).ok()
    seen = look(api, make, "two-sizes", "stat -c %s /outer; cat /smuggled")
    if pax_size == 0:
        assert seen.stdout == "0\nx", "what follows an empty file is entries"
    else:
        assert seen.stdout == f"{len(inner)}\n" and "No such file" in seen.stderr, seen


def test_bad_names_of_images(api, base):
    for name in ("", "a" * 5000, "UPPER/..", "../x", "a//b", "%00", "a%0ab", ":tag", "a:", "a:b:c@d"):
        answer = api.import_image(name, base)
        assert 400 <= answer.status < 500 and answer.detail, (name, answer)


def test_all_names_of_an_image(api, imported, base):
    """Docker's short and long names are one; a name of another registry is another image."""
    image = imported("docker.io/library/spelled:1", base).ok()["images"][0]
    assert image["name"] == "spelled:1"
    for name in ("spelled:1", "library/spelled:1", "docker.io/spelled:1", "index.docker.io/library/spelled:1"):
        assert api.request("GET", "/api/v1/images/" + name).ok()["id"] == image["id"], name
    for name in ("spelled", "localhost/spelled:1", "localhost:5000/spelled:1", "other/spelled:1"):
        assert api.request("GET", "/api/v1/images/" + name).status == 404, name
    answer = api.request("GET", "/api/v1/images/Spelled:1")
    assert answer.status == 400 and "write 'spelled'" in answer["detail"], answer


def test_store_modes(engine):
    """No one but root reads layers; no set-user-ID file of an image lies on the host."""
    assert os.stat(engine.state).st_mode & 0o007 == 0
    layers = os.path.join(engine.state, "layers")
    assert os.stat(layers).st_mode & 0o777 == 0o700 and os.stat(layers).st_uid == 0
    for name in settled(engine):
        status = os.stat(os.path.join(layers, name))
        assert status.st_uid == 0 and status.st_mode & 0o7777 in (0o600, 0o400), name
    for name in ("writable", "trash"):
        assert os.stat(os.path.join(engine.state, name)).st_mode & 0o077 == 0, name


def test_workers_have_no_privilege(api, engine, base):
    """While an image is read: its processes have no capability, no network, no host id."""
    import threading
    layer = archives.tar([Entry(f"f{i}", os.urandom(60000)) for i in range(600)])
    data = archives.Layout([base, layer]).as_tar()
    thread = threading.Thread(target=lambda: harness.Api(engine.socket).import_image("posture", data))
    thread.start()
    seen = []
    while thread.is_alive():
        for entry in harness.children(engine.pid):  # others may import, too
            if harness.comm(entry) == "caisson-image":
                status = harness.status_of(entry)
                try:
                    net = os.readlink(f"/proc/{entry}/ns/net")
                except OSError:
                    continue
                if status and "CapEff" in status:
                    seen.append((status["Uid"].split()[0], status["CapEff"], status["CapBnd"],
                                 status["NoNewPrivs"].strip(), status["Seccomp"].strip(), net))
    thread.join()
    api.remove_image("posture").ok()
    assert seen, "no worker was seen"
    settled = [row for row in seen if row[4] == "2"]
    assert settled, seen[:5]
    for uid, effective, bounding, nnp, seccomp, net in settled:
        assert uid != "0" and int(effective, 16) == 0 and int(bounding, 16) == 0 and nnp == "1", seen
        assert net != os.readlink("/proc/self/ns/net")


@pytest.mark.slow
def test_python_image(api, make, python_image):
    key = make(python_image, memory_gb=0.5)
    assert api.exec(key, ["python3", "-c", "print(6*7)"]).stdout == "42\n"
    assert api.exec(key, "pip --version; bash --version").code == 0
