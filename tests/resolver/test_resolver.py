# SPDX-License-Identifier: Apache-2.0
import contextlib
import os
import random
import select
import socket
import struct

import dns
import pytest
import rig
from rig import ALL, ALLOW, DENY, NONE, Rig

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

PUBLIC = ["93.184.216.34", "8.8.4.4"]


def public(asked, tcp):
    if asked.type == dns.A:
        return dns.answer(asked, [dns.a(asked.name, address) for address in PUBLIC])
    return dns.answer(asked, [], authority=[dns.soa("example.com")])


@contextlib.contextmanager
def running(say=public, **more):
    told = more.pop("told", True)
    one = Rig(say, **more)
    try:
        if told:
            one.gateway.send("names_told")
        yield one
    finally:
        one.close()


@pytest.fixture
def plain():
    with running() as one:
        yield one


def test_allowed_names_are_permitted_before_they_are_told(plain):
    number = plain.names(3, ALLOW, [("example.com", 443, 80), "*.example.org"])
    plain.caissond.open.clear()
    with plain.sandbox(3) as sock:
        sock.send(dns.question("Example.COM"))
        assert select.select([sock], [], [], 0.5)[0] == [], "told before it is permitted"
        plain.caissond.open.set()
        got = dns.parse(sock.recv(4096))
    assert (got.rcode, got.spelled, dns.addresses(got)) == (dns.NOERROR, "Example.COM", sorted(PUBLIC))
    ports = struct.pack("<4H", 443, 443, 80, 80)
    assert sorted(plain.caissond.permits) == sorted((3, number, one, 320, 0, ports) for one in PUBLIC)
    for name, rcode in (("www.example.com", dns.REFUSED), ("example.org", dns.REFUSED),
                        ("a.b.example.org", dns.NOERROR), ("notexample.org", dns.REFUSED)):
        assert plain.ask(3, name).rcode == rcode, name
    assert {name for name, _, _ in plain.upstream.asked} == {"example.com", "a.b.example.org"}


def test_without_network_everything_is_answered_at_once(plain):
    plain.names(3, NONE, ["example.com"])
    assert plain.ask(3, "example.com").rcode == dns.REFUSED
    assert plain.ask(3, "db").rcode == dns.NXDOMAIN
    assert plain.ask(4, "example.com").rcode == dns.REFUSED, "nothing was ever said of it"
    assert plain.upstream.asked == []


def test_all_but_private_names(plain):
    plain.names(3, ALL)
    assert dns.addresses(plain.ask(3, "example.com")) == sorted(PUBLIC)
    for name in ("metadata.google.internal", "printer.local", "db", "1.0.0.10.in-addr.arpa",
                 "1.2.31.172.in-addr.arpa", "1.0.100.100.in-addr.arpa"):
        assert plain.ask(3, name).rcode == dns.NXDOMAIN, name
    assert plain.ask(3, "1.2.32.172.in-addr.arpa").rcode == dns.NOERROR
    assert plain.caissond.permits == [], "what is open needs none"
    assert [name for name, _, _ in plain.upstream.asked] == ["example.com", "1.2.32.172.in-addr.arpa"]


def test_denied_names_also_behind_others():
    def say(asked, tcp):
        return dns.answer(asked, [dns.cname(asked.name, "www.bad.com"), dns.a("www.bad.com", PUBLIC[0])])
    with running(say) as one:
        one.names(3, DENY, ["*.bad.com", "bad.com"])
        assert one.ask(3, "www.bad.com").rcode == dns.REFUSED
        assert one.upstream.asked == []
        assert one.ask(3, "good.com").rcode == dns.REFUSED
        denied = [one.gateway.expect("denied") for _ in range(2)]
    assert [(d[0], d[5], d[6], d[7]) for d in denied] == [(3, b"www.bad.com", b"policy", 1),
                                                          (3, b"good.com", b"policy", 1)]


