# SPDX-License-Identifier: Apache-2.0
"""`prime sandbox ssh`, which runs OpenSSH's client: plain SSH in the first generation, a line in front in the newest."""

import os
import socket
import subprocess
import sys

import pytest
from conftest import FIRST
from harness import free_port, wait_until

SECONDS = 100


def start(box, *words):
    return subprocess.Popen([os.path.join(os.path.dirname(sys.executable), "prime"), "sandbox", "ssh", box, *words],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process, text=""):
    said = process.communicate(text, timeout=SECONDS)[0]
    return process.returncode, said


def test_a_command(box):
    code, said = ended(start(box, "--", "-T", "echo $((6*7)); exit 3"))
    assert "42\n" in said
    assert "exited with code 3" in said if FIRST else code == 3


@pytest.mark.newest  # the first one sleeps five seconds before it connects
def test_a_piped_shell(box):
    """The image has bash, so that is what one gets."""
    said = ended(start(box), "echo $BASH_VERSION-here\nexit\n")[1]
    assert "-here" in said and "\n-here" not in said


@pytest.mark.newest
def test_a_shell_by_name(box):
    said = ended(start(box, "--shell", "sh"), "echo $0 is here\nexit\n")[1]
    assert "sh is here" in said


def test_a_forwarded_port(box, api):
    """As the documents have it: prime sandbox ssh ID -- -L 3000:localhost:3000."""
    api.exec(box, "cd /etc && (python3 -m http.server 3000 --bind 127.0.0.1 >/dev/null 2>&1 &)")
    port = free_port()
    process = start(box, "--", "-L", f"{port}:localhost:3000", "cat")

    def fetch():
        try:
            with socket.create_connection(("127.0.0.1", port), 10) as client:
                client.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
                return b"".join(iter(lambda: client.recv(65536), b""))
        except OSError:
            return b""
    name = api.exec(box, "cat /etc/hostname").stdout.encode()
    wait_until(lambda: fetch().endswith(name), SECONDS, "an answer through the tunnel", every=0.3)
    ended(process)


@pytest.mark.newest
def test_a_sandbox_that_is_not_there(engine):
    assert ended(start("nothing"))[0] == 1
