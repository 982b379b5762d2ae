"""A table's bytes: there and back, and nothing else is believed."""

from __future__ import annotations

import ipaddress
from array import array
from collections.abc import Callable
from typing import Any

import hypothesis
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.dispatch._live import LiveTable
from ds_farm.dispatch.model import Address, Destination, DestinationSet
from ds_farm.dispatch.table import decode, encode
from shm.segment import Segment
from tests.support.request import dest, make_sets

addresses = st.builds(
    Address,
    st.sampled_from(
        ["192.0.2.1", "0.0.0.0", "255.255.255.255", "::", "2001:db8::1", "::ffff:1.2.3.4"]
    ),
    st.sampled_from([1, 5060, 65535]),
)
texts = st.sampled_from(["", "a=1;b", "udp:127.0.0.1:5060", "\0", "Zo\u00eb \U0001f4de", "x" * 500])
destinations = st.builds(
    Destination,
    uri=st.sampled_from(
        ["sip:a@192.0.2.1;transport=udp", "sip:h.example:5070", "sips:[2001:db8::1]"]
    ),
    weight=st.integers(0, 100),
    priority=st.integers(0, 65535),
    attrs=texts,
    socket=texts,
    description=texts,
    probe_mode=st.integers(0, 1),
    addresses=st.lists(addresses, max_size=3).map(tuple),
)


@given(st.lists(st.lists(destinations, max_size=5), max_size=4))
def test_what_is_encoded_is_decoded(rows: list[list[Destination]]) -> None:
    sets = [
        (
            DestinationSet("p", number, tuple(each)),
            number + 2,
            [10 * number + i for i in range(len(each))],
        )
        for number, each in enumerate(rows)
    ]
    table = decode(9, encode(sets))
    assert table.generation == 9
    assert [(one.partition, one.id, one.slot) for one in table.sets] == [
        ("p", number, number + 2) for number in range(len(rows))
    ]
    for (original, _, slots), record in zip(sets, table.sets, strict=True):
        assert [one.slot for one in record.destinations] == slots
        for before, after in zip(original.destinations, record.destinations, strict=True):
            for name in ("uri", "weight", "priority", "attrs", "socket", "description"):
                assert getattr(after, name) == getattr(before, name)
            assert after.probe_mode == before.probe_mode
            assert [(ipaddress.ip_address(one.ip), one.port) for one in after.addresses] == [
                (ipaddress.ip_address(one.ip), one.port) for one in before.addresses
            ]
    assert table.find("p", len(rows)) is None
    assert table.find("other", 0) is None


@given(st.lists(destinations, max_size=5))
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_a_worker_takes_what_is_encoded(segment: Segment, rows: list[Destination]) -> None:
    one = DestinationSet("default", 1, tuple(rows))
    live = LiveTable(segment, 1, encode([(one, 0, range(len(rows)))]), 0).find("default", 1)
    assert live is not None
    assert [live.uri(i) for i in range(live.size)] == [row.uri for row in rows]
    with pytest.raises(IndexError):
        live.uri(len(rows))
    if not rows:
        assert [live.pick(algorithm, 1, True) for algorithm in range(11)] == [None] * 11


def test_sets_of_a_partition_in_opensips_order_of_searching(segment: Segment) -> None:
    """Semantics 1.3: the set that the database names last is searched first."""
    sets = make_sets({3: ["sip:192.0.2.1"], 1: ["sip:192.0.2.1"]})
    table = LiveTable(segment, 1, encode([(sets[0], 0, [0]), (sets[1], 1, [1])]), 0)
    assert [one.id for one in table.in_partition("default")] == [1, 3]
    assert [one.id for one in table.in_partition("default", 3)] == [3]
    assert table.in_partition("default", 2) == []
    assert table.in_partition("part2") == []


# -- damaged tables

ROWS = [dest("sip:u@192.0.2.1:5070", 3), dest("sip:192.0.2.2"), dest("sip:192.0.2.3", 2)]


def _columns() -> dict[str, Any]:
    data = encode([(DestinationSet("default", 1, tuple(ROWS)), 0, range(len(ROWS)))])
    columns: dict[str, Any] = msgpack.unpackb(data)["sets"][0]
    return columns


def _words(*numbers: int) -> bytes:
    return array("I", numbers).tobytes()


