# SPDX-License-Identifier: Apache-2.0
"""kill -9 of each part, restarts, a second daemon, and how an engine ends."""

import fcntl
import os
import signal
import subprocess
import threading
import time

import pytest

import archives
import harness

ANSWER_SECONDS = 10


@pytest.fixture
def engine(fresh_engine):
    return fresh_engine


def running(api, key):
    return api.exec(key, "echo alive").stdout == "alive\n"


@pytest.mark.smoke
def test_gateway_killed(engine):
    api = engine.api
    key = api.create("busybox", name="kept").ok()["id"]
    api.exec(key, "setsid sleep 1000 >/dev/null 2>&1 & echo x >/mark")
    for _ in range(3):
        old = engine.gateway
        agent = engine.agent_of(key)
        os.kill(old, signal.SIGKILL)
        harness.wait_until(lambda: api.healthy() and engine.gateway != old, ANSWER_SECONDS,
                           "a new gateway")
        assert engine.agent_of(key) == agent
        assert api.get("kept")["status"] == "RUNNING"
        assert running(api, key)
        assert api.exec(key, "cat /mark; ps").stdout.count("sleep 1000") == 1
    api.delete(key).ok()


def test_gateway_killed_while_creating_and_running(engine):
    """At any moment: what was not answered leaves nothing behind, what was answered is there."""
    api = engine.api
    stop, made = threading.Event(), []

    def work():
        client = harness.Api(engine.socket, 20)
        while not stop.is_set():
            try:
                key = client.create("busybox").ok()["id"]
                made.append(key)
                client.exec(key, "echo x")
            except Exception:
                client.close()
                time.sleep(0.02)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        time.sleep(0.4)
        os.kill(engine.gateway, signal.SIGKILL)
        harness.wait_until(api.healthy, ANSWER_SECONDS, "a new gateway")
        harness.wait_until(lambda: harness.children(engine.pid), 5)
    stop.set()
    for thread in threads:
        thread.join(30)
    listed = {s["id"] for s in api.list()}
    assert set(made) <= listed
    for key in listed:
        if key in made[-5:]:
            assert running(api, key)
        api.delete(key).ok()
    harness.wait_until(lambda: not api.list(), 10, "an empty list")


def test_spawner_killed(engine):
    api = engine.api
    key = api.create("busybox").ok()["id"]
    os.kill(engine.child("caisson-spawner"), signal.SIGKILL)
    assert running(api, key)

    def create():
        answer = api.create("busybox")
        return answer["id"] if answer.status == 200 else None

    for _ in range(8):
        api.delete(harness.wait_until(create, ANSWER_SECONDS, "a sandbox from a new spawner")).ok()
    api.delete(key).ok()


@pytest.mark.smoke
def test_caissond_killed_and_restarted(engine):
    api = engine.api
    keys = [api.create("busybox", name=f"adopted-{i}").ok()["id"] for i in range(3)]
    for key in keys:
        api.exec(key, f"echo {key} >/mark; setsid sleep 4321 >/dev/null 2>&1 &")
    agents = {key: engine.agent_of(key) for key in keys}
    blanks = set(engine.agents()) - set(agents.values())
    engine.kill()
    assert all(harness.alive(pid) for pid in agents.values())
    engine.start()
    for key in keys:
        assert harness.alive(agents[key])
        assert api.get(key)["status"] == "RUNNING"
        seen = api.exec(key, "cat /mark; ps")
        assert key in seen.stdout and "4321" in seen.stdout, seen
    harness.wait_until(lambda: not any(harness.alive(pid) for pid in blanks), 10,
                       "the end of the old blanks")
    new = api.create("busybox").ok()["id"]
    assert running(api, new)
    for key in [*keys, new]:
        api.delete(key).ok()


def test_caissond_killed_many_times(engine):
    api = engine.api
    key = api.create("busybox").ok()["id"]
    for delay in (0.0, 0.01, 0.05, 0.2, 0.5):
        worker = threading.Thread(target=lambda: [quietly(harness.Api(engine.socket, 5).create)
                                                  for _ in range(10)])
        worker.start()
        time.sleep(delay)
        engine.kill()
        worker.join()
        engine.start()
        assert running(api, key)
    for sandbox in api.list():
        api.delete(sandbox["id"]).ok()


def quietly(call):
    try:
        call()
    except Exception:
        pass


def test_sandbox_that_died_while_caissond_was_down(engine):
    api = engine.api
    key = api.create("busybox", name="lost").ok()["id"]
    agent = engine.agent_of(key)
    engine.kill()
    os.kill(agent, signal.SIGKILL)
    harness.wait_until(lambda: not harness.alive(agent), 5, "its end")
    engine.start()
    answer = api.get(key)
    assert answer.status == 404 or answer["status"] in ("TERMINATED", "ERROR"), answer
    assert api.exec_raw(key, "true").status in (404, 409)
    again = api.create("busybox", name="lost").ok()["id"]
    api.delete(again).ok()


