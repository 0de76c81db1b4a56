# SPDX-License-Identifier: Apache-2.0
"""What the operator sets: bandwidth, private networks that may be reached, who switches forwarding on."""

import socket
import time

import pytest

import conftest
import world as worlds
from test_policies import REFUSED

ONE4 = worlds.NET4[0]
MBIT = 8
SIZE = 2 << 20  # takes two seconds
SETTINGS = f"""[network]
pool = 100.99.0.0/28
bandwidth = {MBIT}
allow_private = 192.168.77.0/24
forward = no
[dns]
upstream = {worlds.NAMESERVER}
[pool]
blanks = 1
"""


@pytest.fixture(scope="module")
def engine(world):
    yield from conftest.run_engine(world, conftest.busybox, config=SETTINGS)


def bits_a_second(world, box, up):
    """Of one transfer, to a server of the internet or from it."""
    with world.internet.inside():
        listener = socket.create_server((ONE4, 9999))
    with listener, box.namespace.inside():
        inside = socket.socket()
        inside.settimeout(30)
        inside.connect((ONE4, 9999))
        outside = listener.accept()[0]
    outside.settimeout(30)
    sender, receiver = (inside, outside) if up else (outside, inside)
    with inside, outside:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * SIZE)
        begin, came = time.monotonic(), 0
        sender.setblocking(False)
        sent = 0
        while came < SIZE:
            if sent < SIZE:
                try:
                    sent += sender.send(b"x" * min(65536, SIZE - sent))
                    continue
                except BlockingIOError:
                    pass
            came += len(receiver.recv(1 << 16))
        return SIZE * 8 / (time.monotonic() - begin)


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_bandwidth(world, make, up):
    """A busy machine makes it less; nothing makes it much more."""
    assert bits_a_second(world, make(), up) < 1.5 * MBIT * 1e6


def test_a_private_network_that_is_allowed(make):
    """Policies decide about it as about any other; the rest of what is private stays closed."""
    everything, nothing, listed = make(), make(network_access=False), make(network_allowlist=["192.168.77.20:22"])
    for kind in ("tcp", "udp"):
        assert everything.force(kind, worlds.LAN4, 7001) == "ok"
        assert nothing.force(kind, worlds.LAN4, 7001) in REFUSED
        assert listed.force(kind, worlds.LAN4, 7001) in REFUSED
    assert listed.force("tcp", worlds.LAN4, 22) == "ok"
    for box in (everything, listed):
        for address in (worlds.HOST_LAN4, worlds.META4, "10.1.2.3", worlds.LAN6):
            assert box.force("tcp", address, 9000 if address == worlds.HOST_LAN4 else 22) in REFUSED, address


def test_forwarding_is_not_ours(world):
    """forward = no, and the host does not forward: said at the start, and nothing is left."""
    before = worlds.State(world.host)
    world.host.sysctl("ipv4/ip_forward", "0")
    try:
        engine = conftest.Engine(SETTINGS.replace("100.99.", "100.100."))
        with pytest.raises(AssertionError):
            engine.start()
        assert "ip_forward" in engine.log()
        with open("/proc/sys/net/ipv4/ip_forward") as file:
            assert file.read().strip() == "0"
    finally:
        world.host.sysctl("ipv4/ip_forward", "1")
    conftest.unchanged(world.host, before)
    engine.remove()
