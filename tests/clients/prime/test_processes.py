# SPDX-License-Identifier: Apache-2.0
"""Live processes of the newest generation, and commands whose sandbox ends under them."""

import asyncio
import threading
import time

import prime_sandboxes
import pytest
from conftest import PLAIN


@pytest.fixture(params=["bash", "sh only"])
def box(request, client, make):
    sandbox = make() if request.param == "bash" else make(PLAIN)
    client.wait_for_creation(sandbox.id)
    return sandbox.id


@pytest.fixture
def one(client, make):
    sandbox = make()
    client.wait_for_creation(sandbox.id)
    return sandbox.id


@pytest.mark.newest
def test_a_live_process(engine, box):
    async def run():
        client = prime_sandboxes.AsyncSandboxClient()
        process = await client.open_process(
            box, "trap 'echo bye; exit 7' TERM; while read -r line; do echo \"got $line\"; done",
            env={"A": "1"}, working_dir="/tmp")
        seen = await client.execute_command(box, f"tr '\\0' ' ' < /proc/{process.pid}/cmdline")
        assert "while read" in seen.stdout  # the pid is the one inside
        await process.write_stdin(b"one\n")
        assert await anext(aiter(process.stdout)) == b"got one\n"
        await process.terminate()
        code = await asyncio.wait_for(process.wait(), 10)
        await process.aclose()
        killed = await client.open_process(box, "sleep 300")
        await killed.kill()
        assert await asyncio.wait_for(killed.wait(), 10) == 137
        await killed.aclose()
        await client.aclose()
        return code

    assert asyncio.run(run()) in (7, 143)


@pytest.mark.newest
def test_a_live_process_survives_its_stream(engine, one):
    """The stream breaks under the client; it attaches again and hears of the end."""
    async def run():
        client = prime_sandboxes.AsyncSandboxClient()
        process = await client.open_process(one, "read x; echo then $x; exit 5")
        await process._aclose_stream()
        await process.write_stdin(b"yes\n")
        code = await asyncio.wait_for(process.wait(), 30)
        await process.aclose()
        await client.aclose()
        return code

    assert asyncio.run(run()) == 5


def fails_meanwhile(sdk, key, command, cause):
    """The exception of a command that runs when cause happens."""
    seen = []

    def run():
        time.sleep(1)
        cause()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        sdk.execute_command(key, command)
    except Exception as error:  # any: it is what is asked for
        seen.append(error)
    thread.join()
    assert seen, "the command ended well"
    return seen[0]


def test_deleted_while_a_command_runs(sdk, api, one):
    error = fails_meanwhile(sdk, one, "sleep 60", lambda: api.delete(one).ok())
    assert isinstance(error, prime_sandboxes.SandboxNotRunningError), repr(error)


def test_out_of_memory_while_a_command_runs(sdk, one):
    hog = "python3 -c 'import time; time.sleep(1); x = [bytearray(1 << 20) for _ in range(2000)]; time.sleep(60)'"
    error = fails_meanwhile(sdk, one, hog, lambda: None)
    assert isinstance(error, prime_sandboxes.SandboxOOMError), repr(error)
