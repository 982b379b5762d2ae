"""OpenSIPS's usual database: tables as its own scripts make them, read through its own URL."""

from __future__ import annotations

from collections.abc import Iterator

import pymysql
import pytest
from sqlalchemy import URL

from ds_farm.config import Config, resolve
from ds_farm.db import url as urls
from ds_farm.db.loader import LoadResult, load
from ds_farm.db.schema import VERSIONS, Created, Names, create_database, insert_destinations
from ds_farm.dispatch.model import Destination, State
from ds_farm.errors import DatabaseError
from tests.support import mariadb

OPENSIPS_8 = """
CREATE TABLE dispatcher (
    id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
    setid INT DEFAULT 0 NOT NULL,
    destination CHAR(192) DEFAULT '' NOT NULL,
    socket CHAR(128) DEFAULT NULL,
    state INT DEFAULT 0 NOT NULL,
    weight CHAR(64) DEFAULT '1' NOT NULL,
    priority INT DEFAULT 0 NOT NULL,
    attrs CHAR(128) DEFAULT '' NOT NULL,
    description CHAR(64) DEFAULT '' NOT NULL
) ENGINE=InnoDB
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with mariadb.running() as url:
        yield url


@pytest.fixture
def db_url(server: str) -> str:
    """An empty database."""
    with _connect(server) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW TABLES")
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE `{name}`")
    return server


def _connect(db_url: str) -> pymysql.Connection[pymysql.cursors.Cursor]:
    url: URL = urls.parse(db_url)
    return pymysql.connect(
        host=url.host,
        port=url.port or 0,
        user=url.username,
        password=str(url.password),
        database=url.database,
        autocommit=True,
    )


def _execute(db_url: str, *statements: str) -> None:
    with _connect(db_url) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _load(db_url: str) -> LoadResult:
    config = Config.model_validate({"dispatcher": {"db_url": db_url}}).dispatcher
    (partition,) = resolve(config)
    return load(config, partition)


def test_a_table_that_opensips_made(db_url: str) -> None:
    _execute(
        db_url,
        "CREATE TABLE version (table_name CHAR(32) NOT NULL,"
        " table_version INT UNSIGNED DEFAULT 0 NOT NULL)",
        "INSERT INTO version VALUES ('dispatcher', 8)",
        OPENSIPS_8,
        "INSERT INTO dispatcher (setid, destination, state, weight, priority, attrs) VALUES"
        " (1, 'sip:192.0.2.1', 0, '3', 0, ''), (1, 'sip:192.0.2.2', 2, '1', 5, 'x=1'),"
        " (2, 'tel:1', 0, '1', 0, '')",
    )
    result = _load(db_url)
    assert result.version == 8
    assert result.sets[0].destinations == (
        Destination("sip:192.0.2.2", 1, 5, State.PROBING, attrs="x=1"),
        Destination("sip:192.0.2.1", 3),
    )
    assert [row.id for row in result.skipped] == [3]


@pytest.mark.parametrize("version", VERSIONS)
def test_tables_that_we_make(db_url: str, version: int) -> None:
    assert create_database(db_url, version=version) == Created(table=True, version_row=True)
    assert create_database(db_url, version=version) == Created(table=False, version_row=False)
    insert_destinations(db_url, Names(), [(1, "sip:a")])
    result = _load(db_url)
    assert result.version == version
    assert result.sets[0].destinations == (Destination("sip:a"),)
    _execute(db_url, "DELETE FROM version")
    assert create_database(db_url) == Created(table=False, version_row=True)
    assert _load(db_url).version == version


def test_a_refused_login_is_told_without_the_password(db_url: str) -> None:
    wrong = db_url.replace(mariadb.PASSWORD, "geheim")
    with pytest.raises(DatabaseError, match="Access denied for user 'opensips'") as caught:
        _load(wrong)
    assert "geheim" not in str(caught.value)
