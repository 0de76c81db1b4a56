# SPDX-License-Identifier: Apache-2.0
"""Each policy against each destination: what passes, what is refused at once, and what gets out."""

import pytest

import world as worlds
from conftest import PYTHON

REFUSED = {"ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EACCES", "EADDRNOTAVAIL"}
ONE4, TWO4 = worlds.NET4[:2]
ONE6, TWO6 = worlds.NET6[:2]
FAR4 = worlds.NET4[8]

# What a policy can be about: function, address, port.
PUBLIC = {
    "web4": ("tcp", ONE4, 80), "alt4": ("tcp", ONE4, 7001), "two4": ("tcp", TWO4, 80),
    "far4": ("tcp", FAR4, 80), "udp4": ("udp", ONE4, 7001), "two-udp4": ("udp", TWO4, 443),
    "fragments4": ("udp", ONE4, 7001, 5000), "ping4": ("ping", ONE4), "two-ping4": ("ping", TWO4),
    "onlink4": ("tcp", worlds.GATE4, 80), "mapped": ("tcp", "::ffff:" + ONE4, 80),
    "web6": ("tcp", ONE6, 80), "two6": ("tcp", TWO6, 80), "udp6": ("udp", ONE6, 7001),
    "fragments6": ("udp", ONE6, 7001, 5000), "ping6": ("ping", ONE6),
    "onlink6": ("tcp", worlds.GATE6, 80),
}
FOUR = {name for name in PUBLIC if not name.endswith("6")}
ONES4 = {name for name in FOUR if PUBLIC[name][1].endswith(ONE4)}

# name: (fields of the creation, what of PUBLIC passes)
POLICIES = {
    "none": ({"network_access": False}, set()),
    "all": ({"network_access": True}, set(PUBLIC)),
    "allow-address": ({"network_allowlist": [ONE4]}, ONES4),
    "allow-port": ({"network_allowlist": [ONE4 + ":80"]}, {"web4", "mapped"}),
    "allow-ports": ({"network_allowlist": [ONE4 + ":7000-7009", TWO4 + ":80"]},
                    {"alt4", "udp4", "fragments4", "two4"}),
    "allow-range": ({"network_allowlist": ["20.1.0.0/29"]},
                    {name for name in FOUR if PUBLIC[name][1] in (ONE4, TWO4)} | {"mapped"}),
    "allow-range-port": ({"network_allowlist": ["20.1.0.0/24:80"]},
                         {"web4", "two4", "far4", "mapped"}),
    "allow-6": ({"network_allowlist": [ONE6]}, {"web6", "udp6", "fragments6", "ping6"}),
    "allow-6-port": ({"network_allowlist": [f"[{ONE6}]:80", "2a0e:1::2/127"]}, {"web6", "two6"}),
    "allow-nothing": ({"network_allowlist": []}, set()),
    "deny-address": ({"network_denylist": [ONE4]}, set(PUBLIC) - ONES4),
    "deny-range-port": ({"network_denylist": ["20.1.0.0/24:80"]},
                        set(PUBLIC) - {"web4", "two4", "far4", "mapped"}),
    "deny-everything-4": ({"network_denylist": ["0.0.0.0/0"]}, set(PUBLIC) - FOUR),
    "deny-6": ({"network_denylist": ["2a0e:1::/64"]}, FOUR | {"onlink6"}),
    "deny-6-port": ({"network_denylist": [f"[{ONE6}]:7001"]}, set(PUBLIC) - {"udp6", "fragments6"}),
    "deny-nothing": ({"network_denylist": []}, set(PUBLIC)),
}

# Never reached, whatever the policy says.
NEVER = {
    "metadata4": ("tcp", worlds.META4, 80), "metadata6": ("tcp", worlds.META6, 80),
    "metadata-udp": ("udp", worlds.META4, 7001), "metadata-ping": ("ping", worlds.META4),
    "metadata-mapped": ("tcp", "::ffff:" + worlds.META4, 80),
    "lan4": ("tcp", worlds.LAN4, 80), "lan6": ("tcp", worlds.LAN6, 80),
    "lan-udp": ("udp", worlds.LAN4, 443), "lan-udp6": ("udp", worlds.LAN6, 7001),
    "lan-fragments": ("udp", worlds.LAN4, 443, 5000), "lan-ping": ("ping", worlds.LAN4),
    "lan-ping6": ("ping", worlds.LAN6), "lan-mapped": ("tcp", "::ffff:" + worlds.LAN4, 80),
    "host4": ("tcp", worlds.HOST4, 9000), "host6": ("tcp", worlds.HOST6, 9000),
    "host-udp": ("udp", worlds.HOST4, 9000), "host-lan": ("tcp", worlds.HOST_LAN4, 9000),
    "host-lan6": ("tcp", worlds.HOST_LAN6, 9000), "host-ping": ("ping", worlds.HOST4),
    "host-ping6": ("ping", worlds.HOST6), "gateway": ("tcp", "169.254.1.1", 9000),
    "gateway-udp": ("udp", "169.254.1.1", 9000), "gateway-ping": ("ping", "169.254.1.1"),
    "link-local": ("tcp", "169.254.7.7", 80),
    **{"odd " + address: ("tcp", address, 80) for address in (*worlds.ODD4, *worlds.ODD6)},
}
# Nobody answers for these; that nothing gets out is enough.
SILENT = ("224.0.0.251", "239.1.1.1", "255.255.255.255", "20.0.0.255", "100.97.255.255", "ff02::1", "ff05::1",
          "ff0e::1")


