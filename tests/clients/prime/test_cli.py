# SPDX-License-Identifier: Apache-2.0
"""`prime sandbox ...` as people type it."""

import json
import os
import re

import pytest
from conftest import FIRST, HOME, PLAIN, PYTHON
from harness import wait_until


@pytest.fixture
def create(cli, api):
    made = []

    def run(image=PLAIN, *words):
        command = () if FIRST or "--" not in words else words[words.index("--"):]
        words = words[:len(words) - len(command)]
        said = cli("sandbox", "create", image, "--memory-gb", "0.25", "--yes", *words, *command)
        made.append(re.search(r"Successfully created sandbox (\S+)", said).group(1))
        return made[-1]

    yield run
    for key in made:
        api.delete(key).ok()


@pytest.fixture
def me(cli):
    """`prime whoami` has to work before anything of one's own can be deleted by a label."""
    config = os.path.join(HOME, ".prime", "config.json")
    said = cli("whoami")
    with open(config, encoding="utf-8") as file:
        user = json.load(file)["user_id"]
    assert user
    yield said
    os.unlink(config)


def running(api, key):
    wait_until(lambda: api.get(key)["status"] == "RUNNING", 10, "the sandbox")
    return key


def test_create_with_every_option(create, cli_json, api):
    words = ["--name", "lab", "--cpu-cores", "0.5", "--memory-gb", "0.5", "--disk-size-gb", "2",
             "--timeout-minutes", "240", "--idle-timeout-minutes", "30", "--env", "PROFILE=production",
             "--secret", "DB_PASSWORD=hunter2", "--label", "experiment", "--label", "ml", "--region", "us"]
    words += ["--start-command", "sleep 100"] if FIRST else ["--arch", "amd64", "--", "sleep", "100"]
    key = create(PLAIN, *words)
    seen = cli_json("sandbox", "get", key)
    assert seen["name"] == "lab" and seen["timeout_minutes"] == 240
    assert seen["environment_vars"] == {"PROFILE": "pr******on"} and "hunter2" not in json.dumps(seen)
    assert api.get(key)["idleTimeoutMinutes"] == 30 and api.get(key)["memoryGB"] == 0.5
    assert sorted(api.get(key)["labels"]) == ["experiment", "ml"]


def test_a_name_is_made_up(create, api):
    assert len(api.get(create())["name"]) > 5


@pytest.mark.first
def test_no_network(create, api):
    assert api.get(create(PLAIN, "--no-network-access"))["networkAccess"] is False
    assert api.get(create(PLAIN, "--network-access"))["networkAccess"] is True


@pytest.mark.newest
@pytest.mark.parametrize("option, field, entry", [("--network-allow", "networkAllowlist", "example.com"),
                                                  ("--network-deny", "networkDenylist", "10.0.0.0/8")])
def test_network_lists(create, api, option, field, entry):
    assert api.get(create(PLAIN, option, entry))[field] == [entry]


@pytest.mark.newest
@pytest.mark.parametrize("words", [("--arch", "arm64"), ("--volume", "data:/data")])
def test_what_is_not_offered(cli, words):
    assert "HTTP 400" in cli("sandbox", "create", PLAIN, "--yes", *words, code=1)


def test_list(create, cli_json, cli, api):
    keys = [create(PLAIN, "--label", "listed", "--label", f"n{n}") for n in range(3)]
    seen = cli_json("sandbox", "list", "--label", "listed")
    assert sorted(row["id"] for row in seen["sandboxes"]) == sorted(keys) and seen["total"] == 3
    assert {row["status"] for row in seen["sandboxes"]} == {"RUNNING"}
    row = seen["sandboxes"][0]
    assert row["image"] == PLAIN and row["created_at"] and row["expires_at"] and row["timeout_minutes"] == 60
    assert cli_json("sandbox", "ls", "--label", "listed", "--label", "n1")["total"] == 1
    page = cli_json("sandbox", "list", "--label", "listed", "--num", "2", "--page", "2")
    assert len(page["sandboxes"]) == 1 and page["has_next"] is False
    api.delete(keys[0]).ok()
    assert cli_json("sandbox", "list", "--label", "listed")["total"] == 2
    assert cli_json("sandbox", "list", "--label", "listed", "--all")["total"] == 3
    assert cli_json("sandbox", "list", "--label", "listed", "--status", "TERMINATED")["total"] == 1
    assert keys[1] in cli("sandbox", "list", "--label", "listed")


