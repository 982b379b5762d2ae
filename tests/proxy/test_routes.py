"""Reply and failure routes of a stateful proxy; what lives how long."""

from __future__ import annotations

import pytest

from ds_farm.script._request import Request
from tests.proxy.stage import ONE, THREE, TWO, Stage, hosts, relay, requests, upstream
from tests.support.message import Draft, Sip, reply
from tests.support.request import CALLER

# -- reply routes


def test_reply_route_of_all_responses_sees_and_changes_them() -> None:
    seen = []

    def onreply_route(response: Request) -> None:
        seen.append((response.rs, response.rr, response.method, response.si, response.tt))
        response.append_hf(f"X-Seen: {response.rs}\r\n")
        response.remove_hf("Server")

    with Stage(relay, onreply_route=onreply_route) as stage:
        (sent,) = stage.invite()
        (ringing,) = upstream(stage.answer(sent, "180 Ringing"))
        assert ringing.one("X-Seen") == b"180"
        (ok,) = upstream(stage.answer(sent, "200 Fine with me"))
        assert ok.one("X-Seen") == b"200"
        assert ok.start_line == b"SIP/2.0 200 Fine with me"
        assert len(ok.vias) == 1
    assert seen[0] == (180, "Ringing", "INVITE", "192.0.2.1", "answered")
    assert seen[1][:2] == (200, "Fine with me")


@pytest.mark.parametrize(
    ("came", "code", "reason", "goes"),
    [
        ("486 Busy Here", 603, "Decline", b"603 Decline"),
        ("180 Ringing", 183, "Session Progress", b"183 Session Progress"),
        ("180 Ringing", 486, "Busy Here", b"180 Ringing"),
        ("200 OK", 486, "Busy Here", b"200 OK"),
        ("486 Busy Here", 200, "OK", b"486 Busy Here"),
        ("486 Busy Here", 700, "What", b"486 Busy Here"),
        ("486 Busy Here", 487, "a\r\nX-Bad: b", b"486 Busy Here"),
    ],
)
def test_reply_route_changes_the_status(came: str, code: int, reason: str, goes: bytes) -> None:
    def onreply_route(response: Request) -> None:
        response.change_reply_status(code, reason)

    with Stage(relay, onreply_route=onreply_route) as stage:
        (sent,) = stage.invite()
        (forwarded,) = upstream(stage.answer(sent, came))
        assert forwarded.start_line == b"SIP/2.0 " + goes
        assert len(forwarded.vias) == 1


def test_a_request_has_no_status_to_change() -> None:
    returned = []

    def route(request: Request) -> None:
        returned.append(request.change_reply_status(486, "Busy Here"))
        relay(request)

    with Stage(route) as stage:
        stage.invite()
    assert returned == [-1]


def test_reply_route_sees_responses_without_a_transaction() -> None:
    def onreply_route(response: Request) -> None:
        response.append_hf("X-Seen: yes\r\n")

    def forward(request: Request) -> None:
        request.ds_select_dst("1", "8")
        request.forward()

    with Stage(forward, onreply_route=onreply_route) as stage:
        (sent,) = stage.invite()
        (ok,) = upstream(stage.answer(sent, "200 OK"))
        assert ok.one("X-Seen") == b"yes"


def test_named_reply_route_has_avps_and_flags_of_the_request() -> None:
    def route(request: Request) -> None:
        request.avp["who"] = "carol"
        request.setflag("nat")
        assert request.t_on_reply("mine") == 1
        assert request.t_on_reply("other") == -1
        assert request.t_on_reply("mine") == 1
        relay(request)

    def onreply_route_mine(response: Request) -> None:
        count = int(response.avp.get("count", 0)) + 1
        response.avp["count"] = count
        response.append_hf(f"X-Avp: {response.avp['who']} {response.isflagset('nat')} {count}\r\n")

    def onreply_route(response: Request) -> None:
        response.append_hf("X-All: 1\r\n")

    with Stage(route, onreply_route_mine=onreply_route_mine, onreply_route=onreply_route) as stage:
        (sent,) = stage.invite()
        (ringing,) = upstream(stage.answer(sent, "180 Ringing"))
        assert ringing.one("X-Avp") == b"carol 1 1"
        assert ringing.one("X-All") == b"1"
        (ok,) = upstream(stage.answer(sent, "200 OK"))
        assert ok.one("X-Avp") == b"carol 1 2"


