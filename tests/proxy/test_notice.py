"""Which responses are a probe's, and what the timer hears of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.probe.request import Probe, Style, build
from ds_farm.proxy._notice import SIZE, decode
from ds_farm.sip.names import Drop
from tests.support.message import reply
from tests.support.request import Script

PROBE = build(
    Style(bytes(16), "OPTIONS", "sip:dispatcher@localhost"),
    Probe(0, 1, 5),
    "sip:192.0.2.1",
    "127.0.0.1:5060",
)
BRANCH = PROBE.branch


@pytest.fixture
def script() -> Iterator[Script]:
    with Script({1: ["sip:192.0.2.1"]}) as made:
        yield made


def receive(script: Script, data: bytes) -> list[tuple[int, int, bytes, bytes, str, int]]:
    """What the timer is told of a response; nothing of it is forwarded."""
    assert script.core.handle(data, "198.51.100.9", 6060) == []
    return decode(script.core.notices.take(77))


def dropped(script: Script) -> dict[Drop, int]:
    counts = script.segment.worker(0).words("dropped")
    return {drop: counts[drop] for drop in Drop if counts[drop]}


@pytest.mark.parametrize("status", ["100 Trying", "200 OK", "404 Not Found", "699 No"])
def test_a_reply_to_a_probe_is_a_notice(script: Script, status: str) -> None:
    found = receive(script, reply(PROBE.datagram, status))
    assert found == [(77, int(status[:3]), BRANCH, b"OPTIONS", "", 0)]
    assert dropped(script) == {}
    assert script.segment.worker(0).responses == 1


def test_methods_of_any_name(script: Script) -> None:
    data = reply(PROBE.datagram).replace(b"1 OPTIONS", b"1 X-Ping.9")
    assert receive(script, data) == [(77, 200, BRANCH, b"X-Ping.9", "", 0)]


@pytest.mark.parametrize(
    ("data", "drop"),
    [
        # 17.1.3: matched by the branch, whose mark comes after the cookie.
        (reply(PROBE.datagram).replace(b"z9hG4bKp", b"z9hG4bKa"), Drop.NO_NEXT_VIA),
        (reply(PROBE.datagram).replace(b";branch=" + BRANCH, b""), Drop.NO_NEXT_VIA),
        (reply(PROBE.datagram).replace(BRANCH, b"z9hG4bK"), Drop.NO_NEXT_VIA),
        # 16.7 step 3: a topmost Via that is not ours.
        (
            reply(PROBE.datagram).replace(b"127.0.0.1:5060", b"127.0.0.1:5061"),
            Drop.FOREIGN_RESPONSE,
        ),
        # 8.1.3.3: two Via values.
        (
            reply(PROBE.datagram).replace(b"From:", b"Via: SIP/2.0/UDP h;branch=z9hG4bKp\r\nFrom:"),
            Drop.BAD_RESPONSE,
        ),
        (reply(PROBE.datagram).replace(b"CSeq: 1 ", b"CSeq: x "), Drop.BAD_RESPONSE),
    ],
)
def test_what_is_none(script: Script, data: bytes, drop: Drop) -> None:
    assert receive(script, data) == []
    assert dropped(script) == {drop: 1}


def test_what_is_longer_than_ours_is_not_noted(script: Script) -> None:
    assert receive(script, reply(PROBE.datagram).replace(BRANCH, BRANCH + b"0" * 100)) == []
    assert receive(script, reply(PROBE.datagram).replace(b"1 OPTIONS", b"1 " + b"X" * 100)) == []


def test_a_box_holds_one_batch(script: Script) -> None:
    for _ in range(200):
        script.core.handle(reply(PROBE.datagram), "198.51.100.9", 6060)
    taken = script.core.notices.take()
    assert len(taken) == 128 * SIZE
    assert script.core.notices.take() == b""


@given(st.binary(max_size=3 * SIZE + 5))
def test_any_bytes_are_read(data: bytes) -> None:
    found = decode(data)
    assert len(found) == len(data) // SIZE
    assert all(len(branch) <= 48 and len(method) <= 38 for _, _, branch, method, _, _ in found)
