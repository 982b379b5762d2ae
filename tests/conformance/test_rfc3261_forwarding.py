"""RFC 3261 16.6 and 16.11, 18.1.1, 18.2.1, RFC 3581: requests on their way, byte by byte."""

from __future__ import annotations

import pytest

from tests.conformance.checks import check_forwarded, own_via
from tests.conformance.conftest import Bench
from tests.support.message import Sip, parameter, reply
from tests.support.net import own_host
from tests.support.peer import Peer


def branch(forwarded: bytes) -> bytes:
    """The branch of the farm's Via."""
    found = parameter(own_via(forwarded), "branch")
    assert found
    return found


# -- 16.6 step 3, Max-Forwards


def test_max_forwards_is_added_where_there_is_none(bench: Bench) -> None:
    message = bench.draft().remove("Max-Forwards").bytes()
    check_forwarded(bench, message, bench.through(message))


@pytest.mark.parametrize("value", ["70", "10", "1", "255", "0068", "100", " 5 "])
def test_max_forwards_counts_down(bench: Bench, value: str) -> None:
    message = bench.draft().set("Max-Forwards", value).bytes()
    check_forwarded(bench, message, bench.through(message))


# -- ways to write the same (7.3.1, 7.3.3), kept as they are


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Via", "v"), ("Via", "VIA"), ("Via", "vIa  "), ("From", "f"), ("To", "t"), ("To", "TO\t"),
        ("Call-ID", "i"), ("Call-ID", "CALL-ID"), ("CSeq", "cseq"), ("Content-Length", "l"),
        ("Content-Length", "content-LENGTH "), ("Max-Forwards", "MAX-FORWARDS"),
    ],
)  # fmt: skip
def test_header_names_in_any_spelling(bench: Bench, name: str, other: str) -> None:
    message = bench.draft(body=b"body").rename(name, other).bytes()
    check_forwarded(bench, message, bench.through(message))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Max-Forwards", "\r\n 70"),
        ("From", '"A \\" <b>"\r\n\t<sip:a@example.net>\r\n ;\r\n tag = 1'),
        ("From", "sip:a@example.net;tag=1"),
        ("From", "A B <sip:a@example.net;x=y?h=v>;p;tag=1;q"),
        ("To", "\r\n <sip:service@example.com>\r\n "),
        ("To", '"," <sip:service@example.com>'),
        ("Call-ID", "\r\n\t folded@example.net"),
        ("Call-ID", 'w()<>:\\"/[]?{}@x'),
        ("CSeq", "00007\r\n OPTIONS"),
        ("CSeq", "  7 \t OPTIONS  "),
        ("Content-Length", " 004 "),
        ("Content-Length", "\r\n 4"),
    ],
)
def test_header_values_in_any_layout(bench: Bench, name: str, value: str) -> None:
    message = bench.draft(body=b"body").set(name, value).bytes()
    check_forwarded(bench, message, bench.through(message))


def test_the_via_written_with_all_liberties(bench: Bench) -> None:
    caller = bench.caller
    via = (
        f"SIP  /   2.0\r\n /udp\r\n    {caller.host} : {caller.port} ;\r\n branch = z9hG4bKliberty"
        f' ; x="a,b;c\\"" ; ttl=1 , SIP/2.0/TCP a.example.com ;branch=z9hG4bKlower'
    )
    message = bench.draft(via=via).bytes()
    arrived = bench.through(message)
    raw = [field.raw for field in Sip.read(arrived).fields]
    added = f";received={caller.host}".encode()
    assert f"Via: {via}".encode() in [field.replace(added, b"") for field in raw]


def test_the_order_of_fields_does_not_matter(bench: Bench) -> None:
    draft = bench.draft(body=b"body")
    draft.fields.reverse()
    check_forwarded(bench, draft.bytes(), bench.through(draft.bytes()))


# -- bodies (16.6 step 1: "the proxy MUST NOT add to, modify, or remove the message body"; 18.3)


@pytest.mark.parametrize(
    "body", [bytes(range(256)), b"\r\n\r\nSIP/2.0 200 OK\r\n\r\n", b"x" * 40_000]
)
def test_a_body_is_bytes(bench: Bench, body: bytes) -> None:
    message = bench.draft(body=body).bytes()
    check_forwarded(bench, message, bench.through(message))


