"""A partition's table to sets: versions, order, skipped rows (decisions 21 to 24)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ds_farm.config import Config, DispatcherConfig, resolve
from ds_farm.db.loader import LoadResult, SkippedRow, load
from ds_farm.db.schema import VERSIONS, Names, create_database
from ds_farm.dispatch.model import Destination, Discard, State
from ds_farm.errors import ConfigError, DatabaseError
from tests.support import database
from tests.support.database import Row


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "db.sqlite"


def _settings(file: Path, **settings: object) -> DispatcherConfig:
    section = {"db_url": f"sqlite:///{file}", **settings}
    return Config.model_validate({"dispatcher": section}).dispatcher


def _load(file: Path, **settings: object) -> LoadResult:
    config = _settings(file, **settings)
    (partition,) = resolve(config)
    return load(config, partition)


def _execute(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def _uris(result: LoadResult, set_id: int) -> list[str]:
    (found,) = [each for each in result.sets if each.id == set_id]
    return [destination.uri for destination in found.destinations]


def test_sets_with_all_columns(file: Path) -> None:
    rows = [
        Row("sip:a", 1, weight="3", state=1, attrs="x", socket="udp:127.0.0.1", description="d"),
        Row("sip:b", 2, probe_mode=1, state=2),
        Row("sip:c", 1),
    ]
    database.write(file, rows)
    result = _load(file)
    assert result.partition == "default"
    assert result.version == 9
    assert [each.id for each in result.sets] == [1, 2]
    assert {each.partition for each in result.sets} == {"default"}
    assert result.sets[0].destinations == (
        Destination(
            "sip:a",
            weight=3,
            state=State.INACTIVE,
            attrs="x",
            socket="udp:127.0.0.1",
            description="d",
        ),
        Destination("sip:c"),
    )
    assert result.sets[1].destinations == (Destination("sip:b", state=State.PROBING, probe_mode=1),)


def test_priority_descending_then_row_order(file: Path) -> None:
    """Semantics 1.3: priorities 0,0,0,5,5 load as rows 4,5,1,2,3."""
    priorities = (0, 0, 0, 5, 5)
    database.write(
        file, [Row(f"sip:r{row}", priority=given) for row, given in enumerate(priorities, 1)]
    )
    assert _uris(_load(file), 1) == ["sip:r4", "sip:r5", "sip:r1", "sip:r2", "sip:r3"]


def test_the_same_destination_may_stand_in_a_set_twice(file: Path) -> None:
    database.write(file, [Row("sip:a"), Row("sip:a", state=1)])
    assert _uris(_load(file), 1) == ["sip:a", "sip:a"]


def test_an_empty_table_is_a_good_load(file: Path) -> None:
    database.write(file, [])
    assert _load(file).sets == ()


def test_decision_22_bad_rows_are_skipped_with_table_id_and_reason(file: Path) -> None:
    rows = [
        Row("sip:a"),
        Row(""),
        Row("sip:b", state=7),
        Row("sip:c", socket="x:y:z"),
        Row("sip:d"),
    ]
    database.write(file, rows)
    result = _load(file)
    assert _uris(result, 1) == ["sip:a", "sip:c", "sip:d"]
    assert [(row.table, row.id) for row in result.skipped] == [("dispatcher", 2), ("dispatcher", 3)]
    assert str(result.skipped[0]) == "table 'dispatcher', id 2: the destination is empty"
    assert [row.id for row in result.warnings] == [4]


@pytest.mark.parametrize("version", VERSIONS)
def test_decision_24_each_version_by_its_own_columns(file: Path, version: int) -> None:
    create_database(f"sqlite:///{file}", version=version)
    weight = "7" if version == 7 else "'7'"
    _execute(
        file,
        f"INSERT INTO dispatcher (setid, destination, weight, description) "
        f"VALUES (1, 'sip:a', {weight}, 'd')",
    )
    result = _load(file)
    assert result.version == version
    assert result.sets[0].destinations == (Destination("sip:a", weight=7, description="d"),)


def test_probe_mode_counts_from_version_9_only(file: Path) -> None:
    database.write(file, [Row("sip:a", probe_mode=1)])
    database.set_version(file, 8)
    assert _load(file).sets[0].destinations[0].probe_mode == 0


@pytest.mark.parametrize("version", [0, 6, 10])
def test_decision_24_other_versions_stop_with_both_numbers(file: Path, version: int) -> None:
    database.write(file, [Row("sip:a")])
    database.set_version(file, version)
    with pytest.raises(ConfigError, match=f"has version {version}, .* reads versions 7, 8 and 9"):
        _load(file)


def test_a_missing_version_counts_as_0(file: Path) -> None:
    database.write(file, [Row("sip:a")])
    _execute(file, "DELETE FROM version")
    with pytest.raises(
        ConfigError, match=r"no version for 'dispatcher' \(counts as 0\).*7, 8 and 9"
    ):
        _load(file)
    _execute(file, "DROP TABLE version")
    with pytest.raises(ConfigError, match="counts as 0"):
        _load(file)


def test_without_persistent_state_the_column_is_not_read(file: Path) -> None:
    database.write(file, [Row("sip:a", state=1)])
    _execute(file, "ALTER TABLE dispatcher RENAME COLUMN state TO gone")
    result = _load(file, persistent_state=0)
    assert result.sets[0].destinations[0].state is State.ACTIVE
    with pytest.raises(ConfigError, match=r"no column 'state' \(state_col\)"):
        _load(file)


def test_other_names_of_table_and_columns(file: Path) -> None:
    names = {
        "setid_col": "groupid",
        "destination_col": "uri",
        "state_col": "dststate",
        "weight_col": "dstweight",
        "priority_col": "dstprio",
        "attrs_col": "dstattrs",
        "socket_col": "my_sock",
    }
    config = _settings(file, table_name="my_dispatcher", **names)
    (partition,) = resolve(config)
    create_database(partition.db_url, Names.of(config, partition.table_name))
    _execute(
        file,
        "INSERT INTO my_dispatcher (groupid, uri, dststate, dstweight, dstprio, dstattrs, my_sock)"
        " VALUES (4, 'sip:a', 2, '5', 6, 'x', '127.0.0.1')",
    )
    (found,) = load(config, partition).sets
    assert found.id == 4
    assert found.destinations == (
        Destination("sip:a", 5, 6, State.PROBING, attrs="x", socket="127.0.0.1"),
    )


def test_names_of_4_0_s_columns(file: Path) -> None:
    database.write(file, [Row("sip:a", probe_mode=1, description="d")])
    _execute(
        file,
        "ALTER TABLE dispatcher RENAME COLUMN probe_mode TO Probed",
        "ALTER TABLE dispatcher RENAME COLUMN description TO about",
    )
    expected = Destination("sip:a", probe_mode=1, description="d")
    result = _load(file, probe_mode_col="Probed", description_col="about")
    assert result.sets[0].destinations == (expected,)
    assert _load(file).sets[0].destinations == (Destination("sip:a"),), "they may be missing"


def test_a_missing_column_is_named_with_its_parameter(file: Path) -> None:
    database.write(file, [])
    with pytest.raises(ConfigError, match=r"has no column 'x' \(setid_col\), 'y' \(attrs_col\)"):
        _load(file, setid_col="x", attrs_col="y")


def test_a_missing_table_is_named(file: Path) -> None:
    database.write(file, [])
    _execute(file, "DROP TABLE dispatcher")
    with pytest.raises(ConfigError, match="there is no table 'dispatcher'"):
        _load(file)


def test_a_table_without_an_id_column(file: Path) -> None:
    """As db_text and hand-made tables have it: rows in their own order, no number to name."""
    _execute(
        file,
        "CREATE TABLE version (table_name, table_version)",
        "INSERT INTO version VALUES ('dispatcher', 7)",
        "CREATE TABLE dispatcher (setid, destination, socket, state, weight, priority, attrs)",
        "INSERT INTO dispatcher (setid, destination) VALUES (1, 'sip:a'), (1, ''), (1, 'sip:b')",
    )
    result = _load(file)
    assert _uris(result, 1) == ["sip:a", "sip:b"]
    assert result.skipped == (
        SkippedRow("dispatcher", None, "the destination is empty", Discard.DESTINATION),
    )


def test_a_database_that_is_not_there_can_be_tried_again(file: Path) -> None:
    with pytest.raises(DatabaseError, match="no such file"):
        _load(file)
    file.write_bytes(b"x" * 4096)
    with pytest.raises(DatabaseError, match="not a database"):
        _load(file)


def test_nothing_is_written(file: Path) -> None:
    database.write(file, [Row("sip:a")])
    before = file.read_bytes()
    _load(file)
    assert file.read_bytes() == before


def test_each_partition_from_its_own_database(tmp_path: Path) -> None:
    for name in ("one", "two"):
        database.write(tmp_path / name, [Row(f"sip:{name}")])
    config = _settings(tmp_path / "one", partition=f"p : db_url=sqlite:///{tmp_path}/two")
    results = {each.name: load(config, each) for each in resolve(config)}
    assert _uris(results["p"], 1) == ["sip:two"]
    assert results["p"].sets[0].partition == "p"
    assert _uris(results["default"], 1) == ["sip:one"]