def test_second_daemon_is_refused(engine):
    second = subprocess.run(engine.command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    assert second.returncode != 0 and engine.state.encode() in second.stdout, second.stdout
    assert engine.api.healthy()


def test_sigterm_ends_sandboxes_when_told(engine):
    key = engine.api.create("busybox").ok()["id"]
    agent = engine.agent_of(key)
    began = time.monotonic()
    engine.stop()
    assert time.monotonic() - began < 20 and engine.process.returncode == 0
    assert not harness.alive(agent)
    engine.start()
    answer = engine.api.get(key)
    assert answer.status == 404 or answer["status"] == "TERMINATED", answer


def test_sigterm_keeps_sandboxes_when_told(engine):
    engine.stop()
    engine.start("--on-stop", "keep")
    api = engine.api
    key = api.create("busybox").ok()["id"]
    api.exec(key, "echo x >/mark")
    agent = engine.agent_of(key)
    engine.stop()
    assert engine.process.returncode == 0 and harness.alive(agent)
    engine.start()
    assert api.exec(key, "cat /mark").stdout == "x\n" and engine.agent_of(key) == agent
    api.delete(key).ok()


@pytest.mark.smoke
def test_agent_killed_from_the_host(engine):
    api = engine.api
    key = api.create("busybox").ok()["id"]
    api.exec(key, "setsid sleep 1000 >/dev/null 2>&1 &")
    os.kill(engine.agent_of(key), signal.SIGKILL)

    def ended():
        answer = api.get(key)
        return answer.status == 404 or answer["status"] in ("ERROR", "TERMINATED")

    harness.wait_until(ended, 1.5, "the status to say so")
    harness.wait_until(lambda: not engine.sandbox_pids(key), 1.5, "the end of its processes")
    answer = api.exec_raw(key, "true")
    assert answer.status in (404, 409) and answer.detail, answer
    assert api.delete(key).status in (200, 404)


def test_exec_in_progress_when_the_sandbox_dies(engine):
    api = engine.api
    key = api.create("busybox").ok()["id"]
    with api.stream(key, "echo begun; sleep 1000") as stream:
        stream.until(b"begun")
        os.kill(engine.agent_of(key), signal.SIGKILL)
        began = time.monotonic()
        try:
            stream.wait()
        except EOFError:
            pass
        assert time.monotonic() - began < 5
    api.delete(key)


def test_stopped_agent_delays_no_other(engine):
    """An agent that never answers: its own requests end by deadline, others are served."""
    api = engine.api
    stuck, other = api.create("busybox").ok()["id"], api.create("busybox").ok()["id"]
    agent = engine.agent_of(stuck)
    os.kill(agent, signal.SIGSTOP)
    try:
        answers = []
        waiter = threading.Thread(target=lambda: answers.append(
            harness.Api(engine.socket, 60).exec_raw(stuck, "true")))
        waiter.start()
        for _ in range(10):
            began = time.monotonic()
            assert api.exec(other, "echo x").stdout == "x\n"
            assert time.monotonic() - began < 2
        began = time.monotonic()
        api.delete(stuck).ok()
        assert time.monotonic() - began < 10
        waiter.join(60)
        assert answers and answers[0].status >= 400
    finally:
        quietly(lambda: os.kill(agent, signal.SIGCONT))
    api.delete(other).ok()


def test_idle_connections_delay_nobody(engine):
    import socket
    idle = []
    for _ in range(400):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(5)
        try:
            connection.connect(engine.socket)
            connection.send(b"GET /healthz HTTP/1.1\r\nHo")
        except OSError:
            break
        idle.append(connection)
    times = []
    for _ in range(20):
        began = time.monotonic()
        assert engine.api.healthy()
        times.append(time.monotonic() - began)
    for connection in idle:
        connection.close()
    assert sorted(times)[10] < 0.25, times


def test_full_disk_has_its_own_message(tmp_path):
    """State on a file system that is nearly full: an import says so and leaves nothing."""
    before = harness.settled()
    engine = harness.Engine()
    os.mkdir(engine.state)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", engine.state], check=True)
    try:
        engine.start()
        engine.instance_path = engine.instance()
        answer = engine.api.import_image("large", archives.busybox(
            [archives.Entry("large", os.urandom(12 << 20))]))
        assert answer.status == 507 and answer.detail, answer
        layers = os.path.join(engine.state, "layers")
        assert os.listdir(layers) == [] and engine.api.healthy()
        engine.stop()
    finally:
        if engine.process and engine.process.poll() is None:
            engine.process.terminate()
            engine.process.wait(20)
        subprocess.run(["umount", engine.state], check=True)
    left = harness.leaks(before, engine)
    assert not left, left
    engine.remove()


def test_starts_with_what_it_needs_or_says_so(engine):
    """A missing helper program and a bad option each have an error that names them."""
    for options, word in ((["--libexec", "/nonexistent"], b"/nonexistent"),
                          (["--user", "no-such-user"], b"no-such-user"), (["--no-such-option"], b"")):
        other = harness.Engine()
        result = subprocess.run(other.command(*options), stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, timeout=20)
        assert result.returncode != 0 and word in result.stdout, (options, result.stdout)
        other.remove()


def test_logs_hold_no_secret_and_no_control_characters(engine):
    api = engine.api
    key = api.create("busybox", secrets={"S": "very-hidden-value"}, environment_vars={"E": "env-value"}).ok()["id"]
    api.create("no-such\x1b[31m-image")
    api.exec_raw(key, "echo very-hidden-command", user="bad\nuser")
    api.raw("GET", "/%1b%5b31m%0ainjected")
    api.delete(key).ok()
    log = engine.log()
    for word in ("very-hidden-value", "env-value", "very-hidden-command", "\x1b", "must-not-leak"):
        assert word not in log, word
    assert not [line for line in log.splitlines() if line.startswith("injected")]


def test_two_engines_of_one_state_directory(engine, api):
    """The second one says who has it, and does the first no harm."""
    second = subprocess.run(engine.command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    assert second.returncode != 0 and f"another caissond, pid {engine.pid}".encode() in second.stdout, second
    assert api.create().status == 200


def test_lock_outlives_its_owner_a_little(engine):
    """As by a child that the killed one was just about to start."""
    engine.kill()
    lock = os.open(os.path.join(engine.state, "lock"), os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    threading.Timer(0.5, os.close, (lock,)).start()
    begin = time.monotonic()
    engine.start()
    assert 0.3 < time.monotonic() - begin < 5