def test_without_content_length_the_body_ends_with_the_datagram(bench: Bench) -> None:
    message = bench.draft(body=b"all of it").remove("Content-Length").bytes()
    check_forwarded(bench, message, bench.through(message))


def test_bytes_behind_content_length_are_left_behind(bench: Bench) -> None:
    message = bench.draft(body=b"bodySURPLUS").set("Content-Length", "4").bytes()
    assert Sip.read(bench.through(message)).body == b"body"


# -- 16.6 step 8 and 16.11: the branch of a stateless proxy


def test_a_retransmission_has_the_same_branch(bench: Bench) -> None:
    message = bench.draft().bytes()
    assert bench.through(message) == bench.through(message)


def test_different_transactions_have_different_branches(bench: Bench) -> None:
    assert len({branch(bench.through(bench.draft().bytes())) for _ in range(20)}) == 20


def test_cancel_and_ack_have_the_branch_of_their_invite(bench: Bench) -> None:
    invite = bench.draft("INVITE")
    fields = dict(invite.fields)
    branches = [branch(bench.through(invite.bytes()))]
    for method, to in (("CANCEL", fields["To"]), ("ACK", fields["To"] + ";tag=busy")):
        other = bench.draft(method, via=fields["Via"])
        other.set("Call-ID", fields["Call-ID"]).set("From", fields["From"]).set("To", to)
        branches.append(branch(bench.through(other.bytes())))
    assert branches[0] == branches[1] == branches[2]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("From", "<sip:caller@example.net>;tag=other"),
        ("To", "<sip:service@example.com>;tag=other"),
        ("Call-ID", "other@example.net"),
        ("CSeq", "2 OPTIONS"),
    ],
)
def test_without_a_branch_each_of_these_makes_another_transaction(
    bench: Bench, name: str, value: str
) -> None:
    """16.11: without the cookie, the hash is over Via, tags, Call-ID, CSeq and Request-URI."""
    draft = bench.draft(via=f"SIP/2.0/UDP {bench.caller.sent_by}")
    first = branch(bench.through(draft.bytes()))
    assert branch(bench.through(draft.bytes())) == first
    assert branch(bench.through(draft.set(name, value).bytes())) != first


def test_without_a_branch_the_request_uri_makes_another_transaction(bench: Bench) -> None:
    draft = bench.draft(via=f"SIP/2.0/UDP {bench.caller.sent_by};branch=1")
    first = branch(bench.through(draft.bytes()))
    draft.start_line = "OPTIONS sip:other@example.com SIP/2.0"
    assert branch(bench.through(draft.bytes())) != first


def test_branches_are_opaque(bench: Bench) -> None:
    odd = bench.draft(via=f"SIP/2.0/UDP {bench.caller.sent_by};branch=z9hG4bK-.!%*_+`'~")
    check_forwarded(bench, odd.bytes(), bench.through(odd.bytes()))


def test_requests_come_from_the_listening_address(bench: Bench) -> None:
    """18.1.1: where responses are expected is where requests come from."""
    bench.caller.send(bench.draft().bytes(), bench.farm.sip)
    assert bench.destination.receive_from()[1] == bench.farm.sip


# -- 18.2.1 and RFC 3581 section 4: received and rport in the caller's Via


def received_and_rport(bench: Bench, via: str, caller: Peer | None = None) -> tuple[bytes, ...]:
    message = bench.draft(via=via).bytes()
    caller_via = Sip.read(bench.through(message, caller)).vias[1]
    assert caller_via.count(b"received") <= 1
    return tuple(parameter(caller_via, name) or b"" for name in ("received", "rport"))


def test_a_host_name_gets_received(bench: Bench) -> None:
    via = "SIP/2.0/UDP pbx.example.com:5070;branch=z9hG4bK1"
    assert received_and_rport(bench, via) == (bench.caller.host.encode(), b"")


def test_another_address_gets_received(bench: Bench) -> None:
    via = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2"
    assert received_and_rport(bench, via) == (bench.caller.host.encode(), b"")


def test_the_true_address_stays_true(bench: Bench) -> None:
    via = f"SIP/2.0/UDP {bench.caller.sent_by};branch=z9hG4bK3"
    assert received_and_rport(bench, via)[0] in (b"", bench.caller.host.encode())


