# SPDX-License-Identifier: Apache-2.0
"""What becomes of what an archive holds: the table of src/image/read.h, row by row, as the kernel shows it."""

import os
import stat
import subprocess
import tarfile

import pytest

import layer
from tars import END, Tar, gz, header, pax, record

REFUSED = "refused"
LETTER = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFIFO: "p", stat.S_IFCHR: "w"}


def show(path):
    """Type, opaqueness, content or target, number of links when there are several."""
    status = os.lstat(path)
    text = LETTER[stat.S_IFMT(status.st_mode)]
    if text == "w":
        assert status.st_rdev == 0, "no device but a whiteout"
    if text == "f":
        with open(path, "rb") as file:
            text += ":" + os.fsdecode(file.read(100))
    elif text == "l":
        text += ":" + os.readlink(path)
    elif text == "d" and "user.overlay.opaque" in os.listxattr(path):
        text = "d!"
    if text[0] == "d":
        below = [e for e in os.scandir(path) if e.is_dir(follow_symlinks=False)]
        assert status.st_nlink in (1, 2 + len(below)), path  # 1: an overlay of several
    elif status.st_nlink > 1:
        text += f" x{status.st_nlink}"
    return text


def view(top):
    return {os.path.relpath(os.path.join(where, name), top): show(os.path.join(where, name))
            for where, dirs, files in os.walk(top) for name in dirs + files}


