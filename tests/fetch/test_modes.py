# SPDX-License-Identifier: Apache-2.0
"""Up and down, at docker-registry in each of its modes."""

import json
import os
import time

import pytest

from registry import PASSWORD, USER, Registry
from worker import PLAIN, digest_of

MODES = ("anonymous", "basic", "tls", "token")
TYPE = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.fixture
def connect(worker, registries, ca):
    """A worker for the registry of a mode; without more, with the credentials that it takes."""
    def make(mode, **more):
        server = registries[mode]
        if server.tls is None:
            more.setdefault("flags", PLAIN)
        else:
            more.setdefault("ca", ca)
        if server.accounts:
            more.setdefault("user", USER)
            more.setdefault("password", PASSWORD)
        return worker().endpoint(server.address, **more)
    return make


def manifest_of(config, layer):
    return json.dumps({
        "schemaVersion": 2, "mediaType": TYPE,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(config),
                   "size": len(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest_of(layer),
                    "size": len(layer)}]}).encode()


def test_there_and_back(connect, mode):
    layer, config = os.urandom(5 << 20), b'{"architecture":"amd64"}'
    there = connect(mode)
    assert there.login().ok
    for data in (layer, config):
        answer = there.put_blob("some/image", data)
        assert (answer.how, answer.size, answer.digest) == ("moved", len(data), digest_of(data))
    assert there.put_blob("some/image", layer).how == "existed"
    answer = there.put_blob("some/other", layer, mount_from="some/image")
    assert answer.ok and answer.how == "mounted", answer
    manifest = manifest_of(config, layer)
    assert there.put_manifest("some/image", "v1.0", manifest, TYPE).ok

    back = connect(mode)
    answer = back.manifest("some/image", "v1.0")
    assert answer.file == manifest
    assert (answer.digest, answer.claimed) == (digest_of(manifest),) * 2
    assert (answer.size, answer.media_type) == (len(manifest), TYPE)
    assert back.manifest("some/image", digest_of(manifest)).file == manifest
    numbers = [back.start_blob("some/image", digest_of(data), len(data)) for data in (layer, config)]
    assert [back.wait(number).file for number in numbers] == [layer, config]
    answer = back.blob("some/other", digest_of(layer), len(layer), have=layer[:1234567])
    assert answer.ok and answer.file == layer


def test_a_host_by_its_name(worker, registries, ca):
    """Looked up by a thread of libcurl's, in the copy of /etc/hosts."""
    assert worker().endpoint(f"localhost:{registries['anonymous'].port}", flags=PLAIN).login().ok
    answer = worker().endpoint(f"localhost:{registries['tls'].port}", ca=ca, user=USER, password=PASSWORD).login()
    assert answer.ok and answer.endpoint.startswith("localhost:")


def test_names_below_a_prefix(connect):
    data = b"prefixed"
    assert connect("token", prefix="proxy/hub").put_blob("library/x", data).how == "moved"
    assert connect("token").blob("proxy/hub/library/x", digest_of(data), len(data)).file == data


def test_tokens_for_nobody_in_particular(connect, tokens):
    data = b"for all to read"
    assert connect("token").put_blob("open/image", data).ok
    nobody = connect("token", user="", password="")
    assert nobody.blob("open/image", digest_of(data), len(data)).file == data
    answer = nobody.put_blob("open/image", b"not for all to write")
    assert not answer.ok and (answer.reason, answer.status) == ("unauthorized", 401)
    assert "wants credentials for repository 'open/image'" in answer.text
    assert "caisson image login" in answer.text


@pytest.mark.parametrize("mode", ("basic", "tls", "token"))
def test_wrong_password(connect, mode):
    wrong = connect(mode, password="wrong")
    for answer in (wrong.login(), wrong.manifest("some/image", "v1.0")):
        assert not answer.ok and (answer.reason, answer.status, answer.kind) == ("unauthorized", 401, "denied")
        assert "refuses the user name or the password" in answer.text
        assert "wrong" not in answer.text.replace("wrong password", "")


@pytest.mark.parametrize("mode", ("basic", "tls"))
def test_no_password(connect, mode):
    answer = connect(mode, user="", password="").manifest("some/image", "v1.0")
    assert not answer.ok and answer.reason == "unauthorized"
    assert "wants credentials for 'some/image:v1.0'" in answer.text


def test_unknown_names(connect, mode):
    asks = connect(mode)
    answer = asks.manifest("no/such", "tag")
    assert not answer.ok and (answer.reason, answer.status, answer.kind) == ("not_found", 404, "not_found")
    assert "has no 'no/such:tag'" in answer.text and "MANIFEST_UNKNOWN" in answer.text
    answer = asks.blob("no/such", digest_of(b"?"), 1)
    assert not answer.ok and answer.reason == "not_found"
    assert "BLOB_UNKNOWN" in answer.text or "NAME_UNKNOWN" in answer.text


def test_unknown_certificate(connect):
    answer = connect("tls", ca=b"").login()
    assert not answer.ok and answer.reason == "certificate"
    assert "'ca'" in answer.text and "caisson-registries.conf" in answer.text


def test_certificate_of_another_host(worker, top, authority, ca):
    directory = os.path.join(top, "other-host")
    os.makedirs(directory)
    server = Registry(directory, tls=authority.issue("other", hosts=("DNS:other.example",)), authority=authority)
    server.ready = lambda: True
    with server:
        answer = worker().endpoint(server.address, ca=ca)
        end = time.monotonic() + 30
        result = answer.login()
        while result.reason == "unreachable" and time.monotonic() < end:  # nobody has waited for it to listen
            time.sleep(0.1)
            result = answer.login()
    assert result.reason == "certificate" and server.address in result.text


def test_plain_http_where_tls_is_due(worker, registries):
    answer = worker().endpoint(registries["anonymous"].address).login()
    assert not answer.ok and answer.reason == "not_tls"
    assert "does not speak TLS" in answer.text and "plain_http = yes" in answer.text


def test_tls_where_plain_http_is_due(worker, registries):
    answer = worker().endpoint(registries["tls"].address, flags=PLAIN).login()
    assert not answer.ok and "HTTP request to an HTTPS server" in answer.text


def test_registry_is_killed_and_comes_back(worker, top):
    directory = os.path.join(top, "killed")
    os.makedirs(directory)
    data = os.urandom(1 << 20)
    with Registry(directory) as server:
        asks = worker().endpoint(server.address, flags=PLAIN)
        assert asks.put_blob("a", data).ok
        server.kill()
        number = asks.start_blob("a", digest_of(data), len(data))
        server.start()
        assert asks.wait(number).file == data
