"""Ends of transactions that are out of the ordinary: nothing stays, nobody rings on."""

from __future__ import annotations

import gc
import sys

import pytest

from ds_farm.script._request import Request
from tests.proxy.stage import Stage, hosts, relay, requests, upstream
from tests.support.message import Draft, Sip, reply
from tests.support.request import Sent

MS = 1_000_000
TOO_LONG = 65_490
"""Of a head: neither the request with our Via nor an answer with its own fits a datagram."""


def fork(request: Request) -> None:
    """To two destinations at the same time."""
    request.ds_select_dst("1", "4")
    request.append_branch()
    request.ds_select_dst("1", "4")
    request.t_relay()


def transactions(stage: Stage) -> tuple[int, int]:
    """All that the worker keeps, and those of them without a final response."""
    assert stage.script.relay is not None
    worker = stage.script.segment.worker(0)
    assert len(stage.script.relay) == worker.transactions
    return worker.transactions, worker.unfinished


def long_headed(stage: Stage, method: str = "INVITE") -> Draft:
    draft = stage.script.message(method)
    return draft.add("X-Long", "x" * (TOO_LONG - len(draft.bytes())))


def newtran_and_reply(request: Request) -> None:
    request.t_newtran()
    request.send_reply(404, "Not here")


def newtran_and_forward(request: Request) -> None:
    request.t_newtran()
    request.ds_select_dst("1", "4")
    request.forward()


@pytest.mark.parametrize("route", [fork, newtran_and_reply, newtran_and_forward])
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_what_can_be_neither_sent_nor_answered_leaves_nothing(route: object, method: str) -> None:
    with Stage(route) as stage:  # type: ignore[arg-type]  # all three are routes
        draft = long_headed(stage, method)
        for _ in range(3):  # also as a retransmission
            assert stage.invite(draft) == []
        assert transactions(stage) == (0, 0)


def test_a_transaction_that_forward_has_not_used_leaves_nothing() -> None:
    with Stage(newtran_and_forward) as stage:
        assert len(stage.invite()) == 1
        assert transactions(stage) == (0, 0)


@pytest.mark.parametrize("final", ["200 OK", "603 Decline"])
def test_a_branch_that_rings_after_the_call_is_decided_is_cancelled(final: str) -> None:
    """RFC 3261 16.7 steps 5 and 10; 9.1: a CANCEL waits for a provisional response."""
    with Stage(fork) as stage:
        first, second = stage.invite()
        assert requests(stage.answer(first, final), b"CANCEL") == []
        (cancel,) = requests(stage.answer(second, "180 Ringing"), b"CANCEL")
        assert hosts([cancel]) == hosts([second])
        stage.script.handle(reply(cancel[0], "200 OK"), (cancel[1], cancel[2]))
        ended = stage.answer(second, "487 Request Terminated")
        assert [each.start_line for each in upstream(ended)] == (
            [b"SIP/2.0 603 Decline"] if final.startswith("6") else []
        )
        assert requests(ended, b"ACK")


@pytest.mark.parametrize("statuses", [(401, 407), (407, 401), (401, 401)])
def test_challenges_of_all_branches_go_upstream(statuses: tuple[int, int]) -> None:
    """RFC 3261 16.7 step 7."""
    names = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}
    with Stage(fork) as stage:
        sent = stage.invite()
        answers = []
        for number, (each, status) in enumerate(zip(sent, statuses, strict=True)):
            challenge = f'{names[status]}: Digest realm="r{number}",\r\n nonce="n"\r\n'.encode()
            answer = reply(each[0], f"{status} Who are you").replace(
                b"Content-Length", challenge + b"Content-Length"
            )
            answers = upstream(stage.script.handle(answer, (each[1], each[2])))
        (final,) = answers
        found = [*final.all("WWW-Authenticate"), *final.all("Proxy-Authenticate")]
        assert sorted(each.split(b'"')[1] for each in found) == [b"r0", b"r1"]
        assert len(final.all(names[statuses[0]])) == 1 + (statuses[0] == statuses[1])