def test_chains_are_followed_from_the_name_that_was_asked():
    def say(asked, tcp):
        return dns.answer(asked, [
            dns.a("victim.com", "1.2.3.4"), dns.cname("victim.com", "evil.com"), dns.a("evil.com", "5.6.7.8"),
            dns.a("c.cdn.net", "9.9.9.9", ttl=7), dns.cname("b.cdn.net", "c.cdn.net", ttl=9000),
            dns.cname(asked.name, "b.cdn.net")])
    with running(say) as one:
        one.names(3, ALLOW, ["example.com"])
        got = one.ask(3, "example.com")
        assert [(r.name, r.type, r.data) for r in got.records] == [
            ("example.com", dns.CNAME, "b.cdn.net"), ("b.cdn.net", dns.CNAME, "c.cdn.net"),
            ("c.cdn.net", dns.A, "9.9.9.9")]
        assert {r.ttl for r in got.records} == {7}
        assert [permit[2] for permit in one.caissond.permits] == ["9.9.9.9"]


def test_loops_and_endless_chains_fail():
    def say(asked, tcp):
        if asked.name == "loop.com":
            return dns.answer(asked, [dns.cname("loop.com", "b.com"), dns.cname("b.com", "loop.com")])
        names = [asked.name, *(f"n{i}.com" for i in range(20))]
        return dns.answer(asked, [*map(dns.cname, names, names[1:]), dns.a(names[-1], PUBLIC[0])])
    with running(say) as one:
        one.names(3, ALLOW, ["loop.com", "long.com"])
        assert one.ask(3, "loop.com").rcode == one.ask(3, "long.com").rcode == dns.SERVFAIL
        assert one.caissond.permits == []


PRIVATE = ["10.0.0.1", "127.0.0.1", "169.254.169.254", "192.168.1.1", "172.16.0.1", "100.64.0.1", "0.0.0.0",
           "224.0.0.1", "255.255.255.255"]
PRIVATE6 = ["::1", "::", "::ffff:10.0.0.1", "64:ff9b::a00:1", "fe80::1", "fd00::1", "ff02::1", "2002:a00:1::"]


def test_no_name_means_a_private_address():
    def say(asked, tcp):
        if asked.type == dns.AAAA:
            return dns.answer(asked, [dns.aaaa(asked.name, one) for one in PRIVATE6])
        good = PUBLIC[:1] if asked.name == "half.com" else []
        return dns.answer(asked, [dns.a(asked.name, one) for one in PRIVATE + good])
    with running(say, reachable=[("10.0.0.0", 30)]) as one:
        for slot, mode in ((3, ALLOW), (4, ALL)):
            one.names(slot, mode, ["half.com", "rebind.com"] if mode == ALLOW else [])
            assert dns.addresses(one.ask(slot, "half.com")) == ["10.0.0.1", PUBLIC[0]]
            assert one.ask(slot, "rebind.com", dns.AAAA).rcode == dns.REFUSED
            denied = one.gateway.expect("denied")
            assert (denied[0], denied[5], denied[6]) == (slot, b"rebind.com", b"private")
        assert {permit[2] for permit in one.caissond.permits} == {"10.0.0.1", PUBLIC[0]}


def test_a_refused_permit_takes_its_address_out(plain):
    plain.caissond.judge = lambda permit: rig.DENIED if permit[2] == PUBLIC[0] else None
    plain.names(3, ALLOW, ["example.com"])
    assert dns.addresses(plain.ask(3, "example.com")) == PUBLIC[1:]
    plain.caissond.judge = lambda permit: rig.DENIED
    plain.names(4, ALLOW, ["example.com"])
    got = plain.ask(4, "example.com")
    assert (got.rcode, got.records) == (dns.REFUSED, [])


def test_peers_and_services_are_each_sandboxes_own():
    with running(services=[("registry.example", "192.0.2.1")]) as one:
        one.names(3, NONE, peers=[("db", "100.96.0.9")])
        one.names(4, ALL, peers=[("db", "100.96.0.8"), ("web.mine", "100.96.0.7")])
        assert dns.addresses(one.ask(3, "db")) == ["100.96.0.9"]
        assert dns.addresses(one.ask(4, "DB")) == ["100.96.0.8"]
        assert dns.addresses(one.ask(4, "web.mine")) == ["100.96.0.7"]
        assert one.ask(3, "web.mine").rcode == dns.REFUSED
        for slot in (3, 4, 5):
            assert dns.addresses(one.ask(slot, "registry.example")) == ["192.0.2.1"]
        none = one.ask(3, "db", dns.AAAA)
        assert (none.rcode, none.records) == (dns.NOERROR, [])
        one.gateway.send("names_forget", 3)
        one.names(5, NONE)  # so it has been read
        assert one.ask(3, "db").rcode == dns.NXDOMAIN
        assert one.upstream.asked == []


