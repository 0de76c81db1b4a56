# SPDX-License-Identifier: Apache-2.0
"""Commands: /exec for the first generation, Connect RPC for the newest, the same for who calls."""

import threading
import time

import prime_sandboxes
import pytest
from conftest import FIRST, PLAIN, PYTHON
from harness import wait_until


def test_output_and_exit_code(sdk, box):
    done = sdk.execute_command(box, "echo out; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.exit_code) == ("out\n", "err\n", 3)
    assert sdk.execute_command(box, "python -c 'print(42)'").stdout.strip() == "42"
    assert sdk.execute_command(box, "true").exit_code == 0


@pytest.mark.parametrize("code", [0, 1, 2, 63, 64, 127, 128, 255])
def test_every_exit_code(client, box, code):
    """Zigzag in the protobuf: a mistake gives -2 for 3."""
    assert client.execute_command(box, f"exit {code}").exit_code == code


def test_a_killed_command(client, box):
    done = client.execute_command(box, "kill -KILL $$")
    assert done.exit_code not in (0, None)
    assert client.execute_command(box, "echo lives").stdout == "lives\n"


def test_directory_environment_and_user(sdk, box):
    assert sdk.execute_command(box, "pwd", working_dir="/usr/lib").stdout == "/usr/lib\n"
    assert sdk.execute_command(box, "echo \"$A\"", env={"A": "a b'c\"\n"}).stdout == "a b'c\"\n\n"
    done = sdk.execute_command(box, "id -un; id -gn; echo $HOME", user="nobody")
    assert done.stdout.split() == ["nobody", "nogroup", "/nonexistent"]
    missing = prime_sandboxes.APIError
    with pytest.raises(missing):
        sdk.execute_command(box, "true", user="no-such-user")


def test_the_directory_of_the_documents(client, box):
    """/workspace is there without anybody having made it."""
    assert client.execute_command(box, "echo x > /workspace/x && cat /workspace/x").stdout == "x\n"


def test_bytes_that_are_no_text(client, box):
    assert client.execute_command(box, r"printf 'a\377b'").stdout == "a\ufffdb"
    assert client.execute_command(box, "echo \u00e4\u6f22").stdout == "\u00e4\u6f22\n"


def test_much_output(client, box):
    done = client.execute_command(box, "head -c 3000000 /dev/zero | tr '\\0' a; echo end >&2")
    assert len(done.stdout) == 3000000 and done.stderr == "end\n"


def test_what_a_command_leaves_behind_lives_on(sdk, box):
    """It is over with its main process, and nobody waits for or kills the rest."""
    begun = time.monotonic()
    done = sdk.execute_command(box, "nohup sleep 321 > /dev/null 2>&1 & echo $!")
    assert time.monotonic() - begun < 10
    pid = done.stdout.strip()
    assert sdk.execute_command(box, f"kill -0 {pid} && kill {pid}").exit_code == 0


def test_leftovers_that_keep_the_output_open(sdk, box):
    begun = time.monotonic()
    done = sdk.execute_command(box, "sleep 322 & echo $!")
    assert time.monotonic() - begun < 15 and done.exit_code == 0
    assert sdk.execute_command(box, f"kill {done.stdout.strip()}").exit_code == 0


def test_a_timeout(sdk, box):
    begun = time.monotonic()
    with pytest.raises(prime_sandboxes.CommandTimeoutError):
        sdk.execute_command(box, "echo begun; sleep 654", timeout=2)
    assert time.monotonic() - begun < 10
    wait_until(lambda: sdk.execute_command(box, "grep -lxz 654 /proc/[0-9]*/cmdline").exit_code != 0, 5,
               "the end of the command")


def test_a_command_longer_than_a_minute_may_run(client, box):
    """Documents promise 15 minutes; that nothing between gives up is seen after some seconds."""
    assert client.execute_command(box, "sleep 12; echo awake", timeout=900).stdout == "awake\n"


def test_an_image_without_bash(sdk, make):
    """/bin/bash is what the newest generation always asks for."""
    sandbox = make(PLAIN, sdk=sdk)
    sdk.wait_for_creation(sandbox.id)
    done = sdk.execute_command(sandbox.id, "echo $((6 * 7)); exit 5")
    assert (done.stdout, done.exit_code) == ("42\n", 5)


def test_environment_and_secrets_inside(sdk, make):
    sandbox = make(PYTHON, sdk=sdk, environment_vars={"LEVEL": "debug"}, secrets={"TOKEN": "hush"})
    sdk.wait_for_creation(sandbox.id)
    assert sdk.execute_command(sandbox.id, "echo $LEVEL $TOKEN").stdout == "debug hush\n"


def test_many_at_once(client, box):
    seen = {}

    def run(number):
        seen[number] = client.execute_command(box, f"sleep 0.5; echo {number}").stdout

    threads = [threading.Thread(target=run, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {number: f"{number}\n" for number in range(12)}


@pytest.mark.newest
def test_a_wrong_token_is_renewed(client, box):
    """What the client keeps on its disk may be over: it asks for another and goes on."""
    token = dict(client._auth_cache.get_or_refresh(box), token="cxs_0_x_y")
    client._auth_cache.set(box, token)
    assert client.execute_command(box, "echo again").stdout == "again\n"
    client.clear_auth_cache()
    assert client.execute_command(box, "echo anew").stdout == "anew\n"


def test_the_wait_ends_when_a_command_has_run(sdk, make):
    sandbox = make(sdk=sdk)
    sdk.wait_for_creation(sandbox.id, stability_checks=2)
    assert sdk.get(sandbox.id).status == "RUNNING"
    more = [make(sdk=sdk).id for _ in range(3)]
    assert set(sdk.bulk_wait_for_creation(more).values()) == {"RUNNING"}
    assert FIRST or sdk.execute_command(more[0], "true").exit_code == 0
