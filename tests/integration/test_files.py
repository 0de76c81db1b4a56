# SPDX-License-Identifier: Apache-2.0
"""Files in and out of sandboxes: whole or not at all, only inside, and never in the way of others."""

import concurrent.futures
import contextlib
import fcntl
import hashlib
import json
import os
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
import urllib.parse

import pytest

import harness

LIMIT = 200 << 20
READ_LIMIT = 10 << 20
NAMES = ("plain", "with space", "quotes \"' and `x`", "ümläut-日本-🎉", "-rf", "a%20b+c&d=e#f?",
         "back\\slash", "tab\there", "x" * 255)


@pytest.fixture
def box(shared_sandbox):
    return shared_sandbox


def url(key, path, route="files", **query):
    return f"/api/v1/sandbox/{key}/{route}?" + urllib.parse.urlencode({"path": path, **query})


def put(api, key, path, data, **query):
    return api.raw("PUT", url(key, path, **query), data, timeout=120)


def get(api, key, path, **query):
    return api.raw("GET", url(key, path, **query), timeout=120)


def entries(api, key, path, **query):
    return api.raw("GET", url(key, path, "files/list", **query))


def gateway(key, route, path, **query):
    return f"/gw/s/{key}/{route}?" + urllib.parse.urlencode({"path": path, **query})


def form(data, name="file", filename="x", boundary="B0undary", tail=None):
    head = (f"--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; "
            f"filename=\"{filename}\"\r\nContent-Type: application/octet-stream\r\n\r\n")
    end = f"\r\n--{boundary}--\r\n" if tail is None else tail
    return head.encode() + data + end.encode()


FORM = {"Content-Type": "multipart/form-data; boundary=B0undary"}


def upload(api, key, path, data, **query):
    return api.raw("POST", gateway(key, "upload", path, **query), form(data), FORM, timeout=120)


def nothing_left(api, key):
    """No file of a transfer and no process of one: such is called as the agent is."""
    found = api.exec(key, "find /tmp -name '.caisson-*'; cat /proc/[0-9]*/comm | grep -c caisson")
    return found.stdout == "1\n"


# ---- there and back ---------------------------------------------------------------------------------

@pytest.mark.smoke
@pytest.mark.parametrize("size", (0, 1, 4095, 65536, 1 << 20, (5 << 20) + 3))
def test_bytes_come_back(api, box, size):
    data = os.urandom(size)
    answer = put(api, box, "/tmp/there/and/back.bin", data).ok()
    assert answer == {"path": "/tmp/there/and/back.bin", "size": size,
                      "sha256": hashlib.sha256(data).hexdigest()}
    back = get(api, box, "/tmp/there/and/back.bin")
    assert back.status == 200 and back.body == data
    assert back.headers["Content-Length"] == str(size)
    assert upload(api, box, "/tmp/by form", data).ok()["size"] == size
    assert api.raw("GET", gateway(box, "download", "/tmp/by form")).body == data


@pytest.mark.parametrize("name", NAMES)
def test_names(api, box, name):
    path = "/tmp/names/" + name
    assert upload(api, box, path, name.encode()).ok()["path"] == path
    assert get(api, box, path).body == name.encode()
    assert api.exec(box, ["cat", path]).stdout == name
    listed = entries(api, box, "/tmp/names").ok()["entries"]
    assert name in [entry["name"] for entry in listed]


def test_relative_paths_and_owners(api, make):
    key = make()
    put(api, key, "made/by/root", b"x").ok()
    home = api.exec(key, "pwd").stdout.strip()
    seen = api.exec(key, f"stat -c '%U %a' {home}/made {home}/made/by/root").stdout
    assert seen == "root 755\nroot 644\n"
    put(api, key, "/tmp/app/file", b"x", user="app").ok()
    put(api, key, "/tmp/app/tool", b"x", user="app", mode="750").ok()
    put(api, key, "/tmp/app/tool", b"y").ok()  # keeps owner and mode
    seen = api.exec(key, "stat -c '%U %a' /tmp/app /tmp/app/file /tmp/app/tool").stdout
    assert seen == "app 755\napp 644\napp 750\n"
    assert put(api, key, "/etc/by-app", b"x", user="app").status == 403
    assert put(api, key, "/tmp/x", b"x", user="nobody-there").status == 404


