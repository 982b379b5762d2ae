"""OpenSIPS's tables ``dispatcher`` and ``version``, for the versions that we read.

Version 7 is of OpenSIPS 1.12 to 2.x, 8 makes the weight a text, 9 adds ``probe_mode`` and lets
``attrs`` and ``description`` be NULL (semantics 1.1 and 1.9).  Names of columns are configurable,
as in documentation 1.3.21 to 1.3.27.  Only makes what is missing: no row is ever touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    CHAR,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
    column,
    inspect,
    select,
    table,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import SQLAlchemyError

from ds_farm.config import DispatcherConfig
from ds_farm.db import url as urls
from ds_farm.errors import DatabaseError

VERSIONS = (7, 8, 9)
NEWEST = VERSIONS[-1]

_UNSIGNED = Integer().with_variant(mysql.INTEGER(unsigned=True), "mysql")


@dataclass(frozen=True, slots=True)
class Names:
    """Names of the table and of its columns that are configurable."""

    table: str = "dispatcher"
    setid: str = "setid"
    destination: str = "destination"
    state: str = "state"
    weight: str = "weight"
    priority: str = "priority"
    attrs: str = "attrs"
    socket: str = "socket"

    @classmethod
    def of(cls, config: DispatcherConfig, table_name: str) -> Names:
        """The configured names, for a partition's table."""
        return cls(
            table=table_name,
            setid=config.setid_col,
            destination=config.destination_col,
            state=config.state_col,
            weight=config.weight_col,
            priority=config.priority_col,
            attrs=config.attrs_col,
            socket=config.socket_col,
        )


@dataclass(frozen=True, slots=True)
class Created:
    """What `create_database` had to make."""

    table: bool
    version_row: bool


def dispatcher_table(metadata: MetaData, names: Names, version: int = NEWEST) -> Table:
    """The table of destinations as OpenSIPS defines it for this version."""
    text_weight, nullable = version >= 8, version >= 9
    columns: list[Column[object]] = [
        Column("id", _UNSIGNED, primary_key=True, autoincrement=True),
        Column(names.setid, Integer, nullable=False, server_default=text("0")),
        Column(names.destination, CHAR(192), nullable=False, server_default=""),
        Column(names.socket, CHAR(128)),
        Column(names.state, Integer, nullable=False, server_default=text("0")),
        Column(
            names.weight,
            CHAR(64) if text_weight else Integer(),
            nullable=False,
            server_default="1" if text_weight else text("1"),
        ),
        Column(names.priority, Integer, nullable=False, server_default=text("0")),
        Column(names.attrs, CHAR(128), nullable=nullable, server_default=None if nullable else ""),
        Column("description", CHAR(64), nullable=nullable, server_default=None if nullable else ""),
    ]
    if version >= 9:
        columns.append(Column("probe_mode", _UNSIGNED, nullable=False, server_default=text("0")))
    return Table(names.table, metadata, *columns, sqlite_autoincrement=True)


def version_table(metadata: MetaData) -> Table:
    """The table that says which version each other table has."""
    return Table(
        "version",
        metadata,
        Column("table_name", CHAR(32), nullable=False),
        Column("table_version", _UNSIGNED, nullable=False, server_default=text("0")),
        UniqueConstraint("table_name", name="t_name_idx"),
    )


def read_version(connection: Connection, table_name: str) -> int | None:
    """The version that the database gives for a table, None if it gives none."""
    if not inspect(connection).has_table("version"):
        return None
    version = version_table(MetaData())
    statement = select(version.c.table_version).where(version.c.table_name == table_name)
    row = connection.execute(statement).first()
    return None if row is None else int(row[0])


def create_database(db_url: str, names: Names = Names(), version: int = NEWEST) -> Created:
    """Make the tables and the version row where they are missing; no existing row is touched.

    A table that is there without a version row gets the version that its columns have; a missing
    table gets the version that its row says.  Raises DatabaseError or ConfigError.
    """
    url = urls.parse(db_url)
    engine = urls.engine(url, create=True)
    try:
        with engine.begin() as connection:
            known = read_version(connection, names.table)
            is_new = not inspect(connection).has_table(names.table)
            if not is_new:
                version = _version_of_columns(connection, names)
            elif known in VERSIONS:
                version = known
            metadata = MetaData()
            dispatcher_table(metadata, names, version)
            versions = version_table(metadata)
            metadata.create_all(connection)
            if known is None:
                row = {"table_name": names.table, "table_version": version}
                connection.execute(versions.insert().values(row))
            return Created(is_new, known is None)
    except SQLAlchemyError as error:
        raise DatabaseError(f"{urls.show(url)}: {reason(error)}") from None
    finally:
        engine.dispose()


def insert_destinations(db_url: str, names: Names, rows: Sequence[tuple[int, str]]) -> None:
    """Add (set id, destination URI) rows; all other columns get the table's defaults.

    Raises DatabaseError or ConfigError.
    """
    url = urls.parse(db_url)
    engine = urls.engine(url)
    target = table(names.table, column(names.setid), column(names.destination))
    values = [{names.setid: set_id, names.destination: uri} for set_id, uri in rows]
    try:
        with engine.begin() as connection:
            connection.execute(target.insert(), values)
    except SQLAlchemyError as error:
        raise DatabaseError(f"{urls.show(url)}: {reason(error)}") from None
    finally:
        engine.dispose()


def _version_of_columns(connection: Connection, names: Names) -> int:
    types = {each["name"]: each["type"] for each in inspect(connection).get_columns(names.table)}
    if "probe_mode" in types:
        return 9
    return 7 if isinstance(types.get(names.weight), Integer) else 8


def reason(error: SQLAlchemyError) -> str:
    """The driver's own words, without the statement and its parameters."""
    cause = getattr(error, "orig", None) or error
    last = cause.args[-1] if cause.args else cause
    return str(last).split("\n", 1)[0]
