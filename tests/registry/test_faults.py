# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between here and a registry: a text that says what, a store as before, and a retry that
goes on where the first try ended."""

import os
import threading
import time

import pytest

import chaos
import harness
from registry import PASSWORD, USER

MIB = 1 << 20


def layers_of(fleet, name):
    """(digest, size) of the layers of a filled image."""
    import json
    return [(layer["digest"], layer["size"])
            for layer in json.loads(fleet.anonymous.manifest(f"test/{name}:latest"))["layers"]]


def refused(images, name, *words, **more):
    """A pull that fails with a text of one line that has all the words; no image appears."""
    before = images.names()
    outcome = images.pull(name, **more)
    assert not outcome.done and outcome.error, outcome
    text = outcome.error.lower()
    assert all(word.lower() in text for word in words), f"{words} in {outcome.error!r}"
    assert outcome.error.isprintable() and len(outcome.error) < 1000, outcome.error
    assert outcome.code, outcome
    assert images.names() == before
    return outcome


def nothing_left(images):
    """What a failed pull may leave for the next one goes when it is not wanted."""
    images.prune().ok()
    assert images.files() == {}


# ---- each with its own words -------------------------------------------------------------------------

@pytest.mark.parametrize("mode", ["basic", "token"])
def test_wrong_password(fleet, images, mode):
    server = fleet.registries[mode]
    name = f"{server.address}/test/three"
    refused(images, name, server.address, "password", username=USER, password="wrong")
    refused(images, name, server.address, "credentials")
    nothing_left(images)
    images.pull(name, username=USER, password=PASSWORD).ok()


@pytest.mark.parametrize("mode", ["anonymous", "token"])
def test_unknown_tag(fleet, images, mode):
    server = fleet.registries[mode]
    more = {"username": USER, "password": PASSWORD} if server.accounts else {}
    refused(images, f"{server.address}/test/three:absent", "three", "absent", **more)
    refused(images, f"{server.address}/test/absent:latest", "test/absent", **more)
    refused(images, f"{server.address}/test/three@sha256:{'0' * 64}", "0000", **more)
    nothing_left(images)


@pytest.mark.parametrize("how, words", [("unknown authority", ["certificate"]), ("wrong host", ["certificate"]),
                                        ("expired", ["expired"]), ("not TLS", ["http"])])
def test_bad_certificate(fleet, images, how, words):
    server = fleet.bad[how]
    outcome = refused(images, f"{server.address}/test/three", server.address, *words)
    assert server.records == [], "nothing was asked of a server that nobody vouches for"
    nothing_left(images)
    assert "plain" in outcome.error.lower() or "tls" in outcome.error.lower() or how != "not TLS"


def test_plain_http_is_asked_of_a_tls_server(fleet, images):
    """The other way round: TLS is spoken where it is not configured otherwise, so this one just works."""
    images.pull(f"{fleet.tls.address}/test/three").ok()


def test_nobody_is_there(fleet, images):
    port = fleet.plain.port
    fleet.plain.close()
    refused(images, f"127.0.0.1:{port}/test/three", f"127.0.0.1:{port}")
    refused(images, "does-not-exist.invalid/test/three", "does-not-exist.invalid")
    nothing_left(images)


def test_expired_token_is_renewed(fleet, images):
    """Tokens that live for two seconds, in a pull that takes longer."""
    fleet.tokens.lifetime, fleet.tokens.told = 2, 2
    fleet.bearer.fault(chaos.slow(2 * MIB), blobs=True)
    fleet.bearer.fault(chaos.cut(after=5 * MIB), blobs=layers_of(fleet, "big")[1][0], times=1)
    images.pull(f"{fleet.bearer.address}/test/big").ok()
    assert len(fleet.tokens.records) >= 2


def test_token_that_is_told_to_live_longer_than_it_does(fleet, images):
    fleet.tokens.lifetime, fleet.tokens.told = 2, 3600
    fleet.bearer.fault(chaos.slow(2 * MIB), blobs=True)
    fleet.bearer.fault(chaos.cut(after=5 * MIB), blobs=layers_of(fleet, "big")[1][0], times=1)
    images.pull(f"{fleet.bearer.address}/test/big").ok()


def test_tokens_that_have_expired_already(fleet, images):
    fleet.tokens.lifetime = -10
    refused(images, f"{fleet.bearer.address}/test/three", fleet.bearer.address, "token")
    assert len(fleet.tokens.records) <= 6, "it is not asked for ever"
    nothing_left(images)


def test_token_service_is_away(fleet, images):
    port = fleet.tokens.port
    fleet.tokens.close()
    refused(images, f"{fleet.bearer.address}/test/three", f"127.0.0.1:{port}")
    fleet.heal()
    images.pull(f"{fleet.bearer.address}/test/three").ok()


@pytest.mark.parametrize("name, act, words", [
    ("flipped", chaos.flip(), ["digest"]),
    ("shorter", chaos.shorter(7), ["bytes"]),
    ("longer", chaos.longer(7), ["bytes"]),
])
def test_wrong_blob(fleet, images, name, act, words):
    digest, _ = layers_of(fleet, "three")[0]
    fleet.plain.fault(act, blobs=digest)
    refused(images, f"{fleet.plain.address}/test/three", digest[7:19], *words)
    assert not any(digest[7:] in path and size > 0 for path, size in images.files().items()), "wrong bytes are kept"
    nothing_left(images)
    fleet.heal()
    images.pull(f"{fleet.plain.address}/test/three").ok()


def test_wrong_configuration(fleet, images):
    image = images.pull(f"{fleet.plain.address}/test/three").ok()
    images.clear()
    fleet.plain.fault(chaos.flip(), blobs=image["id"])
    refused(images, f"{fleet.plain.address}/test/three", image["id"][7:19], "digest")
    nothing_left(images)


def test_wrong_manifest(fleet, images):
    digest = fleet.anonymous.digests["three"]
    fleet.plain.fault(chaos.flip(at=20), manifests=True)
    refused(images, f"{fleet.plain.address}/test/three@{digest}", "digest")
    nothing_left(images)


@pytest.mark.parametrize("code", [500, 429])
def test_server_that_stays_broken(fleet, images, code):
    fleet.plain.fault(chaos.status(code, Retry_After=0), manifests=True)
    outcome = refused(images, f"{fleet.plain.address}/test/three", fleet.plain.address, str(code))
    assert f"the test says {code}" in outcome.error, "the registry's own words"
    assert 2 <= len(fleet.plain.requests("/manifests/")) <= 10
    nothing_left(images)


@pytest.mark.parametrize("code", [400, 403])
def test_refusal_is_not_repeated(fleet, images, code):
    fleet.plain.fault(chaos.status(code), manifests=True)
    outcome = refused(images, f"{fleet.plain.address}/test/three", fleet.plain.address)
    assert f"the test says {code}" in outcome.error
    assert len(fleet.plain.requests("/manifests/")) == 1
    nothing_left(images)


# ---- tries again by itself ---------------------------------------------------------------------------

@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_passing_errors(fleet, images, code):
    fleet.plain.fault(chaos.status(code), path="/v2/test/", times=2)
    fleet.plain.fault(chaos.status(code), blobs=True, times=2)
    images.pull(f"{fleet.plain.address}/test/three").ok()


def test_retry_after_is_obeyed(fleet, images):
    fleet.plain.fault(chaos.status(429, Retry_After=3), manifests=True, times=1)
    images.pull(f"{fleet.plain.address}/test/three").ok()
    first, second = fleet.plain.requests("/manifests/")[:2]
    assert 2.5 < second.begin - first.end < 10


def test_retry_after_of_years(fleet, images):
    """Nobody waits for so long without a word."""
    fleet.plain.fault(chaos.status(429, Retry_After=10**9), manifests=True)
    refused(images, f"{fleet.plain.address}/test/three", "429", "1000000000 seconds")
    assert len(fleet.plain.requests("/manifests/")) == 1


def test_cut_once_goes_on_in_the_middle(fleet, images):
    digest, size = layers_of(fleet, "big")[1]
    fleet.plain.fault(chaos.cut(after=5 * MIB), blobs=digest, times=1)
    images.pull(f"{fleet.plain.address}/test/big").ok()
    assert fleet.plain.served(digest) < size + MIB, "it began anew"
    ranges = [record.range for record in fleet.plain.requests("/blobs/" + digest)]
    assert len(ranges) == 2 and ranges[1].startswith("bytes="), ranges


def test_server_without_ranges(fleet, images):
    """One that always sends all of it."""
    digest, _ = layers_of(fleet, "big")[1]
    fleet.plain.fault(chaos.cut(after=5 * MIB), blobs=digest, times=1)
    plain_ask = fleet.plain.ask

    def ask(connection, exchange):
        del exchange.headers["Range"]
        return plain_ask(connection, exchange)
    fleet.plain.ask = ask
    try:
        images.pull(f"{fleet.plain.address}/test/big").ok()
    finally:
        del fleet.plain.ask


def test_cut_always(fleet, images):
    """No answer holds a byte: it is given up in the end."""
    digest, size = layers_of(fleet, "big")[1]
    fleet.plain.fault(chaos.cut(after=0), blobs=digest)
    refused(images, f"{fleet.plain.address}/test/big", fleet.plain.address, "layer 2")
    assert len(fleet.plain.requests("/blobs/" + digest)) <= 12
    nothing_left(images)


def test_cut_again_and_again(fleet, images):
    """Every answer ends after two MiB, but each try gets further."""
    digest, size = layers_of(fleet, "big")[1]
    fleet.plain.fault(chaos.cut(after=2 * MIB), blobs=digest)
    images.pull(f"{fleet.plain.address}/test/big").ok()
    assert fleet.plain.served(digest) < size + 2 * MIB


# ---- a second pull goes on ---------------------------------------------------------------------------

def test_second_pull_goes_on(fleet, images, shows):
    """Layers that were whole are not asked for again, and the half one is continued."""
    (base, _), (digest, size) = layers_of(fleet, "big")
    fleet.plain.fault(chaos.cut(after=5 * MIB), blobs=digest, times=1)
    fleet.plain.fault(chaos.status(404), blobs=digest, skip=1)
    refused(images, f"{fleet.plain.address}/test/big", digest[7:19])
    fleet.plain.heal()
    fleet.plain.forget()
    images.pull(f"{fleet.plain.address}/test/big").ok()
    assert fleet.plain.served(base) == 0, "the whole layer was fetched again"
    assert fleet.plain.served(digest) < size - 4 * MIB, "the half layer was begun anew"
    assert images.garbage() == []
    shows(f"{fleet.plain.address}/test/big", "stat -c %s /noise", f"{8 * MIB}\n")


def test_registry_is_killed_in_mid_pull(fleet, images):
    digest, size = layers_of(fleet, "big")[1]
    base = layers_of(fleet, "big")[0][0]

    def die():
        fleet.anonymous.kill()
        fleet.plain.close()
    fleet.plain.fault(chaos.slow(8 * MIB), blobs=digest)
    fleet.plain.fault(chaos.call(lambda: threading.Thread(target=die).start(), after=5 * MIB), blobs=digest, times=1)
    name = f"{fleet.plain.address}/test/big"
    refused(images, name, fleet.plain.address)
    harness.wait_until(lambda: fleet.plain.listener is None, 10)
    fleet.heal()
    images.pull(name).ok()
    assert fleet.plain.served(base) == 0
    assert fleet.plain.served(digest) < size - 2 * MIB


def test_registry_comes_back_in_time(fleet, images):
    """Away for a second: the pull waits for it."""
    digest, _ = layers_of(fleet, "big")[1]

    def fall_and_rise():
        fleet.plain.close()
        time.sleep(1)
        fleet.plain.open()
    fleet.plain.fault(chaos.call(lambda: threading.Thread(target=fall_and_rise).start(), after=4 * MIB),
                      blobs=digest, times=1)
    fleet.plain.fault(chaos.slow(16 * MIB), blobs=digest)
    images.pull(f"{fleet.plain.address}/test/big").ok()


def test_engine_ends_in_mid_pull(engine, fleet, images):
    """What was under way is swept at the next start, and nothing is left of it."""
    digest, _ = layers_of(fleet, "big")[1]
    go_on = threading.Event()
    fleet.plain.fault(chaos.stall(4 * MIB, go_on), blobs=digest)
    name = f"{fleet.plain.address}/test/big"
    try:
        with images.stream("images/pull", image=name) as stream:
            for event in stream:
                if event.get("digest") == digest and event.get("bytes", 0) > 0:
                    break
            engine.kill()
        engine.start()
        assert images.list() == []
        assert not [path for path in images.files() if "/partial/" in path]
    finally:
        go_on.set()
    fleet.heal()
    images.pull(name).ok()
    assert images.garbage() == []
    images.sound()


# ---- leaving ---------------------------------------------------------------------------------------

def workers(engine):
    return [pid for pid in harness.children(engine.pid) if harness.comm(pid).startswith(("caisson-fetch", "caisson-image"))]


def test_client_that_leaves_cancels(engine, fleet, images):
    digest, _ = layers_of(fleet, "big")[1]
    go_on = threading.Event()
    fleet.plain.fault(chaos.stall(2 * MIB, go_on), blobs=digest)
    try:
        with images.stream("images/pull", image=f"{fleet.plain.address}/test/big") as stream:
            for event in stream:
                if event.get("digest") == digest:
                    break
        harness.wait_until(lambda: workers(engine) == [], 10, "the end of the workers")
    finally:
        go_on.set()
    assert images.list() == []
    nothing_left(images)


def test_leaving_and_coming_back(fleet, images, shows):
    """Each time a little further, and nobody in the way of the next."""
    digest, size = layers_of(fleet, "big")[1]
    fleet.plain.fault(chaos.slow(16 * MIB), blobs=digest)
    name = f"{fleet.plain.address}/test/big"
    for _ in range(6):
        with images.stream("images/pull", image=name) as stream:
            for event in stream:
                if event.get("digest") == digest and event.get("bytes", 0) > 0:
                    break
    fleet.plain.heal()
    images.pull(name).ok()
    assert fleet.plain.served(digest) < 3 * size
    shows(name, "stat -c %s /noise", f"{8 * MIB}\n")
    images.sound()


def test_prune_during_a_pull(fleet, images, shows):
    """What is on its way in is nobody's yet, and is not taken away."""
    digest, size = layers_of(fleet, "big")[1]
    go_on = threading.Event()
    fleet.plain.fault(chaos.stall(2 * MIB, go_on), blobs=digest)
    name = f"{fleet.plain.address}/test/big"
    images.pull(f"{fleet.anonymous.address}/test/one").ok()
    with images.stream("images/pull", image=name) as stream:
        harness.wait_until(lambda: fleet.plain.served(digest) >= 2 * MIB, 20)
        images.prune(all=True).ok()
        assert images.list() == []
        go_on.set()
        assert list(stream)[-1]["status"] == "done"
    assert fleet.plain.served(digest) == size
    images.sound()
    shows(name, "stat -c %s /noise", f"{8 * MIB}\n")


