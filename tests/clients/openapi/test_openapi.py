# SPDX-License-Identifier: Apache-2.0
"""/openapi.json by its own rules, the API by /openapi.json, and /metrics by Prometheus' own reader."""

import json
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "..", "integration")]

import archives  # noqa: E402
import harness  # noqa: E402

KEY = "openapi-" + os.urandom(20).hex()
SECONDS = 80  # of one run
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
ENDLESS = ["watchSandboxes", "followLogs"]
PROTOBUF = ["primeStartCommand", "primeWatchCommand", "primeSendInput", "primeSendSignal"]
ENDING = ["deleteSandbox", "deleteSandboxes", "stopSandbox", "pauseSandbox", "changeSandbox", "removeImage",
          "pruneImages"]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    file = tmp_path_factory.mktemp("key") / "key"
    file.write_text(KEY)
    file.chmod(0o600)
    port = harness.free_port()
    for engine in harness.run_engine(
            "--listen", f"127.0.0.1:{port}", "--admin-key-file", str(file),
            prepare=lambda engine: engine.api.import_image("busybox", archives.busybox()).ok()):
        engine.url = f"http://127.0.0.1:{port}"
        yield engine
        for row in engine.api.list():
            engine.api.delete(row["id"])


def test_it_is_openapi(engine):
    import openapi_spec_validator

    spec = engine.api.raw("GET", "/openapi.json").ok()
    openapi_spec_validator.validate(spec)
    ids = [op["operationId"] for item in spec["paths"].values() for op in item.values()]
    assert len(ids) == len(set(ids)) > 60


def fuzz(engine, directory, phase, parameters, excluded):
    config = directory / "schemathesis.toml"
    config.write_text("[parameters]\n" + "".join(f'"{name}" = "{value}"\n' for name, value in parameters.items()))
    tool = os.path.join(os.path.dirname(sys.executable), "schemathesis")
    command = [tool, "--config-file", str(config), "run", engine.url + "/openapi.json", "--header",
               f"Authorization: Bearer {KEY}", "--checks", CHECKS, "--seed", "1", "--max-examples", "5", "--phases",
               phase, "--request-timeout", "20", "--no-color", "--generation-database", "none"]
    for name in excluded:
        command += ["--exclude-operation-id", name]
    run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=directory)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-1000:]


def test_any_request_is_answered_as_described(engine, tmp_path):
    gateway = engine.gateway
    fuzz(engine, tmp_path, "fuzzing", {}, ENDLESS + PROTOBUF)
    assert engine.gateway == gateway


def test_requests_for_a_sandbox_are_answered_as_described(engine, tmp_path):
    """The same where there is what the path names."""
    gateway = engine.gateway
    if not engine.api.images():  # fuzzed away
        engine.api.import_image("busybox", archives.busybox()).ok()
    box = engine.api.create("busybox").ok()["id"]
    fuzz(engine, tmp_path, "coverage", {"path.id": box, "path.name": "busybox"}, ENDLESS + PROTOBUF + ENDING)
    assert engine.gateway == gateway
    assert engine.api.get(box)["status"] == "RUNNING"


def test_prometheus_reads_the_metrics(engine):
    from prometheus_client.parser import text_string_to_metric_families

    answer = engine.api.raw("GET", "/metrics")
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    for family in families.values():
        assert family.documentation and family.type in ("counter", "gauge", "histogram"), family
    requests = families["caisson_http_requests"]
    assert sum(sample.value for sample in requests.samples) > 100
    spec = engine.api.raw("GET", "/openapi.json").ok()
    for sample in requests.samples:
        assert sample.labels["route"] == "none" or any(
            sample.labels["route"].split("{")[0] == path.split("{")[0] for path in spec["paths"]), sample
    assert json.dumps(sorted(families))  # and nothing twice, which the reader would have refused