def test_get_as_a_table(create, cli):
    key = create(PLAIN, "--env", "A=abcdefgh", "--secret", "S=hunter2")
    said = cli("sandbox", "get", key)
    assert key in said and "hunter2" not in said and "***" in said
    assert "404" in cli("sandbox", "get", "nosuchsandbox", code=1)


def test_run(create, cli, api):
    key = running(api, create(PYTHON))
    assert "42" in cli("sandbox", "run", key, "--working-dir", "/workspace", "python -c 'print(42)'")
    assert "/usr" in cli("sandbox", "run", key, "-w", "/usr", "pwd")
    assert "b c" in cli("sandbox", "run", key, "-e", "A=b c", "--", "sh", "-c", "echo $A")
    assert "nobody" in cli("sandbox", "run", key, "-u", "nobody", "--", "id", "-un")
    cli("sandbox", "run", key, "--", "sh", "-c", "exit 7", code=7)
    assert "Timeout" in cli("sandbox", "run", key, "--timeout", "2", "sleep 100", code=1)


def test_logs(create, cli, api):
    start = ("--start-command", "echo begun; sleep 100") if FIRST else \
        ("--", "sh", "-c", "echo begun; sleep 100")
    key = running(api, create(PLAIN, *start))
    wait_until(lambda: "begun" in cli("sandbox", "logs", key), 10, "the log")


def test_upload_and_download(create, cli, api, tmp_path):
    key = running(api, create(PYTHON))
    path = tmp_path / "analysis.ipynb"
    path.write_bytes(os.urandom(100000))
    cli("sandbox", "upload", key, str(path), "/workspace/")
    cli("sandbox", "upload", key, str(path), "/workspace/deep/er/copy")
    for remote in ("/workspace/analysis.ipynb", "/workspace/deep/er/copy"):
        back = tmp_path / os.path.basename(remote + ".back")
        cli("sandbox", "download", key, remote, str(back))
        assert back.read_bytes() == path.read_bytes()
    cli("sandbox", "download", key, "/workspace/none", str(tmp_path / "none"), code=1)
    cli("sandbox", "reset-cache", "--yes")
    cli("sandbox", "download", key, "/workspace/deep/er/copy", str(tmp_path / "anew"))


def test_delete_by_id(create, cli, api):
    one, *more = [create() for _ in range(4)]
    cli("sandbox", "delete", one, "--yes")
    said = cli("sandbox", "delete", more[0] + "," + more[1], more[2], "nosuchsandbox", "--yes")
    assert all(key in said for key in more) and "nosuchsandbox" in said
    assert {api.get(key)["status"] for key in (one, *more)} == {"TERMINATED"}


def test_delete_by_label(create, cli, api, me):
    keys = [create(PLAIN, "--label", "experiment", "--label", label) for label in ("a", "b", "b")]
    cli("sandbox", "delete", "--label", "experiment", "--label", "b", "--yes")
    assert [api.get(key)["status"] for key in keys] == ["RUNNING", "TERMINATED", "TERMINATED"]


def test_delete_all(create, cli, api, me):
    keys = [create() for _ in range(3)]
    cli("sandbox", "delete", "--all", "--yes")
    assert {api.get(key)["status"] for key in keys} == {"TERMINATED"}
    keys = [create() for _ in range(2)]
    cli("sandbox", "delete", "--all", "--all-users", "--yes")
    assert {api.get(key)["status"] for key in keys} == {"TERMINATED"}


@pytest.mark.newest
def test_images(cli, cli_json, api):
    listed = cli_json("images", "list", "--num", "1")
    assert listed["totalCount"] == len(api.images()) >= 2 and len(listed["data"]) == 1
    found = cli_json("images", "list", "--search", "THON")
    assert [(row["imageName"], row["imageTag"]) for row in found["data"]] == [tuple(PYTHON.split(":"))]
    assert PYTHON in cli("images", "list")
    assert "No images match" in cli("images", "list", "-q", "nothing-like-this")


def test_a_wrong_key(cli):
    assert "Unauthorized" in cli("sandbox", "list", code=1, env={"PRIME_API_KEY": "pit-wrong"})
