# SPDX-License-Identifier: Apache-2.0
"""Commands for images that are answered bit by bit: progress, archives, and answers that break off."""

import fcntl
import json
import os
import pty
import select
import signal
import stat
import struct
import subprocess
import termios
import threading

import pytest

from test_cli import CAISSON, SECONDS, cli, environment, serve, spawn  # noqa: F401 (fixtures)

DIGEST = "sha256:" + "ab12" * 16
IMAGE = {"name": "a/b:1", "digest": DIGEST}
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def line(**event):
    return json.dumps(event).encode() + b"\n"


def layer(index, phase, count=0, total=0, digest=DIGEST):
    return line(status="layer", index=index, digest=digest, phase=phase, bytes=count, total=total)


def chunked(connection, *pieces, end=True):
    connection.sock.sendall(HEAD + b"".join(chunk(piece) for piece in pieces) + (b"0\r\n\r\n" if end else b""))


def expect_end(connection):
    """The client has closed the connection, with or without having read everything."""
    try:
        assert connection.sock.recv(1) == b""
    except ConnectionResetError:
        pass


DONE = line(status="done", image=IMAGE)
PULL = [line(status="resolving", image="a/b:1"), layer(0, "waiting"), layer(0, "downloading", 0, 3 << 20),
        layer(1, "exists", digest="sha256:" + "c" * 64), layer(0, "downloading", 1 << 20, 3 << 20),
        layer(0, "unpacking", 0, 3 << 20), layer(0, "done"), DONE]
PLAIN = (b"resolving a/b:1\nab12ab12ab12: waiting\nab12ab12ab12: downloading 3.0 MiB\ncccccccccccc: exists\n"
         b"ab12ab12ab12: unpacking 3.0 MiB\nab12ab12ab12: done\n")


# ---- events ----------------------------------------------------------------------------------

def test_pull_plain(serve, cli):
    def handler(connection):
        assert (connection.method, connection.path) == ("POST", "/api/v1/images/pull")
        assert connection.json() == {"image": "a/b:1", "policy": "always"}
        chunked(connection, *PULL)
    serve(handler)
    result = cli("image", "pull", "a/b:1")
    assert (result.returncode, result.stdout) == (0, f"a/b:1 {DIGEST}\n".encode())
    assert result.stderr == PLAIN


def test_events_in_single_bytes(serve, cli):
    serve(lambda connection: chunked(connection, *(bytes([byte]) for byte in b"".join(PULL))))
    assert cli("image", "pull", "a/b:1").stderr == PLAIN


def test_pull_quiet_and_json(serve, cli):
    serve(lambda connection: chunked(connection, b"".join(PULL)))
    result = cli("image", "pull", "-q", "a/b:1")
    assert (result.stdout, result.stderr) == (f"a/b:1 {DIGEST}\n".encode(), b"")
    result = cli("image", "pull", "--json", "a/b:1")
    assert [json.loads(text) for text in result.stdout.splitlines()] == [json.loads(event) for event in PULL]
    assert (result.returncode, result.stderr) == (0, b"")


def test_json_events_come_at_once(serve, spawn):
    more = threading.Event()

    def handler(connection):
        connection.sock.sendall(HEAD + chunk(PULL[0]))
        assert more.wait(SECONDS)
        connection.sock.sendall(chunk(DONE) + b"0\r\n\r\n")
    serve(handler)
    process = spawn("image", "pull", "--json", "a/b:1")
    assert json.loads(process.stdout.readline())["status"] == "resolving"
    more.set()
    assert process.wait(SECONDS) == 0


def test_options_of_pull_and_push(serve, cli):
    bodies = []

    def handler(connection):
        bodies.append((connection.path, connection.json()))
        chunked(connection, DONE)
    serve(handler)
    assert cli("image", "pull", "x", "--policy", "missing", "--platform", "linux/arm64", "--username", "me",
               "--password-stdin", input=b"open sesame\n").returncode == 0
    assert cli("image", "push", "x", "host:5000/y:2", "-u", "me", "--password-stdin", input=b"p\r\n").returncode == 0
    assert cli("image", "push", "x").returncode == 0
    assert bodies == [
        ("/api/v1/images/pull", {"image": "x", "policy": "missing", "platform": "linux/arm64", "username": "me",
                                 "password": "open sesame"}),
        ("/api/v1/images/push", {"image": "x", "to": "host:5000/y:2", "username": "me", "password": "p"}),
        ("/api/v1/images/push", {"image": "x"})]