def test_one_of_two_clients_leaves(fleet, images):
    """The pull is shared, and goes on for the other."""
    digest, size = layers_of(fleet, "big")[1]
    go_on = threading.Event()
    fleet.plain.fault(chaos.stall(2 * MIB, go_on), blobs=digest)
    name = f"{fleet.plain.address}/test/big"
    with images.stream("images/pull", image=name) as staying:
        with images.stream("images/pull", image=name) as leaving:
            next(iter(leaving))
        go_on.set()
        events = list(staying)
    assert events[-1]["status"] == "done"
    assert fleet.plain.served(digest) == size, "fetched once"


# ---- credentials go to whom they belong ---------------------------------------------------------------

def test_redirect_leaks_nothing(fleet, images, shows):
    """Blobs are elsewhere, on another host, as the large registries have it."""
    fleet.bearer.fault(chaos.redirect(fleet.elsewhere.url + "/signed{path}"), blobs=True)
    images.pull(f"{fleet.bearer.address}/test/three").ok()
    assert fleet.elsewhere.records
    for record in fleet.elsewhere.records:
        assert record.authorization is None and "Cookie" not in record.headers, record.headers
        assert PASSWORD not in str(record.headers)
    shows(f"{fleet.bearer.address}/test/three")


def test_redirect_of_basic_leaks_nothing(fleet, images):
    """The same address but for the port, and the password of the configuration."""
    fleet.plain_basic.fault(chaos.redirect(fleet.plain.url + "{path}"), blobs=True)
    images.pull(f"{fleet.plain_basic.address}/test/three").ok()
    assert fleet.plain.requests("/blobs/")
    assert all(record.authorization is None for record in fleet.plain.records)


