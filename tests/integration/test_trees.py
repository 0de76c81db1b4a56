# SPDX-License-Identifier: Apache-2.0
"""Directories as tar archives: everything in them arrives as it was packed, and nowhere else."""

import hashlib
import io
import os
import socket
import stat
import tarfile
import urllib.parse

import pytest

import harness

FORMATS = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}
LONG = "long/" + "d" * 90 + "/" + "f" * 120


@pytest.fixture
def box(shared_sandbox):
    return shared_sandbox


def url(key, path, **query):
    return f"/api/v1/sandbox/{key}/files?" + urllib.parse.urlencode({"path": path, "kind": "tar", **query})


def unpack(api, key, path, archive, **query):
    return api.raw("PUT", url(key, path, **query), archive, timeout=120)


def member(name, kind=tarfile.REGTYPE, data=b"", **fields):
    made = tarfile.TarInfo(name)
    made.type, made.size, made.mode, made.mtime = kind, len(data), 0o644, 981173106
    for field, value in fields.items():
        setattr(made, field, value)
    return made, data


def pack(*members, form=tarfile.PAX_FORMAT, **options):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, **options) as archive:
        for made, data in members:
            archive.addfile(made, io.BytesIO(data))
    return out.getvalue()


def shell(api, key, line):
    done = api.exec(key, line)
    assert done.code == 0, done
    return done.stdout


# ---- what arrives ----------------------------------------------------------------------------------

@pytest.mark.parametrize("form", FORMATS)
def test_everything_in_it(api, make, form):
    key = make()
    data = os.urandom(300001)
    archive = pack(member("./", tarfile.DIRTYPE, mode=0o750), member("./file", data=data, mode=0o640, uid=1000, gid=1001),
                   member("program", data=b"x", mode=0o4755), member("empty"), member("dir", tarfile.DIRTYPE, mode=0o555),
                   member("dir/below", data=b"below"), member("link", tarfile.SYMTYPE, linkname="../any where"),
                   member("hard", tarfile.LNKTYPE, linkname="./file"), member("ümläut 日本", data=b"name"),
                   *([] if form == "ustar" else [member(LONG, data=b"long"),
                                                 member("far", tarfile.SYMTYPE, linkname="t" * 300)]),
                   form=FORMATS[form])
    answer = unpack(api, key, "/tmp/new/top", archive).ok()
    assert answer == {"path": "/tmp/new/top", "size": len(archive), "sha256": hashlib.sha256(archive).hexdigest()}
    seen = shell(api, key, "cd /tmp/new/top; stat -c '%a %u %g %Y %h' . file program empty dir dir/below; readlink link; "
                 "sha256sum < hard; cat dir/below 'ümläut 日本'; ls -i file hard | cut -d' ' -f1 | sort -u | wc -l")
    assert seen.split("\n")[1:] == [
        "640 1000 1001 981173106 2", "4755 0 0 981173106 1", "644 0 0 981173106 1", seen.split("\n")[4],
        "644 0 0 981173106 1", "../any where", hashlib.sha256(data).hexdigest() + "  -", "belowname1", ""]
    assert seen.startswith("750 0 0 ") and seen.split("\n")[4].startswith("555 0 0 ")
    if form != "ustar":
        assert shell(api, key, f"cd /tmp/new/top; cat {LONG}; readlink far") == "long" + "t" * 300 + "\n"
    assert shell(api, key, "find /tmp -name '.caisson-*'") == ""
    # once more, over what is there: the same
    unpack(api, key, "/tmp/new/top", archive).ok()
    assert shell(api, key, "cd /tmp/new/top; ls -i file hard | cut -d' ' -f1 | sort -u | wc -l; find . -name '.c*'") == "1\n"


def test_whose_it_is(api, make):
    """Without root's rights it is their own, and they can go on in every directory."""
    key = make()
    archive = pack(member("d", tarfile.DIRTYPE, mode=0o500, uid=7), member("d/f", data=b"x", uid=7, mode=0o4755))
    unpack(api, key, "/tmp/app", archive, user="app").ok()
    assert shell(api, key, "cd /tmp/app; stat -c '%U %a' . d d/f") == "app 755\napp 700\napp 755\n"
    assert unpack(api, key, "/etc/app", archive, user="app").status == 403


def test_what_is_there(api, make):
    """Directories stay as they are, links to them are gone through, files and links are replaced."""
    key = make()
    shell(api, key, "mkdir -p /tmp/t/dir /tmp/other; chmod 701 /tmp/t /tmp/t/dir; cd /tmp/t; echo old > file; "
          "echo old > kept; ln -s kept link; ln -s /tmp/other way")
    archive = pack(member(".", tarfile.DIRTYPE, mode=0o777), member("dir", tarfile.DIRTYPE, mode=0o777),
                   member("file", data=b"new"), member("link", data=b"a file now"), member("way/in", data=b"in"))
    unpack(api, key, "/tmp/t", archive).ok()
    assert shell(api, key, "cd /tmp/t; stat -c %a . dir; cat file kept link /tmp/other/in; test ! -L link") == \
        "701\n701\nnewold\na file nowin"
    for bad in (member("dir", data=b"x"), member("dir", tarfile.SYMTYPE, linkname="x"),
                member("file", tarfile.DIRTYPE), member("file/x", data=b"x")):
        answer = unpack(api, key, "/tmp/t", pack(bad))
        assert answer.status == 400 and ("dir" in answer.detail or "file" in answer.detail), answer
    assert unpack(api, key, "/tmp/t/file", pack(member("x"))).status == 400


