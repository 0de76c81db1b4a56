# SPDX-License-Identifier: Apache-2.0
"""Several people with keys of their own."""

import os
import time

import prime_sandboxes
import pytest
from conftest import PLAIN, sync_client, wanted


def account(api, **fields):
    """The SDK of a new user, and the user's id."""
    made = api.request("POST", "/api/v1/users", {"name": "u" + os.urandom(4).hex(), **fields}).ok()
    key = api.request("POST", "/api/v1/keys", {"user": made["name"]}).ok()["key"]
    return sync_client(api_key=key), made["id"]


def test_core_hours_that_are_used_up(api):
    client, _ = account(api, max_core_hours=1 / 3600)
    made = client.create(wanted(PLAIN, cpu_cores=2))
    time.sleep(0.8)
    with pytest.raises(prime_sandboxes.PaymentRequiredError):
        client.create(wanted(PLAIN))
    client.delete(made.id)


def test_everybody_has_their_own(api, client):
    one, one_id = account(api)
    other, other_id = account(api)
    mine = one.create(wanted(PLAIN, labels=["x"]))
    assert mine.user_id == one_id
    assert other.list().total == 0 and one.list().total == 1
    for call in (other.get, other.delete, other.get_logs, lambda key: other.execute_command(key, "true")):
        with pytest.raises(prime_sandboxes.APIError, match="HTTP 404"):
            call(mine.id)
    assert other.bulk_delete(labels=["x"]).succeeded == []
    assert [row["sandbox_id"] for row in other.bulk_delete(sandbox_ids=[mine.id]).failed] == [mine.id]
    assert client.list(user_id=one_id).total == 1, "the admin sees all, or those of one"
    key = os.urandom(8).hex()
    first, second = (who.create(wanted(PLAIN, idempotency_key=key)) for who in (one, other))
    assert first.id != second.id, "the same key of another caller is another sandbox"
    other.bulk_delete(user_id=other_id)
    assert sorted(one.bulk_delete(user_id=one_id).succeeded) == sorted([mine.id, first.id])
    assert client.get(second.id).status == "TERMINATED"


def test_a_team_sees_what_is_its(api, monkeypatch):
    """By team_id in the call, and by the one that is configured."""
    (one, one_id), (other, other_id), (stranger, _) = account(api), account(api), account(api)
    team = api.request("POST", "/api/v1/teams", {"name": "t" + os.urandom(4).hex()}).ok()["id"]
    for user in (one_id, other_id):
        api.request("POST", f"/api/v1/teams/{team}/join", {"user": user}).ok()
    own = one.create(wanted(PLAIN))
    shared = one.create(wanted(PLAIN, team_id=team))
    try:
        assert shared.team_id == team and own.team_id is None
        assert [row.id for row in other.list(team_id=team).sandboxes] == [shared.id]
        monkeypatch.setenv("PRIME_TEAM_ID", team)
        other = sync_client(api_key=other.client.api_key)
        assert [row.id for row in other.list().sandboxes] == [shared.id]
        made = other.create(wanted(PLAIN))
        assert made.team_id == team and one.get(made.id).id == made.id
        other.delete(made.id)
        for call in (lambda: stranger.list(team_id=team), lambda: stranger.create(wanted(PLAIN, team_id=team))):
            with pytest.raises(prime_sandboxes.APIError, match="HTTP 40[34]"):
                call()
        with pytest.raises(prime_sandboxes.APIError, match="HTTP 404"):
            other.get(own.id)
    finally:
        for made in (own, shared):
            one.delete(made.id)
