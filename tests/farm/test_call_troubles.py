"""Calls that lose messages, race, fork and change, through a stateful farm that record-routes."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.farm.test_calls import QUICK, nothing_is_left
from tests.support import counts
from tests.support.farm import Farm
from tests.support.message import Draft, Sip, reply, tag
from tests.support.net import own_host, refusing
from tests.support.peer import Peer
from tests.support.sipp import Callee, Calls, variant
from tests.support.uas import Uas, answering
from tests.support.wait import until

CALLS = 40
RATE = 120

MODULE = """
def request_route(request):
    if request.has_totag():
        if not request.loose_route():
            request.send_reply(404, "Not here")
            return
        request.t_relay()
    elif request.ds_select_dst("1", "8", "f"):
        request.record_route()
        request.t_on_failure("next")
        request.t_relay()
    else:
        request.send_reply(500, "Unable to route")


def failure_route_next(request):
    if request.t_was_cancelled() or not request.t_check_status("408|5[0-9][0-9]"):
        return
    if request.ds_next_dst():
        request.t_on_failure("next")
        request.t_relay()
"""

PATIENT = {"tm": {"T1_timer": 2000}}
"""For those that count what arrives: a stall of half a second has nobody send again."""

RECORD_ROUTE = ("[last_CSeq:]\nContact", "[last_CSeq:]\n[last_Record-Route:]\nContact")
ROUTES = ("branch=[branch]\nFrom", "branch=[branch]\n[routes]\nFrom")


def caller_scenario(directory: Path, name: str, scenario: str, *changes: tuple[str, str]) -> str:
    """A caller of the suite that follows the route set; the INVITE has none."""
    text_of_invite = ("branch=[branch]\nFrom", "branch=[branch] \nFrom")
    return variant(directory, name, scenario, text_of_invite, ROUTES, ROUTES, *changes)


def callee_scenario(directory: Path, name: str, scenario: str, *changes: tuple[str, str]) -> str:
    ringing = ("[last_CSeq:]\nContact", "[last_CSeq:] \nContact")
    return variant(directory, name, scenario, ringing, RECORD_ROUTE, *changes)


def run(
    directory: Path, stack: ExitStack, children: int, callee: str, caller: str
) -> tuple[Farm, Callee]:
    """Calls by these scenarios, all of them good; the farm goes on."""
    server = stack.enter_context(Callee(directory, "callee", scenario=callee))
    farm = stack.enter_context(Farm(directory, [server.uri], children=children, module=MODULE))
    with Calls(directory, caller, farm.sip, CALLS, RATE) as calls:
        result = calls.wait()
        assert (result.successful, result.failed) == (CALLS, 0), calls.report() + farm.log()
    nothing_is_left(farm)
    return farm, server


def test_dialog_follows_record_route(tmp_path: Path, stack: ExitStack, children: int) -> None:
    """ACK, re-INVITE, ACK and BYE come by us, and are selected for no more."""
    farm, callee = run(tmp_path, stack, children, "dialog_uas.xml", "dialog_uac.xml")
    assert callee.stop().successful == CALLS
    seen = counts.of(farm)
    assert sum(seen.selected.values()) == CALLS
    assert seen.received >= 5 * CALLS  # INVITE, ACK, INVITE, ACK, BYE


def test_invite_that_comes_twice(tmp_path: Path, stack: ExitStack, children: int) -> None:
    """RFC 3261 17.2.1: the second one is absorbed, and answered by what was answered last."""
    callee = stack.enter_context(Uas(answering("180 Ringing")))
    caller = stack.enter_context(Peer())
    settings = PATIENT | {"farm": {"stop_timeout_s": 0.5}}  # its calls ring for ever
    farm = stack.enter_context(
        Farm(tmp_path, [callee.uri], children=children, module=MODULE, settings=settings)
    )
    for number in range(20):
        via = f"SIP/2.0/UDP {caller.sent_by};branch=z9hG4bKtwice{number}"
        invite = Draft("INVITE", via=via, key=f"twice{number}").bytes()
        statuses = []
        caller.send(invite, farm.sip)
        while 180 not in statuses:
            statuses.append(Sip.read(caller.receive()).status)
        caller.send(invite, farm.sip)
        assert Sip.read(caller.receive()).status == 180
    assert len(callee.requests()) == 20
    assert all(len(arrivals) == 1 for arrivals in callee.requests().values())
    assert sum(counts.of(farm).selected.values()) == 20
    assert farm.metrics().total("ds_farm_worker_repeated_requests_total") == 20


def test_200_that_is_lost(tmp_path: Path, stack: ExitStack, children: int) -> None:
    """The callee sends it again until it is acknowledged (13.3.1.4), and we pass it on."""
    callee = callee_scenario(
        tmp_path,
        "callee.xml",
        "call_uas.xml",
        ('<send retrans="500">', '<send retrans="200" lost="15">'),
    )
    caller = caller_scenario(tmp_path, "caller.xml", "call_uac.xml")
    _, server = run(tmp_path, stack, children, callee, caller)
    assert server.stop().successful == CALLS


def test_ack_that_is_lost(tmp_path: Path, stack: ExitStack, children: int) -> None:
    """The callee's next 200 comes through, and so does the ACK that the caller sends then: of six
    in a call, each lost by chance, all are once in a million."""
    callee = callee_scenario(
        tmp_path, "callee.xml", "call_uas.xml", ('<send retrans="500">', '<send retrans="100">')
    )
    caller = caller_scenario(
        tmp_path,
        "caller.xml",
        "call_uac.xml",
        ("<send>", '<send lost="10">'),
        ('<pause milliseconds="50"/>', '<pause milliseconds="3500"/>'),
    )
    _, server = run(tmp_path, stack, children, callee, caller)
    result = server.stop()
    assert (result.successful, result.failed) == (CALLS, 0)


def test_cancel_that_comes_too_late(tmp_path: Path, stack: ExitStack, children: int) -> None:
    """The callee has answered 200 when it hears of it: the call stands (9.1, 16.10)."""
    callee = variant(
        tmp_path,
        "callee.xml",
        "late_cancel_uas.xml",
        ("CSeq: 1 INVITE\nContact", "CSeq: 1 INVITE\nRecord-Route:[$3]\nContact"),
        (
            'assign_to="2"/>',
            'assign_to="2"/>\n      <ereg regexp=".*" search_in="hdr" header="Record-Route:"'
            ' assign_to="3"/>',
        ),
    )
    caller = variant(
        tmp_path,
        "caller.xml",
        "late_cancel_uac.xml",
        ("branch=[branch]\nFrom", "branch=[branch] \nFrom"),
        ROUTES,
        ROUTES,
    )
    _, server = run(tmp_path, stack, children, callee, caller)
    assert server.stop().successful == CALLS


def test_failover_to_the_third(tmp_path: Path, stack: ExitStack, children: int) -> None:
    """Silent, 503, refused, then good: one clean call for the caller."""
    silent = stack.enter_context(Peer())
    busy = stack.enter_context(Callee(tmp_path, "busy", status=503))
    refused = f"sip:{stack.enter_context(refusing(own_host()))}"
    callee = callee_scenario(tmp_path, "callee.xml", "call_uas.xml")
    good = stack.enter_context(Callee(tmp_path, "good", scenario=callee))
    rows = [f"sip:{silent.sent_by}", busy.uri, refused, good.uri]
    farm = Farm(tmp_path, rows, children=children, module=MODULE, settings=QUICK)
    caller = caller_scenario(tmp_path, "caller.xml", "call_uac.xml")
    with farm, Calls(tmp_path, caller, farm.sip, CALLS, RATE) as calls:
        result = calls.wait()
        assert (result.successful, result.failed) == (CALLS, 0), calls.report() + farm.log()
        nothing_is_left(farm)
        assert counts.of(farm).requests == dict.fromkeys(rows, CALLS)
        assert good.stop().successful == CALLS


def test_every_200_of_a_fork_goes_upstream(tmp_path: Path, stack: ExitStack, children: int) -> None:
    """RFC 3261 16.7 step 5: also the second one, of another callee behind the destination."""
    callee = stack.enter_context(Peer())
    caller = stack.enter_context(Peer())
    rows = [f"sip:{callee.sent_by}"]
    with Farm(tmp_path, rows, children=children, module=MODULE, settings=PATIENT) as farm:
        via = f"SIP/2.0/UDP {caller.sent_by};branch=z9hG4bKfork"
        caller.send(Draft("INVITE", via=via, key="fork").bytes(), farm.sip)
        invite, source = callee.receive_from()
        for to_tag in ("one", "two", "one"):
            callee.send(reply(invite, "200 OK", to_tag), source)
        answers: list[Sip] = []

        def all_there() -> bool:
            answers.extend(Sip.read(data) for data in caller.pending())
            return len([each for each in answers if each.status == 200]) == 3

        until(all_there, "three times 200")
        tags = [tag(each.one("To")) for each in answers if each.status == 200]
        assert sorted(tags, key=str) == [b"one", b"one", b"two"]
        # The only branch has succeeded.
        assert not [data for data in callee.pending() if data.startswith(b"CANCEL")]
