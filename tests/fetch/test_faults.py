# SPDX-License-Identifier: Apache-2.0
"""Servers that misbehave, each in one way."""

import errno
import hashlib
import os
import socket
import subprocess
import threading
import time

import pytest

import worker as protocol
from registry import free_port
from web import Cut, Server
from worker import MIRROR, PLAIN, digest_of

DATA = os.urandom(3 << 20)
DIGEST = digest_of(DATA)


class Blobs(Server):
    """Serves DATA as every blob. script: what to do instead with the first requests for one, each a function of
    the exchange."""

    def __init__(self, *script, data=DATA, ranges=True, **more):
        self.script, self.data, self.ranges = list(script), data, ranges
        super().__init__(**more)

    def answer(self, exchange):
        if self.script:
            self.script.pop(0)(exchange)
        else:
            self.serve(exchange)

    def serve(self, exchange):
        begin = 0
        if self.ranges and exchange.record.range:
            begin = int(exchange.record.range[len("bytes="):-1])
        headers = {"Content-Length": str(len(self.data) - begin)}
        if begin > 0:
            headers["Content-Range"] = f"bytes {begin}-{len(self.data) - 1}/{len(self.data)}"
        exchange.head(206 if begin else 200, headers)
        exchange.write(self.data[begin:])

    @property
    def blobs(self):
        return [record for record in self.records if "/blobs/" in record.path]


def cut_after(n):
    def script(exchange):
        exchange.head(200, {"Content-Length": str(len(DATA))})
        exchange.write(DATA[:n])
        exchange.wfile.flush()
        time.sleep(0.2)
        raise Cut
    return script


def say(status, body=b"", **headers):
    return lambda exchange: exchange.reply(status, body, {k.replace("_", "-"): v for k, v in headers.items()})


def body_of(exchange):
    """What was sent, once; reply() then finds nothing left to read."""
    data = b"".join(exchange.pieces())
    exchange.pieces = lambda: iter(())
    return data


def redirect(url):
    return say(307, Location=url)


# ---- what breaks and is mended ---------------------------------------------------------------------

@pytest.mark.parametrize("ranges", (True, False))
def test_a_broken_transfer_goes_on_where_it_was(plain, ranges):
    with Blobs(cut_after(1 << 20), ranges=ranges) as server:
        answer = plain(server).blob("a", DIGEST, len(DATA))
        assert answer.ok and answer.file == DATA
        first, second = server.records
        begin = int(second.range[len("bytes="):-1])
        assert first.range is None and 0 < begin <= 1 << 20


def test_a_resumed_transfer_asks_for_the_rest_only(plain):
    with Blobs() as server:
        answer = plain(server).blob("a", DIGEST, len(DATA), have=DATA[:-1000])
        assert answer.ok and answer.file == DATA
        assert [record.range for record in server.records] == [f"bytes={len(DATA) - 1000}-"]


def test_a_whole_file_needs_no_server(plain):
    with Blobs() as server:
        assert plain(server).blob("a", DIGEST, len(DATA), have=DATA).ok
        assert not server.records


def test_a_damaged_beginning_is_fetched_anew(plain):
    with Blobs() as server:
        answer = plain(server).blob("a", DIGEST, len(DATA), have=b"x" * 1000)
        assert answer.ok and answer.file == DATA


def test_bytes_behind_the_beginning_are_cut_off(plain):
    with Blobs() as server:
        asks = plain(server)
        file = open("/dev/shm/fetch-test", "w+b")
        os.unlink("/dev/shm/fetch-test")
        file.write(DATA + b"more")
        file.flush()
        number = asks.ask(protocol.BLOB, protocol.text("a") + protocol.text(protocol.raw(DIGEST)) +
                          protocol.u64(len(DATA)) + protocol.u64(100), file.fileno())
        asks.files[number] = file
        assert asks.wait(number).file == DATA


@pytest.mark.parametrize("status", (500, 502, 503, 408))
def test_trouble_that_passes(plain, status):
    with Blobs(say(status)) as server:
        assert plain(server).blob("a", DIGEST, len(DATA)).file == DATA
        assert len(server.records) == 2


