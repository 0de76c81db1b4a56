# SPDX-License-Identifier: Apache-2.0
"""The workflows of Nexus' document, as it writes them: `nexus sandbox ...`."""

import os

import harness


def test_one_off_execution(cli, cli_json):
    made = cli_json("create", "temp")
    assert made["status"] == "active" and made["ttl_minutes"] == 10 and made["user_id"] == "admin"
    printed = cli("run", made["sandbox_id"], "-c", "print('Hello')")
    assert "=== STDOUT ===\nHello\n" in printed and "Execution completed in" in printed
    stopped = cli("stop", made["sandbox_id"])
    assert "Status: stopped" in stopped and "Stopped at: 20" in stopped


def test_reuse_for_several_tasks(cli, cli_json, tmp_path):
    """Files stay from one run to the next, code comes from text, file and stdin, the TTL begins anew."""
    key = cli_json("create", "batch-processor", "--ttl", "30")["sandbox_id"]
    before = cli_json("status", key)
    script = tmp_path / "task.py"
    script.write_text("import os\nopen('report.txt', 'w').write('done in ' + os.getcwd())\n")
    assert cli_json("run", key, "-f", str(script))["exit_code"] == 0
    assert cli_json("run", key, "-c", "-", stdin="print(open('report.txt').read())")["stdout"] == \
        "done in /workspace\n"
    assert "done in" in cli("run", key, "-l", "bash", "-c", "cat report.txt")
    after = cli_json("status", key)
    assert after["expires_at"] > before["expires_at"]
    assert after["last_active_at"] > before["last_active_at"]
    assert after["created_at"] == before["created_at"]
    assert set(cli_json("run", key, "-c", "1")) == {"stdout", "stderr", "exit_code", "execution_time"}


def test_several_languages(cli, cli_json):
    key = cli_json("create", "multi-lang", "--template", "multi-lang")["sandbox_id"]
    cli("run", key, "-l", "python", "-c", """
import json
data = {'count': 42}
with open('data.json', 'w') as f:
    json.dump(data, f)
""")
    assert "Count: 42" in cli("run", key, "-l", "javascript", "-c", """
const fs = require('fs');
const data = JSON.parse(fs.readFileSync('data.json'));
(async () => { console.log('Count:', await data.count); })();
""")
    printed = cli("run", key, "-l", "bash", "-c", "\ncat data.json\nls -lh\ndf -h\n")
    assert '{"count": 42}' in printed and "data.json" in printed and "Filesystem" in printed


def test_timeouts(cli, cli_json):
    key = cli_json("create", "slow")["sandbox_id"]
    printed = cli("run", key, "-c", "\nimport time\ntime.sleep(100)\n", "--timeout", "2", code=1)
    assert "Code execution exceeded 2 second timeout" in printed
    assert "42" in cli("run", key, "-c", "print(42)")


def test_code_that_fails(cli, cli_json):
    key = cli_json("create", "wrong")["sandbox_id"]
    result = cli_json("run", key, "-c", "print(1/0)")
    assert result["exit_code"] == 1 and "ZeroDivisionError" in result["stderr"]
    assert "failed with exit code 3" in cli("run", key, "-l", "bash", "-c", "exit 3", code=3)


def test_what_goes_wrong_is_told(cli, cli_json, engine):
    key = cli_json("create", "twice")["sandbox_id"]
    assert "Active sandbox with name 'twice' already exists" in cli("create", "twice", code=1)
    assert "Template 'no-such' not found" in cli("create", "x", "--template", "no-such", code=1)
    assert "no image 'no-such:latest'" in cli("create", "x", "-p", "docker", "--template", "no-such", code=1)
    printed = cli("run", key, "-l", "javascript", "-c", "1", code=1)
    assert "'node' not found" in printed and "needs an image" in printed
    assert "Sandbox nobody not found" in cli("status", "nobody", code=1)
    assert "no file system of Nexus" in cli("connect", key, code=1)
    assert "no file system of Nexus" in cli("disconnect", key, code=1)
    cli("stop", key)
    assert "TERMINATED" in cli("run", key, "-c", "1", code=1)
    cli("stop", key)  # again, as after a lost answer
    cli_json("create", "twice")  # the name is free


def test_pause_and_resume(cli, cli_json, engine):
    key = cli_json("create", "nap", "-p", "docker")["sandbox_id"]
    cli("run", key, "-l", "bash", "-c",
        "(while :; do :; done) >/dev/null 2>&1 & echo $! >pid; echo kept >state")
    assert "Status: paused" in cli("pause", key)
    paused = cli_json("status", key)
    assert paused["status"] == "paused" and paused["expires_at"] is None
    assert paused["paused_at"] is not None
    used = engine.api.usage(key)["cpu_us"]
    assert "PAUSED" in cli("run", key, "-c", "1", code=1)
    assert engine.api.usage(key)["cpu_us"] - used < 100000  # the agent's, which goes on
    resumed = cli_json("resume", key)
    assert resumed["status"] == "active" and resumed["paused_at"] is None
    assert resumed["expires_at"] is not None
    assert cli_json("run", key, "-l", "bash", "-c", "cat state; kill $(cat pid)")["stdout"] == "kept\n"


def test_list_and_its_filters(cli, cli_json, nx):
    mine = nx.sandbox_create("of-agent", context={"agent_id": "agent_123", "tenant_id": "tenant_456"})
    plain = nx.sandbox_create("plain")

    def ids(*words):
        return [row["sandbox_id"] for row in cli_json("list", *words) if row["status"] == "active"]

    assert set(ids()) == {mine["sandbox_id"], plain["sandbox_id"]}
    assert ids("--agent-id", "agent_123") == [mine["sandbox_id"]]
    assert ids("--tenant-id", "tenant_456") == [mine["sandbox_id"]]
    assert ids("-a", "agent_123", "-t", "default") == []
    assert set(ids("--user-id", "admin")) == set(ids())
    assert ids("--user-id", "alice") == []
    table = cli("list", "--verify")
    assert "VERIFIED" in table and "plain" in table and "Status verified with provider" in table


def test_verify_sees_one_that_was_killed_from_outside(cli, cli_json, engine):
    key = cli_json("create", "victim")["sandbox_id"]
    seen = {row["sandbox_id"]: row for row in cli_json("list", "--verify")}[key]
    assert seen["verified"] is True and seen["provider_status"] == "active"
    os.kill(engine.agent_of(key), 9)
    harness.wait_until(lambda: not engine.sandbox_pids(key), 10, "the end of all processes")
    seen = {row["sandbox_id"]: row for row in cli_json("list", "--verify")}[key]
    assert seen["verified"] is True and seen["provider_status"] == "stopped"
    assert seen["status"] == "stopped" and seen["expires_at"] is None


def test_get_or_create(cli, cli_json):
    first = cli_json("get-or-create", "agent-box", "--ttl", "30")
    assert first["provider"] == "docker" and first["verified"] is True
    again = cli_json("get-or-create", "agent-box")
    assert again["sandbox_id"] == first["sandbox_id"] and again["ttl_minutes"] == 30
    assert "Found and verified" in cli("get-or-create", "agent-box")
    assert "verified" not in cli_json("get-or-create", "agent-box", "--no-verify")
    cli("stop", first["sandbox_id"])
    assert cli_json("get-or-create", "agent-box")["sandbox_id"] != first["sandbox_id"]