@pytest.mark.parametrize("arguments, stdin, text", [
    (["--username", "me"], b"", b"given together"), (["--password-stdin"], b"p", b"given together"),
    (["--username", "me", "--password-stdin"], b"", b"no password"),
    (["--username", "me", "--password-stdin"], b"a\0b", b"no password"),
    (["--username", "me", "--password-stdin"], b"x" * 70000, b"longer than"),
])
def test_credentials_that_are_none(serve, cli, arguments, stdin, text):
    server = serve(lambda connection: chunked(connection, DONE))
    result = cli("image", "pull", "x", *arguments, input=stdin)
    assert result.returncode == 3 and text in result.stderr
    assert server.requests == []


def test_an_error_in_the_events(serve, cli):
    serve(lambda connection: chunked(connection, PULL[0], line(status="error", code="denied", detail="who\033[2J?")))
    result = cli("image", "pull", "a/b:1")
    assert (result.returncode, result.stdout) == (4, b"")
    assert result.stderr == b"resolving a/b:1\ncaisson: who?[2J?\n"
    result = cli("image", "pull", "--json", "a/b:1")
    assert result.returncode == 4 and json.loads(result.stdout.splitlines()[1])["code"] == "denied"


def test_an_error_before_the_events(serve, cli):
    serve(lambda connection: connection.answer({"detail": "no such name", "code": "invalid"}, 400))
    result = cli("image", "pull", "A!")
    assert (result.returncode, result.stderr) == (3, b"caisson: no such name\n")


@pytest.mark.parametrize("answer, text", [
    (HEAD + chunk(PULL[0]), b"broke the answer off"),
    (HEAD + chunk(DONE), b"broke the answer off"),
    (HEAD + chunk(DONE)[:-5], b"broke the answer off"),
    (HEAD + chunk(PULL[0]) + b"0\r\n\r\n", b"did not say how it ended"),
    (HEAD + chunk(DONE[:-1]) + b"0\r\n\r\n", b"has no end"),
    (HEAD + b"0\r\n\r\n", b"did not say how it ended"),
    (HEAD + chunk(b"nonsense\n") + b"0\r\n\r\n", b"not a list of events"),
    (HEAD + chunk(b"{}\n") + b"0\r\n\r\n", b"not a list of events"),
    (HEAD + chunk(DONE + DONE) + b"0\r\n\r\n", b"not a list of events"),
    (HEAD + chunk(DONE) + b"zz\r\n", b"not HTTP"),
    (b"HTTP/1.0 200 OK\r\n\r\n" + DONE, b"does not say where it ends"),
])
def test_events_that_are_not_whole(serve, cli, answer, text):
    serve(lambda connection: connection.sock.sendall(answer))
    result = cli("image", "pull", "x")
    assert result.returncode in (1, 9) and result.stdout == b"" and text in result.stderr


def test_a_line_without_end_costs_bounded_memory(serve, cli):
    def handler(connection):
        try:
            connection.sock.sendall(HEAD + chunk(b"x" * (20 << 20)))
        except OSError:
            pass
    serve(handler)
    result = cli("image", "pull", "x")
    assert result.returncode == 7 and b"more than 16777216 bytes" in result.stderr


def test_interrupt_ends_the_connection(serve, spawn):
    seen = threading.Event()

    def handler(connection):
        connection.sock.sendall(HEAD + chunk(PULL[0]))
        expect_end(connection)
        seen.set()
    serve(handler)
    process = spawn("image", "pull", "x")
    assert process.stderr.readline() == b"resolving a/b:1\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == -signal.SIGINT
    assert seen.wait(SECONDS)


HOSTILE = "a\033]0;x\007\u009b2Jb\nc\x7f\u202e"


def is_clean(output):
    return not any(byte < 0x20 and byte != 0x0a or byte == 0x7f for byte in output) and b"\xc2\x9b" not in output


