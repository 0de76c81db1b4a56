# SPDX-License-Identifier: Apache-2.0
"""A registry that lies. `Fake` is a good one in memory; each case below makes one thing of it bad.

REFUSED: a pull has to fail, with a text that matches. EITHER: it may succeed, nothing else may happen. RIGHT: odd,
but there are such registries and images, and a pull has to succeed.
"""

import gzip
import itertools
import json
import re
import time

import archives
from archives import Entry
from web import Cut

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
# What a client that follows file: would find.
SECRET_FILE, SECRET = "/etc/passwd", "root:x:0:0"


def digest(data):
    return "sha256:" + archives.sha256(data)


def encoded(document):
    return document if isinstance(document, bytes) else json.dumps(document).encode()


class Fake:
    """What it says: `manifest`, `image` and `layers` until they are asked for the first time; then the bytes
    of `documents` (by tag or digest, with their media type) and `blobs`. `answers` are exceptions: pairs of
    a pattern of "METHOD path" and a function of the exchange."""

    def __init__(self, base, name="image"):
        self.name, self.records = name, []
        upper = archives.tar([Entry("upper", name)])  # no two share it
        layout = archives.Layout([base, upper])
        self.image, self.manifest, self.layers = layout.image, layout.manifest, layout.blobs
        self.config = None  # the configuration's bytes, if it is not the JSON of image
        self.kind = MANIFEST
        self.documents, self.blobs, self.answers, self.built = {}, {}, [], False

    def build(self):
        if self.built:
            return self
        self.built = True
        config = self.config if self.config is not None else encoded(self.image)
        if isinstance(self.manifest, dict):
            self.manifest.setdefault("config", {"mediaType": CONFIG, "digest": digest(config),
                                                "size": len(config)})
            for described, blob in zip(self.manifest.get("layers") or (), self.layers):
                if isinstance(described, dict) and isinstance(described.get("digest"), str):
                    self.blobs.setdefault(described["digest"], blob)
            self.blobs.setdefault((self.manifest["config"] or {}).get("digest", ""), config)
        self.add(self.manifest, self.kind, "latest")
        return self

    def add(self, document, kind, tag=None):
        """Serves a document by its digest, and by a tag; its descriptor."""
        data = encoded(document)
        for name in filter(None, (digest(data), tag)):
            self.documents.setdefault(name, (kind, data))
        return {"mediaType": kind, "digest": digest(data), "size": len(data)}

    def on(self, pattern, function):
        self.answers.append((re.compile(pattern), function))

    def home(self, exchange):
        """A URL of our own; the server finds us by our name."""
        return f"http://{exchange.address}/{self.name}"

    def answer(self, exchange):
        self.build()
        self.records.append(exchange.record)
        asked = f"{exchange.command} {exchange.record.path}"
        for pattern, function in self.answers:
            if pattern.search(asked):
                function(exchange)
                return
        self.serve(exchange)

    def serve(self, exchange):
        """As a good one would."""
        what, _, name = exchange.record.path.rpartition("/")
        if exchange.record.path in ("/v2/", "/v2"):
            exchange.reply(200, {})
        elif what.endswith("/manifests") and name in self.documents:
            kind, data = self.documents[name]
            exchange.reply(200, data, {"Content-Type": kind, "Docker-Content-Digest": digest(data)})
        elif what.endswith("/blobs") and name in self.blobs:
            exchange.reply(200, self.blobs[name], {"Content-Type": "application/octet-stream"})
        else:
            exchange.reply(404, {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "it is not here"}]})


# ---- what is wrong with documents ----------------------------------------------------------------------

def manifest_is(data, kind=MANIFEST):
    def spoil(fake):
        fake.manifest, fake.kind = data, kind
    return spoil


def manifest_has(**fields):
    def spoil(fake):
        fake.manifest.update(fields)
    return spoil


