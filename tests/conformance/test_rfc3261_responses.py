"""RFC 3261 16.7 and 16.11, 18.1.2, 18.2.2: responses on their way back, byte by byte."""

from __future__ import annotations

import pytest

from tests.conformance.checks import own_via
from tests.conformance.conftest import Bench
from tests.support.message import Sip, reply
from tests.support.net import own_host
from tests.support.peer import Peer


def back(bench: Bench, response: bytes) -> bytes:
    """A response from the destination that must reach the caller once; as it came there."""
    fate = bench.fate(response, bench.destination)
    assert not fate.forwarded
    assert len(fate.answered) == 1, f"{len(fate.answered)} datagrams at the caller"
    return fate.answered[0]


@pytest.fixture
def request_there(bench: Bench) -> bytes:
    """A request as it has arrived at the destination."""
    return bench.through(bench.draft("INVITE").bytes())


def without_ours(response: bytes) -> bytes:
    """The response with our Via removed where it stood in a field of its own."""
    ours = own_via(response)
    return response.replace(b"Via: " + ours + b"\r\n", b"", 1)


@pytest.mark.parametrize(
    "status", ["100 Trying", "180 Ringing", "183 Session Progress", "200 OK", "302 Moved",
               "407 Proxy Authentication Required", "503 Service Unavailable", "603 Decline",
               "299 ", "699 \u0433\u043e\u0442\u043e\u0432\u043e"],
)  # fmt: skip
def test_each_class_goes_back_without_our_via(
    bench: Bench, request_there: bytes, status: str
) -> None:
    """16.11: remove our Via and "forward the result to the location indicated in the next Via";
    a stateless proxy passes 100 as well."""
    response = reply(request_there, status)
    assert back(bench, response) == without_ours(response)


def test_repeated_responses_pass_each_time(bench: Bench, request_there: bytes) -> None:
    response = reply(request_there)
    assert back(bench, response) == back(bench, response) == without_ours(response)


def test_bodies_and_unknown_fields_stay(bench: Bench, request_there: bytes) -> None:
    body = bytes(range(256))
    response = reply(request_there).replace(
        b"Content-Length: 0\r\n",
        b"X-Odd:;;,\r\n  folded\r\nContact: <sip:x\r\nMax-Forwards: 0\r\nl : 256\r\n",
    )
    assert back(bench, response + body) == without_ours(response) + body


def test_bytes_behind_content_length_are_left_behind(bench: Bench, request_there: bytes) -> None:
    assert back(bench, reply(request_there) + b"SURPLUS") == without_ours(reply(request_there))


@pytest.mark.parametrize(
    "spelling",
    ["Via: {ours}, {theirs}\r\n", "Via: {ours},{theirs}\r\n", "v:{ours}\r\n ,\r\n {theirs}\r\n",
     "v: {ours}\r\nVIA : {theirs}\r\n", "VIA\t:\r\n {ours}\r\nvia:   {theirs}  \r\n"],
)  # fmt: skip
def test_our_via_is_found_in_any_layout(bench: Bench, request_there: bytes, spelling: str) -> None:
    sip = Sip.read(request_there)
    ours, theirs = (via.decode() for via in sip.vias)
    response = reply(request_there)
    written = spelling.format(ours=ours, theirs=theirs).encode()
    for via in sip.vias:
        response = response.replace(b"Via: " + via + b"\r\n", b"", 1)
    response = response.replace(b"\r\n", b"\r\n" + written, 1)
    arrived = Sip.read(back(bench, response))
    assert arrived.vias == [theirs.encode()]
    assert [f.raw for f in arrived.fields if f.name != b"via"] == [
        f.raw for f in Sip.read(response).fields if f.name != b"via"
    ]


def test_three_vias_in_a_line(bench: Bench, request_there: bytes) -> None:
    ours, theirs = Sip.read(request_there).vias
    last = b"SIP/2.0/TLS first.example.com;branch=z9hG4bKfirst"
    response = reply(request_there)
    response = response.replace(b"Via: " + theirs + b"\r\n", b"", 1)
    response = response.replace(ours, b", ".join([ours, theirs, last]), 1)
    assert Sip.read(back(bench, response)).vias == [theirs, last]


# -- where it goes: 18.2.2 and RFC 3581 section 4


def goes_to(bench: Bench, next_via: str, expected: Peer) -> None:
    forwarded = bench.through(bench.draft().bytes())
    response = reply(forwarded)
    theirs = Sip.read(response).vias[1]
    written = f"{next_via};branch=z9hG4bK{bench.key()}".encode()
    bench.destination.send(response.replace(theirs, written), bench.farm.sip)
    answer, source = expected.receive_from()
    assert Sip.read(answer).vias == [written]
    assert source == bench.farm.sip


