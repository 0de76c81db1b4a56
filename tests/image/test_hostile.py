# SPDX-License-Identifier: Apache-2.0
"""Archives that mean harm: each is refused with the entry named, or contained."""

import os
import tarfile

import pytest

import layer
from tars import END, Tar, gz, header, pax, record

RSS_MAX = 256 << 10  # KiB
SECONDS_MAX = 30

UP = ["..", "../x", "a/../../x", "a/../x", "/..", "/../etc/passwd", "./../x", "a/..", "a//../b",
      "../../../../../../../../../../tmp/pwned", "a/b/../../..", ".." + "/x" * 100]
ABSOLUTE = ["/etc/passwd", "//etc/passwd", "///x", "/./x"]

REFUSED = {}  # name -> (archive, what the error must say)
CONTAINED = {}  # name -> (archive, check of the mounted layer)

for path in UP:
    REFUSED[f"file {path[:40]}"] = (lambda p=path: Tar().add(p, data=b"x").bytes(), "leads upwards")
    REFUSED[f"directory {path[:40]}"] = (lambda p=path: Tar().dir(p).bytes(), "leads upwards")
    REFUSED[f"symlink {path[:40]}"] = (lambda p=path: Tar().link(p, "x").bytes(), "leads upwards")
    REFUSED[f"hard link to {path[:40]}"] = (
        lambda p=path: Tar().add("x").hard("y", p).bytes(), "entry 'y'")
    REFUSED[f"whiteout {path[:40]}"] = (
        lambda p=path: Tar().add(p + "/.wh.x").bytes(), "leads upwards")


def absent(at, name):
    assert not os.path.lexists(os.path.join(at, name))


def regular(at, name):
    assert os.path.isfile(os.path.join(at, name)) and not os.path.islink(os.path.join(at, name))


for path in ABSOLUTE:
    CONTAINED[f"absolute {path}"] = (lambda p=path: Tar().add(p, data=b"evil").bytes(),
                                     lambda at, p=path: regular(at, p.lstrip("/").lstrip("./")))

