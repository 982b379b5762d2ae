"""Several addresses of one destination: one that is dead gives way to the next (RFC 3263 4.3)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ds_farm.dispatch.model import Address, Destination, State
from ds_farm.script._request import Request
from tests.proxy.stage import hosts, requests, upstream
from tests.support.message import reply
from tests.support.request import Script, Sent

URI, OTHER = "sip:gw.example", "sip:192.0.2.9"
FIRST, SECOND, THIRD = (Address(f"192.0.2.{number}", 5060) for number in (1, 2, 3))
MS = 1_000_000


def destinations(*addresses: Address) -> list[Destination]:
    return [
        Destination(URI, addresses=addresses),
        Destination(OTHER, addresses=(Address("192.0.2.9", 5060),)),
    ]


def relay(request: Request) -> None:
    request.ds_select_dst("1", "8")
    request.t_relay()


@pytest.fixture
def script() -> Iterator[Script]:
    with Script({1: destinations(FIRST, SECOND, THIRD)}, routes={}) as made:
        yield made


def invite(script: Script) -> Sent:
    """The request that a call makes go out."""
    (sent,) = requests(script.route(relay, script.message("INVITE"))[1])
    return sent


def in_use(script: Script) -> int:
    return script.registry.address(script.slot(URI))


def test_a_refusal_makes_the_next_one_used_and_around(script: Script) -> None:
    seen = []
    for _ in range(4):
        sent = invite(script)
        seen.append(sent[1])
        assert len(upstream(script.core.refuse(sent[0], sent[1], sent[2]))) == 1
    assert seen == ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1"]


def test_calls_that_find_the_same_one_dead_go_on_once(script: Script) -> None:
    calls = [invite(script) for _ in range(5)]
    assert hosts(calls) == ["192.0.2.1"] * 5
    for sent in calls:
        script.core.refuse(sent[0], sent[1], sent[2])
    assert in_use(script) == 1
    assert invite(script)[1] == "192.0.2.2"


def test_silence_is_a_dead_address_and_an_answer_is_none(script: Script) -> None:
    sent = invite(script)
    script.handle(reply(sent[0], "100 Trying"), (sent[1], sent[2]))
    script.core.pass_time(200_000 * MS)
    assert in_use(script) == 0, "it had answered"
    busy = invite(script)
    script.handle(reply(busy[0], "503 Service Unavailable"), (busy[1], busy[2]))
    assert in_use(script) == 0, "503 is an answer"
    assert invite(script)[1] == "192.0.2.1"
    script.core.pass_time(400_000 * MS)
    assert in_use(script) == 1
    assert invite(script)[1] == "192.0.2.2"


def test_destinations_do_not_move_each_other(script: Script) -> None:
    def second(request: Request) -> None:
        request.du = OTHER
        request.t_relay()

    (sent,) = requests(script.route(second, script.message("INVITE"))[1])
    script.core.refuse(sent[0], sent[1], sent[2])
    assert in_use(script) == 0


def test_other_addresses_begin_anew_and_the_same_go_on(script: Script) -> None:
    script.registry.leave_address(script.slot(URI), 0)
    script.publish({1: destinations(FIRST, SECOND, THIRD)})
    assert invite(script)[1] == "192.0.2.2"
    script.publish({1: destinations(THIRD, FIRST)})
    assert (in_use(script), invite(script)[1]) == (0, "192.0.2.3")


def test_who_makes_it_active_begins_with_the_first(script: Script) -> None:
    slot = script.slot(URI)
    script.registry.leave_address(slot, 0)
    script.registry.leave_address(slot, 0)  # somebody has found out before
    assert in_use(script) == 1
    script.set_state(URI, State.PROBING)
    assert in_use(script) == 1
    script.set_state(URI, State.ACTIVE)
    assert in_use(script) == 0