def test_retry_after_is_kept(plain):
    with Blobs(say(429, Retry_After="3")) as server:
        assert plain(server).blob("a", DIGEST, len(DATA)).ok
        first, second = server.records
        assert second.begin - first.begin >= 2.9


def test_trouble_that_stays(plain):
    words = b'{"errors":[{"code":"UNAVAILABLE","message":"on holiday"}]}'
    with Blobs(*[say(503, words)] * 9) as server:
        answer = plain(server).blob("a", DIGEST, len(DATA))
        assert (answer.reason, answer.status, answer.kind) == ("server", 503, "unavailable")
        assert "after 5 tries" in answer.text and "UNAVAILABLE: on holiday" in answer.text
        assert len(server.records) == 5


def test_too_many_requests_in_the_end(plain):
    with Blobs(*[say(429, b"<h1>Slow\ndown</h1>", Retry_After="0")] * 9) as server:
        answer = plain(server).blob("a", DIGEST, len(DATA))
        assert (answer.reason, answer.status) == ("too_many", 429)
        assert "(HTTP 429: Slow down)" in answer.text


def test_progress_does_not_count_as_failure(plain):
    """More breaks than tries, but each brings a mebibyte and more."""
    data = os.urandom(12 << 20)

    def one_piece(exchange):
        begin = int(exchange.record.range[len("bytes="):-1]) if exchange.record.range else 0
        headers = {"Content-Length": str(len(data) - begin)}
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        exchange.head(206 if begin else 200, headers)
        exchange.write(data[begin:begin + (3 << 19)])
        time.sleep(0.2)
        raise Cut

    with Blobs(*[one_piece] * 6, data=data) as server:
        answer = plain(server).blob("a", digest_of(data), len(data))
        assert answer.ok and answer.file == data


# ---- what stays broken -----------------------------------------------------------------------------

def test_wrong_digest(plain):
    wrong = DATA[:-1] + bytes([DATA[-1] ^ 1])
    with Blobs(data=wrong) as server:
        answer = plain(server).blob("a", DIGEST, len(DATA))
        assert answer.reason == "digest" and DIGEST in answer.text and answer.file == b""
        assert len(server.records) == 1


def test_wrong_digest_behind_a_pipe(plain):
    wrong = DATA[:-1] + bytes([DATA[-1] ^ 1])
    with Blobs(data=wrong) as server:
        reader = Reader()
        asks = plain(server)
        number = asks.start_blob("a", DIGEST, len(DATA), pipe=reader.give())
        reader.given()
        answer = asks.wait(number)
        assert answer.reason == "digest" and answer.file == b""
        reader.end()


@pytest.mark.parametrize("length", (len(DATA) - 1, len(DATA) + 1))
def test_wrong_length(plain, length):
    with Blobs(data=(DATA + b"x")[:length]) as server:
        answer = plain(server).blob("a", DIGEST, len(DATA))
        assert answer.reason == "truncated" and f"sends {length} bytes" in answer.text


@pytest.mark.parametrize("length", (len(DATA) - 1, len(DATA) + 1))
def test_wrong_length_that_nobody_announced(plain, length):
    def chunked(exchange):
        exchange.head(200, {"Transfer-Encoding": "chunked"})
        body = (DATA + b"x")[:length]
        exchange.write(b"%x\r\n%s\r\n0\r\n\r\n" % (length, body))

    with Blobs(*[chunked] * 5) as server:
        answer = plain(server).blob("a", DIGEST, len(DATA), have=DATA[:1])
        assert answer.reason == "truncated"
        assert len(answer.file) <= len(DATA)


def test_always_cut_at_once(plain):
    with Blobs(*[cut_after(0)] * 9) as server:
        answer = plain(server).blob("a", DIGEST, len(DATA))
        assert answer.reason in ("unreachable", "truncated") and "after 5 tries" in answer.text
        assert len(server.records) == 5


