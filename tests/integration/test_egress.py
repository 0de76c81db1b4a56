# SPDX-License-Identifier: Apache-2.0
"""What a sandbox may reach, as the API and the command line say it; the packets are tests/network's."""

import json
import os
import re
import signal

import pytest

import harness
from conftest import run_engine

DEAD = "192.0.2.1"  # nobody has it
TRY = f"busybox nc -w 3 {DEAD} 81 </dev/null"
SERVE = "busybox httpd -p 8000 -h /etc"


def policy(api, key, body=None):
    path = f"/api/v1/sandbox/{key}/egress"
    return (api.request("GET", path) if body is None else api.request("PUT", path, body)).ok()


def denials(api, key, query=""):
    return api.request("GET", f"/api/v1/sandbox/{key}/egress/log{query}").ok()["denials"]


def name_answer(api, key, name):
    return api.exec(key, f"busybox nslookup {name} 2>&1; true").stdout


@pytest.mark.smoke
def test_a_policy_is_told_and_changed(api, make):
    key = make(network_allowlist=["Example.com", "192.0.2.9/24:80"])
    seen = policy(api, key)
    assert seen == {"mode": "allow", "allowlist": ["example.com", "192.0.2.0/24:80"], "denylist": None,
                           "network": None, "generation": 1, "appliedGeneration": 1, "applied": True}
    assert api.get(key).ok()["networkAllowlist"] == ["example.com", "192.0.2.0/24:80"]
    for body, mode in (({"denylist": []}, "all"), ({"allowlist": []}, "none"), ({"denylist": ["a.b"]}, "deny")):
        changed = policy(api, key, body)
        assert changed["mode"] == mode and changed["applied"]
    assert changed["generation"] == 4
    for bad in ({}, {"allowlist": [], "denylist": []}, {"allowlist": ["*"]}, {"allowlist": ["a.b:1-65"]},
                {"denylist": ["a.b:80"]}, {"allowlist": ["10.0.0.1"] * 1025}, {"network": "a b"}):
        assert api.request("PUT", f"/api/v1/sandbox/{key}/egress", bad).status == 400, bad
    assert policy(api, key) == changed
    api.delete(key).ok()
    assert api.request("PUT", f"/api/v1/sandbox/{key}/egress", {"denylist": []}).status == 409
    assert policy(api, key)["denylist"] == ["a.b"]


def test_the_longest_lists_are_taken(api, make):
    listed = [f"10.{n // 250}.{n % 250}.0/24:{n + 1}" for n in range(1024)]
    key = make(network_denylist=listed)
    assert policy(api, key)["denylist"] == listed
    names = [f"host-{n}.example.com:1-64" for n in range(1024)]
    assert policy(api, key, {"allowlist": names})["applied"]


def test_what_is_refused_is_logged(engine, api, make):
    key = make(network_access=False)
    api.exec(key, TRY)
    name_answer(api, key, "refused.example.com")
    seen = harness.wait_until(lambda: {line["address"] or line["name"]: line for line in denials(api, key)}
                              if len(denials(api, key)) >= 2 else None, 10, "the log of both")
    assert seen[DEAD]["protocol"] == "tcp" and seen[DEAD]["port"] == 81 and seen[DEAD]["count"] >= 1
    assert seen[DEAD]["why"] == "its network access is off" and seen[DEAD]["rule"] is None
    assert seen["refused.example.com"]["protocol"] is None
    first = denials(api, key, "?limit=1000")[0]["seq"]
    assert all(line["seq"] > first for line in denials(api, key, f"?after={first}"))
    shown = engine.cli("egress", "log", key)
    assert shown.returncode == 0 and DEAD in shown.stdout
    policy(api, key, {"denylist": ["192.0.2.0/24"]})
    api.exec(key, TRY)
    rules = harness.wait_until(lambda: [line["rule"] for line in denials(api, key) if line["rule"]], 10, "the rule")
    assert set(rules) == {"192.0.2.0/24"}
    api.delete(key).ok()
    assert denials(api, key), "the log stays with the record"


