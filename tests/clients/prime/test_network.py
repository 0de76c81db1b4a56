# SPDX-License-Identifier: Apache-2.0
"""What a sandbox may reach, as the clients say it."""

import prime_sandboxes
import pytest
from conftest import FIRST, PLAIN

REFUSED = 'nslookup example.com 2>&1; wget -q -T 5 -O /dev/null http://192.0.2.1/ 2>&1; echo "status $?"'


def test_the_default_is_open(api, make):
    sandbox = make(PLAIN)
    seen = api.get(sandbox.id)
    assert seen["networkAccess"] is True and seen["networkAllowlist"] is None
    assert not [line for line in seen["notices"] if "network" in line]


def test_nothing_can_be_reached(sdk, api, make):
    closed = {"network_access": False} if FIRST else {"network_allowlist": []}
    sandbox = make(PLAIN, sdk=sdk, **closed)
    if FIRST:
        assert sandbox.network_access is False
    else:
        assert sandbox.network_allowlist == [] and sandbox.network_denylist is None
    seen = api.get(sandbox.id)
    assert seen["networkAccess"] is False and seen["networkAllowlist"] == []
    assert "status 1" in sdk.execute_command(sandbox.id, REFUSED).stdout


@pytest.mark.newest
def test_lists_at_creation(sdk, make):
    listed = ["Example.COM", "*.example.org:443", "192.0.2.7/24", "198.51.100.1:8000-8010"]
    plain = ["example.com", "*.example.org:443", "192.0.2.0/24", "198.51.100.1:8000-8010"]
    sandbox = make(PLAIN, sdk=sdk, network_allowlist=listed)
    assert sdk.get(sandbox.id).network_allowlist == plain
    status = sdk.get_network(sandbox.id)
    assert status.applied and status.generation == 1 and status.policy.allowlist == plain
    sandbox = make(PLAIN, sdk=sdk, network_denylist=listed[2:])
    assert sdk.get_network(sandbox.id).policy.denylist == plain[2:]


@pytest.mark.newest
def test_a_policy_is_changed(sdk, make):
    sandbox = make(PLAIN, sdk=sdk, network_allowlist=[])
    first = sdk.get_network(sandbox.id)
    assert first.applied and first.generation == first.applied_generation == 1
    assert (first.policy.allowlist, first.policy.denylist) == ([], None)
    opened = sdk.set_network(sandbox.id, allow=["*"])
    assert opened.generation > first.generation and opened.policy.denylist == [] and opened.applied
    listed = sdk.set_network(sandbox.id, allow=["example.com", "192.0.2.1:443"])
    assert listed.applied and listed.policy.allowlist == ["example.com", "192.0.2.1:443"]
    denied = sdk.set_network(sandbox.id, deny=["192.0.2.0/24"])
    assert denied.applied and denied.policy.denylist == ["192.0.2.0/24"] and denied.policy.allowlist is None
    closed = sdk.set_network(sandbox.id, deny=["*"])
    assert closed.generation > denied.generation and closed.applied
    assert sdk.get_network(sandbox.id) == closed and sdk.get(sandbox.id).network_allowlist == []
    with pytest.raises(prime_sandboxes.APIError, match="HTTP 400.*every port"):
        sdk.set_network(sandbox.id, deny=["example.com:443"])
    assert sdk.get_network(sandbox.id) == closed, "what was refused has changed nothing"
    sdk.delete(sandbox.id)
    with pytest.raises(prime_sandboxes.APIError, match="HTTP 409"):
        sdk.set_network(sandbox.id, deny=["*"])


@pytest.mark.newest
def test_a_policy_by_the_cli(cli, sdk, make):
    sandbox = make(PLAIN)
    print(cli("sandbox", "network", "egress", sandbox.id, "--deny", "*"))
    assert sdk.get_network(sandbox.id).policy.allowlist == []
    print(cli("sandbox", "network", "egress", sandbox.id, "--allow", "example.com,192.0.2.1:8080"))
    assert sdk.get_network(sandbox.id).policy.allowlist == ["example.com", "192.0.2.1:8080"]
