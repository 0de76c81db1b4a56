# SPDX-License-Identifier: Apache-2.0
"""Every route of the tables, tried by who may not: another user, and tokens of other sandboxes.

A route that is not about one sandbox needs a rule below; without one this fails.
"""

import json
import os
import subprocess

import pytest

import harness
from test_accounts import Keyed, User, join, make_team

ROUTES = [tuple(line.split()) for line in subprocess.run(
    [harness.program("caisson-gateway"), "--routes"], stdout=subprocess.PIPE, text=True,
    check=True).stdout.splitlines()]
NOBODY = "zz9zz9zz9zz9"  # looks like an id
SANDBOXES = ("/api/v1/sandbox/{}", "/gw/s/{}")
BODIES = {"exec": {"command": "touch /touched"}, "commit": {"name": "stolen"}, "expose": {"port": 8000}}


class World:
    """Ann, who has things, and Bob, who must not reach them."""

    def __init__(self, engine):
        self.engine = engine
        self.ann, self.bob = User(engine), User(engine)
        self.mark = "mark" + os.urandom(8).hex()
        self.team = make_team(engine)
        join(engine, self.team, self.ann, "owner")
        self.box = self.make(self.ann, name=self.mark, labels=[self.mark], team_id=self.team, idempotency_key=self.mark,
                             environment_vars={"E": self.mark}, secrets={"S": self.mark})
        self.ann.api.request("POST", f"/api/v1/sandbox/{self.box}/expose", {"port": 8000, "name": self.mark}).ok()
        self.ended = self.make(self.ann, name=self.mark + "2")
        self.ann.api.delete(self.ended).ok()
        self.own = self.make(self.bob)
        self.ann_token, self.bob_token = self.token(self.ann, self.box), self.token(self.bob, self.own)
        self.random_key = Keyed(engine, "cxk_" + os.urandom(32).hex())

    @staticmethod
    def make(user, **fields):
        return user.api.create(**fields).ok()["id"]

    def token(self, user, box):
        return Keyed(self.engine, user.api.request("POST", f"/api/v1/sandbox/{box}/auth").ok()["token"])

    def check_secret(self, answer):
        """Nothing of Ann's is in it."""
        text = answer.body.decode("utf-8", "replace") + str(answer.headers)
        for word in (self.mark, self.box, self.ended, self.team, self.ann.id):
            assert word not in text, (word, answer)

    def check_alike(self, method, path, own, unknown, body=None, api=None):
        """Bob learns nothing from what is Ann's that he does not from what is nobody's."""
        api = api or self.bob.api
        first, second = (bare(api.request(method, path.replace("{}", name), body), name) for name in (own, unknown))
        assert first == second, path
        return first[0]


def bare(answer, name):
    """What an answer says, but for the name that was asked for."""
    body = answer.body.decode("utf-8", "replace").replace(answer.headers.get("X-Request-Id", "\0"), "REQUEST")
    headers = {key: value for key, value in answer.headers.items()
               if key not in ("Date", "X-Request-Id", "Content-Length")}
    return answer.status, body.replace(name, "NAME"), headers


@pytest.fixture(scope="module")
def world(engine):
    made = World(engine)
    yield made
    made.ann.api.delete(made.box).ok()
    made.bob.api.delete(made.own).ok()


# ---- rules for routes that are not about one sandbox ---------------------------------------------

def see_nothing(world, method, path):
    """A list in which nothing of Ann's is."""
    world.check_secret(world.bob.api.request(method, path, {} if method == "POST" else None))


def see_nothing_by_name(world, method, path):
    for query in (f"?team_id={world.team}", f"?user_id={world.ann.id}", f"?labels={world.mark}", "?per_page=1000"):
        answer = world.bob.api.request(method, path + query)
        if world.team not in query:
            world.check_secret(answer)
        assert answer.status == (403 if world.team in query else 200)


def see_the_present(world, method, path):
    world.check_secret(world.bob.api.request(method, path + "?follow=false"))


def create_is_ones_own(world, method, path):
    body = {"name": "bobs", "docker_image": "busybox", "cpu_cores": 0.1, "memory_gb": 0.1}
    alike = {world.bob.api.request(method, path, {**body, "team_id": team}).detail.replace(team, "")
             for team in (world.team, NOBODY)}
    assert len(alike) == 1
    made = world.bob.api.request(method, path, {**body, "idempotency_key": world.mark}).ok()
    assert made["id"] != world.box and made["userId"] == world.bob.id
    world.bob.api.delete(made["id"]).ok()


