"""Branch routes and parallel branches; arguments and answers of t_relay."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from ds_farm.script._request import Request
from tests.proxy.stage import ONE, THREE, TWO, Stage, hosts, relay, requests, upstream
from tests.support.message import Sip

# -- branch routes and parallel branches


def test_branch_route_changes_its_branch_alone() -> None:
    def route(request: Request) -> None:
        request.t_on_branch("each")
        request.t_on_failure("next")
        relay(request)

    def branch_route_each(request: Request) -> None:
        request.append_hf(f"X-Branch: {request.du}\r\n")

    def failure_route_next(request: Request) -> None:
        request.ds_next_dst()
        request.t_relay()

    with Stage(
        route, branch_route_each=branch_route_each, failure_route_next=failure_route_next
    ) as stage:
        (first,) = stage.invite()
        assert Sip.read(first[0]).one("X-Branch") == ONE.encode()
        (second,) = requests(stage.answer(first, "503 No"))
        assert Sip.read(second[0]).one("X-Branch") == TWO.encode()


def test_branches_go_out_together_and_the_first_200_wins() -> None:
    def route(request: Request) -> None:
        request.ds_select_dst("1", "8", "f")
        request.append_branch()
        request.append_branch("sip:bob@192.0.2.77:5099")
        request.ds_next_dst()
        request.t_relay()

    with Stage(route) as stage:
        sent = stage.invite()
        assert hosts(sent) == ["192.0.2.2", "192.0.2.1", "192.0.2.77"]
        assert sent[2][0].startswith(b"INVITE sip:bob@192.0.2.77:5099 SIP/2.0")
        branches = {re.search(rb"branch=(\S+)", each[0]).group(1) for each in sent}  # type: ignore[union-attr]
        assert len(branches) == 3
        stage.answer(sent[0], "180 Ringing")
        stage.answer(sent[1], "180 Ringing")
        stage.answer(sent[2], "486 Busy Here")
        after = stage.answer(sent[1], "200 OK")
        assert [one.status for one in upstream(after)] == [200]
        assert hosts(requests(after, b"CANCEL")) == ["192.0.2.2"]


def test_best_of_several_failures_goes_upstream() -> None:
    """RFC 3261 16.7 step 6."""

    def route(request: Request) -> None:
        request.append_branch(TWO)
        request.append_branch(THREE)
        relay(request)

    with Stage(route) as stage:
        first, second, third = stage.invite()
        assert upstream(stage.answer(first, "503 No")) == []
        assert upstream(stage.answer(second, "404 Not Found")) == []
        (out,) = upstream(stage.answer(third, "500 Broken"))
        assert out.status == 404


def test_branch_that_its_route_drops() -> None:
    def route(request: Request) -> None:
        request.append_branch(TWO)
        request.t_on_branch("each")
        relay(request)

    def branch_route_each(request: Request) -> None:
        if request.du == ONE:
            request.drop()

    with Stage(route, branch_route_each=branch_route_each) as stage:
        assert hosts(stage.invite()) == ["192.0.2.2"]


def test_all_branches_dropped_is_an_error() -> None:
    def route(request: Request) -> None:
        request.t_on_branch("each")
        request.ds_select_dst("1", "8")
        assert request.t_relay() == -1

    with Stage(route, branch_route_each=lambda request: request.drop()) as stage:
        _, sent = stage.script.route(stage._route, stage.script.message("INVITE"))
        assert [one.status for one in upstream(sent)] == [100, 500]


def test_append_branch_refuses_what_is_no_uri() -> None:
    with Stage(lambda request: None) as stage:
        assert stage.script.run(lambda r: r.append_branch("no uri")) == -1


# -- t_relay's arguments, answers


@pytest.mark.parametrize("proxy", ["udp:192.0.2.44:5066", "sip:192.0.2.44:5066"])
def test_t_relay_to_a_proxy(proxy: str) -> None:
    with Stage(lambda request: request.t_relay(proxy)) as stage:
        assert [each[1:3] for each in stage.invite()] == [("192.0.2.44", 5066)]


@pytest.mark.parametrize(
    ("arguments", "statuses"),
    [((), [100, 478]), (("0x02",), [100, 500]), (("no-reply-on-error",), [100, 500])],
)
def test_t_relay_leaves_the_answer_to_the_script(
    arguments: tuple[str, ...], statuses: list[int]
) -> None:
    def route(request: Request) -> None:
        if not request.t_relay(*arguments):
            request.sl_reply_error()

    with Stage(route) as stage:
        _, sent = stage.script.route(route, stage.script.message("INVITE", "sip:x@no.literal"))
        assert [one.status for one in upstream(sent)] == statuses


def test_sl_send_reply_is_send_reply() -> None:
    with Stage(lambda request: None) as stage:
        result, sent = stage.script.route(lambda r: r.sl_send_reply("404", "Not here"))
        assert (result, Sip.read(sent[0][0]).status) == (1, 404)


def test_routes_without_a_function_of_that_name() -> None:
    with Stage(lambda request: None) as stage:
        asked: Mapping[str, int] = stage.script.run(
            lambda r: {
                "failure": r.t_on_failure("none"),
                "reply": r.t_on_reply("none"),
                "branch": r.t_on_branch("none"),
            }
        )
        assert set(asked.values()) == {-1}


def test_xlog_fills_in_variables(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "ds_farm.routes"), Stage(lambda request: None) as stage:
        stage.script.run(lambda r: r.xlog("L_ERR", "$rm of $si\n") and r.xlog("100% $rU"))
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("ERROR", "OPTIONS of 198.51.100.7"),
        ("INFO", "100% service"),
    ]


def test_reply_routes_of_branches_run_before_the_one_of_the_call() -> None:
    seen: list[tuple[str, int]] = []

    def route(request: Request) -> None:
        request.append_branch(TWO)
        request.append_branch(THREE)
        request.t_on_branch("each")
        request.t_on_reply("all")
        request.setflag("call")
        relay(request)

    def branch_route_each(request: Request) -> None:
        place = request.du or request.ru
        request.setflag(place[-1])
        if place != THREE:
            request.t_on_reply("one" if place == ONE else "two")

    def onreply_route_one(response: Request) -> None:
        seen.append(("one", response.rs))
        assert (response.isflagset("1"), response.isflagset("call")) == (1, 1)
        response.append_hf("X-One: 1\r\n")

    def onreply_route_two(response: Request) -> None:
        seen.append(("two", response.rs))
        response.drop()

    def onreply_route_all(response: Request) -> None:
        seen.append(("all", response.rs))
        response.append_hf("X-All: 1\r\n")

    routes = {
        "branch_route_each": branch_route_each,
        "onreply_route_one": onreply_route_one,
        "onreply_route_two": onreply_route_two,
        "onreply_route_all": onreply_route_all,
    }
    with Stage(route, **routes) as stage:
        to = {sent[1][-1]: sent for sent in stage.invite()}
        (ringing,) = upstream(stage.answer(to["1"], "180 Ringing"))
        assert (ringing.all("X-One"), ringing.all("X-All")) == ([b"1"], [b"1"])
        assert upstream(stage.answer(to["2"], "183 Media")) == []
        (ringing,) = upstream(stage.answer(to["3"], "180 Ringing"))
        assert (ringing.all("X-One"), ringing.all("X-All")) == ([], [b"1"])
        stage.answer(to["1"], "404 No")
        stage.answer(to["3"], "404 No")
        (last,) = upstream(stage.answer(to["2"], "486 Busy"))
    assert seen == [
        *(("one", 180), ("all", 180), ("two", 183), ("all", 183), ("all", 180)),
        *(("one", 404), ("all", 404), ("all", 404), ("two", 486), ("all", 486)),
    ]
    assert last.status in (404, 486)


def test_a_branch_with_a_uri_has_the_destination_that_is_set() -> None:
    def route(request: Request) -> None:
        request.du = "sip:192.0.2.9:5064"
        request.append_branch("sip:two@example.com")
        request.append_branch()
        assert request.du is None
        request.ru = "sip:one@192.0.2.8"
        request.t_on_failure("over")
        request.t_relay()

    def failure_route_over(request: Request) -> None:
        uris.append(request.ru)

    uris: list[str] = []
    with Stage(route, failure_route_over=failure_route_over) as stage:
        sent = stage.invite()
        assert [each[1:3] for each in sent] == [
            *(("192.0.2.8", 5060), ("192.0.2.9", 5064), ("192.0.2.9", 5064)),
        ]
        assert [each[0].split()[1] for each in sent[:2]] == [
            *(b"sip:one@192.0.2.8", b"sip:two@example.com"),
        ]
        for each in sent:
            stage.answer(each, "404 No")
    assert uris == ["sip:one@192.0.2.8"]


def test_record_route_of_a_branch_route_is_of_that_branch() -> None:
    def route(request: Request) -> None:
        request.append_branch(TWO)
        request.t_on_branch("first")
        relay(request)

    def branch_route_first(request: Request) -> None:
        if request.ru != TWO:
            request.record_route(";x=y")

    with Stage(route, branch_route_first=branch_route_first) as stage:
        first, second = (Sip.read(each[0]) for each in stage.invite())
    assert len(first.all("Record-Route")) == 1
    assert second.all("Record-Route") == []


def test_what_a_branch_route_changes_is_not_in_the_next_attempt() -> None:
    def route(request: Request) -> None:
        request.append_hf("X-All: 1\r\n")
        request.t_on_branch("first")
        request.t_on_failure("next")
        relay(request)

    def branch_route_first(request: Request) -> None:
        request.append_hf("X-Branch: 1\r\n")
        request.record_route()
        request.t_on_reply("one")

    def failure_route_next(request: Request) -> None:
        request.t_on_branch(lambda each: None)
        request.ds_next_dst()
        request.t_relay()

    routes = {
        "branch_route_first": branch_route_first,
        "failure_route_next": failure_route_next,
        "onreply_route_one": lambda response: None,
    }
    with Stage(route, **routes) as stage:
        (first,) = stage.invite()
        (second,) = requests(stage.answer(first, "503 No"))
    names = ("X-All", "X-Branch", "Record-Route")
    assert [len(Sip.read(first[0]).all(name)) for name in names] == [1, 1, 1]
    assert [len(Sip.read(second[0]).all(name)) for name in names] == [1, 0, 0]
