# SPDX-License-Identifier: Apache-2.0
"""What a program in a sandbox can try. Standard library only: it runs inside, and in tests as well.

Every attempt gives a word: "ok", "timeout", or the name of an errno ("ECONNREFUSED"). As a program it
reads [FUNCTION, ARGUMENT...] as JSON, one a line, and answers each with a line.
"""

import errno
import fcntl
import json
import random
import socket
import struct
import sys
import threading

SECONDS = 3  # nothing that is refused, and nothing that passes, may take as long
SIOCGIFMTU = 0x8921
IP_TRANSPARENT, IPV6_TRANSPARENT, IP_FREEBIND, IP_MTU_DISCOVER = 19, 75, 15, 10
TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "TXT": 16, "AAAA": 28, "SVCB": 64,
         "HTTPS": 65, "ANY": 255}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
held = {}


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def word(function):
    """The attempt's outcome as a word, or what it gives if that is not None."""
    def attempt(*arguments, **more):
        try:
            value = function(*arguments, **more)
            return "ok" if value is None else value
        except TimeoutError:
            return "timeout"
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error))
    attempt.__name__ = function.__name__
    return attempt


def connected(to, port, kind, bind=None):
    made = socket.socket(family_of(to), kind)
    made.settimeout(SECONDS)
    try:
        if bind is not None:
            made.bind((bind, 0))
        made.connect((to, port))
    except BaseException:
        made.close()
        raise
    return made


def exchange(made, text):
    """Says text and hears it back, else what came instead."""
    made.sendall(text)
    got = b""
    while len(got) < len(text):
        more = made.recv(65536)
        if not more:
            return "EOF"
        got += more
    return None if got == text else "other: " + repr(got[:60])


@word
def tcp(to, port, bind=None):
    with connected(to, port, socket.SOCK_STREAM, bind) as made:
        return exchange(made, b"hello over TCP\n")


@word
def udp(to, port, size=20, bind=None):
    with connected(to, port, socket.SOCK_DGRAM, bind) as made:
        made.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, 0)
        return exchange(made, random.randbytes(size))