def test_another_range_than_asked_for(plain):
    def wrong(exchange):
        exchange.reply(206, DATA[:1000], {"Content-Range": f"bytes 0-999/{len(DATA)}"})

    with Blobs(wrong) as server:
        answer = plain(server).blob("a", DIGEST, len(DATA), have=DATA[:10])
        assert answer.reason == "protocol" and answer.file == DATA[:10]


def test_endless_headers(plain):
    def endless(exchange):
        exchange.head(200, [(f"X-{i}", "y" * 1000) for i in range(200)])

    with Blobs(*[endless] * 5) as server:
        assert plain(server).blob("a", DIGEST, len(DATA)).reason == "protocol"


def test_not_http(plain):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            sock, _ = listener.accept()
            with sock:
                sock.recv(1000)
                sock.sendall(b"220 this is a mail server\r\n")

        threading.Thread(target=serve, daemon=True).start()
        server = type("", (), {"address": f"127.0.0.1:{listener.getsockname()[1]}"})
        answer = plain(server).login()
        assert answer.reason == "protocol" and "HTTP" in answer.text


def test_silent_names_and_ports(worker):
    answer = worker().endpoint(f"127.0.0.1:{free_port()}").login()
    assert answer.reason == "unreachable" and "Connection refused" in answer.text
    answer = worker().endpoint("registry.invalid").login()
    assert answer.reason == "unreachable" and "DNS" in answer.text


def test_words_are_cleaned(plain):
    body = b'{"errors":[{"code":"EVIL","message":"\\u001b[31m\\u0007\\n%s"}]}' % (b"x" * 3000)
    with Blobs(say(404, body)) as server:
        text = plain(server).blob("a", DIGEST, len(DATA)).text
        assert "EVIL: ?[31m??xxx" in text and len(text) <= 503
        assert all(" " <= c <= "~" for c in text)


def test_a_huge_error_page_is_not_read_to_the_end(plain):
    def page(exchange):
        exchange.head(404, {"Content-Length": str(1 << 30)})
        for _ in range(1 << 10):
            exchange.write(b"no " * (1 << 18))

    with Blobs(page) as server:
        answer = plain(server).blob("a", DIGEST, len(DATA))
        assert answer.reason == "not_found"


def test_manifest_too_large(plain):
    with Blobs(say(200, b"x" * 5000)) as server:
        answer = plain(server).manifest("a", "latest", most=4999)
        assert answer.reason == "protocol" and "4999" in answer.text


@pytest.mark.parametrize("claimed", (True, False))
def test_manifest_of_another_digest(plain, claimed):
    headers = {"Docker_Content_Digest": DIGEST} if claimed else {}
    with Blobs(*[say(200, b"{}", **headers)] * 2) as server:
        answer = plain(server).manifest("a", "latest" if claimed else DIGEST)
        assert answer.reason == "digest" and DIGEST in answer.text


def test_media_type_of_a_manifest(plain):
    with Blobs(say(200, b"{}", Content_Type="Application/X+json; charset=utf-8")) as server:
        asks = plain(server)
        assert asks.manifest("a", "latest").media_type == "application/x+json"
        assert "manifest.list.v2+json" in server.records[0].headers["Accept"]


# ---- redirects -------------------------------------------------------------------------------------

def test_credentials_stay_at_home(plain):
    """Basic credentials, and a redirect to another port and another host."""
    with Blobs(host="127.0.0.2") as store, Blobs() as other_port:
        for there in (store, other_port):
            with Blobs(say(401, WWW_Authenticate='Basic realm="x"'), redirect(there.url + "/blobs/x")) as server:
                answer = plain(server, user="u", password="p").blob("a", DIGEST, len(DATA))
                assert answer.ok and answer.file == DATA
                assert [r.authorization is None for r in server.records] == [True, False]
                assert there.records[-1].authorization is None


def test_credentials_go_along_at_home(plain):
    with Blobs(say(401, WWW_Authenticate='Basic realm="x"')) as server:
        server.script.append(redirect(server.url + "/blobs/elsewhere"))
        assert plain(server, user="u", password="p").blob("a", DIGEST, len(DATA)).ok
        assert server.records[2].path == "/blobs/elsewhere" and server.records[2].authorization