REFUSED.update({
    "hard link to nothing": (lambda: Tar().hard("a", "missing").bytes(), "entry 'a'"),
    "hard link to a directory": (lambda: Tar().dir("d").hard("a", "d").bytes(), "entry 'a'"),
    "hard link to the host": (lambda: Tar().hard("a", "/etc/shadow").bytes(), "entry 'a'"),
    "hard link to itself": (lambda: Tar().hard("a", "a").bytes(), "entry 'a'"),
    "hard link through a symlink": (
        lambda: Tar().link("d", "/etc").hard("a", "d/passwd").bytes(), "entry 'a'"),
    "hard link to a whiteout": (lambda: Tar().add(".wh.a").hard("b", "a").bytes(), "entry 'b'"),
    "file below a symlink": (lambda: Tar().link("d", "/tmp").add("d/pwned", data=b"x").bytes(),
                             "entry 'd/pwned'"),
    "file below a symlink upwards": (
        lambda: Tar().link("d", "../../..").add("d/pwned", data=b"x").bytes(), "entry 'd/pwned'"),
    "directory below a symlink": (lambda: Tar().link("d", "/tmp").dir("d/x").bytes(), "'d/x'"),
    "link swapped under a directory": (
        lambda: Tar().dir("d").link("d", "/tmp").add("d/x", data=b"x").bytes(), "entry 'd/x'"),
    "file below a file": (lambda: Tar().add("f").add("f/x").bytes(), "entry 'f/x'"),
    "file below a hard link": (lambda: Tar().add("f").hard("g", "f").add("g/x").bytes(), "'g/x'"),
    "owner too high": (lambda: Tar().add("x", uid=65536).bytes(), "entry 'x'"),
    "group too high": (lambda: Tar().add("x", gid=4294967295).bytes(), "entry 'x'"),
    "owner that wraps to 0": (lambda: Tar().add("x", uid=1 << 32).bytes(), "entry 'x'"),
    "component of 256 bytes": (lambda: Tar().add("c" * 256).bytes(), "256 bytes"),
    "path of 5000 bytes": (lambda: Tar().add("/".join(["p" * 99] * 50)).bytes(), "longer than"),
    "whiteout without a name": (lambda: Tar().add("d/.wh.").bytes(), "entry 'd/.wh.'"),
    "whiteout of dot dot": (lambda: Tar().add("d/.wh...").bytes(), "entry 'd/.wh...'"),
    "whiteout of dot": (lambda: Tar().add("d/.wh..").bytes(), "entry 'd/.wh..'"),
    "symlink without a target": (lambda: header(b"l", type=b"2") + END, "entry 'l'"),
    "hard link with data": (
        lambda: header(b"f") + pax([record(b"size", b"3")], header(b"h", b"00000000003", b"1",
                                                                   link=b"f")) + b"abc" +
        bytes(509) + END, "entry"),
    "sixty-five attributes": (lambda: Tar().add("x", pax_headers={
        f"SCHILY.xattr.user.a{i}": "v" for i in range(65)}).bytes(), "entry 'x'"),
    "huge attribute": (lambda: Tar().add("x", pax_headers={
        "SCHILY.xattr.user.a": "v" * 60000}).bytes(), "entry 'x'"),
    "size beyond 64 bits": (lambda: header(size=b"\x80" + b"\xff" * 11) + END, ""),
    "negative size": (lambda: header(size=b"\xff" * 12) + END, ""),
    "pax size that is huge": (
        lambda: pax([record(b"size", b"9223372036854775807")], header()) + END, ""),
    "pax size beyond the file": (lambda: pax([record(b"size", b"100000")], header()) + END, ""),
    "pax length that lies": (lambda: pax([b"999 path=x\n"], header()) + END, ""),
    "pax header of 100 MB": (lambda: header(b"p", b"%011o" % (100 << 20), b"x") + END, ""),
    "GNU long name of 100 MB": (lambda: header(b"././@LongLink", b"%011o" % (100 << 20), b"L") + END,
                                ""),
    "bad checksum": (lambda: header()[:148] + b"0000000\0" + header()[156:] + END, ""),
    "cut in a header": (lambda: Tar().add("a", data=b"x" * 600).bytes()[:300], ""),
    "cut in data": (lambda: header(b"a", b"%011o" % 5000) + b"x" * 1000, ""),
    "cut before the last byte": (lambda: header(b"a", b"%011o" % 700) + b"x" * 699, ""),
    "cut gzip": (lambda: gz(Tar().add("a", data=os.urandom(90000)).bytes())[:50000], "middle"),
    "gzip with a wrong CRC": (
        lambda: gz(Tar().add("a", data=b"x" * 9000).bytes())[:-8] + bytes(8), "gzip"),
    "garbage behind gzip": (lambda: gz(Tar().add("a").bytes()) + b"garbage", "behind the end"),
    "not an archive": (lambda: b"#!/bin/sh\necho hello\n" * 100, ""),
    "a zip file": (lambda: b"PK\x03\x04" + bytes(2000), ""),
    "a cpio archive": (lambda: b"070701" + b"0" * 2000, ""),
    "an ar archive": (lambda: b"!<arch>\n" + b" " * 2000, ""),
    "an xz file": (lambda: b"\xfd7zXZ\x00" + bytes(2000), ""),
    "a bzip2 file": (lambda: b"BZh91AY&SY" + bytes(2000), ""),
    "a shar script": (lambda: b"#! /bin/sh\n# This is a shell archive\n" * 60, ""),
    "an mtree": (lambda: b"#mtree\n./etc/passwd type=file\n" * 60, ""),
    "a RAR file": (lambda: b"Rar!\x1a\x07\x00" + bytes(2000), ""),
})


def is_whiteout(at, name):
    status = os.lstat(os.path.join(at, name))
    assert status.st_mode & 0o170000 == 0o020000 and status.st_rdev == 0