# ---- what does not ----------------------------------------------------------------------------------

HOSTILE = {
    "up": pack(member("../up", data=b"x")),
    "up below": pack(member("a/../../up", data=b"x")),
    "up by a long name": pack(member("x" * 200 + "/../../../up", data=b"x")),
    "hard link up": pack(member("x", tarfile.LNKTYPE, linkname="../../etc/passwd")),
    "device": pack(member("null", tarfile.CHRTYPE, devmajor=1, devminor=3)),
    "disk": pack(member("disk", tarfile.BLKTYPE, devmajor=8)),
    "fifo": pack(member("fifo", tarfile.FIFOTYPE)),
    "nothing": b"",
    "no archive": b"hello" * 1000,
    "zeros that are none": b"\0" * 511 + b"x",
    "cut in a header": pack(member("x", data=b"x" * 5000))[:700],
    "cut in a file": pack(member("x", data=b"x" * 5000))[:3000],
    "without an end": pack(member("d", tarfile.DIRTYPE))[:512],
    "sparse": pack(member("x", tarfile.GNUTYPE_SPARSE)),
    "sparse of pax": pack((lambda m: (setattr(m[0], "pax_headers", {"GNU.sparse.major": "1"}), m)[1])(member("x"))),
    "wrong sum": (lambda a: a[:10] + b"!" + a[11:])(pack(member("x"))),
    "huge": (lambda a: a)(pack(member("x", pax_headers={"size": str(1 << 62)}))),
    "many attributes": pack(member("x", pax_headers={"comment": "c" * 70000})),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_refused(api, box, what):
    answer = unpack(api, box, "/tmp/hostile/top", HOSTILE[what])
    assert answer.status == 400, answer
    assert shell(api, box, "test ! -e /tmp/up; test ! -e /tmp/hostile/up; find / -xdev -name '.caisson-*'; "
                 "find /tmp/hostile -type c -o -type b -o -type p -o -type f") == ""


# Links of an archive, and what it then puts behind them.
WAYS_OUT = {
    "absolute": [("way", "/tmp/other"), "way/file"],
    "into itself, but absolute": [("way", "/tmp/t"), "way/file"],
    "up": [("way", "../other"), "way/file"],
    "up from below": [("a/b/way", "../../../other"), "a/b/way/file"],
    "by two": [("first", "second"), ("second", ".."), "first/other/file"],
    "new directories": [("way", ".."), "way/other/new/file"],
    "a directory": [("way", "/tmp/other"), "way/new/"],
    "the link itself as a directory": [("way", "/tmp/other"), "way/"],
    "a link": [("way", "/tmp/other"), ("way/link", "x")],
    "a hard link": [("way", "/tmp/other"), ["way/hard", "own"]],
    "from where there is something": [("way", "/tmp/other"), ["hard", "way/there"]],
    "over itself": [("way", "inside"), ("way", "/tmp/other"), "way/file"],
    "to nothing": [("way", "/tmp/nothing"), "way/file"],
}


def links(entries):
    """(link, target), [hard link, target], "file" or "directory/"."""
    kinds = {tuple: tarfile.SYMTYPE, list: tarfile.LNKTYPE}
    return pack(member("own", data=b"own"), *(
        member(entry[0], kinds[type(entry)], linkname=entry[1]) if type(entry) in kinds
        else member(entry, tarfile.DIRTYPE) if entry.endswith("/") else member(entry, data=b"x") for entry in entries))


@pytest.mark.parametrize("what", WAYS_OUT)
def test_its_links_lead_nowhere_else(api, make, what):
    key = make()
    shell(api, key, "mkdir -p /tmp/other; echo there > /tmp/other/there")
    answer = unpack(api, key, "/tmp/t", links(WAYS_OUT[what]))
    assert answer.status == 400 and "goes out of the directory by a link" in answer.detail, answer
    assert shell(api, key, "ls -A /tmp/other; test ! -e /tmp/nothing; cat /tmp/t/own; find / -xdev -name '.caisson-*'") == \
        "there\nown"


def test_a_link_that_was_there_is_not_moved_to_lead_out(api, make):
    """By another name elsewhere it means another place."""
    key = make()
    shell(api, key, "mkdir -p /tmp/t/d /tmp/t/other /tmp/other; ln -s ../other /tmp/t/d/way")
    answer = unpack(api, key, "/tmp/t", links([["moved", "d/way"], "moved/file"]))
    assert answer.status == 400 and "goes out of the directory by a link" in answer.detail, answer
    assert shell(api, key, "ls -A /tmp/other") == ""


def test_links_that_stay_inside_are_gone_through(api, make):
    """Also those that go up in it, and what was there before; of the root no link leads out."""
    key = make()
    shell(api, key, "mkdir -p /tmp/other; mkdir /tmp/t; ln -s /tmp/other /tmp/t/way; ln -s other /tmp/mine")
    entries = [("lib64", "usr/lib64"), "usr/lib64/", "lib64/one", ("usr/up", "../share"), "share/", "usr/up/two",
               ("bin/tool", "../lib64/one"), ("etc", "/etc"), "three"]
    unpack(api, key, "/tmp/t", links(["way/before", *entries])).ok()
    assert shell(api, key, "cd /tmp/t; ls usr/lib64; ls share; cat /tmp/other/before bin/tool three; readlink etc") == \
        "one\ntwo\nxxx/etc\n"
    unpack(api, key, "/", links([("tmp/again", "/tmp/other"), "tmp/again/by-root", ("tmp/up", "../tmp"), "tmp/up/last"])).ok()
    assert shell(api, key, "cat /tmp/other/by-root /tmp/last") == "xx"


def test_paths_begin_below(api, make, engine):
    """Whatever the archive says, it ends in the sandbox."""
    key = make()
    secret = os.path.join(engine.top, "host-file")
    with open(secret, "w", encoding="utf-8") as file:
        file.write("host")
    archive = pack(member("/abs/file", data=b"x"), member("tmp/away", tarfile.SYMTYPE, linkname="/"),
                   member("tmp/away" + secret, data=b"changed"), member("tmp/out", tarfile.SYMTYPE, linkname="../" * 40),
                   member("tmp/out" + secret, data=b"changed"))
    unpack(api, key, "/", archive).ok()
    assert shell(api, key, f"cat /abs/file {secret}") == "xchanged"
    assert harness.read(secret) == "host"


def test_what_breaks_off_leaves_whole_files(api, make):
    key = make()
    archive = pack(member("whole", data=b"w" * 5000), member("half", data=b"h" * 50000))
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(api.path)
    sock.sendall(f"PUT {url(key, '/tmp/t')} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(archive)}\r\n\r\n".encode()
                 + archive[:20000])
    harness.wait_until(lambda: api.exec(key, "test -e /tmp/t/whole").code == 0, 10, "the first file")
    sock.close()
    harness.wait_until(lambda: api.exec(key, "cat /proc/[0-9]*/comm | grep -c caisson").stdout == "1\n", 10, "its end")
    assert shell(api, key, "cd /tmp/t; ls -A; wc -c < whole") == "whole\n5000\n"


def test_more_than_one_file_may_have(api, make):
    """The bound of one file is not that of many; the disk's is."""
    key = make(memory_gb=1, disk_size_gb=1)
    archive = pack(*(member(f"f{i}", data=bytes(30 << 20)) for i in range(8)))
    unpack(api, key, "/root/t", archive).ok()
    assert shell(api, key, "cat /root/t/f* | wc -c") == f"{240 << 20}\n"


# ---- the command line ---------------------------------------------------------------------------------

def test_cli_sends_a_directory(engine, make, tmp_path):
    key = make()
    top = tmp_path / "tree"
    (top / ("d" * 120)).mkdir(parents=True)
    (top / "one").write_bytes(os.urandom(700001))
    os.link(top / "one", top / ("d" * 120) / "two")
    (top / "run").write_text("#!")
    (top / "run").chmod(0o751)
    os.utime(top / "run", (1, 981173106))
    (top / "link").symlink_to("l" * 200)
    done = engine.cli("upload", key, str(top), "/tmp/t")
    digest = hashlib.sha256((top / "one").read_bytes()).hexdigest()
    assert done.returncode == 0 and done.stderr == "", done
    assert sorted(done.stdout.splitlines()) == sorted((
        f"{digest}  /tmp/t/one", f"{digest}  /tmp/t/{'d' * 120}/two", f"{hashlib.sha256(b'#!').hexdigest()}  /tmp/t/run"))
    seen = shell(engine.api, key, f"cd /tmp/t; sha256sum one; stat -c '%a %u %Y' run; readlink link; stat -c %h {'d' * 120}/two")
    assert seen == f"{digest}  one\n751 0 981173106\n{'l' * 200}\n2\n"
    assert stat.S_IMODE(top.stat().st_mode) == int(shell(engine.api, key, "stat -c %a /tmp/t"), 8)
    again = engine.cli("upload", "-q", key, str(top), "/tmp/t")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_cli_says_what_of_a_directory_failed(engine, make, tmp_path):
    key = make()
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "x").write_text("x")
    engine.api.exec(key, "mkdir -p /tmp/t/x")
    done = engine.cli("upload", key, str(tmp_path / "t"), "/tmp/t")
    assert done.returncode not in (0, 1) and "'x' is a directory" in done.stderr and done.stdout == "", done
    assert engine.cli("upload", "-u", "app", key, str(tmp_path / "t"), "/etc/t").returncode not in (0, 1)
