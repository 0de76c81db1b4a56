# SPDX-License-Identifier: Apache-2.0
"""DNS messages, written and read in the plainest way; names without compression."""

import socket
import struct
from collections import namedtuple

A, NS, CNAME, SOA, TXT, AAAA, OPT, HTTPS, ANY = 1, 2, 5, 6, 16, 28, 41, 65, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)

Record = namedtuple("Record", "name type ttl data")
# The name in lower case, and as it was spelled: who asks writes letters in either case.
Message = namedtuple("Message", "id flags rcode name type records edns spelled")


def pack_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def question(name, kind=A, number=0x1234, edns=None, version=0, klass=1, flags=0x0100):
    message = struct.pack("!6H", number, flags, 1, 0, 0, edns is not None)
    message += pack_name(name) + struct.pack("!HH", kind, klass)
    if edns is not None:
        message += b"\0" + struct.pack("!HHIH", OPT, edns, version << 16, 0)
    return message


def a(name, address, ttl=300):
    return Record(name, A, ttl, socket.inet_aton(address))


def aaaa(name, address, ttl=300):
    return Record(name, AAAA, ttl, socket.inet_pton(socket.AF_INET6, address))


def cname(name, to, ttl=300):
    return Record(name, CNAME, ttl, pack_name(to))


def txt(name, text, ttl=300):
    return Record(name, TXT, ttl, bytes([len(text)]) + text.encode())


def soa(name, minimum=30, ttl=300):
    return Record(name, SOA, ttl, pack_name("ns." + name) * 2 + struct.pack("!5I", 1, 1, 1, 1, minimum))


def pack_record(record):
    head = pack_name(record.name) + struct.pack("!HHIH", record.type, 1, record.ttl, len(record.data))
    return head + record.data


def answer(asked, answers=(), rcode=NOERROR, authority=(), truncated=False, number=None, name=None):
    """The packet that answers a parsed question."""
    flags = 0x8180 | rcode | (0x0200 if truncated else 0)
    message = struct.pack("!6H", asked.id if number is None else number, flags, 1, len(answers), len(authority), 0)
    message += pack_name(asked.spelled if name is None else name) + struct.pack("!HH", asked.type, 1)
    return message + b"".join(map(pack_record, [*answers, *authority]))


def unpack_name(packet, at):
    labels, end = [], None
    for _ in range(256):
        size = packet[at]
        if size & 0xc0:
            end = end or at + 2
            at = struct.unpack("!H", packet[at:at + 2])[0] & 0x3fff
        elif size == 0:
            return ".".join(labels), end or at + 1
        else:
            labels.append(packet[at + 1:at + 1 + size].decode())
            at += 1 + size
    raise ValueError("a loop")


def parse(packet):
    number, flags, questions, *counts = struct.unpack("!6H", packet[:12])
    at, name, kind, records, edns = 12, None, None, [], None
    rcode = flags & 15
    for _ in range(questions):
        name, at = unpack_name(packet, at)
        kind, at = struct.unpack("!H", packet[at:at + 2])[0], at + 4
    for _ in range(sum(counts)):
        owner, at = unpack_name(packet, at)
        rtype, klass, ttl, size = struct.unpack("!HHIH", packet[at:at + 10])
        data = packet[at + 10:at + 10 + size]
        if rtype == CNAME:
            data = unpack_name(packet, at + 10)[0]
        elif rtype in (A, AAAA):
            data = socket.inet_ntop(socket.AF_INET if rtype == A else socket.AF_INET6, data)
        at += 10 + size
        if rtype == OPT:
            edns, rcode = klass, rcode | ttl >> 24 << 4
        else:
            records.append(Record(owner, rtype, ttl, data))
    assert at == len(packet)
    return Message(number, flags, rcode, name and name.lower(), kind, records, edns, name)


def addresses(message):
    return sorted(r.data for r in message.records if r.type in (A, AAAA))