def many(asked, tcp):
    records = [dns.txt(asked.name, f"{i:03}" + "x" * 97) for i in range(40)]
    return dns.answer(asked, records) if tcp else dns.answer(asked, records[:2], truncated=True)


def test_answers_that_are_too_large():
    with running(many) as one:
        one.names(3, ALL)
        for edns, most in ((None, 512), (100, 512), (900, 900), (1232, 1232), (4096, 1232)):
            with one.sandbox(3) as sock:
                sock.send(dns.question("big.com", dns.TXT, edns=edns))
                packet = sock.recv(65536)
            got = dns.parse(packet)
            assert len(packet) <= most and got.flags & 0x0200 and got.records == [], edns
            assert (got.edns is None) == (edns is None)
        [got] = one.ask_tcp(3, dns.question("big.com", dns.TXT))
        assert len(got.records) == 40 and not got.flags & 0x0200
        assert one.upstream.asked == [("big.com", dns.TXT, False), ("big.com", dns.TXT, True)]


def test_tcp_takes_many_questions_and_only_so_many_connections(plain):
    plain.names(3, ALL)
    names = [f"n{i}.com" for i in range(200)]
    got = plain.ask_tcp(3, *(dns.question(name, number=i) for i, name in enumerate(names)))
    assert sorted((m.id, m.name) for m in got) == list(enumerate(names))
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(plain.sandbox(3, socket.SOCK_STREAM)) for _ in range(40)]
        closed = [sock for sock in socks[16:] if select.select([sock], [], [], 20)[0]]
        assert len(closed) == 24 and all(sock.recv(1) == b"" for sock in closed)
        assert plain.ask_tcp(4, dns.question("db"))[0].rcode == dns.NXDOMAIN, "another has its own"


def refusals():
    good = dns.question("example.com")
    yield dns.question("example.com", dns.ANY), dns.REFUSED
    yield dns.question("example.com", 252), dns.REFUSED
    yield dns.question("example.com", 48), dns.NOTIMP
    yield dns.question("example.com", klass=3), dns.REFUSED
    yield dns.question("example.com", flags=0x2900), dns.NOTIMP
    yield dns.question("example.com", edns=1232, version=1), 16
    yield good[:4] + struct.pack("!H", 2) + good[6:] + good[12:], dns.FORMERR
    yield good[:-3], dns.FORMERR
    yield good[:12], dns.FORMERR
    yield good[:6] + struct.pack("!H", 1) + good[8:] + dns.pack_record(dns.a("x", "1.2.3.4")), dns.FORMERR
    yield good[:12] + b"\xc0\x0c\0\1\0\1", dns.FORMERR
    yield good[:12] + b"\3a.b\3com\0\0\1\0\1", dns.REFUSED
    yield good[:12] + b"\3a\0b\3com\0\0\1\0\1", dns.REFUSED
    yield good[:12] + b"\0\0\1\0\1", dns.REFUSED


def test_questions_that_are_none(plain):
    plain.names(3, ALL)
    with plain.sandbox(3) as sock:
        for packet, rcode in refusals():
            sock.send(packet)
            got = dns.parse(sock.recv(4096))
            assert (got.rcode, got.records) == (rcode, []), packet
        for packet in (b"", b"\0", dns.question("example.com")[:11], dns.question("example.com", flags=0x8180)):
            sock.send(packet)
        sock.send(dns.question("db", number=7))
        assert dns.parse(sock.recv(4096)).id == 7, "an answer to what must have none"
        noise = random.Random(6)
        for _ in range(300):
            sock.send(noise.randbytes(noise.randrange(80)))
    assert plain.ask(4, "db").rcode == dns.NXDOMAIN
    assert plain.upstream.asked == []


