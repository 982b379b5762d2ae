"""Addresses of destinations over time, with answers and a clock in our hands."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ds_farm.dispatch.model import Address, Destination, DestinationSet
from workers.dns import Endpoint, Failed, Found, Target, Way
from workers.resolve import Resolver, host_and_port, target_of

MIN_TTL_S = 10.0
MAX_TTL_S = 100.0


class Names:
    """A lookup whose answers a test sets, and its clock."""

    def __init__(self, **answers: Found | Failed) -> None:
        self.answers = {name.replace("_", "."): answer for name, answer in answers.items()}
        self.asked: list[Target] = []
        self.now_s = 1000.0

    def __call__(
        self, targets: Sequence[Target], deadline_s: float
    ) -> dict[Target, Found | Failed]:
        self.asked += targets
        nothing = Failed("no such name")
        return {target: self.answers.get(target.host, nothing) for target in targets}

    def resolver(self) -> Resolver:
        return Resolver(self, MIN_TTL_S, MAX_TTL_S, lambda: self.now_s)

    def take_asked(self) -> list[str]:
        asked, self.asked = self.asked, []
        return [target.host for target in asked]


def found(*ips: str, ttl_s: float = 50.0) -> Found:
    return Found(tuple(Endpoint(ip) for ip in ips), ttl_s)


def sets(*uris: str) -> list[DestinationSet]:
    return [DestinationSet("default", 1, tuple(Destination(uri) for uri in uris))]


def addresses(filled: Sequence[DestinationSet]) -> list[list[str]]:
    return [
        [f"{one.ip} {one.port}" for one in destination.addresses]
        for destination in filled[0].destinations
    ]


@pytest.mark.parametrize(
    ("uri", "host", "port"),
    [
        ("sip:10.0.0.1", "10.0.0.1", 0),
        ("sip:10.0.0.1:5080;transport=udp", "10.0.0.1", 5080),
        ("sip:user:secret@gw.example.com:6000?x=y", "gw.example.com", 6000),
        ("sip:[2001:db8::1]:5070", "2001:db8::1", 5070),
        ("SIP:[2001:db8::1]", "2001:db8::1", 0),
    ],
)
def test_host_and_port_of_a_uri(uri: str, host: str, port: int) -> None:
    assert host_and_port(uri) == (host, port)


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("sip:gw.example", Target("gw.example", Way.NAPTR)),
        ("sip:u@GW.example;transport=udp", Target("gw.example", Way.SRV)),
        ("sip:gw.example:5060", Target("gw.example", Way.ADDRESS)),
        ("sip:gw.example:5060;transport=udp", Target("gw.example", Way.ADDRESS)),
        ("sip:192.0.2.1", None),
        ("sip:[2001:db8::1];transport=udp", None),
    ],
)
def test_rfc3263_4_where_the_search_begins(uri: str, target: Target | None) -> None:
    assert target_of(uri) == target


def test_literals_are_not_asked_for() -> None:
    names = Names()
    filled = names.resolver().fill(sets("sip:10.0.0.1", "sip:x@[2001:DB8:0::1]:5070"))
    assert addresses(filled.sets) == [["10.0.0.1 5060"], ["2001:db8::1 5070"]]
    assert (names.asked, filled.unknown) == ([], ())


def test_name_is_asked_once_and_gives_all_its_addresses() -> None:
    names = Names(gw_example=found("192.0.2.1", "192.0.2.2"))
    filled = names.resolver().fill(sets("sip:gw.example:5070", "sip:u@gw.example:5080"))
    assert addresses(filled.sets) == [
        ["192.0.2.1 5070", "192.0.2.2 5070"],
        ["192.0.2.1 5080", "192.0.2.2 5080"],
    ]
    assert names.take_asked() == ["gw.example"]


def test_port_of_srv_and_else_the_default() -> None:
    names = Names(gw_example=Found((Endpoint("192.0.2.1", 5090), Endpoint("192.0.2.2")), 50.0))
    filled = names.resolver().fill(sets("sip:gw.example"))
    assert addresses(filled.sets) == [["192.0.2.1 5090", "192.0.2.2 5060"]]


def test_decision_23_unknown_name_stays_without_address() -> None:
    names = Names()
    resolver = names.resolver()
    filled = resolver.fill(sets("sip:gw.example", "sip:10.0.0.1"))
    assert addresses(filled.sets) == [[], ["10.0.0.1 5060"]]
    assert filled.unknown == ("gw.example",)
    names.answers["gw.example"] = found("192.0.2.1")
    names.now_s = resolver.due_s
    filled = resolver.refresh(filled.sets)
    assert addresses(filled.sets)[0] == ["192.0.2.1 5060"]
    assert filled.unknown == ()


def test_addresses_are_kept_when_a_name_fails_later() -> None:
    names = Names(gw_example=found("192.0.2.1"))
    resolver = names.resolver()
    first = resolver.fill(sets("sip:gw.example:5060"))
    names.answers.clear()
    filled = resolver.fill(sets("sip:gw.example:5060", "sip:gw.example:7000"))
    assert addresses(filled.sets) == [["192.0.2.1 5060"], ["192.0.2.1 7000"]]
    assert filled.unknown == ("gw.example",)
    names.now_s = resolver.due_s
    assert resolver.refresh(first.sets).sets == first.sets


def test_addresses_of_an_inherited_table_are_kept_too() -> None:
    names = Names()
    resolver = names.resolver()
    known = sets("sip:gw.example:7000", "sip:srv.example", "sip:none")
    resolver.remember(
        [
            ("sip:gw.example:7000", [Address("192.0.2.1", 7000)]),
            ("sip:srv.example", [Address("192.0.2.2", 5099)]),
            ("sip:none", []),
            ("sip:192.0.2.9", [Address("192.0.2.9", 5060)]),
        ]
    )
    assert resolver.due_s <= names.now_s
    filled = resolver.refresh(known)
    assert sorted(names.take_asked()) == ["gw.example", "none", "srv.example"]
    assert addresses(filled.sets) == [["192.0.2.1 7000"], ["192.0.2.2 5099"], []]


@pytest.mark.parametrize(("ttl_s", "due_s"), [(50.0, 50.0), (1.0, MIN_TTL_S), (9999.0, MAX_TTL_S)])
def test_names_are_due_when_their_records_expire(ttl_s: float, due_s: float) -> None:
    names = Names(gw_example=found("192.0.2.1", ttl_s=ttl_s))
    resolver = names.resolver()
    resolver.fill(sets("sip:gw.example"))
    assert resolver.due_s == names.now_s + due_s


def test_what_is_due_alone_is_asked_for() -> None:
    names = Names(a_example=found("192.0.2.1", ttl_s=20.0), b_example=found("192.0.2.2", ttl_s=60))
    resolver = names.resolver()
    both = sets("sip:a.example", "sip:b.example")
    resolver.fill(both)
    names.take_asked()
    names.now_s += 20.0
    resolver.refresh(both)
    assert names.take_asked() == ["a.example"]
    resolver.refresh(both)
    assert names.take_asked() == []
    assert resolver.take_counts() == (3, 0)


def test_pause_after_failures_doubles_up_to_a_minute() -> None:
    names = Names()
    resolver = names.resolver()
    one = sets("sip:gw.example")
    resolver.fill(one)
    pauses = []
    for _ in range(6):
        pauses.append(resolver.due_s - names.now_s)
        names.now_s = resolver.due_s
        resolver.refresh(one)
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert resolver.take_counts() == (7, 7)
    assert resolver.take_counts() == (0, 0)
    names.answers["gw.example"] = found("192.0.2.1")
    names.now_s = resolver.due_s
    assert resolver.refresh(one).unknown == ()
    assert resolver.due_s == names.now_s + 50.0


def test_name_that_missed_the_first_deadline_is_due_at_once() -> None:
    names = Names(gw_example=Failed("no answer within 0.3 s", is_late=True))
    resolver = names.resolver()
    resolver.fill(sets("sip:gw.example"))
    assert resolver.due_s == names.now_s
    resolver.refresh(sets("sip:gw.example"))
    assert resolver.due_s > names.now_s


def test_rotation_moves_nothing_and_new_addresses_come_last() -> None:
    names = Names(gw_example=found("192.0.2.1", "192.0.2.2"))
    resolver = names.resolver()
    first = resolver.fill(sets("sip:gw.example"))
    names.answers["gw.example"] = found("192.0.2.2", "192.0.2.1")
    names.now_s = resolver.due_s
    assert resolver.refresh(first.sets).sets == first.sets
    names.answers["gw.example"] = found("192.0.2.3", "192.0.2.2")
    names.now_s = resolver.due_s
    assert addresses(resolver.refresh(first.sets).sets) == [["192.0.2.2 5060", "192.0.2.3 5060"]]


def test_priority_of_srv_goes_before_what_was_first() -> None:
    names = Names(gw_example=Found((Endpoint("192.0.2.1", 5060, 20),), 50.0))
    resolver = names.resolver()
    first = resolver.fill(sets("sip:gw.example"))
    better = (Endpoint("192.0.2.2", 5060, 10), Endpoint("192.0.2.1", 5060, 20))
    names.answers["gw.example"] = Found(better, 50.0)
    names.now_s = resolver.due_s
    assert addresses(resolver.refresh(first.sets).sets) == [["192.0.2.2 5060", "192.0.2.1 5060"]]


def test_no_more_addresses_than_opensips_keeps() -> None:
    names = Names(gw_example=found(*(f"192.0.2.{number}" for number in range(1, 100))))
    assert len(addresses(names.resolver().fill(sets("sip:gw.example")).sets)[0]) == 32


def test_names_that_left_the_table_are_forgotten() -> None:
    names = Names(gw_example=found("192.0.2.1"))
    resolver = names.resolver()
    resolver.fill(sets("sip:gw.example", "sip:other.example"))
    assert len(resolver) == 2
    resolver.fill(sets("sip:gw.example"))
    assert len(resolver) == 1
