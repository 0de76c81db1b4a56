# SPDX-License-Identifier: Apache-2.0
"""What one sandbox can use up is its own: connections, packets, addresses. A small engine."""

import pytest

import conftest
import harness
import world as worlds
from test_policies import REFUSED

ONE4, TWO4 = worlds.NET4[:2]
CONNECTIONS, PACKETS, SLOTS = 200, 1000, 14
SENT = 16 * PACKETS  # a capture holds as many
QUESTIONS = 20000    # more than ten seconds of what is let through
SMALL = f"""[network]
pool = 100.98.0.0/28
connections = {CONNECTIONS}
packets = {PACKETS}
[dns]
upstream = {worlds.NAMESERVER}
[pool]
blanks = 1
"""


@pytest.fixture(scope="module")
def engine(world):
    yield from conftest.run_engine(world, conftest.busybox, config=SMALL)


@pytest.fixture
def router(engine):
    namespace = conftest.router_of(engine)
    yield namespace
    namespace.close()


def tracked(router):
    return int(router.output("cat", "/proc/sys/net/netfilter/nf_conntrack_count"))


def test_connections(make, router):
    one, other = make(), make()
    names = [f"c{number}" for number in range(CONNECTIONS + 50)]
    outcomes = [one.force("open_tcp", name, ONE4, 7001) for name in names]
    assert outcomes[:CONNECTIONS // 2] == ["ok"] * (CONNECTIONS // 2)
    assert "ok" not in outcomes[CONNECTIONS:], outcomes.count("ok")
    assert one.force("say", "c0") == "ok"
    assert other.force("tcp", ONE4, 80) == "ok"


def test_connections_of_members(make):
    """In a named network the same share counts."""
    one, other = make(network="lab"), make(network="lab")
    assert other.force("serve", 7001) == "ok"
    outcomes = [one.force("open_tcp", f"c{number}", other.address(), 7001)
                for number in range(CONNECTIONS + 50)]
    assert outcomes[0] == "ok" and "ok" not in outcomes[CONNECTIONS:]


def test_flows(make, router):
    """Datagrams to a thousand ports: the table of flows holds a sandbox's share of them."""
    one, other = make(), make()
    before = tracked(router)
    one.force("flood", ONE4, 8000, 3000)
    assert tracked(router) <= before + CONNECTIONS + 20
    assert other.force("udp", ONE4, 7001) == "ok" and other.force("tcp", ONE4, 80) == "ok"


def test_packets(make, router):
    one, other = make(), make()
    with worlds.Capture(router, "uplink") as seen:
        assert one.force("burst", ONE4, 443, SENT) == "ok"
        passed = len([packet for packet in seen.packets(ONE4) if packet.to == ONE4])
    assert PACKETS // 2 < passed < SENT
    assert other.force("udp", ONE4, 7001) == "ok" and other.force("tcp", ONE4, 80) == "ok"


def datagrams_heard(router):
    """What came as far as a UDP socket of the router, whether that had room or not."""
    lines = [line.split()[1:] for line in router.output("cat", "/proc/net/snmp").splitlines() if line.startswith("Udp:")]
    counted = dict(zip(*lines))
    return int(counted["InDatagrams"]) + int(counted["RcvbufErrors"])


def test_questions(make, router):
    """Too many questions are lost before anybody reads them; others' are not."""
    one, other = make(), make()
    before = datagrams_heard(router)
    assert one.force("ask_often", QUESTIONS) == "ok"
    assert datagrams_heard(router) - before < QUESTIONS / 2
    assert other.force("dns", "none.test")["rcode"] == "NXDOMAIN"
    harness.wait_until(lambda: isinstance(one.force("dns", "none.test"), dict), 20, "an answer again")


def test_addresses(engine, make):
    """As many as the pool has; the next owner of one gets nothing of the last one's."""
    first = make()
    address, index = first.address(), first.index()
    assert first.force("open_tcp", "kept", ONE4, 7001) == "ok"
    first.close()
    engine.api.delete(first.key).ok()
    seen = set()
    for _ in range(3 * SLOTS):
        box = conftest.Box(engine, engine.api.create("busybox", network_access=False).ok()["id"])
        seen.add(box.address())
        again = box.address() == address
        if again:
            assert box.index() == index
            assert box.force("tcp", ONE4, 80) in REFUSED and box.force("udp", ONE4, 7001) in REFUSED
            with worlds.Capture(box.namespace, "eth0") as packets:
                assert box.force("udp", ONE4, 7001) in REFUSED
                assert {packet.source for packet in packets.packets()} <= {address, "169.254.1.1", ONE4}
        box.close()
        engine.api.delete(box.key).ok()
        if again:
            break
    assert again, seen


def test_no_more_addresses(engine):
    made = []
    try:
        for _ in range(SLOTS + 2):
            answer = engine.api.create("busybox")
            if answer.status != 200 and answer.status != 201:
                break
            made.append(answer["id"])
        assert SLOTS - 3 <= len(made) <= SLOTS
        assert answer.status in (429, 503, 507), answer
    finally:
        for key in made:
            engine.api.delete(key).ok()
    box = harness.wait_until(lambda: engine.api.create("busybox").status in (200, 201), 10, "a slot")
    assert box
    for sandbox in engine.api.list():
        engine.api.delete(sandbox["id"]).ok()