def test_windows(api, box):
    put(api, box, "/tmp/w", b"0123456789").ok()
    for query, want in (({"offset": 3}, b"3456789"), ({"offset": 3, "length": 4}, b"3456"),
                        ({"offset": 10}, b""), ({"offset": 99}, b""), ({"length": 0}, b"")):
        assert get(api, box, "/tmp/w", **query).body == want, query
    for query in ({"offset": "x"}, {"offset": -1}, {"length": "1e3"}, {"offset": 1 << 64}):
        assert get(api, box, "/tmp/w", **query).status == 400, query


def read_file(api, key, path, **query):
    return api.raw("GET", gateway(key, "read-file", path, **query))


def test_read_file(api, box):
    put(api, box, "/tmp/r", "0123456789ä".encode()).ok()
    assert read_file(api, box, "/tmp/r").ok() == {
        "content": "0123456789ä", "size": 12, "total_size": 12, "offset": 0, "truncated": False}
    assert read_file(api, box, "/tmp/r", offset=-3).ok() == {
        "content": "9ä", "size": 3, "total_size": 12, "offset": 9, "truncated": True}
    assert read_file(api, box, "/tmp/r", offset=-READ_LIMIT, length=READ_LIMIT).ok()["size"] == 12
    assert read_file(api, box, "/tmp/r", offset=2, length=3).ok()["content"] == "234"
    assert read_file(api, box, "/tmp/r", offset=99).ok()["content"] == ""
    put(api, box, "/tmp/r", b"a\xff\xfeb\0c\x1b").ok()
    assert read_file(api, box, "/tmp/r").ok()["content"] == "a��b\0c\x1b"
    assert read_file(api, box, "/tmp/none").status == 404
    assert read_file(api, box, "/tmp").status == 400
    put(api, box, "/tmp/r", b"\x01" * (READ_LIMIT + 1)).ok()
    assert read_file(api, box, "/tmp/r").status == 413
    assert read_file(api, box, "/tmp/r", length=READ_LIMIT + 1).status == 413
    tail = read_file(api, box, "/tmp/r", offset=-READ_LIMIT, length=READ_LIMIT).ok()
    assert tail["size"] == READ_LIMIT == len(tail["content"]) and tail["offset"] == 1


# ---- limits -----------------------------------------------------------------------------------------

class Zeros:
    """A body that is nowhere in memory."""

    def __init__(self, *parts):
        self.parts = list(parts)

    def __iter__(self):
        for part in self.parts:
            if isinstance(part, bytes):
                yield part
                continue
            for done in range(0, part, 1 << 20):
                yield bytes(min(1 << 20, part - done))

    def __len__(self):
        return sum(len(part) if isinstance(part, bytes) else part for part in self.parts)


def send(api, method, path, body, headers=None):
    headers = {"Content-Length": str(len(body)), **(headers or {})}
    return api.raw(method, path, iter(body), headers, timeout=240)


def test_two_hundred_megabytes_and_no_more(api, make, engine):
    key = make(memory_gb=1, disk_size_gb=2)
    head, tail = form(b"|").split(b"|")
    before = peak(engine)
    path = gateway(key, "upload", "/root/large")
    answer = send(api, "POST", path, Zeros(head, LIMIT, tail), FORM).ok()
    assert answer["size"] == LIMIT
    assert api.exec(key, "wc -c < /root/large").stdout.strip() == str(LIMIT)
    api.exec(key, "echo small > /root/large")
    answer = send(api, "POST", path, Zeros(head, LIMIT + 1, tail), FORM)
    assert answer.status == 413 and str(LIMIT) in answer.detail, answer
    answer = send(api, "PUT", url(key, "/root/large"), Zeros(LIMIT + 1))
    assert answer.status == 413 and str(LIMIT) in answer.detail, answer
    answer = send(api, "PUT", url(key, "/root/large"), Zeros(LIMIT + (1 << 20)))
    assert answer.status == 413, answer
    assert api.exec(key, "cat /root/large").stdout == "small\n"
    assert peak(engine) - before < 32 << 10


