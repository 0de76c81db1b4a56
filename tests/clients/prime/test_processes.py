# SPDX-License-Identifier: Apache-2.0
"""Live processes of the newest generation: input, output, signals, ends."""

import asyncio

import prime_sandboxes
import pytest

pytestmark = pytest.mark.newest


async def read(stream, wanted):
    """Up to the wanted bytes."""
    seen = b""
    async for piece in stream:
        seen += piece
        if wanted in seen:
            break
    return seen


def with_client(test):
    async def run():
        async with prime_sandboxes.AsyncSandboxClient() as client:
            await test(client)
    asyncio.run(run())


def test_input_and_output(box):
    async def test(client):
        process = await client.open_process(box, "while read line; do echo got $line; echo e$line >&2; "
                                                 "[ $line != end ] || exit 7; done", env={"A": "1"})
        assert process.returncode is None
        seen = await client.execute_command(box, f"tr '\\0' ' ' < /proc/{process.pid}/cmdline")
        assert "got" in seen.stdout, "the pid is the one inside"
        await process.write_stdin(b"one\n")
        assert await read(process.stdout, b"got one\n") == b"got one\n"
        assert await read(process.stderr, b"eone\n") == b"eone\n"
        await process.write_stdin(b"end\n")
        assert await process.wait() == 7 and process.returncode == 7
        await process.aclose()
    with_client(test)


def test_signals(box):
    async def test(client):
        process = await client.open_process(box, "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.1; done")
        await read(process.stdout, b"up\n")
        await process.terminate()
        assert await process.wait() == 9
        killed = await client.open_process(box, "trap '' TERM; echo up; while :; do sleep 0.1; done")
        await read(killed.stdout, b"up\n")
        await killed.kill()
        assert await killed.wait() != 0
    with_client(test)


def test_closing_ends_it(box):
    async def test(client):
        process = await client.open_process(box, "exec sleep 4321")
        await process.aclose()
        seen = await client.execute_command(box, f"test -e /proc/{process.pid}")
        assert seen.exit_code == 1
    with_client(test)


def test_the_sandbox_ends_under_it(make, client):
    made = make()
    client.wait_for_creation(made.id)

    async def test(async_client):
        process = await async_client.open_process(made.id, "sleep 4322")
        await async_client.delete(made.id)
        with pytest.raises(prime_sandboxes.APIError, match="not_found"):  # it types none of these
            await process.wait()
    with_client(test)