def layer_has(**fields):
    def spoil(fake):
        fake.blobs[fake.manifest["layers"][-1]["digest"]] = fake.layers[-1]
        fake.manifest["layers"][-1].update(fields)
    return spoil


def raw_size(text):
    """A size as no encoder would write it."""
    def spoil(fake):
        fake.build()
        kind, data = fake.documents["latest"]
        size = b'"size": %d' % fake.manifest["layers"][-1]["size"]
        assert size in data
        fake.documents["latest"] = (kind, data.replace(size, b'"size": ' + text))
    return spoil


def image_has(**fields):
    def spoil(fake):
        fake.image.update(fields)
    return spoil


def thousand_layers(fake):
    fake.manifest["layers"] *= 500
    fake.image["rootfs"]["diff_ids"] *= 500


def fewer_diff_ids(fake):
    fake.image["rootfs"]["diff_ids"].pop()


def other_diff_id(fake):
    fake.image["rootfs"]["diff_ids"][-1] = "sha256:" + "0" * 64


def other_layer(fake):
    data = bytearray(fake.layers[-1])
    data[-1] ^= 1
    fake.blobs[fake.manifest["layers"][-1]["digest"]] = bytes(data)


def other_config(fake):
    fake.build()
    name = fake.manifest["config"]["digest"]
    fake.blobs[name] = fake.blobs[name].replace(b"amd64", b"s390x")


def config_of_megabytes(fake):
    fake.image["config"] = {"Labels": {"x": "y" * (40 << 20)}}


def config_is(data):
    def spoil(fake):
        fake.config = data
    return spoil


def manifest_of_megabytes(fake):
    fake.manifest["annotations"] = {"x": "y" * (40 << 20)}


def deep_index(fake):
    fake.build()
    inner = {**fake.add(fake.manifest, MANIFEST), "platform": {"os": "linux", "architecture": "amd64"}}
    for _ in range(40):
        inner = {**fake.add({"schemaVersion": 2, "mediaType": INDEX, "manifests": [inner]}, INDEX),
                 "platform": {"os": "linux", "architecture": "amd64"}}
    fake.documents["latest"] = fake.documents[inner["digest"]]


def looping_index(fake):
    """No digest can name itself, but a server that does not mind can answer so for ever."""
    count = itertools.count()

    def index(exchange):
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{
            "mediaType": INDEX, "digest": "sha256:" + "%064x" % next(count), "size": 300,
            "platform": {"os": "linux", "architecture": "amd64"}}]}
        exchange.reply(200, document, {"Content-Type": INDEX})
    fake.on("/manifests/", index)


def index_of_others(fake):
    fake.build()
    entry = fake.add(fake.manifest, MANIFEST)
    fake.documents["latest"] = (INDEX, encoded({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {**entry, "platform": {"os": "linux", "architecture": "mips64le"}}]}))


def wide_index(fake):
    fake.build()
    entry = {**fake.add(fake.manifest, MANIFEST), "platform": {"os": "linux", "architecture": "mips64le"}}
    fake.documents["latest"] = (INDEX, encoded({"schemaVersion": 2, "mediaType": INDEX,
                                                "manifests": [entry] * 100_000}))


def foreign_layer(fake):
    described = fake.manifest["layers"][-1]
    described["urls"] = ["file://" + SECRET_FILE, "http://127.0.0.1:1/x"]
    fake.blobs[described["digest"]] = b""


def escapes_in_an_error(fake):
    fake.on("/manifests/", lambda exchange: exchange.reply(
        403, {"errors": [{"code": "DENIED", "message": "no\x1b[2J\x1b]0;x\x07\r\nHTTP/1.1 200 OK\r\n\u202e\x00"}]}))


def endless_error(fake):
    fake.on("/manifests/", endless(500))


# ---- what is wrong with HTTP ---------------------------------------------------------------------------

