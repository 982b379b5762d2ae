"""Addresses of destinations, with a resolver in our hands."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence

import pytest

from ds_farm.config.opensips import parse_socket
from ds_farm.dispatch.model import Address, Destination, DestinationSet
from workers.resolve import Resolver, host_and_port, system_lookup


class Names:
    """A resolver whose answers a test sets."""

    def __init__(self, **answers: Sequence[str]) -> None:
        self.answers = {name.replace("_", "."): ips for name, ips in answers.items()}
        self.asked: list[str] = []

    def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self.answers[host]


def sets(*uris: str) -> list[DestinationSet]:
    return [DestinationSet("default", 1, tuple(Destination(uri) for uri in uris))]


def addresses(filled: Sequence[DestinationSet]) -> list[tuple[Address, ...]]:
    return [destination.addresses for destination in filled[0].destinations]


@pytest.mark.parametrize(
    ("uri", "host", "port"),
    [
        ("sip:10.0.0.1", "10.0.0.1", 5060),
        ("sip:10.0.0.1:5080;transport=udp", "10.0.0.1", 5080),
        ("sip:user:secret@gw.example.com:6000?x=y", "gw.example.com", 6000),
        ("sip:[2001:db8::1]:5070", "2001:db8::1", 5070),
        ("SIP:[2001:db8::1]", "2001:db8::1", 5060),
    ],
)
def test_host_and_port_of_a_uri(uri: str, host: str, port: int) -> None:
    assert host_and_port(uri) == (host, port)


def test_literals_are_not_asked_for() -> None:
    names = Names()
    filled = Resolver(names).fill(sets("sip:10.0.0.1", "sip:x@[2001:DB8:0::1]:5070"))
    assert addresses(filled.sets) == [
        (Address("10.0.0.1", 5060),),
        (Address("2001:db8::1", 5070),),
    ]
    assert (names.asked, filled.unknown) == ([], ())


def test_name_is_asked_once_and_gives_all_its_addresses() -> None:
    names = Names(gw_example=["192.0.2.1", "192.0.2.2"])
    filled = Resolver(names).fill(sets("sip:gw.example:5070", "sip:u@gw.example"))
    assert addresses(filled.sets) == [
        (Address("192.0.2.1", 5070), Address("192.0.2.2", 5070)),
        (Address("192.0.2.1", 5060), Address("192.0.2.2", 5060)),
    ]
    assert names.asked == ["gw.example"]


def test_decision_23_unknown_name_stays_without_address() -> None:
    names = Names()
    resolver = Resolver(names)
    filled = resolver.fill(sets("sip:gw.example", "sip:10.0.0.1"))
    assert addresses(filled.sets) == [(), (Address("10.0.0.1", 5060),)]
    assert filled.unknown == ("gw.example",)
    names.answers["gw.example"] = ["192.0.2.1"]
    filled = resolver.fill(filled.sets)
    assert addresses(filled.sets)[0] == (Address("192.0.2.1", 5060),)
    assert filled.unknown == ()


def test_addresses_are_kept_when_a_name_fails_later() -> None:
    names = Names(gw_example=["192.0.2.1"])
    resolver = Resolver(names)
    resolver.fill(sets("sip:gw.example"))
    names.answers.clear()
    filled = resolver.fill(sets("sip:gw.example", "sip:gw.example:7000"))
    assert addresses(filled.sets) == [
        (Address("192.0.2.1", 5060),),
        (Address("192.0.2.1", 7000),),
    ]
    assert filled.unknown == ("gw.example",)


def test_addresses_of_an_inherited_table_are_kept_too() -> None:
    resolver = Resolver(Names())
    resolver.remember([("sip:gw.example:7000", [Address("192.0.2.1", 7000)]), ("sip:none", [])])
    filled = resolver.fill(sets("sip:gw.example:7000", "sip:none"))
    assert addresses(filled.sets) == [(Address("192.0.2.1", 7000),), ()]


def test_slow_name_costs_the_deadline_and_no_other_name() -> None:
    release = threading.Event()

    def lookup(host: str) -> Sequence[str]:
        if host == "slow.example":
            release.wait(30.0)
        return ["192.0.2.1"]

    started = time.monotonic()
    filled = Resolver(lookup).fill(sets("sip:slow.example", "sip:fast.example"), 0.2)
    assert time.monotonic() - started < 2.0
    release.set()
    assert addresses(filled.sets) == [(), (Address("192.0.2.1", 5060),)]
    assert filled.unknown == ("slow.example",)


def test_many_names_are_asked_side_by_side() -> None:
    barrier = threading.Barrier(10)

    def lookup(host: str) -> Sequence[str]:
        barrier.wait(10.0)  # passes only if ten are asked at the same time
        return ["192.0.2.1"]

    uris = [f"sip:gw{number}.example" for number in range(10)]
    assert Resolver(lookup).fill(sets(*uris)).unknown == ()


def test_no_more_addresses_than_opensips_keeps() -> None:
    names = Names(gw_example=[f"192.0.2.{number}" for number in range(1, 100)])
    assert len(addresses(Resolver(names).fill(sets("sip:gw.example")).sets)[0]) == 32


@pytest.mark.parametrize(
    ("listening", "family"),
    [
        (["udp:127.0.0.1", "udp:127.0.0.2"], socket.AF_INET),
        (["udp:[::1]"], socket.AF_INET6),
        (["udp:127.0.0.1", "udp:[::1]"], socket.AF_UNSPEC),
        (["udp:sip.example.com"], socket.AF_UNSPEC),
    ],
)
def test_names_resolve_to_families_that_we_can_send_from(
    monkeypatch: pytest.MonkeyPatch, listening: list[str], family: int
) -> None:
    asked = []

    def getaddrinfo(host: str, port: None, *, family: int, type: int) -> list[object]:
        asked.append((host, family))
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    system_lookup([parse_socket(text) for text in listening])("gw.example")
    assert asked == [("gw.example", family)]


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a" * 70 + ".example", "."])
def test_system_resolver_refuses_without_harm(name: str) -> None:
    lookup = system_lookup([parse_socket("udp:127.0.0.1")])
    filled = Resolver(lookup).fill(sets(f"sip:{name}"))
    assert addresses(filled.sets) == [()]