@word
def say_to(to, port):
    """A datagram, without an answer."""
    with socket.socket(family_of(to), socket.SOCK_DGRAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        made.sendto(b"hello", (to, port))


@word
def who(to, port):
    """The address that the other side sees."""
    with connected(to, port, socket.SOCK_STREAM) as made:
        made.sendall(b"WHO\n")
        return made.recv(200).decode().strip()


@word
def ping(to, port=0):
    six = ":" in to
    kind = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    with socket.socket(family_of(to), socket.SOCK_DGRAM, kind) as made:
        made.settimeout(SECONDS)
        made.connect((to, 0))
        made.send(struct.pack(">BBHHH", 128 if six else 8, 0, 0, 0, 1) + b"caisson")
        return None if made.recv(2000)[0] == (129 if six else 0) else "other"


def many(attempts):
    """Several [function, arguments...] at once; their outcomes in order."""
    outcomes = [None] * len(attempts)

    def one(index, name, *arguments):
        outcomes[index] = globals()[name](*arguments)

    threads = [threading.Thread(target=one, args=(index, *attempt))
               for index, attempt in enumerate(attempts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


# ---- connections that stay -------------------------------------------------------------------------

@word
def open_tcp(name, to, port):
    held[name] = connected(to, port, socket.SOCK_STREAM)


@word
def say(name, text="still here\n"):
    """On an open connection: whether it is echoed."""
    return exchange(held[name], text.encode())


@word
def hear(name):
    """What the other side says by itself."""
    got = held[name].recv(65536)
    return got.decode() if got else "EOF"


@word
def close(name):
    held.pop(name).close()


@word
def serve(port):
    """Echoes TCP and UDP on every address of its own, from now on."""
    def echo(made):
        with made:
            while True:
                got = made.recv(65536)
                if not got:
                    return
                made.sendall(got)

    def accept(listener):
        while True:
            threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()

    def reflect(made):
        while True:
            made.sendto(*made.recvfrom(65536))

    listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    datagrams.bind(("::", port))
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    threading.Thread(target=reflect, args=(datagrams,), daemon=True).start()


# ---- what only a hostile program tries -------------------------------------------------------------

@word
def make_socket(family, kind, protocol):
    socket.socket(family, kind, protocol).close()


@word
def spoof(source, to, port, option):
    """A datagram from an address that is not one's own."""
    six = ":" in source
    level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
    number = {"freebind": 78 if six else IP_FREEBIND,
              "transparent": IPV6_TRANSPARENT if six else IP_TRANSPARENT}.get(option)
    with socket.socket(family_of(source), socket.SOCK_DGRAM) as made:
        if number is not None:
            made.setsockopt(level, number, 1)
        made.bind((source, 0))
        made.sendto(b"spoofed", (to, port))


@word
def add_address(address):
    """RTM_NEWADDR on eth0."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as made:
        index = socket.if_nametoindex("eth0")
        data = socket.inet_aton(address)
        attributes = struct.pack("=HH4sHH4s", 8, 1, data, 8, 2, data)
        body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, index) + attributes
        made.send(struct.pack("=IHHII", 16 + len(body), 20, 0x605, 1, 0) + body)
        return errno.errorcode.get(-struct.unpack_from("=i", made.recv(4096), 16)[0])


@word
def burst(to, port, count):
    """Datagrams of one flow, as fast as they go."""
    with socket.socket(family_of(to), socket.SOCK_DGRAM) as made:
        for _ in range(count):
            made.sendto(b"x", (to, port))


@word
def flood(to, port, count, size=20):
    """Datagrams as fast as they go, each of its own flow; how many the kernel took."""
    sent = 0
    for number in range(count):
        with socket.socket(family_of(to), socket.SOCK_DGRAM) as made:
            made.setblocking(False)
            try:
                made.sendto(b"x" * size, (to, port + number % 1000))
                sent += 1
            except OSError:
                pass
    return sent


# ---- DNS -------------------------------------------------------------------------------------------

def encode_name(name):
    labels = [label for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def decode_name(message, at):
    labels, end = [], None
    for _ in range(200):
        size = message[at]
        if size >= 192:
            end = at + 2 if end is None else end
            at = struct.unpack_from(">H", message, at)[0] & 0x3fff
        elif size == 0:
            return ".".join(labels), at + 1 if end is None else end
        else:
            labels.append(message[at + 1:at + 1 + size].decode())
            at += 1 + size
    raise ValueError("endless name")


def query(name, kind="A", edns=1232):
    number = random.randrange(65536)
    head = struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 1 if edns else 0)
    extra = b"\0" + struct.pack(">HHIH", 41, edns, 0, 0) if edns else b""
    return head + encode_name(name) + struct.pack(">HH", TYPES[kind], 1) + extra


def decode(message):
    """{"rcode", "truncated", "answers": [[type, value, ttl]...]}"""
    _, flags, questions, answers, _, _ = struct.unpack_from(">HHHHHH", message)
    at, found = 12, []
    for _ in range(questions):
        at = decode_name(message, at)[1] + 4
    for _ in range(answers):
        _, at = decode_name(message, at)
        kind, _, ttl, size = struct.unpack_from(">HHIH", message, at)
        data = message[at + 10:at + 10 + size]
        if kind in (1, 28):
            value = socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, data)
        else:
            value = decode_name(message, at + 10)[0] if kind in (2, 5, 12) else data.hex()
        at += 10 + size
        found.append([next((k for k, v in TYPES.items() if v == kind), str(kind)), value, ttl])
    return {"rcode": RCODES.get(flags & 15, str(flags & 15)), "truncated": bool(flags & 0x200),
            "answers": found, "size": len(message)}


@word
def dns(name, kind="A", server="169.254.1.1", over_tcp=False, edns=1232):
    text = query(name, kind, edns)
    with connected(server, 53, socket.SOCK_STREAM if over_tcp else socket.SOCK_DGRAM) as made:
        if not over_tcp:
            made.send(text)
            return decode(made.recv(65536))
        made.sendall(struct.pack(">H", len(text)) + text)
        got = b""
        while len(got) < 2 or len(got) < 2 + struct.unpack_from(">H", got)[0]:
            more = made.recv(65536)
            if not more:
                return "EOF"
            got += more
        return decode(got[2:])


@word
def ask_often(count, server="169.254.1.1"):
    """Questions as fast as they go; answers are not awaited."""
    text = query("none.test")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.connect((server, 53))
        for _ in range(count):
            try:
                made.send(text)
            except OSError:  # an earlier one was refused
                pass


@word
def lookup(name, port=80):
    """As programs do it: through the image's resolver configuration."""
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return {value: key for key, value in vars(socket).items() if key.startswith("EAI_")}[error.errno]
    return sorted({entry[4][0] for entry in found})


def mtu(link):
    with socket.socket() as made:
        return struct.unpack_from("=i", fcntl.ioctl(made, SIOCGIFMTU, struct.pack("=32s", link.encode())),
                                  16)[0]


def environment():
    """What the sandbox shows of its network."""
    def text(path):
        with open(path) as file:
            return file.read()
    return {"resolv": text("/etc/resolv.conf"), "links": [name for _, name in socket.if_nameindex()],
            "routes": text("/proc/net/route"), "addresses6": text("/proc/net/if_inet6"),
            "mtu": mtu("eth0")}


def main():
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(globals()[name](*arguments)), flush=True)


if __name__ == "__main__":
    main()