@pytest.mark.parametrize(
    "where", [";rport;branch=z9hG4bK4", ";branch=z9hG4bK5;rport", "; RPORT ;branch=z9hG4bK6"]
)
def test_rport_is_filled_and_received_always_added(bench: Bench, where: str) -> None:
    """RFC 3581 4: received "even if it is identical to the value of the sent-by"."""
    for host in (bench.caller.sent_by, "pbx.example.com", "192.0.2.1:9"):
        found = received_and_rport(bench, f"SIP/2.0/UDP {host}{where}")
        assert found == (bench.caller.host.encode(), str(bench.caller.port).encode())


def test_a_received_that_the_sender_wrote_does_not_count(bench: Bench) -> None:
    via = "SIP/2.0/UDP pbx.example.com;received=192.0.2.66;branch=z9hG4bK7"
    assert received_and_rport(bench, via) == (bench.caller.host.encode(), b"")


def test_lower_vias_are_nobodys_business(bench: Bench) -> None:
    draft = bench.draft()
    draft.add("Via", "SIP/2.0/UDP a.example.com;rport;received=192.0.2.66;branch=z9hG4bK8")
    check_forwarded(bench, draft.bytes(), bench.through(draft.bytes()))


# -- IPv6 (RFC 5118)


def test_ipv6_callers_and_vias(bench: Bench) -> None:
    with Peer("::1") as caller:
        for sent_by in (caller.sent_by, "[2001:db8::9:1]:5070", "pbx.example.com", "[2001:DB8::1]"):
            via = f"SIP/2.0/UDP {sent_by};rport;branch=z9hG4bK{bench.key()}"
            message = bench.draft(via=via).bytes()
            vias = Sip.read(bench.through(message, caller)).vias
            assert parameter(vias[1], "rport") == str(caller.port).encode()
            assert parameter(vias[1], "received") in (b"::1", b"[::1]")
            assert vias[1].startswith(f"SIP/2.0/UDP {sent_by};".encode())


def test_from_ipv6_to_ipv4_and_back(bench: Bench) -> None:
    """The farm's Via names the address that the destination sees; the answer comes to the caller
    from the address that the caller had sent to."""
    host, port = bench.farm.sip
    with Peer("::1") as caller:
        via = f"SIP/2.0/UDP {caller.sent_by};branch=z9hG4bK{bench.key()}"
        forwarded = bench.through(bench.draft(via=via).bytes(), caller)
        assert own_via(forwarded).startswith(f"SIP/2.0/UDP {host}:{port}".encode())
        bench.destination.send(reply(forwarded), bench.farm.sip)
        answer, source = caller.receive_from()
        assert source == bench.farm.sip6
        assert len(Sip.read(answer).vias) == 1


def test_an_answer_of_ours_over_ipv6(bench: Bench) -> None:
    with Peer("::1") as caller:
        via = f"SIP/2.0/UDP {caller.sent_by};branch=z9hG4bK{bench.key()}"
        message = bench.draft(via=via).set("Max-Forwards", "0").bytes()
        assert Sip.read(bench.refused(message, caller)).status == 483


def test_answers_of_ours_go_where_via_says(bench: Bench) -> None:
    """18.2.2 and RFC 3581 4: to received and rport, else to received and the port of sent-by."""
    with Peer(bench.caller.host) as other:
        for via, expected in (
            (f"SIP/2.0/UDP x.example.com:{other.port}", other),
            (f"SIP/2.0/UDP x.example.com:{other.port};rport", bench.caller),
            ("SIP/2.0/UDP x.example.com", bench.caller),  # port 5060
            (f"SIP/2.0/UDP {other.sent_by}", other),
        ):
            draft = bench.draft(via=f"{via};branch=z9hG4bK{bench.key()}").set("Max-Forwards", "0")
            bench.caller.send(draft.bytes(), bench.farm.sip)
            answer, source = expected.receive_from()
            assert Sip.read(answer).status == 483
            assert source == bench.farm.sip


def test_answers_of_ours_honour_maddr(bench: Bench) -> None:
    with Peer(own_host()) as elsewhere:
        via = f"SIP/2.0/UDP {bench.caller.host}:{elsewhere.port};maddr={elsewhere.host}"
        draft = bench.draft(via=f"{via};branch=z9hG4bK{bench.key()}").set("Max-Forwards", "0")
        bench.caller.send(draft.bytes(), bench.farm.sip)
        assert Sip.read(elsewhere.receive()).status == 483
