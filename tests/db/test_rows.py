"""One row to a destination or to the reason why not (decisions 22 to 24, semantics 1.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.db.rows import BadRow, RawRow, convert
from ds_farm.dispatch.model import Destination, State

GOOD = RawRow(
    id=1,
    setid=2,
    destination="sip:192.0.2.1:5060",
    socket=None,
    weight="1",
    attrs=None,
    priority=0,
    state=0,
    description=None,
    probe_mode=0,
)


def test_a_plain_row() -> None:
    assert convert(GOOD) == (2, Destination("sip:192.0.2.1:5060"), "")


def test_a_full_row() -> None:
    row = RawRow(7, "3", "sip:u@h.example;x=y", "udp:10.0.0.1", 65535, "a=b", "9", "2", "text", 1)
    expected = Destination(
        uri="sip:u@h.example;x=y",
        weight=65535,
        priority=9,
        state=State.PROBING,
        attrs="a=b",
        socket="udp:10.0.0.1",
        description="text",
        probe_mode=1,
    )
    assert convert(row) == (3, expected, "")


def test_null_has_the_columns_default() -> None:
    row = GOOD._replace(weight=None, priority=None, state=None, probe_mode=None)
    assert convert(row) == (2, Destination("sip:192.0.2.1:5060", weight=1), "")


@pytest.mark.parametrize(
    "uri",
    [
        "sip:192.0.2.1",
        "SIP:192.0.2.1",
        "sip:[2001:db8::1]:5061",
        "sip:user:password@sip.example.com:5070;transport=tcp?x=y",
        "sip:host_with_underscore",
        "sip:a." + "b" * 60 + ".example.",
    ],
)
def test_decision_7_the_uri_is_kept_byte_for_byte(uri: str) -> None:
    assert convert(GOOD._replace(destination=uri))[1].uri == uri


@pytest.mark.parametrize(
    "uri",
    [
        "192.0.2.1",
        "tel:123",
        "http://h",
        "sip:",
        "sip:@h",
        "sip:300.1.1.1",
        "sip:1.2.3",
        "sip:[::g]",
        "sip:[1.2.3.4]",
        "sip:h:0",
        "sip:h:65536",
        "sip:h;x=a b",
        "sip:h\n",
        "<sip:h>",
        "sip:a..b",
        "sip:" + ".".join(["b" * 60] * 5),
    ],
)
def test_decision_22_an_unparsable_destination(uri: str) -> None:
    with pytest.raises(BadRow, match="is not a SIP URI"):
        convert(GOOD._replace(destination=uri))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"setid": None}, "setid is NULL"),
        ({"setid": -1}, "setid -1 is not in 0..2147483647"),
        ({"setid": "x"}, "setid 'x' is not a whole number"),
        ({"destination": ""}, "the destination is empty"),
        ({"destination": None}, "the destination is empty"),
        ({"state": 7}, "unknown state 7"),
        ({"state": "3"}, "unknown state 3"),
        ({"weight": -1}, "weight -1 is not in 0..65535"),
        ({"weight": "65536"}, "weight 65536 is not in 0..65535"),
        ({"weight": ""}, "weight '' is not a whole number"),
        ({"weight": "1.5"}, "weight '1.5' is not a whole number"),
        ({"weight": "fs://:ClueCon@h"}, "FreeSWITCH"),
        ({"priority": 65536}, "priority 65536 is not in 0..65535"),
    ],
)
def test_decision_22_a_bad_row_has_its_reason(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(BadRow) as caught:
        convert(GOOD._replace(**changed))
    assert reason in str(caught.value)


def test_a_malformed_socket_is_a_warning() -> None:
    _, destination, warning = convert(GOOD._replace(socket="foo:x:y"))
    assert destination.socket == ""
    assert "unknown protocol 'foo'" in warning


def test_other_values_of_probe_mode_are_ignored() -> None:
    assert convert(GOOD._replace(probe_mode=5))[1].probe_mode == 0


_VALUES = st.one_of(st.none(), st.integers(), st.text(st.characters(codec="utf-8")), st.binary())


@given(st.tuples(*[_VALUES] * len(RawRow._fields)))
def test_any_row_is_a_destination_or_a_bad_row(values: tuple[object, ...]) -> None:
    try:
        set_id, destination, _ = convert(RawRow._make(values))
    except BadRow:
        return
    assert set_id >= 0
    assert 0 <= destination.weight <= 65535


@pytest.mark.parametrize("uri", ["sips:h.example", "sip:h;transport=TLS", "sip:h;transport=wss"])
def test_what_asks_for_tls_is_not_sent_to_in_clear(uri: str) -> None:
    """RFC 3261 26.2.2."""
    with pytest.raises(BadRow, match="asks for TLS, which is not supported"):
        convert(GOOD._replace(destination=uri))


def test_transport_that_we_do_not_speak_is_said() -> None:
    """Decision 7: the text stays."""
    _, destination, warning = convert(
        GOOD._replace(destination="sip:h;transport=TCP", socket="nonsense:x")
    )
    assert destination.uri == "sip:h;transport=TCP"
    assert "asks for tcp, which is not supported: it is sent to over UDP" in warning
    assert "the row is used without it" in warning
    assert convert(GOOD._replace(destination="sip:h;transport=UDP"))[2] == ""
