"""Names to addresses by RFC 3263, with a nameserver of our own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ds_farm.config.models import DnsConfig
from ds_farm.config.opensips import Endpoint as ServerAddress
from ds_farm.config.opensips import parse_nameserver, parse_socket
from tests.support.dns import Nameserver
from workers.dns import (
    MOST_ADDRESSES,
    DnsLookup,
    Endpoint,
    Failed,
    Found,
    Target,
    Way,
    families_of,
    read_hosts,
)


@pytest.fixture
def server() -> Iterator[Nameserver]:
    with Nameserver() as server:
        yield server


class Asking:
    """A lookup with that nameserver alone."""

    def __init__(self, server: Nameserver, tmp_path: Path) -> None:
        self._server = server
        self._hosts = tmp_path / "hosts"

    def hosts(self, text: str) -> None:
        self._hosts.write_text(text)

    def lookup(self, versions: tuple[int, ...] = (4,), **settings: Any) -> DnsLookup:
        nameserver = f"127.0.0.1:{self._server.port}"
        config = DnsConfig.model_validate({"nameservers": nameserver, **settings})
        return DnsLookup(config, versions, self._hosts)

    def __call__(
        self, host: str, way: Way, versions: tuple[int, ...] = (4,), **settings: Any
    ) -> Found | Failed:
        target = Target(host, way)
        return self.lookup(versions, **settings)([target], 5.0)[target]

    def found(self, host: str, way: Way, versions: tuple[int, ...] = (4,)) -> list[tuple[str, int]]:
        answer = self(host, way, versions)
        assert isinstance(answer, Found), answer
        return [(one.ip, one.port) for one in answer.endpoints]


@pytest.fixture
def ask(server: Nameserver, tmp_path: Path) -> Asking:
    return Asking(server, tmp_path)


def test_port_in_the_uri_means_addresses_alone(server: Nameserver, ask: Asking) -> None:
    """RFC 3263 4.2: with an explicit port there is no SRV query."""
    server.add("gw.example", "A", "192.0.2.1", "192.0.2.2")
    server.add("_sip._udp.gw.example", "SRV", "1 1 5070 other.example.")
    assert sorted(ask.found("gw.example", Way.ADDRESS)) == [("192.0.2.1", 0), ("192.0.2.2", 0)]
    assert set(server.asked) == {("gw.example", "A")}


def test_transport_in_the_uri_means_srv(server: Nameserver, ask: Asking) -> None:
    """RFC 3263 4.1: NAPTR is for URIs that leave the transport open."""
    server.add("gw.example", "NAPTR", '1 1 "s" "SIP+D2U" "" _wrong._udp.gw.example.')
    server.add("_sip._udp.gw.example", "SRV", "1 1 5070 one.gw.example.")
    server.add("one.gw.example", "A", "192.0.2.1")
    assert ask.found("gw.example", Way.SRV) == [("192.0.2.1", 5070)]
    assert ("gw.example", "NAPTR") not in server.asked


def test_neither_means_naptr_first(server: Nameserver, ask: Asking) -> None:
    """RFC 3263 4.1: by order and preference, what we speak alone, then SRV."""
    server.add(
        "gw.example",
        "NAPTR",
        '10 1 "s" "SIPS+D2T" "" _sips._tcp.gw.example.',
        '20 9 "s" "SIP+D2U" "" _later._udp.gw.example.',
        '20 1 "S" "sip+d2u" "" _sip._udp.edge.example.',
        '15 1 "u" "SIP+D2U" "!.*!sip:x@wrong.example!" .',
    )
    server.add("_sip._udp.edge.example", "SRV", "1 1 5080 one.edge.example.")
    server.add("one.edge.example", "A", "192.0.2.8")
    assert ask.found("gw.example", Way.NAPTR) == [("192.0.2.8", 5080)]
    assert ("_later._udp.gw.example", "SRV") not in server.asked
    assert ("_sips._tcp.gw.example", "SRV") not in server.asked


def test_naptr_record_that_leads_nowhere_gives_way_to_the_next(
    server: Nameserver, ask: Asking
) -> None:
    server.add(
        "gw.example",
        "NAPTR",
        '1 1 "s" "SIP+D2U" "" _gone._udp.gw.example.',
        '2 1 "a" "SIP+D2U" "" plain.gw.example.',
    )
    server.add("plain.gw.example", "A", "192.0.2.9")
    assert ask.found("gw.example", Way.NAPTR) == [("192.0.2.9", 0)]


def test_no_naptr_no_srv_leaves_addresses(server: Nameserver, ask: Asking) -> None:
    server.add("gw.example", "A", "192.0.2.1")
    assert ask.found("gw.example", Way.NAPTR) == [("192.0.2.1", 0)]
    assert set(server.asked) == {
        ("gw.example", "NAPTR"),
        ("_sip._udp.gw.example", "SRV"),
        ("gw.example", "A"),
    }


def test_try_naptr_can_be_switched_off(server: Nameserver, ask: Asking) -> None:
    server.add("gw.example", "A", "192.0.2.1")
    assert isinstance(ask("gw.example", Way.NAPTR, try_naptr=0), Found)
    assert ("gw.example", "NAPTR") not in server.asked


def test_nameserver_that_fails_at_naptr_is_no_obstacle(server: Nameserver, ask: Asking) -> None:
    """Old ones answer SERVFAIL to a type that they do not know."""
    server.broken.add("gw.example")
    server.add("_sip._udp.gw.example", "SRV", "1 1 5070 one.example.")
    server.add("one.example", "A", "192.0.2.1")
    assert ask.found("gw.example", Way.NAPTR) == [("192.0.2.1", 5070)]


def test_srv_by_priority_with_every_server_and_address(server: Nameserver, ask: Asking) -> None:
    """RFC 2782: smaller priority first; semantics 1.5: all servers and all their addresses."""
    server.add(
        "_sip._udp.gw.example",
        "SRV",
        "20 1 5072 c.example.",
        "10 1 5071 b.example.",
        "5 1 5070 a.example.",
    )
    server.add("a.example", "A", "192.0.2.1")
    server.add("b.example", "A", "192.0.2.2")
    server.add("b.example", "AAAA", "2001:db8::2")
    server.add("c.example", "A", "192.0.2.3")
    assert ask.found("gw.example", Way.SRV, (4, 6)) == [
        ("192.0.2.1", 5070),
        ("192.0.2.2", 5071),
        ("2001:db8::2", 5071),
        ("192.0.2.3", 5072),
    ]


def test_weights_of_srv_decide_who_is_first(server: Nameserver, ask: Asking) -> None:
    """RFC 2782: nine to one; 200 draws leave 180 +- 4.24 deviations, five of them are allowed."""
    server.add("_sip._udp.gw.example", "SRV", "1 9 5070 a.example.", "1 1 5070 b.example.")
    server.add("a.example", "A", "192.0.2.1")
    server.add("b.example", "A", "192.0.2.2")
    lookup = ask.lookup()
    target = Target("gw.example", Way.SRV)
    first = 0
    for _ in range(200):
        answer = lookup([target], 5.0)[target]
        assert isinstance(answer, Found)
        first += answer.endpoints[0].ip == "192.0.2.1"
    assert 180 - 5 * 4.25 <= first <= 200 - 1


def test_server_of_srv_that_does_not_resolve_is_left_out(server: Nameserver, ask: Asking) -> None:
    server.add("_sip._udp.gw.example", "SRV", "1 1 5070 gone.example.", "2 1 5071 b.example.")
    server.add("b.example", "A", "192.0.2.2")
    assert ask.found("gw.example", Way.SRV) == [("192.0.2.2", 5071)]


def test_srv_that_offers_nothing_is_not_gone_round(server: Nameserver, ask: Asking) -> None:
    """RFC 2782: target "." says that the service is not there."""
    server.add("_sip._udp.gw.example", "SRV", "0 0 0 .")
    server.add("gw.example", "A", "192.0.2.1")
    answer = ask("gw.example", Way.SRV)
    assert isinstance(answer, Failed)
    assert "offers no SIP over UDP" in answer.reason


def test_broken_srv_does_not_lead_to_the_wrong_host(server: Nameserver, ask: Asking) -> None:
    """RFC 3263 4.2: addresses if there are no SRV records, which a failure does not say."""
    server.broken.add("_sip._udp.gw.example")
    server.add("gw.example", "A", "192.0.2.1")
    assert isinstance(ask("gw.example", Way.SRV), Failed)


def test_more_than_eight_servers(server: Nameserver, ask: Asking) -> None:
    """Peers fail at nine records; 32 is where OpenSIPS and we end."""
    records = [f"1 1 {5000 + number} h{number}.example." for number in range(40)]
    server.add("_sip._udp.gw.example", "SRV", *records[:12])
    for number in range(40):
        server.add(f"h{number}.example", "A", f"192.0.2.{number}")
    assert len(ask.found("gw.example", Way.SRV)) == 12
    server.add("many.example", "A", *(f"192.0.2.{number}" for number in range(60)))
    assert len(ask.found("many.example", Way.ADDRESS)) == MOST_ADDRESSES


@pytest.mark.parametrize(
    ("versions", "expected"),
    [((4,), ["192.0.2.1"]), ((6,), ["2001:db8::1"]), ((4, 6), ["192.0.2.1", "2001:db8::1"])],
)
def test_addresses_that_we_can_send_to(
    server: Nameserver, ask: Asking, versions: tuple[int, ...], expected: list[str]
) -> None:
    server.add("gw.example", "A", "192.0.2.1")
    server.add("gw.example", "AAAA", "2001:db8::1")
    assert [ip for ip, _ in ask.found("gw.example", Way.ADDRESS, versions)] == expected


def test_shortest_time_to_live_on_the_way_counts(server: Nameserver, ask: Asking) -> None:
    server.add("gw.example", "NAPTR", '1 1 "s" "SIP+D2U" "" _sip._udp.gw.example.', ttl=500)
    server.add("_sip._udp.gw.example", "SRV", "1 1 5070 alias.example.", ttl=400)
    server.add("alias.example", "CNAME", "one.example.", ttl=45)
    server.add("one.example", "A", "192.0.2.1", ttl=300)
    answer = ask("gw.example", Way.NAPTR)
    assert answer == Found((Endpoint("192.0.2.1", 5070, 1),), 45.0)


def test_hosts_file_comes_first(server: Nameserver, ask: Asking) -> None:
    ask.hosts("# ours\n192.0.2.77 GW.example gw # alias\n::1 gw.example\nnonsense\nfe80::1%lo x\n")
    server.add("gw.example", "A", "192.0.2.1")
    assert ask.found("gw.example", Way.NAPTR) == [("192.0.2.77", 0)]
    assert not server.asked


def test_server_of_srv_may_be_in_the_hosts_file(server: Nameserver, ask: Asking) -> None:
    ask.hosts("192.0.2.77 one.example\n")
    server.add("_sip._udp.gw.example", "SRV", "1 1 5070 one.example.")
    assert ask.found("gw.example", Way.SRV) == [("192.0.2.77", 5070)]


def test_hosts_file_that_is_not_there(tmp_path: Path) -> None:
    assert read_hosts(tmp_path / "none") == {}


@pytest.mark.parametrize("name", ["none.example", "a" * 70 + ".example", "..", "x" * 300])
def test_name_without_addresses_says_why(ask: Asking, name: str) -> None:
    answer = ask(name, Way.NAPTR)
    assert isinstance(answer, Failed)
    assert answer.reason
    assert not answer.is_late


def test_silent_nameserver_costs_the_timeout(server: Nameserver, ask: Asking) -> None:
    server.silent.add("gw.example")
    answer = ask("gw.example", Way.ADDRESS, timeout_s=0.2)
    assert isinstance(answer, Failed)
    assert not answer.is_late


def test_slow_name_costs_no_other_name(server: Nameserver, ask: Asking) -> None:
    server.silent.add("slow.example")
    server.add("fast.example", "A", "192.0.2.1")
    slow, fast = Target("slow.example", Way.ADDRESS), Target("fast.example", Way.ADDRESS)
    started_s = time.monotonic()
    answers = ask.lookup(timeout_s=20.0)([slow, fast], 2.0)
    assert time.monotonic() - started_s < 10.0
    assert isinstance(answers[fast], Found)
    assert isinstance(late := answers[slow], Failed)
    assert late.is_late


def test_a_thousand_names_in_one_round(server: Nameserver, ask: Asking) -> None:
    targets = []
    for number in range(1000):
        server.add(f"h{number}.example", "A", f"10.0.{number // 250}.{number % 250}")
        targets.append(Target(f"h{number}.example", Way.ADDRESS))
    answers = ask.lookup()(targets, 30.0)
    assert len(answers) == 1000
    assert all(isinstance(answer, Found) for answer in answers.values())


def test_nothing_to_ask(ask: Asking) -> None:
    assert ask.lookup()([], 1.0) == {}


@pytest.mark.parametrize(
    ("listening", "versions"),
    [
        (["udp:127.0.0.1", "udp:127.0.0.2"], {4}),
        (["udp:[::1]"], {6}),
        (["udp:127.0.0.1", "udp:[::1]"], {4, 6}),
        (["udp:sip.example.com"], {4, 6}),
    ],
)
def test_families_that_the_farm_sends_by(listening: list[str], versions: set[int]) -> None:
    assert families_of(map(parse_socket, listening)) == versions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.53", ServerAddress("192.0.2.53", 0)),
        ("192.0.2.53:5353", ServerAddress("192.0.2.53", 5353)),
        ("[2001:db8::53]:53", ServerAddress("2001:db8::53", 53)),
    ],
)
def test_nameserver_in_the_configuration(text: str, expected: ServerAddress) -> None:
    assert parse_nameserver(text) == expected


def test_nameserver_by_name_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the address of a nameserver, got"):
        parse_nameserver("ns.example")
