# SPDX-License-Identifier: Apache-2.0
"""Named networks: their members reach each other by name, and nobody else does."""

import pytest

import harness
import world as worlds
from test_changes import CUT
from test_policies import REFUSED

SECONDS = 5


@pytest.fixture
def lab(make):
    """Two of one network, one of another, one of none; each serves."""
    boxes = {"ann": make(name="ann", network="lab", network_access=False),
             "bob": make(name="bob", network="lab", network_allowlist=[worlds.NET4[0]]),
             "cid": make(name="cid", network="other"), "dan": make(name="dan")}
    for box in boxes.values():
        assert box.force("serve", 7001) == "ok"
    return boxes


def found(box, name, kind="A"):
    answer = box.force("dns", name, kind)
    return [value for _, value, _ in answer["answers"]]


def named(box, name):
    """Members are told of a new one some instants after it is there."""
    harness.wait_until(lambda: found(box, name), SECONDS, f"the name {name}")


def attempts(box, other):
    return [box.force(*attempt) for family in (4, 6) for address in (other.address(family),)
            for attempt in (("tcp", address, 7001), ("udp", address, 7001), ("ping", address))]


def test_members_reach_each_other(lab):
    for one, other in (("ann", "bob"), ("bob", "ann")):
        named(lab[one], other)
        assert found(lab[one], other) == [lab[other].address()]
        assert found(lab[one], other, "AAAA") == [lab[other].address(6)]
        assert attempts(lab[one], lab[other]) == ["ok"] * 6


def test_others_do_not(lab):
    named(lab["ann"], "bob")
    for one, other in (("cid", "ann"), ("ann", "cid"), ("dan", "bob"), ("bob", "dan"), ("cid", "dan")):
        assert set(attempts(lab[one], lab[other])) <= REFUSED, (one, other)
        assert found(lab[one], other) == []
    assert lab["ann"].force("dns", "cid")["rcode"] in ("NXDOMAIN", "REFUSED")
    assert lab["ann"].force("tcp", worlds.NET4[0], 80) in REFUSED
    assert lab["bob"].force("tcp", worlds.NET4[0], 80) == "ok"


def test_leaving(lab, engine):
    """A member that leaves is left: open connections end, its name is gone."""
    ann, bob = lab["ann"], lab["bob"]
    named(ann, "bob")
    assert ann.force("open_tcp", "to-bob", bob.address(), 7001) == "ok"
    assert bob.force("open_tcp", "to-ann", ann.address(), 7001) == "ok"
    engine.api.request("PUT", f"/api/v1/sandbox/{bob.key}/egress",
                       {"allowlist": [], "denylist": None, "network": ""}).ok()
    assert ann.force("say", "to-bob") in CUT and bob.force("say", "to-ann") in CUT
    assert set(attempts(ann, bob)) <= REFUSED and set(attempts(bob, ann)) <= REFUSED
    harness.wait_until(lambda: not found(ann, "bob"), SECONDS, "the name to go")


def test_end_of_a_member(lab, engine):
    ann, bob = lab["ann"], lab["bob"]
    named(ann, "bob")
    address = bob.address()
    engine.api.delete(bob.key).ok()
    harness.wait_until(lambda: not found(ann, "bob"), SECONDS, "the name to go")
    # Its own processes have ended; the server of this test lives on in what is left, until its slot is closed.
    harness.wait_until(lambda: ann.force("tcp", address, 7001) in REFUSED, SECONDS, "its slot to be closed")


def test_not_outside_of_the_link(lab, outside):
    """What members say to each other stays in the router."""
    named(lab["ann"], "bob")
    outside()
    assert attempts(lab["ann"], lab["bob"]) == ["ok"] * 6
    assert outside() == []