def test_a_failure_route_cannot_ask_somebody_else_after_a_6xx() -> None:
    """RFC 3261 16.7 step 5."""
    returned = []

    def failure_route(request: Request) -> None:
        request.ds_next_dst()
        returned.append(request.t_relay())

    def armed(request: Request) -> None:
        request.t_on_failure()
        relay(request)

    with Stage(armed, failure_route=failure_route) as stage:
        (sent,) = stage.invite()
        ended = stage.answer(sent, "603 Decline")
        assert requests(ended) == []
        assert [each.start_line for each in upstream(ended)] == [b"SIP/2.0 603 Decline"]
    assert returned == [-1]


@pytest.mark.parametrize("length", [10, 3000, 60000])
def test_a_failure_route_reads_the_request_after_its_answer(length: int) -> None:
    seen = []

    def failure_route(request: Request) -> None:
        before = (request.ru, request.ci, request.hdr("X-Long"), request.mb)
        request.t_reply(480, "Nobody")
        seen.append(before == (request.ru, request.ci, request.hdr("X-Long"), request.mb))

    def armed(request: Request) -> None:
        request.t_on_failure()
        relay(request)

    with Stage(armed, failure_route=failure_route) as stage:
        for _ in range(3):  # what one has given back another gets
            (sent,) = stage.invite(stage.script.message("INVITE").add("X-Long", "x" * length))
            stage.answer(sent, "500 Broken")
    assert seen == [True] * 3


def test_status_of_a_reply_route_stands_for_a_503_too() -> None:
    def onreply_route(response: Request) -> None:
        response.change_reply_status(480, "Later")

    with Stage(relay, onreply_route=onreply_route) as stage:
        (sent,) = stage.invite()
        (answer,) = upstream(stage.answer(sent, "503 Service Unavailable"))
        assert answer.start_line == b"SIP/2.0 480 Later"


def test_100_has_the_timestamp_of_its_request() -> None:
    """RFC 3261 8.2.6.1."""
    with Stage(relay) as stage:
        draft = stage.script.message("INVITE").add("timestamp", " 54.1 0.2").add("Timestamp", "2")
        _, sent = stage.script.route(relay, draft)
        trying = upstream(sent)[0]
        assert trying.start_line.startswith(b"SIP/2.0 100")
        assert trying.one("Timestamp") == b"54.1 0.2"
        final = upstream(stage.answer(requests(sent)[0], "404 Not Found"))[0]
        assert final.all("Timestamp") == []


@pytest.mark.parametrize(
    ("route", "host"),
    [
        ("<sip:a,b@192.0.2.9;lr>", "192.0.2.9"),
        ('"x, y" <sip:192.0.2.9;lr>', "192.0.2.9"),
        ("<sip:127.0.0.1;lr;x=a,b>, <sip:a,b@192.0.2.9;lr>,<sip:192.0.2.8;lr>", "192.0.2.9"),
    ],
)
def test_commas_in_a_route(route: str, host: str) -> None:
    def forward(request: Request) -> None:
        request.forward()

    with Stage(forward) as stage:
        draft = stage.script.message("BYE", "sip:192.0.2.77").add("Route", route)
        (sent,) = stage.invite(draft)
        assert hosts([sent]) == [host]


def test_extensions_of_several_lines_are_all_unsupported() -> None:
    """RFC 3261 20.40; a CANCEL is not asked for them (8.2.2.3)."""

    def handled(stage: Stage, method: str) -> list[Sent]:
        draft = stage.script.message(method)
        draft.add("Proxy-Require", "one").add("Proxy-Require", "two,\r\n three")
        return stage.script.handle(draft.bytes())

    with Stage(relay) as stage:
        stage.invite()
        (answer,) = upstream(handled(stage, "OPTIONS"))
        assert answer.one("Unsupported") == b"one, two, three"
        assert [each[0][:6] for each in handled(stage, "CANCEL")] == [b"CANCEL"]


