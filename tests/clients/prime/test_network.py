# SPDX-License-Identifier: Apache-2.0
"""What a sandbox may reach: what cannot be enforced is refused, never dropped."""

import prime_sandboxes
import pytest
from conftest import FIRST, PLAIN, wanted

OPEN = "recorded, not in force: network_access"


def test_the_default_is_recorded_and_says_so(api, make):
    sandbox = make(PLAIN)
    seen = api.get(sandbox.id)
    assert seen["networkAccess"] is True and seen["networkAllowlist"] is None
    assert [line for line in seen["notices"] if line.startswith(OPEN)]


def test_nothing_can_be_reached(sdk, api, make):
    closed = {"network_access": False} if FIRST else {"network_allowlist": []}
    sandbox = make(PLAIN, sdk=sdk, **closed)
    if FIRST:
        assert sandbox.network_access is False
    else:
        assert sandbox.network_allowlist == [] and sandbox.network_denylist is None
    seen = api.get(sandbox.id)
    assert seen["networkAccess"] is False and seen["networkAllowlist"] == []
    assert not [line for line in seen["notices"] if line.startswith(OPEN)]


@pytest.mark.newest
@pytest.mark.parametrize("field", ["network_allowlist", "network_denylist"])
def test_single_destinations_are_refused(sdk, field):
    with pytest.raises(prime_sandboxes.APIError, match=f"HTTP 400: '{field}'"):
        sdk.create(wanted(PLAIN, **{field: ["example.com"]}))


@pytest.mark.newest
def test_a_policy_is_changed(sdk, make):
    sandbox = make(PLAIN, sdk=sdk, network_allowlist=[])
    first = sdk.get_network(sandbox.id)
    assert first.applied and first.generation == first.applied_generation == 1
    assert (first.policy.allowlist, first.policy.denylist) == ([], None)
    opened = sdk.set_network(sandbox.id, allow=["*"])
    assert opened.generation > first.generation and (opened.policy.denylist == [])
    assert not opened.applied, "there is no network yet, and it says so"
    closed = sdk.set_network(sandbox.id, deny=["*"])
    assert closed.generation > opened.generation and closed.applied
    assert sdk.get_network(sandbox.id) == closed and sdk.get(sandbox.id).network_allowlist == []
    with pytest.raises(prime_sandboxes.APIError, match="HTTP 400"):
        sdk.set_network(sandbox.id, allow=["example.com"])
    assert sdk.get_network(sandbox.id) == closed, "what was refused has changed nothing"
    sdk.delete(sandbox.id)
    with pytest.raises(prime_sandboxes.APIError, match="HTTP 409"):
        sdk.set_network(sandbox.id, deny=["*"])


@pytest.mark.newest
def test_a_policy_by_the_cli(cli, make):
    sandbox = make(PLAIN)
    print(cli("sandbox", "network", "egress", sandbox.id, "--deny", "*"))
    assert "single destinations" in cli("sandbox", "network", "egress", sandbox.id, "--allow",
                                        "example.com", code=1)
