"""Making tables where they are missing, never touching a row that is there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ds_farm.db.schema import VERSIONS, Created, Names, create_database, insert_destinations
from ds_farm.errors import DatabaseError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "db.sqlite"


def _ask(file: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection, connection:
        return connection.execute(statement).fetchall()


COLUMNS = {
    7: "id setid destination socket state weight priority attrs description",
    8: "id setid destination socket state weight priority attrs description",
    9: "id setid destination socket state weight priority attrs description probe_mode",
}


@pytest.mark.parametrize("version", VERSIONS)
def test_tables_of_each_version(file: Path, version: int) -> None:
    made = create_database(f"sqlite:///{file}", version=version)
    assert made == Created(table=True, version_row=True)
    rows = _ask(file, "PRAGMA table_info(dispatcher)")
    columns = {str(row[1]): row for row in rows}
    assert " ".join(columns) == COLUMNS[version]
    assert columns["weight"][2] == ("INTEGER" if version == 7 else "CHAR(64)")
    assert columns["attrs"][3] == (version < 9), "NOT NULL before version 9"
    assert _ask(file, "SELECT * FROM version") == [("dispatcher", version)]


def test_defaults_of_a_row(file: Path) -> None:
    create_database(f"sqlite:///{file}")
    _ask(file, "INSERT INTO dispatcher (destination) VALUES ('sip:h')")
    assert _ask(file, "SELECT * FROM dispatcher") == [
        (1, 0, "sip:h", None, 0, "1", 0, None, None, 0)
    ]


def test_a_second_time_nothing_happens(file: Path) -> None:
    create_database(f"sqlite:///{file}")
    _ask(file, "INSERT INTO dispatcher (setid, destination, state) VALUES (1, 'sip:h', 2)")
    before = file.read_bytes()
    assert create_database(f"sqlite:///{file}") == Created(table=False, version_row=False)
    assert file.read_bytes() == before


@pytest.mark.parametrize("version", VERSIONS)
def test_a_missing_version_row_says_what_the_columns_say(file: Path, version: int) -> None:
    create_database(f"sqlite:///{file}", version=version)
    _ask(file, "DELETE FROM version")
    assert create_database(f"sqlite:///{file}") == Created(table=False, version_row=True)
    assert _ask(file, "SELECT * FROM version") == [("dispatcher", version)]


def test_a_missing_table_gets_the_version_of_its_row(file: Path) -> None:
    create_database(f"sqlite:///{file}", version=7)
    _ask(file, "DROP TABLE dispatcher")
    assert create_database(f"sqlite:///{file}") == Created(table=True, version_row=False)
    assert "probe_mode" not in str(_ask(file, "SELECT sql FROM sqlite_master"))


def test_a_second_table_beside_the_first(file: Path) -> None:
    create_database(f"sqlite:///{file}")
    names = Names(table="trunks", destination="uri", weight="select")
    create_database(f"sqlite:///{file}", names)
    assert _ask(file, "SELECT table_name FROM version") == [("dispatcher",), ("trunks",)]
    insert_destinations(f"sqlite:///{file}", names, [(3, "sip:a"), (4, "sip:b")])
    assert _ask(file, 'SELECT setid, uri, "select" FROM trunks') == [
        (3, "sip:a", "1"),
        (4, "sip:b", "1"),
    ]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="unable to open database file"):
        create_database(f"sqlite:///{tmp_path}/no/db.sqlite")


def test_a_file_that_is_no_database(file: Path) -> None:
    file.write_text("not a database, but long enough to be read as one" * 20)
    with pytest.raises(DatabaseError, match="not a database"):
        create_database(f"sqlite:///{file}")
