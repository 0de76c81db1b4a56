# SPDX-License-Identifier: Apache-2.0
"""A name server whose answers the test says, and can change: UDP and TCP, one thread."""

import selectors
import socket
import struct
import threading

from probe import TYPES, decode_name, encode_name

NAMES = {number: name for name, number in TYPES.items()}


class NameServer:
    """names: {name: [(type, value, ttl)...]}; what is not there does not exist."""

    def __init__(self, node, address):
        self.names, self.asked, self.silent = {}, [], set()
        self.selector = selectors.DefaultSelector()
        with node.inside():
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            datagrams.bind((address, 53))
            listener = socket.create_server((address, 53))
        self.selector.register(datagrams, selectors.EVENT_READ, self.answer_datagram)
        self.selector.register(listener, selectors.EVENT_READ, self.accept)
        threading.Thread(target=self.serve, daemon=True).start()

    def set(self, name, *records, ttl=300):
        """Records as "A 20.1.0.1" or ("A", value, ttl)."""
        self.names[name] = [(*record.split(" ", 1), ttl) if isinstance(record, str) else record
                            for record in records]

    def questions(self, name):
        """[(type, transport)...] that were asked of a name."""
        return [(kind, over) for asked, kind, over in self.asked if asked == name]

    def serve(self):
        while True:
            for key, _ in self.selector.select():
                key.data(key.fileobj)

    def accept(self, listener):
        connection, _ = listener.accept()
        connection.settimeout(1)
        self.selector.register(connection, selectors.EVENT_READ, self.answer_stream)

    def answer_stream(self, connection):
        try:
            size = struct.unpack(">H", connection.recv(2, socket.MSG_WAITALL))[0]
            answer = self.answer(connection.recv(size, socket.MSG_WAITALL), "tcp", 65535)
            connection.sendall(struct.pack(">H", len(answer)) + answer)
        except (OSError, struct.error):
            self.selector.unregister(connection)
            connection.close()

    def answer_datagram(self, made):
        message, peer = made.recvfrom(4096)
        answer = self.answer(message, "udp", 1232 if struct.unpack_from(">H", message, 10)[0] else 512)
        if answer is not None:
            made.sendto(answer, peer)

    def answer(self, message, over, limit):
        number, _, _, _, _, _ = struct.unpack_from(">HHHHHH", message)
        asked, end = decode_name(message, 12)
        kind = NAMES.get(struct.unpack_from(">H", message, end)[0], "?")
        name, question = asked.lower(), message[12:end + 4]
        self.asked.append((name, kind, over))
        if name in self.silent:
            return None
        records, rcode = self.chain(name, kind)
        body = b"".join(self.record(*record) for record in records)
        flags = 0x8580 | rcode
        if 12 + len(question) + len(body) > limit:
            records, body, flags = [], b"", flags | 0x200
        return struct.pack(">HHHHHH", number, flags, 1, len(records), 0, 0) + question + body

    def chain(self, name, kind):
        """[(owner, type, value, ttl)...] along the aliases, and the rcode."""
        found = []
        for _ in range(20):
            if name not in self.names:
                return found, 3
            here = self.names[name]
            found += [(name, *record) for record in here if record[0] in (kind, "CNAME")]
            aliases = [record[1] for record in here if record[0] == "CNAME"]
            if not aliases:
                break
            name = aliases[0]
        return found, 0

    @staticmethod
    def record(owner, kind, value, ttl):
        if kind in ("A", "AAAA"):
            data = socket.inet_pton(socket.AF_INET if kind == "A" else socket.AF_INET6, value)
        else:
            data = encode_name(value) if kind == "CNAME" else bytes.fromhex(value)
        return encode_name(owner) + struct.pack(">HHIH", TYPES[kind], 1, ttl, len(data)) + data
