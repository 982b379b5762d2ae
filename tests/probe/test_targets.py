"""Who is probed, and from which socket (semantics 5, decisions 17, 18, 23)."""

from __future__ import annotations

import pytest

from ds_farm.dispatch.model import Address, State
from ds_farm.dispatch.table import DestinationRecord, SetRecord, Table
from ds_farm.probe.targets import Place, Sockets, Way, places

ACTIVE, INACTIVE, PROBING = State.ACTIVE, State.INACTIVE, State.PROBING
OURS = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
NAMES = {"udp:192.0.2.1:5060": 0, "udp:192.0.2.2:5060": 1, "udp:[2001:db8::1]:5060": 2}


def record(
    probe_mode: int = 0, socket: str = "", addresses: tuple[str, ...] = ("10.0.0.1", "10.0.0.2")
) -> DestinationRecord:
    where = tuple(Address(ip, 5070) for ip in addresses)
    return DestinationRecord("sip:a", 4, 1, 0, "", socket, "", probe_mode, where)


def place(one: DestinationRecord, mode: int = 0, preferred: str = "") -> Place:
    table = Table(1, (SetRecord("default", 1, 9, (one,)),))
    sockets = Sockets(OURS, lambda text: NAMES.get(text, -1), preferred)
    (found,) = places(table, sockets, mode)
    return found


@pytest.mark.parametrize(
    ("mode", "probe_mode", "probed"),
    [
        (0, 0, {PROBING}),
        (1, 0, {PROBING, ACTIVE}),
        (0, 1, {PROBING, ACTIVE}),
        (1, 1, {PROBING, ACTIVE}),
        (0, 2, {PROBING}),  # semantics 1.9: other values are ignored
    ],
)
def test_who_is_probed(mode: int, probe_mode: int, probed: set[State]) -> None:
    found = place(record(probe_mode), mode)
    assert {state for state in State if found.is_probed(state)} == probed


def test_the_first_address_is_probed_where_calls_go_too() -> None:
    found = place(record())
    assert (found.slot, found.set_slot, found.uri) == (4, 9, "sip:a")
    assert found.way(0) == Way(("10.0.0.1", 5070), 0)


def test_the_next_address_after_a_dead_one_and_around() -> None:
    found = place(record())
    targets = [way.target[0] for number in (0, 1, 2, 7) if (way := found.way(number))]
    assert targets == ["10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.2"]


def test_without_an_address_there_is_no_way() -> None:
    found = place(record(addresses=()))
    assert found.way(0) is found.way(5) is None


@pytest.mark.parametrize(
    ("own", "preferred", "address", "listener"),
    [
        ("", "", "10.0.0.1", 0),
        ("", "udp:192.0.2.2:5060", "10.0.0.1", 1),
        ("udp:192.0.2.1:5060", "udp:192.0.2.2:5060", "10.0.0.1", 0),
        ("", "", "2001:db8::9", 2),
        # A socket that cannot send there is passed over.
        ("udp:192.0.2.1:5060", "udp:192.0.2.2:5060", "2001:db8::9", 2),
        ("udp:[2001:db8::1]:5060", "udp:192.0.2.2:5060", "10.0.0.1", 1),
        ("udp:198.51.100.1:5060", "udp:198.51.100.2:5060", "10.0.0.1", 0),
    ],
)
def test_its_own_socket_then_ds_probing_sock_then_the_first(
    own: str, preferred: str, address: str, listener: int
) -> None:
    way = place(record(socket=own, addresses=(address,)), 0, preferred).way(0)
    assert way is not None
    assert way.listener == listener


def test_no_socket_of_its_family() -> None:
    assert Sockets(["192.0.2.1"], lambda _: -1, "").choose("", "2001:db8::9") == -1
