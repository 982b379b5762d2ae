"""HUP: a new table while calls flow; a failed reload leaves everything as it was (decision 21)."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from ds_farm.dispatch.model import State
from ds_farm.dispatch.registry import Registry
from tests.support import counts
from tests.support.database import Row, write
from tests.support.farm import COMMAND, Farm
from tests.support.sipp import Caller, Destination
from tests.support.wait import until

RATE = 500


def test_reloads_under_traffic(tmp_path: Path, destinations: list[Destination]) -> None:
    first, second, third = (each.uri for each in destinations)
    tables = ([first, second], [second, third], [third], [third, first, second], [first, second])
    calls = 4_000
    with (
        Farm(tmp_path, [first, second, third]) as farm,
        Caller(tmp_path, farm.sip, calls, RATE) as caller,
    ):
        for table in tables:
            farm.reload(table)
            assert set(counts.of(farm).requests) == set(table)
            before = counts.of(farm)
            counts.wait_for_traffic(farm, 150)
            after = counts.of(farm)
            gained = {uri: after.requests[uri] - before.requests[uri] for uri in table}
            # No half table: each of the new ones has its share (what is on its way may miss).
            assert min(gained.values()) >= 150 // len(table) - 10, gained
        assert caller.running, "the calls were over before the last reload"
        result = caller.wait()
        assert (result.successful, result.failed) == (calls, 0), caller.report()


def test_what_stays_keeps_its_state_cursor_and_counters(
    tmp_path: Path, destinations: list[Destination]
) -> None:
    first, second, third = (each.uri for each in destinations)
    with Farm(tmp_path, [Row(first), Row(second), Row(third, state=1)]) as farm:
        with Caller(tmp_path, farm.sip, 101, RATE) as caller:
            assert caller.wait().failed == 0
        until(lambda: sum(counts.of(farm).responses.values()) >= 101, "all responses counted")
        before = counts.of(farm)
        assert before.states[third] is State.INACTIVE
        # The database now says the opposite of each state; what the farm has stands.
        farm.reload([Row("sip:127.0.0.1:9"), Row(third), Row(first, state=1)])
        after = counts.of(farm)
        assert after.states[third] is State.INACTIVE
        assert after.states[first] is State.ACTIVE
        assert after.requests[first] == before.requests[first] > 0
        assert after.cursors == before.cursors
        # What went and comes again begins anew, with the database's state.
        farm.reload([Row(first), Row(second, state=2)])
        again = counts.of(farm)
        assert again.requests[second] == 0
        assert again.states[second] is State.PROBING


def test_a_failed_reload_changes_nothing(tmp_path: Path, destinations: list[Destination]) -> None:
    rows = [each.uri for each in destinations]
    with Farm(tmp_path, rows) as farm:
        good, bad = farm.reloads()
        pids = {child.pid for child in farm.processes()}
        farm.database.rename(tmp_path / "away.sqlite")
        farm.database.write_text("this is no database " * 100)
        farm.signal(signal.SIGHUP)
        until(lambda: farm.reloads() == (good, bad + 1), "the failure in a counter")
        assert str(farm.database) in farm.log()
        assert set(counts.of(farm).requests) == set(rows)
        assert {child.pid for child in farm.processes()} == pids
        with Caller(tmp_path, farm.sip, 90, RATE) as caller:
            assert caller.wait().failed == 0
        (tmp_path / "away.sqlite").rename(farm.database)
        farm.reload(rows[:1])
        assert set(counts.of(farm).requests) == set(rows[:1])


def test_a_partition_is_reloaded_alone(tmp_path: Path) -> None:
    """ds_reload of one partition reads its database, and nothing of the others changes."""
    directory = tmp_path / "farm"
    farm = Farm(
        directory,
        ["sip:127.0.0.1:7001"],
        settings={
            "dispatcher": {"partition": [f"part2 : db_url=sqlite:///{directory}/two.sqlite"]}
        },
    )
    second = directory / "two.sqlite"
    write(second, [Row("sip:127.0.0.1:7002")])
    with farm:
        farm.store(["sip:127.0.0.1:7001", "sip:127.0.0.1:7003"])
        write(second, [Row("sip:127.0.0.1:7002"), Row("sip:127.0.0.1:7004", setid=2)])
        done = reload_command(farm, "--partition", "part2")
        assert done.returncode == 0, done.stderr
        assert done.stdout == (
            "+ partition part2, set 2: sip:127.0.0.1:7004\nreloaded: 3 destinations in 3 sets\n"
        )
        second.unlink()
        done = reload_command(farm)
        assert done.returncode == 1
        assert "500 ERROR Reloading data (" in done.stderr
        assert "two.sqlite" in done.stderr
        done = reload_command(farm, "--partition", "default")
        assert done.returncode == 0, done.stderr
        assert done.stdout == (
            "+ partition default, set 1: sip:127.0.0.1:7003\nreloaded: 4 destinations in 3 sets\n"
        )


def test_fresh_takes_the_states_of_the_database(tmp_path: Path) -> None:
    rows = [Row("sip:127.0.0.1:7001", state=1)]
    with Farm(tmp_path, rows) as farm, farm.segment() as segment:
        registry = Registry(segment)
        slot = registry.table().sets[0].destinations[0].slot
        assert registry.state(slot) is State.INACTIVE
        farm.store([Row("sip:127.0.0.1:7001", state=0)])
        assert reload_command(farm).returncode == 0
        assert registry.state(slot) is State.INACTIVE
        assert reload_command(farm, "--fresh").returncode == 0
        assert registry.state(slot) is State.ACTIVE


def reload_command(farm: Farm, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "reload", "-c", farm.config, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
