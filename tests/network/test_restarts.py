# SPDX-License-Identifier: Apache-2.0
"""kill -9 of gateway and caissond: every policy stays in force, and what was open stays open."""

import contextlib
import http.client
import os
import signal
import threading

import pytest

import conftest
import harness
import world as worlds
from test_policies import REFUSED

ONE4, TWO4 = worlds.NET4[:2]
ONE6 = worlds.NET6[0]
SECONDS = 10


@pytest.fixture
def engine(fresh_engine, world):
    world.names.set("www.site.test", f"A {TWO4}", ttl=300)
    return fresh_engine


@pytest.fixture
def boxes(engine, make):
    """One sandbox of each kind of policy, each with a connection where it may have one."""
    found = {"none": make(network_access=False), "all": make(),
             "allow": make(network_allowlist=[ONE4, "www.site.test"]),
             "deny": make(network_denylist=[TWO4])}
    for name, box in found.items():
        if name != "none":
            assert box.force("open_tcp", name, ONE4, 7001) == "ok"
    yield found
    for name, box in found.items():
        if name != "none":
            box.force("close", name)


PASSING = {"none": [False, False, False], "all": [True, True, True], "allow": [True, False, False],
           "deny": [True, False, True]}


def check(boxes):
    """All policies are in force, in both directions."""
    for name, box in boxes.items():
        outcomes = [box.force("tcp", ONE4, 80), box.force("tcp", TWO4, 443), box.force("tcp", ONE6, 80)]
        assert [outcome == "ok" for outcome in outcomes] == PASSING[name], (name, outcomes)
        assert box.force("tcp", worlds.META4, 80) in REFUSED, name
        assert box.force("tcp", worlds.HOST4, 9000) in REFUSED, name
        if name != "none":
            assert box.force("say", name) == "ok", name


def again(engine):
    harness.wait_until(engine.api.healthy, SECONDS, "an answer")


def named(box):
    answer = box.force("dns", "www.site.test")
    return isinstance(answer, dict) and [record[1] for record in answer["answers"]] == [TWO4]


def test_gateway_killed(engine, boxes):
    for _ in range(2):
        old = engine.gateway
        os.kill(old, signal.SIGKILL)
        check(boxes)
        harness.wait_until(lambda: engine.api.healthy() and engine.gateway != old, SECONDS, "a gateway")
        check(boxes)
    harness.wait_until(lambda: named(boxes["allow"]), SECONDS, "names")
    assert boxes["allow"].force("tcp", TWO4, 443) == "ok"
    assert boxes["none"].force("dns", "www.site.test")["rcode"] == "REFUSED"
    boxes["allow"].policy(deny=[ONE4])
    assert boxes["allow"].force("tcp", ONE4, 80) in REFUSED


def test_caissond_killed(engine, boxes):
    before = {name: box.policy_is() for name, box in boxes.items()}
    engine.kill()
    check(boxes)
    assert boxes["none"].force("dns", "www.site.test") != "timeout"
    engine.start()
    check(boxes)
    assert {name: box.policy_is() for name, box in boxes.items()} == before
    harness.wait_until(lambda: named(boxes["allow"]), SECONDS, "names")
    assert boxes["allow"].force("tcp", TWO4, 443) == "ok"
    boxes["all"].policy(allow=[])
    assert boxes["all"].force("tcp", ONE4, 80) in REFUSED
    assert boxes["all"].force("say", "all") != "ok"
    boxes["none"].policy(deny=[])
    assert boxes["none"].force("tcp", ONE4, 80) == "ok"


def test_resolver_killed(engine, boxes):
    old = engine.child("caisson-resolver")
    os.kill(old, signal.SIGKILL)
    check(boxes)
    harness.wait_until(lambda: named(boxes["allow"]), SECONDS, "names")
    assert engine.child("caisson-resolver") != old
    assert boxes["allow"].force("tcp", TWO4, 443) == "ok"
    assert boxes["none"].force("dns", "www.site.test")["rcode"] == "REFUSED"


def test_change_during_a_restart(engine, make):
    """Policies change all the time while caissond dies: afterwards the one that is told is in force."""
    box = make(network_allowlist=[ONE4])
    assert box.force("open_tcp", "kept", ONE4, 7001) == "ok"
    stop = threading.Event()

    def change():
        client = harness.Api(engine.socket, SECONDS)
        while not stop.is_set():
            for extra in ([], [TWO4]):
                with contextlib.suppress(OSError, http.client.HTTPException):
                    client.request("PUT", f"/api/v1/sandbox/{box.key}/egress-policy",
                                   {"allowlist": [ONE4, *extra], "denylist": None})

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(3):
            engine.kill()
            assert box.force("say", "kept") == "ok"
            engine.start()
            again(engine)
    finally:
        stop.set()
        changer.join()
    # The answer of the last change may have been lost, its decision is not.
    told = box.policy_is()
    assert told["policy"]["allowlist"][0] == ONE4
    allowed = TWO4 in told["policy"]["allowlist"]
    harness.wait_until(lambda: box.policy_is()["applied"], SECONDS, "the policy that is told")
    assert (box.force("tcp", TWO4, 80) == "ok") == allowed
    assert box.force("say", "kept") == "ok"
    box.force("close", "kept")


def test_two_engines(engine, world, make):
    """On one host, with the same pool of addresses: each has its own, and its end is not the other's."""
    one = make()
    for other in conftest.run_engine(world, conftest.busybox):
        maker = conftest.Maker(other)
        two = maker()
        assert one.force("tcp", ONE4, 80) == two.force("tcp", ONE4, 80) == "ok"
        assert two.force("serve", 7001) == "ok"
        assert one.force("tcp", two.address(), 7001) != "ok"
        maker.end()
    assert one.force("tcp", ONE4, 80) == "ok"