def test_a_challenge_of_another_host_gets_nothing(plain):
    with Blobs(*[say(401, WWW_Authenticate='Basic realm="x"')] * 9, host="127.0.0.2") as thief:
        with Blobs(*[redirect(thief.url + "/blobs/x")] * 9) as server:
            answer = plain(server, user="u", password="p").blob("a", DIGEST, len(DATA))
            assert answer.reason == "unauthorized" and "127.0.0.2" in answer.text
            assert all(r.authorization is None for r in thief.records + server.records)


def test_redirects_end(plain):
    with Server(lambda exchange: redirect("/v2/again")(exchange)) as server:
        answer = plain(server).blob("a", DIGEST, len(DATA))
        assert answer.reason == "protocol" and "more than 5 times" in answer.text
        assert len(server.records) == 6


@pytest.mark.parametrize("url", ("file:///etc/passwd", "ftp://127.0.0.1/x", "http://u:p@127.0.0.1/", "", "//", "gopher://x/"))
def test_redirects_to_nowhere(plain, url):
    with Blobs(redirect(url)) as server:
        answer = plain(server).blob("a", DIGEST, len(DATA))
        assert answer.reason == "protocol" and answer.file == b""


def test_from_tls_no_way_leads_to_plain_http(worker, certificate, ca):
    with Blobs() as store, Blobs(redirect(store.url + "/blobs/x"), certificate=certificate) as server:
        answer = worker().endpoint(server.address, ca=ca).blob("a", DIGEST, len(DATA))
        assert answer.reason == "protocol" and not store.records


def test_a_signed_url_that_expired_is_asked_for_anew(plain):
    with Blobs(say(403, b"<Error><Code>AccessDenied</Code></Error>"), host="127.0.0.2") as store:
        with Blobs(*[redirect(store.url + "/blobs/x")] * 2) as server:
            assert plain(server).blob("a", DIGEST, len(DATA)).file == DATA


# ---- tokens ----------------------------------------------------------------------------------------

class Guarded(Blobs):
    """Wants a bearer token that its own /token gives out; `valid` is the one that counts."""

    def __init__(self, realm=None, **more):
        self.valid, self.given, self.realm, self.scopes = "t1", [], realm, []
        super().__init__(**more)

    def answer(self, exchange):
        record = exchange.record
        if record.path == "/token":
            self.scopes.append(record.query.get("scope"))
            self.given.append(self.valid)
            exchange.reply(200, {"access_token": self.valid, "expires_in": 1})
        elif record.authorization != f"Bearer {self.valid}":
            exchange.reply(401, {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]},
                           {"WWW-Authenticate": f'Bearer realm="{self.realm or self.url + "/token"}",service="s",'
                                                'scope="repository:a:pull"'})
        else:
            super().answer(exchange)


def test_one_token_serves_many(plain):
    with Guarded() as server:
        asks = plain(server)
        for _ in range(3):
            assert asks.blob("a", DIGEST, len(DATA)).ok
        assert server.given == ["t1"] and server.scopes == ["repository:a:pull"]


def test_a_token_that_expires_is_replaced(plain):
    with Guarded() as server:
        asks = plain(server)
        assert asks.blob("a", DIGEST, len(DATA)).ok
        server.valid = "t2"
        assert asks.blob("a", DIGEST, len(DATA)).ok
        assert server.given == ["t1", "t2"]


def test_a_token_that_never_counts(plain):
    with Guarded() as server:
        def answer(exchange, usual=server.answer):
            usual(exchange)
            server.valid += "x"

        server.answer = answer
        result = plain(server, user="u", password="p").blob("a", DIGEST, len(DATA))
        assert result.reason == "unauthorized" and "does not accept the token" in result.text
        assert "authentication required" in result.text and len(server.given) == 2


def test_the_token_service_gets_the_password_and_the_store_gets_nothing(plain):
    with Blobs(host="127.0.0.2") as store, Guarded() as server:
        server.script = [redirect(store.url + "/blobs/x")]
        assert plain(server, user="u", password="p").blob("a", DIGEST, len(DATA)).ok
        assert [r.authorization.split()[0] for r in server.records if r.authorization] == ["Basic", "Bearer"]
        assert store.records[0].authorization is None