def peak(engine):
    """KiB of memory that the gateway had at most."""
    status = harness.read(f"/proc/{engine.gateway}/status")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))



@pytest.mark.parametrize("how, status, word", (
    (lambda: (form(b"abc"), {}), 400, "multipart/form-data"),
    (lambda: (form(b"abc"), {"Content-Type": "application/json"}), 400, "multipart/form-data"),
    (lambda: (form(b"abc"), {"Content-Type": "multipart/form-data"}), 400, "multipart"),
    (lambda: (form(b"abc", name="other"), FORM), 400, "no part named 'file'"),
    (lambda: (form(b"abc", tail="\r\n") + form(b"def"), FORM), 400, "more than one"),
    (lambda: (form(b"abc", tail=""), FORM), 400, "last boundary"),
    (lambda: (form(b"abc", boundary="another"), FORM), 400, "last boundary"),
    (lambda: (b"", FORM), 400, "last boundary"),
    (lambda: (b"--B0undary--\r\n", FORM), 400, "no part named"),
    (lambda: (b"--B0undary\r\n" + b"A: b\r\n" * 9000, FORM), 400, "headers of a part"),
))
def test_forms_that_are_none(api, box, how, status, word):
    body, headers = how()
    put(api, box, "/tmp/form", b"old").ok()
    answer = api.raw("POST", gateway(box, "upload", "/tmp/form"), body, headers)
    assert answer.status == status and word in answer.detail, answer
    assert get(api, box, "/tmp/form").body == b"old"


def test_form_with_other_fields_and_no_last_line_end(api, box):
    body = (b"preamble\r\n--B0undary\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhi"
            b"\r\n--B0undary \r\ncontent-disposition: form-data; filename=\"a;b\"; name=file\r\n\r\n"
            b"x\r\n--B0undar\r\r\n--B0undary--")
    api.raw("POST", gateway(box, "upload", "/tmp/f"), body, FORM).ok()
    assert get(api, box, "/tmp/f").body == b"x\r\n--B0undar\r"


def test_form_with_many_line_ends(api, box):
    data = b"\r\n" * (1 << 20) + b"\r" * (1 << 20)
    began = time.monotonic()
    assert upload(api, box, "/tmp/f", data).ok()["sha256"] == hashlib.sha256(data).hexdigest()
    assert time.monotonic() - began < 10
    assert get(api, box, "/tmp/f").body == data


def test_what_is_asked_wrongly(api, box):
    assert api.raw("PUT", f"/api/v1/sandbox/{box}/files", b"x").status == 400
    assert api.raw("GET", f"/api/v1/sandbox/{box}/files?path=").status == 400
    assert put(api, box, "/tmp/" + "x" * 5000, b"").status == 400
    assert put(api, box, "/tmp/" + "y" * 300, b"").status == 400
    for query in ({"mode": "9"}, {"mode": "01234"}, {"kind": "fifo"}, {"sha256": "abc"}, {"summed": "no"},
                  {"summed": "false", "sha256": hashlib.sha256(b"x").hexdigest()}):
        assert put(api, box, "/tmp/x", b"x", **query).status == 400, query
    assert put(api, box, "/tmp/x", b"x", sha256="0" * 64).status == 400
    assert get(api, box, "/tmp/x").status == 404
    put(api, box, "/tmp/x", b"x", sha256=hashlib.sha256(b"x").hexdigest()).ok()
    assert upload(api, box, "/tmp/x", b"", sandbox_id="another").status == 400
    assert upload(api, box, "/tmp/x", b"", sandbox_id=box).status == 200
    assert put(api, "nosuch", "/tmp/x", b"x").status == 404


def test_no_memory_inside(api, make):
    """Want of memory ends the sandbox; how, is known before the answer."""
    key = make(memory_gb=0.125)
    answer = send(api, "PUT", url(key, "/dev/shm/x/file"), Zeros(180 << 20))
    assert answer.status == 409, answer
    assert api.get(key)["errorType"] == "OOM_KILLED"


# ---- what is at a path -------------------------------------------------------------------------------