def test_many_route_lines_of_our_own() -> None:
    """As many as are looked at, each in a line; the next hop is behind them."""

    def forward(request: Request) -> None:
        request.forward()

    with Stage(forward) as stage:
        for count in (1, 16, 60, 63):
            draft = stage.script.message("BYE", "sip:192.0.2.77")
            for _ in range(count):
                draft.add("Route", "<sip:127.0.0.1;lr>")
            draft.add("Route", "<sip:192.0.2.9>")  # a strict router: three edits more
            (sent,) = stage.invite(draft)
            assert hosts([sent]) == ["192.0.2.9"]
            assert Sip.read(sent[0]).all("Route") == [b"<sip:192.0.2.77>"]
        for _ in range(300):
            draft.add("Route", "<sip:127.0.0.1;lr>")
        stage.script.handle(draft.bytes())


def test_a_branch_that_was_given_up_and_rings_late_is_cancelled() -> None:
    def failure_route(request: Request) -> None:
        request.ds_next_dst()
        request.t_relay()

    def armed(request: Request) -> None:
        request.t_on_failure()
        relay(request)

    with Stage(armed, failure_route=failure_route) as stage:
        (first,) = stage.invite()
        (second,) = [
            each
            for each in requests(stage.script.core.pass_time(33_000 * MS))
            if each[1] != first[1]
        ]
        (cancel,) = requests(stage.answer(first, "180 Ringing"), b"CANCEL")
        assert hosts([cancel]) == hosts([first])
        assert requests(stage.answer(first, "180 Ringing"), b"CANCEL") == [], "once"
        assert len(requests(stage.answer(first, "487 Request Terminated"), b"ACK")) == 1
        (ok,) = upstream(stage.answer(second, "200 OK"))
        assert ok.start_line == b"SIP/2.0 200 OK"


def test_a_long_tag_does_not_keep_us_out_of_the_dialog() -> None:
    def route(request: Request) -> None:
        assert request.record_route(";x=y") == 1
        relay(request)

    with Stage(route) as stage:
        draft = stage.script.message("INVITE").set("From", f"<sip:a@b>;tag={'t' * 400}")
        (sent,) = stage.invite(draft)
        assert Sip.read(sent[0]).one("Record-Route") == b"<sip:127.0.0.1:5060;lr;x=y>"


def test_a_via_port_out_of_range_is_answered_at_the_usual_one() -> None:
    with Stage(relay) as stage:
        stage.invite()
        draft = stage.script.message("OPTIONS")
        data = draft.bytes().replace(b":5070;branch", b":70000;branch")
        (answer,) = stage.script.handle(data)
        assert answer[0].startswith(b"SIP/2.0 400 ")
        assert answer[2] == 5060


def test_an_empty_proxy_require_asks_for_nothing() -> None:
    with Stage(relay) as stage:
        assert len(stage.invite(stage.script.message("OPTIONS").add("Proxy-Require", ""))) == 1


def test_routes_of_a_branch_are_let_go_with_it() -> None:
    def onreply_route_one(response: Request) -> None:
        response.append_hf("X-One: 1\r\n")

    def calls() -> None:
        def route(request: Request) -> None:
            request.t_on_branch(lambda each: each.t_on_reply(onreply_route_one))
            fork(request)

        with Stage(route) as stage:
            for number in range(5):
                for sent in stage.invite(
                    stage.script.message("INVITE").set("CSeq", f"{number} INVITE")
                ):
                    (ringing,) = upstream(stage.answer(sent, "180 Ringing"))
                    assert ringing.all("X-One") == [b"1"]
            assert transactions(stage) == (5, 5)

    before = sys.getrefcount(onreply_route_one)
    calls()
    gc.collect()
    assert sys.getrefcount(onreply_route_one) == before
