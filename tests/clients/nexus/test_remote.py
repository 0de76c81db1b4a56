# SPDX-License-Identifier: Apache-2.0
"""RemoteNexusFS: what its ten methods answer, and which of its exceptions they raise."""

import concurrent.futures
import datetime
import time

import pytest

import conftest
import harness
from nexus.core.exceptions import NexusError

KEYS = ["sandbox_id", "name", "user_id", "agent_id", "tenant_id", "provider", "template_id", "status",
        "created_at", "last_active_at", "paused_at", "stopped_at", "ttl_minutes", "expires_at",
        "uptime_seconds"]


def at(text):
    """A time of the metadata: seconds of UTC, with no word about the zone."""
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)


def test_metadata(nx):
    row = nx.sandbox_create("meta", ttl_minutes=25, provider="docker", template_id="multi-lang",
                            context={"agent_id": "a1", "tenant_id": "t1"})
    assert list(row) == KEYS
    assert (row["name"], row["provider"], row["template_id"]) == ("meta", "docker", "multi-lang")
    assert (row["agent_id"], row["tenant_id"], row["ttl_minutes"]) == ("a1", "t1", 25)
    assert row["paused_at"] is None and row["stopped_at"] is None and row["uptime_seconds"] < 10
    left = at(row["expires_at"]) - at(row["last_active_at"])
    assert left == datetime.timedelta(minutes=25)
    status = nx.sandbox_status(row["sandbox_id"])
    assert list(status) == KEYS
    assert {k: v for k, v in status.items() if k != "uptime_seconds"} == \
        {k: v for k, v in row.items() if k != "uptime_seconds"}
    stopped = nx.sandbox_stop(row["sandbox_id"])
    assert list(stopped) == KEYS and stopped["status"] == "stopped"
    assert stopped["expires_at"] is None and at(stopped["stopped_at"])


def test_who_asks(nx, engine):
    assert (nx.tenant_id, nx.agent_id) == ("default", None)
    nx.agent_id = "from-header"
    made = nx.sandbox_create("of-header")
    assert made["agent_id"] == "from-header"
    assert [row["name"] for row in nx.sandbox_list()["sandboxes"]] == ["of-header"]
    nx.agent_id = None
    with pytest.raises(NexusError, match="401|valid key"):
        conftest.connect("not-a-key-of-this-server").sandbox_list()


def test_every_api_shows_them(nx, engine):
    """Made here, seen there; made there, seen and used here."""
    mine = nx.sandbox_create("from-nexus")["sandbox_id"]
    assert engine.api.get(mine)["name"] == "from-nexus"
    other = engine.api.create("busybox", name="from-caisson")["id"]
    row = {row["sandbox_id"]: row for row in nx.sandbox_list()["sandboxes"]}[other]
    assert list(row) == KEYS and row["provider"] == "caisson" and row["status"] == "active"
    with pytest.raises(NexusError, match="'bash' not found"):
        nx.sandbox_run(other, "bash", "echo no")
    assert nx.sandbox_stop(other)["status"] == "stopped"
    assert engine.api.get(other)["status"] == "TERMINATED"


def test_runs(nx, box):
    result = nx.sandbox_run(box, "python", "import sys\nprint('out')\nprint('err', file=sys.stderr)\n"
                                           "sys.exit(4)")
    assert (result["stdout"], result["stderr"], result["exit_code"]) == ("out\n", "err\n", 4)
    assert nx.sandbox_run(box, "python", "import time; time.sleep(0.3)")["execution_time"] >= 0.3
    assert nx.sandbox_run(box, "python", "print(input())")["exit_code"] == 1  # stdin is at its end
    assert nx.sandbox_run(box, "python", "print('ä€😀')")["stdout"] == "ä€😀\n"
    bash = "cat; read line; echo \"<$line>\" $#; set -e; false; echo never"
    result = nx.sandbox_run(box, "bash", bash)
    assert (result["stdout"], result["exit_code"]) == ("<> 0\n", 1)
    assert nx.sandbox_run(box, "bash", "kill -9 $$")["exit_code"] == 137
    assert nx.sandbox_run(box, "bash", "")["exit_code"] == 0
    with pytest.raises(NexusError, match="-32602.*'ruby' not supported"):
        nx.sandbox_run(box, "ruby", "1")