def test_no_password_to_a_foreign_realm_in_plain_http(plain):
    with Server(say(200, b'{"token":"t1"}'), host="127.0.0.2") as thief:
        with Guarded(realm=thief.url + "/token") as server:
            answer = plain(server, user="u", password="p").blob("a", DIGEST, len(DATA))
            assert answer.reason == "not_tls" and "no password is sent" in answer.text
            assert not thief.records
            assert plain(server).blob("a", DIGEST, len(DATA)).ok  # nobody has no secret to lose


def test_no_token_over_plain_http_from_a_registry_with_tls(worker, certificate, ca):
    with Server(say(200, b'{"token":"t1"}')) as service:
        with Guarded(realm=service.url + "/token", certificate=certificate) as server:
            answer = worker().endpoint(server.address, ca=ca).blob("a", DIGEST, len(DATA))
            assert answer.reason == "not_tls" and not service.records


def test_identity_tokens_are_changed_into_others(plain):
    with Guarded() as server:
        bodies = []

        def answer(exchange, usual=server.answer):
            if exchange.command == "POST":
                bodies.append(body_of(exchange))
            usual(exchange)

        server.answer = answer
        assert plain(server, identity="refresh+me").blob("a", DIGEST, len(DATA)).ok
        assert b"grant_type=refresh_token" in bodies[0] and b"refresh_token=refresh%2Bme" in bodies[0]


def test_registry_tokens_are_sent_as_they_are(plain):
    with Guarded() as server:
        assert plain(server, token="t1").blob("a", DIGEST, len(DATA)).ok
        assert not server.given
        answer = plain(server, token="old").blob("a", DIGEST, len(DATA))
        assert answer.reason == "unauthorized" and not server.given


@pytest.mark.parametrize("body", (b"", b"{}", b'{"token":5}', b'{"token":"a\\r\\nX: y"}', b"[" * 100000,
                                  b'{"token":"' + b"x" * 20000 + b'"}', b"x" * 200000))
def test_a_token_service_that_talks_nonsense(plain, body):
    with Server(say(200, body)) as service, Guarded(realm=service.url + "/token") as server:
        answer = plain(server).blob("a", DIGEST, len(DATA))
        assert answer.reason == "protocol" and "token service '127.0.0.1:" in answer.text


def test_a_token_service_that_fails_for_a_while(plain):
    with Guarded() as server:
        troubles = [503, 429]

        def answer(exchange, usual=server.answer):
            if exchange.record.path == "/token" and troubles:
                exchange.reply(troubles.pop(0))
            else:
                usual(exchange)

        server.answer = answer
        assert plain(server).blob("a", DIGEST, len(DATA)).ok and not troubles


@pytest.mark.parametrize("challenge", ("", "Bearer", "Negotiate", 'Bearer realm="file:///etc/passwd"',
                                       'Bearer realm="http://u:p@127.0.0.1/"', 'Bearer realm="', "Basic x=\x7f\""))
def test_challenges_that_cannot_be_met(plain, challenge):
    with Blobs(*[say(401, WWW_Authenticate=challenge)] * 2) as server:
        answer = plain(server, user="u", password="p").blob("a", DIGEST, len(DATA))
        assert not answer.ok and answer.reason in ("protocol", "unauthorized")
        assert len(server.records) == 1


# ---- mirrors ---------------------------------------------------------------------------------------

def with_mirror(worker, mirror, server, **more):
    one = worker().endpoint(mirror if isinstance(mirror, str) else mirror.address, flags=PLAIN | MIRROR, **more)
    return one.endpoint(server.address, flags=PLAIN, user="u", password="p")


def test_mirrors_come_first(worker):
    with Blobs() as mirror, Blobs() as server:
        answer = with_mirror(worker, mirror, server, prefix="hub").blob("a", DIGEST, len(DATA))
        assert answer.ok and answer.endpoint == mirror.address and not server.records
        assert mirror.records[0].path == f"/v2/hub/a/blobs/{DIGEST}"


