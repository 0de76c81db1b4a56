# SPDX-License-Identifier: Apache-2.0
"""A policy changes while connections are open: what stays allowed goes on, the rest is cut."""

import contextlib

import pytest

import harness
import world as worlds
from test_policies import REFUSED

ONE4, TWO4 = worlds.NET4[:2]
ONE6, TWO6 = worlds.NET6[:2]
ADDRESSES = {"one4": ONE4, "two4": TWO4, "one6": ONE6, "two6": TWO6}
CUT = REFUSED | {"ECONNRESET", "EPIPE", "ECONNABORTED", "ETIMEDOUT", "EOF"}
GRACE_SECONDS = 8  # in which what an allow-list does not name may still turn out to be a name's address


def ended(box, name):
    """A connection that is cut: nothing passes, and soon it ends."""
    outcome = box.force("say", name)
    assert outcome != "ok"
    harness.wait_until(lambda: outcome in CUT or box.force("say", name) in CUT, GRACE_SECONDS, name)


def from_outside(world, text):
    """The internet's end of each open connection speaks."""
    for made in world.servers.of("internet"):
        with contextlib.suppress(OSError):
            made.sendall(text)


@pytest.fixture
def opened(make):
    """A sandbox that may do all, with connections to two addresses of each family."""
    box = make()
    for name, address in ADDRESSES.items():
        assert box.force("open_tcp", name, address, 7001) == "ok"
        assert box.force("say", name) == "ok"
    return box


@pytest.mark.parametrize("policy, kept", (
    ({"allow": [ONE4]}, {"one4"}),
    ({"allow": [ONE4 + ":7001", TWO4 + ":80"]}, {"one4"}),
    ({"deny": [TWO4]}, {"one4", "one6", "two6"}),
    ({"deny": ["20.0.0.0/8:7000-7001"]}, {"one6", "two6"}),
    ({"allow": []}, set()),
    ({"deny": []}, {"one4", "two4", "one6", "two6"}),
))
def test_open_connections(opened, world, outside, policy, kept):
    opened.policy(**policy)
    outside()
    from_outside(world, b"from outside\n")
    for name in kept:
        assert opened.force("hear", name) == "from outside\n"
        for _ in range(3):
            assert opened.force("say", name) == "ok"
    for name in set(ADDRESSES) - kept:
        ended(opened, name)
    # Nothing but that it is over is said to the other side.
    assert {packet.to for packet in outside()} <= {ADDRESSES[name] for name in kept}


def test_back_and_forth(opened):
    """Through many policies that allow it a connection lives; each change counts for new ones at once."""
    for turn in range(10):
        opened.policy(**({"allow": [ONE4]}, {"deny": [TWO4]}, {"deny": []}, {"allow": [ONE4 + ":7001"]},
                         {"allow": ["20.1.0.0/16"]})[turn % 5])
        expected = "ok" if turn % 5 in (2, 4) else "ECONNREFUSED"
        assert opened.force("tcp", TWO4, 80) == expected
        assert opened.force("say", "one4") == "ok"


def test_cut_stays_cut(opened):
    """A connection that was cut does not come back to life when its destination is allowed again."""
    opened.policy(allow=[ONE4])
    ended(opened, "two4")
    opened.policy(deny=[])
    assert opened.force("say", "two4") in CUT
    assert opened.force("tcp", TWO4, 7001) == "ok"


def test_datagrams_and_pings(make):
    box = make()
    assert box.force("udp", ONE4, 7001) == "ok" and box.force("ping", ONE4) == "ok"
    box.policy(allow=[TWO4])
    assert box.force("udp", ONE4, 7001) in REFUSED and box.force("ping", ONE4) in REFUSED
    assert box.force("udp", TWO4, 7001) == "ok" and box.force("ping", TWO4) == "ok"


def test_unidirectional_answers_are_cut(make, world):
    """A server that only sends is cut, too."""
    box = make()
    assert box.force("open_tcp", "stream", TWO4, 7002) == "ok"
    assert box.force("say", "stream") == "ok"
    box.policy(allow=[ONE4])
    with worlds.Capture(box.namespace, "eth0") as seen:
        from_outside(world, b"push")
        assert box.force("udp", ONE4, 7001) == "ok"
        assert seen.packets(TWO4) == []
    box.force("close", "stream")


def test_generations(make):
    box = make(network_access=False)
    first = box.policy_is()
    assert first["applied"] and first["policy"] == {"allowlist": [], "denylist": None}
    last = first["generation"]
    for policy in ({"allow": [ONE4]}, {"deny": [TWO4]}, {"deny": []}):
        now = box.policy(**policy)
        assert now["generation"] > last and now["applied"] and now["applied_generation"] == now["generation"]
        last = now["generation"]
    assert box.policy_is()["generation"] == last


@pytest.mark.parametrize("body", (
    {"allow": ["20.1.0.1"], "deny": ["20.1.0.2"]}, {"allow": ["20.1.0.1/33"]}, {"allow": ["a b"]},
    {"allow": ["20.1.0.1:0"]}, {"allow": ["20.1.0.1:90-80"]}, {"deny": ["*"]}))
def test_wrong_policies_change_nothing(make, engine, body):
    box = make(network_allowlist=[ONE4])
    before = box.policy_is()
    answer = engine.api.request("PUT", f"/api/v1/sandbox/{box.key}/egress-policy",
                                {"allowlist": body.get("allow"), "denylist": body.get("deny")})
    assert answer.status in (400, 422), answer
    assert box.policy_is() == before
    assert box.force("tcp", ONE4, 80) == "ok" and box.force("tcp", TWO4, 80) in REFUSED


def test_long_lists(make, engine):
    """As many entries as a list may have are judged as few are; what comes to too many parts is refused."""
    box = make(network_allowlist=[TWO4])
    many = [f"20.8.{i >> 8}.{i & 255}:443" for i in range(1023)]
    box.policy(allow=[*many, ONE4 + ":80"])
    assert box.force("tcp", ONE4, 80) == "ok"
    assert box.force("tcp", ONE4, 7001) in REFUSED and box.force("tcp", TWO4, 80) in REFUSED
    before = box.policy_is()
    networks = [f"20.{i >> 8}.{i & 255}.0/29:80" for i in range(1024)]
    answer = engine.api.request("PUT", f"/api/v1/sandbox/{box.key}/egress-policy",
                                {"allowlist": networks, "denylist": None})
    assert answer.status == 400 and "more than 8192 parts" in answer.detail, answer
    assert box.policy_is() == before
    assert box.force("tcp", ONE4, 80) == "ok" and box.force("tcp", TWO4, 80) in REFUSED