def fields(path):
    status = os.lstat(path)
    return (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


# (row of the table, archive, what is there then or REFUSED); f(NAME, DATA), d, l, h, w as below.
f, d = (lambda name, data=b"": ("add", name, data)), (lambda name: ("dir", name))
l, h = (lambda name, target: ("link", name, target)), (lambda name, target: ("hard", name, target))
w, o = (lambda name: f(os.path.join(os.path.dirname(name), ".wh." + os.path.basename(name)))), \
    (lambda name: f(os.path.join(name, ".wh..wh..opq")))
dev, blk = (lambda name: ("device", name)), (lambda name: ("block", name))

ROWS = [
    # devices and sockets
    ("character device", [dev("null")], {"null": "w"}),
    ("block device", [blk("sda")], {"sda": "w"}),
    ("device over a file", [f("x", b"1"), dev("x")], {"x": "w"}),
    ("device over a directory", [f("x/y"), dev("x")], {"x": "w"}),
    ("file over a device", [dev("x"), f("x", b"1")], {"x": "f:1"}),
    ("directory over a device", [dev("x"), d("x"), f("x/y")], {"x": "d!", "x/y": "f:"}),
    ("hard link to a device", [dev("x"), h("y", "x")], {"x": "w", "y": "w"}),
    ("pipe", [("fifo", "p")], {"p": "p"}),
    # the same path again
    ("file over a file", [f("x", b"1"), f("x", b"22")], {"x": "f:22"}),
    ("file over a link", [l("x", "y"), f("x", b"1")], {"x": "f:1"}),
    ("link over a file", [f("x", b"1"), l("x", "y")], {"x": "l:y"}),
    ("link over a link", [l("x", "y"), l("x", "z")], {"x": "l:z"}),
    ("pipe over a file", [f("x", b"1"), ("fifo", "x")], {"x": "p"}),
    ("file over a directory", [d("x"), f("x/y"), f("x", b"1")], {"x": "f:1"}),
    ("link over a directory", [d("x"), f("x/y"), l("x", "z")], {"x": "l:z"}),
    ("directory over a file", [f("x", b"1"), d("x"), f("x/y")], {"x": "d", "x/y": "f:"}),
    ("directory over a directory", [d("x"), f("x/y", b"1"), d("x")], {"x": "d", "x/y": "f:1"}),
    ("directory over a link", [l("x", "y"), d("x"), f("x/z")], {"x": "d", "x/z": "f:"}),
    ("hard link over a file", [f("a", b"1"), f("b", b"2"), h("b", "a")], {"a": "f:1 x2", "b": "f:1 x2"}),
    ("hard link over a directory", [f("a", b"1"), f("b/c"), h("b", "a")], {"a": "f:1 x2", "b": "f:1 x2"}),
    ("file over a hard link", [f("a", b"1"), h("b", "a"), f("b", b"2")], {"a": "f:1", "b": "f:2"}),
    ("entries below a replaced directory", [f("x/y", b"1"), f("x"), d("x"), f("x/z")], {"x": "d", "x/z": "f:"}),
    ("links of a replaced directory", [f("a", b"1"), h("x/y/b", "a"), h("x/c", "a"), f("x", b"2")],
     {"a": "f:1", "x": "f:2"}),
    ("last link in a replaced directory", [f("x/a", b"1"), h("b", "x/a"), l("x", "y")],
     {"b": "f:1", "x": "l:y"}),
    # parents
    ("missing parents", [f("a/b/c", b"1")], {"a": "d", "a/b": "d", "a/b/c": "f:1"}),
    ("below a link", [d("d"), l("x", "d"), f("x/y")], REFUSED),
    ("below a link out of the tree", [l("x", "/etc"), f("x/y")], REFUSED),
    ("below a file", [f("x"), f("x/y")], REFUSED),
    ("below a pipe", [("fifo", "x"), f("x/y")], REFUSED),
    # links
    ("absolute link", [l("x", "/etc/passwd")], {"x": "l:/etc/passwd"}),
    ("link upwards", [l("x", "../../../x")], {"x": "l:../../../x"}),
    ("link to itself", [l("x", "x")], {"x": "l:x"}),
    ("link that is not clean", [l("x", "./a//b/./..")], {"x": "l:./a//b/./.."}),
    ("hard link", [f("a", b"1"), h("b", "a"), h("c/d", "/b")],
     {"a": "f:1 x3", "b": "f:1 x3", "c": "d", "c/d": "f:1 x3"}),
    ("hard link to a link", [l("a", "z"), h("b", "a")], {"a": "l:z x2", "b": "l:z x2"}),
    ("hard link to a pipe", [("fifo", "a"), h("b", "a")], {"a": "p x2", "b": "p x2"}),
    ("hard link to itself", [f("a", b"1"), h("a", "a")], {"a": "f:1"}),
    ("hard link twice", [f("a", b"1"), h("b", "a"), h("b", "a")], {"a": "f:1 x2", "b": "f:1 x2"}),
    ("hard link to itself first", [h("a", "a")], REFUSED),
    ("hard link to a later entry", [h("b", "a"), f("a")], REFUSED),
    ("hard link to a directory", [d("a"), h("b", "a")], REFUSED),
    ("hard link to a whiteout", [w("a"), h("b", "a")], REFUSED),
    ("hard link out of the tree", [h("b", "../etc/passwd")], REFUSED),
    ("hard link to the host", [h("b", "/etc/passwd")], REFUSED),
    ("hard link through a link", [f("d/f"), l("x", "d"), h("b", "x/f")], REFUSED),
    ("hard link to what was replaced", [f("a/b"), f("a"), h("c", "a/b")], REFUSED),
    # whiteouts
    ("whiteout", [w("x")], {"x": "w"}),
    ("whiteout twice", [w("x"), w("x")], {"x": "w"}),
    ("whiteout in a new directory", [w("a/x")], {"a": "d", "a/x": "w"}),
    ("whiteout, then a file", [w("x"), f("x", b"1")], {"x": "f:1"}),
    ("file, then whiteout", [f("x", b"1"), w("x")], {"x": "f:1"}),
    ("whiteout, then a directory", [w("x"), d("x"), f("x/y")], {"x": "d!", "x/y": "f:"}),
    ("directory, then whiteout", [d("x"), f("x/y"), w("x")], {"x": "d!", "x/y": "f:"}),
    ("whiteout, then a parent", [w("x"), f("x/y")], {"x": "d!", "x/y": "f:"}),
    ("whiteout, then a link", [w("x"), l("x", "y")], {"x": "l:y"}),
    ("whiteout, then a hard link", [f("a", b"1"), w("x"), h("x", "a")], {"a": "f:1 x2", "x": "f:1 x2"}),
    ("opaque first", [o("x"), d("x"), f("x/y")], {"x": "d!", "x/y": "f:"}),
    ("opaque last", [d("x"), f("x/y"), o("x")], {"x": "d!", "x/y": "f:"}),
    ("opaque between", [d("x"), o("x"), f("x/y")], {"x": "d!", "x/y": "f:"}),
    ("opaque alone", [o("x")], {"x": "d!"}),
    ("opaque and whiteouts", [o("x"), w("x/a"), f("x/b"), w("x/b")], {"x": "d!", "x/a": "w", "x/b": "f:"}),
    ("opaque over a file", [f("x"), o("x")], {"x": "f:"}),
    ("opaque over a link", [l("x", "/etc"), o("x")], {"x": "l:/etc"}),
    ("whiteout below a file", [f("x"), w("x/y")], {"x": "f:"}),
    ("whiteout below a link", [l("x", "/etc"), w("x/passwd")], {"x": "l:/etc"}),
    ("device below a link", [l("x", "/etc"), dev("x/y")], REFUSED),
    ("opaque, then a file", [o("x"), f("x", b"1")], {"x": "f:1"}),
    # odd names of whiteouts
    ("whiteout as a directory", [("dir", ".wh.x")], {"x": "w"}),
    ("whiteout as a link", [l(".wh.x", "y")], {"x": "w"}),
    ("whiteout with data", [f(".wh.x", b"data")], {"x": "w"}),
    ("whiteout with a slash", [("dir", ".wh.x/")], {"x": "w"}),
    ("whiteout of a whiteout", [f(".wh..wh")], {".wh": "w"}),
    ("whiteout of nothing", [f(".wh.")], REFUSED),
    ("whiteout of nothing with a slash", [("dir", "d/.wh./")], REFUSED),
    ("whiteout of dot", [f(".wh..")], REFUSED),
    ("whiteout of dot dot", [f(".wh...")], REFUSED),
    ("aufs' books", [f(".wh..wh.aufs"), d(".wh..wh.plnk"), f(".wh..wh.plnk/1.2"), f("d/.wh..wh.orph")], {}),
    ("below a whiteout's name", [f(".wh.x/y", b"1")], {".wh.x": "d", ".wh.x/y": "f:1"}),
    # names
    ("leading slash", [f("/x", b"1")], {"x": "f:1"}),
    ("dots and slashes", [d(".//./a//"), f("./a//./b", b"1")], {"a": "d", "a/b": "f:1"}),
    ("dot dot", [f("a/../b")], REFUSED),
    ("newline", [f("a\nb", b"1")], {"a\nb": "f:1"}),
    ("255 bytes", [f("n" * 255)], {"n" * 255: "f:"}),
    ("256 bytes", [f("n" * 256)], REFUSED),
    ("not UTF-8", [f(os.fsdecode(b"\xff\xfe\x80"), b"1")], {os.fsdecode(b"\xff\xfe\x80"): "f:1"}),
    # little
    ("only a root", [d("./")], {}),
    ("nothing", [], {}),
]
TYPES = {"fifo": tarfile.FIFOTYPE, "device": tarfile.CHRTYPE, "block": tarfile.BLKTYPE}


def archive_of(ops):
    tar = Tar()
    for op, name, *rest in ops:
        if op in TYPES:
            tar.add(name, TYPES[op], devmajor=1, devminor=3)
        elif op == "add":
            tar.add(name, data=rest[0])
        else:
            getattr(tar, op)(name, *rest)
    return tar.bytes()


@pytest.mark.parametrize("why,ops,want", ROWS, ids=[row[0] for row in ROWS])
def test_row(why, ops, want):
    result = layer.build(archive_of(ops))
    if want == REFUSED:
        os.unlink(result.image)
        assert not result.ok and "entry '" in result.error, result.error
        return
    assert result.fields["skipped"] == sum(op[0] in ("device", "block") for op in ops)
    with layer.mounted(result) as at:
        assert view(at) == want


@pytest.mark.parametrize("archive", [b"", gz(b""), bytes(512), bytes(1024), gz(END), bytes(10240)], ids=len)
def test_archives_of_nothing(archive):
    with layer.mounted(layer.build(archive)) as at:
        assert view(at) == {} and fields(at) == (0o755, 0, 0) and os.stat(at).st_mtime == 0


def test_every_way_to_order_whiteouts():
    """A directory, a file in it, its whiteout and its opaque mark, in all 24 orders: always the same."""
    import itertools
    for ops in itertools.permutations([d("x"), f("x/y", b"1"), w("x"), o("x")]):
        with layer.mounted(layer.build(archive_of(ops))) as at:
            assert view(at) == {"x": "d!", "x/y": "f:1"}, ops


# ---- attributes ------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", [0, 0o777, 0o1777, 0o4755, 0o2755, 0o6711, 0o7777])
def test_modes(mode):
    tar = Tar().add("f", mode=mode).dir("d", mode=mode)
    with layer.mounted(layer.build(tar.bytes())) as at:
        assert fields(at + "/f")[0] == mode and fields(at + "/d")[0] == mode


def test_ids():
    tar = Tar().add("x", uid=65535, gid=1).dir("d", uid=1, gid=65535).link("l", "x", uid=7, gid=8)
    with layer.mounted(layer.build(tar.bytes())) as at:
        assert fields(at + "/x")[1:] == (65535, 1) and fields(at + "/d")[1:] == (1, 65535)
        assert fields(at + "/l")[1:] == (7, 8)


@pytest.mark.parametrize("ids", [{"uid": 65536}, {"gid": 65536}, {"uid": 1 << 31}])
def test_ids_that_no_sandbox_has(ids):
    result = layer.build(Tar().add("x", **ids).bytes())
    os.unlink(result.image)
    assert not result.ok and "owner" in result.error


ATTRIBUTES = {
    "user.kept": "v", "user.": None, "security.capability": None, "security.selinux": None,
    "security.ima": None, "trusted.x": None, "trusted.overlay.opaque": None,
    "trusted.overlay.redirect": None, "system.posix_acl_access": None, "system.nfs4_acl": None,
    "user.overlay.opaque": None, "user.overlay.redirect": None, "user.overlay.metacopy": None,
    "user.overlay.whiteout": None, "user.overlayfs": "v", "btrfs.compression": None, "nothing": None,
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attribute(name):
    headers = {"SCHILY.xattr." + name: "v"}
    tar = Tar().add("f", pax_headers=headers).dir("d", pax_headers=headers)
    want = {} if ATTRIBUTES[name] is None else {name: b"v"}
    with layer.mounted(layer.build(tar.bytes())) as at:
        for path in (at + "/f", at + "/d"):
            assert {a: os.getxattr(path, a) for a in os.listxattr(path)} == want


@pytest.mark.parametrize("headers", [
    {"SCHILY.acl.access": "user::rw-,user:bin:rwx:1,group::---,mask::r--,other::---"},
    {"SCHILY.acl.default": "user::rwx,group::r-x,other::r-x"}, {"SCHILY.acl.ace": "owner@:rw::allow"},
    {"SCHILY.acl.access": "nonsense"}, {"SCHILY.fflags": "schg,uappnd,nodump"},
    {"LIBARCHIVE.creationtime": "1"}, {"atime": "5", "ctime": "6"}, {"comment": "x"},
    {"RHT.security.selinux": "u:r:t"}, {"vendor.key": "x"}], ids=str)
def test_headers_that_mean_nothing(headers):
    tar = Tar().add("x", data=b"1", mode=0o640, mtime=7, pax_headers=headers)
    with layer.mounted(layer.build(tar.bytes())) as at:
        assert view(at) == {"x": "f:1"} and fields(at + "/x")[0] == 0o640
        assert os.listxattr(at + "/x") == [] and os.stat(at + "/x").st_mtime == 7


@pytest.mark.parametrize("path,count,size,fits", [
    ("x", 64, 1, True), ("x", 65, 1, False), ("x", 1, 32760, True), ("x", 1, 32768, False), ("x", 2, 16380, True),
    ("./", 1, 2840, True), ("./", 1, 2900, False)])
def test_how_many_attributes(path, count, size, fits):
    values = {f"user.a{i}": b"v" * size for i in range(count)}
    records = [record(b"SCHILY.xattr." + k.encode(), v) for k, v in values.items()]
    result = layer.build(pax(records, header(path.encode(), type=b"5" if path == "./" else b"0")) + END)
    assert result.ok == fits, result.error
    if not fits:
        os.unlink(result.image)
        return
    with layer.mounted(result) as at:
        assert {a: os.getxattr(at + "/" + path, a) for a in os.listxattr(at + "/" + path)} == values


def test_a_binary_attribute():
    value = bytes(range(256))
    body = pax([record(b"SCHILY.xattr.user.bin", value)], header(b"x"))
    with layer.mounted(layer.build(body + END)) as at:
        assert os.getxattr(at + "/x", "user.bin") == value


# ---- times -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("text,nanoseconds", [
    ("0", 0), ("1.000000001", 10 ** 9 + 1), ("-1", -10 ** 9), ("-86400", -86400 * 10 ** 9),
    ("-1.5", -1500000000), ("-2208988800.000000001", -2208988800000000001), ("1.1234567899", 1123456789),
    ("4294967295.999999999", 4294967295999999999), ("4294967296.5", 4294967296500000000),
    ("7258118400.123456789", 7258118400123456789)])
