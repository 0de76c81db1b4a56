# SPDX-License-Identifier: Apache-2.0
"""The servers and the images themselves, with skopeo and plain HTTP as clients: faults are real ones."""

import http.client
import json
import os
import ssl
import time

import pytest

import archives
import chaos
import harness
import registry
from builders import as_tar
from registry import PASSWORD, USER, base64

TOOLS = ("umoci", "umoci_opaque", "buildah", "buildah_docker", "skopeo_oci", "skopeo_zstd",
         "skopeo_oci_archive", "skopeo_docker_archive", "skopeo_dir", "skopeo_schema2",
         "podman_docker_archive", "podman_oci_archive", "one", "three", "many", "index")


def get(server, path, authority=None, headers=()):
    """(response, body) of one GET."""
    if server.tls is not None:
        context = authority.context() if authority else ssl.create_default_context()
        connection = http.client.HTTPSConnection(server.host, server.port, timeout=20, context=context)
    else:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    connection.request("GET", path, headers=dict(headers))
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def layers_of(server, name):
    return [layer["digest"] for layer in json.loads(server.manifest(name))["layers"]]


@pytest.mark.parametrize("mode", ["anonymous", "basic", "tls", "token"])
def test_skopeo_pulls_from_each(fleet, mode, tmp_path):
    server = fleet.registries[mode]
    assert server.inspect("test/three:latest")["Digest"] == server.digests["three"]
    registry.skopeo("copy", "-q", *server.skopeo_options(), f"docker://{server.address}/test/three:latest",
                    f"oci:{tmp_path}/copy:latest")
    assert os.path.exists(tmp_path / "copy/index.json")


@pytest.mark.parametrize("mode", ["basic", "token"])
def test_accounts_are_needed(fleet, mode):
    server = fleet.registries[mode]
    for wrong in ([], [f"--creds={USER}:wrong"]):
        options = [o for o in server.skopeo_options("") if not o.startswith("--creds")] + wrong
        with pytest.raises(AssertionError, match="(?i)unauthori|authentication required|incorrect"):
            registry.skopeo("inspect", *options, f"docker://{server.address}/test/three:latest")


def test_tokens_expire(fleet):
    basic = {"Authorization": "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}

    def token():
        _, body = get(fleet.tokens, "/token?service=x&scope=repository:test/three:pull", fleet.authority, basic)
        return {"Authorization": "Bearer " + json.loads(body)["token"]}

    def tags(headers):
        return get(fleet.bearer, "/v2/test/three/tags/list", fleet.authority, headers)[0].status
    fleet.tokens.lifetime = 2
    headers = token()
    assert tags(headers) == 200
    time.sleep(3.1)
    assert tags(headers) == 401
    assert tags(token()) == 200


def test_proxy_counts(fleet):
    digest = layers_of(fleet.anonymous, "test/big:latest")[-1]
    size = os.path.getsize(fleet.anonymous.blob(digest))
    path = f"/v2/test/big/blobs/{digest}"
    assert len(get(fleet.plain, path)[1]) == size
    harness.wait_until(lambda: fleet.plain.served(digest) == size, 5)  # it counts what it has sent
    response, part = get(fleet.plain, path, headers={"Range": f"bytes={size - 10}-"})
    assert response.status == 206 and len(part) == 10
    harness.wait_until(lambda: fleet.plain.served(digest) == size + 10, 5)
    assert [r.range for r in fleet.plain.requests("/blobs/")] == [None, f"bytes={size - 10}-"]


def test_proxy_fails_as_told(fleet):
    digest = layers_of(fleet.anonymous, "test/big:latest")[-1]
    path = f"/v2/test/big/blobs/{digest}"
    with open(fleet.anonymous.blob(digest), "rb") as file:
        right = file.read()
    proxy = fleet.plain
    proxy.fault(chaos.status(429, Retry_After=1), times=1)
    response, _ = get(proxy, path)
    assert response.status == 429 and response.getheader("Retry-After") == "1"
    proxy.heal()
    for act in (chaos.cut(after=1 << 20), chaos.cut()):
        proxy.fault(act, blobs=digest, times=1)
        with pytest.raises((http.client.HTTPException, OSError)):
            get(proxy, path)
    assert get(proxy, path)[1] == right, "once only"
    for act, count in ((chaos.flip(), 0), (chaos.shorter(5), -5), (chaos.longer(5), 5)):
        proxy.fault(act, blobs=digest, times=1)
        data = get(proxy, path)[1]
        assert len(data) == len(right) + count and data != right
    proxy.fault(chaos.redirect(fleet.elsewhere_plain.url + "{path}"), blobs=True)
    assert get(proxy, path)[0].getheader("Location") == fleet.elsewhere_plain.url + path
    assert get(fleet.elsewhere_plain, path, headers={"Range": "bytes=5-"})[1] == right[5:]


def test_proxy_is_slow(fleet):
    digest = layers_of(fleet.anonymous, "test/wide:latest")[-1]
    fleet.plain.fault(chaos.slow(2 << 20), blobs=True)
    begin = time.monotonic()
    get(fleet.plain, f"/v2/test/wide/blobs/{digest}")
    assert 0.4 < time.monotonic() - begin < 3


def test_registry_dies_and_comes_back(fleet):
    digest = layers_of(fleet.anonymous, "test/big:latest")[-1]
    path = f"/v2/test/big/blobs/{digest}"
    fleet.plain.fault(chaos.call(fleet.anonymous.kill, after=1 << 20), blobs=True, times=1)
    with pytest.raises((http.client.HTTPException, OSError)):
        get(fleet.plain, path)
        get(fleet.plain, path)  # what the registry had sent already may have been all
    assert fleet.anonymous.process is None
    fleet.anonymous.start()
    assert len(get(fleet.plain, path)[1]) > 8 << 20


@pytest.mark.parametrize("how", ["unknown authority", "wrong host", "expired", "not TLS"])
def test_bad_certificates_are_bad(fleet, how):
    server = fleet.bad[how]
    context = fleet.authority.context()
    with pytest.raises(ssl.SSLError):
        connection = http.client.HTTPSConnection(server.host, server.port, timeout=20, context=context)
        connection.request("GET", "/v2/")


def test_skopeo_pushes_through_a_proxy(fleet, builder):
    for proxy in (fleet.plain, fleet.bearer):
        options = [f"--dest-cert-dir={fleet.authority.directory}"] if proxy.tls else ["--dest-tls-verify=false"]
        if proxy is fleet.bearer:
            options.append(f"--dest-creds={USER}:{PASSWORD}")
        registry.skopeo("copy", "-q", *options, f"oci:{builder.three}:latest",
                        f"docker://{proxy.address}/pushed/three:latest")
        assert proxy.requests(method="PUT") and proxy.requests("/blobs/uploads", "PATCH")


@pytest.mark.parametrize("name", TOOLS)
def test_images_are_made(builder, name):
    path = getattr(builder, name)
    assert os.path.exists(path)
    if name == "many":
        with open(os.path.join(path, "index.json")) as file:
            manifest = json.load(file)["manifests"][0]["digest"].split(":")[1]
        with open(os.path.join(path, "blobs/sha256", manifest)) as file:
            assert len(json.load(file)["layers"]) == 127
    if os.path.isdir(path):
        assert len(as_tar(path)) > 1000


def test_layout_has_the_right_digests(builder):
    for name in os.listdir(os.path.join(builder.index, "blobs/sha256")):
        with open(os.path.join(builder.index, "blobs/sha256", name), "rb") as file:
            assert archives.sha256(file.read()) == name