def test_reply_route_can_drop_provisional_responses_alone() -> None:
    def route(request: Request) -> None:
        request.t_on_reply("quiet")
        relay(request)

    with Stage(route, onreply_route_quiet=lambda response: response.drop()) as stage:
        (sent,) = stage.invite()
        assert upstream(stage.answer(sent, "183 Session Progress")) == []
        assert [one.status for one in upstream(stage.answer(sent, "200 OK"))] == [200]


def test_reply_route_cannot_send() -> None:
    tried: list[tuple[object, ...]] = []

    def onreply_route(response: Request) -> None:
        tried.append(
            (response.forward(), response.send_reply(500, "No"), response.t_relay(), response.ru)
        )
        tried.append((response.t_newtran(), response.t_reply(500, "No"), response.ds_next_dst()))

    with Stage(relay, onreply_route=onreply_route) as stage:
        (sent,) = stage.invite()
        assert len(stage.answer(sent, "180 Ringing")) == 1
    assert tried == [(-1, -1, -1, ""), (-1, -1, -1)]


def test_exception_in_a_reply_route_costs_no_response() -> None:
    def onreply_route(response: Request) -> None:
        raise KeyError("oops")

    with Stage(relay, onreply_route=onreply_route) as stage:
        (sent,) = stage.invite()
        with pytest.raises(KeyError):
            stage.answer(sent, "180 Ringing")
        assert stage.script.core.handle(reply(sent[0], "200 OK"), sent[1], sent[2])


def test_changed_failure_response_waits_changed() -> None:
    """A busy branch that waits for the other goes upstream as its reply route has left it."""

    def route(request: Request) -> None:
        request.append_branch(TWO)
        relay(request)

    def onreply_route(response: Request) -> None:
        response.append_hf(f"X-From: {response.si}\r\n")

    with Stage(route, onreply_route=onreply_route) as stage:
        first, second = stage.invite()
        assert upstream(stage.answer(first, "486 Busy Here")) == []
        (busy,) = upstream(stage.answer(second, "500 Broken"))
        assert busy.status == 486
        assert busy.one("X-From") == b"192.0.2.1"


def test_object_that_a_route_has_kept_is_over_and_used_no_more() -> None:
    kept: list[Request] = []

    def route(request: Request) -> None:
        request.t_on_reply(kept.append)
        request.t_on_failure(kept.append)
        relay(request)

    with Stage(route) as stage:
        (first,) = stage.invite()
        stage.answer(first, "180 Ringing")
        (second,) = stage.invite()
        stage.answer(second, "500 No")
        assert len(kept) == 3  # the reply, then the reply and the failure of the other call
        for one in kept:
            with pytest.raises(RuntimeError, match="over"):
                one.hdr("To")
        assert kept[0] is not kept[1]
        assert all(one is not stage.script.core.request for one in kept)


def test_object_that_nobody_has_kept_serves_on() -> None:
    with Stage(relay) as stage:
        before = id(stage.script.core.request)
        for _ in range(3):
            (sent,) = stage.invite()
            stage.answer(sent, "200 OK")
            assert id(stage.script.core.request) == before


# -- failure routes


def test_changes_of_the_request_go_along_to_the_next_destination() -> None:
    def route(request: Request) -> None:
        request.append_hf("X-First: 1\r\n")
        request.remove_hf("Subject")
        request.record_route(";a=b")
        request.setflag("f")
        request.t_on_failure("next")
        relay(request)

    def failure_route_next(request: Request) -> None:
        assert request.T_reply_code == 503
        assert request.isflagset("f") == 1
        request.ds_next_dst()
        request.append_hf("X-Second: 2\r\n")
        assert request.t_relay() == 1

    with Stage(route, failure_route_next=failure_route_next) as stage:
        (first,) = stage.invite(stage.script.message("INVITE").add("Subject", "x"))
        (second,) = requests(stage.answer(first, "503 No"))
        assert hosts([first, second]) == ["192.0.2.1", "192.0.2.2"]
        out = Sip.read(second[0])
        assert (out.one("X-First"), out.one("X-Second")) == (b"1", b"2")
        assert b";a=b" in out.one("Record-Route")
        assert out.all("Subject") == []
        assert [one.status for one in upstream(stage.answer(second, "200 OK"))] == [200]