def test_pax_times(text, nanoseconds):
    body = pax([record(b"mtime", text.encode())], header(b"x"))
    with layer.mounted(layer.build(body + END)) as at:
        assert os.stat(at + "/x").st_mtime_ns == nanoseconds


@pytest.mark.parametrize("seconds", [-1, -2 ** 31, 2 ** 33, 2 ** 36])
def test_base_256_times(seconds):
    with layer.mounted(layer.build(Tar(tarfile.GNU_FORMAT).add("x", mtime=seconds).bytes())) as at:
        assert os.stat(at + "/x").st_mtime == seconds


# ---- names -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", [b"caf\xe9", b"\xff", b"a/\x80b/c", "größe".encode(), b"tab\there"])
@pytest.mark.parametrize("how", ["ustar", "pax", "gnu"])
def test_any_bytes_as_any_writer_writes_them(name, how):
    """Go writes raw bytes to "path" without hdrcharset, GNU tar to a long name, all to a plain header."""
    if how == "ustar":
        body = header(name)
    elif how == "pax":
        body = pax([record(b"path", name)], header(b"replaced"))
    else:
        body = header(b"././@LongLink", b"%011o" % (len(name) + 1), b"L", b"ustar  \0") + name.ljust(512, b"\0") + \
            header(b"replaced", magic=b"ustar  \0")
    with layer.mounted(layer.build(body + END)) as at:
        assert os.path.isfile(os.path.join(os.fsencode(at), name))