def uplink_addresses(router):
    return [word.split("/")[0] for word in router.output("ip", "-o", "addr", "show").split()
            if "/" in word and word[0] in "0123456789f" and not word.startswith(("127.", "169.254.1.1"))]


def at_once(name):
    return {"ECONNREFUSED"} if PUBLIC[name][0] == "tcp" else REFUSED


@pytest.mark.parametrize("name", POLICIES)
def test_policy(name, make, outside, world):
    fields, passing = POLICIES[name]
    box = make(PYTHON, **fields)
    heard = len(world.servers.heard)
    outcomes = dict(zip(PUBLIC, box.ask("many", list(PUBLIC.values()))))
    assert {key for key, outcome in outcomes.items() if outcome == "ok"} == passing, outcomes
    assert {key: outcome for key, outcome in outcomes.items()
            if key not in passing and outcome not in at_once(key)} == {}, "not refused at once"
    if not passing:
        assert outside() == []
        assert world.servers.heard[heard:] == []


@pytest.mark.parametrize("name", ("none", "all", "allow-everything", "deny-nothing"))
def test_never(name, make, router, engine, outside, world):
    fields = {"network_allowlist": ["0.0.0.0/0"]} if name == "allow-everything" else POLICIES[name][0]
    box = make(PYTHON, **fields)
    heard = len(world.servers.heard)
    attempts = dict(NEVER)
    for address in uplink_addresses(router):
        attempts["uplink " + address] = ("tcp", address, 9000)
        attempts["uplink udp " + address] = ("udp", address, 9000)
    for line in world.host.output("ip", "-o", "addr", "show").splitlines():
        if " cx" in line and "fe80" not in line:
            attempts["host's end " + line.split()[3]] = ("tcp", line.split()[3].split("/")[0], 9000)
    outcomes = dict(zip(attempts, box.ask("many", list(attempts.values()))))
    assert {key: outcome for key, outcome in outcomes.items() if outcome not in REFUSED} == {}
    box.ask("many", [("say_to", address, 443) for address in SILENT])
    if name == "none":
        assert box.force("udp", worlds.NET4[0], 443) in REFUSED  # what was sent before has been judged
    assert outside() == []
    assert world.servers.heard[heard:] == []


def test_what_is_the_hosts_by_a_route_only(make, world):
    """No link has such an address, and the host answers for it."""
    address = "20.0.7.7"
    world.host.ip(f"route add local {address}/32 dev lo")
    try:
        box = make()
        for attempt in (("tcp", address, 9000), ("udp", address, 9000), ("ping", address)):
            assert box.force(*attempt) in REFUSED, attempt
    finally:
        world.host.ip(f"route del local {address}/32 dev lo")


def test_sources_are_the_host(make):
    """What is let out bears the host's address."""
    box = make(PYTHON)
    assert box.ask("who", ONE4, 80) == worlds.HOST4
    assert box.ask("who", ONE6, 80) == worlds.HOST6


def test_what_a_sandbox_sees(make):
    box = make(PYTHON)
    shown = box.ask("environment")
    assert sorted(shown["links"]) == ["eth0", "lo"]
    assert shown["resolv"].split()[:2] == ["nameserver", "169.254.1.1"]
    assert shown["mtu"] == 1500
    assert box.ask("tcp", "127.0.0.1", 9) == "ECONNREFUSED"


def test_private_sockets_are_refused(make):
    box = make(PYTHON)
    raw, dgram, packet = 3, 2, 17
    for family, kind, protocol in ((2, raw, 1), (2, raw, 17), (2, raw, 255), (10, raw, 58),
                                   (packet, raw, 768), (packet, dgram, 768), (2, 5, 132), (2, 6, 33)):
        outcome = box.ask("make_socket", family, kind, protocol)
        assert outcome in ("EPERM", "EACCES", "EAFNOSUPPORT", "EPROTONOSUPPORT",
                           "ESOCKTNOSUPPORT"), (family, kind, protocol, outcome)
    assert box.ask("add_address", "20.1.0.77") == "EPERM"