def test_redirect_from_tls_to_plain_http(fleet, images):
    fleet.bearer.fault(chaos.redirect(fleet.elsewhere_plain.url + "{path}"), blobs=True)
    refused(images, f"{fleet.bearer.address}/test/three", "http")
    assert fleet.elsewhere_plain.records == []


def test_token_service_elsewhere_gets_no_password_in_the_clear(fleet, images):
    """A realm of plain HTTP in the challenge of a TLS registry."""
    fleet.bearer.fault(chaos.status(401, WWW_Authenticate=f'Bearer realm="{fleet.hostile.url}/token",service="x"'))
    refused(images, f"{fleet.bearer.address}/test/three", fleet.bearer.address)
    assert all(record.authorization is None for record in fleet.hostile.records)


def test_credentials_of_one_registry_stay_there(fleet, images):
    refused(images, f"{fleet.basic.address}/test/three", "credentials")
    fleet.plain.fault(chaos.status(401, WWW_Authenticate='Basic realm="x"'))
    refused(images, f"{fleet.plain.address}/test/three", "credentials")
    assert all(record.authorization is None for record in fleet.plain.records)


def test_secrets_are_in_no_log(engine, fleet, images):
    refused(images, f"{fleet.basic.address}/test/three", username="alice", password="a-password-to-look-for")
    assert "a-password-to-look-for" not in engine.log()
    for top, _, names in os.walk(os.path.join(engine.state, "gateway")):
        for name in names:
            with open(os.path.join(top, name), "rb") as file:
                assert b"a-password-to-look-for" not in file.read(), name