def test_the_command_line(engine, api, make):
    made = engine.cli("create", "busybox", "--network-allow", "a.b:8080", "--network-allow", "192.0.2.1",
                      "--network", "lab", "--cpus", "0.1", "--memory", "64M")
    key = made.stdout.strip()
    assert made.returncode == 0, made.stderr
    shown = json.loads(engine.cli("egress", "show", key, "--json").stdout)
    assert (shown["mode"], shown["allowlist"], shown["network"]) == ("allow", ["a.b:8080", "192.0.2.1"], "lab")
    assert engine.cli("egress", "set", key, "--network", "").returncode == 0
    assert policy(api, key)["network"] is None and policy(api, key)["mode"] == "allow"
    assert engine.cli("egress", "set", key, "--no-network").returncode == 0
    assert policy(api, key)["mode"] == "none"
    assert engine.cli("egress", "set", key, "--network-deny", "192.0.2.0/24").returncode == 0
    assert policy(api, key)["denylist"] == ["192.0.2.0/24"]
    assert engine.cli("egress", "set", key).returncode == 3
    assert engine.cli("egress", "set", key, "--no-network", "--network-deny", "a.b").returncode == 3
    api.delete(key).ok()


def reaches(api, key, name):
    """busybox, which is static, finds no name by itself."""
    found = re.search(r"Name:\s+\S+\nAddress: (\S+)", name_answer(api, key, name))
    if found is None:
        return False
    ask = f"printf 'GET /hostname HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 5 {found[1]} 8000"
    return "200 OK" in api.exec(key, ask).stdout


def test_linked_sandboxes_reach_each_other_by_name(engine, api, make):
    first = make(name="web", network="lab", network_access=False)
    second = make(name="client", network="lab", network_access=False)
    other = make(name="stranger", network="other")
    alone = make(name="alone")
    for key in (first, other, alone):
        assert api.exec(key, SERVE).code == 0
    assert reaches(api, second, "web") and reaches(api, second, first)
    assert not reaches(api, second, "stranger") and not reaches(api, alone, "web")
    assert api.request("POST", "/api/v1/sandbox", {"docker_image": "busybox", "name": "WEB", "network": "lab"}).status == 409
    os.kill(engine.gateway, signal.SIGKILL)
    harness.wait_until(api.healthy, 20, "the next gateway")
    harness.wait_until(lambda: reaches(api, second, "web"), 10, "the name after a new gateway")
    policy(api, first, {"network": ""})
    assert not reaches(api, second, "web")
    policy(api, first, {"network": "lab"})
    assert reaches(api, second, "web")
    api.delete(first).ok()
    assert not reaches(api, second, "web")


def test_policies_survive_the_gateway(engine, api, make):
    key = make(network_denylist=["192.0.2.0/24"])
    policy(api, key, {"allowlist": ["a.b"]})
    os.kill(engine.gateway, signal.SIGKILL)
    harness.wait_until(api.healthy, 20, "the next gateway")
    assert policy(api, key)["allowlist"] == ["a.b"] and policy(api, key)["generation"] == 2
    harness.wait_until(lambda: api.request("PUT", f"/api/v1/sandbox/{key}/egress", {"denylist": []}).status == 200,
                       10, "a change")


@pytest.fixture
def cut_engine():
    yield from run_engine("--network", "no")


def test_without_a_network_nothing_is_promised(cut_engine):
    api = cut_engine.api
    made = api.create().ok()
    assert [line for line in made["notices"] if line.startswith("recorded, not in force: network_access")]
    assert not policy(api, made["id"])["applied"]
    assert policy(api, made["id"], {"allowlist": []})["applied"]
    for fields in ({"network_allowlist": ["a.b"]}, {"network_denylist": ["192.0.2.1"]}, {"network": "lab"}):
        assert "without a network" in api.create(**fields).detail
    answer = api.request("PUT", f"/api/v1/sandbox/{made['id']}/egress", {"allowlist": ["a.b"]})
    assert answer.status == 400 and policy(api, made["id"])["mode"] == "none"
    api.delete(made["id"]).ok()