def _set(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda columns: columns.update({name: value})


DAMAGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "slot of the set too large": _set("slot", 16),
    "slot of the set negative": _set("slot", -1),
    "slot of the set huge": _set("slot", 2**63),
    "slot of the set a text": _set("slot", "0"),
    "id a text": _set("id", "one"),
    "id huge": _set("id", 2**40),
    "partition a number": _set("partition", 7),
    "destination slot beyond the last": _set("slots", _words(0, 1, 256)),
    "more slots than weights": _set("slots", _words(0, 1, 2, 3)),
    "slots a list": _set("slots", [0, 1, 2]),
    "weights too short": _set("weights", _words(1, 1)),
    "weights nil": _set("weights", None),
    "turn for nobody": _set("turns", _words(0, 1, 3)),
    "turns a text": _set("turns", "abcd"),
    "turn of the default in the draw without it": _set("turns_but_last", _words(0, 2)),
    "uri ends too short": _set("uri_ends", _words(5)),
    "uri ends beyond the text": _set("uri_ends", _words(20, 33, 4000)),
    "uri ends going back": _set("uri_ends", _words(20, 5, 46)),
    "uris missing": lambda columns: columns.pop("uris"),
    "uris a text": _set("uris", "sip:192.0.2.1"),
    "host spans too short": _set("host_spans", _words(4, 10)),
    "host beyond its URI": _set("host_spans", _words(4, 4000, 4, 13, 4, 13)),
    "host of the last beyond the text": _set("host_spans", _words(6, 20, 4, 13, 4, 14)),
    "host begins after its end": _set("host_spans", _words(9, 6, 4, 13, 4, 13)),
    "host begins far outside": _set("host_spans", _words(2**32 - 1, 2**32 - 1, 4, 13, 4, 13)),
    "endpoint ends too short": _set("endpoint_ends", _words(1)),
    "endpoint ends beyond the last": _set("endpoint_ends", _words(1, 2, 4)),
    "endpoint ends going back": _set("endpoint_ends", _words(2, 1, 3)),
    "endpoints cut off": _set("endpoints", b"\4\0"),
    "endpoints nil": _set("endpoints", None),
    "too few attrs": _set("attr_ends", _words(0)),
    "attrs a number": _set("attrs", 5),
    "attrs beyond the text": _set("attr_ends", _words(0, 0, 1)),
    "attrs a list": _set("attrs", ["", "", ""]),
    "sockets beyond the text": _set("socket_ends", _words(7, 7, 7)),
    "sockets going back": _set("socket_ends", _words(1, 0, 0)),
    "a socket nil": _set("sockets", None),
}


def test_the_table_is_good_before_it_is_damaged(segment: Segment) -> None:
    data = msgpack.packb({"sets": [_columns()]})
    assert LiveTable(segment, 1, data, 0).find("default", 1) is not None


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_column_is_refused(segment: Segment, damage: str) -> None:
    columns = _columns()
    DAMAGES[damage](columns)
    with pytest.raises(ValueError, match=r"^table 7, set .* of partition .* is damaged: \w+: .+"):
        LiveTable(segment, 7, msgpack.packb({"sets": [columns]}), 0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x93\1",
        msgpack.packb([]),
        msgpack.packb({}),
        msgpack.packb(3),
        msgpack.packb({"sets": 3}),
        msgpack.packb({"sets": [3]}),
        msgpack.packb({"sets": [{}]}),
        msgpack.packb({"sets": []}) + b"more",
    ],
    ids=repr,
)
def test_what_is_no_table_is_refused(segment: Segment, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^table 7 is damaged: "):
        LiveTable(segment, 7, data, 0)


GOOD = encode([(DestinationSet("default", 1, tuple(ROWS)), 0, range(len(ROWS)))])


@given(
    st.integers(0, len(GOOD) - 1),
    st.binary(min_size=1, max_size=8),
    st.booleans(),
)
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_any_damage_is_refused_or_harmless(
    segment: Segment, place: int, junk: bytes, cut: bool
) -> None:
    data = GOOD[:place] + junk + (b"" if cut else GOOD[place + len(junk) :])
    try:
        table = LiveTable(segment, 7, data, 0)
    except ValueError:
        return  # nothing else may be raised
    for live in table.sets.values():
        for algorithm in range(10):
            chosen = live.pick(algorithm, 12345, algorithm % 2 == 0)
            assert chosen is None or 0 <= chosen < live.size
        live.count(True, True, True)


def test_a_set_as_large_as_the_segment_is_loaded(segment: Segment) -> None:
    rows = [dest(f"sip:192.0.2.{i % 250}:{1024 + i}", i % 7) for i in range(250)]
    one = DestinationSet("default", 1, tuple(rows))
    live = LiveTable(segment, 1, encode([(one, 0, range(250))]), 0).find("default", 1)
    assert live is not None
    assert live.size == 250
    assert live.uri(249) == rows[249].uri