def test_targets_of_any_bytes():
    body = pax([record(b"linkpath", b"caf\xe9\n")], header(b"l", type=b"2", link=b"x")) + header(b"f") + \
        pax([record(b"linkpath", b"f"), record(b"path", b"\xe9")], header(b"h", type=b"1", link=b"x"))
    with layer.mounted(layer.build(body + END)) as at:
        assert os.readlink(os.fsencode(at + "/l")) == b"caf\xe9\n"
        assert os.stat(os.fsencode(at) + b"/\xe9").st_nlink == 2


@pytest.mark.parametrize("length,fits", [(4094, True), (4095, True), (4096, False), (5000, False)])
def test_long_paths(length, fits):
    path = "/".join(["p" * 99] * 41)[:length - 1] + "q"
    path += "/" + "q" * (length - len(path) - 1) if len(path) < length else ""
    result = layer.build(Tar().add(path, data=b"1").bytes())
    assert len(path) == length and result.ok == fits
    if not fits:
        os.unlink(result.image)
        assert "longer than" in result.error
        return
    with layer.mounted(result) as at:
        here = os.open(at, os.O_RDONLY)
        for part in path.split("/"):
            below = os.open(part, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        assert os.read(here, 9) == b"1"
        os.close(here)


# ---- contents --------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", [["--format=gnu"], ["--format=pax", "--sparse-version=0.0"],
                                 ["--format=pax", "--sparse-version=0.1"],
                                 ["--format=pax", "--sparse-version=1.0"], ["--format=oldgnu"]], ids=" ".join)
