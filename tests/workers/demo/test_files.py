"""Where the demo runs: files that exist are kept, foreign destinations are never called."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from ds_farm.config import resolve
from tests.support import database
from tests.support.database import Row
from workers.demo.files import Stage, set_stage

CONFIG = (
    '[farm]\nname = "mine"\nsocket = "127.0.0.1"\n[dispatcher]\ndb_url = "sqlite:///my.sqlite"\n'
)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _ports(stage: Stage) -> list[int]:
    return [destination.socket.getsockname()[1] for destination in stage.destinations]


def _is_private(stage: Stage, folder: Path) -> bool:
    (partition,) = resolve(stage.config.dispatcher)
    return stage.config.path.parent != folder and str(folder) not in partition.db_url


def test_an_empty_folder_gets_configuration_and_destinations(
    tmp_path: Path, stack: ExitStack
) -> None:
    stage = set_stage(tmp_path / "new", stack)
    assert stage.config.path == tmp_path / "new" / "ds_farm.toml"
    assert len(set(_ports(stage))) == 3
    assert len(stage.remarks) == 2


def test_a_second_time_the_same_files_and_destinations(tmp_path: Path) -> None:
    with ExitStack() as first:
        ports = _ports(set_stage(tmp_path, first))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with ExitStack() as second:
        stage = set_stage(tmp_path, second)
        assert _ports(stage) == ports
        assert stage.remarks == ()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_beside_another_demo_it_uses_files_of_its_own(tmp_path: Path) -> None:
    with ExitStack() as first, ExitStack() as second:
        ports = _ports(set_stage(tmp_path, first))
        stage = set_stage(tmp_path, second)
        assert _is_private(stage, tmp_path)
        assert not set(ports) & set(_ports(stage))
        assert "somebody else has the address" in stage.remarks[0]
        temporary = stage.config.path.parent
    assert not temporary.exists()


def test_a_users_configuration_and_table_on_loopback_are_used(
    tmp_path: Path, stack: ExitStack
) -> None:
    (tmp_path / "ds_farm.toml").write_text(CONFIG)
    database.write(
        tmp_path / "my.sqlite", [Row("sip:127.9.9.9:7001"), Row("sip:127.9.9.9:7002", 5)]
    )
    stage = set_stage(tmp_path, stack)
    assert stage.config.farm.name == "mine"
    assert _ports(stage) == [7001, 7002]


@pytest.mark.parametrize(
    ("config", "rows", "reason"),
    [
        (CONFIG, [Row("sip:127.0.0.1:7001"), Row("sip:192.0.2.1")], "is not on this host"),
        (CONFIG, [Row("sip:sip.example.com")], "is not on this host"),
        (CONFIG + "[farm]\n", [], "it has mistakes"),
        (CONFIG + 'partition = "p : table_name=t"\n', [], "it has partitions"),
        (CONFIG.replace("sqlite:///my.sqlite", "mysql://u@127.0.0.1/d"), [], "not an SQLite file"),
    ],
)
def test_what_is_not_for_a_demo_is_left_alone(
    tmp_path: Path, stack: ExitStack, config: str, rows: list[Row], reason: str
) -> None:
    (tmp_path / "ds_farm.toml").write_text(config)
    if rows:
        database.write(tmp_path / "my.sqlite", rows)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    stage = set_stage(tmp_path, stack)
    assert _is_private(stage, tmp_path)
    assert len(_ports(stage)) == 3
    assert reason in stage.remarks[0]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_empty_table_is_filled(tmp_path: Path, stack: ExitStack) -> None:
    (tmp_path / "ds_farm.toml").write_text(CONFIG)
    database.write(tmp_path / "my.sqlite", [])
    ports = _ports(set_stage(tmp_path, stack))
    with closing(sqlite3.connect(tmp_path / "my.sqlite")) as connection:
        rows = connection.execute("SELECT setid, destination FROM dispatcher").fetchall()
    assert rows == [(1, f"sip:127.0.0.1:{port}") for port in ports]
