# SPDX-License-Identifier: Apache-2.0
"""Layers hold what their archives say: compared with GNU tar, and at the edges of the formats."""

import hashlib
import os
import stat
import subprocess
import tarfile
import tempfile
import unicodedata

import pytest

import layer
from tars import END, Tar, header, pax, record

ROOTFS = "/var/cache/caisson/images/python-3.11-slim.tar"


def describe(top):
    """Every name below top with all that counts of it."""
    found, links = {}, {}
    for where, dirs, files in os.walk(os.fsencode(top)):
        for name in [b"."] * (where == os.fsencode(top)) + dirs + files:
            path = os.path.join(where, name)
            s = os.lstat(path)
            kind = stat.S_IFMT(s.st_mode)
            content = None
            if kind == stat.S_IFREG:
                with open(path, "rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest() \
                        if hasattr(hashlib, "file_digest") else hashlib.sha256(file.read()).hexdigest()
            elif kind == stat.S_IFLNK:
                content = os.readlink(path)
            xattrs = {a: os.getxattr(path, a, follow_symlinks=False)
                      for a in os.listxattr(path, follow_symlinks=False) if a.startswith("user.") and a != "user.overlay.origin"}
            key = os.path.relpath(path, os.fsencode(top))
            links.setdefault(s.st_ino, []).append(key)
            found[key] = (kind, s.st_mode, s.st_uid, s.st_gid, int(s.st_mtime), s.st_size
                          if kind in (stat.S_IFREG, stat.S_IFLNK) else 0, content, xattrs,
                          s.st_ino)
    # An inode's number means nothing, the names that share it do.
    return {key: (*row[:-1], sorted(links[row[-1]])) for key, row in found.items()}


def test_equals_gnu_tar():
    """A whole Debian root file system, with links, ids, times and all."""
    if not os.path.exists(ROOTFS):
        pytest.skip("no " + ROOTFS)
    with tempfile.TemporaryDirectory() as top:
        subprocess.run(["tar", "-C", top, "--xattrs", "--numeric-owner", "--exclude=./dev/*",
                        "-xpf", ROOTFS], check=True)
        expected = describe(top)
        with layer.mounted(layer.build(ROOTFS)) as at:
            got = {k: v for k, v in describe(at).items() if not k.startswith(b"dev/")}
        assert len(expected) > 3000
        different = [(k, expected.get(k), got.get(k)) for k in expected.keys() | got.keys()
                     if expected.get(k) != got.get(k)]
        assert not different, different[:5]


def test_same_bytes_for_the_same_archive():
    archive = Tar().dir("d").add("d/x", data=b"1" * 5000).link("l", "d").bytes()
    images = []
    for _ in range(2):
        result = layer.build(archive)
        assert result.ok, result.error
        with open(result.image, "rb") as file:
            images.append(file.read())
        os.unlink(result.image)
    assert images[0] == images[1]
    assert result.fields["diff_id"] == hashlib.sha256(archive).hexdigest()


def test_names_of_any_bytes():
    names = [b"caf\xe9", b"\xff\xfe", "größe".encode(), b"a" * 255, b" lead", b"-rf", b"*", b"\\x"]
    tar = Tar()
    for name in names:
        tar.add(os.fsdecode(name), data=name)
    with layer.mounted(layer.build(tar.bytes())) as at:
        assert sorted(os.listdir(os.fsencode(at))) == sorted(names)
        for name in names:
            with open(os.path.join(os.fsencode(at), name), "rb") as file:
                assert file.read() == name


NAMES = [unicodedata.normalize("NFD", "Größe/é").encode(), "Größe/é".encode(), "\u212a".encode(), b"K",
         "가".encode(), unicodedata.normalize("NFD", "가").encode(), "a\U000e0041".encode(), b"a",
         "\ufeffb".encode(), b"b", "\u037e".encode(), "e\u0301\xff".encode() + b"\xff", b"e\xcc", b"caf\xe9",
         b"\xed\xa0\x80", b"\xc0\xaf", "📦".encode(), b"?"]
LONG = "x" * 120 + "/"


def names_archive(format, above):
    """Every name as a file, a link's target and a hard link's, an owner, a group."""
    tar = Tar(format=format)
    for number, name in enumerate(os.fsdecode(name) for name in NAMES):
        who = {"uname": name[:8], "gname": name[:8]}
        tar.add("f/" + above + name, data=os.fsencode(name), **who)
        tar.link(f"l/{number}", above + name, **who)
        tar.hard(f"h/{number}", "f/" + above + name, **who)
    return tar.bytes()


def records_archive():
    """The same names in pax headers that do not say that they are binary."""
    return b"".join(
        pax([record(b"path", b"f/" + name)], header(b"-", b"%011o" % len(name)) + name + bytes(512 - len(name))) +
        pax([record(b"path", b"l/%d" % number), record(b"linkpath", name)], header(type=b"2", link=b"-")) +
        pax([record(b"path", b"h/%d" % number), record(b"linkpath", b"f/" + name), record(b"uname", name)],
            header(type=b"1", link=b"-"))
        for number, name in enumerate(NAMES)) + END


@pytest.mark.parametrize("archive,above", [
    (names_archive(tarfile.PAX_FORMAT, ""), ""), (names_archive(tarfile.PAX_FORMAT, LONG), LONG),
    (names_archive(tarfile.GNU_FORMAT, ""), ""), (names_archive(tarfile.GNU_FORMAT, LONG), LONG),
    (names_archive(tarfile.USTAR_FORMAT, ""), ""), (records_archive(), "")],
    ids=["pax", "pax, long", "gnu", "gnu, long", "ustar", "pax, not said to be binary"])
def test_names_are_bytes(archive, above):
    """Composed, decomposed, neither; what a converter leaves out; what is no UTF-8: as they were written."""
    with layer.mounted(layer.build(archive)) as at:
        top = os.fsencode(at + "/f/" + above)
        assert {os.path.relpath(os.path.join(where, n), top) for where, _, files in os.walk(top)
                for n in files} == set(NAMES)
        for number, name in enumerate(NAMES):
            with open(os.path.join(top, name), "rb") as file:
                assert file.read() == name
            assert os.readlink(os.fsencode(f"{at}/l/{number}")) == os.fsencode(above) + name
            assert os.path.samefile(f"{at}/h/{number}", os.path.join(top, name))


def test_attributes_are_bytes():
    """Names and values of user.*, in a header whose path is not ASCII either."""
    path = unicodedata.normalize("NFD", "é").encode()
    names = [b"user." + name for name in NAMES if b"\xff" not in name and b"/" not in name]
    records = [record(b"SCHILY.xattr." + name, name[5:]) for name in names]
    archive = pax([record(b"path", path), *records], header()) + END
    with layer.mounted(layer.build(archive)) as at:
        at = os.path.join(os.fsencode(at), path)
        assert {os.fsencode(a): os.getxattr(at, a) for a in os.listxattr(at)} == {n: n[5:] for n in names}


def test_names_around_the_dots():
    """"." and ".." stand in a directory by the order of bytes, among whatever else is there."""
    names = ["!", "-", "+x", ",", ".-", ".a", "...", "..a", ".!", "/".strip("/") or "0", "A", "z", "~"]
    tar = Tar()
    for name in names:
        tar.add("d/" + name, data=name.encode())
    with layer.mounted(layer.build(tar.bytes())) as at:
        assert sorted(os.listdir(at + "/d")) == sorted(names)
        for name in names:
            with open(at + "/d/" + name) as file:
                assert file.read() == name
        assert os.stat(at + "/d/..").st_ino == os.stat(at).st_ino


TIMES = [0, 1, -1, -5000000000, 2 ** 31, 2 ** 32 + 7, 4400000000, 2 ** 34]


def test_times():
    tar = Tar()
    for time in TIMES:
        tar.add(f"t{time}", mtime=time)
    tar.add("fraction", mtime=1.25)
    with layer.mounted(layer.build(tar.bytes())) as at:
        for time in TIMES:
            assert int(os.stat(f"{at}/t{time}").st_mtime) == time
        assert os.stat(at + "/fraction").st_mtime_ns == 1250000000


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 1000000])
def test_sizes(size):
    data = os.urandom(size)
    with layer.mounted(layer.build(Tar().add("x", data=data).add("y", data=b"y").bytes())) as at:
        with open(at + "/x", "rb") as file:
            assert file.read() == data


