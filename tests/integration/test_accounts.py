# SPDX-License-Identifier: Apache-2.0
"""Users, teams, keys, owners, budgets and the audit log, as their clients see them."""

import contextlib
import http.client
import json
import os
import pwd
import socket
import time

import harness
from test_web import described

SANDBOX = "/api/v1/sandbox"


class Keyed(harness.Api):
    """The API with a key in place of the socket's word."""

    def __init__(self, engine, key):
        super().__init__(engine.socket)
        self.key = key

    def raw(self, method, path, body=None, headers=None, timeout=None):
        return super().raw(method, path, body, {"Authorization": "Bearer " + self.key, **(headers or {})}, timeout)

    def request(self, method, path, body=None, headers=None):
        return super().request(method, path, body, {"Authorization": "Bearer " + self.key, **(headers or {})})


class User:
    """An account with a key."""

    def __init__(self, engine, **fields):
        self.name = "u" + os.urandom(4).hex()
        self.account = engine.api.request("POST", "/api/v1/users", {"name": self.name, **fields}).ok()
        self.id = self.account["id"]
        self.made = engine.api.request("POST", "/api/v1/keys", {"user": self.name}).ok()
        self.api = Keyed(engine, self.made["key"])


def join(engine, team, user, role="member"):
    engine.api.request("POST", f"/api/v1/teams/{team}/join", {"user": user.name, "role": role}).ok()


def make_team(engine):
    return engine.api.request("POST", "/api/v1/teams", {"name": "t" + os.urandom(4).hex()}).ok()["id"]


@contextlib.contextmanager
def sandbox(api, **fields):
    made = api.create(**fields).ok()
    try:
        yield made
    finally:
        api.delete(made["id"])


# ---- keys ----------------------------------------------------------------------------------------

def test_a_key_is_shown_once_and_opens(engine):
    user = User(engine)
    assert user.made["key"].startswith("cxk_") and len(user.made["key"]) == 68
    assert user.made["key"].startswith(user.made["prefix"])
    listed = user.api.request("GET", "/api/v1/keys").ok()["keys"]
    assert [key["id"] for key in listed] == [user.made["id"]]
    assert user.made["key"] not in json.dumps(listed)
    assert listed[0]["lastUsedAt"] is not None
    assert user.api.request("GET", "/api/v1/user/whoami").ok()["data"]["id"] == user.id