def test_hostile_words(serve, cli):
    serve(lambda connection: chunked(
        connection, line(status=HOSTILE, image=HOSTILE), layer(0, HOSTILE, 1, 2, digest=HOSTILE),
        line(status="layer", index=10**9, phase="x"), line(status="layer", index=-1, phase={}, bytes="x"),
        line(status="layer", index=1, digest="x" * 10**6, phase="y" * 10**6, bytes=2**62, total=2**62),
        line(status="done", image={"name": HOSTILE, "digest": HOSTILE})))
    result = cli("image", "pull", "x")
    assert result.returncode == 0 and is_clean(result.stdout) and is_clean(result.stderr)
    assert result.stderr.count(b"\n") == 4 and len(result.stderr) < 400 and result.stdout.count(b"\n") == 1


# ---- progress on a terminal ------------------------------------------------------------------

class Screen:
    """A terminal of a few lines that understands what is used here, and nothing else."""

    def __init__(self, rows, cols):
        self.rows, self.cols, self.lines, self.y, self.x, self.scrolled = rows, cols, [""], 0, 0, 0

    def put(self, char):
        assert self.x < self.cols, "a line is too long"
        self.lines[self.y] = (self.lines[self.y][:self.x].ljust(self.x) + char + self.lines[self.y][self.x + 1:])
        self.x += 1

    def down(self):
        self.y, self.x = self.y + 1, 0
        if self.y == len(self.lines):
            self.lines.append("")

    def feed(self, text):
        at = 0
        while at < len(text):
            char = text[at]
            at += 1
            if char == "\r":
                self.x = 0
            elif char == "\n":
                self.down()
            elif char == "\033":
                end = at + 1
                while text[end].isdigit():
                    end += 1
                number, command = text[at + 1:end], text[end]
                assert text[at] == "[" and command in "AKJ", "an unknown escape"
                if command == "A":
                    assert int(number) < self.rows, "it draws over what has scrolled away"
                    self.y, self.x = self.y - int(number), 0
                elif command == "K":
                    self.lines[self.y] = self.lines[self.y][:self.x]
                else:
                    self.lines[self.y:] = [self.lines[self.y][:self.x]]
                at = end + 1
            else:
                self.put(char)