def endless(code=200, kind=MANIFEST, piece=b"[" * 65536, limit=2 << 30):
    """A body that never ends (for those who read it: after 2 GiB)."""
    def answer(exchange):
        exchange.head(code, {"Content-Type": kind, "Transfer-Encoding": "chunked"})
        for _ in range(limit // len(piece)):
            exchange.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
        raise Cut
    return answer


def on(pattern, function):
    def spoil(fake):
        fake.on(pattern, function)
    return spoil


def reply(code, body=b"", **headers):
    return lambda exchange: exchange.reply(code, body, {k.replace("_", "-"): v for k, v in headers.items()})


def redirect(to):
    """Of blobs; {self} is our own address."""
    def spoil(fake):
        fake.on("GET .*/blobs/", lambda exchange: exchange.reply(
            307, b"", {"Location": to.format(self=fake.home(exchange), path=exchange.record.path)}))
    return spoil


def raw(data):
    def answer(exchange):
        exchange.close_connection = True
        exchange.write(data)
    return answer


def many_headers(exchange):
    exchange.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(100_000)))
    exchange.write(b"Content-Length: 2\r\n\r\n{}")


def endless_headers(exchange):
    exchange.write(b"HTTP/1.1 200 OK\r\n")
    for i in range(1 << 20):
        exchange.write(b"X-%d: %s\r\n" % (i, b"y" * 1000))
    raise Cut


def endless_continue(exchange):
    for _ in range(1 << 18):
        exchange.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 256)
    raise Cut


def lies_about_its_length(exchange):
    exchange.head(200, {"Content-Type": MANIFEST, "Content-Length": str(1 << 40)})
    exchange.write(b"{}")
    raise Cut


def encoded_bomb(exchange):
    data = gzip.compress(b"[" * (64 << 20), 1)
    exchange.reply(200, data, {"Content-Type": MANIFEST, "Content-Encoding": "gzip"})


def blob_in_gzip(fake):
    """The right bytes, transfer-compressed though nobody asked for it."""
    def answer(exchange):
        blob = fake.blobs[exchange.record.path.rpartition("/")[2]]
        exchange.reply(200, gzip.compress(blob), {"Content-Encoding": "gzip"})
    fake.on("GET .*/blobs/", answer)


def endless_blob(fake):
    """The right bytes, and then more."""
    def answer(exchange):
        blob = fake.blobs[exchange.record.path.rpartition("/")[2]]
        exchange.head(200, {"Transfer-Encoding": "chunked"})
        exchange.write(b"%x\r\n" % len(blob) + blob + b"\r\n")
        for _ in range(32768):
            exchange.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        raise Cut
    fake.on("GET .*/blobs/", answer)


def other_range(fake):
    """A part of the blob that nobody asked for."""
    def answer(exchange):
        blob = fake.blobs[exchange.record.path.rpartition("/")[2]]
        exchange.reply(206, blob[10:], {"Content-Range": f"bytes 10-{len(blob) - 1}/{len(blob)}"})
    fake.on("GET .*/blobs/", answer)


def digest_header_of_another(fake):
    def answer(exchange):
        kind, data = fake.documents["latest"]
        exchange.reply(200, data, {"Content-Type": kind, "Docker-Content-Digest": "sha256:" + "0" * 64})
    fake.on("/manifests/latest", answer)


def silent(exchange):
    time.sleep(0.2)
    raise Cut


# ---- what is wrong with challenges ---------------------------------------------------------------------