def test_sparse(how, tmp_path):
    files = {"begin": [(0, b"b" * 5000)], "end": [(9 << 20, b"e" * 3)], "none": [], "hole": [(1 << 20, b"h")],
             "many": [(i << 16, bytes([65 + i])) for i in range(60)]}
    for name, parts in files.items():
        with open(tmp_path / name, "wb") as file:
            file.truncate(10 << 20)
            for at, data in parts:
                os.pwrite(file.fileno(), data, at)
    archive = tmp_path / "a.tar"
    subprocess.run(["tar", "-C", tmp_path, "-S", *how, "-cf", archive, *files], check=True)
    result = layer.build(str(archive))
    assert os.stat(result.image).st_blocks * 512 < 1 << 20
    with layer.mounted(result) as at:
        for name in files:
            assert os.path.getsize(f"{at}/{name}") == 10 << 20
            subprocess.run(["cmp", tmp_path / name, f"{at}/{name}"], check=True)


SIZES = [0, 1, 2047, 2048, 2049, 4095, 4096, 4097, 4096 + 2048, 4096 + 2049, 70000, 300000]


def test_contents_of_every_size_in_one_layer():
    """Each twice and once a byte different: shared, inline and in blocks, one behind the other."""
    tar, want = Tar(), {}
    for turn in range(4):
        for size in SIZES:
            data = bytes((size + i * 7) & 255 for i in range(size))
            for name, content in ((f"{turn}-{size}", data), (f"x{turn}-{size}", data[:-1] + bytes([turn]) if size else b"")):
                tar.add(name, data=content, mode=0o600 + turn, uid=turn)
                want[name] = content
    with layer.mounted(layer.build(tar.bytes())) as at:
        for name, content in want.items():
            with open(f"{at}/{name}", "rb") as file:
                assert file.read() == content, name
            turn = int(name.lstrip("x")[0])
            assert fields(f"{at}/{name}")[:2] == (0o600 + turn, turn) and os.stat(f"{at}/{name}").st_nlink == 1


