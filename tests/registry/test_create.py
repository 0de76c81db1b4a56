# SPDX-License-Identifier: Apache-2.0
"""create with an image that is not there: it is pulled, once for all who wait for it."""

import threading

import chaos
import harness

WAITING = ("PENDING", "PROVISIONING")


def wait_for(api, key, *statuses, seconds=40):
    return harness.wait_until(lambda: (lambda s: s if s["status"] in statuses else None)(api.get(key).ok()),
                              seconds, f"{statuses}", 0.05)


def created(api, image, **fields):
    """The sandbox's id, whether create answers at once or when it runs."""
    return api.create(image, **fields).ok()["id"]


def test_create_pulls(fleet, images, api):
    name = f"{fleet.plain.address}/test/three"
    key = created(api, name)
    wait_for(api, key, "RUNNING")
    assert api.exec(key, "cat /data/keep").stdout == "kept"
    assert images.names() == [name + ":latest"]
    api.delete(key).ok()


def test_it_is_seen_waiting(fleet, images, api, engine):
    go_on = threading.Event()
    fleet.plain.fault(chaos.stall(0, go_on), blobs=True)
    thread = threading.Thread(target=lambda: harness.Api(engine.socket).create(
        f"{fleet.plain.address}/test/three", name="waits"))
    thread.start()
    try:
        harness.wait_until(lambda: fleet.plain.requests("/blobs/"), 20)
        seen = api.get("waits").ok()
        assert seen["status"] in WAITING, seen
    finally:
        go_on.set()
        thread.join()
    wait_for(api, "waits", "RUNNING")
    api.delete("waits").ok()


def test_several_share_one_pull(fleet, images, api, engine):
    name = f"{fleet.plain.address}/test/three"
    fleet.plain.fault(chaos.slow(1 << 20), blobs=True)
    names = [f"sharer-{i}" for i in range(6)]
    threads = [threading.Thread(target=lambda n=n: harness.Api(engine.socket).create(name, name=n)) for n in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for key in names:
        wait_for(api, key, "RUNNING")
        api.delete(key).ok()
    asked = [record.path for record in fleet.plain.requests("/blobs/")]
    assert len(asked) == len(set(asked)) == 4, "each blob once"
    assert len(fleet.plain.requests("/manifests/")) <= 2


def test_failure_has_the_registrys_words(fleet, images, api):
    fleet.plain.fault(chaos.status(403, {"errors": [{"code": "DENIED", "message": "not for you, said the registry"}]}),
                      manifests=True)
    answer = api.create(f"{fleet.plain.address}/test/three", name="refused")
    seen = wait_for(api, "refused", "ERROR") if answer.status in (200, 201) else None
    if seen is None:
        seen = api.get("refused").json if api.get("refused").status == 200 else answer.json
    assert "not for you, said the registry" in str(seen), seen
    assert "IMAGE_PULL" in str(seen).upper().replace("-", "_").replace(" ", "_"), seen
    assert images.list() == []
    if api.get("refused").status == 200:
        api.delete("refused").ok()


def test_unknown_image_is_an_error(fleet, images, api):
    answer = api.create(f"{fleet.plain.address}/test/absent", name="absent")
    if answer.status in (200, 201):
        seen = wait_for(api, "absent", "ERROR")
        assert "test/absent" in str(seen)
        api.delete("absent").ok()
    else:
        assert 400 <= answer.status < 500 and "test/absent" in answer.detail


def test_deleted_while_it_waits(fleet, images, api, engine):
    go_on = threading.Event()
    fleet.plain.fault(chaos.stall(0, go_on), blobs=True)
    thread = threading.Thread(target=lambda: harness.Api(engine.socket).create(
        f"{fleet.plain.address}/test/three", name="goes"))
    thread.start()
    try:
        harness.wait_until(lambda: fleet.plain.requests("/blobs/"), 20)
        api.delete("goes").ok()
    finally:
        go_on.set()
        thread.join()
    seen = api.get("goes")
    assert seen.status == 404 or seen["status"] not in (*WAITING, "RUNNING"), seen


def test_pull_never(engine, fleet, images):
    name = f"{fleet.plain.address}/test/three"
    result = engine.cli("create", name, "--pull", "never")
    assert result.returncode != 0 and "test/three" in result.stderr, result
    assert fleet.plain.records == [] and images.list() == []


def test_pull_always(engine, fleet, images, api):
    name = f"{fleet.plain.address}/test/three"
    images.pull(name).ok()
    fleet.plain.forget()
    for policy, asked in (("missing", False), ("always", True)):
        result = engine.cli("create", name, "--pull", policy)
        assert result.returncode == 0, result
        key = result.stdout.split()[-1]
        wait_for(api, key, "RUNNING")
        api.delete(key).ok()
        assert bool(fleet.plain.requests("/manifests/")) == asked
    assert not fleet.plain.requests("/blobs/")


def test_image_in_use_stays(fleet, images, api, make):
    name = f"{fleet.plain.address}/test/three"
    key = make(name)
    wait_for(api, key, "RUNNING")
    answer = images.remove(name)
    assert answer.status == 409 and answer.detail, answer
    images.prune(all=True).ok()
    assert images.names() == [name + ":latest"]
    assert api.exec(key, "cat /data/keep").stdout == "kept"
