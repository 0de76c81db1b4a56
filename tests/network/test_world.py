# SPDX-License-Identifier: Apache-2.0
"""The world itself: from the host everything answers, so that a refusal elsewhere says something."""

import pytest

import probe
import world as worlds

ANSWERS = ([(name, address, port) for address in (worlds.NET4[0], worlds.NET6[0], worlds.LAN4,
                                                  worlds.LAN6, worlds.META4, worlds.META6,
                                                  *worlds.ODD4[:5], worlds.GATE4, worlds.GATE6)
            for name, port in (("tcp", 80), ("udp", 7001), ("ping", 0))])


def test_everything_answers(world):
    outcomes = probe.many(ANSWERS)
    assert [(row, outcome) for row, outcome in zip(ANSWERS, outcomes) if outcome != "ok"] == []


def test_closed_port_is_refused(world):
    assert probe.tcp(worlds.NET4[0], 9) == "ECONNREFUSED"


@pytest.mark.parametrize("over_tcp", (False, True))
def test_names(world, over_tcp):
    world.names.set("self.test", "CNAME next.test")
    world.names.set("next.test", "A 20.1.0.1", "AAAA 2a0e:1::1", ttl=60)
    answer = probe.dns("self.test", "A", worlds.NAMESERVER, over_tcp)
    assert answer["answers"] == [["CNAME", "next.test", 300], ["A", "20.1.0.1", 60]]
    assert probe.dns("none.test", "A", worlds.NAMESERVER, over_tcp)["rcode"] == "NXDOMAIN"


def test_captures(world, outside):
    assert probe.udp(worlds.LAN4, 7001) == "ok"
    assert [(packet.source, packet.to) for packet in outside(worlds.LAN4)] == [
        (worlds.HOST_LAN4, worlds.LAN4)]
    assert outside() == []