def on_terminal(tmp_path, rows, cols, *arguments, **variables):
    """What a terminal of this size was sent, and the exit status."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, cols, 0, 0))
    env = {**environment(tmp_path), "TERM": "xterm", **variables}
    env.pop("NO_COLOR", None) if "NO_COLOR" not in variables else None
    process = subprocess.Popen([CAISSON, *arguments], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=terminal)
    os.close(terminal)
    output = b""
    try:
        while select.select([controller], [], [], SECONDS)[0]:
            data = os.read(controller, 1 << 16)
            if not data:
                break
            output += data
    except OSError:  # EIO: nobody has the terminal open any more
        pass
    process.communicate()
    os.close(controller)
    return output.decode(), process.returncode


def test_progress_is_drawn_in_place(serve, tmp_path):
    serve(lambda connection: chunked(connection, *PULL))
    output, status = on_terminal(tmp_path, 24, 80, "image", "pull", "x")
    screen = Screen(24, 80)
    screen.feed(output)
    assert status == 0
    assert [text.rstrip() for text in screen.lines] == ["ab12ab12ab12  done", "cccccccccccc  exists", "2 of 2 layers  3.0/3.0 MiB", ""]


@pytest.mark.parametrize("rows, cols", [(6, 30), (3, 12), (2, 1), (24, 300), (1, 80)])
def test_progress_fits_the_terminal(serve, tmp_path, rows, cols):
    def digest(index):
        return "sha256:" + ("%04x" % index) * 16

    serve(lambda connection: chunked(
        connection, *(layer(i, "waiting", digest=digest(i)) for i in range(40)),
        *(layer(i, "downloading", i << 20, 100 << 20, digest=digest(i)) for i in range(30, 33)),
        *(layer(i, "exists", digest=digest(i)) for i in range(30)),
        line(status="error", code="limit", detail="full")))
    output, status = on_terminal(tmp_path, rows, cols, "image", "pull", "x")
    assert status == 7
    screen = Screen(max(rows, 3), cols if cols > 1 else 80)
    screen.feed(output.replace("\r\n", "\n").split("caisson: ")[0])
    shown = [text[:4] for text in screen.lines if "downloading"[:max(cols - 15, 0)] in text[14:25]]
    assert any(text.startswith("30 of 40 layers"[:max(cols - 1, 1)]) for text in screen.lines)
    if rows == 6:
        assert shown[:3] == ["001e", "001f", "0020"]


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}])
def test_progress_without_escapes(serve, tmp_path, variables):
    serve(lambda connection: chunked(connection, *PULL))
    output, _ = on_terminal(tmp_path, 24, 80, "image", "pull", "x", **variables)
    assert output.replace("\r\n", "\n").encode() == PLAIN


# ---- archives --------------------------------------------------------------------------------

def test_save_to_a_file(serve, cli, tmp_path):
    data = os.urandom(3_000_000)
    server = serve(lambda connection: chunked(connection, data[:1000], data[1000:]))
    to = tmp_path / "out" / "image.tar"
    to.parent.mkdir()
    result = cli("image", "save", "a/b:1", "c d", "--format", "docker", "-o", str(to))
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert to.read_bytes() == data and os.listdir(to.parent) == ["image.tar"]
    assert stat.S_IMODE(to.stat().st_mode) == 0o666 & ~umask()
    assert server.requests == [("GET", "/api/v1/image-archive?image=a/b:1&image=c%20d&format=docker")]


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_export_to_standard_output(serve, cli):
    data = os.urandom(300_000)
    server = serve(lambda connection: chunked(connection, data))
    assert cli("image", "export", "x").stdout == data
    assert cli("image", "export", "x", "-o", "-").stdout == data
    assert server.requests == [("GET", "/api/v1/image-rootfs?image=x")] * 2


@pytest.mark.parametrize("answer, status", [
    (HEAD + chunk(b"x" * 100_000), 9), (HEAD + b"ffff\r\nxxx", 9), (HEAD, 9),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", 9), (b"HTTP/1.0 200 OK\r\n\r\nunbounded", 9),
    (b"HTTP/1.1 404 No\r\nContent-Length: 35\r\n\r\n" + b'{"code":"not_found","detail":"none"}'[:35], 5),
])
def test_an_archive_that_is_not_whole_leaves_no_file(serve, cli, tmp_path, answer, status):
    serve(lambda connection: connection.sock.sendall(answer))
    to = tmp_path / "out"
    to.mkdir()
    (to / "old").write_text("old")
    for name in ("new", "old"):
        result = cli("image", "save", "x", "-o", str(to / name))
        assert result.returncode == status and b"caisson: " in result.stderr
    assert os.listdir(to) == ["old"] and (to / "old").read_text() == "old"


def test_save_through_a_link_and_over_a_file(serve, cli, tmp_path):
    serve(lambda connection: chunked(connection, b"tar"))
    to = tmp_path / "out"
    to.mkdir()
    (to / "file").write_text("a longer old text")
    (to / "link").symlink_to("file")
    assert cli("image", "save", "x", "-o", str(to / "link")).returncode == 0
    assert (to / "file").read_text() == "tar" and (to / "link").is_symlink()
    assert sorted(os.listdir(to)) == ["file", "link"]


def test_save_to_what_is_no_file(serve, cli, tmp_path):
    server = serve(lambda connection: chunked(connection, b"tar"))
    node = os.stat("/dev/null").st_rdev
    assert cli("image", "save", "x", "-o", "/dev/null").returncode == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode) and os.stat("/dev/null").st_rdev == node
    assert cli("image", "save", "x", "-o", "/dev/full").returncode == 7
    asked = len(server.requests)
    assert cli("image", "save", "x", "-o", str(tmp_path / "none" / "file")).returncode == 5
    assert cli("image", "save", "x", "-o", str(tmp_path)).returncode != 0
    assert len(server.requests) == asked


def test_no_archive_on_a_terminal(serve, tmp_path):
    server = serve(lambda connection: chunked(connection, b"tar"))
    controller, terminal = pty.openpty()
    for arguments in (["export", "x"], ["save", "x", "-o", "-"], ["save", "x", "-o", os.ttyname(terminal)]):
        result = subprocess.run([CAISSON, "image", *arguments], env=environment(tmp_path), stdout=terminal,
                                stderr=subprocess.PIPE, timeout=SECONDS)
        assert result.returncode == 3 and b"not written to a terminal" in result.stderr
    os.close(controller)
    os.close(terminal)
    assert server.requests == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_save_leaves_no_file(serve, spawn, tmp_path, number):
    begun, to = threading.Event(), tmp_path / "out"
    to.mkdir()

    def handler(connection):
        connection.sock.sendall(HEAD + chunk(b"x" * 1000))
        begun.set()
        expect_end(connection)
    serve(handler)
    process = spawn("image", "save", "x", "-o", str(to / "file"))
    assert begun.wait(SECONDS) and len(os.listdir(to)) == 1
    process.send_signal(number)
    assert process.wait(SECONDS) == 128 + number
    assert os.listdir(to) == []


# ---- plain requests --------------------------------------------------------------------------

def test_tag(serve, cli):
    def handler(connection):
        assert (connection.path, connection.json()) == ("/api/v1/images/tag", {"image": "a", "name": "b:2"})
        connection.answer({"name": "b:2", "digest": DIGEST})
    serve(handler)
    assert cli("image", "tag", "a", "b:2").stdout == f"b:2 {DIGEST}\n".encode()


def test_prune(serve, cli):
    bodies = []

    def handler(connection):
        assert connection.path == "/api/v1/images/prune"
        bodies.append(connection.json())
        connection.answer({"removed": ["a:1", "b\033:2"], "reclaimedBytes": 5 << 20})
    serve(handler)
    assert cli("image", "prune").stdout == b"a:1 removed\nb?:2 removed\n5.0 MiB reclaimed\n"
    assert cli("image", "prune", "--all").returncode == 3
    assert cli("image", "prune", "--all", "--yes").returncode == 0
    assert bodies == [{"all": False}, {"all": True}]


def test_history(serve, cli):
    steps = [{"created": "2026-01-01T00:00:00Z", "created_by": "ADD file", "comment": None},
             {"created": "2026-01-02T00:00:00Z", "created_by": "ENV A=\0331", "empty_layer": True},
             {"created_by": "RUN x", "comment": "c"}]
    server = serve(lambda connection: connection.answer(
        {"layers": [{"sizeBytes": 1 << 20}, {"sizeBytes": 17}], "history": steps}))
    lines = [text.split("  ") for text in cli("image", "history", "a/b").stdout.decode().splitlines()]
    assert [[cell.strip() for cell in cells if cell] for cells in lines] == [
        ["CREATED", "SIZE", "STEP", "COMMENT"], ["-", "17 B", "RUN x", "c"],
        ["2026-01-02T00:00:00Z", "-", "ENV A=?1", "-"], ["2026-01-01T00:00:00Z", "1.0 MiB", "ADD file", "-"]]
    assert json.loads(cli("image", "history", "a/b", "--json").stdout) == steps
    assert server.requests[0] == ("GET", "/api/v1/images/a/b")


def test_list_shows_shared_and_unique(serve, cli):
    serve(lambda connection: connection.answer({"images": [
        {"name": "a:1", "digest": DIGEST, "layers": [{}, {}], "sizeBytes": 3 << 20, "sharedBytes": 1 << 20,
         "uniqueBytes": 2 << 20, "createdAt": "2026-01-01T00:00:00Z"}]}))
    title, row = cli("image", "ls").stdout.decode().splitlines()
    assert title.split() == ["NAME", "DIGEST", "LAYERS", "SIZE", "SHARED", "UNIQUE", "CREATED"]
    assert row.split("  ")[0] == "a:1" and "3.0 MiB" in row and "1.0 MiB" in row and "2.0 MiB" in row


LAYER = {"kind": "layer", "digest": DIGEST, "image": "a:1"}
BAD = {**LAYER, "problem": "it is missing\033"}


@pytest.mark.parametrize("bad, repaired, status, last", [
    ([], [], 0, b"7 checked, 0 damaged, 0 repaired"),
    ([BAD], [], 1, b"7 checked, 1 damaged, 0 repaired"),
    ([BAD], [LAYER], 0, b"7 checked, 1 damaged, 1 repaired"),
])
def test_verify(serve, cli, bad, repaired, status, last):
    bodies = []

    def handler(connection):
        bodies.append(connection.json())
        chunked(connection, line(status="checking", **LAYER),
                line(status="done", checked=7, bad=bad, repaired=repaired))
    serve(handler)
    result = cli("image", "verify", "a", "--repair")
    assert (result.returncode, result.stderr) == (status, b"checking ab12ab12ab12 a:1\n")
    assert result.stdout.splitlines() == ([f"damaged layer {DIGEST} of a:1: it is missing?".encode()] * len(bad) +
                                          [f"repaired layer {DIGEST} of a:1".encode()] * len(repaired) + [last])
    assert cli("image", "verify").returncode == status
    assert bodies == [{"image": "a", "repair": True}, {"repair": False}]