@pytest.mark.parametrize("length", [1, 59, 4000, 4031, 4032, 4033, 4095])
def test_link_targets(length):
    with layer.mounted(layer.build(Tar().link("l", "t" * length).add("x").bytes())) as at:
        assert os.readlink(at + "/l") == "t" * length


@pytest.mark.parametrize("count", [0, 1, 2, 200, 250, 5000])
def test_directories(count):
    tar = Tar().dir("d")
    for i in range(count):
        tar.add(f"d/name-{i * 7919 % 5003:06}")
    with layer.mounted(layer.build(tar.bytes())) as at:
        assert len(os.listdir(at + "/d")) == count
        assert all(os.path.exists(f"{at}/d/name-{i * 7919 % 5003:06}") for i in range(count))


def test_attributes():
    values = {"user.a": b"1", "user.empty": b"", "user.long": b"v" * 3000, "user." + "n" * 200: b"x"}
    tar = Tar()
    for kind in (tar.add, tar.dir):
        kind("x" + kind.__name__, pax_headers={"SCHILY.xattr." + k: v.decode()
                                               for k, v in values.items()})
    with layer.mounted(layer.build(tar.bytes())) as at:
        for name in ("xadd", "xdir"):
            assert {a: os.getxattr(f"{at}/{name}", a) for a in os.listxattr(f"{at}/{name}")} == values


