# SPDX-License-Identifier: Apache-2.0
"""The HTTP side of the gateway: names of requests, packed answers."""

import gzip

import pytest


def test_an_answer_has_the_name_of_its_request(api):
    given = api.raw("GET", "/api/v1/sandbox/none", headers={"X-Request-Id": "mine-1"})
    assert given.status == 404 and given.headers["X-Request-Id"] == given["request_id"] == "mine-1"
    made = api.raw("GET", "/healthz", headers={"X-Request-Id": 'a "b'})
    assert len(made.headers["X-Request-Id"]) == 16
    again = api.raw("GET", "/nowhere")
    assert again["request_id"] == again.headers["X-Request-Id"] != made.headers["X-Request-Id"]


@pytest.mark.parametrize("accept, packed", [("gzip, deflate", True), ("gzip;q=0", False), (None, False)])
def test_long_json_is_packed_for_who_accepts_it(api, make, accept, packed):
    box = make(environment_vars={f"V{i}": "x" * 100 for i in range(60)})
    headers = {"Accept-Encoding": accept} if accept else {}
    long = api.raw("GET", f"/api/v1/sandbox/{box}", headers=headers)
    assert (long.headers.get("Content-Encoding") == "gzip") is packed
    assert long.headers["Vary"] == "Accept-Encoding"
    assert b"V59" in (gzip.decompress(long.body) if packed else long.body)
    short = api.raw("GET", "/healthz", headers=headers)
    assert short.json == {"status": "ok"} and "Content-Encoding" not in short.headers