def test_a_mirror_that_is_down_is_passed_by(worker):
    gone = f"127.0.0.1:{free_port()}"
    with Blobs() as server:
        asks = with_mirror(worker, gone, server)
        for _ in range(3):
            answer = asks.blob("a", DIGEST, len(DATA))
            assert answer.ok and answer.endpoint == server.address


@pytest.mark.parametrize("trouble", (say(404), say(403), say(401, WWW_Authenticate='Basic realm="x"'), say(500)))
def test_a_mirror_that_has_it_not(worker, trouble):
    with Blobs(*[trouble] * 9) as mirror, Blobs() as server:
        answer = with_mirror(worker, mirror, server).blob("a", DIGEST, len(DATA))
        assert answer.ok and answer.endpoint == server.address
        assert all(r.authorization is None for r in mirror.records)


def test_a_mirror_with_something_else(worker):
    with Blobs(data=DATA[::-1]) as mirror, Blobs() as server:
        answer = with_mirror(worker, mirror, server).blob("a", DIGEST, len(DATA))
        assert answer.ok and answer.file == DATA


def test_the_registrys_error_is_the_one_told(worker):
    with Blobs(say(500), say(500)) as mirror, Blobs(say(404)) as server:
        answer = with_mirror(worker, mirror, server).blob("a", DIGEST, len(DATA))
        assert answer.reason == "not_found" and server.address in answer.text


def test_pushes_go_to_the_registry_only(worker):
    with Blobs() as mirror, Server(say(500)) as server:
        server.answer = say(200)
        assert with_mirror(worker, mirror, server).put_blob("a", b"x").how == "existed"
        assert not mirror.records


# ---- pipes -----------------------------------------------------------------------------------------

class Reader:
    """Reads a pipe in a thread, once it is told to."""

    def __init__(self, at_once=True):
        self.read, self.write = os.pipe()
        self.data, self.go = hashlib.sha256(), threading.Event()
        if at_once:
            self.go.set()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        self.go.wait()
        while piece := os.read(self.read, 1 << 16):
            self.data.update(piece)
        os.close(self.read)

    def give(self):
        return self.write

    def given(self):
        os.close(self.write)

    def end(self):
        self.thread.join(20)
        assert not self.thread.is_alive()
        return "sha256:" + self.data.hexdigest()


def test_a_pipe_gets_the_same_bytes(plain):
    with Blobs(cut_after(1 << 20)) as server:
        asks, reader = plain(server), Reader()
        number = asks.start_blob("a", DIGEST, len(DATA), have=DATA[:1000], pipe=reader.give())
        reader.given()
        assert asks.wait(number).ok and reader.end() == DIGEST


def test_a_slow_reader_holds_nothing_up(plain):
    """Five blobs into pipes that nobody reads, and others after them."""
    with Blobs() as server:
        asks = plain(server)
        readers = [Reader(at_once=False) for _ in range(5)]
        numbers = []
        for reader in readers:
            numbers.append(asks.start_blob("a", DIGEST, len(DATA), pipe=reader.give()))
            reader.given()
        assert asks.blob("a", DIGEST, len(DATA)).ok
        assert not set(numbers) & set(asks.answers)
        for reader in readers:
            reader.go.set()
        assert all(asks.wait(number).ok for number in numbers)
        assert {reader.end() for reader in readers} == {DIGEST}


def test_a_reader_that_goes_away(plain):
    with Blobs() as server:
        asks = plain(server)
        read, write = os.pipe()
        number = asks.start_blob("a", DIGEST, len(DATA), pipe=write)
        os.close(write)
        os.read(read, 1)
        os.close(read)
        answer = asks.wait(number)
        assert answer.ok and answer.file == DATA


# ---- the gateway's side ----------------------------------------------------------------------------

def test_four_at_a_time(plain):
    state = {"now": 0, "most": 0}
    lock = threading.Lock()

    def answer(exchange):
        with lock:
            state["now"] += 1
            state["most"] = max(state["most"], state["now"])
        time.sleep(0.1)
        with lock:
            state["now"] -= 1
        exchange.reply(200, DATA)

    with Server(answer) as server:
        asks = plain(server)
        numbers = [asks.start_blob("a", DIGEST, len(DATA)) for _ in range(12)]
        assert all(asks.wait(number).ok for number in numbers)
    assert state["most"] == 4


