# SPDX-License-Identifier: Apache-2.0
"""
Thousands of requests that are wrong in some way, made from a fixed seed: each gets a 4xx with a `detail`,
or its connection is closed where HTTP leaves no other way; never a 5xx, and the gateway stays the same
process. CAISSON_MALFORMED=N asks for another number of them, CAISSON_SEED for another seed, CAISSON_GATEWAY for
another gateway, one with sanitizers say: what they find ends it.
"""

import collections
import json
import os
import random
import socket

import pytest

import archives
import harness

COUNT = int(os.environ.get("CAISSON_MALFORMED", "5000"))
SEED = int(os.environ.get("CAISSON_SEED", "5"))
GATEWAY = os.environ.get("CAISSON_GATEWAY")


class Request:
    """Bytes to send."""

    def __init__(self, family, data):
        self.family, self.data = family, data


def http(method, path, body=b"", headers=(), length=None):
    lines = [f"{method} ".encode() + (path if isinstance(path, bytes) else path.encode()) + b" HTTP/1.1",
             b"Host: localhost"]
    lines += [h if isinstance(h, bytes) else h.encode() for h in headers]
    if body or length is not None:
        lines.append(f"Content-Length: {len(body) if length is None else length}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


# ---- families: each takes the dice and what there is, and gives one request ------------------------

class World:
    def __init__(self, spec, box):
        self.spec, self.box = spec, box
        self.operations = [(path, method.upper(), op) for path, item in sorted(spec["paths"].items())
                           for method, op in sorted(item.items())]
        self.json = [(path, method, op) for path, method, op in self.operations
                     if "application/json" in op.get("requestBody", {}).get("content", {})
                     and "/nfs/" not in path]  # JSON-RPC tells errors in answers of 200

    def url(self, path):
        for name in ("id", "name", "host"):
            path = path.replace("{%s}" % name, self.box)
        return path

    def schema(self, op):
        schema = op["requestBody"]["content"]["application/json"].get("schema", {})
        name = schema.get("$ref", "").rsplit("/", 1)[-1]
        return self.spec["components"]["schemas"].get(name, {"properties": {}})


BAD_JSON = [
    b"{", b"}", b"[", b"[]", b"null", b"true", b"1", b'"a"', b"{}}", b"{} {}", b"{,}", b'{"a"}', b'{"a":}',
    b'{"a":1,}', b"{'a':1}", b"{a:1}", b'{"a":01}', b'{"a":+1}', b'{"a":1e}', b'{"a":NaN}', b'{"a":Infinity}',
    b'{"a":"\x00"}', b'{"a":"\\u0000"}', b'{"a":"\\ud800"}', b'{"a":"\\x41"}', b'{"a":"\n"}', b'{"a":"\xff"}',
    b'{"\xc0\xaf":1}', b'\xef\xbb\xbf{}', b'{"a":1,"a":2}', b"\xff\xfe{\x00}\x00", b"[" * 5000,
    b'{"a":' * 3000 + b"1" + b"}" * 3000, b'{"a":1e999}', b'{"a":"' + b"\xed\xa0\x80" + b'"}', b"\x00", b"//x",
    b'{"a":1}\x00', b"<xml/>", b"a=b&c=d", b'{"a":99999999999999999999999999}',
]
VALUES = [None, True, False, 0, 1, -1, 1.5, 1e300, -1e300, 2**63, -(2**63), "", "a", "\u0001", "x" * 70000, [], {},
          [1], [None], [[]], ["a", 1], [{}], {"a": 1}, {"": "x"}, {"a=b": "x"}, {"a": None}, {"a": {}}, {"a": []}]


def broken_json(dice, world):
    path, method, _ = dice.choice(world.json)
    body = dice.choice(BAD_JSON)
    if dice.random() < 0.3:  # one that was right, cut or with a byte changed into one that no JSON has
        whole = json.dumps({"docker_image": "busybox", "command": ["a", "b"], "labels": ["x"]}).encode()
        at = dice.randrange(1, len(whole) - 1)
        body = whole[:at] if dice.random() < 0.5 else whole[:at] + bytes([dice.choice((0, 1, 0xff, 0xc1))]) + whole[at:]
    return Request("JSON", http(method, world.url(path), body))


def fits(schema, value):
    for kind in schema.get("anyOf", ()):
        name = kind.get("type", "object")
        if name == "null" and value is None:
            return True
        if name == "boolean" and isinstance(value, bool):
            return True
        if name in ("integer", "number") and isinstance(value, (int, float)) and not isinstance(value, bool):
            if name == "number" or float(value).is_integer():
                return kind.get("minimum", value) <= value <= kind.get("maximum", value)
        if name == "string" and isinstance(value, str):
            return True
        if name == "array" and isinstance(value, list):
            return all(isinstance(item, str) for item in value) or "$ref" in kind.get("items", {})
        if name == "object" and isinstance(value, dict):
            return "$ref" in kind or all(isinstance(item, str) for item in value.values())
    return "anyOf" not in schema


def wrong_type(dice, world):
    while True:
        path, method, op = dice.choice(world.json)
        schema = world.schema(op)
        fields = sorted(schema["properties"])
        if not fields:
            continue
        field = dice.choice(fields)
        value = dice.choice(VALUES)
        if fits(schema["properties"][field], value):
            continue
        body = {name: "busybox" for name in schema.get("required", ())}
        body[field] = value
        return Request("type", http(method, world.url(path), json.dumps(body).encode()))


def exact_fields(dice, world):
    """Every field of a create and of a command, with values that its own rules refuse."""
    creates = [("docker_image", v) for v in ("", "UPPER/case", "a b", "x" * 600, ":tag", "a@sha256:zz", "http://a/b")]
    creates += [("name", v) for v in ("", "a/b", "x" * 129, "tab\t")]
    creates += [("cpu_cores", v) for v in (0, -1, 1e9, 0.001, "1")]
    creates += [("memory_gb", v) for v in (0, -2, 1e9, 0.001)]
    creates += [("disk_size_gb", v) for v in (0, -1, 1e12)] + [("pids_limit", v) for v in (0, 7, 5e6, 8.5)]
    creates += [("timeout_minutes", v) for v in (0, -2, 1e9)] + [("idle_timeout_minutes", v) for v in (0, -1, 1e9)]
    creates += [("labels", v) for v in ([""], ["x" * 257], ["a"] * 65, "a", {})] + [("gpu_count", v) for v in (1, -1, "a")]
    creates += [("environment_vars", v) for v in ({"": "a"}, {"A=B": "c"}, {"A": 1}, {"A": "x" * 70000}, [], "A=b")]
    creates += [("secrets", v) for v in ({"": "a"}, {"A": None}, {"A": "x" * 70000}, 1)]
    creates += [("start_command", v) for v in (1, True, {}, {"executable": ""}, {"executable": 1}, [""], [1], ["x" * 70000])]
    creates += [("pull_policy", v) for v in ("", "sometimes", 1)] + [("arch", v) for v in ("arm64", 1)]
    creates += [("network_allowlist", v) for v in ("a", [""], [1], ["x" * 300])] + [("volumes", []), ("checkpoint_id", "x")]
    commands = [("command", v) for v in (None, "", [], [""], {}, 1, True, [1], ["a", None], "x" * 140000, ["x"] * 140000)]
    commands += [("working_dir", v) for v in (1, "x" * 5000, [])] + [("user", v) for v in (1, "x" * 300, {})]
    commands += [("env", v) for v in ([], "A=b", {"": "x"}, {"A=": "x"}, {"A": 1}, {"A": "x" * 70000})]
    commands += [("timeout", v) for v in (0, -1, "1", 1e10, [], True)] + [("stdin", v) for v in (1, [], {})]
    commands += [("tty", v) for v in (1, "yes")] + [("rows", v) for v in (-1, 65536, "a")] + [("cols", v) for v in (1.5, [])]
    if dice.random() < 0.6:
        field, value = dice.choice(creates)
        return Request("field", http("POST", "/api/v1/sandbox", json.dumps(
            {"docker_image": "busybox", field: value}).encode()))
    field, value = dice.choice(commands)
    return Request("field", http("POST", f"/api/v1/sandbox/{world.box}/exec",
                                 json.dumps({"command": "true", field: value}).encode()))


def size(dice, world):
    path, method, op = dice.choice(world.json)
    kind = dice.randrange(6)
    if kind == 0:  # announced and not sent
        return Request("size", http(method, world.url(path), b"", length=dice.choice((1 << 31, 1 << 40, 10**12))))
    if kind == 1:
        return Request("size", http(method, world.url(path), b" " * ((1 << 20) + 1) + b"{}"))
    if kind == 2:
        return Request("size", http("GET", "/api/v1/sandbox/" + "a" * dice.choice((513, 2000, 60000))))
    if kind == 3:
        return Request("size", http("GET", "/healthz", headers=["X-Long: " + "a" * 200000]))
    if kind == 4:
        return Request("size", http("GET", "/api/v1/sandbox?status=" + "a" * dice.choice((100, 5000, 60000))))
    return Request("size", http("GET", "/" + "a" * 300000))


def encoding(dice, world):
    path = dice.choice((b"/api/v1/sandbox/%00", b"/api/v1/sandbox/a%00b", b"/api/v1/sandbox/%ff%fe", b"/healthz%00",
                        b"/api/v1/sandbox/%c0%af", b"/api/v1/sandbox/%e0%80%af", b"/api/v1/sandbox/%", b"/%zz",
                        b"/api/v1/sandbox/%2", b"/api/v1/sandbox/%g0", b"/api/v1/sandbox/\xff\xfe", b"/\xc3\x28",
                        b"/api/v1/sandbox/..%2f..%2fetc", b"/api/v1/images/%2e%2e/%2e%2e", b"/api/v1/sandbox/%0d%0aX:y",
                        b"/api/v1/sandbox?page=%00", b"/api/v1/sandbox?page=%ff", b"/api/v1/sandbox?per_page=0x10",
                        b"/api/v1/sandbox?page=-1", b"/api/v1/sandbox?page=99999999999999999999",
                        b"/api/v1/sandbox?is_active=maybe", b"/api/v1/sandbox?status=%F0%9F%98%80", b"/%F0%9F%98%80"))
    if dice.random() < 0.7:
        return Request("encoding", http(dice.choice(("GET", "GET", "POST")) if b"?" not in path else "GET", path))
    body = dice.choice((b"\x1f\x8b\x08\x00garbage", b"x\x9cgarbage", b"=\xff="))
    target, method, _ = dice.choice(world.json)
    return Request("encoding", http(method, world.url(target), body,
                                    headers=["Content-Encoding: " + dice.choice(("gzip", "deflate", "br", "x"))]))


def method(dice, world):
    path, _, _ = dice.choice(world.operations)
    url = world.url(path)
    taken = set(world.spec["paths"][path])
    word = dice.choice(("PUT", "PATCH", "OPTIONS", "TRACE", "HEAD", "PROPFIND", "BREW", "get", "Post", "X" * 40,
                        "G E T", "GET\t", "CONNECT", "PRI", "M-SEARCH", "DELETE", "POST"))
    while word.lower() in taken:
        word = dice.choice(("BREW", "OPTIONS", "TRACE"))
    return Request("method", http(word, url, headers=["Content-Length: 0"]))


def path(dice, world):
    known = world.url(dice.choice(world.operations)[0])
    bad = dice.choice((known + "/", known + "/x/y/z", "/" + known, known.replace("/api", "/API"), "/..", "//", "/.",
                       known[:-1] or "/q", "/api/v2/sandbox", "/api", "", "*", "\\", known + ";a=b", "/cgi-bin/" + known,
                       "/" + "".join(dice.choice("abc/%.?&=_-~") for _ in range(dice.randrange(1, 60)))))
    if bad.split("?")[0] in {world.url(p) for p, _, _ in world.operations} or bad.startswith("/api/v1/images/"):
        bad = "/nowhere" + bad
    return Request("path", http("BREW", bad))


def header(dice, world):
    line = dice.choice((b"no colon here", b": empty name", b"Bad Name: x", b"X-A : x", b"X-\x00: y", b"X-A: \x00",
                        b" folded: yes", b"\tfolded", b"X-B: \x01\x02", b"X-C: \xff\xfe", b"Content-Length: -1",
                        b"Content-Length: +5", b"Content-Length: 0x10", b"Content-Length: 1, 1", b"Content-Length: ",
                        b"Content-Length: 99999999999999999999999", b"Content-Length: 1 1", b"Content-Length: a",
                        b"Host: second", b"Expect: nonsense", b"Transfer-Encoding: gzip", b"Transfer-Encoding: x",
                        b"Connection: \xff", b"Upgrade: \x01", b"X-Request-Id: " + b"a" * 5000,
                        b"Accept-Encoding: " + b"gzip," * 3000, b"Authorization: " + b"B" * 5000, b"=: =", b"\x7f: a"))
    raw = b"BREW /nowhere HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n"
    return Request("header", raw)


def start_line(dice, world):
    line = dice.choice((b"", b"\x00", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET", b"GET /", b"GET / HTTP/9.9",
                        b"GET / HTTP/1.2", b"GET / HTTP/0.9", b"GET / http/1.1", b"GET  /  HTTP/1.1", b"/ GET HTTP/1.1",
                        b"GET / HTTP/1.1 x", b"GET / FTP/1.1", b"PRI * HTTP/2.0", b"HTTP/1.1 200 OK", b"\xff" * 50,
                        b"A" * 5000, bytes(dice.randrange(256) for _ in range(dice.randrange(1, 200))),
                        b"GET / HTTP/1.1\rHost: x", b"SSH-2.0-x", b"* OK", b"{}"))
    return Request("start line", line + b"\r\nHost: x\r\n\r\n")


def framing(dice, world):
    inner = b"GET /api/v1/sandbox HTTP/1.1\r\nHost: x\r\n\r\n"
    heads = (b"Content-Length: 4\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 0",
             b"Content-Length: 4\r\nContent-Length: 5", b"Transfer-Encoding: chunked, chunked",
             b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"Transfer-Encoding:\x0bchunked",
             b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked", b"Content-Length : 5",
             b"Transfer-Encoding: identity", b"Transfer-Encoding: \"chunked\"")
    chunks = (b"zz\r\n", b"-1\r\n", b"ffffffffffffffffff\r\nabc", b"5\r\nabcdeXY\r\n0\r\n\r\n", b"1\r\nabc\r\n0\r\n\r\n", b"0x5\r\nabcde\r\n",
              b"5;" + b"e" * 5000 + b"\r\nabcde\r\n0\r\n\r\n", b"\r\n", b"5 \r\nabcde\r\n0\r\n\r\n", b"5\nabcde\n0\n\n")
    if dice.random() < 0.6:
        head, body = dice.choice(heads), dice.choice((b"0\r\n\r\n", b"4\r\n{}  \r\n0\r\n\r\n", b"{}{}")) + inner
    else:
        head, body = b"Transfer-Encoding: chunked", dice.choice(chunks)
    return Request("framing", b"POST /api/v1/sandbox HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n" + body)


def multipart(dice, world):
    part = b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc'
    kind, body = dice.choice((
        ("multipart/form-data", b"--b\r\n" + part + b"\r\n--b--\r\n"),  # no boundary is named
        ("multipart/form-data; boundary=", b"----"), ("multipart/form-data; boundary=" + "b" * 300, b"--b"),
        ("multipart/form-data; boundary=b", b""), ("multipart/form-data; boundary=b", b"--c\r\n" + part + b"\r\n--c--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + part), ("multipart/form-data; boundary=b", b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nno headers"), ("multipart/form-data; boundary=b", b"--b\r\n\r\n\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nX: " + b"y" * 20000 + b"\r\n\r\n\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + part.replace(b"file", b"other") + b"\r\n--b--\r\n"),
        ("multipart/form-data; boundary=\"b", b"--b\r\n" + part + b"\r\n--b--\r\n"),
        ("multipart/mixed; boundary=b", b"--b\r\n" + part + b"\r\n--b--\r\n"), ("text/plain", b"abc"),
        ("application/x-www-form-urlencoded", b"file=abc"), ("", b"abc"),
    ))
    query = dice.choice(("path=/tmp/x", "path=/tmp/x", "path=", "path=relative", "path=/tmp/%00", "path=" + "a" * 5000, ""))
    return Request("multipart", http("POST", f"/gw/s/{world.box}/upload?{query}", body, headers=["Content-Type: " + kind]))


def frames(dice, world):
    """Connect over HTTP: envelopes and messages that are none."""
    kind = dice.choice(("application/connect+proto", "application/connect+json", "application/proto", "application/grpc",
                        "application/json", "text/plain"))
    body = dice.choice((b"", b"\x00", b"\x00\x00\x00\x00", b"\x00\xff\xff\xff\xff", b"\x00\x00\x00\x00\x05abc",
                        b"\x01\x00\x00\x00\x02{}", b"\x80\x00\x00\x00\x00", b"\x00\x00\x00\x00\x02\x08", b"\x02" * 40,
                        b"\x00\x00\x00\x00\x0b" + b"\xff" * 11, b"\x00\x7f\xff\xff\xff" + b"a" * 1000,
                        bytes(dice.randrange(256) for _ in range(dice.randrange(1, 300)))))
    call = dice.choice(("Start", "Connect", "SendInput", "SendSignal", "Nonsense"))
    return Request("frames", http("POST", f"/gw/s/{world.box}/command_session.CommandSession/{call}", body,
                                  headers=["Content-Type: " + kind, "Connect-Protocol-Version: 1"]))


GOOD = http("GET", "/healthz")
ENDED = ("start line", "header", "framing")  # of which the server sees the end, or that there will be none
FAMILIES = [broken_json, wrong_type, exact_fields, size, encoding, method, path, header, start_line, framing, multipart,
            frames]


# ---- sending them ----------------------------------------------------------------------------------

def send(where, data, before=b""):
    """
    All that comes back until the server closes, or the one answer is complete; b"" when it closed. With before
    another request has been answered on the same connection.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(5)
        sock.connect(where)
        if before:
            sock.sendall(before)
            assert receive(sock).startswith(b"HTTP/1.1 200 ")
        try:
            sock.sendall(data)
            if not before:  # with nothing more to come, or with the connection as it was
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before its end
        return receive(sock, data.startswith(b"HEAD "))


def receive(sock, head_only=False):
    answer = b""
    try:
        while not complete(answer, head_only):
            piece = sock.recv(65536)
            if not piece:
                break
            answer += piece
    except TimeoutError:
        return None
    except ConnectionError:
        pass
    return answer


def complete(answer, head_only):
    head, mark, body = answer.partition(b"\r\n\r\n")
    if not mark or head.startswith(b"HTTP/1.1 100"):
        return False
    if head_only:
        return True
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return False


def judge(request, answer):
    """What is wrong with the answer, or None; and its status (0: closed)."""
    if answer is None:
        return "neither answered nor closed", -1
    if not answer:
        return None, 0
    if answer.startswith(b"HTTP/1.1 100"):
        answer = answer.partition(b"\r\n\r\n")[2]
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split()
    status = int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/1.") else -1
    if status == 200 and request.family == "frames" and body.startswith(b"\x02"):
        told = json.loads(body[5:])["error"]  # a stream's last envelope, where Connect has its errors
        return None if told["code"] and told["message"] else f"no error in {body!r}", status
    if not 400 <= status < 500 and (status, request.family) != (505, "start line"):  # HTTP's own, for versions
        return f"status {status}: {body[:200]!r}", status
    if request.data.startswith(b"HEAD "):
        return None, status  # whose answers have no body
    try:
        told = json.loads(body)
    except ValueError:
        return f"no JSON in {status}: {body[:200]!r}", status
    if not isinstance(told, dict) or not (told.get("detail") or told.get("message")):
        return f"no detail in {status}: {body[:200]!r}", status
    return None, status


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    options = []
    if GATEWAY:
        programs = tmp_path_factory.mktemp("libexec")
        for name in harness.PROGRAMS:
            os.symlink(GATEWAY if name == "caisson-gateway" else harness.program(name), programs / name)
        for directory in (programs, *programs.parents):
            if directory.stat().st_uid == os.geteuid() and len(directory.parts) > 2:
                directory.chmod(0o755)
        options = ["--libexec", str(programs)]
    yield from harness.run_engine(
        *options, prepare=lambda engine: engine.api.import_image("busybox", archives.busybox()).ok())


@pytest.mark.timeout(240)
def test_malformed_requests_are_refused(engine, api, make):
    dice = random.Random(SEED)
    box = make()
    world = World(api.raw("GET", "/openapi.json").ok(), box)
    gateway = engine.gateway
    bad, seen = [], collections.Counter()
    for n in range(COUNT):
        request = dice.choice(FAMILIES)(dice, world)
        later = n % 2 and request.family in ENDED
        problem, status = judge(request, send(engine.socket, request.data, GOOD if later else b""))
        seen[request.family, status] += 1
        if problem:
            bad.append(f"{n} {request.family}: {problem}\n    {request.data[:300]!r}")
    print(sorted(seen.items()))
    assert not bad, f"{len(bad)} of {COUNT}:\n" + "\n".join(bad[:20])
    assert "Sanitizer" not in engine.log(), engine.log()[-4000:]
    assert engine.gateway == gateway, "the gateway was started again"
    assert api.exec(box, ["echo", "still here"]).stdout == "still here\n"
    for family in {family for family, _ in seen}:  # and not all of them were just closed
        assert any(status >= 400 for name, status in seen if name == family), family
