"""Scripts as people publish them, in the syntax of 1.11 to 4.0: SIPp's calls go through a farm that
runs the script, and through one that runs what ``ds-farm convert`` has made of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import counts
from tests.support.command import ds_farm
from tests.support.database import Row
from tests.support.farm import Farm
from tests.support.net import own_host, refusing
from tests.support.sipp import Callee, Caller, Calls, Destination, Server, Sipp, variant
from tests.support.uas import Uas, answering
from tests.support.wait import until

SCRIPTS = Path(__file__).parents[1] / "data" / "scripts"
CALLS = 12
RATE = 60


@dataclass(frozen=True)
class Case:
    """What comes to a script, and what is to become of it."""

    scenario: str = "call"
    """call, dialog, options, or the status that each call is refused with."""

    dead: bool = False
    """The destination that is tried first refuses every datagram."""

    busy: int = 0
    """Status that destinations answer calls with."""

    reached: int = CALLS
    """Calls that destinations see, those of a dead one apart."""

    weights: tuple[int, int] = (1, 1)
    shares: tuple[int, int] | None = None
    """Requests of each destination, in any order for calls; None: they share in any way."""

    second_set: int = 1
    logged: str = ""
    asked: str = "service"
    """User of the Request-URI."""

    seen: tuple[str, ...] = field(default=())
    """Texts in what a destination gets."""


CASES = {
    "hash_1.11": Case("options"),
    "media_servers_1.11": Case("dialog", dead=True),
    "partitions_2.1": Case(dead=True),
    "record_route_2.2": Case("dialog", logged="ends"),
    "hash_header_2.4": Case(shares=(CALLS, 0), seen=("X-Tenant: none",)),
    "guard_2.1": Case("403", reached=0, logged="INVITE from 127."),
    "blacklist_2.1": Case(second_set=3, shares=(CALLS, 0)),
    "mi_http_2.4": Case("options", shares=(CALLS // 2, CALLS // 2)),
    "failover_3.1": Case("dialog", dead=True, logged="instead, after 503"),
    "weights_3.2": Case("options", weights=(3, 1), shares=(CALLS * 3 // 4, CALLS // 4)),
    "methods_3.x": Case("options"),
    "all_down_4.0": Case("503", busy=500, reached=2 * CALLS),
    "priority_2.2": Case(shares=(CALLS, 0)),
    "replies_2.4": Case("486", busy=486, logged="is busy"),
    "branches_3.2": Case(seen=("X-Attributes: fast", "X-Caller: caller@127.")),
    "avp_loop_1.12": Case(dead=True),
    "includes_3.x": Case(),
    "numbers_2.1": Case(asked="004930123", seen=("INVITE sip:+4930123@",)),
    "count_3.x": Case("480", reached=0),
    "probes_2.4": Case("options"),
}


def test_every_script_is_tried() -> None:
    assert {path.stem for path in SCRIPTS.glob("*.cfg")} == CASES.keys()
    assert len(CASES) >= 20


def destination(directory: Path, name: str, case: Case, stack: ExitStack) -> Server:
    if case.scenario == "options":
        return stack.enter_context(Destination(directory, name))
    scenario = "dialog_uas.xml" if case.scenario == "dialog" else ""
    return stack.enter_context(Callee(directory, name, status=case.busy, scenario=scenario))


def caller(directory: Path, case: Case, farm: Farm) -> Sipp:
    if case.scenario == "options":
        return Caller(directory, farm.sip, CALLS, RATE)
    status = int(case.scenario) if case.scenario.isdigit() else 0
    name = "refused_uac.xml" if status else f"{case.scenario}_uac.xml"
    if case.asked != "service":
        change = ("INVITE sip:service@", f"INVITE sip:{case.asked}@")
        name = variant(directory, "asked.xml", name, change)
    return Calls(directory, name, farm.sip, CALLS, RATE, status=status, patience_s=10.0)


def as_script(directory: Path, name: str) -> Path:
    """A copy in the farm's folder, where relative paths begin."""
    directory.mkdir()
    shutil.copy(SCRIPTS / "common.inc", directory)
    return Path(shutil.copy(SCRIPTS / f"{name}.cfg", directory))


