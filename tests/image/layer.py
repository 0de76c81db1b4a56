# SPDX-License-Identifier: Apache-2.0
"""Runs the layer workers as caissond does, and looks at what comes out."""

import contextlib
import errno
import fcntl
import os
import resource
import struct
import subprocess
import tempfile
import time

BUILD = os.environ["CAISSON_BUILD"]
WORKER = os.path.join(BUILD, "caisson-image")
SECONDS = 60


class Result:
    """What both workers reported: ok, error (text), entries, skipped, diff_id, seconds, rss (KiB)."""

    def __init__(self, image, read, write, seconds, rss):
        self.image, self.seconds, self.rss = image, seconds, rss
        self.read_ok, self.read_error, self.fields = parse_report(read)
        self.write_ok, self.write_error, _ = parse_report(write)
        self.ok = self.read_ok and self.write_ok
        # A reader whose pipe broke has nothing to say: the writer refused something.
        broken = self.fields["errnum"] == errno.EPIPE
        self.error = self.write_error if self.read_ok or broken else self.read_error


def parse_report(raw):
    """image/report.h."""
    assert len(raw) == 640 and raw[:8] == b"cxrepor1", "a worker died without a report"
    ok, kind = struct.unpack_from("<II", raw, 8)
    blob, diff = raw[16:48], raw[48:80]
    blob_bytes, tar_bytes, image_bytes, entries, skipped = struct.unpack_from("<QQQII", raw, 80)
    errnum, _, length = struct.unpack_from("<III", raw, 112)
    text = raw[124:124 + length].decode("utf-8", "replace") if not ok else ""
    return bool(ok), text, dict(kind=kind, blob=blob.hex(), diff_id=diff.hex(), entries=entries,
                                errnum=errnum, skipped=skipped, blob_bytes=blob_bytes, tar_bytes=tar_bytes)


def worker(role, stdin, stdout, report, max_bytes, max_entries):
    def place_report():
        os.dup2(report, 3)
        os.set_inheritable(3, True)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))

    return subprocess.Popen([WORKER, role, "--max-bytes", str(max_bytes), "--max-entries",
                             str(max_entries)], stdin=stdin, stdout=stdout, close_fds=False,
                            preexec_fn=place_report)


def build(archive, max_bytes=1 << 34, max_entries=1 << 20):
    """archive: bytes or a path. Returns a Result whose image is a file of the caller's to remove."""
    source = tempfile.TemporaryFile()
    if isinstance(archive, bytes):
        source.write(archive)
        source.seek(0)
    else:
        source = open(archive, "rb")
    image, path = tempfile.mkstemp(suffix=".erofs")
    pipe = os.pipe()
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 1 << 20)
    reports = [tempfile.TemporaryFile() for _ in range(2)]
    start = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    read = worker("read", source, pipe[1], reports[0].fileno(), max_bytes, max_entries)
    write = worker("write", pipe[0], image, reports[1].fileno(), max_bytes, max_entries)
    for fd in (*pipe, image):
        os.close(fd)
    for process in (read, write):
        process.wait(SECONDS)
    seconds = time.monotonic() - start
    rss = max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    raw = []
    for report in reports:
        report.seek(0)
        raw.append(report.read())
    source.close()
    return Result(path, raw[0], raw[1], seconds, rss)


def deep_stack():
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (hard, hard))


@contextlib.contextmanager
def mounted(result):
    """The layer as a directory; fsck.erofs has looked at it first."""
    assert result.ok, result.error
    subprocess.run(["fsck.erofs", result.image], check=True, stdout=subprocess.DEVNULL,
                   preexec_fn=deep_stack)  # it recurses into directories
    at = tempfile.mkdtemp()
    subprocess.run(["mount", "-t", "erofs", "-o", "ro,loop", result.image, at], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", at], check=True)
        os.rmdir(at)
        os.unlink(result.image)


@contextlib.contextmanager
def overlay(layers):
    """Mounted layers, lowest first, as one tree, with the options of runtime/rootfs.c."""
    if len(layers) == 1:
        yield layers[0]
        return
    with tempfile.TemporaryDirectory(dir="/tmp") as at:
        options = f"ro,userxattr,lowerdir={':'.join(reversed(layers))}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "none", at], check=True)
        try:
            yield at
        finally:
            subprocess.run(["umount", at], check=True)
