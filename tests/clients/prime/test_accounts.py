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