def test_destination_that_refuses_has_failed_at_once() -> None:
    """RFC 3261 8.1.3.1 and 16.9: as a 503, which goes upstream as 500."""
    statuses = []

    def route(request: Request) -> None:
        request.t_on_failure("next")
        relay(request)

    def failure_route_next(request: Request) -> None:
        statuses.append(request.T_reply_code)
        if request.ds_next_dst():
            request.t_on_failure("next")
            request.t_relay()

    with Stage(route, failure_route_next=failure_route_next) as stage:
        core = stage.script.core
        (sent,) = stage.invite()
        for next_host in ("192.0.2.2", "192.0.2.3"):
            (following,) = requests(core.refuse(sent[0][:300], sent[1], sent[2]))
            assert following[1] == next_host
            assert core.refuse(sent[0], sent[1], sent[2]) == []  # once is enough
            sent = following
        (out,) = upstream(core.refuse(sent[0], sent[1], sent[2]))
        assert out.status == 500
        assert stage.script.relay is not None
        assert stage.script.relay.unfinished == 0
    assert statuses == [503, 503, 503]


def test_failovers_are_counted_where_they_begin() -> None:
    def route(request: Request) -> None:
        request.t_on_failure("next")
        relay(request)

    def failure_route_next(request: Request) -> None:
        if request.ds_next_dst():
            request.t_on_failure("next")
            request.t_relay()

    with Stage(route, failure_route_next=failure_route_next) as stage:
        (first,) = stage.invite()
        (second,) = requests(stage.answer(first, "503 No"))
        stage.answer(second, "200 OK")
        counters = [
            stage.script.segment.counters(0, stage.script.slot(uri)) for uri in (ONE, TWO, THREE)
        ]
        assert [view.failovers_away for view in counters] == [1, 0, 0]
        assert [view.failovers for view in counters] == [0, 1, 0]


def test_ack_of_an_rfc2543_caller_is_absorbed() -> None:
    """RFC 3261 17.2.3: no magic cookie, so To tag, From tag, Call-ID, CSeq and Via decide."""
    with Stage(relay) as stage:
        via = f"SIP/2.0/UDP {CALLER[0]}:{CALLER[1]};branch=1"
        draft = Draft("INVITE", via=via, key="old")
        (sent,) = stage.invite(draft)
        (busy,) = upstream(stage.answer(sent, "486 Busy Here"))
        ack = Draft("ACK", via=via, key="old").set("To", busy.one("To").decode())
        assert stage.script.handle(ack.bytes()) == []
        assert stage.script.segment.worker(0).absorbed == 1


def test_late_answers_of_a_destination_that_has_refused() -> None:
    def route(request: Request) -> None:
        request.t_on_failure("next")
        relay(request)

    def failure_route_next(request: Request) -> None:
        request.ds_next_dst()
        request.t_relay()

    with Stage(route, failure_route_next=failure_route_next) as stage:
        (first,) = stage.invite()
        stage.script.core.refuse(first[0], first[1], first[2])
        (ack,) = stage.answer(first, "486 Busy Here")
        assert ack[0].startswith(b"ACK ")
        assert stage.answer(first, "486 Busy Here")[0][0] == ack[0]
        (ok,) = upstream(stage.answer(first, "200 OK"))
        assert ok.status == 200


@pytest.mark.parametrize(
    "quoted",
    [
        b"",
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1\r\n",
        b"INVITE sip:a SIP/2.0\r\n",
        b"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1",
        b"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n",
        b"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1.2.3.4.5.6\r\n",
        b"INVITE sip:a SIP/2.0\r\nFrom: x\r\n",
        b"\r\n" * 20,
    ],
)
def test_quotes_that_concern_no_transaction(quoted: bytes) -> None:
    with Stage(relay) as stage:
        stage.invite()
        assert stage.script.core.refuse(quoted, "192.0.2.1", 5060) == []


