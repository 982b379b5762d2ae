"""A dispatcher database as OpenSIPS makes it (table version 9), written with SQL of our own.

Not with ds_farm.db: the tests state what users have, the product must read it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS version (
    table_name CHAR(32) PRIMARY KEY NOT NULL,
    table_version INTEGER DEFAULT 0 NOT NULL
);
CREATE TABLE IF NOT EXISTS dispatcher (
    id INTEGER PRIMARY KEY NOT NULL,
    setid INTEGER DEFAULT 0 NOT NULL,
    destination CHAR(192) DEFAULT '' NOT NULL,
    socket CHAR(128) DEFAULT NULL,
    state INTEGER DEFAULT 0 NOT NULL,
    probe_mode INTEGER DEFAULT 0 NOT NULL,
    weight CHAR(64) DEFAULT '1' NOT NULL,
    priority INTEGER DEFAULT 0 NOT NULL,
    attrs CHAR(128) DEFAULT NULL,
    description CHAR(64) DEFAULT NULL
);
INSERT OR REPLACE INTO version (table_name, table_version) VALUES ('dispatcher', 9);
"""


@dataclass(frozen=True)
class Row:
    """One row of the table; the fields are its columns."""

    destination: str
    setid: int = 1
    weight: int | str = 1
    priority: int = 0
    state: int = 0
    attrs: str | None = None
    socket: str | None = None
    description: str | None = None
    probe_mode: int = 0


def write(path: Path, rows: Iterable[Row]) -> None:
    """Make the database if there is none, and replace all rows by these, in one transaction."""
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(SCHEMA)
        database.execute("BEGIN")
        database.execute("DELETE FROM dispatcher")
        database.executemany(
            "INSERT INTO dispatcher (destination, setid, weight, priority, state, attrs, socket,"
            " description, probe_mode) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [astuple(row) for row in rows],
        )


def set_version(path: Path, version: int) -> None:
    """Say that the table has another version."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE version SET table_version = ?", (version,))


def states(path: Path) -> dict[str, int]:
    """Destination to its ``state`` column."""
    with closing(sqlite3.connect(path)) as database:
        return dict(database.execute("SELECT destination, state FROM dispatcher"))
