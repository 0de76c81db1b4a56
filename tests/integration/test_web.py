# SPDX-License-Identifier: Apache-2.0
"""The HTTP side of the gateway: names of requests, packed answers, metrics, its description."""

import gzip
import os
import re
import shutil
import signal
import subprocess

import pytest


def test_an_answer_has_the_name_of_its_request(api):
    given = api.raw("GET", "/api/v1/sandbox/none", headers={"X-Request-Id": "mine-1"})
    assert given.status == 404 and given.headers["X-Request-Id"] == given["request_id"] == "mine-1"
    made = api.raw("GET", "/healthz", headers={"X-Request-Id": 'a "b'})
    assert len(made.headers["X-Request-Id"]) == 16
    again = api.raw("GET", "/nowhere")
    assert again["request_id"] == again.headers["X-Request-Id"] != made.headers["X-Request-Id"]


@pytest.mark.parametrize("accept, packed", [("gzip, deflate", True), ("gzip;q=0", False), (None, False)])
def test_long_json_is_packed_for_who_accepts_it(api, make, accept, packed):
    box = make(environment_vars={f"V{i}": "x" * 100 for i in range(60)})
    headers = {"Accept-Encoding": accept} if accept else {}
    long = api.raw("GET", f"/api/v1/sandbox/{box}", headers=headers)
    assert (long.headers.get("Content-Encoding") == "gzip") is packed
    assert long.headers["Vary"] == "Accept-Encoding"
    assert b"V59" in (gzip.decompress(long.body) if packed else long.body)
    short = api.raw("GET", "/healthz", headers=headers)
    assert short.json == {"status": "ok"} and "Content-Encoding" not in short.headers


# ---- what it tells of itself -----------------------------------------------------------------------

SAMPLE = re.compile(r'^([a-z_:]+)(?:\{(.*)\})? (\S+)$')


def metrics(api):
    """{(name, labels): value}; every line is one that Prometheus reads."""
    answer = api.raw("GET", "/metrics")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found, families = {}, {}
    for line in answer.body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in families
            families[name] = kind
        elif not line.startswith("# HELP "):
            name, labels, value = SAMPLE.match(line).groups()
            assert any(name == f or (kind == "histogram" and name.startswith(f + "_"))
                       for f, kind in families.items()), line
            assert (name, labels) not in found
            found[name, labels] = float(value)
    return found


def test_metrics_count_what_happens(engine, api, make):
    before = metrics(api)
    make()
    api.create("no-such-image:1", pull_policy="never")
    box = api.create("busybox").ok()["id"]
    api.delete(box).ok()
    after = metrics(api)

    def grown(name, labels=None):
        return after.get((name, labels), 0) - before.get((name, labels), 0)

    create = 'method="POST",route="/api/v1/sandbox"'
    assert grown("caisson_http_requests_total", create + ',status="200"') == 2
    assert grown("caisson_http_requests_total", create + ',status="404"') == 1
    assert grown("caisson_http_request_seconds_count", create) == 3
    assert grown("caisson_sandbox_create_seconds_count") == 2
    assert grown("caisson_sandbox_ends_total", 'reason="DELETED"') == 1
    assert grown("caisson_sandbox_records", 'status="RUNNING"') == 1
    assert after["caisson_engine_up", None] == 1
    assert after["caisson_engine_sandboxes", 'state="running"'] >= 1
    assert after["caisson_images", None] == 1 and after["caisson_layer_bytes", None] > 0
    assert after["caisson_gateway_restarts_total", None] == 0
    assert after["caisson_http_connections", None] >= 1
    assert any(name == "caisson_build_info" for name, _ in after)
    promtool = shutil.which("promtool")
    if promtool:
        subprocess.run([promtool, "check", "metrics"], input=api.raw("GET", "/metrics").body, check=True)


def test_who_is_not_ready_says_so(engine, api):
    ready = api.raw("GET", "/readyz").json
    assert ready["status"] == "ready" and ready["disks"] in ("quota", "loop", "btrfs", "memory", "none")
    os.kill(engine.pid, signal.SIGSTOP)  # caissond, which does not answer now
    try:
        answer = api.raw("GET", "/readyz")
        assert answer.status == 503 and "engine" in answer.detail
        assert metrics(api)["caisson_engine_up", None] == 0
        assert api.raw("GET", "/healthz").status == 200
    finally:
        os.kill(engine.pid, signal.SIGCONT)
    assert api.raw("GET", "/readyz").status == 200


# ---- the description -------------------------------------------------------------------------------

def described(spec, schema, value, where):
    """Every member of an answer is described, and what is described as needed is there."""
    if "$ref" in schema:
        schema = spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    for kind in schema.get("anyOf", ()):
        if isinstance(value, list) and kind.get("type") == "array":
            schema = kind
        elif isinstance(value, dict) and ("$ref" in kind or kind.get("type") == "object"):
            schema = kind
            if "$ref" in kind:
                return described(spec, kind, value, where)
    if isinstance(value, dict) and "properties" in schema:
        assert not set(value) - set(schema["properties"]), f"{where}: not described"
        assert not set(schema["required"]) - set(value), f"{where}: missing"
        for key, item in value.items():
            described(spec, schema["properties"][key], item, f"{where}.{key}")
    elif isinstance(value, list) and "items" in schema:
        for item in value:
            described(spec, schema["items"], item, where + "[]")


def test_answers_are_as_described(api, make):
    spec = api.raw("GET", "/openapi.json").ok()
    box = make(environment_vars={"A": "b"}, secrets={"S": "t"}, labels=["l"], start_command=["sleep", "9"])
    asked = [
        ("GET", "/healthz", None), ("GET", "/readyz", None),
        ("GET", "/api/v1/sandbox", None), ("GET", "/api/v1/sandbox/{id}", None),
        ("GET", "/api/v1/sandbox/{id}/logs", None), ("GET", "/api/v1/sandbox/{id}/usage", None),
        ("GET", "/api/v1/usage", None),
        ("POST", "/api/v1/sandbox/{id}/exec", {"command": "echo a"}),
        ("GET", "/api/v1/images", None), ("GET", "/api/v1/images/{name}", None),
        ("POST", "/api/v1/images/tag", {"image": "busybox", "name": "other"}),
        ("DELETE", "/api/v1/images/{name}", None), ("POST", "/api/v1/images/prune", {}),
        ("GET", "/api/v1/registries", None),
        ("DELETE", "/api/v1/sandbox", {"sandbox_ids": ["none"]}),
    ]
    for method, path, body in asked:
        name = "other" if method == "DELETE" else "busybox"
        answer = api.request(method, path.format(id=box, name=name), body).ok()
        form = spec["paths"][path][method.lower()]["responses"]["200"]["content"]["application/json"]
        described(spec, form["schema"], answer, f"{method} {path}")
    error = api.request("GET", "/api/v1/sandbox/none").json
    described(spec, spec["components"]["schemas"]["Error"], error, "error")
