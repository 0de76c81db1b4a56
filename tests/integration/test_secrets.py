# SPDX-License-Identifier: Apache-2.0
"""Secrets: present inside, nowhere else; and sandboxes that wait for their image while the gateway dies."""

import contextlib
import gzip
import hashlib
import http.client
import http.server
import json
import os
import stat
import tempfile
import threading

import pytest

import archives
import harness


class Registry(http.server.BaseHTTPRequestHandler):
    """One image; while closed, it answers nothing at all."""
    protocol_version = "HTTP/1.1"
    open, blobs, manifest = threading.Event(), {}, b""

    def do_GET(self):
        self.open.wait(60)
        kind = "application/octet-stream"
        if "/manifests/" in self.path:
            body, kind = self.manifest, "application/vnd.oci.image.manifest.v1+json"
        else:
            body = self.blobs.get(self.path.rsplit("/", 1)[1], b"{}")
        with contextlib.suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Docker-Content-Digest", "sha256:" + hashlib.sha256(body).hexdigest())
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def serve_busybox():
    tree = archives.tar(archives.busybox_entries())
    layer = gzip.compress(tree)
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]}, "rootfs": {
        "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tree).hexdigest()]}}).encode()

    def described(data, kind):
        name = "sha256:" + hashlib.sha256(data).hexdigest()
        Registry.blobs[name] = data
        return {"mediaType": kind, "digest": name, "size": len(data)}
    Registry.manifest = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [described(layer, "application/vnd.oci.image.layer.v1.tar+gzip")]}).encode()


@pytest.fixture(scope="module")
def registry():
    serve_busybox()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    Registry.open.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def engine(registry):
    with tempfile.TemporaryDirectory(prefix="caisson-secrets.") as top:
        os.chmod(top, 0o755)  # the gateway's user reads it, again at each start
        conf = os.path.join(top, "registries.conf")
        with open(conf, "w", encoding="utf-8") as file:
            file.write(f'[registries]\n[registry "{registry}"]\nplain_http = yes\n')
        yield from harness.run_engine("--registries", conf, "--log-level", "debug", prepare=lambda engine:
                                      engine.api.import_image("busybox", archives.busybox()).ok())


class Secret:
    """A value, and every place where it must not be."""

    def __init__(self, engine):
        self.engine, self.value = engine, "s3cret" + os.urandom(12).hex()
        self.answers = []

    def ask(self, *arguments):
        answer = self.engine.api.request(*arguments)
        self.answers.append(answer)
        return answer

    def is_nowhere(self):
        value = self.value.encode()
        for top, _, files in os.walk(self.engine.top):
            for name in files:
                path = os.path.join(top, name)
                with contextlib.suppress(FileNotFoundError):  # removed while we look
                    if stat.S_ISREG(os.lstat(path).st_mode) and not os.path.ismount(path):
                        assert value not in harness.read(path, binary=True), path
        for pid in [self.engine.pid, *harness.children(self.engine.pid)]:
            for name in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    assert value not in harness.read(f"/proc/{pid}/{name}", binary=True), (pid, name)
        for answer in self.answers:
            assert value not in answer.body + str(answer.headers).encode(), answer


def test_a_secret_is_inside_and_nowhere_else(engine):
    secret = Secret(engine)
    body = {"name": "s", "docker_image": "busybox", "cpu_cores": 1, "memory_gb": 0.25,
            "secrets": {"TOKEN": secret.value}, "start_command": "sleep 1000"}
    made = secret.ask("POST", "/api/v1/sandbox", body).ok()
    assert made["secrets"] == {"TOKEN": "***"}
    key = made["id"]
    try:
        assert engine.api.exec(key, "echo $TOKEN").stdout.strip() == secret.value
        secret.ask("GET", f"/api/v1/sandbox/{key}").ok()
        secret.ask("GET", "/api/v1/sandbox").ok()
        secret.ask("GET", f"/api/v1/sandbox/{key}/logs").ok()
        secret.ask("GET", "/api/v1/audit").ok()
        secret.is_nowhere()
    finally:
        secret.ask("DELETE", f"/api/v1/sandbox/{key}").ok()
    for wrong in ({"image": 1}, {"cpu_cores": "x"}, {"docker_image": "no/such:image", "pull_policy": "never"},
                  {"secrets": {"TOKEN": [secret.value]}}, {"secrets": {"A=B": secret.value}},
                  {"secrets": secret.value}, {"start_command": "/nope", "user": "x", "gpu_count": 1}):
        assert secret.ask("POST", "/api/v1/sandbox", {**body, **wrong}).status >= 400 or "image" in wrong
    for item in engine.api.list():
        secret.ask("DELETE", f"/api/v1/sandbox/{item['id']}")
    secret.is_nowhere()


def answers(engine, key):
    with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
        return engine.api.get(key).ok()
    return None


def test_a_sandbox_that_waits_outlives_the_gateway(engine, registry):
    Registry.open.clear()
    secret = Secret(engine)
    made = secret.ask("POST", "/api/v1/sandbox", {
        "name": "w", "docker_image": f"{registry}/box:1", "cpu_cores": 1, "memory_gb": 0.25,
        "environment_vars": {"PLAIN": "p"}, "secrets": {"TOKEN": secret.value},
        "start_command": "echo it is $PLAIN; sleep 1000"}).ok()
    key = made["id"]
    assert made["status"] == "PENDING"
    secret.is_nowhere()
    file = os.path.join(engine.state, "gateway/secret.key")
    before = harness.read(file)
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600 and len(before) == 65
    assert engine.cli("secret-key", "rotate").stdout == "1 sealed anew\n"
    assert harness.read(file) != before and not os.path.exists(file + ".next")
    secret.is_nowhere()
    os.kill(engine.gateway, 9)
    harness.wait_until(lambda: answers(engine, key), 20, "the gateway")
    assert answers(engine, key)["status"] == "PENDING"
    Registry.open.set()
    harness.wait_until(lambda: answers(engine, key)["status"] != "PENDING", 30, "the image")
    harness.wait_until(lambda: answers(engine, key)["status"] == "RUNNING", 10, "the sandbox")
    assert engine.api.exec(key, "echo $PLAIN $TOKEN").stdout == f"p {secret.value}\n"
    harness.wait_until(lambda: engine.api.logs(key) == "it is p\n", 5, "the start command")
    assert engine.cli("secret-key", "rotate").stdout == "0 sealed anew\n"  # it has what it was given
    engine.api.delete(key).ok()
    secret.is_nowhere()


def test_tokens_outlive_the_gateway(engine):
    made = engine.api.create("busybox").ok()
    token = engine.api.request("POST", f"/api/v1/sandbox/{made['id']}/auth").ok()["token"]
    os.kill(engine.gateway, 9)
    harness.wait_until(lambda: answers(engine, made["id"]), 20, "the gateway")
    answer = engine.api.raw("POST", f"/api/v1/sandbox/{made['id']}/exec", json.dumps({"command": "echo hi"}),
                            {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
    assert answer.ok()["stdout"] == "hi\n"
    engine.api.delete(made["id"]).ok()
