# SPDX-License-Identifier: Apache-2.0
"""The image routes of an engine, and a look at what its store holds."""

import contextlib
import json
import os
import urllib.parse

import harness

PULL_SECONDS = 60


class Outcome:
    """How a pull, push or verify ended: its events; `image` when it is done; `error` and `code` when not."""

    def __init__(self, status, events):
        last = events[-1] if events else {}
        self.status, self.events, self.last = status, events, last
        self.done = status == 200 and last.get("status") == "done"
        self.image = last.get("image") if self.done else None
        self.error = None if self.done else last.get("detail", "")
        self.code = None if self.done else last.get("code")

    def ok(self):
        assert self.done, self
        return self.image

    def phases(self, digest):
        return [event["phase"] for event in self.events
                if event.get("status") == "layer" and event.get("digest") == digest]

    def __repr__(self):
        return f"<{self.status} {self.last!r} after {len(self.events)} events>"


class Stream:
    """An answer of ndjson, read as it comes."""

    def __init__(self, engine, path, body, timeout=PULL_SECONDS):
        self.connection = harness.UnixConnection(engine.socket, timeout)
        self.connection.request("POST", "/api/v1/" + path, json.dumps(body),
                                {"Content-Type": "application/json"})

    def __enter__(self):
        self.response = self.connection.getresponse()
        return self

    def __exit__(self, *_):
        self.connection.close()

    def __iter__(self):
        while True:
            line = self.response.readline()
            if not line:
                return
            yield json.loads(line)


class Images:
    """Asks `engine`; every method is one request."""

    def __init__(self, engine):
        self.engine, self.api = engine, engine.api

    def stream(self, path, timeout=PULL_SECONDS, **body):
        return Stream(self.engine, path, {k: v for k, v in body.items() if v is not None}, timeout)

    def outcome(self, path, timeout=PULL_SECONDS, **body):
        with self.stream(path, timeout, **body) as stream:
            kind = stream.response.getheader("Content-Type", "")
            if stream.response.status == 200:
                assert kind.startswith("application/x-ndjson"), kind
            return Outcome(stream.response.status, list(stream))

    def pull(self, image, **more):
        return self.outcome("images/pull", image=image, **more)

    def push(self, image, **more):
        return self.outcome("images/push", image=image, **more)

    def verify(self, **more):
        return self.outcome("images/verify", **more)

    def tag(self, image, name):
        return self.api.request("POST", "/api/v1/images/tag", {"image": image, "name": name})

    def prune(self, **more):
        return self.api.request("POST", "/api/v1/images/prune", more)

    def commit(self, sandbox, image, **more):
        return self.api.request("POST", f"/api/v1/sandbox/{sandbox}/commit", {"image": image, **more})

    def save(self, *names, format="oci"):
        query = urllib.parse.urlencode([("image", name) for name in names] + [("format", format)])
        return self.bytes("image-archive?" + query)

    def export(self, name):
        return self.bytes("image-rootfs?" + urllib.parse.urlencode({"image": name}))

    def bytes(self, path):
        """A whole archive; one that ends before its time is an error of http.client."""
        answer = self.api.request("GET", "/api/v1/" + path)
        assert answer.status == 200, answer
        return answer.body

    def load(self, data, name=None):
        """Imports a file; the answer has "images"."""
        return self.api.request("POST", "/api/v1/images" + (f"?name={name}" if name else ""), data)

    def get(self, name):
        return self.api.request("GET", "/api/v1/images/" + urllib.parse.quote(name, safe=""))

    def remove(self, name):
        return self.api.request("DELETE", "/api/v1/images/" + urllib.parse.quote(name, safe=""))

    def clear(self):
        """Removes all images and what belongs to none."""
        for name in self.names():
            assert self.remove(name).status in (200, 404)
        self.prune().ok()
        assert self.files() == {}, self.files()

    def list(self):
        return self.api.images()

    def names(self):
        return sorted(image["name"] for image in self.list())

    # ---- the store --------------------------------------------------------------------------------

    def files(self):
        """Layer files and blobs in the store, by path, with their sizes."""
        found = {}
        for place in ("layers", "gateway/blobs"):
            for top, _, names in os.walk(os.path.join(self.engine.state, place)):
                for name in names:
                    path = os.path.join(top, name)
                    with contextlib.suppress(FileNotFoundError):
                        found[os.path.relpath(path, self.engine.state)] = os.stat(path).st_size
        return found

    def wanted(self):
        """Digests that the images speak of."""
        found = set()
        for image in self.list():
            found |= {image["id"], image["digest"]}
            for layer in image["layers"]:
                found |= {layer["diffId"], layer["digest"]}
        return {digest.split(":")[1] for digest in found if digest}

    def garbage(self):
        """Paths of what no image speaks of, downloads under way among them."""
        wanted = self.wanted()
        return sorted(path for path in self.files()
                      if path.startswith("gateway/blobs/partial/") or
                      os.path.basename(path).removesuffix(".erofs") not in wanted)

    def missing(self):
        """Digests that an image speaks of and no file has."""
        have = {os.path.basename(path).removesuffix(".erofs") for path in self.files()
                if "/partial/" not in path}
        return self.wanted() - have

    def sound(self):
        """Verify says so, and the listing agrees."""
        outcome = self.verify()
        assert outcome.done and not outcome.last["bad"], outcome
        assert not self.missing()
