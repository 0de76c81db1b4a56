# SPDX-License-Identifier: Apache-2.0
"""Two sandboxes: neither reaches the other, or anybody in somebody else's name.

The attempts are made with all rights over the sandbox's network namespace, which nothing in a sandbox has:
what refuses them is outside of it.
"""

import re
import socket
import struct

import pytest

import probe
import world as worlds
from test_policies import REFUSED

ONE4, ONE6 = worlds.NET4[0], worlds.NET6[0]
FORGED4, FORGED6 = worlds.NET4[3], worlds.NET6[3]  # where only forged packets go


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return 0xffff & ~(total + (total >> 16))


def ip4(source, to, protocol, payload, fragment=0, options=b""):
    options += b"\0" * (-len(options) % 4)
    size = 20 + len(options)
    head = struct.pack(">BBHHHBBH4s4s", 0x40 + size // 4, 0, size + len(payload), 77, fragment, 64, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(to)) + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def route(kind, *hops):
    """An IP option: loose (131) or strict (137) source route, or room to record one (7)."""
    return bytes([kind, 3 + 4 * len(hops), 4]) + b"".join(map(socket.inet_aton, hops))


def ip6(source, to, protocol, payload):
    return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + b"".join(
        socket.inet_pton(socket.AF_INET6, address) for address in (source, to)) + payload


def udp(port=443, size=16):
    return struct.pack(">HHHH", 5000, port, 8 + size, 0) + b"x" * size


def send_frame(box, kind, payload, to=b"\xff" * 6):
    """One Ethernet frame out of the sandbox's link, past everything that is inside."""
    with box.namespace.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as made:
        made.bind(("eth0", kind))
        own = made.getsockname()[4]
        made.send((to if to != b"own" else own) + own + struct.pack(">H", kind) + payload)


@pytest.fixture
def two(make):
    return make(), make()


def test_neighbours(two):
    """All that is allowed does not include other sandboxes."""
    one, other = two
    assert other.force("serve", 7001) == "ok"
    for family in (4, 6):
        address = other.address(family)
        assert other.force("tcp", address, 7001) == "ok"
        for attempt in (("tcp", address, 7001), ("udp", address, 7001), ("ping", address)):
            assert one.force(*attempt) in REFUSED, attempt


def test_addresses_that_are_not_ones_own(two, outside, monkeypatch):
    monkeypatch.setattr(probe, "SECONDS", 0.5)  # nobody answers, and the captures tell
    one, other = two
    with worlds.Capture(other.namespace, "eth0") as seen:
        for source in (other.address(), worlds.HOST4, worlds.LAN4, "20.1.0.77", "169.254.1.1",
                       "127.0.0.1"):
            for option in ("freebind", "transparent"):
                one.force("spoof", source, ONE4, 7001, option)
                one.force("spoof", source, other.address(), 7001, option)
        for source in (other.address(6), worlds.HOST6, "2a0e:1::77"):
            one.force("spoof", source, ONE6, 7001, "freebind")
        one.namespace.ip("addr add 20.1.0.77/32 dev eth0\naddr add 100.97.9.9/32 dev eth0")
        for source in ("20.1.0.77", "100.97.9.9"):
            assert one.force("udp", ONE4, 7001, 20, source) != "ok"
            assert one.force("tcp", ONE4, 80, source) != "ok"
        assert seen.packets() == []
    assert outside() == []
    monkeypatch.undo()
    assert one.force("udp", ONE4, 7001) == "ok"


def test_frames(two, outside, router):
    """Whatever is put on the wire: forged sources, fragments, foreign protocols, other MACs."""
    one, other = two
    own = one.address()
    frames = [(0x0800, ip4(source, to, 17, udp())) for source in
              (other.address(), worlds.HOST4, worlds.LAN4, "0.0.0.0", "127.0.0.1", "255.255.255.255",
               "169.254.1.1", "20.1.0.77") for to in (FORGED4, worlds.LAN4, other.address())]
    frames += [(0x0800, ip4(own, to, 17, udp())) for to in
               ("127.0.0.1", "224.0.0.1", "255.255.255.255", worlds.META4, "0.0.0.0")]
    frames += [(0x0800, ip4(own, worlds.LAN4, 17, udp(size=1000), 0x2000)),
               (0x0800, ip4(own, worlds.LAN4, 17, b"y" * 64, 126)),
               (0x0800, ip4(own, worlds.LAN4, 47, b"\0\0\x08\0" + ip4(own, FORGED4, 17, udp()))),
               (0x0800, ip4(own, worlds.LAN4, 4, ip4(own, FORGED4, 17, udp()))),
               (0x86dd, ip6(other.address(6), FORGED6, 17, udp())),
               (0x86dd, ip6("::1", FORGED6, 17, udp())), (0x86dd, ip6("fe80::77", FORGED6, 17, udp())),
               (0x86dd, ip6(one.address(6), "ff02::1", 17, udp())),
               (0x86dd, ip6(one.address(6), "fe80::1", 17, udp())),
               (0x0806, struct.pack(">HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, b"\2" * 6,
                                    socket.inet_aton(other.address()), b"\0" * 6,
                                    socket.inet_aton(worlds.HOST4))),
               (0x8100, b"\0\1\x08\0" + ip4(own, FORGED4, 17, udp())), (0x88cc, b"\0" * 60)]
    with worlds.Capture(other.namespace, "eth0") as seen, worlds.Capture(router, "uplink") as uplink:
        for kind, payload in frames:
            for to in (b"own", b"\xff" * 6, b"\x33\x33\0\0\0\1"):
                send_frame(one, kind, payload, to)
        assert one.force("udp", ONE4, 7001) == "ok"  # behind all of them
        assert seen.packets() == []
        assert {packet.to for packet in uplink.packets() if packet.source != ONE4} == {ONE4}
    assert {packet.to for packet in outside()} == {ONE4}


def test_ip_options(make, outside):
    """A header says where a packet goes to, whatever its options say; and ports are where they are."""
    one = make(network_allowlist=[ONE4 + ":443"])
    own, closed = one.address(), worlds.NET4[1]
    frames = [ip4(own, to, 17, udp(), options=route(kind, *hops)) for kind in (131, 137)
              for to in ("169.254.1.1", worlds.HOST4, worlds.GATE4, closed)
              for hops in ((worlds.LAN4,), (worlds.META4,), (closed,), (worlds.HOST4, worlds.LAN4))]
    frames += [ip4(own, ONE4, 17, udp(7001), options=route(7, *["0.0.0.0"] * 9)),
               ip4(own, ONE4, 17, udp(7001), options=b"\x44\x24\x05" + bytes(33)),  # timestamps
               ip4(own, ONE4, 17, udp(7001), options=b"\x94\4\0\0"),  # router alert
               ip4(own, ONE4, 17, udp(7001), options=bytes([1] * 40)),
               ip4(own, ONE4, 17, udp(7001), options=b"\x83\xff\4")]  # longer than the header
    for payload in frames:
        send_frame(one, 0x0800, payload, b"own")
    assert one.force("udp", ONE4, 443) == "ok"  # behind all of them
    gone = outside()
    assert {(packet.to, packet.ports[1]) for packet in gone} == {(ONE4, 443)}, gone


def test_answers_without_a_question(two, world, monkeypatch):
    """From outside nothing begins, even where the host has a route to sandboxes."""
    monkeypatch.setattr(probe, "SECONDS", 0.5)  # nobody answers, and the capture tells
    one, _ = two
    assert one.force("serve", 7001) == "ok"
    link = re.search(r" (cx\w+)", world.host.output("ip", "-o", "link")).group(1)
    routes = (f"route add {one.address()}/32 dev {link}", f"route add {one.address(6)}/128 dev {link}")
    world.host.ip("\n".join(routes))
    try:
        with worlds.Capture(one.namespace, "eth0") as seen:
            for place in (world.lan, world.host, world.internet):
                with place.inside():
                    for family in (4, 6):
                        assert probe.tcp(one.address(family), 7001) != "ok"
                        assert probe.udp(one.address(family), 7001) != "ok"
            assert seen.packets() == []
    finally:
        world.host.ip("\n".join(route.replace(" add ", " del ") for route in routes))
