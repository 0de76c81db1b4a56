# SPDX-License-Identifier: Apache-2.0
"""What was refused is told: to whom, where to, and why."""

import harness
import world as worlds
from test_policies import REFUSED

ONE4, TWO4 = worlds.NET4[:2]
SECONDS = 10


def denials(box):
    return box.engine.api.request("GET", f"/api/v1/sandbox/{box.key}/egress/log").ok()["denials"]


def test_each_kind_of_refusal(make):
    box, other = make(network_allowlist=[ONE4]), make()
    wanted = {("tcp", TWO4, 80), ("udp", TWO4, 443), ("icmp", TWO4, None), ("tcp", worlds.LAN4, 22),
              ("tcp", worlds.META4, 80), ("tcp", other.address(), 7001), ("tcp", worlds.NET6[0], 80)}
    for protocol, address, port in wanted:
        assert box.force("ping" if protocol == "icmp" else protocol, address, port or 0) in REFUSED
    assert box.force("dns", "secret.test")["rcode"] == "REFUSED"

    def told():
        return {(row["protocol"], row["address"], row["port"]) for row in denials(box) if row["address"]}

    harness.wait_until(lambda: told() >= wanted, SECONDS, "the refusals in the log")
    harness.wait_until(lambda: "secret.test" in {row["name"] for row in denials(box)}, SECONDS, "the name")
    assert all(row["why"] for row in denials(box))
    assert denials(other) == []


def test_many_refusals_are_few_entries(make):
    box = make(network_access=False)
    box.force("flood", ONE4, 7001, 3000)
    assert box.force("tcp", ONE4, 80) in REFUSED
    harness.wait_until(lambda: denials(box), SECONDS, "a refusal in the log")
    assert len(denials(box)) <= 100


def test_the_hosts_own_addresses(world, engine, make, router):
    """Those that it has at the start, and one that comes and goes."""
    box, late = make(), "20.0.0.77"

    def told(address, port):
        return {row["why"] for row in denials(box) if (row["address"], row["port"]) == (address, port)}

    for address in (worlds.HOST4, worlds.HOST6):
        assert box.force("tcp", address, 9000) in REFUSED
        harness.wait_until(lambda: told(address, 9000), SECONDS, f"{address} in the log")
        assert told(address, 9000) == {"an address of the host itself"}
    world.host.ip(f"addr add {late}/32 dev wan0")
    try:
        def refused():
            assert box.force("tcp", late, 9000) in REFUSED
            return told(late, 9000) == {"an address of the host itself"}
        harness.wait_until(refused, SECONDS, "the new address in the log")
    finally:
        world.host.ip(f"addr del {late}/32 dev wan0")
    harness.wait_until(lambda: late not in router.output("nft", "list", "set", "inet", "caisson", "host4"), SECONDS,
                       "the router to forget it")
