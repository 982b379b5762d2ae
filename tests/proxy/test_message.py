"""Functions that read and change a message, as OpenSIPS's sipmsgops, rr and core have them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ds_farm.script._request import Request
from tests.proxy.stage import Route, sent, two_sockets
from tests.support.message import Sip
from tests.support.request import Script


@pytest.fixture(scope="module")
def script() -> Iterator[Script]:
    with two_sockets() as made:
        yield made


def names(message: Sip) -> list[str]:
    return [field.name.decode() for field in message.fields]


# -- headers


def test_append_hf_comes_last(script: Script) -> None:
    out = sent(script, lambda r: r.append_hf("X-One: 1\r\nX-Two: 2\r\n"))
    assert names(out)[-3:] == ["content-length", "x-one", "x-two"]
    assert out.one("X-Two") == b"2"


def test_append_hf_after_a_header_and_insert_hf_before_one(script: Script) -> None:
    def route(request: Request) -> int:
        return request.append_hf("X-After: a\r\n", "From") and request.insert_hf("X-B: b", "to")

    out = names(sent(script, route))
    assert out[out.index("from") + 1] == "x-after"
    assert out[out.index("to") - 1] == "x-b"


def test_insert_hf_at_the_top_stays_below_our_via(script: Script) -> None:
    out = names(sent(script, lambda r: r.insert_hf("X-Top: 1\r\n")))
    assert out[:3] == ["via", "x-top", "via"]


def test_body_stays_where_it_is(script: Script) -> None:
    draft = script.message("INVITE")
    draft.body = b"v=0\r\n"
    draft.set("Content-Length", "5")
    out = sent(script, lambda r: r.append_hf("X-One: 1\r\n"), draft)
    assert out.body == b"v=0\r\n"


@pytest.mark.parametrize(
    "text", ["no header", "", "X: a\r\n\r\nINVITE", "X y: 1", "A: 1\nB: 2\r\n"]
)
def test_what_is_no_header_is_refused(script: Script, text: str) -> None:
    before = len(script.complaints)
    assert script.run(lambda r: r.append_hf(text)) == -1
    assert script.run(lambda r: r.insert_hf(text)) == -1
    assert script.run(lambda r: r.append_to_reply(text)) == -1
    assert len(script.complaints) == before + 3


def test_of_several_headers_the_first_is_the_place(script: Script) -> None:
    draft = script.message("INVITE").add("X-A", "1").add("X-A", "2")
    out = names(sent(script, lambda r: r.append_hf("X-New: 0\r\n", "X-A"), draft))
    assert out[-3:] == ["x-a", "x-new", "x-a"]


def test_place_that_is_not_there(script: Script) -> None:
    """As without one, like OpenSIPS."""
    out = names(sent(script, lambda r: r.append_hf("X-New: 1\r\n", "Subject")))
    assert out[-1] == "x-new"
    out = names(sent(script, lambda r: r.insert_hf("X-New: 1\r\n", "Subject")))
    assert out.index("x-new") < out.index("from")


def test_remove_hf_takes_every_one_in_either_form(script: Script) -> None:
    draft = script.message("INVITE").add("Subject", "a").add("s", "b").add("X-Keep", "c")
    out = names(sent(script, lambda r: r.remove_hf("SUBJECT"), draft))
    assert "subject" not in out
    assert "s" not in out
    assert "x-keep" in out
    draft = script.message("INVITE").add("Subject", "a").add("X-Keep", "c")
    assert "subject" not in names(sent(script, lambda r: r.remove_hf("s"), draft))


def test_remove_hf_by_pattern(script: Script) -> None:
    draft = script.message("INVITE").add("X-One", "1").add("x-two", "2").add("Y-One", "3")
    out = names(sent(script, lambda r: r.remove_hf("X-*", "g"), draft))
    assert [name for name in out if name.startswith(("x-", "y-"))] == ["y-one"]


@pytest.mark.parametrize("name", ["Via", "v", "From", "To", "i", "CSeq"])
def test_headers_that_a_message_needs_stay(script: Script, name: str) -> None:
    assert script.run(lambda r: r.remove_hf(name)) == -1


def test_max_forwards_and_route_may_be_removed(script: Script) -> None:
    """Ranges that are changed on the way out, too."""
    draft = script.message("INVITE").add("Route", "<sip:192.0.2.200;lr>")

    def route(request: Request) -> int:
        return request.remove_hf("Max-Forwards") and request.remove_hf("Route")

    out = names(sent(script, route, draft))
    assert "max-forwards" not in out
    assert "route" not in out


def test_changes_are_limited_and_nothing_is_overrun(script: Script) -> None:
    done = script.run(lambda r: [r.append_hf(f"X-{i}: 1\r\n") for i in range(40)])
    assert done == [1] * 32 + [-1] * 8


def test_changes_of_one_request_are_not_those_of_the_next(script: Script) -> None:
    sent(script, lambda r: r.append_hf("X-One: 1\r\n"))
    assert "x-one" not in names(sent(script, lambda r: 1))


def test_is_present_hf_hdr_and_compact_forms(script: Script) -> None:
    draft = script.message("INVITE").add("k", "path").add("Supported", "100rel")
    found = script.run(lambda r: (r.is_present_hf("supported"), r.hdr("K")), draft)
    assert found == (1, ["path", "100rel"])
    assert script.run(lambda r: r.is_present_hf("Subject")) == -1


def test_append_to_reply(script: Script) -> None:
    def route(request: Request) -> int:
        return request.append_to_reply("Retry-After: 5\r\n") and request.send_reply(503, "Busy")

    result, datagrams = script.route(route)
    assert result == 1
    assert Sip.read(datagrams[0][0]).one("Retry-After") == b"5"


def test_has_body_and_search(script: Script) -> None:
    draft = script.message("INVITE").add("c", "application/sdp; x=y")
    draft.body = b"v=0\r\nm=audio 1"
    draft.set("Content-Length", str(len(draft.body)))
    asked = script.run(
        lambda r: (
            r.has_body(),
            r.has_body("application/sdp"),
            r.has_body("text/plain"),
            r.search("^INVITE sip:service@"),
            r.search_body("m=(audio|video)"),
            r.search_body("INVITE"),
        ),
        draft,
    )
    assert asked == (1, 1, -1, 1, 1, -1)
    assert script.run(lambda r: r.has_body()) == -1


def test_flags(script: Script) -> None:
    def route(request: Request) -> list[int]:
        request.setflag(1)
        request.setflag("NATED")
        request.resetflag("1")
        return [request.isflagset(1), request.isflagset("NATED")]

    assert script.run(route) == [-1, 1]
    assert script.run(lambda r: r.isflagset("NATED")) == -1


# -- URIs


@pytest.mark.parametrize(
    ("uri", "change", "expected"),
    [
        (
            "sip:a:pw@h:5070;x=y",
            lambda r: r.rewritehost("g.example"),
            "sip:a:pw@g.example:5070;x=y",
        ),
        ("sip:a@h;x", lambda r: r.rewritehostport("g:6000"), "sip:a@g:6000;x"),
        ("sip:a@h;x", lambda r: r.rewriteport(6000), "sip:a@h:6000;x"),
        ("sip:a@[2001:db8::1]:5;x", lambda r: r.rewriteport("7"), "sip:a@[2001:db8::1]:7;x"),
        ("sip:a:pw@h:1", lambda r: r.rewriteuser("bob"), "sip:bob:pw@h:1"),
        ("sip:a:pw@h:1", lambda r: r.rewriteuser(""), "sip:h:1"),
        ("sip:a:pw@h:1", lambda r: r.rewriteuserpass("bob"), "sip:bob@h:1"),
        ("sip:a:pw@h:1;x", lambda r: r.rewriteuserpass("b:c"), "sip:b:c@h:1;x"),
        ("sip:h:1", lambda r: r.rewriteuser("bob"), "sip:bob@h:1"),
        ("sip:123@h", lambda r: r.prefix("00"), "sip:00123@h"),
        ("sip:h", lambda r: r.prefix("00"), "sip:00@h"),
        ("sip:1:pw@[::1]:5;x", lambda r: r.prefix("+"), "sip:+1:pw@[::1]:5;x"),
        ("sip:12:pw@h", lambda r: r.strip(1), "sip:2:pw@h"),
        ("sip:12:pw@h", lambda r: r.strip(-1), "sip:12:pw@h"),
        ("sip:12:pw@h", lambda r: r.strip_tail(2), "sip:h"),
        ("sip:00123@h", lambda r: r.strip(2), "sip:123@h"),
        ("sip:12@h", lambda r: r.strip(5), "sip:h"),
        ("sip:12345@h", lambda r: r.strip_tail("2"), "sip:123@h"),
        ("sip:a@h", lambda r: r.rewriteuri("sip:new@x:1;y=z"), "sip:new@x:1;y=z"),
        ("sip:a@h", lambda r: r.rewriteuser("b") and r.revert_uri(), "sip:a@h"),
    ],
)
def test_request_uri(script: Script, uri: str, change: Route, expected: str) -> None:
    out = sent(script, change, script.message("INVITE", uri))
    assert out.start_line == f"INVITE {expected} SIP/2.0".encode()


@pytest.mark.parametrize("text", ["a b", "x>y", "\r\nX: y", ""])
def test_what_makes_no_uri_is_refused(script: Script, text: str) -> None:
    assert script.run(lambda r: r.rewritehost(text)) == -1
    assert script.run(lambda r: (r.rewritehost(text), r.ru)[1]) == "sip:service@example.com"


def test_a_telephone_number_is_a_user_without_a_host(script: Script) -> None:
    def route(request: Request) -> list[object]:
        request.ru = "tel:+12;x=y"
        done = [request.prefix("+3"), request.rewritehost("h"), request.rewriteport(1)]
        return [*done, request.ru]

    assert script.run(route) == [1, -1, -1, "tel:+3+12;x=y"]


def test_a_uri_of_another_scheme_stays_whole(script: Script) -> None:
    def route(request: Request) -> list[object]:
        request.ru = "urn:service:sos"
        return [request.rewriteuser("a"), request.rewritehost("h"), request.ru]

    assert script.run(route) == [-1, -1, "urn:service:sos"]


def test_destination_uri(script: Script) -> None:
    def route(request: Request) -> list[object]:
        return [
            request.isdsturiset(),
            request.setdsturi("sip:192.0.2.5"),
            request.isdsturiset(),
            request.du,
            request.resetdsturi(),
            request.isdsturiset(),
            request.setdsturi("tel:1"),
        ]

    assert script.run(route) == [-1, 1, 1, "sip:192.0.2.5", 1, -1, -1]


def test_force_rport_answers_to_where_the_request_came_from(script: Script) -> None:
    draft = script.message("OPTIONS").set("Via", "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKx")

    def route(request: Request) -> int:
        return request.force_rport() and request.send_reply(200, "OK")

    _, datagrams = script.route(route, draft)
    assert datagrams[0][1:3] == ("198.51.100.7", 5070)
    assert b";rport=5070" in Sip.read(datagrams[0][0]).one("Via")
    assert b"received=198.51.100.7" in Sip.read(datagrams[0][0]).one("Via")