def challenge(text):
    """401 with this WWW-Authenticate to everything; {self} is our address."""
    def spoil(fake):
        fake.on("/v2/", lambda exchange: exchange.reply(
            401, {"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]},
            {"WWW-Authenticate": text.format(self=fake.home(exchange))}))
    return spoil


def tokens(function, when='Bearer realm="{self}/token",service="x"'):
    """A token service, on our own address, that answers by function."""
    def spoil(fake):
        fake.on("/token", function)
        challenge(when)(fake)
    return spoil


def many_challenges(exchange):
    exchange.reply(401, b"", {"WWW-Authenticate": ", ".join(
        f'Bearer realm="http://127.0.0.1:{i}/"' for i in range(1, 3000))})


class Stage:
    """Many of them on one server, each under its own name: hostile/NAME."""

    def __init__(self, server):
        self.server, self.fakes, self.numbers = server, {}, itertools.count()
        server.answer = self.answer

    def enter(self, spoil, base):
        """The name of the image that this one offers, and itself."""
        fake = Fake(base, f"case-{next(self.numbers)}")
        spoil(fake)
        self.fakes[fake.name] = fake
        return f"{self.server.address}/hostile/{fake.name}:latest", fake

    def answer(self, exchange):
        found = re.search("case-[0-9]+", exchange.path)
        if found:
            self.fakes[found.group()].answer(exchange)
        else:
            exchange.reply(404, {})


DENIED = r"(?i)denied|unauthori|password|credential|log ?in|token|challenge|realm|authenti"
HTTP = r"(?i)."

REFUSED = {
    "manifest of megabytes": (manifest_of_megabytes, r"(?i)large|big|limit|more than|at most|bytes"),
    "endless manifest": (on("/manifests/", endless()), r"(?i)large|big|limit|more than|at most|bytes"),
    "manifest lies about its length": (on("/manifests/", lies_about_its_length), HTTP),
    "manifest is a web page": (on("/manifests/", reply(200, b"<html>Sign in</html>", Content_Type="text/html")),
                               HTTP),
    "manifest is not JSON": (manifest_is(b"{"), HTTP),
    "manifest is two documents": (manifest_is(b"{}{}"), HTTP),
    "manifest is a list": (manifest_is(b"[]"), HTTP),
    "manifest of brackets": (manifest_is(b"[" * 1_000_000), HTTP),
    "manifest is empty": (manifest_is(b""), HTTP),
    "manifest of schema 1": (manifest_is({"schemaVersion": 1, "fsLayers": [], "history": []},
                                         "application/vnd.docker.distribution.manifest.v1+prettyjws"), HTTP),
    "media types that differ": (manifest_has(mediaType=INDEX), HTTP),
    "two readings": (manifest_has(manifests=[], fsLayers=[]), HTTP),
    "layers twice": (manifest_is(b'{"schemaVersion": 2, "layers": [], "layers": [], "config": {}}'), HTTP),
    "broken UTF-8": (manifest_is(b'{"schemaVersion": 2, "mediaType": "\xff\xfe\xc0\xaf", "layers": []}'), HTTP),
    "a thousand layers": (thousand_layers, r"(?i)layers"),
    "no layers entry": (manifest_has(layers=None), HTTP),
    "layers are text": (manifest_has(layers=["x"]), HTTP),
    "size is negative": (layer_has(size=-1), HTTP),
    "size is text": (layer_has(size="10"), HTTP),
    "size is a fraction": (layer_has(size=10.5), HTTP),
    "size beyond 64 bits": (raw_size(b"99999999999999999999999"), HTTP),
    "size of all space": (layer_has(size=(1 << 63) - 1), HTTP),
    "size is small": (layer_has(size=10), HTTP),
    "size is zero": (layer_has(size=0), HTTP),
    "size is large": (layer_has(size=1 << 20), HTTP),
    "digest is a path": (layer_has(digest="sha256:../../../../etc/passwd"), r"(?i)digest"),
    "digest in capitals": (layer_has(digest="sha256:" + "A" * 64), HTTP),
    "digest of another kind": (layer_has(digest="md5:" + "0" * 32), r"(?i)digest"),
    "digest is short": (layer_has(digest="sha256:00"), r"(?i)digest"),
    "layer is another": (other_layer, r"(?i)digest|sha256"),
    "layer of another kind": (layer_has(mediaType="application/vnd.oci.image.layer.v1.tar+bzip2"), HTTP),
    "layer is foreign": (foreign_layer, HTTP),
    "layer is missing": (layer_has(digest="sha256:" + "1" * 64), HTTP),
    "fewer diff ids": (fewer_diff_ids, r"(?i)diff|layers"),
    "another diff id": (other_diff_id, r"(?i)diff|digest|sha256"),
    "configuration is another": (other_config, r"(?i)digest|sha256|config"),
    "configuration is a list": (config_is(b"[]"), r"(?i)config|object"),
    "configuration is not JSON": (config_is(b"\x1f\x8b"), HTTP),
    "configuration of megabytes": (config_of_megabytes, r"(?i)large|big|limit|more than|at most|bytes"),
    "configuration has no diff ids": (image_has(rootfs={}), HTTP),
    "another architecture": (image_has(architecture="s390x"), r"(?i)s390x|platform|architecture"),
    "deep index": (deep_index, HTTP),
    "looping index": (looping_index, HTTP),
    "index of other platforms": (index_of_others, r"(?i)platform|amd64|mips64le"),
    "index of 100,000": (wide_index, HTTP),
    "escapes in an error": (escapes_in_an_error, r"(?i)denied|no"),
    "endless error": (endless_error, HTTP),
    "encoded bomb": (on("/manifests/", encoded_bomb), HTTP),
    "endless blob": (endless_blob, HTTP),
    "another range": (other_range, HTTP),
    "blob is nothing": (on("GET .*/blobs/", reply(204)), HTTP),
    "blob is not modified": (on("GET .*/blobs/", reply(304)), HTTP),
    "redirect to a file": (redirect("file://" + SECRET_FILE), HTTP),
    "redirect to gopher": (redirect("gopher://127.0.0.1:1/x"), HTTP),
    "redirect to ftp": (redirect("ftp://127.0.0.1:1/x"), HTTP),
    "redirect to nothing": (redirect(""), HTTP),
    "redirect to nonsense": (redirect("http://[::1"), HTTP),
    "redirect to slashes": (redirect("//"), HTTP),
    "redirect to another port": (redirect("http://127.0.0.1:1{path}"), HTTP),
    "redirect with a password": (redirect("http://user:" + "x" * 100_000 + "@127.0.0.1:1/"), HTTP),
    "endless redirects": (redirect("{self}{path}"), r"(?i)redirect"),
    "endless redirects of the manifest": (on("/manifests/", lambda exchange: exchange.reply(
        302, b"", {"Location": exchange.record.path + "x"})), r"(?i)redirect"),
    "many headers": (on("/manifests/", many_headers), HTTP),
    "endless headers": (on("/manifests/", endless_headers), HTTP),
    "endless 100 Continue": (on("/manifests/", endless_continue), HTTP),
    "not HTTP": (on("/v2/", raw(b"SSH-2.0-OpenSSH_9.2p1\r\n")), HTTP),
    "noise": (on("/v2/", raw(bytes(range(256)) * 100)), HTTP),
    "silence": (on("/v2/", silent), HTTP),
    "two lengths": (on("/manifests/", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 200\r\n\r\n{}")),
                    HTTP),
    "length is negative": (on("/manifests/", raw(b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}")), HTTP),
    "realm is a file": (challenge('Bearer realm="file://' + SECRET_FILE + '",service="x"'), DENIED),
    "realm is nothing": (challenge('Bearer realm=""'), DENIED),
    "realm is missing": (challenge("Bearer service=x"), DENIED),
    "realm is nonsense": (challenge('Bearer realm="http://[::1"'), HTTP),
    "challenge is not closed": (challenge('Bearer realm="http://'), DENIED),
    "challenge of another kind": (challenge("Negotiate"), DENIED),
    "challenge is empty": (challenge(""), DENIED),
    "thousands of challenges": (on("/v2/", many_challenges), HTTP),
    "tokens without end": (tokens(endless(kind="application/json")), HTTP),
    "token is not JSON": (tokens(reply(200, b"token")), HTTP),
    "token is empty": (tokens(reply(200, {"token": ""})), HTTP),
    "token is a number": (tokens(reply(200, {"token": 5})), HTTP),
    "token injects a header": (tokens(reply(200, {"token": "x\r\nX-Injected: yes"})), HTTP),
    "token of a megabyte": (tokens(reply(200, {"token": "x" * (1 << 20)})), HTTP),
    "token is never right": (tokens(reply(200, {"token": "x", "expires_in": 300})), DENIED),
    "tokens are redirected for ever": (tokens(lambda exchange: exchange.reply(
        302, b"", {"Location": exchange.path})), HTTP),
}

EITHER = {
    "size has an exponent": raw_size(b"1e3"),
    "digest header of another": digest_header_of_another,
    "blob in gzip": blob_in_gzip,
    "escapes in the configuration": image_has(config={"Env": ["A=\x1b[2J", "B=\u202e"], "Cmd": ["\x00"]},
                                              author="\x1b]0;x\x07"),
    "history of 100,000": image_has(history=[{"created_by": "x", "empty_layer": True}] * 100_000),
    "dates from elsewhere": image_has(created="9999-99-99T99:99:99Z"),
    "labels of a megabyte": image_has(config={"Labels": {"x": "y" * 1_000_000}}),
    "foreign layer that is here": layer_has(
        mediaType="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
    "no /v2/": on("/v2/$", reply(404)),
}


# ---- odd, but right ------------------------------------------------------------------------------------

def chunked(fake):
    """No lengths are told."""
    def answer(exchange):
        name = exchange.record.path.rpartition("/")[2]
        kind, data = fake.documents.get(name) or ("application/octet-stream", fake.blobs.get(name))
        exchange.head(200, {"Content-Type": kind, "Transfer-Encoding": "chunked"})
        for at in range(0, len(data), 100_000):
            piece = data[at:at + 100_000]
            exchange.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
        exchange.wfile.write(b"0\r\n\r\n")
    fake.on("GET", answer)


def closes(fake):
    """A connection for each request, as HTTP/1.0 has it, and no length: the end is the end."""
    def answer(exchange):
        name = exchange.record.path.rpartition("/")[2]
        kind, data = fake.documents.get(name) or ("application/octet-stream", fake.blobs.get(name))
        exchange.close_connection = True
        exchange.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: %s\r\n\r\n" % kind.encode())
        exchange.write(data)
    fake.on("GET", answer)


def typed(kind):
    """Manifests under this Content-Type, without a digest."""
    def spoil(fake):
        def answer(exchange):
            data = fake.documents[exchange.record.path.rpartition("/")[2]][1]
            exchange.reply(200, data, {"Content-Type": kind} if kind else {})
        fake.on("/manifests/", answer)
    return spoil


def moved(code, where="{self}/moved{path}", what="GET .*/v2/"):
    """Elsewhere, but on the same host; then it is there."""
    def spoil(fake):
        fake.on("/moved/", fake.serve)
        fake.on(what, lambda exchange: exchange.reply(
            code, b"", {"Location": where.format(self=fake.home(exchange), path=exchange.record.path)}))
    return spoil


def asks(text):
    """A token is needed, and this challenge says so; any name and password gives one."""
    def spoil(fake):
        def tokens(exchange):
            good = (exchange.headers.get("Authorization") or "").startswith("Basic ")
            exchange.reply(200 if good else 401, {"token": "the.right-one_" + fake.name} if good else {})

        def answer(exchange):
            if exchange.headers.get("Authorization") == "Bearer the.right-one_" + fake.name:
                fake.serve(exchange)
            else:
                exchange.reply(401, {}, {"WWW-Authenticate": text.format(self=fake.home(exchange))})
        fake.on("/token", tokens)
        fake.on("/v2/", answer)
    return spoil


def twice_the_same_layer(fake):
    empty = archives.tar([])
    blob = gzip.compress(empty, mtime=0)
    for _ in range(3):
        fake.manifest["layers"].append({"mediaType": archives.MEDIA["gzip"], "digest": digest(blob),
                                        "size": len(blob)})
        fake.layers.append(blob)
        fake.image["rootfs"]["diff_ids"].append(digest(empty))


def no_media_type(fake):
    del fake.manifest["mediaType"]


def docker_types(fake):
    fake.kind = fake.manifest["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json"
    for layer in fake.manifest["layers"]:
        layer["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def bare_index(fake):
    """An index that says nothing of platforms."""
    fake.build()
    entry = fake.add(fake.manifest, MANIFEST)
    fake.documents["latest"] = (INDEX, encoded({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}))


def index_in_an_index(fake):
    fake.build()
    platform = {"platform": {"os": "linux", "architecture": "amd64"}}
    inner = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**fake.add(fake.manifest, MANIFEST), **platform}]}
    outer = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**fake.add(inner, INDEX), **platform}]}
    fake.documents["latest"] = (INDEX, encoded(outer))


def docker_list(fake):
    fake.build()
    kind = "application/vnd.docker.distribution.manifest.list.v2+json"
    entry = {**fake.add(fake.manifest, MANIFEST), "platform": {"os": "linux", "architecture": "amd64", "variant": ""}}
    other = {**entry, "digest": "sha256:" + "3" * 64, "platform": {"os": "windows", "architecture": "amd64"}}
    fake.documents["latest"] = (kind, encoded({"schemaVersion": 2, "mediaType": kind, "manifests": [other, entry]}))


def no_ranges(fake):
    """Breaks off once, and knows nothing of ranges."""
    seen = set()

    def answer(exchange):
        name = exchange.record.path.rpartition("/")[2]
        if name in seen or name not in fake.blobs:
            fake.serve(exchange)
            return
        seen.add(name)
        exchange.head(200, {"Content-Length": str(len(fake.blobs[name]))})
        exchange.write(fake.blobs[name][:len(fake.blobs[name]) // 2])
        time.sleep(0.05)
        raise Cut
    fake.on("GET .*/blobs/", answer)


BEARER = 'Bearer realm="{self}/token",service="x",scope="repository:x:pull"'
RIGHT = {
    "nothing odd": lambda fake: None,
    "lengths not told": chunked,
    "HTTP/1.0": closes,
    "type with parameters": typed(MANIFEST + "; charset=utf-8"),
    "type of any JSON": typed("application/json"),
    "no type": typed(""),
    "moved by 301": moved(301), "moved by 302": moved(302), "moved by 303": moved(303),
    "moved by 307": moved(307), "moved by 308": moved(308),
    "blobs moved, relative": moved(307, "/moved{path}", "GET .*/blobs/"),
    "challenge in small letters": asks('bearer realm="{self}/token",service=x'),
    "challenge in capitals": asks('BEARER REALM="{self}/token",SERVICE="x"'),
    "challenge with spaces": asks('Bearer   realm="{self}/token" , service="x" ,  scope="a b"'),
    "challenge with the rest unknown": asks(BEARER + ',error="invalid_token",x="\\"",y=z'),
    "challenge with a query": asks('Bearer realm="{self}/token?account=a&b=c",service="x"'),
    "two challenges": asks('Basic realm="x", ' + BEARER),
    "two challenges, the other way": asks(BEARER + ', Basic realm="x"'),
    "challenge of another kind first": asks('Negotiate, ' + BEARER),
    "the same layer three times": twice_the_same_layer,
    "no media type": no_media_type,
    "Docker's types": docker_types,
    "no history": image_has(history=[]),
    "fields that nobody knows": image_has(**{"moby.buildkit.buildinfo.v1": "e30=", "container": "x", "os.version": "1"}),
    "an index without platforms": bare_index,
    "an index in an index": index_in_an_index,
    "Docker's list": docker_list,
    "no ranges": no_ranges,
}