def converted(directory: Path, name: str) -> Path:
    script = as_script(directory, name)
    done = ds_farm("convert", script, "-o", directory, cwd=directory)
    assert done.returncode == 0, done
    script.unlink()
    return directory / "ds_farm.toml"


@pytest.mark.parametrize("name", CASES)
def test_calls_through_the_script_and_what_it_was_converted_to(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    made: dict[str, Callable[[Path, str], Path]] = {"script": as_script, "module": converted}
    with ExitStack() as stack:
        farms, destinations = [], []
        for form, make in made.items():
            directory = tmp_path / form
            config = make(directory, name)
            servers = [destination(directory, f"uas{i}", case, stack) for i in range(2)]
            rows = [
                Row(servers[0].uri, weight=case.weights[0], attrs="fast"),
                Row(servers[1].uri, case.second_set, weight=case.weights[1], attrs="fast"),
            ]
            if case.second_set != 1:  # it stands in both sets
                rows.append(Row(servers[1].uri, 1))
            if case.dead:
                dead = stack.enter_context(refusing(own_host()))
                rows.insert(0, Row(f"sip:{dead}", attrs="fast"))
            farms.append(Farm(directory, rows, script=config))
            destinations.append(servers)
        with ThreadPoolExecutor() as pool:  # they start beside each other
            list(pool.map(stack.enter_context, farms))
        callers = [stack.enter_context(caller(each.directory, case, each)) for each in farms]
        runs = list(zip(farms, destinations, callers, strict=True))
        found, repeated = [], 0
        for farm, servers, sipp in runs:
            result = sipp.wait()
            report = sipp.report() + farm.log()
            assert (result.successful, result.failed) == (CALLS, 0), report
            requests = counts.of(farm).requests
            assert "exception" not in farm.log(), farm.log()
            assert case.logged in farm.log()
            shares = [requests[server.uri] for server in servers]
            if case.shares:
                # A call is an INVITE, an ACK and a BYE; those of a dialog go by its route set.
                assert sorted(map(bool, shares)) == sorted(map(bool, case.shares)), shares
            if case.scenario == "options":
                assert CALLS <= sum(shares) <= result.sent
                for share, wanted in zip(shares, case.shares or (0, 0), strict=True):
                    assert share >= wanted, shares  # more if SIPp has repeated some
            else:
                assert sum(server.stop().calls for server in servers) == case.reached
            found.append(sum(shares))
            repeated += result.retransmissions
        if case.shares:
            assert abs(found[0] - found[1]) <= repeated


@pytest.mark.parametrize(("name", "case"), [(n, c) for n, c in CASES.items() if c.seen])
def test_what_destinations_get(tmp_path: Path, name: str, case: Case) -> None:
    with Uas(answering("486 Busy Here")) as uas:
        config = as_script(tmp_path / "farm", name)
        rows = [Row(uas.uri, attrs="fast")]
        with Farm(tmp_path / "farm", rows, script=config) as farm:
            refused = Case("486", asked=case.asked)
            with caller(tmp_path, refused, farm) as sipp:
                assert sipp.wait().successful == CALLS, sipp.report() + farm.log()
        text = uas.arrivals[0].data.decode()
        for each in case.seen:
            assert each in text


def test_probes_and_events_of_a_script(tmp_path: Path) -> None:
    with Uas(answering("403 Forbidden")) as good, Uas(answering("500 No")) as bad:
        config = as_script(tmp_path / "farm", "probes_2.4")
        with Farm(tmp_path / "farm", [good.uri, bad.uri], script=config) as farm:
            line = f"destination {bad.uri} is "
            until(lambda: line in farm.log(), "the event in the log", 20.0)
            assert f"destination {good.uri} is" not in farm.log()
        probe = good.arrivals[0].data
        assert b"\r\nX-Probe: yes\r\n" in probe
        assert b"<sip:prober@example.com>" in probe
