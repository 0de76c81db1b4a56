# SPDX-License-Identifier: Apache-2.0
"""Exposed ports as the documents show them: HTTP and TCP, by the SDK and by the CLI of the first generation."""

import contextlib
import json
import socket
import time
import urllib.request

import prime_sandboxes
import pytest
from conftest import PYTHON

pytestmark = pytest.mark.first
ECHO = ("python -c \"import socketserver as s; "
        "h = type('H', (s.StreamRequestHandler,), {'handle': lambda x: x.wfile.write(x.rfile.readline())}); "
        "s.TCPServer(('0.0.0.0', 9000), h).serve_forever()\"")


def fetch(url):
    """The page, as soon as the server inside is there."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            assert error.code == 502 and "nothing listens" in json.load(error)["detail"]
            time.sleep(0.2)
    raise AssertionError("the server inside does not begin")


def ask(host, port):
    for _ in range(100):
        with contextlib.suppress(ConnectionError), socket.create_connection((host, port), timeout=20) as sock:
            sock.sendall(b"hello\n")
            answer = sock.recv(100)
            if answer:
                return answer
        time.sleep(0.2)
    raise AssertionError("the server inside does not begin")


def test_the_documents_http_and_tcp(sdk, make):
    sandbox = make(PYTHON, sdk=sdk)
    sdk.start_background_job(sandbox.id, "python -m http.server 8000 --bind 0.0.0.0")
    web = sdk.expose(sandbox.id, port=8000, name="web-server")
    assert (web.port, web.name, web.protocol, web.external_port) == (8000, "web-server", "HTTP", None)
    assert "Directory listing" in fetch(web.url)
    sdk.start_background_job(sandbox.id, ECHO)
    tcp = sdk.expose(sandbox.id, port=9000, name="tcp-server", protocol="TCP")
    host, port = tcp.external_endpoint.rsplit(":", 1)
    assert int(port) == tcp.external_port and ask(host, tcp.external_port) == b"hello\n"
    assert sdk.list_exposed_ports(sandbox.id).exposures == [web, tcp]
    assert sdk.list_all_exposed_ports().exposures == [web, tcp]
    sdk.unexpose(sandbox.id, web.exposure_id)
    assert sdk.list_exposed_ports(sandbox.id).exposures == [tcp]
    for wrong in (21, 8080):
        with pytest.raises(prime_sandboxes.APIError, match="HTTP 400.*cannot be exposed"):
            sdk.expose(sandbox.id, port=wrong)


def test_the_documents_cli(cli, make):
    sandbox = make(PYTHON)
    cli("sandbox", "run", sandbox.id, "sh -c 'nohup python -m http.server 8000 --bind 0.0.0.0 >/dev/null 2>&1 &'")
    said = cli("sandbox", "expose", sandbox.id, "8000", "--name", "web-server", "--output", "json")
    web = json.loads(said)
    assert "Directory listing" in fetch(web["url"])
    assert web["exposure_id"] in cli("sandbox", "list-ports", sandbox.id)
    assert "TCP" in cli("sandbox", "expose", sandbox.id, "9000", "--name", "tcp-server", "--protocol", "TCP")
    assert "unexposed" in cli("sandbox", "unexpose", sandbox.id, web["exposure_id"], "--yes")
    assert web["exposure_id"] not in cli("sandbox", "list-ports")
