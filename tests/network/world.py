# SPDX-License-Identifier: Apache-2.0
"""A small world of network namespaces around the one that the engine runs in.

    internet ---- wan0 [host] lan0 ---- lan          host: where pytest and the engine are
                       [host] meta0 --- metadata

Namespaces are held by descriptors and sockets of this process, so they go when it does. Servers are
one thread of it, with sockets that were made inside. Addresses are such as the engine takes for public;
no link leads out of here.
"""

import contextlib
import ctypes
import os
import selectors
import socket
import struct
import subprocess
import threading

from nameserver import NameServer

NEWNET = 0x40000000
ETH_P_ALL, PACKET_OUTGOING, SO_RCVBUFFORCE = 3, 4, 33
HOST4, HOST6 = "20.0.0.10", "2a0e::10"
HOST_LAN4, HOST_LAN6 = "192.168.77.10", "fd77::10"
GATE4, GATE6 = "20.0.0.1", "2a0e::1"
NAMESERVER = "20.0.0.53"
NET4 = [f"20.1.0.{number}" for number in range(1, 10)]
NET6 = [f"2a0e:1::{number}" for number in range(1, 10)]
LAN4, LAN6 = "192.168.77.20", "fd77::20"
META4, META6 = "169.254.169.254", "fd00:ec2::254"
# Addresses that somebody could think of; the far side answers on all of them.
ODD4 = ("10.1.2.3", "172.20.1.2", "100.64.1.2", "198.18.0.1", "192.0.0.9", "240.1.2.3")
ODD6 = ("fec0::1", "64:ff9b::c0a8:4d14", "2002:c0a8:4d14::1", "::c0a8:4d14")
PORTS = (22, 25, 80, 443, 7001, 7002)
UDP_PORTS = (53, 443, 7001)
libc = ctypes.CDLL(None, use_errno=True)


def run(*words):
    result = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert result.returncode == 0, f"{' '.join(words)}: {result.stdout}"
    return result.stdout


