# SPDX-License-Identifier: Apache-2.0
"""caisson-resolver between a caissond, a gateway, a name server and sandboxes that are this process."""

import contextlib
import fcntl
import os
import select
import socket
import struct
import subprocess
import threading

import dns

BUILD = os.environ.get("CAISSON_BUILD", ".")
NONE, ALL, ALLOW, DENY = range(4)
INTERNAL, INVALID, DENIED, NOT_FOUND, CONFLICT, LIMIT = range(6)
BASE, SLOTS, IFINDEX = "127.8.0.0", 256, 16

RESOLVER = {"names_begin": (1, "uuu"), "name_rule": (2, "usus"), "peer": (3, "usss"), "names_end": (4, "u"),
            "names_set": (5, "u"), "names_forget": (6, "u"), "denied": (7, "uusuussu"), "names_told": (8, "")}
PERMIT = {"service": (1, "ssu"), "upstream": (2, "su"), "services_end": (3, ""), "permit": (4, "uusuus"),
          "permitted": (5, ""), "permit_error": (6, "uus"), "pools": (7, "ssuu"), "reachable": (8, "su")}


class Link:
    """One end of a connection of packets (proto/packet.h)."""

    def __init__(self, sock, messages):
        self.sock = sock
        self.by_name = messages
        self.by_type = {number: (name, fields) for name, (number, fields) in messages.items()}
        sock.settimeout(20)

    def send(self, name, *values, request=0):
        number, fields = self.by_name[name]
        body = b""
        for kind, value in zip(fields, values, strict=True):
            value = value.encode() if isinstance(value, str) else value
            body += struct.pack("<I", value) if kind == "u" else struct.pack("<I", len(value)) + value
        self.sock.send(struct.pack("<HHII", 1, number, request, len(body)) + body)

    def receive(self):
        """(name, request, values), or None at the end."""
        packet = self.sock.recv(65536)
        if not packet:
            return None
        version, number, request, size = struct.unpack("<HHII", packet[:12])
        name, fields = self.by_type[number]
        at, values = 12, []
        for kind in fields:
            value, at = struct.unpack("<I", packet[at:at + 4])[0], at + 4
            if kind == "s":
                value, at = packet[at:at + value], at + value
            values.append(value)
        assert at == len(packet) == 12 + size and version == 1
        return name, request, values

    def expect(self, name):
        while True:
            got = self.receive()
            assert got is not None, f"the end instead of {name}"
            if got[0] == name:
                return got[2]


def both_kinds():
    """A datagram socket and a listener at one port of loopback."""
    for _ in range(50):
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
            return udp, tcp
        except OSError:  # the other kind is somebody else's
            udp.close()
            tcp.close()
    raise OSError("no port is free for both kinds")


class Upstream:
    """A name server on loopback, UDP and TCP on one port, which says what say(question, tcp) returns."""

    def __init__(self, say):
        self.say, self.asked = say, []
        self.udp, self.tcp = both_kinds()
        self.port = self.udp.getsockname()[1]
        self.stopped, self.stopper = os.pipe()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def answer(self, packet, tcp, send):
        asked = dns.parse(packet)
        self.asked.append((asked.name, asked.type, tcp))
        said = self.say(asked, tcp)
        for reply in said if isinstance(said, list) else [said]:
            if reply is not None:
                send(reply)

    def serve_tcp(self):
        connection = self.tcp.accept()[0]
        with connection, connection.makefile("rb") as stream:
            packet = stream.read(struct.unpack("!H", stream.read(2))[0])
            self.answer(packet, True, lambda reply: connection.sendall(struct.pack("!H", len(reply)) + reply))

    def serve(self):
        while True:
            ready = select.select([self.udp, self.tcp, self.stopped], [], [])[0]
            if self.stopped in ready:
                return
            if self.tcp in ready:
                self.serve_tcp()
            if self.udp in ready:
                packet, source = self.udp.recvfrom(65536)
                self.answer(packet, False, lambda reply: self.udp.sendto(reply, source))

    def close(self):
        os.write(self.stopper, b"x")
        self.thread.join()
        for one in (self.udp, self.tcp):
            one.close()
        for fd in (self.stopped, self.stopper):
            os.close(fd)


