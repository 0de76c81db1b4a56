# SPDX-License-Identifier: Apache-2.0
"""The resolver in a whole engine: how it runs, what sandboxes get from it, and its restarts."""

import os
import signal
import sys

import pytest

import harness
from conftest import run_engine

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "resolver"))

import dns  # noqa: E402
import rig  # noqa: E402

PUBLIC, SERVICE = "198.41.0.4", "192.0.2.9"


def say(asked, tcp):
    if asked.type == dns.A and asked.name == "example.com":
        return dns.answer(asked, [dns.a(asked.name, PUBLIC)])
    return dns.answer(asked, rcode=dns.NXDOMAIN, authority=[dns.soa("com")])


@pytest.fixture(scope="module")
def engine():
    upstream = rig.Upstream(say)
    try:
        yield from run_engine("--dns-upstream", f"127.0.0.1:{upstream.port}",
                              "--service", f"mirror={SERVICE}:80")
    finally:
        upstream.close()


def look_up(api, key, name):
    return api.exec(key, f"busybox nslookup -type=a {name}")


def test_it_has_nothing(engine):
    pid = engine.child("caisson-resolve")
    status = harness.status_of(pid)
    _, base, size = map(int, harness.read(f"/proc/{pid}/uid_map").split())
    same = {name for name in ("user", "mnt", "pid", "net", "ipc", "uts")
            if os.readlink(f"/proc/{pid}/ns/{name}") == os.readlink(f"/proc/{engine.pid}/ns/{name}")}
    limits = {line[:26].strip(): line[26:].split()[:2] for line in
              harness.read(f"/proc/{pid}/limits").splitlines()[1:]}
    assert {int(word) for word in status["Uid"].split()} == {base} and base >= size == 65536
    assert not any(int(status["Cap" + name], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb"))
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
    assert same == {"net"} and os.listdir(f"/proc/{pid}/root") == []
    assert limits["Max processes"] == ["0", "0"] and limits["Max core file size"] == ["0", "0"]
    for name in ("Max address space", "Max open files"):
        assert "unlimited" not in limits[name], (name, limits[name])


def test_sandboxes_resolve_what_they_may(api, make):
    key, cut = make(network_access=True), make(network_access=False)
    assert "nameserver 169.254.1.1" in api.exec(key, "cat /etc/resolv.conf").stdout
    assert PUBLIC in look_up(api, key, "example.com").stdout
    assert "NXDOMAIN" in look_up(api, key, "nowhere.com").stdout
    assert "REFUSED" in look_up(api, cut, "example.com").stdout
    for one in (key, cut):
        assert SERVICE in look_up(api, one, "mirror").stdout


def test_a_killed_resolver_is_replaced(engine, api, make):
    key = make(network_access=True)
    pid = engine.child("caisson-resolve")
    os.kill(pid, signal.SIGKILL)
    assert PUBLIC in look_up(api, key, "example.com").stdout
    assert engine.child("caisson-resolve") != pid


def test_a_killed_gateway_leaves_names(engine, api, make):
    key = make(network_access=True)
    gateway = engine.gateway
    os.kill(gateway, signal.SIGKILL)
    harness.wait_until(lambda: not harness.alive(gateway) and api.healthy(), 20, "the next gateway")
    assert PUBLIC in look_up(api, key, "example.com").stdout