def test_the_address_of_a_response(bench: Bench) -> None:
    caller = bench.caller
    with Peer(caller.host) as port, Peer(own_host(), 5060) as host:
        goes_to(bench, f"SIP/2.0/UDP {caller.host}", caller)
        goes_to(bench, f"SIP/2.0/UDP {port.sent_by}", port)
        goes_to(bench, f"SIP/2.0/UDP a.example.com;received={host.host}", host)
        goes_to(bench, f"SIP/2.0/UDP a.example.com:{port.port};received={port.host}", port)
        goes_to(bench, f"SIP/2.0/UDP a.example.com:9;received={port.host};rport={port.port}", port)
        goes_to(bench, f"SIP/2.0/UDP 192.0.2.1:9;rport={port.port};received={port.host}", port)


def test_maddr_comes_first(bench: Bench) -> None:
    """18.2.2: "if the Via header field value contains a maddr parameter, the response MUST be
    forwarded to the address listed there", at the port of sent-by."""
    with Peer(own_host(), 5060) as maddr:
        goes_to(bench, f"SIP/2.0/UDP a.example.com;maddr={maddr.host};received=192.0.2.1", maddr)


def test_ipv6_addresses_of_responses(bench: Bench) -> None:
    host, port = bench.farm.sip6
    with Peer("::1") as caller:
        for via in (
            f"SIP/2.0/UDP {caller.sent_by}",
            f"SIP/2.0/UDP a.example.com:{caller.port};received=::1",
            f"SIP/2.0/UDP a.example.com:9;received=[::1];rport={caller.port}",
        ):
            forwarded = bench.through(bench.draft().bytes())
            response = reply(forwarded)
            theirs = Sip.read(response).vias[1]
            bench.destination.send(response.replace(theirs, via.encode()), bench.farm.sip)
            answer, source = caller.receive_from()
            assert Sip.read(answer).vias == [via.encode()]
            assert source == (host, port)


# -- what is dropped


def test_a_response_to_another_element_is_dropped(bench: Bench, request_there: bytes) -> None:
    """16.11: "If the address does not match the proxy, the message MUST be silently discarded"."""
    host, port = bench.farm.sip
    for other in (f"{host}:{port + 1}", f"192.0.2.1:{port}", "proxy.example.com"):
        response = reply(request_there).replace(f"{host}:{port}".encode(), other.encode(), 1)
        bench.dropped(response, bench.destination)


def test_a_response_for_nobody_behind_us_is_dropped(bench: Bench, request_there: bytes) -> None:
    theirs = Sip.read(request_there).vias[1]
    bench.dropped(reply(request_there).replace(b"Via: " + theirs + b"\r\n", b""), bench.destination)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"SIP/2.0 200 OK", b"SIP/2.0 700 Over"),
        (b"SIP/2.0 200 OK", b"SIP/2.0 099 Under"),
        (b"SIP/2.0 200 OK", b"SIP/2.0 20 Short"),
        (b"SIP/2.0 200 OK", b"SIP/2.0 2000 Long"),
        (b"SIP/2.0 200 OK", b"SIP/2.0 2x0 Word"),
        (b"SIP/2.0 200 OK", b"SIP/2.0  200 Blank"),
        (b"SIP/2.0 200 OK", b"SIP/3.0 200 Version"),
        (b"Content-Length: 0", b"Content-Length: 1"),
        (b"Content-Length: 0", b"Content-Length: -1"),
        (b"CSeq: 1 INVITE", b"CSeq: 4294967296 INVITE"),
        (b"CSeq: 1 INVITE", b"CSeq: INVITE"),
        (b"\r\n\r\n", b"\r\n"),
    ],
)
def test_a_malformed_response_is_dropped(
    bench: Bench, request_there: bytes, old: bytes, new: bytes
) -> None:
    response = reply(request_there)
    assert old in response
    bench.dropped(response.replace(old, new, 1), bench.destination)


@pytest.mark.parametrize(
    "next_via",
    ["SIP/2.0/UDP", "SIP/2.0/UDP ;branch=1", "nonsense", "SIP/2.0/UDP 127.0.0.1:0",
     "SIP/2.0/UDP 127.0.0.1:70000", "SIP/2.0/UDP 224.0.0.1", "SIP/2.0/UDP 0.0.0.0",
     "SIP/2.0/UDP [::1", "SIP/2.0/UDP 255.255.255.255"],
)  # fmt: skip
def test_a_response_with_no_way_back_is_dropped(
    bench: Bench, request_there: bytes, next_via: str
) -> None:
    """RFC 4475 3.3.10: broadcast (and by the same reason multicast and any) is no way back."""
    theirs = Sip.read(request_there).vias[1]
    bench.dropped(reply(request_there).replace(theirs, next_via.encode()), bench.destination)


def test_a_response_is_never_answered(bench: Bench, request_there: bytes) -> None:
    response = reply(request_there).replace(b"SIP/2.0 200 OK", b"SIP/2.0 999 What")
    bench.dropped(response, bench.destination)
    assert bench.destination.pending() == []
