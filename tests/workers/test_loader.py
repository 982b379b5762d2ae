"""The loader in a running farm: first load, reload, failure, death."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from enum import IntEnum
from pathlib import Path

import pytest

from ds_farm.dispatch.model import Discard, LoadError, State
from ds_farm.dispatch.registry import Registry
from ds_farm.dispatch.table import Table
from shm.layout import Role
from shm.segment import Segment
from tests.support import database, process
from tests.support.database import Row
from tests.support.wait import until
from tests.workers.conftest import ROWS
from tests.workers.stage import Stage


def table(farm: Stage) -> Table:
    with farm.segment() as segment:
        return Registry(segment).table()


def uris(farm: Stage) -> list[str]:
    return [d.uri for one in table(farm).sets for d in one.destinations]


def header(farm: Stage, name: str) -> int:
    with farm.segment() as segment:
        return int(getattr(segment.header, name))


def words(farm: Stage, name: str) -> dict[str, int]:
    """What of a header's array is not 0, by reason."""
    reasons: type[IntEnum] = {"discarded": Discard, "load_errors": LoadError}[name]
    with Segment.attach(farm.name) as segment:
        counts = segment.header.words(name)
    return {each.name.lower(): counts[each] for each in reasons if counts[each]}


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def test_first_load_is_summed_up_in_the_log(farm: Stage) -> None:
    assert "table 1: 3 destinations in 2 sets, 0 rows skipped" in farm.log()
    assert uris(farm) == [row.destination for row in ROWS]
    assert table(farm).sets[0].destinations[0].addresses[0].port == 7001


def test_hup_publishes_what_the_database_has_now(farm: Stage, tmp_path: Path) -> None:
    database.write(tmp_path / "db", [*ROWS, Row("sip:127.0.0.1:7004"), Row("bad")])
    farm.signal(signal.SIGHUP)
    farm.wait_log("table 2: 4 destinations in 2 sets, 1 rows skipped")
    assert "row skipped: table 'dispatcher', id 5: 'bad'" in farm.log()
    assert "sip:127.0.0.1:7004" in uris(farm)
    assert header(farm, "reloads_ok") == 2
    assert words(farm, "discarded") == {"destination": 1}


def test_every_skipped_row_is_named(farm: Stage, tmp_path: Path) -> None:
    database.write(tmp_path / "db", [Row(f"bad{number}") for number in range(100)])
    farm.signal(signal.SIGHUP)
    farm.wait_log("0 destinations in 0 sets, 100 rows skipped")
    assert all(f"'bad{number}'" in farm.log() for number in range(100))


def test_failed_reload_changes_nothing_and_says_why(farm: Stage, tmp_path: Path) -> None:
    (tmp_path / "db").rename(tmp_path / "away")
    farm.signal(signal.SIGHUP)
    farm.wait_log("reload failed, everything stays as it was, next try in 0.5 s: ")
    until(lambda: header(farm, "reloads_failed") == 1, "its counter")
    assert header(farm, "generation") == 1
    assert header(farm, "database_up") == 0
    assert words(farm, "load_errors")["database"] >= 1
    (tmp_path / "away").rename(tmp_path / "db")
    farm.signal(signal.SIGHUP)
    farm.wait_log("table 2: ")
    until(lambda: header(farm, "reload_successful"), "a successful reload")


def test_reload_to_a_wrong_version_fails_alone(farm: Stage, tmp_path: Path) -> None:
    execute(tmp_path / "db", "UPDATE version SET table_version = 3")
    farm.signal(signal.SIGHUP)
    farm.wait_log("reload failed")
    assert farm.popen.poll() is None
    assert header(farm, "generation") == 1


def test_wrong_version_at_the_start_stops_the_farm(real: Stage, tmp_path: Path) -> None:
    execute(tmp_path / "db", "UPDATE version SET table_version = 3")
    real.launch()
    assert real.wait() == 1
    assert "stopped: loader cannot start: " in real.log()
    real.__exit__(None, None, None)


