# SPDX-License-Identifier: Apache-2.0
"""Two hundred at once by the async SDK, as the documents show it, and nothing left."""

import asyncio

import prime_sandboxes
from conftest import PLAIN, wanted
from harness import SCALE


async def use(client, sandbox_id, number):
    done = await client.execute_command(sandbox_id, f"echo {number} > /workspace/n; cat /workspace/n")
    assert (done.stdout, done.exit_code) == (f"{number}\n", 0)


async def fleet(count):
    async with prime_sandboxes.AsyncSandboxClient() as client:
        made = await asyncio.gather(*[
            client.create(wanted(PLAIN, name=f"fleet-{n}", cpu_cores=0.1, memory_gb=0.05, labels=["fleet"]))
            for n in range(count)])
        ids = [sandbox.id for sandbox in made]
        assert len(set(ids)) == count
        waited = await asyncio.gather(*[client.bulk_wait_for_creation(ids[at:at + 100])
                                        for at in range(0, count, 100)])  # the newest takes no more
        assert {key: status for part in waited for key, status in part.items()} == \
            dict.fromkeys(ids, "RUNNING")
        await asyncio.gather(*[use(client, key, n) for n, key in enumerate(ids)])
        half = count // 2
        await asyncio.gather(*[client.delete(key) for key in ids[:half]])
        gone = await client.bulk_delete(labels=["fleet"])
        assert sorted(gone.succeeded) == sorted(ids[half:]) and not gone.failed
        assert (await client.list(labels=["fleet"], exclude_terminated=True)).total == 0


def test_two_hundred(engine):
    asyncio.run(fleet(SCALE))
    assert engine.api.list() == []
