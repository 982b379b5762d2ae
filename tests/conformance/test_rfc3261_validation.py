"""RFC 3261 16.3 and 16.4: which requests a proxy refuses, and what it does to Route first."""

from __future__ import annotations

import re

import pytest

from tests.conformance.checks import check_answer, check_forwarded
from tests.conformance.conftest import Bench
from tests.support.message import Draft, Sip, tag

# -- 16.3 step 1, reasonable syntax check


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq"])
def test_a_missing_mandatory_field_is_400(bench: Bench, name: str) -> None:
    message = bench.draft().remove(name).bytes()
    check_answer(bench, message, bench.refused(message), 400)


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq", "Max-Forwards"])
def test_a_single_value_field_given_twice_is_400(bench: Bench, name: str) -> None:
    draft = bench.draft()
    message = draft.add(name, dict(draft.fields)[name]).bytes()
    check_answer(bench, message, bench.refused(message), 400)


def test_two_equal_content_lengths_are_400(bench: Bench) -> None:
    """RFC 4475 3.3.9: which of them counts can't be known."""
    message = bench.draft().add("l", "0").bytes()
    check_answer(bench, message, bench.refused(message), 400)


MALFORMED = {
    "cseq_without_method": ("CSeq", "1"),
    "cseq_without_number": ("CSeq", "OPTIONS"),
    "cseq_of_2_to_31": ("CSeq", "2147483648 OPTIONS"),  # 8.1.1.5: less than 2**31
    "cseq_beyond_64_bit": ("CSeq", "36893488147419103233 OPTIONS"),
    "cseq_negative": ("CSeq", "-1 OPTIONS"),
    "cseq_of_another_method": ("CSeq", "1 INVITE"),
    "cseq_method_in_other_case": ("CSeq", "1 options"),  # 7.1: methods are case-sensitive
    "max_forwards_256": ("Max-Forwards", "256"),  # 20.22: 0-255
    "max_forwards_negative": ("Max-Forwards", "-1"),
    "max_forwards_word": ("Max-Forwards", "many"),
    "max_forwards_empty": ("Max-Forwards", ""),
    "content_length_larger": ("Content-Length", "1"),
    "content_length_negative": ("Content-Length", "-1"),
    "content_length_word": ("Content-Length", "none"),
    "content_length_empty": ("Content-Length", ""),
    "content_length_beyond_64_bit": ("Content-Length", "18446744073709551616"),
    "call_id_empty": ("Call-ID", ""),
    "call_id_two_words": ("Call-ID", "one two"),
    "from_empty": ("From", ""),
    "from_without_uri": ("From", "<>;tag=1"),
    "from_unclosed_bracket": ("From", "<sip:caller@example.net;tag=1"),
    "from_unclosed_quote": ("From", '"Caller <sip:caller@example.net>;tag=1'),
    "to_empty": ("To", ""),
    "to_unclosed_bracket": ("To", "<sip:service@example.com"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_component_is_400(bench: Bench, case: str) -> None:
    name, value = MALFORMED[case]
    message = bench.draft().set(name, value).bytes()
    answer = bench.refused(message)
    assert Sip.read(answer).status == 400
    assert Sip.read(answer).all("via") == Sip.read(message).all("via")


def test_the_largest_scalars_are_fine(bench: Bench) -> None:
    draft = bench.draft().set("CSeq", "2147483647 OPTIONS").set("Max-Forwards", "255")
    check_forwarded(bench, draft.bytes(), bench.through(draft.bytes()))


START_LINES = {
    "two_blanks": "OPTIONS  sip:service@example.com SIP/2.0",
    "tab": "OPTIONS\tsip:service@example.com SIP/2.0",
    "blank_at_end": "OPTIONS sip:service@example.com SIP/2.0 ",
    "no_uri": "OPTIONS SIP/2.0",
    "brackets": "OPTIONS <sip:service@example.com> SIP/2.0",
    "blank_in_uri": "OPTIONS sip:service@example.com; lr SIP/2.0",
    "headers_in_uri": "OPTIONS sip:service@example.com?Subject=x SIP/2.0",
    "empty_host": "OPTIONS sip: SIP/2.0",
    "unclosed_ipv6": "OPTIONS sip:[::1 SIP/2.0",
    "port_of_letters": "OPTIONS sip:example.com:port SIP/2.0",
}


@pytest.mark.parametrize("case", START_LINES)
def test_a_malformed_request_line_is_400(bench: Bench, case: str) -> None:
    draft = bench.draft()
    draft.start_line = START_LINES[case]
    check_answer(bench, draft.bytes(), bench.refused(draft.bytes()), 400)


@pytest.mark.parametrize("version", ["SIP/1.0", "SIP/2.1", "SIP/3.0"])
def test_another_version_is_505(bench: Bench, version: str) -> None:
    draft = bench.draft()
    draft.start_line = f"OPTIONS sip:service@example.com {version}"
    check_answer(bench, draft.bytes(), bench.refused(draft.bytes()), 505)


def test_the_version_is_case_insensitive(bench: Bench) -> None:
    """7.1: "SIP-Version is case-insensitive, but implementations MUST send upper-case"."""
    draft = bench.draft()
    draft.start_line = "OPTIONS sip:service@example.com sip/2.0"
    assert b"OPTIONS sip:service@example.com " in bench.through(draft.bytes())


def test_bare_line_feeds_in_the_head_are_400(bench: Bench) -> None:
    """7: a line ends with CRLF; a receiver that takes LF for it may see another message than the
    next one does."""
    message = bench.draft().bytes()
    one = message.replace(b"\r\nTo:", b"\nTo:")
    for text in (one, message.replace(b"\r\n", b"\n")):
        assert bench.refused(text).startswith(b"SIP/2.0 400 ")


WORTHLESS = {
    "text": b"hello",
    "zeros": bytes(100),
    "no_via": b"OPTIONS sip:a@example.com SIP/2.0\r\nCSeq: 1 OPTIONS\r\n\r\n",
    "empty_via": b"OPTIONS sip:a@example.com SIP/2.0\r\nVia: \r\nCSeq: 1 OPTIONS\r\n\r\n",
    "via_without_sent_by": b"OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/UDP\r\n\r\n",
    "request_line_alone": b"OPTIONS sip:a@example.com SIP/2.0\r\n",
    "status_line_alone": b"SIP/2.0 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("case", WORTHLESS)
def test_what_cannot_be_answered_is_dropped(bench: Bench, case: str) -> None:
    bench.dropped(WORTHLESS[case])


@pytest.mark.parametrize("datagram", [b"", b"\r\n\r\n", b"\0"], ids=["empty", "crlf", "zero"])
def test_keep_alives_cause_nothing(bench: Bench, datagram: bytes) -> None:
    fate = bench.fate(datagram)
    assert fate.forwarded == fate.answered == []


def test_a_head_without_its_end_is_no_request(bench: Bench) -> None:
    """7: the empty line "MUST be present even if the message-body is not"."""
    message = bench.draft().bytes()[:-2]
    fate = bench.fate(message)
    assert not fate.forwarded
    assert all(answer.startswith(b"SIP/2.0 400 ") for answer in fate.answered)


def test_empty_lines_before_a_request_are_ignored(bench: Bench) -> None:
    """7.5: "implementations SHOULD ignore any CRLF appearing before the start-line"."""
    message = bench.draft().bytes()
    check_forwarded(bench, message, bench.through(b"\r\n\r\n" + message))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Contact", "<sip:unclosed"),
        ("Date", "yesterday"),
        ("Warning", "x"),
        ("Subject", ""),
        ("Record-Route", ";;;"),
        ("Supported", ",,,"),
        ("X-Unknown", '"unclosed'),
        ("P-Odd", "\x01\x7f"),
    ],
)
def test_what_a_proxy_does_not_use_may_be_malformed(bench: Bench, name: str, value: str) -> None:
    message = bench.draft().add(name, value).bytes()
    check_forwarded(bench, message, bench.through(message))


# -- 16.3 step 2, URI scheme


@pytest.mark.parametrize("uri", ["http://example.com/", "urn:service:sos", "im:a@example.com"])
def test_an_unknown_scheme_is_416(bench: Bench, uri: str) -> None:
    message = bench.draft(uri=uri).bytes()
    check_answer(bench, message, bench.refused(message), 416)


@pytest.mark.parametrize(
    "uri",
    [
        "sip:example.com",
        "SIP:a@example.com",
        "sips:a@example.com",
        "tel:+4930123456",
        "sip:a:secret@[2001:db8::1]:5070;transport=udp;lr",
        "sip:%61;p=%20@192.0.2.1;maddr=x",
    ],
)
def test_known_schemes_pass(bench: Bench, uri: str) -> None:
    message = bench.draft(uri=uri).bytes()
    check_forwarded(bench, message, bench.through(message))


# -- 16.3 step 3, Max-Forwards


@pytest.mark.parametrize("method", ["OPTIONS", "INVITE", "REGISTER", "UNHEARD-OF"])
def test_no_hops_left_is_483(bench: Bench, method: str) -> None:
    message = bench.draft(method).set("Max-Forwards", "0").bytes()
    check_answer(bench, message, bench.refused(message), 483)


def test_the_last_hop_is_used(bench: Bench) -> None:
    message = bench.draft().set("Max-Forwards", "1").bytes()
    check_forwarded(bench, message, bench.through(message))


# -- 16.3 step 4, loops


def test_a_request_that_comes_back_as_it_left_is_482(bench: Bench) -> None:
    """By way of another proxy, whose Via now stands before ours (step 4: "a Via header field with
    a sent-by value that equals a value placed into previous requests")."""
    back = through_another_proxy(bench, bench.through(bench.draft().bytes()))
    check_answer(bench, back, bench.refused(back), 482)


def through_another_proxy(bench: Bench, forwarded: bytes) -> bytes:
    """What another proxy, at the caller's address, makes of a request: its Via on top."""
    via = f"Via: SIP/2.0/UDP {bench.caller.sent_by};branch=z9hG4bKother{bench.key()}\r\n"
    return forwarded.replace(b"Via: ", via.encode() + b"Via: ", 1)


def test_a_spiral_is_no_loop(bench: Bench) -> None:
    """16.3 step 4: with another Request-URI the request "has legitimately visited" before."""
    once = bench.through(bench.draft().bytes())
    back = through_another_proxy(bench, once)
    moved = back.replace(b"OPTIONS sip:service@", b"OPTIONS sip:elsewhere@")
    check_forwarded(bench, moved, bench.through(moved))


# -- 16.3 step 5, Proxy-Require


@pytest.mark.parametrize("name", ["Proxy-Require", "proxy-require", "PROXY-REQUIRE  "])
def test_proxy_require_is_420(bench: Bench, name: str) -> None:
    message = bench.draft().add(name, "sec-agree, privacy").bytes()
    answer = bench.refused(message)
    check_answer(bench, message, answer, 420)
    assert Sip.read(answer).one("unsupported") == b"sec-agree, privacy"


def test_require_is_the_endpoints_matter(bench: Bench) -> None:
    message = bench.draft().add("Require", "100rel").bytes()
    check_forwarded(bench, message, bench.through(message))


# -- 16.4, Route


def routed(bench: Bench, *values: str) -> tuple[bytes, list[bytes]]:
    """A request with these Route fields; as it arrived, and its Route values there."""
    draft = bench.draft()
    for value in values:
        draft.add("Route", value)
    arrived = bench.through(draft.bytes())
    sip = Sip.read(arrived)
    return arrived, [v.strip() for value in sip.all("route") for v in value.split(b",")]


def test_a_route_to_us_is_removed(bench: Bench) -> None:
    host, port = bench.farm.sip
    arrived, routes = routed(bench, f"<sip:{host}:{port};lr>")
    assert routes == []
    assert arrived.startswith(b"OPTIONS sip:service@example.com SIP/2.0\r\n")


def test_the_route_behind_ours_stays(bench: Bench) -> None:
    host, port = bench.farm.sip
    other = b"<sip:192.0.2.9;lr>"
    for values in (
        [f"<sip:{host}:{port};lr>", other.decode()],
        [f"<sip:{host}:{port};lr>, {other.decode()}"],
        [f'"us" <sip:user@{host}:{port};transport=udp;lr=on> , {other.decode()}'],
    ):
        assert routed(bench, *values)[1] == [other]


def test_a_route_to_others_stays(bench: Bench) -> None:
    host, port = bench.farm.sip
    other, ours = b"<sip:192.0.2.9;lr>", f"<sip:{host}:{port};lr>".encode()
    assert routed(bench, other.decode())[1] == [other]
    assert routed(bench, other.decode(), ours.decode())[1] == [other, ours]
    elsewhere = f"<sip:{host}:{port + 1};lr>"
    assert routed(bench, elsewhere)[1] == [elsewhere.encode()]


# -- what an answer of ours is like (8.2.6, 8.2.7)


def test_a_retransmission_gets_the_same_answer(bench: Bench) -> None:
    """8.2.7: a stateless server's To tag is the same for each retransmission."""
    message = bench.draft("INVITE").set("Max-Forwards", "0").bytes()
    assert bench.refused(message) == bench.refused(message)


def test_answers_to_different_requests_have_different_tags(bench: Bench) -> None:
    tags = {
        tag(Sip.read(bench.refused(bench.draft().set("Max-Forwards", "0").bytes())).one("to"))
        for _ in range(3)
    }
    assert len(tags) == 3


def test_a_to_tag_of_the_request_stays(bench: Bench) -> None:
    draft = bench.draft().set("Max-Forwards", "0").set("To", "<sip:a@example.com>;tag=theirs")
    answer = bench.refused(draft.bytes())
    assert Sip.read(answer).one("to") == b"<sip:a@example.com>;tag=theirs"


def test_all_vias_of_a_refused_request_come_back(bench: Bench) -> None:
    draft = bench.draft().set("Max-Forwards", "0")
    draft.add("v", "SIP/2.0/TCP a.example.com;branch=z9hG4bKa ,SIP/2.0/UDP [2001:db8::1]:5070")
    draft.add("VIA", "SIP / 2.0 / UDP\r\n b.example.com;branch=z9hG4bKb")
    check_answer(bench, draft.bytes(), bench.refused(draft.bytes()), 483)


# -- ACK (17.1.1.3, 8.2.7): the answer to an INVITE is acknowledged; an ACK is never answered


def ack_of(invite: Draft, to: bytes) -> bytes:
    ack = Draft("ACK", via=dict(invite.fields)["Via"], key="unused")
    fields = dict(invite.fields)
    for name in ("From", "Call-ID"):
        ack.set(name, fields[name])
    return ack.set("To", to.decode()).bytes()


def test_the_ack_of_our_refusal_ends_here(bench: Bench) -> None:
    invite = bench.draft("INVITE").add("Proxy-Require", "privacy")
    to = Sip.read(bench.refused(invite.bytes())).one("to")
    fate = bench.fate(ack_of(invite, to))
    assert fate.forwarded == []
    assert fate.answered == []


def test_the_ack_of_a_success_goes_on(bench: Bench) -> None:
    invite = bench.draft("INVITE")
    bench.through(invite.bytes())
    ack = ack_of(invite, b"<sip:service@example.com>;tag=answered")
    check_forwarded(bench, ack, bench.through(ack))


@pytest.mark.parametrize(
    ("name", "value"), [("Max-Forwards", "0"), ("CSeq", "1 INVITE"), ("Content-Length", "9")]
)
def test_a_bad_ack_is_never_answered(bench: Bench, name: str, value: str) -> None:
    bench.dropped(bench.draft("ACK").set(name, value).bytes())


def test_an_ack_with_proxy_require_is_forwarded_or_dropped_never_answered(bench: Bench) -> None:
    """8.2.2.3 keeps Proxy-Require out of ACK and CANCEL."""
    fate = bench.fate(bench.draft("ACK").add("Proxy-Require", "privacy").bytes())
    assert fate.answered == []


def test_status_lines_of_refusals_read_as_the_rfc_writes_them(bench: Bench) -> None:
    reasons = {
        483: bench.draft().set("Max-Forwards", "0"),
        400: bench.draft().set("CSeq", "x"),
        416: bench.draft(uri="im:a@example.com"),
        420: bench.draft().add("Proxy-Require", "x"),
    }
    for status, draft in reasons.items():
        line = Sip.read(bench.refused(draft.bytes())).start_line.decode()
        assert re.fullmatch(rf"SIP/2\.0 {status} [A-Z][\w ]+.*", line), line