def test_only_regular_files(api, make):
    key = make()
    api.exec(key, "mkfifo /tmp/fifo; ln -s /tmp/fifo /tmp/to-fifo; ln -s round /tmp/round; "
             "mkdir /tmp/dir")
    began = time.monotonic()
    for path in ("/tmp/fifo", "/tmp/to-fifo", "/dev/zero", "/dev/ptmx", "/dev/tty", "/tmp/dir",
                 "/tmp/round"):
        assert get(api, key, path).status in (400, 404), path
        assert read_file(api, key, path).status in (400, 404), path
        assert put(api, key, path, b"x").status in (400, 404), path
        assert upload(api, key, path, b"x").status in (400, 404), path
    assert time.monotonic() - began < 10
    assert api.exec(key, "test -c /dev/zero -a -p /tmp/fifo -a -d /tmp/dir").code == 0
    assert b"MemTotal" in get(api, key, "/proc/meminfo").body
    assert read_file(api, key, "/proc/self/status").ok()["content"].startswith("Name:")
    for path in ("/proc/sys/kernel/hostname", "/proc/1/comm", "/sys/x", "/proc/x"):
        assert put(api, key, path, b"x").status in (400, 403, 404), path
    for path in ("/proc/1/mem", "/proc/kcore", "/proc/1/environ"):
        assert get(api, key, path).status != 200 or get(api, key, path).body == b"", path


def test_links(api, make):
    key = make()
    api.exec(key, "cd /tmp; echo old > target; ln -s target link; ln -s /tmp/new/one dangling")
    put(api, key, "/tmp/link", b"through").ok()
    put(api, key, "/tmp/dangling", b"made").ok()
    assert api.exec(key, "cd /tmp; cat target new/one; readlink link; readlink dangling").stdout == \
        "throughmadetarget\n/tmp/new/one\n"
    put(api, key, "/tmp/l", b"../any where", kind="link").ok()
    put(api, key, "/tmp/d/e", b"", kind="directory", mode="700").ok()
    assert put(api, key, "/tmp/d/f", b"x", kind="directory").status == 400
    assert api.exec(key, "readlink /tmp/l; stat -c %a /tmp/d/e").stdout == "../any where\n700\n"


def test_listing(api, make):
    key = make()
    api.exec(key, "mkdir -p /tmp/l/d; cd /tmp/l; printf abc > f; chmod 751 f; ln -s f k; mkfifo p; "
             "touch -d '2001-02-03 04:05:06' f")
    listed = entries(api, key, "/tmp/l").ok()
    assert listed["kind"] == "directory" and listed["more"] is False
    rows = {entry["name"]: entry for entry in listed["entries"]}
    assert list(rows) == ["d", "f", "k", "p"]
    assert rows["f"] == {"name": "f", "kind": "file", "mode": "0751", "size": 3,
                         "mtime": 981173106}
    assert (rows["k"]["kind"], rows["k"]["target"]) == ("link", "f")
    assert (rows["d"]["kind"], rows["p"]["kind"]) == ("directory", "other")
    assert entries(api, key, "/tmp/l/f").ok()["entries"] == []
    assert entries(api, key, "/tmp/none").status == 404
    api.exec(key, "mkdir /tmp/many; cd /tmp/many; for i in $(seq 10000 12499); do : > $i; done")
    names, after, pages = [], "", 0
    while True:
        page = entries(api, key, "/tmp/many", after=after).ok()
        names += [entry["name"] for entry in page["entries"]]
        pages += 1
        if not page["more"]:
            break
        after = names[-1]
    assert names == [str(i) for i in range(10000, 12500)] and pages == 3


# ---- isolation ---------------------------------------------------------------------------------------