def test_hard_links_share_an_inode():
    tar = Tar().add("a", data=b"data", mode=0o640, uid=5).hard("b", "a").hard("d/c", "./a")
    tar.link("s", "a").hard("t", "s")
    with layer.mounted(layer.build(tar.bytes())) as at:
        assert os.stat(at + "/a").st_nlink == 3
        assert len({os.stat(at + n).st_ino for n in ("/a", "/b", "/d/c")}) == 1
        assert os.readlink(at + "/t") == "a" and os.lstat(at + "/t").st_nlink == 2


def test_seventy_thousand_links():
    tar = Tar().add("f", data=b"x")
    for i in range(70000):
        tar.hard(f"l/{i}", "f")
    with layer.mounted(layer.build(tar.bytes())) as at:
        assert os.stat(at + "/f").st_nlink == 70001
        assert os.stat(at + "/l/69999").st_ino == os.stat(at + "/f").st_ino


def test_a_hundred_thousand_files_in_one_directory():
    body = b"".join(header(b"d/%d" % i) for i in range(100000))
    result = layer.build(body + END)
    assert result.fields["entries"] == 100000
    with layer.mounted(result) as at:
        assert len(os.listdir(at + "/d")) == 100000
        assert os.path.exists(at + "/d/99999")


def test_sparse_file_beyond_4_gib(tmp_path):
    """Made by GNU tar itself, which writes only what is there."""
    big = tmp_path / "big"
    with open(big, "wb") as file:
        file.write(b"begin")
        file.seek(5 << 30)
        file.write(b"end")
    archive = tmp_path / "sparse.tar"
    subprocess.run(["tar", "-C", tmp_path, "--sparse", "--format=pax", "-cf", archive, "big"],
                   check=True)
    assert archive.stat().st_size < 1 << 20
    result = layer.build(str(archive))
    assert os.stat(result.image).st_blocks * 512 < 1 << 20
    with layer.mounted(result) as at, open(at + "/big", "rb") as file:
        assert os.fstat(file.fileno()).st_size == (5 << 30) + 3
        assert file.read(5) == b"begin"
        file.seek((5 << 30) - 2)
        assert file.read() == b"\0\0end"


@pytest.mark.parametrize("tool", [["gzip", "-c"], ["zstd", "-cq"], ["cat"]])
def test_compressions(tool, tmp_path):
    plain = Tar().add("x", data=b"x" * 300000).bytes()
    packed = subprocess.run(tool, input=plain, stdout=subprocess.PIPE, check=True).stdout
    result = layer.build(packed)
    assert result.fields["diff_id"] == hashlib.sha256(plain).hexdigest()
    assert result.fields["blob"] == hashlib.sha256(packed).hexdigest()
    with layer.mounted(result) as at:
        assert os.path.getsize(at + "/x") == 300000