def delete_is_ones_own(world, method, path):
    answer = world.bob.api.request(method, path, {"sandbox_ids": [world.box, world.mark, NOBODY]}).ok()
    assert not answer["succeeded"]
    assert len({item["error"].replace(item["sandbox_id"], "") for item in answer["failed"]}) == 1, answer
    for body in ({"labels": [world.mark]}, {"user_id": world.bob.id, "labels": [world.mark]}):
        assert world.bob.api.request(method, path, body).ok()["succeeded"] == []
    for body in ({"user_id": world.ann.id}, {"all_users": True}, {"all_users": True, "team_id": world.team}):
        assert world.bob.api.request(method, path, body).status == 403


def ids_in_the_body(world, method, path):
    answers = [bare(world.bob.api.request(method, path, {"sandbox_ids": [name]}), name) for name in (world.box, NOBODY)]
    assert answers[0] == answers[1]


def user_by_name(world, method, path):
    assert world.check_alike(method, path, world.ann.name, NOBODY) == 404
    assert world.check_alike(method, path, world.ann.id, NOBODY) == 404


def team_by_id(world, method, path):
    assert world.check_alike(method, path, world.team, NOBODY, {"user": world.bob.name} if method == "POST" else None) == 404


def keys_of_others(world, method, path):
    if method == "POST":
        alike = {world.bob.api.request(method, path, {"user": name}).body.decode().split("request_id")[0]
                 .replace(name, "") for name in (world.ann.name, NOBODY)}
        assert len(alike) == 1 and "no user" in alike.pop()
        return
    assert world.check_alike(method, path + "?user={}", world.ann.name, NOBODY) == 404
    see_nothing(world, method, path)


def key_by_id(world, method, path):
    assert world.check_alike(method, path, world.ann.made["id"], NOBODY) == 404
    assert world.ann.api.request("GET", "/api/v1/keys").status == 200


NEXUS = {"sandbox_run": {"language": "bash", "code": "touch /touched"}, "sandbox_pause": {}, "sandbox_resume": {},
         "sandbox_stop": {}, "sandbox_status": {}, "sandbox_get_or_create": {"name": "x"},
         "sandbox_connect": {}, "sandbox_disconnect": {}}


def nexus_calls(world, _, path):
    for name, params in NEXUS.items():
        said = [bare(world.bob.api.request("POST", path.replace("{}", name), {
            "jsonrpc": "2.0", "id": 1, "method": name, "params": {**params, "sandbox_id": box}}), box)
            for box in (world.box, NOBODY)]
        if name != "sandbox_get_or_create":
            assert said[0] == said[1] and "error" in json.loads(said[0][1]), (name, said)
    for params in ({}, {"verify_status": True}, {"user_id": world.ann.id}, {"status": "active"}):
        world.check_secret(world.bob.api.request("POST", path.replace("{}", "sandbox_list"), {
            "jsonrpc": "2.0", "id": 1, "method": "sandbox_list", "params": params}))
    for item in world.bob.api.list():
        if item["id"] != world.own:
            world.bob.api.delete(item["id"])


def for_everybody(world, method, path):
    """Images are everybody's."""


RULES = {
    "POST /api/v1/sandbox": create_is_ones_own,
    "GET /api/v1/sandbox": see_nothing_by_name,
    "DELETE /api/v1/sandbox": delete_is_ones_own,
    "GET /api/v1/usage": see_nothing,
    "GET /api/v1/events": see_the_present,
    "GET /api/v1/images": for_everybody,
    "GET /api/v1/images/{+}": for_everybody,
    "GET /api/v1/users/{}": user_by_name,
    "GET /api/v1/teams": see_nothing,
    "GET /api/v1/teams/{}": team_by_id,
    "POST /api/v1/teams/{}/join": team_by_id,
    "POST /api/v1/teams/{}/leave": team_by_id,
    "GET /api/v1/keys": keys_of_others,
    "POST /api/v1/keys": keys_of_others,
    "DELETE /api/v1/keys/{}": key_by_id,
    "GET /api/v1/user/whoami": see_nothing,
    "GET /api/v1/user/teams": see_nothing,
    "POST /api/v1/sandbox/status:batchGet": ids_in_the_body,
    "POST /api/v1/sandbox/background-jobs/status:batchGet": ids_in_the_body,
    "GET /api/v1/sandbox/expose/all": see_nothing,
    "POST /api/v1/sandbox/checkpoints:batchGet": see_nothing,
    "POST /api/v1/sandbox/volumes": see_nothing,
    "GET /api/v1/sandbox/volumes": see_nothing,
    "POST /api/v1/sandbox/networks": see_nothing,
    "GET /api/v1/sandbox/networks": see_nothing,
    "GET /api/auth/whoami": see_nothing,
    "POST /api/nfs/{}": nexus_calls,
}
PUBLIC = {"GET /healthz", "GET /readyz", "GET /openapi.json"}