def test_progress_is_told_five_times_a_second(plain):
    def slowly(exchange):
        exchange.head(200, {"Content-Length": str(len(DATA))})
        for i in range(0, len(DATA), 1 << 16):
            exchange.write(DATA[i:i + (1 << 16)])
            time.sleep(0.03)

    with Blobs(slowly) as server:
        begin = time.monotonic()
        answer = plain(server).blob("a", DIGEST, len(DATA))
        seconds = time.monotonic() - begin
        assert answer.ok and 3 <= len(answer.progress) <= 5 * seconds + 1
        assert [b for b, _ in answer.progress] == sorted(b for b, _ in answer.progress)
        assert {total for _, total in answer.progress} == {len(DATA)}


def test_cancel(plain):
    waiting = threading.Event()

    def stuck(exchange):
        exchange.head(200, {"Content-Length": str(len(DATA))})
        exchange.write(DATA[:1 << 20])
        waiting.wait(20)
        raise Cut

    with Blobs(*[stuck] * 5) as server:
        asks, reader = plain(server), Reader()
        number = asks.start_blob("a", DIGEST, len(DATA), pipe=reader.give())
        reader.given()
        others = [asks.start_blob("a", DIGEST, len(DATA)) for _ in range(4)]  # the last of them waits its turn
        time.sleep(0.3)
        for each in [number] + others:
            answer = asks.cancel(each)
            assert answer.reason == "cancelled"
        waiting.set()
        assert reader.end() != DIGEST
        server.script.clear()
        assert plain(server).blob("a", DIGEST, len(DATA)).ok


def test_no_request_waits_after_the_gateway_is_gone():
    with Server(lambda exchange: time.sleep(5)) as server, protocol.Worker() as asks:
        asks.endpoint(server.address, flags=PLAIN).start_blob("a", DIGEST, len(DATA))
        time.sleep(0.2)
        begin = time.monotonic()
    assert time.monotonic() - begin < 7  # of which the server takes five
    assert asks.status == 0


@pytest.mark.parametrize("what", ("unknown message", "before the endpoints", "no descriptor", "twice the number",
                                  "an endpoint too many", "a host that is a path", "two secrets", "no packet"))
def test_broken_protocol_ends_the_worker(what):
    with protocol.Worker() as asks:
        if what not in ("before the endpoints", "a host that is a path", "two secrets"):
            asks.endpoint("127.0.0.1:1", flags=PLAIN)
        if what == "unknown message":
            asks.send(0x77, 1)
        elif what == "before the endpoints":
            asks.ask(protocol.LOGIN, b"")
        elif what == "no descriptor":
            asks.ask(protocol.MANIFEST, protocol.text("a") + protocol.text("b") + protocol.u32(5))
        elif what == "twice the number":
            with open("/dev/null") as null, Blobs(*[lambda exchange: time.sleep(1)] * 2):
                asks.send(protocol.LOGIN, 5)
                asks.send(protocol.LOGIN, 5)
        elif what == "an endpoint too many":
            asks.endpoint("127.0.0.1:2")
        elif what == "a host that is a path":
            asks.endpoint("127.0.0.1/x")
        elif what == "two secrets":
            asks.endpoint("a", user="u", token="t")
        else:
            asks.sock.send(b"\x01\x00")
        packet = asks.sock.recv(10000)
        while packet and packet[2] != protocol.FAILED or packet[4:8] != bytes(4):
            packet = asks.sock.recv(10000)
        assert asks.sock.recv(10000) == b""
    assert asks.status == 1 and asks.stderr.startswith("caisson-fetch: ")


@pytest.mark.parametrize("repository, reference", (("../x", "t"), ("a//b", "t"), ("A", "t"), ("a", "../t"), ("", "t"),
                                                   ("a?x=y", "t"), ("a", "sha256:12"), ("a", "t/../../x"),
                                                   ("a/", "t"), ("/a", "t"), ("a", ".t"), ("a#", "t"), ("a%2e", "t")))