def attributes(at, name, expected):
    path = os.path.join(at, name)
    assert {a: os.getxattr(path, a) for a in os.listxattr(path)} == expected


def only(at, names):
    assert sorted(os.listdir(at)) == sorted(names)


CONTAINED.update({
    "whiteout below a symlink": (lambda: Tar().link("d", "/tmp").add("d/.wh.x").bytes(),
                                 lambda at: only(at, ["d"])),
    "symlink to the host": (lambda: Tar().link("l", "/etc/shadow").bytes(),
                            lambda at: os.readlink(at + "/l") == "/etc/shadow" or pytest.fail("l")),
    "symlink far upwards": (lambda: Tar().link("l", "../" * 50 + "etc").bytes(), lambda at: None),
    "symlink to itself": (lambda: Tar().link("l", "l").bytes(), lambda at: None),
    "link then a file of the name": (
        lambda: Tar().link("x", "/etc/passwd").add("x", data=b"mine").bytes(),
        lambda at: regular(at, "x")),
    "block device": (lambda: Tar().add("sda", tarfile.BLKTYPE, devmajor=8).bytes(),
                     lambda at: is_whiteout(at, "sda")),
    "character device": (lambda: Tar().add("mem", tarfile.CHRTYPE, devmajor=1, devminor=1).bytes(),
                         lambda at: is_whiteout(at, "mem")),
    "0/0 device": (lambda: Tar().add("w", tarfile.CHRTYPE).bytes(), lambda at: is_whiteout(at, "w")),
    "fifo": (lambda: Tar().add("p", tarfile.FIFOTYPE).bytes(), lambda at: only(at, ["p"])),
    "trusted, security and overlay attributes": (
        lambda: Tar().add("x", pax_headers={
            "SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.security.capability": "v",
            "SCHILY.xattr.user.overlay.redirect": "/etc", "SCHILY.xattr.user.ok": "1",
            "SCHILY.xattr.user.overlay.metacopy": "", "SCHILY.xattr.system.data": "x"}).bytes(),
        lambda at: attributes(at, "x", {"user.ok": b"1"})),
    "set-user-ID root": (lambda: Tar().add("su", mode=0o4755).bytes(),
                         lambda at: os.lstat(at + "/su").st_mode & 0o7777 == 0o4755),
    "whiteout": (lambda: Tar().add("d/.wh.x").bytes(), lambda at: is_whiteout(at, "d/x")),
    "opaque directory": (lambda: Tar().add("d/.wh..wh..opq").bytes(),
                         lambda at: attributes(at, "d", {"user.overlay.opaque": b"y"})),
    "opaque root": (lambda: Tar().add(".wh..wh..opq").bytes(), lambda at: None),
    "aufs books": (lambda: Tar().add(".wh..wh.plnk/x").add(".wh..wh.aufs").bytes(), lambda at: None),
    "whiteout over an own file": (lambda: Tar().add("x", data=b"1").add(".wh.x").bytes(),
                                  lambda at: regular(at, "x")),
    "file over a whiteout": (lambda: Tar().add(".wh.x").add("x", data=b"1").bytes(),
                             lambda at: regular(at, "x")),
    "whiteout, then the directory again": (
        lambda: Tar().add(".wh.d").dir("d").bytes(),
        lambda at: attributes(at, "d", {"user.overlay.opaque": b"y"})),
    "newline in a name": (lambda: Tar().add("a\nb").bytes(), lambda at: only(at, ["a\nb"])),
    "escape sequence in a name": (lambda: Tar().add("a\033[2Jb").bytes(),
                                  lambda at: only(at, ["a\033[2Jb"])),
    "directory replaced by a file": (
        lambda: Tar().dir("d").add("d/x").add("d", data=b"f").bytes(), lambda at: regular(at, "d")),
    "file replaced by a directory": (
        lambda: Tar().add("d", data=b"f").dir("d").add("d/x").bytes(),
        lambda at: regular(at, "d/x")),
    "the same file a thousand times": (
        lambda: (lambda t: [t.add("x", data=b"%d" % i) for i in range(1000)] and t.bytes())(Tar()),
        lambda at: open(at + "/x").read() == "999" or pytest.fail("last one counts")),
    "root's own entry": (lambda: Tar().dir("./", mode=0o700).add("x").bytes(),
                         lambda at: os.stat(at).st_mode & 0o7777 == 0o700),
    "path of 2,000 levels": (lambda: Tar().add("/".join("d" * 2000)).bytes(), lambda at: None),
    "empty archive": (lambda: END, lambda at: only(at, [])),
    "padding behind the archive": (lambda: Tar().add("x").bytes() + bytes(1 << 20),
                                   lambda at: only(at, ["x"])),
    "a second archive behind the first": (
        lambda: Tar().add("x").bytes() + Tar().add("y").bytes(), lambda at: absent(at, "y")),
    "last entry without padding": (
        lambda: header(b"a") + header(b"x", b"%011o" % 5) + b"hello",
        lambda at: open(at + "/x").read() == "hello" or pytest.fail("x")),
    "two gzip members": (
        lambda: (lambda b: gz(b[:512]) + gz(b[512:]))(Tar().add("x", data=b"12").bytes()),
        lambda at: regular(at, "x")),
    "base-256 numbers": (lambda: Tar(tarfile.GNU_FORMAT).add("x", mtime=-1).bytes(),
                         lambda at: only(at, ["x"])),
})


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, says = REFUSED[name]
    result = layer.build(make())
    os.unlink(result.image)
    assert not result.ok
    assert says in result.error, result.error
    assert result.error.isprintable()
    assert result.seconds < SECONDS_MAX and result.rss < RSS_MAX


