"""What a script learns of responses, and how it answers within a transaction."""

from __future__ import annotations

import pytest

from ds_farm.script._request import Request
from tests.proxy.stage import ONE, THREE, TWO, Stage, hosts, relay, requests, upstream
from tests.support.message import Sip
from tests.support.request import Script, Sent


def test_a_reply_route_sees_the_status_of_its_response() -> None:
    seen: list[tuple[int, int]] = []

    def route(request: Request) -> None:
        request.append_branch(TWO)
        request.t_on_reply("all")
        relay(request)

    def onreply_route_all(response: Request) -> None:
        seen.append((response.T_reply_code, response.t_check_status("^18")))

    with Stage(route, onreply_route_all=onreply_route_all) as stage:
        first, second = stage.invite()
        stage.answer(first, "180 Ringing")
        stage.answer(second, "404 No")
        stage.answer(first, "200 OK")
    assert seen == [(180, 1), (404, -1), (200, -1)]


def test_a_failure_route_sees_the_best_status_of_its_branches() -> None:
    """RFC 3261 16.7 step 6; branches of an earlier step no longer count."""
    seen: list[tuple[int, int, int]] = []

    def route(request: Request) -> None:
        request.append_branch(TWO)
        request.t_on_failure("next")
        relay(request)

    def failure_route_next(request: Request) -> None:
        code = request.T_reply_code
        seen.append((code, request.t_check_status("48"), request.t_check_status("(408)|(5)")))
        if len(seen) == 1:
            request.du = THREE
            request.t_on_failure("next")
            request.t_relay()
            assert request.T_reply_code == code

    with Stage(route, failure_route_next=failure_route_next) as stage:
        first, second = stage.invite()
        stage.answer(second, "486 Busy")
        (third,) = requests(stage.answer(first, "503 No"))
        assert [one.status for one in upstream(stage.answer(third, "500 No"))] == [486]
    assert seen == [(486, 1, -1), (500, -1, 1)]


def test_a_request_route_sees_what_it_has_answered() -> None:
    def route(request: Request) -> None:
        request.t_newtran()
        before = request.T_reply_code
        request.t_reply(183, "Wait")
        seen.append((before, request.T_reply_code, request.t_check_status("18[0-9]")))

    seen: list[tuple[int, int, int]] = []
    with Stage(route) as stage:
        stage.invite()
    assert seen == [(100, 183, 1)]


def _replied(stage: Stage, answers: list[str | None]) -> None:
    """Each of the two branches gets an answer, a refusal of the network, or (None) nothing."""
    for sent, status in zip(stage.invite(), answers, strict=True):
        if status == "refused":
            stage.script.core.refuse(sent[0], sent[1], sent[2])
        elif status is not None:
            stage.answer(sent, status)


@pytest.mark.parametrize(
    ("answers", "all_of_them", "last"),
    [
        (["refused", "refused"], 1, 1),
        (["refused", "480 No"], -1, -1),
        (["404 No", "refused"], -1, -1),
        (["503 No", "503 No"], -1, -1),
    ],
)
def test_local_replied(answers: list[str | None], all_of_them: int, last: int) -> None:
    seen: list[tuple[int, int]] = []

    def route(request: Request) -> None:
        request.append_branch(TWO)
        request.t_on_failure("over")
        relay(request)

    def failure_route_over(request: Request) -> None:
        seen.append((request.t_local_replied("all"), request.t_local_replied("last")))
        assert request.t_local_replied("any") == -1

    with Stage(route, failure_route_over=failure_route_over) as stage:
        _replied(stage, answers)
        assert "t_local_replied: 'any' is none of all, last, branch" in stage.script.complaints
    assert seen == [(all_of_them, last)]


def test_a_branch_that_has_only_rung_was_not_all_local() -> None:
    seen: list[tuple[int, int]] = []

    def route(request: Request) -> None:
        request.t_on_failure("over")
        relay(request)

    def failure_route_over(request: Request) -> None:
        seen.append((request.t_local_replied("all"), request.t_local_replied("last")))

    with Stage(route, failure_route_over=failure_route_over) as stage:
        (sent,) = stage.invite()
        stage.answer(sent, "180 Ringing")
        stage.script.core.refuse(sent[0], sent[1], sent[2])
    assert seen == [(-1, 1)]


def test_local_replied_is_for_failure_routes() -> None:
    with Stage(lambda request: seen.append(request.t_local_replied("all"))) as stage:
        seen: list[int] = []
        stage.invite()
    assert seen == [-1]


# -- answers


def answers(route: Stage) -> list[Sip]:
    _, sent = route.script.route(route._route, route.script.message("INVITE"))
    return upstream(sent)


def test_headers_of_answers_within_a_transaction() -> None:
    def route(request: Request) -> None:
        request.append_to_reply("X-All: 1\r\n")
        request.t_newtran()
        request.t_reply(180, "Ringing")
        request.t_reply(486, "Busy", "X-One: 2\r\n")

    with Stage(route) as stage:
        trying, ringing, busy = answers(stage)
    assert (trying.status, trying.all("X-All")) == (100, [])
    assert (ringing.status, ringing.all("X-All")) == (180, [b"1"])
    assert (busy.status, busy.all("X-All"), busy.all("X-One")) == (486, [b"1"], [b"2"])


@pytest.mark.parametrize("body", ["v=0\r\n", b"v=0\r\n"])
def test_an_answer_with_a_body(body: str | bytes) -> None:
    def route(request: Request) -> None:
        request.append_to_reply("Content-Type: application/sdp\r\n")
        assert request.t_reply_with_body(183, "Media", body) == 1
        assert request.t_reply(486, "Busy") == 1

    with Stage(route) as stage:
        _, media, busy = answers(stage)
    assert (media.status, media.body, media.one("Content-Length")) == (183, b"v=0\r\n", b"5")
    assert media.one("Content-Type") == b"application/sdp"
    assert (busy.status, busy.body, busy.one("Content-Length")) == (486, b"", b"0")


def test_an_answer_that_is_too_large_for_a_datagram() -> None:
    results: list[int] = []

    def route(request: Request) -> None:
        results.append(request.t_reply_with_body(183, "Media", "x" * 66_000))
        request.t_reply(486, "Busy")

    with Stage(route) as stage:
        assert [one.status for one in answers(stage)] == [100, 486]
    assert results == [-1]


# -- where t_relay sends to


@pytest.mark.parametrize(
    ("proxy", "place"),
    [
        ("192.0.2.44", ("192.0.2.44", 5060)),
        ("192.0.2.44:5066", ("192.0.2.44", 5066)),
        ("udp:192.0.2.44:5066", ("192.0.2.44", 5066)),
        ("sip:192.0.2.44", ("192.0.2.44", 5060)),
    ],
)
def test_a_proxy_is_where_to_unless_a_destination_is_selected(
    proxy: str, place: tuple[str, int]
) -> None:
    def sent_by(script: Script, is_selected: bool) -> Sent:
        def route(request: Request) -> None:
            if is_selected:
                request.ds_select_dst("1", "8")
            assert request.t_relay(proxy, "0x02") == 1

        _, sent = script.route(route, script.message("INVITE"))
        (only,) = requests(sent)
        return only

    with Script({1: [ONE]}, routes={}) as script:
        assert sent_by(script, False)[1:3] == place
        assert hosts([sent_by(script, True)]) == ["192.0.2.1"]
