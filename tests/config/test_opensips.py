"""OpenSIPS's small languages: documentation examples, and what is refused with which words."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.config.opensips import (
    Blacklist,
    Endpoint,
    SocketSpec,
    check_avp,
    check_pvar,
    parse_blacklist,
    parse_endpoint,
    parse_partition_line,
    parse_reply_codes,
    parse_socket,
    parse_socket_description,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("udp:127.0.0.1:5060", SocketSpec("udp", "127.0.0.1", 5060, "127.0.0.1", 5060)),
        ("127.0.0.1", SocketSpec("udp", "127.0.0.1", 5060, "127.0.0.1", 5060)),
        (
            "UDP:sip.example.com",
            SocketSpec("udp", "sip.example.com", 5060, "sip.example.com", 5060),
        ),
        ("localhost:5070", SocketSpec("udp", "localhost", 5070, "localhost", 5070)),
        ("udp:[::1]:5060", SocketSpec("udp", "::1", 5060, "::1", 5060)),
        ("[2001:DB8::0:1]", SocketSpec("udp", "2001:db8::1", 5060, "2001:db8::1", 5060)),
        ("0.0.0.0 as 192.0.2.1", SocketSpec("udp", "0.0.0.0", 5060, "192.0.2.1", 5060)),
        ("udp:[::]:5062 AS sip.example.com:5", SocketSpec("udp", "::", 5062, "sip.example.com", 5)),
        ("127.0.0.1:0", SocketSpec("udp", "127.0.0.1", 0, "127.0.0.1", 0)),
    ],
)
def test_sockets(text: str, expected: SocketSpec) -> None:
    found = parse_socket(text)
    assert found == expected
    assert parse_socket(str(found)) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tcp:127.0.0.1:5060", "only udp"),
        ("quic:127.0.0.1:5060", "unknown protocol 'quic'"),
        ("0.0.0.0", "needs 'as HOST"),
        ("udp:[::]:5060", "needs 'as HOST"),
        ("0.0.0.0 as 0.0.0.0", "unspecified"),
        ("::1", "IPv6 goes in brackets"),
        ("127.0.0.1:65536", "65536 is not in 0..65535"),
        ("127.0.0.256", "not an IPv4 address"),
        ("[::g]", "not an IPv6 address"),
        ("-x-", "neither an IP address nor a host name"),
        ("", "neither an IP address nor a host name"),
        ("127.0.0.1:sip", "expected host[:port]"),
    ],
)
def test_refused_sockets(text: str, words: str) -> None:
    assert words in _refusal(parse_socket, text)


def _refusal(parse: Callable[[str], object], text: str) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the caller looks at the text
        parse(text)
    return str(caught.value)


def test_a_probing_socket_may_leave_out_protocol_and_port() -> None:
    assert parse_socket_description("192.168.1.100") == ("udp", "192.168.1.100", None)
    assert parse_socket_description("udp:192.168.1.100:5077") == ("udp", "192.168.1.100", 5077)


def test_endpoints() -> None:
    assert parse_endpoint("127.0.0.1:9464") == Endpoint("127.0.0.1", 9464)
    assert str(parse_endpoint("[::1]:0")) == "[::1]:0"
    assert "expected host:port" in _refusal(parse_endpoint, "127.0.0.1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("list= 1,4,3", Blacklist("list", (1, 4, 3))),
        ("blist2= 2,10,6", Blacklist("blist2", (2, 10, 6))),
    ],
)
def test_blacklists_of_the_documentation(text: str, expected: Blacklist) -> None:
    assert parse_blacklist(text) == expected


@pytest.mark.parametrize("text", ["list", "= 1", "list =", "list = 1,,2", "list = a", "list = -1"])
def test_refused_blacklists(text: str) -> None:
    _refusal(parse_blacklist, text)


def test_reply_codes() -> None:
    assert parse_reply_codes("501, 403") == (501, 403)
    assert parse_reply_codes("100,700") == (100, 700)
    for text in ("99", "701", "200,", "2xx", "-404"):
        assert "from 100 to 700" in _refusal(parse_reply_codes, text)


def test_avps_and_variables() -> None:
    assert check_avp("$avp(ds_dst_failover)") == "$avp(ds_dst_failover)"
    assert check_pvar("$var(setid)") == "$var(setid)"
    for text in ("271", "avp(271)", "$avp()", "$avp(a b)", "$var(x)"):
        assert "$avp(271)" in _refusal(check_avp, text)
    assert "pseudo-variable" in _refusal(check_pvar, "setid")


def test_the_partition_line_of_the_documentation() -> None:
    line = (
        "part2 : db_url=mysql://user:passwd@localhost/database; table_name = ds_table; "
        "ds_define_blacklist= list2= 4,6;"
    )
    assert parse_partition_line(line) == (
        "part2",
        {
            "db_url": "mysql://user:passwd@localhost/database",
            "table_name": "ds_table",
            "ds_define_blacklist": ["list2= 4,6"],
        },
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("db_url=mysql://u:secret@h/d", "is no partition name"),
        ("db_url=sqlite:///f", "expected 'name : key = value"),
        ("p : dburl=x", "unknown key 'dburl', did you mean db_url?"),
        ("p : table_name=", "table_name has no value"),
        ("p : table_name", "expected 'key = value"),
        ("p : table_name=a; table_name=b", "given twice"),
        (" : table_name=a", "'' is no partition name"),
        ("a b : table_name=a", "'a b' is no partition name"),
    ],
)
def test_refused_partition_lines(line: str, words: str) -> None:
    text = _refusal(parse_partition_line, line)
    assert words in text
    assert "secret" not in text


@given(st.text())
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    for parse in (
        parse_socket,
        parse_endpoint,
        parse_blacklist,
        parse_reply_codes,
        parse_partition_line,
        check_avp,
        check_pvar,
    ):
        with contextlib.suppress(ValueError):
            parse(text)
