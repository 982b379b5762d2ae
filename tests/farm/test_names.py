"""Destinations by host name: RFC 3263 records, expiry, failure, a dead loader (decision 23)."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ds_farm.dispatch.model import Address, State
from ds_farm.dispatch.registry import Registry
from shm.layout import Role
from tests.farm.probes import seen
from tests.support.dns import Nameserver
from tests.support.farm import Farm, Settings, Value
from tests.support.message import Draft
from tests.support.net import own_host
from tests.support.peer import Peer
from tests.support.uas import Uas, answering
from tests.support.wait import until

OK = answering("200 OK")


@pytest.fixture
def server() -> Iterator[Nameserver]:
    with Nameserver() as server:
        yield server


def farm_of(directory: Path, server: Nameserver, *rows: str) -> Farm:
    dns: dict[str, Value] = {
        "nameservers": [f"127.0.0.1:{server.port}"],
        "min_ttl_s": 1.0,
        "timeout_s": 0.3,
    }
    return Farm(directory, rows, children=1, settings={"dns": dns})


def leads_to(farm: Farm, uri: str) -> tuple[Address, ...]:
    """Addresses that the current table has for a destination."""
    with farm.segment() as segment:
        sets = Registry(segment).table().sets
        return next(d.addresses for one in sets for d in one.destinations if d.uri == uri)


def ask(farm: Farm, uas: Uas) -> None:
    """An OPTIONS through the farm is to come to this destination."""
    before = len(uas.arrivals)
    with Peer() as caller:
        via = f"SIP/2.0/UDP {caller.sent_by};branch=z9hG4bK{before}"
        caller.send(Draft(via=via, key=f"{uas.peer.port}-{before}").bytes(), farm.sip)
        until(lambda: len(uas.arrivals) > before, f"a request at {uas.uri}")


def test_srv_leads_to_host_and_port_and_follows_the_records(
    tmp_path: Path, server: Nameserver
) -> None:
    with Uas(OK) as first, Uas(OK) as second:
        ports = [uas.peer.address[1] for uas in (first, second)]
        server.add("gw.example", "NAPTR", '1 1 "s" "SIP+D2U" "" _sip._udp.gw.example.', ttl=1)
        server.add("_sip._udp.gw.example", "SRV", f"1 1 {ports[0]} one.gw.example.", ttl=1)
        server.add("one.gw.example", "A", "127.0.0.1", ttl=1)
        with farm_of(tmp_path, server, "sip:gw.example") as farm:
            until(lambda: leads_to(farm, "sip:gw.example"), "the name resolved")
            until(lambda: farm.metrics().total("ds_farm_dns_names", result="ok") == 1, "a metric")
            ask(farm, first)
            server.add("_sip._udp.gw.example", "SRV", f"1 1 {ports[1]} one.gw.example.", ttl=1)
            moved = (Address("127.0.0.1", ports[1]),)
            until(lambda: leads_to(farm, "sip:gw.example") == moved, "the new record in use")
            assert farm.metrics().total("ds_farm_dns_questions_total") >= 2
            ask(farm, second)
            assert "gw.example resolves to 127.0.0.1" in farm.log()


def test_name_that_fails_keeps_its_addresses_and_comes_back(
    tmp_path: Path, server: Nameserver
) -> None:
    with Uas(OK) as uas:
        port = uas.peer.address[1]
        uri, lost = f"sip:gw.example:{port}", f"sip:lost.example:{port}"
        server.add("gw.example", "A", "127.0.0.1", ttl=1)
        server.silent.add("lost.example")
        with farm_of(tmp_path, server, uri, lost) as farm:
            until(lambda: leads_to(farm, uri), "the name resolved")
            server.broken.add("gw.example")
            names = "ds_farm_dns_names"
            until(lambda: farm.metrics().total(names, result="failed") == 2, "both fail")
            assert farm.metrics().total("ds_farm_dns_failures_total") >= 2
            addresses = farm.metrics().by("destination", "ds_farm_destination_addresses")
            assert addresses == {uri: 1.0, lost: 0.0}
            assert leads_to(farm, uri) == (Address("127.0.0.1", port),)
            assert "gw.example does not resolve, it keeps the addresses it had" in farm.log()
            assert "lost.example does not resolve, it has no address" in farm.log()
            server.silent.clear()
            server.add("lost.example", "A", "127.0.0.1")
            farm.reload([uri, lost])
            until(lambda: leads_to(farm, lost), "the lost name resolved")


def test_loader_that_dies_knows_the_names_again(tmp_path: Path, server: Nameserver) -> None:
    with Uas(OK) as uas:
        port = uas.peer.address[1]
        uri = f"sip:gw.example:{port}"
        server.add("gw.example", "A", "127.0.0.1", ttl=1)
        with farm_of(tmp_path, server, uri) as farm:
            until(lambda: leads_to(farm, uri), "the name resolved")
            before = farm.child(Role.LOADER)
            farm.signal(signal.SIGKILL, before.pid)
            until(lambda: farm.child(Role.LOADER).pid != before.pid, "another loader")
            assert leads_to(farm, uri) == (Address("127.0.0.1", port),)
            server.add("gw.example", "A", "127.0.0.2", ttl=1)
            moved = (Address("127.0.0.2", port),)
            until(lambda: leads_to(farm, uri) == moved, "the successor asks, too")


def test_a_dead_address_gives_way_to_the_next(tmp_path: Path, server: Nameserver) -> None:
    """Found out by a probe that is refused, and by a call: the destination stays in use."""
    dead, alive = own_host(), own_host()
    with Uas(OK, alive) as uas:
        port, uri = uas.peer.address[1], "sip:gw.example"
        records = (f"1 1 {port} one.gw.example.", f"2 1 {port} two.gw.example.")
        server.add("_sip._udp.gw.example", "SRV", *records)
        server.add("one.gw.example", "A", dead)
        server.add("two.gw.example", "A", alive)
        settings: Settings = {
            "dns": {"nameservers": [f"127.0.0.1:{server.port}"], "timeout_s": 0.3},
            "dispatcher": {"ds_ping_interval": 1, "ds_probing_mode": 1},
        }
        with Farm(tmp_path, [uri], children=1, settings=settings) as farm:
            metric = "ds_farm_destination_address_in_use"
            until(lambda: leads_to(farm, uri)[1:], "both addresses")
            assert [each.ip for each in leads_to(farm, uri)] == [dead, alive]
            until(lambda: uas.arrivals, "a probe at the address that is alive")
            until(lambda: farm.metrics().total(metric) == 1, "the metric")
            ask(farm, uas)
            assert seen(farm)[uri].state is State.ACTIVE
