"""Record-Route and Route of a routing function: RFC 3261 16.4, 16.6 step 4, 16.12."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ds_farm.script._request import Request
from tests.proxy.stage import sent, two_sockets
from tests.support.message import Draft, Sip
from tests.support.request import Script


@pytest.fixture(scope="module")
def script() -> Iterator[Script]:
    with two_sockets() as made:
        yield made


def test_record_route_goes_on_top(script: Script) -> None:
    draft = script.message("INVITE").add("Record-Route", "<sip:198.51.100.7;lr>")
    out = sent(script, lambda r: r.record_route(), draft)
    tag = dict(draft.fields)["From"].partition("tag=")[2]
    assert out.all("Record-Route") == [
        f"<sip:127.0.0.1:5060;lr;ftag={tag}>".encode(),
        b"<sip:198.51.100.7;lr>",
    ]


def test_record_route_with_parameters(script: Script) -> None:
    def route(request: Request) -> int:
        return request.record_route(";mine=1") and request.add_rr_param("two=2")

    assert sent(script, route).one("Record-Route").endswith(b";mine=1;two=2>")


@pytest.mark.parametrize("params", [";x=<", ";a b", ";x=1>", ";" + "x" * 250])
def test_bad_parameters_of_record_route(script: Script, params: str) -> None:
    assert script.run(lambda r: r.record_route(params)) == -1


def test_add_rr_param_before_record_route(script: Script) -> None:
    def route(request: Request) -> int:
        assert request.add_rr_param("nat=yes") == 1
        assert request.record_route(";a=b") == 1
        return request.add_rr_param(";c=d")

    out = sent(script, route, script.message("INVITE"))
    assert b";nat=yes;a=b;c=d>" in out.one("Record-Route")
    assert script.run(lambda r: r.add_rr_param("not one")) == -1


def test_two_record_routes_where_the_socket_changes(script: Script) -> None:
    """The dialog's later requests come back by the one on top."""
    draft = script.message("INVITE").add("Route", "<sip:127.0.0.2:5062;lr>")
    _, datagrams = script.route(
        lambda r: (r.record_route(), r.rewriteuri("sip:192.0.2.9"), r.forward()), draft
    )
    data, _, _, socket = datagrams[0]
    out = Sip.read(data)
    assert socket == 1
    first, second = out.all("Record-Route")
    assert first.startswith(b"<sip:127.0.0.2:5062;lr;r2=on;ftag=")
    assert second.startswith(b"<sip:127.0.0.1:5060;lr;r2=on;ftag=")


def in_dialog(script: Script, *routes: str, uri: str = "sip:callee@192.0.2.50:5080") -> Draft:
    draft = script.message("BYE", uri).set("To", "<sip:callee@example.com>;tag=theirs")
    for route in routes:
        draft.add("Route", route)
    return draft


def test_loose_route_in_a_dialog(script: Script) -> None:
    """RFC 3261 16.4 and 16.12.1.1: our value goes, the Request-URI is where it leads."""
    result, datagrams = script.route(
        lambda r: (r.loose_route(), r.forward())[0],
        in_dialog(script, "<sip:127.0.0.1:5060;lr;ftag=x>"),
    )
    assert result == 1
    assert datagrams[0][1:3] == ("192.0.2.50", 5080)
    assert Sip.read(datagrams[0][0]).all("Route") == []


def test_loose_route_to_the_next_proxy(script: Script) -> None:
    def route(request: Request) -> tuple[int, str | None]:
        found = request.loose_route(), request.du
        request.forward()
        return found

    result, datagrams = script.route(
        route,
        in_dialog(
            script,
            "<sip:127.0.0.2:5062;lr;r2=on>, <sip:127.0.0.1:5060;lr;r2=on>",
            "<sip:192.0.2.60:5090;lr>",
        ),
    )
    assert result == (1, "sip:192.0.2.60:5090;lr")
    assert datagrams[0][1:] == ("192.0.2.60", 5090, 0)
    assert Sip.read(datagrams[0][0]).all("Route") == [b"<sip:192.0.2.60:5090;lr>"]