class Streaming:
    """An answer that goes on, asked for with a key."""

    def __init__(self, engine, key, line, body="", headers=""):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(engine.socket)
        self.socket.sendall(f"{line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{headers}"
                            f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        assert self.socket.recv(65536).startswith((b"HTTP/1.1 200", b"HTTP/1.1 101"))

    def goes_on(self):
        self.socket.setblocking(False)
        try:
            while self.socket.recv(65536):
                pass
            return False
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(20)

    def ends(self):
        with contextlib.suppress(ConnectionResetError):
            while self.socket.recv(65536):
                pass
        self.socket.close()


def test_streams_end_with_their_key_and_with_their_account(engine):
    user = User(engine)
    second = user.api.request("POST", "/api/v1/keys", {}).ok()
    with sandbox(user.api) as box:
        first, other = ([
            Streaming(engine, key, "GET /api/v1/events"),
            Streaming(engine, key, f"GET {SANDBOX}/{box['id']}/logs/follow"),
            Streaming(engine, key, f"POST {SANDBOX}/{box['id']}/exec", '{"command": ["sleep", "1000"]}',
                      "Connection: Upgrade\r\nUpgrade: caisson-exec/1\r\n"),
        ] for key in (user.made["key"], second["key"]))
        user.api.request("DELETE", f"/api/v1/keys/{second['id']}").ok()
        for stream in other:
            stream.ends()
        assert all(stream.goes_on() for stream in first)
        engine.api.request("PATCH", f"/api/v1/users/{user.id}", {"disabled": True}).ok()
        for stream in first:
            stream.ends()
        engine.api.request("PATCH", f"/api/v1/users/{user.id}", {"disabled": False}).ok()


def test_a_revoked_key_is_nobody_at_once(engine):
    user = User(engine)
    own = user.api.request("POST", "/api/v1/keys", {"name": "mine"}).ok()
    other = Keyed(engine, own["key"])
    assert other.request("GET", SANDBOX).status == 200
    user.api.request("DELETE", f"/api/v1/keys/{own['id']}").ok()
    answer = other.request("GET", SANDBOX)
    assert answer.status == 401 and "revoked" in answer.detail, answer
    assert user.api.request("GET", SANDBOX).status == 200


def test_a_key_expires(engine):
    user = User(engine)
    made = engine.api.request("POST", "/api/v1/keys", {"user": user.name, "expires_s": 2}).ok()
    short = Keyed(engine, made["key"])
    later = short.request("POST", "/api/v1/keys", {}).ok()
    assert later["expiresAt"] == made["expiresAt"]  # no key outlives the one that made it
    harness.wait_until(lambda: short.request("GET", SANDBOX).status == 401, 5, "the end of the key")


def test_nobodys_keys(engine):
    for key in ("", "x", "cxk_", "cxk_" + "0" * 64, "cxs_1_a_" + "0" * 64):
        answer = Keyed(engine, key).request("GET", SANDBOX)
        assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer", answer


def test_a_disabled_account_is_nobody(engine):
    user = User(engine)
    engine.api.request("PATCH", f"/api/v1/users/{user.name}", {"disabled": True}).ok()
    answer = user.api.request("GET", SANDBOX)
    assert answer.status == 401 and "disabled" in answer.detail, answer
    engine.api.request("PATCH", f"/api/v1/users/{user.name}", {"disabled": False}).ok()
    assert user.api.request("GET", SANDBOX).status == 200


def test_keys_are_in_no_file_or_log(engine):
    user = User(engine)
    user.api.request("GET", SANDBOX)
    secret = user.made["key"][12:].encode()
    for top, _, files in os.walk(engine.top):
        for name in files:
            path = os.path.join(top, name)
            with contextlib.suppress(FileNotFoundError):  # removed while we look
                if os.path.isfile(path) and not os.path.ismount(path):
                    assert secret not in harness.read(path, binary=True), path


# ---- the socket ----------------------------------------------------------------------------------

def as_uid(engine, uid, path):
    """Status and body of a GET by another user of the machine who may connect."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.setgroups([pwd.getpwnam(harness.gateway_user()).pw_gid])
            os.setgid(uid)
            os.setuid(uid)
            answer = harness.Api(engine.socket).raw("GET", path)
            os.write(writer, json.dumps([answer.status, answer.body.decode()]).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = file.read()
    os.waitpid(child, 0)
    return json.loads(text)


def test_the_socket_knows_who_connects(engine):
    status, body = as_uid(engine, 54320, "/api/v1/user/whoami")
    assert status == 401 and "--uid 54320" in body, body
    user = User(engine, unix_uid=54320)
    status, body = as_uid(engine, 54320, "/api/v1/user/whoami")
    assert status == 200 and json.loads(body)["data"]["id"] == user.id, body
    assert as_uid(engine, 54320, "/api/v1/users")[0] == 403
    assert engine.api.request("GET", "/api/v1/user/whoami").ok()["data"]["id"] == "admin"
    taken = engine.api.request("POST", "/api/v1/users", {"name": "other", "unix_uid": 54320})
    assert taken.status == 409, taken


# ---- owners --------------------------------------------------------------------------------------

def test_others_do_not_exist(engine):
    ann, bob = User(engine), User(engine)
    with sandbox(ann.api, name="same") as hers:
        assert hers["userId"] == ann.id
        unknown, known = bob.api.get("zz9zz9zz9zz9"), bob.api.get(hers["id"])
        assert unknown.status == known.status == 404
        assert known.detail == unknown.detail.replace("zz9zz9zz9zz9", hers["id"])
        assert bob.api.get("same").status == 404
        assert bob.api.list("") == [] and [s["id"] for s in ann.api.list("")] == [hers["id"]]
        assert hers["id"] in [s["id"] for s in engine.api.list("per_page=1000")]
        with sandbox(bob.api, name="same") as his:  # names are their owners'
            assert bob.api.get("same").ok()["id"] == his["id"]
            assert ann.api.get("same").ok()["id"] == hers["id"]
            assert engine.api.get("same").status == 409


def test_idempotency_keys_are_their_owners(engine):
    ann, bob = User(engine), User(engine)
    with sandbox(ann.api, idempotency_key="k1") as hers, sandbox(bob.api, idempotency_key="k1") as his:
        assert hers["id"] != his["id"]
        assert ann.api.create(idempotency_key="k1").ok()["id"] == hers["id"]


def test_members_share_what_their_team_has(engine):
    ann, bob, cid = User(engine), User(engine), User(engine)
    team = make_team(engine)
    join(engine, team, ann, "owner")
    join(engine, team, bob)
    assert cid.api.create(team_id=team).status == 403
    assert cid.api.request("GET", f"{SANDBOX}?team_id={team}").status == 403
    assert cid.api.request("GET", f"/api/v1/teams/{team}").status == 404
    with sandbox(ann.api, team_id=team) as shared, sandbox(ann.api, team_id="") as own:
        assert shared["teamId"] == team and own["teamId"] is None
        assert bob.api.get(own["id"]).status == 404
        assert bob.api.exec(shared["id"], "echo hi").stdout == "hi\n"
        assert [s["id"] for s in bob.api.list("team_id=" + team)] == [shared["id"]]
        assert cid.api.get(shared["id"]).status == 404
        engine.api.request("POST", f"/api/v1/teams/{team}/leave", {"user": bob.name}).ok()
        assert bob.api.get(shared["id"]).status == 404
    teams = ann.api.request("GET", "/api/v1/user/teams").ok()
    assert teams["total_count"] == 1 and teams["data"][0]["teamId"] == team and teams["data"][0]["role"] == "owner"
    assert bob.api.request("POST", f"/api/v1/teams/{team}/join", {"user": bob.name}).status == 404
    assert ann.api.request("POST", f"/api/v1/teams/{team}/join", {"user": cid.name}).status == 200
    assert cid.api.request("POST", f"/api/v1/teams/{team}/leave", {"user": ann.name}).status == 403


def bulk(api, **body):
    return api.request("DELETE", SANDBOX, body)


def test_bulk_delete_has_a_scope(engine):
    ann, bob = User(engine), User(engine)
    team = make_team(engine)
    join(engine, team, ann, "owner")
    join(engine, team, bob)
    label = [os.urandom(4).hex()]
    with sandbox(ann.api, labels=label) as hers, sandbox(bob.api, labels=label, team_id=team) as his:
        assert bulk(bob.api, sandbox_ids=[hers["id"]]).ok()["failed"][0]["sandbox_id"] == hers["id"]
        for body in ({"all_users": True}, {"all_users": True, "labels": label}, {"user_id": ann.id},
                     {"all_users": True, "team_id": team}, {"user_id": ann.id, "team_id": team}):
            assert bulk(bob.api, **body).status == 403, body
        assert bulk(bob.api, all_users=False).status == 400
        assert bulk(engine.api, labels=label).ok()["succeeded"] == []  # an admin's own: none
        assert ann.api.get(hers["id"]).ok()["status"] == bob.api.get(his["id"]).ok()["status"] == "RUNNING"
        assert bulk(ann.api, labels=label).ok()["succeeded"] == [hers["id"]]
        assert bulk(ann.api, all_users=True, team_id=team).ok()["succeeded"] == [his["id"]]
    with sandbox(bob.api) as his, sandbox(ann.api) as hers:
        assert bulk(bob.api, user_id=bob.id, all_users=False).ok()["succeeded"] == [his["id"]]
        assert bulk(engine.api, user_id=ann.id).ok()["succeeded"] == [hers["id"]]


def test_only_admins_change_accounts_and_images(engine):
    user = User(engine)
    assert user.api.images()
    for method, path, body in (("GET", "/api/v1/users", None), ("POST", "/api/v1/users", {"name": "x"}),
                               ("PATCH", f"/api/v1/users/{user.name}", {"role": "admin"}),
                               ("DELETE", "/api/v1/images/busybox:latest", None), ("GET", "/api/v1/audit", None),
                               ("POST", "/api/v1/images/pull", {"image": "x"})):
        assert user.api.request(method, path, body).status == 403, (method, path)
    assert user.api.request("GET", f"/api/v1/users/{user.name}").ok()["role"] == "user"
    assert user.api.request("GET", "/api/v1/users/admin").status == 404
    assert user.api.request("GET", "/api/v1/keys?user=admin").status == 404
    assert user.api.request("POST", "/api/v1/keys", {"user": "admin"}).status == 404
    other = User(engine)
    assert user.api.request("DELETE", f"/api/v1/keys/{other.made['id']}").status == 404
    boss = User(engine, role="admin")
    assert boss.api.request("GET", "/api/v1/users").status == 200


def test_the_admin_stays(engine):
    for body in ({"role": "user"}, {"disabled": True}, {"name": "root"}):
        assert engine.api.request("PATCH", "/api/v1/users/admin", body).status == 403, body
    assert engine.api.request("DELETE", "/api/v1/users/admin").status == 403
    for body in ({}, {"name": "-x"}, {"name": "a b"}, {"name": "x", "role": "king"}, {"name": "x", "unix_uid": 0},
                 {"name": "x", "max_sandboxes": -2}):
        assert engine.api.request("POST", "/api/v1/users", body).status == 400, body


def test_a_user_with_sandboxes_is_not_removed(engine):
    user = User(engine)
    with sandbox(user.api):
        answer = engine.api.request("DELETE", f"/api/v1/users/{user.name}")
        assert answer.status == 409 and "1 sandboxes" in answer.detail, answer
    engine.api.request("DELETE", f"/api/v1/users/{user.name}").ok()
    assert user.api.request("GET", SANDBOX).status == 401


# ---- budgets -------------------------------------------------------------------------------------

def test_momentary_budgets_are_429(engine):
    user = User(engine, max_sandboxes=2, max_cpu_cores=1.5, max_memory_gb=0.5)
    with sandbox(user.api, cpu_cores=1, memory_gb=0.25, idempotency_key="b") as first:
        answer = user.api.create(cpu_cores=1, memory_gb=0.1)
        assert answer.status == 429 and "2 cores" in answer.detail and answer.headers["Retry-After"] == "10", answer
        answer = user.api.create(cpu_cores=0.1, memory_gb=0.5)
        assert answer.status == 429 and "memory" in answer.detail, answer
        with sandbox(user.api, cpu_cores=0.1, memory_gb=0.1):
            answer = user.api.create(cpu_cores=0.1, memory_gb=0.1)
            assert answer.status == 429 and "3 sandboxes" in answer.detail, answer
            # a repeated request is not another sandbox
            assert user.api.create(idempotency_key="b").ok()["id"] == first["id"]
        usage = engine.api.request("GET", f"/api/v1/users/{user.name}").ok()["usage"]
        assert usage["sandboxes"] == 1 and usage["cpuCores"] == 1 and usage["memoryGB"] == 0.25
    with sandbox(user.api):
        pass


def test_core_hours_are_402(engine):
    user = User(engine, max_core_hours=1 / 3600)
    with sandbox(user.api, cpu_cores=2):
        time.sleep(0.6)
        answer = user.api.create()
        assert answer.status == 402 and "core-hours" in answer.detail, answer
    assert user.api.create().status == 402  # also of those that have ended
    engine.api.request("PATCH", f"/api/v1/users/{user.name}", {"used_core_hours": 0}).ok()
    with sandbox(user.api):
        pass


# ---- audit ---------------------------------------------------------------------------------------

def test_the_audit_log_says_who_did_what(engine):
    user = User(engine)
    with sandbox(user.api) as made:
        user.api.exec(made["id"], "true")
        user.api.get(made["id"])
    other = User(engine)
    other.api.delete(made["id"])
    rows = engine.api.request("GET", f"/api/v1/audit?user={user.name}").ok()["audit"][::-1]
    assert [(row["action"], row["object"], row["outcome"]) for row in rows] == [
        ("POST /api/v1/sandbox", made["id"], 200), ("POST /api/v1/sandbox/{}/exec", made["id"], 200),
        ("DELETE /api/v1/sandbox/{}", made["id"], 200)]
    assert all(row["keyId"] == user.made["id"] and row["requestId"] for row in rows)
    last = engine.api.request("GET", f"/api/v1/audit?user={other.name}").ok()["audit"][0]
    assert last["outcome"] == 404
    newest = engine.api.request("GET", "/api/v1/audit?limit=1").ok()["audit"]
    older = engine.api.request("GET", f"/api/v1/audit?limit=2&before={newest[0]['id']}").ok()["audit"]
    assert len(newest) == 1 and len(older) == 2 and older[0]["id"] < newest[0]["id"]


def test_accounts_outlive_the_gateway(engine):
    user = User(engine)
    with sandbox(user.api) as made:
        os.kill(engine.gateway, 9)
        user.api.close()

        def back():
            with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
                return user.api.get(made["id"]).ok()["userId"] == user.id
        harness.wait_until(back, 15, "the gateway")


def test_answers_are_as_described(engine):
    spec = engine.api.raw("GET", "/openapi.json").ok()
    user, team = User(engine), make_team(engine)
    join(engine, team, user)
    for method, path, param, body in (
            ("GET", "/users", "", None), ("GET", "/users/{user}", user.name, None),
            ("PATCH", "/users/{user}", user.name, {"max_sandboxes": 3}), ("GET", "/teams", "", None),
            ("GET", "/teams/{team}", team, None), ("POST", "/teams/{team}/join", team, {"user": user.name}),
            ("POST", "/keys", "", {"name": "k"}), ("GET", "/keys", "", None), ("GET", "/audit", "", None),
            ("POST", "/teams/{team}/leave", team, {"user": user.name}), ("DELETE", "/teams/{team}", team, None),
            ("DELETE", "/keys/{key}", user.made["id"], None), ("DELETE", "/users/{user}", user.name, None),
            ("GET", "/user/whoami", "", None), ("GET", "/user/teams", "", None), ("POST", "/secret-key/rotate", "", None)):
        path = "/api/v1" + path
        answer = engine.api.request(method, path.format(user=param, team=param, key=param), body).ok()
        form = spec["paths"][path][method.lower()]["responses"]["200"]["content"]["application/json"]
        described(spec, form["schema"], answer, f"{method} {path}")


# ---- the command line ----------------------------------------------------------------------------

def cli(engine, *arguments):
    result = engine.cli(*arguments)
    assert result.returncode == 0, result
    return result.stdout


def test_the_command_line_does_it_all(engine):
    name, team = "cli" + os.urandom(4).hex(), "team" + os.urandom(4).hex()
    cli(engine, "user", "add", name, "--max-sandboxes", "1", "--max-memory", "512M", "--email", "a@example.org")
    user = json.loads(cli(engine, "user", "show", name, "--json"))
    assert user["email"] == "a@example.org" and user["budget"] == {
        "maxSandboxes": 1, "maxCpuCores": None, "maxMemoryGB": 0.5, "maxCoreHours": None}
    key = cli(engine, "key", "create", "--user", name, "--name", "laptop", "--expires", "1h").strip()
    assert key.startswith("cxk_") and len(key) == 68
    keys = json.loads(cli(engine, "key", "list", "--user", name, "--json"))
    assert keys[0]["name"] == "laptop" and key not in json.dumps(keys)
    api = Keyed(engine, key)
    assert api.request("GET", "/api/v1/user/whoami").ok()["data"]["name"] == name
    budget = json.loads(cli(engine, "user", "budget", name, "--no-limits", "--max-cores", "2", "--json"))["budget"]
    assert budget == {"maxSandboxes": None, "maxCpuCores": 2, "maxMemoryGB": None, "maxCoreHours": None}
    cli(engine, "team", "add", team)
    assert name in cli(engine, "team", "join", team, name, "--role", "owner")
    assert team in cli(engine, "team", "list") and "owner" in cli(engine, "team", "show", team)
    assert name not in cli(engine, "team", "leave", team, name)
    cli(engine, "user", "disable", name)
    assert api.request("GET", SANDBOX).status == 401
    cli(engine, "user", "enable", name)
    assert api.request("GET", SANDBOX).status == 200
    assert cli(engine, "key", "revoke", keys[0]["id"]) == f"{keys[0]['id']} revoked\n"
    assert api.request("GET", SANDBOX).status == 401
    assert engine.cli("user", "remove", name).returncode != 0  # asks first
    cli(engine, "user", "remove", name, "--yes")
    cli(engine, "team", "remove", team, "--yes")
    assert name not in cli(engine, "user", "ls")
    log = cli(engine, "audit", "--user", "admin", "--number", "50")
    assert "PATCH /api/v1/users/{}" in log and name in log
    assert engine.cli("key", "create", "--expires", "soon").returncode != 0