def test_allow_lists_hide_addresses_in_service_records(plain):
    plain.names(3, ALLOW, ["example.com"])
    got = plain.ask(3, "example.com", dns.HTTPS)
    assert (got.rcode, got.records, plain.upstream.asked) == (dns.NOERROR, [], [])


def test_name_servers_that_lie_or_fail():
    def say(asked, tcp):
        false = [dns.a(asked.name, "6.6.6.6")]
        return [dns.answer(asked, false, number=asked.id ^ 1), b"x", b"",
                dns.answer(asked, false, name="other.com"), dns.answer(asked, [dns.a(asked.name, PUBLIC[0])])]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        dead = unused.getsockname()
    answers = []

    def failing(asked, tcp):
        answers.append(1)
        return dns.answer(asked, rcode=dns.SERVFAIL) if len(answers) == 1 else say(asked, tcp)
    with running(failing) as one:
        one.names(3, ALL)
        assert dns.addresses(one.ask(3, "example.com")) == PUBLIC[:1]
    with running(say, servers=[dead]) as one:
        one.names(3, ALL)
        assert one.ask(3, "example.com").rcode == dns.SERVFAIL, "nobody is there, which is known at once"


def test_an_answer_for_now_only_is_told_but_not_kept():
    with running(lambda asked, tcp: dns.answer(asked, [dns.a(asked.name, PUBLIC[0], ttl=0)])) as one:
        one.names(3, ALLOW, ["example.com"])
        for turn in (1, 2):
            assert [record.ttl for record in one.ask(3, "example.com").records] == [0]
            assert len(one.upstream.asked) == turn
        assert [permit[3] for permit in one.caissond.permits] == [25], "long enough to connect"


def test_what_is_known_is_not_asked_again():
    def say(asked, tcp):
        if asked.name == "gone.com":
            return dns.answer(asked, rcode=dns.NXDOMAIN, authority=[dns.soa("com")])
        return public(asked, tcp)
    with running(say) as one:
        one.names(3, ALLOW, ["example.com", "gone.com"])
        for _ in range(3):
            assert dns.addresses(one.ask(3, "example.com")) == sorted(PUBLIC)
            assert one.ask(3, "example.com", dns.AAAA).records == []
            assert one.ask(3, "gone.com").rcode == dns.NXDOMAIN
        assert len(one.upstream.asked) == 3 and len(one.caissond.permits) == 2
        one.names(4, ALLOW, ["example.com"])
        assert dns.addresses(one.ask(4, "example.com")) == sorted(PUBLIC)
        assert len(one.upstream.asked) == 3 and len(one.caissond.permits) == 4


def test_another_policy_permits_what_was_told_anew(plain):
    plain.names(3, ALL)
    plain.ask(3, "example.com")
    plain.ask(3, "other.com")
    assert plain.caissond.permits == []
    number = plain.names(3, ALLOW, ["example.com"])
    assert sorted(permit[:3] for permit in plain.caissond.permits) == sorted((3, number, one) for one in PUBLIC)
    plain.ask(3, "example.com")
    assert len(plain.caissond.permits) == 2
    plain.caissond.permits.clear()
    plain.names(3, NONE)
    assert plain.ask(3, "example.com").rcode == dns.REFUSED
    plain.names(3, ALLOW, ["*.com"])
    assert plain.caissond.permits and plain.ask(3, "other.com").rcode == dns.NOERROR
    plain.gateway.send("names_forget", 3)
    plain.caissond.permits.clear()
    plain.names(3, ALLOW, ["*.com"])
    assert plain.caissond.permits == [], "that was another sandbox"


def test_a_question_outlives_a_change_of_policy(plain):
    plain.names(3, ALLOW, ["example.com"])
    plain.caissond.judge = lambda permit: None if permit[1] == 77 else rig.CONFLICT
    with plain.sandbox(3) as sock:
        sock.send(dns.question("example.com"))
        while len(plain.caissond.permits) < 2:
            select.select([], [], [], 0.01)
        plain.say_names(3, ALLOW, ["example.com"], number=77)
        assert dns.addresses(dns.parse(sock.recv(4096))) == sorted(PUBLIC)