def test_function_itself_may_be_armed() -> None:
    ran: list[Request] = []

    def route(request: Request) -> None:
        assert request.t_on_failure(ran.append) == 1
        relay(request)

    with Stage(route) as stage:
        (sent,) = stage.invite()
        stage.answer(sent, "500 No")
    assert len(ran) == 1


def test_each_attempt_begins_with_the_headers_of_the_request_route() -> None:
    def route(request: Request) -> None:
        request.append_hf("X-First: 1\r\n")
        request.append_to_reply("X-Reply: 1\r\n")
        request.t_on_failure("next")
        relay(request)

    def failure_route_next(request: Request) -> None:
        request.append_hf("X-Retry: 1\r\n")
        request.append_to_reply("X-Again: 1\r\n")
        if request.ds_next_dst():
            request.t_on_failure("next")
            request.t_relay()
        else:
            request.t_reply(480, "Nobody")

    with Stage(route, failure_route_next=failure_route_next) as stage:
        (sent,) = stage.invite()
        for _ in range(2):
            (sent,) = requests(stage.answer(sent, "503 No"))
            out = Sip.read(sent[0])
            assert (out.all("X-First"), out.all("X-Retry")) == ([b"1"], [b"1"])
        (last,) = upstream(stage.answer(sent, "503 No"))
    assert (last.status, last.all("X-Reply"), last.all("X-Again")) == (480, [b"1"], [b"1"])


def test_a_failure_route_hears_of_a_cancelled_call() -> None:
    def route(request: Request) -> None:
        request.t_on_failure("over")
        request.t_on_reply("seen")
        relay(request)

    def onreply_route_seen(response: Request) -> None:
        response.setflag(f"seen {response.rs}")

    def failure_route_over(request: Request) -> None:
        flags = [request.isflagset(f"seen {code}") for code in (180, 183, 487)]
        heard.append((request.t_was_cancelled(), flags))
        request.ds_next_dst()
        heard.append((request.t_relay(), flags))

    heard: list[tuple[int, list[int]]] = []
    with Stage(
        route, failure_route_over=failure_route_over, onreply_route_seen=onreply_route_seen
    ) as stage:
        draft = stage.script.message("INVITE")
        (sent,) = stage.invite(draft)
        stage.answer(sent, "180 Ringing")
        cancel = draft.bytes().replace(b"INVITE", b"CANCEL")
        (cancelled,) = requests(stage.script.handle(cancel), b"CANCEL")
        assert hosts([cancelled]) == ["192.0.2.1"]
        (last,) = upstream(stage.answer(sent, "487 Request Terminated"))
    assert last.status == 487
    assert heard == [(1, [1, -1, 1]), (-1, [1, -1, 1])]


def test_a_provisional_answer_without_a_transaction_ends_nothing() -> None:
    def route(request: Request) -> None:
        assert request.sl_send_reply(100, "Trying") == 1
        relay(request)

    with Stage(route) as stage:
        assert hosts(stage.invite()) == ["192.0.2.1"]


def test_without_its_routes_a_request_goes_by_its_uri() -> None:
    def route(request: Request) -> None:
        request.remove_hf("Route")
        request.remove_hf("Route")
        request.ru = "sip:x@192.0.2.77"
        request.t_on_failure("again")
        request.t_relay()

    def failure_route_again(request: Request) -> None:
        request.ru = "sip:x@192.0.2.78"
        request.t_relay()

    with Stage(route, failure_route_again=failure_route_again) as stage:
        draft = stage.script.message("INVITE").add("Route", "<sip:127.0.0.1;lr>")
        (sent,) = stage.invite(draft.add("Route", "<sip:198.51.100.99;lr>"))
        (second,) = requests(stage.answer(sent, "404 No"))
    assert hosts([sent, second]) == ["192.0.2.77", "192.0.2.78"]
    assert [Sip.read(each[0]).all("Route") for each in (sent, second)] == [[], []]
