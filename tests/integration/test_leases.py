# SPDX-License-Identifier: Apache-2.0
"""A sandbox goes when its owner does: when nobody renews its lease, and no connection holds it."""

import json
import os
import signal
import socket
import subprocess
import time

import conftest
import harness


def leased(api, seconds, **fields):
    made = api.create(lease={"heartbeat_seconds": seconds}, **fields).ok()
    assert made["leaseSeconds"] == seconds
    return made["id"]


def renew(api, key):
    return api.request("POST", f"/api/v1/sandbox/{key}/lease")


def expect_end(api, key, seconds=10):
    harness.wait_until(lambda: api.get(key)["terminatedAt"] is not None, seconds, "its end")
    ended = api.get(key)
    assert ended["status"] == "TERMINATED" and ended["terminationReason"] == "LEASE", ended


class Holder:
    """The connection that a lease is bound to."""

    def __init__(self, engine, key):
        self.connection = harness.UnixConnection(engine.socket, 20)
        self.connection.request("GET", f"/api/v1/sandbox/{key}/lease")
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, self.answer.read()
        self.line()

    def line(self):
        return json.loads(self.answer.readline())

    def close(self):
        self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def test_it_goes_without_a_heartbeat_and_stays_with_one(engine, api):
    silent, busy = leased(api, 2), leased(api, 2)
    api.request("POST", f"/api/v1/sandbox/{busy}/pause").ok()  # the owner is there or not, whatever it does
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert renew(api, busy).ok()["heartbeat_seconds"] == 2
        time.sleep(0.2)
    expect_end(api, silent, 1)
    assert api.get(busy)["status"] == "PAUSED"
    expect_end(api, busy)
    answer = renew(api, busy)
    assert answer.status == 409 and "TERMINATED" in answer.detail, answer


def test_a_connection_holds_it(engine, api):
    key = leased(api, 1)
    first, second = Holder(engine, key), Holder(engine, key)
    time.sleep(2.5)
    first.close()
    time.sleep(2.5)
    assert api.get(key)["status"] == "RUNNING"
    second.close()
    expect_end(api, key)


def test_who_holds_hears_of_the_end(engine, api):
    key = leased(api, 60)
    holder = Holder(engine, key)
    api.delete(key).ok()
    while True:
        line = holder.line()
        if line["status"] == "TERMINATED":
            break
    assert holder.answer.read() == b""


def test_a_restart_begins_it_anew(engine, api):
    key = leased(api, 4)
    time.sleep(2)
    old = engine.gateway
    os.kill(old, signal.SIGKILL)
    harness.wait_until(lambda: api.healthy() and engine.gateway != old, 10, "a new gateway")
    began = time.monotonic()
    expect_end(api, key, 20)
    assert time.monotonic() - began > 2.5


def test_only_what_has_one(engine, api, make):
    key = make()
    assert api.get(key)["leaseSeconds"] is None
    for method in ("POST", "GET"):
        answer = api.request(method, f"/api/v1/sandbox/{key}/lease")
        assert answer.status == 409 and "no lease" in answer.detail, answer
    for lease in ({}, {"heartbeat_seconds": 0}, {"heartbeat_seconds": 86401}, {"heartbeat_seconds": "1"}, 5, []):
        answer = api.create(lease=lease)
        assert answer.status == 400 and "lease" in answer.detail, (lease, answer)


def test_in_line_too():
    """Who waits for room has an owner as well."""
    for engine in conftest.run_engine("--max-sandboxes", "1"):
        api = engine.api
        key = api.create().ok()["id"]
        waits = leased(api, 1)
        assert api.get(waits)["status"] == "PENDING"
        expect_end(api, waits)
        assert api.request("GET", "/api/v1/host").ok()["queue"]["length"] == 0
        api.delete(key).ok()


def test_the_command_holds_it(engine, api):
    made = engine.cli("create", "busybox", "--lease", "1")
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    with subprocess.Popen([harness.program("caisson"), "lease", key], env=engine.cli_environment(), cwd="/",
                          stdin=subprocess.DEVNULL) as holder:
        time.sleep(3)
        assert holder.poll() is None and api.get(key)["status"] == "RUNNING"
        holder.kill()
    expect_end(api, key)
    assert engine.cli("lease", key).returncode == 6
