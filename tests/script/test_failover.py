"""ds_next_dst, ds_next_domain, ds_mark_dst, and the sockets of what they choose.

Documentation 1.4.3 to 1.4.6; decisions 10, 14; semantics 3.3 to 3.6.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ds_farm.dispatch.model import Destination, State
from ds_farm.script._request import Request
from tests.script.lists import SOCKETS, A, B, C, X, Y, two_partitions
from tests.support.message import Sip
from tests.support.request import Script, dest


@pytest.fixture
def script() -> Iterator[Script]:
    with two_partitions() as made:
        yield made


# -- next


def test_next_without_a_selection_fails(script: Script) -> None:
    found = script.run(lambda r: [r.ds_next_dst(), r.ds_next_domain(), r.ds_next_dst("part2")])
    assert found == [-1, -1, -1]
    assert script.run(lambda r: r.ds_next_dst("nosuch")) == -1


def test_next_domain(script: Script) -> None:
    def route(request: Request) -> list[object]:
        found: list[object] = [request.ds_select_domain("1", "8", "f"), request.ru]
        while result := request.ds_next_domain():
            found += [result, request.ru]
        return [*found, request.du]

    uris = [1, "sip:u@192.0.2.1", 1, "sip:u@192.0.2.2", 1, "sip:u@192.0.2.3", None]
    assert script.run(route, script.message(uri="sip:u@example.com:7000")) == uris


def test_next_domain_with_avps_read_and_a_uri_of_the_script(script: Script) -> None:
    def route(request: Request) -> list[object]:
        request.ds_select_domain("1", "8", "f")
        request.avp.put_all("ds_dst_failover", [A, "sip:gw@203.0.113.9:5099;x=y", C])
        found: list[object] = []
        while request.ds_next_domain():
            found.append(request.ru)
        return found

    assert script.run(route, script.message(uri="sip:u@example.com")) == [
        "sip:u@203.0.113.9:5099",
        "sip:u@192.0.2.3",
    ]


def test_next_of_the_other_kind_just_works(script: Script) -> None:
    """Semantics 3.5: kind and flags are not remembered."""

    def route(request: Request) -> list[object]:
        request.ds_select_dst("1", "8", "f")
        return [request.ds_next_domain(), request.ru, request.ds_next_dst(), request.du]

    assert script.run(route) == [1, "sip:service@192.0.2.2", 1, C]


def test_serial_forking_sends_to_the_next(script: Script) -> None:
    def route(request: Request) -> None:
        request.ds_select_dst("1", "8", "f")
        request.ds_next_dst()
        request.forward()

    _, sent = script.route(route)
    assert [(ip, port) for _, ip, port, _ in sent] == [("192.0.2.2", 5060)]
    counters = script.segment.counters(0, script.slot(B))
    assert (counters.failovers, counters.requests, counters.selected) == (1, 1, 0)


def test_a_destination_that_died_between_is_passed_over(script: Script) -> None:
    def route(request: Request) -> str | None:
        request.ds_select_dst("1", "8", "f")
        script.set_state(B, State.INACTIVE)
        request.ds_next_dst()
        return request.du

    assert script.run(route) == C


def test_one_that_came_back_between_is_used(script: Script) -> None:
    script.set_state(B, State.INACTIVE)

    def route(request: Request) -> str | None:
        request.ds_select_dst("1", "8", "f")
        script.set_state(B, State.ACTIVE)
        request.ds_next_dst()
        return request.du

    assert script.run(route) == B


@pytest.mark.parametrize("read", [False, True], ids=["unread", "AVPs read"])
def test_a_reload_between_selection_and_next(script: Script, read: bool) -> None:
    def route(request: Request) -> list[object]:
        request.ds_select_dst("1", "8", "f")
        if read:
            request.avp["other"] = 1
        rows: list[str | Destination] = [dest(C, attrs="new"), B]
        script.publish({1: rows}, request)
        found: list[object] = []
        while request.ds_next_dst():
            found.append(request.du)
        return [*found, request.ds_mark_dst("i")]

    assert script.run(route) == [B, C, 1]
    assert script.state(C) is State.INACTIVE
    assert script.chosen("1", "8") == B


# -- marking


@pytest.mark.parametrize(
    ("argument", "state"),
    [
        ((), State.INACTIVE),
        (("i",), State.INACTIVE),
        (("I",), State.INACTIVE),
        (("0",), State.INACTIVE),
        ((0,), State.INACTIVE),
        (("",), None),
        (("a",), State.ACTIVE),
        (("A",), State.ACTIVE),
        (("1",), State.ACTIVE),
        (("", "i"), State.INACTIVE),
        (("default", "I"), State.INACTIVE),
        ((" default ", " a "), State.ACTIVE),
        (("active",), None),
        (("ia",), None),
        (("3",), None),
    ],
    ids=str,
)
@pytest.mark.parametrize("flags", ["f", "", "fD"])
def test_mark_dst_forms(
    script: Script, argument: tuple[str | int, ...], state: State | None, flags: str
) -> None:
    def route(request: Request) -> int:
        request.ds_select_dst("1", "8", flags)
        return request.ds_mark_dst(*argument)

    assert script.run(route) == (-1 if state is None else 1)
    assert script.state(A) is (state or State.ACTIVE)
    assert bool(script.complaints) == (state is None)


@pytest.mark.parametrize("letter", ["p", "P", "2", 2])
def test_decision_14_p_counts_towards_the_threshold(script: Script, letter: str | int) -> None:
    def route(request: Request) -> int:
        request.ds_select_dst("1", "8")
        return request.ds_mark_dst(letter)

    for expected in (State.ACTIVE, State.ACTIVE, State.PROBING):
        assert script.run(route) == 1
        assert script.state(A) is expected
    assert script.chosen("1", "8") == B, "probing destinations are not selected"


def test_decision_14_a_success_between_resets_the_count(script: Script) -> None:
    for letter in ("p", "p", "a", "p", "p"):
        script.run(lambda r, letter=letter: (r.ds_select_dst("1", "8"), r.ds_mark_dst(letter)))  # type: ignore[misc]
    assert script.state(A) is State.ACTIVE


def test_decision_14_p_on_an_inactive_one_is_ignored(script: Script) -> None:
    def route(request: Request) -> int:
        request.ds_select_dst("1", "8")
        script.set_state(A, State.INACTIVE)
        return request.ds_mark_dst("p")

    assert script.run(route) == 1
    assert script.state(A) is State.INACTIVE


def test_mark_dst_in_a_partition(script: Script) -> None:
    def route(request: Request) -> list[int]:
        request.ds_select_dst("part2 : 1", "8")
        found = [request.ds_mark_dst(), request.ds_mark_dst("nosuch", "i")]
        return [*found, request.ds_mark_dst("part2", "i")]

    assert script.run(route) == [-1, -1, 1]
    assert script.state(Y, 1, "part2") is State.INACTIVE
    assert script.state(Y, 2) is State.ACTIVE


@pytest.mark.parametrize("read", [False, True], ids=["unread", "AVPs read"])
def test_decision_10_marking_after_moving_into_the_second_set(script: Script, read: bool) -> None:
    def route(request: Request) -> list[int]:
        request.ds_select_dst("1,2", "8,8", "f M 2,f")
        found = []
        for _ in range(4):
            if read:
                assert request.avp["ds_dst_failover"] == request.du
            found.append(request.ds_mark_dst())
            request.ds_next_dst()
        return found

    assert script.run(route) == [1, 1, 1, 1]
    assert [script.state(uri) for uri in (A, B, C)] == [
        State.INACTIVE,
        State.INACTIVE,
        State.ACTIVE,
    ]
    assert [script.state(uri, 2) for uri in (X, Y)] == [State.INACTIVE] * 2


def test_mark_dst_after_a_selection_that_failed(script: Script) -> None:
    def route(request: Request) -> list[int]:
        request.ds_select_dst("1", "8")
        return [request.ds_select_dst("17", "8"), request.ds_mark_dst()]

    assert script.run(route) == [-1, -1]
    assert script.state(A) is State.ACTIVE


def test_mark_dst_takes_two_arguments_at_most(script: Script) -> None:
    with pytest.raises(TypeError, match="a partition and a state at most"):
        script.run(lambda request: request.ds_mark_dst("a", "b", "c"))


# -- sockets


@pytest.mark.parametrize(
    ("socket", "used"),
    [
        ("", 0),
        ("udp:127.0.0.2:5070", 1),
        ("UDP:127.0.0.2:5070", 1),
        ("127.0.0.1:5080", 2),
        ("127.0.0.2", 1),  # without port any of that host
        ("udp:127.0.0.2", 1),
        ("sip.example.net:5070", 1),  # as advertised
        ("127.0.0.1:5999", 0),  # none of ours: not used
        ("tcp:127.0.0.2:5070", 0),
        ("garbage:::", 0),
    ],
)
def test_the_socket_column_picks_the_sending_socket(script: Script, socket: str, used: int) -> None:
    script.publish({1: [dest(A, socket=socket)]})

    def route(request: Request) -> None:
        request.ds_select_dst("1", "8")
        request.forward()

    ((datagram, _, _, number),) = script.route(route)[1]
    assert number == used
    _, _, host, port = SOCKETS[used]
    assert f"SIP/2.0/UDP {host}:{port};branch".encode() in Sip.read(datagram).vias[0]
    assert bool(script.complaints) == (socket != "" and used == 0)


@pytest.mark.parametrize("read", [False, True], ids=["unread", "AVPs read"])
def test_the_socket_goes_with_the_destination(script: Script, read: bool) -> None:
    for steps, used in ((0, 1), (1, 0), (2, 2)):

        def route(request: Request, steps: int = steps) -> None:
            request.ds_select_dst("1", "8", "f")
            for _ in range(steps):
                if read:
                    assert request.avp.all("ds_sock_failover")
                request.ds_next_dst()
            request.forward()

        assert [socket for _, _, _, socket in script.route(route)[1]] == [used]


@pytest.mark.parametrize(("socket", "used"), [("127.0.0.1:5080", 2), ("", 0)])
def test_a_destination_of_the_script_has_the_socket_of_its_avp(
    script: Script, socket: str, used: int
) -> None:
    """Not the one of the destination before it, which is 127.0.0.2:5070."""

    def route(request: Request) -> None:
        request.ds_select_dst("1", "8", "f")
        request.avp.put_all("ds_dst_failover", [A, "sip:203.0.113.9"])
        request.avp.put_all("ds_sock_failover", ["", socket])
        assert request.ds_next_dst()
        request.forward()

    ((_, ip, _, number),) = script.route(route)[1]
    assert (ip, number) == ("203.0.113.9", used)