def test_loose_route_to_a_strict_router(script: Script) -> None:
    """RFC 3261 16.12.1.2 and 16.6 step 6."""
    result, datagrams = script.route(
        lambda r: (r.loose_route(), r.forward())[0],
        in_dialog(script, "<sip:127.0.0.1:5060;lr>", "<sip:192.0.2.60:5090>"),
    )
    assert result == 1
    out = Sip.read(datagrams[0][0])
    assert out.start_line == b"BYE sip:192.0.2.60:5090 SIP/2.0"
    assert out.all("Route") == [b"<sip:callee@192.0.2.50:5080>"]
    assert datagrams[0][1:3] == ("192.0.2.60", 5090)


@pytest.mark.parametrize(
    ("routes", "left"),
    [
        (["<sip:callee@192.0.2.50:5080>"], []),
        (["<sip:192.0.2.60;lr>, <sip:callee@192.0.2.50:5080>"], [b"<sip:192.0.2.60;lr>"]),
        (["<sip:192.0.2.60;lr>", "<sip:callee@192.0.2.50:5080>"], [b"<sip:192.0.2.60;lr>"]),
    ],
)
def test_request_of_a_strict_router(script: Script, routes: list[str], left: list[bytes]) -> None:
    """RFC 3261 16.4: our URI in the Request-URI gives way to the last Route value."""
    draft = in_dialog(script, *routes, uri="sip:127.0.0.1:5060;lr;ftag=x")

    def route(request: Request) -> str:
        request.loose_route()
        request.forward()
        return request.ru

    result, datagrams = script.route(route, draft)
    assert result == "sip:callee@192.0.2.50:5080"
    out = Sip.read(datagrams[0][0])
    assert out.start_line == b"BYE sip:callee@192.0.2.50:5080 SIP/2.0"
    assert out.all("Route") == left
    assert datagrams[0][1] == ("192.0.2.60" if left else "192.0.2.50")


def test_no_route_or_our_own_outside_a_dialog(script: Script) -> None:
    assert script.run(lambda r: r.loose_route()) == -1
    draft = script.message("INVITE").add("Route", "<sip:127.0.0.1:5060;lr>")
    assert script.run(lambda r: r.loose_route(), draft) == -1
    assert script.run(lambda r: r.loose_route(), in_dialog(script)) == -1


def test_direction_and_parameters_of_our_route(script: Script) -> None:
    draft = in_dialog(script, "<sip:127.0.0.1:5060;lr;ftag=me;did=1.2>")
    draft.set("From", "<sip:a@h>;tag=me")
    asked = script.run(
        lambda r: (
            r.is_direction("downstream"),
            r.is_direction("upstream"),
            r.check_route_param("did=1"),
            r.check_route_param("did=9"),
        ),
        draft,
    )
    assert asked == (1, -1, 1, -1)
    draft.set("From", "<sip:a@h>;tag=m")
    assert script.run(lambda r: r.is_direction("upstream"), draft) == 1
    assert script.run(lambda r: r.is_direction("upstream")) == -1
    assert script.run(lambda r: r.is_direction("downstream")) == 1  # nothing tells
    assert script.run(lambda r: r.is_direction("sideways"), draft) == -1


@pytest.mark.parametrize(
    ("route", "is_ours"),
    [
        ("<sip:sip.example.com;lr;ftag=me>", True),
        ("<sip:SIP.example.com:5060;lr;ftag=me>", True),
        ("<sip:sip.example.com:5061;lr;ftag=me>", False),
        ("<sip:203.0.113.5:5071;lr;ftag=me>", True),
        ("<sip:[2001:db8::5];lr;ftag=me>", True),
        ("<sip:sip.example.co;lr;ftag=me>", False),
    ],
)
def test_routes_by_an_alias_are_our_own(route: str, is_ours: bool) -> None:
    aliases = [("sip.example.com", 5060), ("203.0.113.5", 0), ("[2001:db8::5]", 5060)]
    with Script({1: ["sip:192.0.2.1"]}, aliases=aliases) as script:
        draft = in_dialog(script, route, "<sip:192.0.2.60:5080;lr>")
        assert script.run(lambda r: r.check_route_param("ftag="), draft) == (1 if is_ours else -1)
        if is_ours:
            _, ((data, ip, *_),) = script.route(lambda r: (r.loose_route(), r.forward()), draft)
            assert (ip, Sip.read(data).all("Route")) == (
                "192.0.2.60",
                [b"<sip:192.0.2.60:5080;lr>"],
            )