def test_paths_are_of_the_sandbox(api, make, engine):
    """Nothing of the host is at any path, and nothing of the host is changed."""
    key = make()
    secret = os.path.join(engine.top, "host-secret")
    with open(secret, "w", encoding="utf-8") as file:
        file.write("host")
    ways = [secret, "../" * 40 + secret[1:], "/proc/1/root" + secret, "/proc/self/root" + secret,
            "/proc/self/cwd/../../.." + secret, "/proc/1/cwd" + secret]
    ways += [f"/proc/{who}/fd/{fd}" for who in ("self", "1") for fd in range(16)]
    ways += [f"/proc/{who}/fd/{fd}/../../../..{secret}" for who in ("self", "1") for fd in range(8)]
    ways += [f"/proc/1/map_files/x{secret}", f"/proc/self/task/1/root{secret}"]
    api.exec(key, f"ln -s {secret} /tmp/link; ln -s /proc/1/root /tmp/root")
    ways += ["/tmp/link", "/tmp/root" + secret]
    for path in ways:
        assert b"host" not in get(api, key, path).body or get(api, key, path).status != 200, path
    for path in ways:
        put(api, key, path, b"changed")
        entries(api, key, path)
    assert harness.read(secret) == "host"
    assert not [name for name in os.listdir(engine.top) if "caisson-" in name and "." == name[0]]


def test_the_engine_sees_no_other_sandbox(api, make):
    one, two = make(), make()
    put(api, one, "/tmp/mine", b"one").ok()
    assert get(api, two, "/tmp/mine").status == 404
    assert put(api, two, "/tmp/mine", b"two").ok()
    assert get(api, one, "/tmp/mine").body == b"one"


# ---- at the same time, and broken off ------------------------------------------------------------------

def test_one_of_many_wins(api, make):
    key = make(memory_gb=0.5)
    contents = [bytes([65 + i]) * (1 << 20) for i in range(12)]

    def one(data):
        return put(harness.Api(api.path), key, "/tmp/one", data).status

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        futures = [pool.submit(one, data) for data in contents]
        while not all(future.done() for future in futures):
            seen = get(api, key, "/tmp/one")
            assert seen.status == 404 or seen.body in contents
        assert {future.result() for future in futures} == {200}
    assert get(api, key, "/tmp/one").body in contents
    harness.wait_until(lambda: nothing_left(api, key), 10, "the end of the transfers")


def begin(api, key, path, size, sent):
    """The first bytes of a request whose body is longer."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(api.path)
    sock.sendall(f"PUT {url(key, path)} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
                 .encode() + bytes(sent))
    return sock


def unread(sock):
    """Bytes of memory that what was sent takes until the other side has read it."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]