def test_a_flood_is_bounded_and_hurts_nobody_else(plain):
    plain.names(3, ALL)
    plain.names(4, ALL)
    with plain.sandbox(3) as sock:
        for i in range(6000):
            sock.send(dns.question("db", number=i))
        assert dns.addresses(plain.ask(4, "example.com")) == sorted(PUBLIC)
        sock.settimeout(1)
        got = 0
        with contextlib.suppress(TimeoutError):
            while sock.recv(4096):
                got += 1
    assert 0 < got < 6000
    with plain.sandbox(5) as sock:
        for i in range(200):
            sock.send(dns.question(f"n{i}.example.com"))
    told = 0
    plain.gateway.sock.settimeout(1)
    with contextlib.suppress(TimeoutError):
        while plain.gateway.expect("denied")[0] == 5:
            told += 1
    assert 0 < told < 60


def test_questions_wait_for_a_gateway_that_tells_the_names():
    with running(told=False) as one:
        with one.sandbox(3) as sock:
            sock.send(dns.question("example.com"))
            one.names(3, ALL)
            one.gateway.send("names_told")
            assert dns.parse(sock.recv(4096)).rcode == dns.NOERROR


def refused_packet(link, number, packet, family=socket.AF_INET, why=b"policy"):
    def attribute(kind, data):
        return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)
    body = struct.pack("!BBH", family, 0, 29) + attribute(4, struct.pack("!I", link)) + attribute(9, packet)
    body += attribute(2, struct.pack("!I", number)) + attribute(10, why + b"\0")
    return struct.pack("=IHHII", 16 + len(body), 4 << 8, 0, 0, 0) + body


def test_refused_packets_are_told(plain):
    plain.names(3, ALLOW, ["example.com"])
    tcp = bytes([0x45] + 8 * [0] + [6] + 2 * [0]) + socket.inet_aton("127.8.0.3") + socket.inet_aton("1.2.3.4")
    tcp += struct.pack("!HH", 5555, 443)
    udp6 = struct.pack("!IHBB", 6 << 28, 8, 17, 64) + bytes(16) + bytes([0x20, 1]) + bytes(14)
    udp6 += struct.pack("!HH", 5555, 53)
    both = refused_packet(19, 8, tcp) + refused_packet(19, 8, udp6, socket.AF_INET6, b"private")
    plain.denials.send(both)
    for _ in range(5):
        plain.denials.send(refused_packet(19, 8, tcp))
    for bad in (both[:40], both[:16], b"", refused_packet(3, 8, tcp), refused_packet(19 + 256, 8, tcp),
                refused_packet(19, 8, tcp[:19]), refused_packet(19, 8, b""), random.Random(1).randbytes(200)):
        plain.denials.send(bad)
    first, second, third = (plain.gateway.expect("denied") for _ in range(3))
    assert first == [3, 8, socket.inet_aton("1.2.3.4"), 6, 443, b"", b"policy", 1]
    assert second == [3, 8, bytes([0x20, 1]) + bytes(14), 17, 53, b"", b"private", 1]
    assert third == first[:-1] + [5], "the same again is counted"


def test_it_is_shut_off(plain):
    plain.names(3, ALL)
    plain.ask(3, "example.com")
    pid = plain.process.pid
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
    assert not any(int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    assert os.listdir(f"/proc/{pid}/root") == []
    with open(f"/proc/{pid}/limits", encoding="ascii") as file:
        limits = {line[:26].strip(): line[26:].split()[:2] for line in file}
    assert (limits["Max processes"], limits["Max open files"]) == (["0", "0"], ["2304", "2304"])
    for number in os.listdir(f"/proc/{pid}/fd"):
        assert os.readlink(f"/proc/{pid}/fd/{number}").startswith(("socket:", "anon_inode:", "/dev/", "pipe:", "/"))


def test_a_gateway_that_breaks_the_protocol_ends_it():
    one = Rig(public)
    one.gateway.send("names_begin", rig.SLOTS, 1, ALL)
    assert one.process.wait(20) != 0
    one.process.returncode = 0
    one.close()