def test_more_destinations_than_fit_stop_the_farm(real: Stage) -> None:
    real.config["farm"]["max_destinations"] = 2
    real.launch()
    assert real.wait() == 1
    assert "raise max_destinations" in real.log()
    real.__exit__(None, None, None)


def test_database_that_comes_later_is_waited_for(real: Stage, tmp_path: Path) -> None:
    (tmp_path / "db").rename(tmp_path / "away")
    real.launch()
    real.wait_log("not ready, next try in 0.5 s: ")
    assert "ready: " not in real.log()
    (tmp_path / "away").rename(tmp_path / "db")
    real.wait_log("ready: 2 workers")
    real.signal(signal.SIGTERM)
    assert real.wait() == 0
    real.__exit__(None, None, None)


def test_successor_of_a_killed_loader_keeps_the_table(farm: Stage, tmp_path: Path) -> None:
    database.write(tmp_path / "db", ROWS[:1])
    os.kill(farm.pid(Role.LOADER), signal.SIGKILL)
    farm.wait_log("kept table 1")
    assert len(uris(farm)) == 3
    farm.signal(signal.SIGHUP)
    farm.wait_log("table 2: 1 destinations")


def test_request_is_not_lost_with_the_loader(farm: Stage, tmp_path: Path) -> None:
    database.write(tmp_path / "db", ROWS[:1])
    loader = farm.pid(Role.LOADER)
    process.hold(loader)
    farm.signal(signal.SIGHUP)
    farm.wait_log("HUP: reload")
    # The signal waits in a process that will never run again; a request in the segment would not.
    segment = Segment.attach(farm.name, writable=True)
    segment.header.add("reload_requests")
    segment.close()
    os.kill(loader, signal.SIGKILL)
    farm.wait_log("table 2: 1 destinations")


def test_decision_21_states_live_over_a_reload(farm: Stage, tmp_path: Path) -> None:
    segment = Segment.attach(farm.name, writable=True)
    registry = Registry(segment)
    registry.set_state(registry.table().sets[0].destinations[0].slot, State.PROBING)
    database.write(tmp_path / "db", [ROWS[2], ROWS[0]])
    farm.signal(signal.SIGHUP)
    farm.wait_log("table 2: ")
    found = {
        destination.uri: registry.state(destination.slot)
        for one in registry.table().sets
        for destination in one.destinations
    }
    segment.close()
    assert found == {
        "sip:127.0.0.1:7001": State.PROBING,
        "sip:127.0.0.1:7003": State.INACTIVE,
    }


def test_old_tables_are_removed_when_nobody_uses_them(farm: Stage) -> None:
    for number in (2, 3):
        farm.signal(signal.SIGHUP)
        farm.wait_log(f"table {number}: ")
    until(
        lambda: (
            sorted(path.name for path in Path("/dev/shm").glob(f"ds_farm-{farm.name}.table*"))
            == [f"ds_farm-{farm.name}.table3"]
        ),
        "one table left",
    )


def test_unknown_name_does_not_hold_up_the_start(real: Stage, tmp_path: Path) -> None:
    database.write(tmp_path / "db", [*ROWS, Row("sip:no-such-host.invalid")])
    with real:
        real.wait_log("1 names unknown")
        found = {d.uri: d.addresses for one in table(real).sets for d in one.destinations}
        assert found["sip:no-such-host.invalid"] == ()
        assert found["sip:127.0.0.1:7001"]


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_farm_that_waits_for_its_database_stops_at_once(
    real: Stage, tmp_path: Path, signal_name: str
) -> None:
    (tmp_path / "db").rename(tmp_path / "away")
    real.launch()
    real.wait_log("not ready, next try")
    real.signal(signal.Signals[signal_name])
    assert real.wait() == 0
    real.__exit__(None, None, None)