class Caissond(threading.Thread):
    """Answers permits as judge(permit) says: None grants, a number is the kind of a refusal."""

    def __init__(self, link):
        super().__init__()
        self.link, self.permits = link, []
        self.judge = lambda permit: None
        self.open = threading.Event()
        self.open.set()

    def run(self):
        while True:
            with contextlib.suppress(TimeoutError):
                got = self.link.receive()
                if got is None:
                    return
                name, request, (slot, number, address, ttl, any_port, ports) = got
                assert name == "permit"
                family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
                permit = (slot, number, socket.inet_ntop(family, address), ttl, any_port, ports)
                self.permits.append(permit)
                self.open.wait(20)
                kind = self.judge(permit)
                if kind is None:
                    self.link.send("permitted", request=request)
                else:
                    self.link.send("permit_error", kind, 0, "no", request=request)


class Rig:
    def __init__(self, say, servers=None, services=(), reachable=()):
        self.upstream = Upstream(say)
        self.udp, self.tcp = both_kinds()
        self.at = self.udp.getsockname()
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
        self.denials, denials = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.process = self.start([pairs[0][1], pairs[1][1], self.udp, self.tcp, denials])
        for one in (pairs[0][1], pairs[1][1], denials):
            one.close()
        self.caissond = Caissond(Link(pairs[0][0], PERMIT))
        self.gateway = Link(pairs[1][0], RESOLVER)
        self.caissond.start()
        self.begin(servers or [("127.0.0.1", self.upstream.port)], services, reachable)
        self.numbers = 0

    @staticmethod
    def start(socks):
        null = os.open("/dev/null", os.O_RDWR)
        high = [fcntl.fcntl(one, fcntl.F_DUPFD, 40) for one in (*socks, null, null)]

        def arrange():
            for to, fd in enumerate(high, 3):
                os.dup2(fd, to)
        try:
            return subprocess.Popen([os.path.join(BUILD, "caisson-resolver")], preexec_fn=arrange, close_fds=True,
                                    pass_fds=range(3, 10), stdin=subprocess.DEVNULL)
        finally:
            for fd in (*high, null):
                os.close(fd)

    def begin(self, servers, services, reachable):
        send = self.caissond.link.send
        send("pools", socket.inet_aton(BASE), b"", SLOTS, IFINDEX)
        for name, address in services:
            send("service", name, socket.inet_aton(address), 80)
        for address, port in servers:
            send("upstream", socket.inet_aton(address), port)
        for address, prefix in reachable:
            send("reachable", socket.inet_aton(address), prefix)
        send("services_end")

    def close(self):
        self.gateway.sock.close()
        self.process.wait(20)
        self.caissond.open.set()
        self.caissond.link.sock.shutdown(socket.SHUT_RDWR)
        self.caissond.join()
        self.caissond.link.sock.close()
        self.upstream.close()
        for one in (self.udp, self.tcp, self.denials):
            one.close()
        assert self.process.returncode == 0

    # what the gateway says

    def say_names(self, slot, mode, rules=(), peers=(), number=None):
        """Returns the policy's number; does not wait until it is in force."""
        self.numbers = number or self.numbers + 1
        self.gateway.send("names_begin", slot, self.numbers, mode)
        for rule in rules:
            name, *ports = rule if isinstance(rule, tuple) else (rule,)
            packed = b"".join(struct.pack("<HH", port, port) for port in ports)
            self.gateway.send("name_rule", slot, name, not ports, packed)
        for name, address in peers:
            self.gateway.send("peer", slot, name, socket.inet_aton(address), b"")
        self.gateway.send("names_end", slot, request=self.numbers)
        return self.numbers

    def names(self, slot, mode, rules=(), peers=()):
        number = self.say_names(slot, mode, rules, peers)
        assert self.gateway.expect("names_set") == [slot]
        return number

    # what sandboxes do

    def sandbox(self, slot, kind=socket.SOCK_DGRAM):
        sock = socket.socket(socket.AF_INET, kind)
        sock.bind((f"127.8.0.{slot}", 0))
        sock.connect(self.at)
        sock.settimeout(20)
        return sock

    def ask(self, slot, name, kind=dns.A, **more):
        with self.sandbox(slot) as sock:
            sock.settimeout(4)
            for _ in range(5):  # the kernel drops what it has no room for
                sock.send(dns.question(name, kind, **more))
                with contextlib.suppress(TimeoutError):
                    return dns.parse(sock.recv(65536))
        raise TimeoutError(f"no answer for {name}")

    def ask_tcp(self, slot, *packets):
        """The answers, in the order in which they come; the connection is closed for writing at once."""
        with self.sandbox(slot, socket.SOCK_STREAM) as sock, sock.makefile("rb") as stream:
            sock.sendall(b"".join(struct.pack("!H", len(packet)) + packet for packet in packets))
            sock.shutdown(socket.SHUT_WR)
            answers = []
            while head := stream.read(2):
                answers.append(dns.parse(stream.read(struct.unpack("!H", head)[0])))
            return answers
