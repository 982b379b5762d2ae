"""The probe's bytes (RFC 3261 8.1.1; documentation 1.3.5, 1.3.6)."""

from __future__ import annotations

import re

import pytest

from ds_farm.probe.request import Probe, Style, build, request_uri
from tests.support.message import Sip, parameter, tag

STYLE = Style(bytes(range(16)), "OPTIONS", "sip:dispatcher@localhost")
URI = "sip:gw@10.0.0.1:5062;transport=udp"


def sip(uri: str = URI, sent_by: str = "192.0.2.1:5060", style: Style = STYLE) -> Sip:
    return Sip.read(build(style, Probe(7, 1, 10**9), uri, sent_by).datagram)


def test_every_byte() -> None:
    request = build(STYLE, Probe(7, 1, 10**9), URI, "192.0.2.1:5060")
    text = re.sub(rb"(branch=z9hG4bKp|tag=|Call-ID: )[0-9a-f]{16}", rb"\1#", request.datagram)
    assert text == (
        b"OPTIONS sip:gw@10.0.0.1:5062;transport=udp SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKp#;rport\r\n"
        b"Max-Forwards: 70\r\n"
        b"From: <sip:dispatcher@localhost>;tag=#\r\n"
        b"To: <sip:gw@10.0.0.1:5062;transport=udp>\r\n"
        b"Call-ID: #@192.0.2.1\r\n"
        b"CSeq: 1 OPTIONS\r\n"
        b"User-Agent: ds_farm/0.1.0\r\n"
        b"Content-Length: 0\r\n"
        b"\r\n"
    )
    assert parameter(Sip.read(request.datagram).one("Via"), "branch") == request.branch


def test_ipv6() -> None:
    found = sip("sip:[2001:db8::1]:5070", "[2001:db8::2]:5060")
    assert found.start_line == b"OPTIONS sip:[2001:db8::1]:5070 SIP/2.0"
    assert found.one("To") == b"<sip:[2001:db8::1]:5070>"
    assert found.one("Via").startswith(b"SIP/2.0/UDP [2001:db8::2]:5060;branch=")
    assert found.one("Call-ID").endswith(b"@[2001:db8::2]")


def test_method_from_and_max_forwards_are_configured() -> None:
    assert sip(style=STYLE).one("Max-Forwards") == b"70"
    found = sip(style=Style(bytes(16), "INFO", "sip:proxy@sip.somehost.com", 5))
    assert found.one("Max-Forwards") == b"5"
    assert found.start_line.startswith(b"INFO sip:")
    assert found.one("CSeq") == b"1 INFO"
    assert found.one("From").startswith(b"<sip:proxy@sip.somehost.com>;tag=")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:a@b", "sip:a@b"),
        ("sip:a@b;x=1?Subject=hi", "sip:a@b;x=1"),
        ("sip:a?b@[::1]?Subject=hi", "sip:a?b@[::1]"),
    ],
)
def test_a_request_uri_has_no_headers(uri: str, expected: str) -> None:
    assert request_uri(uri) == expected


def test_the_same_probe_is_the_same_request() -> None:
    # A successor of a killed timer must send a retransmission, not another request.
    again = [build(STYLE, Probe(7, 3, 5), URI, "192.0.2.1:5060") for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize(
    ("style", "probe"),
    [
        (STYLE, Probe(8, 3, 5)),
        (STYLE, Probe(7, 4, 5)),
        (STYLE, Probe(7, 3, 6)),
        (Style(bytes(16), STYLE.method, STYLE.from_uri), Probe(7, 3, 5)),
    ],
)
def test_another_probe_has_identifiers_of_its_own(style: Style, probe: Probe) -> None:
    one = Sip.read(build(STYLE, Probe(7, 3, 5), URI, "h:1").datagram)
    other = Sip.read(build(style, probe, URI, "h:1").datagram)
    assert parameter(one.one("Via"), "branch") != parameter(other.one("Via"), "branch")
    assert one.one("Call-ID") != other.one("Call-ID")
    assert tag(one.one("From")) != tag(other.one("From"))
