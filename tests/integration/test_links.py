# SPDX-License-Identifier: Apache-2.0
"""The links of sandboxes: their addresses, what is left of them, and restarts."""

import ipaddress
import json
import os
import subprocess

import pytest

import harness
from conftest import run_engine

MANY = min(harness.SCALE, 100)
SMALL = "10.77.0.0/29"  # six addresses


@pytest.fixture
def small_engine():
    yield from run_engine("--network-pool", SMALL, "--network-pool6", "fd77::/64", "--pool", "1",
                          "--network-bandwidth", "80")


@pytest.fixture
def cut_engine():
    yield from run_engine("--network", "no")


def inside_router(engine, *command):
    """What `ip` says in the router's network namespace."""
    out = subprocess.run(["nsenter", f"--net={engine.run}/net", "ip", "-j", *command], check=True,
                         stdout=subprocess.PIPE).stdout
    return json.loads(out or b"[]")


def links(engine):
    return {link["ifname"]: link for link in inside_router(engine, "link")
            if link["ifname"].startswith("s") and link["ifname"][1:].isdigit()}


def routes(engine):
    """The addresses that the router knows a link for, by link."""
    return {route["dev"]: route["dst"] for route in inside_router(engine, "route")
            if route["dev"] != "uplink"}


def address_of(api, key, family="-4"):
    out = api.exec(key, f"busybox ip {family} -o addr show dev eth0").stdout
    return out.split()[3].partition("/")[0] if out.strip() else None


def own_links(api, key):
    """Those inside; templates of tunnels, which some kernels put everywhere, are down."""
    lines = api.exec(key, "busybox ip -o link").stdout.splitlines()
    return {line.split()[1].split("@")[0].rstrip(":") for line in lines if ",UP" in line}


def wait_only_living(engine):
    """Links of ended sandboxes go a moment after them."""
    def only_living():
        seen = links(engine)
        return len(seen) == len(engine.agents()) and set(routes(engine)) == set(seen)
    harness.wait_until(only_living, 20, "as many links as sandboxes")


@pytest.mark.smoke
def test_sandbox_has_an_address_and_one_way_out(engine, api, make):
    key = make()
    address = address_of(api, key)
    assert ipaddress.ip_address(address) in ipaddress.ip_network("100.96.0.0/16")
    assert address_of(api, key, "-6") is None
    assert api.exec(key, "busybox ip route").stdout.startswith("default via 169.254.1.1 dev eth0")
    assert "NOARP" in api.exec(key, "busybox ip link show dev eth0").stdout
    assert address in routes(engine).values()


def test_addresses_differ(engine, api, make):
    keys = [make() for _ in range(3)]
    assert len({address_of(api, key) for key in keys}) == 3


def test_links_mtu_is_that_of_the_way_out(engine, make):
    make()
    (uplink,) = [link for link in inside_router(engine, "link") if link["ifname"] == "uplink"]
    assert {link["mtu"] for link in links(engine).values()} == {uplink["mtu"]}


def test_nothing_is_left_of_many(engine, api):
    harness.wait_until(engine.agents, 10, "a blank")
    host = set(os.listdir("/sys/class/net"))
    for _ in range(MANY // 10):
        keys = [api.create().ok()["id"] for _ in range(10)]
        for key in keys:
            api.delete(key).ok()
    wait_only_living(engine)
    assert len(inside_router(engine, "neigh")) <= 2 * len(links(engine))
    if not harness.SHARED:
        assert set(os.listdir("/sys/class/net")) == host


def test_addresses_are_given_again(small_engine):
    api, seen = small_engine.api, []
    for _ in range(12):
        key = api.create().ok()["id"]
        seen.append((address_of(api, key), address_of(api, key, "-6")))
        api.delete(key).ok()
        wait_only_living(small_engine)
    assert len(set(seen)) == 6, seen
    for four, six in seen:
        last = int(four.rpartition(".")[2])
        assert (four, six) == (f"10.77.0.{last}", f"fd77::{last}") and 1 <= last <= 6


def test_both_ends_limit_what_leaves(small_engine):
    api = small_engine.api
    key = api.create().ok()["id"]
    at = {f"/proc/{small_engine.agent_of(key)}/ns/net": "eth0",
          f"{small_engine.run}/net": next(name for name, address in routes(small_engine).items()
                                          if address == address_of(api, key))}
    for netns, name in at.items():
        out = subprocess.run(["nsenter", f"--net={netns}", "tc", "-j", "qdisc", "show", "dev", name],
                             check=True, stdout=subprocess.PIPE).stdout
        (qdisc,) = json.loads(out)
        assert (qdisc["kind"], qdisc["options"]["rate"]) == ("tbf", 10_000_000), qdisc
    api.delete(key).ok()


def test_more_than_there_are_addresses_is_refused(small_engine):
    api = small_engine.api
    answers = [api.create() for _ in range(7)]
    made = [answer["id"] for answer in answers if answer.status in (200, 201)]
    assert 5 <= len(made) <= 6 and answers[-1].status not in (200, 201), answers
    assert len({address_of(api, key) for key in made}) == len(made)
    for key in made:
        api.delete(key).ok()


def test_killed_caissond_leaves_links_that_the_next_adopts(fresh_engine):
    engine, api = fresh_engine, fresh_engine.api
    key = api.create().ok()["id"]
    address = address_of(api, key)
    router = os.stat(f"{engine.run}/net").st_ino
    engine.kill()
    assert address in routes(engine).values()
    engine.start()
    harness.wait_until(lambda: api.get(key).status == 200, 10, "the sandbox")
    assert os.stat(f"{engine.run}/net").st_ino == router
    assert address_of(api, key) == address
    other = api.create().ok()["id"]
    assert address_of(api, other) != address
    for each in (key, other):
        api.delete(each).ok()
    wait_only_living(engine)


def test_what_the_pool_no_longer_has_is_cut(fresh_engine):
    engine, api = fresh_engine, fresh_engine.api
    key = api.create().ok()["id"]
    address = address_of(api, key)
    engine.kill()
    engine.start("--network-pool", SMALL)
    harness.wait_until(lambda: address not in routes(engine).values(), 10, "the link to go")
    assert api.exec(key, "echo lives").stdout == "lives\n"
    assert address_of(api, key) is None
    api.delete(key).ok()


def test_without_a_network_there_is_loopback_only(cut_engine):
    api = cut_engine.api
    key = api.create().ok()["id"]
    assert own_links(api, key) == {"lo"}
    assert not os.path.exists(f"{cut_engine.run}/net")
    api.delete(key).ok()


def test_switched_off_network_goes(fresh_engine):
    engine, api = fresh_engine, fresh_engine.api
    key = api.create().ok()["id"]
    assert own_links(api, key) == {"lo", "eth0"}
    engine.kill()
    engine.start("--network", "no")
    harness.wait_until(lambda: own_links(api, key) == {"lo"}, 20, "the link to go")
    assert not os.path.exists(f"{engine.run}/net")
    api.delete(key).ok()


def test_two_engines_have_the_same_pool(small_engine):
    made = []
    for other in run_engine("--network-pool", SMALL, alone=False):
        for engine in (small_engine, other):
            made.append((engine.api, engine.api.create().ok()["id"]))
        assert all(address_of(api, key).startswith("10.77.0.") for api, key in made)
        for api, key in made:
            api.delete(key).ok()