def name_of(route):
    return f"{route[0]} {route[1]}"


def of_one_sandbox(path):
    return path.startswith(SANDBOXES)


def concrete(path, name):
    return path.replace("{}", name).replace("{+}", name)


def body_of(method, path):
    return BODIES.get(path.rsplit("/", 1)[1], {}) if method in ("POST", "PUT", "PATCH") else None


# ---- the routes ----------------------------------------------------------------------------------

def test_every_route_has_a_rule():
    names = {name_of(route) for route in ROUTES}
    bare_routes = {name_of(route) for route in ROUTES if route[2] in ("user", "sandbox") and not of_one_sandbox(route[1])}
    assert len(ROUTES) > 40
    assert bare_routes - set(RULES) == set(), "routes without a rule in test_access.py"
    assert {name_of(route) for route in ROUTES if route[2] == "public"} == PUBLIC
    assert all(of_one_sandbox(path) for _, path, scope in ROUTES if scope == "sandbox")
    assert set(RULES) - names <= {"POST /api/v1/sandbox/background-jobs/status:batchGet"}, "rules without a route"


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_nobody_is_turned_away(world, route):
    method, path, scope = route
    if scope == "public":
        return
    path = concrete(path, world.box)
    for key in (world.random_key, Keyed(world.engine, "")):
        answer = key.request(method, path, body_of(method, path))
        assert answer.status == 401, answer
        world.check_secret(answer)


@pytest.mark.parametrize("route", [route for route in ROUTES if route[2] == "admin"], ids=name_of)
def test_a_user_is_no_admin(world, route):
    method, path, _ = route
    for name in (world.box, world.ann.name, world.team, NOBODY):
        answer = world.bob.api.request(method, concrete(path, name), body_of(method, path))
        assert answer.status == 403 and answer.detail == "only an administrator may do this", answer


@pytest.mark.parametrize("route", [route for route in ROUTES if route[2] != "public"], ids=name_of)
def test_a_token_opens_its_gateway_only(world, route):
    method, path, scope = route
    for name in (world.box, world.own, NOBODY):
        for token, its in ((world.ann_token, world.box), (world.bob_token, world.own)):
            if scope == "sandbox" and name == its:
                continue
            answer = token.request(method, concrete(path, name), body_of(method, path))
            assert answer.status == 401, (name, answer)


@pytest.mark.parametrize("route", [r for r in ROUTES if of_one_sandbox(r[1]) and r[2] != "admin"], ids=name_of)
def test_what_is_anothers_does_not_exist(world, route):
    method, path, _ = route
    for body in (body_of(method, path), {} if method in ("POST", "PUT") else None):
        for own in (world.box, world.ended, world.mark):
            assert world.check_alike(method, path, own, NOBODY, body) >= 400
    if path.endswith("/exec"):
        for name in (world.box, NOBODY):
            answer = world.bob.api.raw("POST", concrete(path, name), json.dumps({"command": "touch /touched"}), {
                "Connection": "Upgrade", "Upgrade": "caisson-exec/1", "Content-Type": "application/json"})
            assert answer.status == 404, answer


@pytest.mark.parametrize("route", [r for r in ROUTES if name_of(r) in RULES], ids=name_of)
def test_what_is_not_about_one_sandbox(world, route):
    RULES[name_of(route)](world, route[0], route[1])


def test_zz_nothing_has_changed(world):
    """The last one: after all that."""
    box = world.ann.api.get(world.box).ok()
    assert box["status"] == "RUNNING" and box["name"] == world.mark and box["labels"] == [world.mark]
    assert world.ann.api.exec(world.box, "ls /touched").code != 0
    assert world.ann.api.request("GET", f"/api/v1/teams/{world.team}").ok()["members"][0]["userId"] == world.ann.id