def test_javascript(nx):
    box = nx.sandbox_create("js", template_id="multi-lang")["sandbox_id"]
    code = "console.log(6 * 7, process.cwd()); process.stdin.on('data', d => console.log('no' + d));"
    assert nx.sandbox_run(box, "javascript", code)["stdout"] == "42 /workspace\n"
    result = nx.sandbox_run(box, "javascript", "throw new Error('boom')")
    assert result["exit_code"] == 1 and "boom" in result["stderr"]


@pytest.mark.parametrize("language", ["python", "bash"])
def test_code_of_megabytes(nx, box, language):
    """No argument could hold it."""
    filler = "# " + "x" * 77 + "\n"
    code = filler * (3 * 1024 * 1024 // len(filler)) + "echo 42\n".replace(
        "echo 42", "print(42)" if language == "python" else "echo 42")
    assert nx.sandbox_run(box, language, code)["stdout"] == "42\n"


def test_output_of_megabytes(nx, box):
    result = nx.sandbox_run(box, "python", "print('x' * (4 << 20))")
    assert len(result["stdout"]) == (4 << 20) + 1 and result["stderr"] == ""
    result = nx.sandbox_run(box, "python", "import sys\nprint('x' * (11 << 20))\nprint('e', file=sys.stderr)")
    assert len(result["stdout"]) == 10 << 20
    assert result["stderr"].startswith("e\n") and "more than 10 MiB" in result["stderr"]


def test_a_timeout_ends_all_processes_of_the_run(nx, box, engine):
    with pytest.raises(NexusError, match=r"\[-32603\]: Code execution exceeded 1 second timeout"):
        nx.sandbox_run(box, "bash", "sleep 100 & sleep 101", timeout=1)
    assert nx.sandbox_run(box, "bash", "pgrep -c sleep || ls /proc | grep -c '^[0-9]*$' >/dev/null; "
                                       "for p in /proc/[0-9]*/comm; do cat $p; done | grep -c sleep")[
        "stdout"].strip().endswith("0")


def test_names_are_unique_while_active(nx):
    first = nx.sandbox_create("one")
    with pytest.raises(NexusError, match=r"\[-32602\]: Active sandbox with name 'one' already exists "
                                         r"for user admin. Use sandbox_get_or_create\(\)"):
        nx.sandbox_create("one")
    assert nx.sandbox_get_or_create("one")["sandbox_id"] == first["sandbox_id"]
    nx.sandbox_stop(first["sandbox_id"])
    assert nx.sandbox_create("one")["sandbox_id"] != first["sandbox_id"]


def test_many_get_one(nx, engine):
    """Whoever comes while it starts waits for the same one."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda _: conftest.connect().sandbox_get_or_create("shared"), range(8)))
    assert len({row["sandbox_id"] for row in rows}) == 1
    assert all(row["status"] == "active" for row in rows)


def test_idle_sandboxes_expire(nx):
    """Each run begins the time anew; without one it is over."""
    box = nx.sandbox_create("idle", ttl_minutes=0.05)["sandbox_id"]
    first = nx.sandbox_status(box)
    for _ in range(4):
        time.sleep(1.2)
        nx.sandbox_run(box, "bash", "true")
    assert nx.sandbox_status(box)["expires_at"] > first["expires_at"]
    harness.wait_until(lambda: nx.sandbox_status(box)["status"] == "stopped", 15, "expiry", every=0.3)
    assert nx.sandbox_status(box)["expires_at"] is None
    with pytest.raises(NexusError, match="not running"):
        nx.sandbox_run(box, "bash", "true")


def test_a_paused_one_does_not_expire(nx, engine):
    box = nx.sandbox_create("kept", ttl_minutes=0.05)["sandbox_id"]
    paused = nx.sandbox_pause(box)
    assert (paused["status"], paused["expires_at"]) == ("paused", None) and at(paused["paused_at"])
    time.sleep(5)
    assert nx.sandbox_list(verify_status=True)["sandboxes"][0]["provider_status"] == "paused"
    resumed = nx.sandbox_resume(box)
    assert (resumed["status"], resumed["paused_at"]) == ("active", None)
    assert nx.sandbox_run(box, "bash", "echo here")["stdout"] == "here\n"


def test_a_run_ends_with_its_sandbox(nx, box):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        run = pool.submit(conftest.connect().sandbox_run, box, "bash", "sleep 60")
        time.sleep(0.5)
        nx.sandbox_stop(box)
        with pytest.raises(NexusError, match="-32603"):
            run.result(10)