def checked(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Namespace:
    """A network namespace: a new one, or the one that a file stands for."""

    def __init__(self, path=None):
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path else self.new()

    @staticmethod
    def new():
        with contextlib.closing(Namespace("/proc/thread-self/ns/net")) as own, own.inside():
            checked(libc.unshare(NEWNET))
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @contextlib.contextmanager
    def inside(self):
        """This thread, and what it starts, is in it."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        checked(libc.setns(self.fd, NEWNET))
        try:
            yield self
        finally:
            checked(libc.setns(back, NEWNET))
            os.close(back)

    def ip(self, text):
        """Commands of ip(8), one a line."""
        with self.inside():
            for line in text.strip().splitlines():
                run("ip", *line.split())

    def output(self, *words):
        with self.inside():
            return run(*words)

    def sysctl(self, name, value):
        """/proc/sys/net shows the namespace of who opens it."""
        with self.inside(), open("/proc/sys/net/" + name, "w") as file:
            file.write(value)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


class Packet:
    """One captured packet of IP."""

    def __init__(self, frame, link=14):
        kind, data = struct.unpack_from(">H", frame, link - 2)[0], frame[link:]
        self.source = self.to = self.protocol = self.ports = None
        self.reset = False
        if kind == 0x0800:
            self.protocol, at = data[9], (data[0] & 15) * 4
            self.source, self.to = (socket.inet_ntoa(data[i:i + 4]) for i in (12, 16))
        elif kind == 0x86dd:
            self.protocol, at = data[6], 40
            self.source, self.to = (socket.inet_ntop(socket.AF_INET6, data[i:i + 16])
                                    for i in (8, 24))
            if self.protocol == 44:
                self.protocol, at = data[40], 48
        if self.protocol in (6, 17) and len(data) >= at + 4:
            self.ports = struct.unpack_from(">HH", data, at)
        if self.protocol == 6 and len(data) > at + 13:
            self.reset = bool(data[at + 13] & 4)
        # Neighbour discovery and multicast listeners are the link's own business.
        self.own = self.protocol is None or self.protocol == 0 or (
            self.protocol == 58 and 130 <= data[at] <= 143)

    def __repr__(self):
        return f"{self.source}>{self.to}/{self.protocol}{self.ports or ''}"


class Capture:
    """All packets of a link from now on: the kernel keeps them until they are read."""

    def __init__(self, namespace, link):
        with namespace.inside():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
            self.socket.bind((link, ETH_P_ALL))
        self.socket.setblocking(False)

    def packets(self, *addresses):
        """What has come until now, of or to these addresses or, without any, of all."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, sender = self.socket.recvfrom(65536)
                packet = Packet(frame)
                packet.outgoing = sender[2] == PACKET_OUTGOING
                if not packet.own and (not addresses or {packet.source, packet.to} & set(addresses)):
                    found.append(packet)
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


class Servers:
    """Echoes everything on every port of every node, over TCP and UDP; "WHO" tells the peer."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.streams = {}  # (node, peer's address, peer's port): socket
        self.heard = []    # (node, protocol, own port, peer's address)
        threading.Thread(target=self.serve, daemon=True).start()

    def add(self, name, namespace, ports=PORTS, udp_ports=UDP_PORTS):
        with namespace.inside():
            for port in ports:
                listener = socket.create_server(("", port), family=socket.AF_INET6,
                                                dualstack_ipv6=True, backlog=512)
                listener.setblocking(False)
                self.selector.register(listener, selectors.EVENT_READ, (self.accept, name))
            for port in udp_ports:
                made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                # Answers come from the address that was asked.
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
                made.bind(("::", port))
                self.selector.register(made, selectors.EVENT_READ, (self.reflect, name))

    def serve(self):
        while True:
            for key, _ in self.selector.select(0.1):
                key.data[0](key.data[1], key.fileobj)

    def accept(self, name, listener):
        with contextlib.suppress(OSError):
            made, peer = listener.accept()
            made.settimeout(1)
            self.streams[(name, plain(peer[0]), peer[1])] = made
            self.heard.append((name, "tcp", listener.getsockname()[1], plain(peer[0])))
            self.selector.register(made, selectors.EVENT_READ, (self.echo, name))

    def echo(self, name, made):
        try:
            got = made.recv(65536)
            if got:
                peer = made.getpeername()
                made.sendall(plain(peer[0]).encode() + b"\n" if got == b"WHO\n" else got)
                return
        except OSError:
            pass
        self.selector.unregister(made)
        made.close()

    def reflect(self, name, made):
        got, ancillary, _, peer = made.recvmsg(65536, 200)
        self.heard.append((name, "udp", made.getsockname()[1], plain(peer[0])))
        with contextlib.suppress(OSError):
            made.sendmsg([got], ancillary, 0, peer)

    def of(self, name):
        """Open connections of a node, newest last."""
        return [made for (node, _, _), made in self.streams.items()
                if node == name and made.fileno() >= 0]


def plain(address):
    return address.removeprefix("::ffff:")


def pair(host, link, other, far):
    """A veth pair between two namespaces, up; addresses of IPv6 hold at once."""
    for namespace in (host, other):
        namespace.sysctl("ipv6/conf/default/accept_dad", "0")
    with host.inside():
        run("ip", "link", "add", link, "type", "veth", "peer", "name", far)
        run("ip", "link", "set", far, "netns", f"/proc/{os.getpid()}/fd/{other.fd}")
    for namespace, name in ((host, link), (other, far)):
        namespace.ip(f"link set {name} up\nlink set lo up")


class World:
    def __init__(self):
        self.host = Namespace("/proc/thread-self/ns/net")
        self.internet, self.lan, self.metadata = Namespace(), Namespace(), Namespace()
        pair(self.host, "wan0", self.internet, "net0")
        pair(self.host, "lan0", self.lan, "net0")
        pair(self.host, "meta0", self.metadata, "net0")
        self.host.ip(f"""
            addr add {HOST4}/24 dev wan0
            addr add {HOST6}/64 dev wan0 nodad
            route add default via {GATE4}
            route add default via {GATE6}
            addr add {HOST_LAN4}/24 dev lan0
            addr add {HOST_LAN6}/64 dev lan0 nodad
            addr add 10.99.0.10/24 dev meta0
            addr add fd99::10/64 dev meta0 nodad
            route add {META4} via 10.99.0.1
            route add {META6} via fd99::1""")
        self.internet.ip("\n".join(
            [f"addr add {GATE4}/24 dev net0", f"addr add {GATE6}/64 dev net0 nodad",
             f"addr add {NAMESERVER}/24 dev net0"]
            + [f"addr add {address}/32 dev lo" for address in (*NET4, *ODD4)]
            + [f"addr add {address}/128 dev lo nodad" for address in (*NET6, *ODD6)]))
        self.lan.ip(f"""
            addr add {LAN4}/24 dev net0
            addr add {LAN6}/64 dev net0 nodad
            route add default via {HOST_LAN4}
            route add default via {HOST_LAN6}""")
        self.metadata.ip(f"""
            addr add 10.99.0.1/24 dev net0
            addr add fd99::1/64 dev net0 nodad
            addr add {META4}/32 dev lo
            addr add {META6}/128 dev lo nodad
            route add default via 10.99.0.10
            route add default via fd99::10""")
        # What caissond would switch on, and leave on, as others may count on it.
        self.host.sysctl("ipv4/ip_forward", "1")
        self.host.sysctl("ipv6/conf/all/forwarding", "1")
        self.host.sysctl("ipv4/ping_group_range", "0 2147483647")
        self.foreign()
        self.servers = Servers()
        self.servers.add("internet", self.internet, udp_ports=[p for p in UDP_PORTS if p != 53])
        self.servers.add("lan", self.lan)
        self.servers.add("metadata", self.metadata)
        self.servers.add("host", self.host, ports=(9000,), udp_ports=(9000,))
        self.names = NameServer(self.internet, NAMESERVER)

    def foreign(self):
        """A firewall of the host's own, which nobody may touch."""
        self.host.output("nft", "add table inet foreign; add chain inet foreign guard { type filter "
                         "hook forward priority 0; policy accept; }; add rule inet foreign guard "
                         "tcp dport 25 drop; add set inet foreign kept { type ipv4_addr; elements = "
                         "{ 20.9.9.9 } }")

    def capture(self, link):
        return Capture(self.host, link)


class State:
    """All that an engine could leave in a network namespace, as sets of lines."""

    COMMANDS = {"link": "ip -o link", "address": "ip -o addr", "route": "ip -4 route show table all",
                "route6": "ip -6 route show table all", "rule": "ip rule", "rule6": "ip -6 rule",
                "neighbour": "ip neigh show nud permanent", "rules": "nft -s list ruleset",
                "qdisc": "tc qdisc show"}

    def __init__(self, namespace):
        with namespace.inside():
            self.sets = {kind: set(run(*words.split()).splitlines())
                         for kind, words in self.COMMANDS.items()}
            self.sets["sysctl"] = set(self.sysctls())
        with open("/proc/self/mountinfo") as file:
            # Those of other engines of this machine come and go.
            self.sets["namespace"] = {line.split()[4] for line in file if " - nsfs " in line
                                      and line.split()[4].startswith(os.environ["TMPDIR"])}

    @staticmethod
    def sysctls():
        for top, _, files in os.walk("/proc/sys/net"):
            for name in files:
                # Numbers of the moment, and those of links, which are compared as such.
                if name in ("nf_conntrack_count", "flush", "dentry-state") or "/conf/" in top and (
                        not top.endswith(("/all", "/default"))) or "/neigh/" in top:
                    continue
                path = os.path.join(top, name)
                with contextlib.suppress(OSError, UnicodeDecodeError), open(path) as file:
                    yield f"{path} = {file.read().strip()}"

    def changes(self, before):
        return [f"{sign} {kind}: {line}" for kind, now in self.sets.items()
                for sign, lines in (("+", now - before.sets[kind]), ("-", before.sets[kind] - now))
                for line in sorted(lines)]


def generation():
    """How many changes of rules and sets there were in this network namespace: NFT_MSG_GETGEN."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as made:
        made.send(struct.pack("=IHHIIBBH", 20, 10 << 8 | 16, 1, 1, 0, 0, 0, 0))
        return struct.unpack_from(">I", made.recv(4096), 24)[0]