@pytest.mark.parametrize("size,copies,limit", [(1 << 20, 50, 2 << 20), (5000, 1000, 2 << 20),
                                               (1000, 2000, 512 << 10), (3000, 2000, 512 << 10)])
def test_equal_contents_share_their_blocks(size, copies, limit):
    data, tar = os.urandom(size), Tar()
    for i in range(copies):
        tar.add(f"d/{i:05}", data=data, mtime=i)
    result = layer.build(tar.bytes())
    assert os.path.getsize(result.image) < limit
    with layer.mounted(result) as at:
        for i in range(copies):
            with open(f"{at}/d/{i:05}", "rb") as file:
                assert file.read() == data
            assert os.stat(f"{at}/d/{i:05}").st_mtime == i


def test_a_shared_file_leaves_nothing_behind(tmp_path):
    """What a second copy had written before it was known as one must not show in a later file's holes."""
    data = b"\xff" * (3 << 20)
    tar = Tar().add("a", data=data).add("b", data=data)
    body = tar.out.getvalue()
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(4 << 20)
        os.pwrite(file.fileno(), b"x", 2 << 20)
    sparse = subprocess.run(["tar", "-C", tmp_path, "-S", "--format=pax", "-cf", "-", "sparse"], check=True,
                            stdout=subprocess.PIPE).stdout
    with layer.mounted(layer.build(body + sparse)) as at:
        with open(at + "/sparse", "rb") as file:
            assert file.read() == bytes(2 << 20) + b"x" + bytes((2 << 20) - 1)
        subprocess.run(["cmp", at + "/a", at + "/b"], check=True)


def test_a_hundred_thousand_small_files(tmp_path):
    with open(tmp_path / "a.tar", "wb") as out:
        for i in range(100000):
            data = b"%d" % i * (1 + i % 200)
            out.write(header(b"d%03d/%d" % (i % 1000, i), b"%011o" % len(data)) + data + bytes(-len(data) % 512))
        out.write(END)
    result = layer.build(str(tmp_path / "a.tar"))
    assert result.rss < 256 << 10
    with layer.mounted(result) as at:
        for i in range(0, 100000, 997):
            with open(f"{at}/d{i % 1000:03}/{i}", "rb") as file:
                assert file.read() == b"%d" % i * (1 + i % 200)


# ---- what overlayfs makes of it --------------------------------------------------------------------

def test_whiteouts_are_never_listed():
    """Also not where no other layer has the directory, or where a device was left out."""
    lower = Tar().add("d/gone", data=b"1").add("d/kept").add("e", data=b"1").bytes()
    upper = Tar().add("d/.wh.gone").add("new/.wh.x").add("new/y").add("o/.wh..wh..opq").add("o/.wh.x")
    upper = upper.add("dev/null", tarfile.CHRTYPE).add("e", tarfile.CHRTYPE).bytes()
    with layer.mounted(layer.build(lower)) as below, layer.mounted(layer.build(upper)) as above:
        with layer.overlay([below, above]) as at:
            assert view(at) == {"d": "d", "d/kept": "f:", "new": "d", "new/y": "f:", "o": "d", "dev": "d"}
            for path in ("d/gone", "new/x", "o/x", "dev/null", "e"):
                assert not os.path.lexists(f"{at}/{path}")
