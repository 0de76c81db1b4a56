# SPDX-License-Identifier: Apache-2.0
"""Tar archives, entry by entry, legal ones and others."""

import gzip
import io
import tarfile


class Tar:
    """Collects entries; bytes() is the archive. Nothing here checks what an entry says."""

    def __init__(self, format=tarfile.PAX_FORMAT):
        self.out = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.out, mode="w", format=format, encoding="utf-8",
                                errors="surrogateescape")

    def add(self, name, type=tarfile.REGTYPE, data=b"", **fields):
        info = tarfile.TarInfo(name)
        info.type, info.size, info.mode = type, len(data), fields.pop("mode", 0o644)
        for key, value in fields.items():
            setattr(info, key, value)
        self.tar.addfile(info, io.BytesIO(data) if data else None)
        return self

    def dir(self, name, **fields):
        return self.add(name, tarfile.DIRTYPE, mode=fields.pop("mode", 0o755), **fields)

    def link(self, name, target, **fields):
        return self.add(name, tarfile.SYMTYPE, linkname=target, mode=0o777, **fields)

    def hard(self, name, target, **fields):
        return self.add(name, tarfile.LNKTYPE, linkname=target, **fields)

    def bytes(self):
        self.tar.close()
        return self.out.getvalue()


def header(name=b"x", size=b"00000000000", type=b"0", magic=b"ustar\x0000", mode=b"0000644",
           link=b"", uid=b"0000000"):
    """A raw ustar header with a right checksum, whatever its fields hold."""
    block = bytearray(512)
    for at, field in ((0, name), (100, mode), (108, uid), (116, b"0000000"), (124, size),
                      (136, b"00000000000"), (148, b" " * 8), (156, type), (157, link), (257, magic)):
        block[at:at + len(field)] = field
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


END = bytes(1024)


def pax(records, then):
    """A pax extended header with raw records, then another header."""
    body = b"".join(records)
    return (header(b"PaxHeaders/x", b"%011o" % len(body), b"x") + body +
            bytes(-len(body) % 512) + then)


def record(key, value):
    n = len(key) + len(value) + 3
    while len(b"%d" % n) + len(key) + len(value) + 3 != n:
        n = len(b"%d" % n) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (n, key, value)


def gz(data):
    return gzip.compress(data, 6, mtime=0)