def test_names_that_mean_something_else_in_a_url(plain, repository, reference):
    with Blobs() as server:
        answer = plain(server).manifest(repository, reference)
        assert not answer.ok and answer.kind == "invalid" and not server.records


def test_a_full_disk(plain, top):
    path = os.path.join(top, "small")
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", path], check=True)
    try:
        with Blobs() as server, open(os.path.join(path, "blob"), "w+b") as file:
            asks = plain(server)
            answer = asks.blob("a", DIGEST, len(DATA), file=file)
            assert (answer.reason, answer.errnum, answer.kind) == ("local", errno.ENOSPC, "limit")
            assert answer.file == DATA[:len(answer.file)]
    finally:
        subprocess.run(["umount", path], check=True)


# ---- pushes ----------------------------------------------------------------------------------------

class Uploads(Server):
    """Takes uploads; `location` is where it sends them, `trouble` answers instead of the first PUTs."""

    def __init__(self, location="/upload?state=1", trouble=(), **more):
        self.location, self.trouble, self.stored = location, list(trouble), {}
        super().__init__(**more)

    def answer(self, exchange):
        record = exchange.record
        if exchange.command == "HEAD":
            exchange.reply(404)
        elif exchange.command == "POST":
            exchange.reply(202, b"", {"Location": self.location})
        elif self.trouble:
            self.trouble.pop(0)(exchange)
        else:
            self.stored[record.query["digest"]] = body_of(exchange)
            exchange.reply(201)


def test_upload_to_another_host_without_credentials(plain):
    with Uploads(host="127.0.0.2") as store, Uploads(location=store.url + "/there") as server:
        assert plain(server, token="t").put_blob("a", DATA).how == "moved"
        assert store.stored == {DIGEST: DATA} and store.records[0].authorization is None
        assert all(r.authorization == "Bearer t" for r in server.records)


@pytest.mark.parametrize("trouble", (say(500), say(429), lambda exchange: (_ for _ in ()).throw(Cut())))
def test_an_upload_that_breaks_is_begun_anew(plain, trouble):
    with Uploads(trouble=[trouble]) as server:
        assert plain(server).put_blob("a", DATA).how == "moved"
        assert server.stored == {DIGEST: DATA}
        assert server.records[-1].query == {"state": "1", "digest": DIGEST}


def test_an_upload_without_a_place(plain):
    with Uploads(location="") as server:
        answer = plain(server).put_blob("a", DATA)
        assert answer.reason == "protocol" and "where to send" in answer.text


def test_a_file_of_another_length_is_not_sent(plain):
    with Uploads() as server:
        asks = plain(server)
        with open(__file__, "rb") as file:
            number = asks.ask(protocol.PUT_BLOB, protocol.text("a") + protocol.text(protocol.raw(DIGEST)) +
                              protocol.u64(5) + protocol.text(""), file.fileno())
        assert asks.wait(number).kind == "invalid" and not server.records


def test_a_mount_that_is_denied_becomes_an_upload(plain):
    class Wary(Uploads):
        def answer(self, exchange):
            if "mount" in exchange.record.query:
                exchange.reply(403)
            else:
                super().answer(exchange)

    with Wary() as server:
        assert plain(server).put_blob("a", DATA, mount_from="b").how == "moved"
        assert server.stored == {DIGEST: DATA}


# ---- bounds ----------------------------------------------------------------------------------------

def test_memory_is_bounded(plain):
    """A hundred blobs in the queue, headers and bodies without end: it stays small."""
    def endless(exchange):
        exchange.head(200, [("Content-Length", str(1 << 40))])
        for _ in range(1000):
            exchange.write(DATA)

    with Server(endless) as server:
        asks = plain(server)
        numbers = [asks.start_blob("a", DIGEST, len(DATA)) for _ in range(100)]
        assert all(asks.wait(number).reason == "truncated" for number in numbers)
        with open(f"/proc/{asks.process.pid}/status") as status:
            peak = int(status.read().split("VmHWM:")[1].split()[0])
        assert peak < 96 << 10