@pytest.mark.parametrize("name", CONTAINED)
def test_contained(name):
    make, check = CONTAINED[name]
    result = layer.build(make())
    assert result.seconds < SECONDS_MAX and result.rss < RSS_MAX
    with layer.mounted(result) as at:
        assert check(at) is not False


def zeros(size):
    """A tar with one file of zeros, made without holding it."""
    import io
    import zlib
    out, deflate = io.BytesIO(), zlib.compressobj(9, wbits=31)
    out.write(deflate.compress(header(b"bomb", b"%011o" % size)))
    for _ in range(size >> 20):
        out.write(deflate.compress(bytes(1 << 20)))
    out.write(deflate.compress(END) + deflate.flush())
    return out.getvalue()


BOMBS = {
    "gzip bomb": (lambda: zeros(1 << 30), dict(max_bytes=64 << 20)),
    "sparse bomb": (lambda: pax([record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.minor", b"0"),
                                 record(b"GNU.sparse.name", b"bomb"),
                                 record(b"GNU.sparse.realsize", b"1099511627776")],
                                header(size=b"%011o" % 512)) + b"0\n".ljust(512, b"\0") + END,
                    dict(max_bytes=64 << 20)),
    "many entries": (lambda: (lambda t: [t.add(f"f{i}") for i in range(3000)] and t.bytes())(Tar()),
                     dict(max_entries=2000)),
    "implied directories": (
        lambda: (lambda t: [t.add("/".join([f"{i}"] + ["d"] * 1000)) for i in range(50)] and
                 t.bytes())(Tar()), dict(max_entries=2000)),
    "two files that do not fit": (
        lambda: Tar().add("a", data=bytes(700000)).add("b", data=bytes(700000)).bytes(),
        dict(max_bytes=1 << 20)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bomb(name):
    make, limits = BOMBS[name]
    result = layer.build(make(), **limits)
    size = os.stat(result.image).st_blocks * 512
    os.unlink(result.image)
    assert not result.ok and ("more than" in result.error or "larger than" in result.error or
                              "a file of" in result.error), result.error
    assert size <= limits.get("max_bytes", 1 << 30)
    assert result.seconds < SECONDS_MAX and result.rss < RSS_MAX


def test_there_are_a_hundred():
    assert len(REFUSED) + len(CONTAINED) + len(BOMBS) >= 100