def test_a_client_that_leaves_leaves_nothing(api, make):
    key = make()
    put(api, key, "/tmp/d/x", b"old").ok()
    for sent in (0, 10, 300000):
        sock = begin(api, key, "/tmp/d/x", 1 << 20, sent)
        time.sleep(0.3)
        sock.close()
    whole = begin(api, key, "/tmp/d/y", 1000, 999)
    whole.shutdown(socket.SHUT_WR)
    harness.wait_until(lambda: nothing_left(api, key), 10, "the end of the transfers")
    assert api.exec(key, "ls -A /tmp/d; cat /tmp/d/x").stdout == "x\nold"
    whole.close()
    # and of a download
    api.exec(key, "dd if=/dev/zero of=/tmp/z bs=1M count=64 2>/dev/null")
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(api.path)
    sock.sendall(f"GET {url(key, '/tmp/z')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert b"200 OK" in sock.recv(4096)
    sock.close()
    harness.wait_until(lambda: nothing_left(api, key), 10, "the end of the download")


def test_a_sandbox_that_ends_meanwhile(api, make):
    key = make(memory_gb=0.5)
    api.exec(key, "truncate -s 1073741824 /tmp/sparse")
    up = begin(api, key, "/tmp/x", 1 << 20, 100)
    down = socket.socket(socket.AF_UNIX)
    down.connect(api.path)
    down.sendall(f"GET {url(key, '/tmp/sparse')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert b"Content-Length: 1073741824" in down.recv(4096)
    time.sleep(0.3)
    ender = threading.Thread(target=harness.Api(api.path).delete, args=(key,))
    ender.start()
    got = 0
    while True:
        piece = down.recv(1 << 20)
        if not piece:
            break
        got += len(piece)
    assert got < 1 << 30
    time.sleep(0.3)
    up.settimeout(20)
    up.sendall(bytes((1 << 20) - 100))
    assert b" 409 " in up.recv(4096).split(b"\r\n")[0]
    ender.join()
    up.close()
    down.close()
    for answer in (put(api, key, "/tmp/x", b""), get(api, key, "/tmp/x"),
                   read_file(api, key, "/tmp/x"), upload(api, key, "/tmp/x", b"")):
        assert answer.status == 409, answer


def test_a_paused_sandbox_moves_nothing(api, make):
    key = make()
    put(api, key, "/tmp/x", b"old").ok()
    assert api.raw("POST", f"/api/v1/sandbox/{key}/pause").status == 200
    for answer in (put(api, key, "/tmp/x", b"new"), get(api, key, "/tmp/x"),
                   read_file(api, key, "/tmp/x"), entries(api, key, "/tmp")):
        assert answer.status == 409 and "PAUSED" in answer.detail, answer
    assert api.raw("POST", f"/api/v1/sandbox/{key}/resume").status == 200
    assert get(api, key, "/tmp/x").body == b"old"


def test_a_pause_in_the_middle(api, make):
    """What the sandbox cannot take waits, and its end behind it."""
    key = make()
    data = os.urandom(300 << 10)  # more than the pipe has room for
    sock = begin(api, key, "/tmp/x", len(data), 0)
    harness.wait_until(lambda: not nothing_left(api, key), 10, "the transfer")
    assert api.raw("POST", f"/api/v1/sandbox/{key}/pause").status == 200
    sock.sendall(data)
    harness.wait_until(lambda: unread(sock) == 0, 10, "the gateway")
    assert api.get(key)["status"] == "PAUSED"
    assert api.raw("POST", f"/api/v1/sandbox/{key}/resume").status == 200
    sock.settimeout(20)
    assert hashlib.sha256(data).hexdigest().encode() in sock.recv(4096)
    sock.close()
    assert get(api, key, "/tmp/x").body == data


def test_slow_clients_hold_up_nobody(api, make):
    key = make()
    socks = [begin(api, key, f"/tmp/slow-{i}", 1000, 10) for i in range(40)]
    began = time.monotonic()
    put(api, key, "/tmp/fast", b"x").ok()
    assert api.exec(key, "echo hi").stdout == "hi\n"
    assert time.monotonic() - began < 5
    for i, sock in enumerate(socks):
        sock.sendall(bytes(990))
    for sock in socks:
        sock.settimeout(20)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        sock.close()
    assert api.exec(key, "ls /tmp | wc -l").stdout == "41\n"


def test_many_small_ones(api, make):
    key = make()

    def one(i):
        mine = harness.Api(api.path)
        data = os.urandom(i)
        put(mine, key, f"/tmp/m/{i}", data).ok()
        return get(mine, key, f"/tmp/m/{i}").body == data

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(one, range(200)))
    assert api.exec(key, "ls /tmp/m | wc -l").stdout == "200\n"


def test_full_processes_stop_no_transfer(api, make):
    key = make(pids_limit=16)
    api.exec(key, "for i in $(seq 14); do sleep 100 & done; true")
    put(api, key, "/tmp/x", b"still").ok()
    assert get(api, key, "/tmp/x").body == b"still"


def test_nobody_has_to_want_the_sum(api, box):
    data = os.urandom((1 << 20) + 7)
    assert put(api, box, "/tmp/unsummed", data, summed="false").ok() == {"path": "/tmp/unsummed", "size": len(data)}
    assert get(api, box, "/tmp/unsummed").body == data
    assert put(api, box, "/tmp/summed", data, summed="true").ok()["sha256"] == hashlib.sha256(data).hexdigest()


def test_early_answers_to_large_bodies(api, box):
    """The refusal arrives, although the client sends everything first."""
    answer = send(api, "PUT", url(box, "/etc"), Zeros(100 << 20))
    assert answer.status == 400 and "directory" in answer.detail
    answer = send(api, "PUT", url("nosuch", "/x"), Zeros(100 << 20))
    assert answer.status == 404
    assert answer["code"] == "not_found"


# ---- the command line ----------------------------------------------------------------------------------

def sums(top):
    """Every file below a directory with its contents, every link with its target, every directory."""
    found = {}
    for where, directories, files in os.walk(top):
        for name in directories + files:
            path = os.path.join(where, name)
            key = os.path.relpath(path, top)
            if os.path.islink(path):
                found[key] = "-> " + os.readlink(path)
            elif os.path.isdir(path):
                found[key] = "directory"
            else:
                with open(path, "rb") as file:
                    found[key] = file.read()
    return found


def test_cli_moves_files(engine, make, tmp_path):
    key = make()
    data = os.urandom(3 << 20)
    local = tmp_path / "a file"
    local.write_bytes(data)
    local.chmod(0o751)
    digest = hashlib.sha256(data).hexdigest()
    done = engine.cli("upload", key, str(local), "/tmp/new/")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{digest}  /tmp/new/a file\n", "")
    assert engine.api.exec(key, "stat -c %a '/tmp/new/a file'").stdout == "751\n"
    back = tmp_path / "back"
    done = engine.cli("download", key, "/tmp/new/a file", str(back))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{digest}  {back}\n", "")
    assert back.read_bytes() == data and back.stat().st_mode & 0o777 == 0o751 & ~umask()
    assert engine.cli("download", "-q", key, "/tmp/new/a file", str(tmp_path) + "/").stdout == ""
    done = engine.cli("upload", "-q", key, str(local), "/tmp/quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert engine.api.exec(key, "sha256sum < /tmp/quiet").stdout.split()[0] == digest
    done = engine.cli("upload", key, "-", "/tmp/in", input=data, text=False)
    assert done.returncode == 0 and done.stdout.decode() == f"{digest}  /tmp/in\n"
    done = engine.cli("download", key, "/tmp/in", "-", text=False)
    assert done.returncode == 0 and done.stdout == data and done.stderr == b""
    odd = tmp_path / "new\nline"
    odd.write_bytes(b"x")
    done = engine.cli("upload", key, str(odd), "/tmp/")
    assert done.stdout == f"\\{hashlib.sha256(b'x').hexdigest()}  /tmp/new\\nline\n"


@contextlib.contextmanager
def wrong_server(family, address, answer):
    """Takes one request after the other and answers each the same; the first lines of what came."""
    came, door = [], socket.socket(family)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                with door.accept()[0] as client, client.makefile("rb") as file:
                    came.append(file.readline().decode())
                    length = 0
                    for line in iter(file.readline, b"\r\n"):
                        length = int(line.split(b":")[1]) if line.startswith(b"Content-Length:") else length
                    file.read(length)
                    body = json.dumps(answer).encode()
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                   b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)

    with door:
        door.bind(address)
        door.listen()
        server = threading.Thread(target=serve)
        server.start()
        try:
            yield door.getsockname(), came
        finally:
            door.shutdown(socket.SHUT_RDWR)
            server.join()


@pytest.mark.parametrize("how, local, options, said", (
    ("one byte is missing", True, ["--quiet"], "2 bytes have arrived; 3 were sent"),
    ("one byte is missing", True, [], "2 bytes have arrived; 3 were sent"),
    ("one byte is another", True, [], "with another SHA-256"),
    ("one byte is another", False, ["--quiet"], "with another SHA-256"),
))
def test_cli_sees_what_does_not_arrive(how, local, options, said, tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    answer = {"path": "/tmp/f", "size": 2 if "missing" in how else 3, "sha256": hashlib.sha256(b"abd").hexdigest()}
    place = (socket.AF_UNIX, str(tmp_path / "socket")) if local else (socket.AF_INET, ("127.0.0.1", 0))
    with wrong_server(*place, answer) as (name, came):
        where = ["--socket", name] if local else ["--url", f"http://{name[0]}:{name[1]}"]
        words = [harness.program("caisson"), *where, "upload", *options, "box", tmp_path / "file", "/tmp/f"]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=60, text=True, env={"PATH": os.environ["PATH"]}, check=False)
    assert done.returncode != 0 and said in done.stderr and done.stdout == ""
    assert [("summed=false" in line) for line in came] == [local and bool(options)]


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_cli_moves_directories(engine, make, tmp_path):
    key = make()
    top = tmp_path / "tree"
    (top / "empty").mkdir(parents=True)
    (top / "a b/c").mkdir(parents=True)
    for name in NAMES:
        (top / "a b" / name).write_bytes(name.encode())
    (top / "a b/c/large").write_bytes(os.urandom(1 << 20))
    (top / "link").symlink_to("a b/plain")
    (top / "dangling").symlink_to("/no/such")
    os.mkfifo(top / "fifo")
    done = engine.cli("upload", key, str(top), "/tmp/up/")
    assert done.returncode == 0 and "fifo' left out" in done.stderr, done
    os.unlink(top / "fifo")
    assert len(done.stdout.splitlines()) == len(NAMES) + 1
    assert engine.api.exec(key, "ls -A /tmp/up; readlink /tmp/up/tree/link").stdout == \
        "tree\na b/plain\n"
    down = tmp_path / "down"
    engine.api.exec(key, "mkfifo /tmp/up/tree/pipe")
    done = engine.cli("download", key, "/tmp/up/tree", str(down))
    assert done.returncode == 0 and "pipe' left out" in done.stderr, done
    assert sums(down) == sums(top)
    assert engine.cli("download", key, "/tmp/up/tree", str(down)).returncode == 0
    assert sorted(os.listdir(down)) == sorted(os.listdir(top)) + ["tree"]
    assert sums(down / "tree") == sums(top)
    engine.api.exec(key, "mkdir /tmp/many; cd /tmp/many; for i in $(seq 1300); do echo $i > $i; done")
    assert engine.cli("download", "-q", key, "/tmp/many", str(tmp_path)).returncode == 0
    assert sums(tmp_path / "many") == {str(i): f"{i}\n".encode() for i in range(1, 1301)}


def test_cli_says_what_is_wrong(engine, make, tmp_path):
    key = make()
    kept = tmp_path / "kept"
    kept.write_text("old")
    for arguments, word in (
            (("upload", key, "/no/such", "/tmp/x"), "/no/such"),
            (("upload", "nosuch", str(kept), "/tmp/x"), "nosuch"),
            (("upload", key, str(kept), "/etc"), "directory"),
            (("upload", key, str(kept), ""), "empty"),
            (("upload", key, "/dev/null", "/tmp/x"), "not a regular file"),
            (("upload", "-u", "app", key, str(kept), "/etc/x"), "/etc/x"),
            (("upload", key, str(kept)), "REMOTE"),
            (("download", key, "/no/such", str(kept)), "/no/such"),
            (("download", key, "/dev/zero", str(kept)), "device"),
            (("download", key, "/tmp", "-"), "directory"),
            (("download", key, "/etc/passwd", "/no/such/x"), "/no/such"),
            (("download", key, "/", str(tmp_path)), "no name")):
        done = engine.cli(*arguments)
        assert done.returncode not in (0, 1) and word in done.stderr, (arguments, done)
        assert done.stdout == ""
    assert kept.read_text() == "old" and os.listdir(tmp_path) == ["kept"]


def test_cli_leaves_no_half_file(engine, make, tmp_path):
    """A sandbox that goes away, and an interrupted download."""
    key = make(memory_gb=0.5)
    (tmp_path / "big").write_text("old")
    engine.api.exec(key, "truncate -s 100000000000 /tmp/big")
    process = subprocess.Popen([harness.program("caisson"), "download", key, "/tmp/big", str(tmp_path)],
                               env=engine.cli_environment(), stderr=subprocess.PIPE, text=True)
    harness.wait_until(lambda: max(file.stat().st_size for file in tmp_path.iterdir()) > 1 << 20, 10,
                       "the download")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert os.listdir(tmp_path) == ["big"] and (tmp_path / "big").read_text() == "old"
    process = subprocess.Popen([harness.program("caisson"), "download", key, "/tmp/big", str(tmp_path)],
                               env=engine.cli_environment(), stderr=subprocess.PIPE, text=True)
    harness.wait_until(lambda: max(file.stat().st_size for file in tmp_path.iterdir()) > 1 << 20, 10,
                       "the download")
    engine.api.delete(key).ok()
    assert process.wait(20) == 9 and "before its end" in process.communicate()[1]
    assert os.listdir(tmp_path) == ["big"] and (tmp_path / "big").read_text() == "old"
