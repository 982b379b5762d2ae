"""Rows of a partition's table to sets of destinations; read-only.

What the farm needs of the database for a start and a reload.  A bad row is skipped and reported,
never fatal (decision 22); a database that cannot be used stops the load with nothing changed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, column, inspect, null, select, table
from sqlalchemy.exc import SQLAlchemyError

from ds_farm.config import DispatcherConfig, PartitionConfig
from ds_farm.db import text
from ds_farm.db import url as urls
from ds_farm.db.rows import BadRow, RawRow, convert
from ds_farm.db.schema import VERSIONS, read_version, reason
from ds_farm.dispatch.model import Destination, DestinationSet, Discard
from ds_farm.errors import ConfigError, DatabaseError


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A row that was not used as it stands.  ``id`` is None in a table without that column."""

    table: str
    id: int | None
    reason: str
    what: Discard | None = None
    """Of a row that is left out."""

    def __str__(self) -> str:
        return f"table {self.table!r}, id {self.id}: {self.reason}"


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a partition's table holds.

    ``sets`` are in the order of their first rows; ``skipped`` rows are missing from them,
    ``warnings`` are about rows that are in them all the same.
    """

    partition: str
    sets: tuple[DestinationSet, ...]
    skipped: tuple[SkippedRow, ...]
    version: int
    warnings: tuple[SkippedRow, ...] = ()


def load(config: DispatcherConfig, partition: PartitionConfig) -> LoadResult:
    """Read a partition.  Addresses of destinations stay empty: the caller resolves names.

    Raises DatabaseError if the database cannot be reached or does not answer, ConfigError if it
    answers but cannot be used: wrong version, table or column missing.
    """
    folder = text.directory(partition.db_url)
    if folder is not None:
        return _load_text(folder, config, partition)
    url = urls.parse(partition.db_url)
    engine = urls.engine(url)
    try:
        with engine.connect() as connection:
            version = read_version(connection, partition.table_name)
            version = _check_version(version, partition.table_name, urls.show(url))
            rows = _select(connection, config, partition.table_name, version, urls.show(url))
    except SQLAlchemyError as error:
        raise DatabaseError(f"{urls.show(url)}: {reason(error)}") from None
    finally:
        engine.dispose()
    return build(rows, partition.name, partition.table_name, version)


def check(partition: PartitionConfig) -> None:
    """Whether a partition's database answers; nothing is read.  DatabaseError if it does not."""
    if text.directory(partition.db_url) is not None:
        return
    url = urls.parse(partition.db_url)
    engine = urls.engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(select(1))
    except SQLAlchemyError as error:
        raise DatabaseError(f"{urls.show(url)}: {reason(error)}") from None
    finally:
        engine.dispose()


def build(rows: Iterable[RawRow], partition: str, table_name: str, version: int) -> LoadResult:
    """Rows in the database's order to sets: priority descending, then row order."""
    sets: dict[int, list[Destination]] = {}
    skipped: list[SkippedRow] = []
    warnings: list[SkippedRow] = []
    for row in rows:
        row_id = row.id if isinstance(row.id, int) else None
        try:
            set_id, destination, warning = convert(row)
        except BadRow as bad:
            skipped.append(SkippedRow(table_name, row_id, str(bad), bad.what))
            continue
        if warning:
            warnings.append(SkippedRow(table_name, row_id, warning))
        sets.setdefault(set_id, []).append(destination)
    for destinations in sets.values():
        destinations.sort(key=lambda destination: -destination.priority)
    return LoadResult(
        partition,
        tuple(DestinationSet(partition, number, tuple(found)) for number, found in sets.items()),
        tuple(skipped),
        version,
        tuple(warnings),
    )


def _load_text(folder: Path, config: DispatcherConfig, partition: PartitionConfig) -> LoadResult:
    """The same from a text file.  A line that is no row is skipped and named."""
    name = partition.table_name
    version = _check_version(text.read_version(folder, name), name, f"{text.SCHEME}{folder}")
    found = text.read(folder, name)
    wanted = _columns(config, set(found.columns), version, f"{found.path}: the table")
    rows = []
    for line in found.lines:
        values = found.values(line)
        rows.append(
            RawRow(
                *(values[wanted[key].lower()] if key in wanted else None for key in RawRow._fields)
            )
        )
    result = build(rows, partition.name, name, version)
    bad = tuple(SkippedRow(name, None, reason, Discard.LINE) for reason in found.bad)
    return replace(result, skipped=(*bad, *result.skipped))


def _check_version(version: int | None, table_name: str, where: str) -> int:
    if version is not None and version in VERSIONS:
        return version
    known = f"{', '.join(map(str, VERSIONS[:-1]))} and {VERSIONS[-1]}"
    found = (
        f"table 'version' gives no version for {table_name!r} (counts as 0)"
        if version is None
        else f"table {table_name!r} has version {version}"
    )
    raise ConfigError(f"{where}: {found}, this ds_farm reads versions {known}")


def _select(
    connection: Connection, config: DispatcherConfig, table_name: str, version: int, where: str
) -> list[RawRow]:
    """All rows, in the order of ``id`` where there is one: that is OpenSIPS's row order on MySQL
    and SQLite, and does not change when a state is written back."""
    inspector = inspect(connection)
    if not inspector.has_table(table_name):
        raise ConfigError(f"{where}: there is no table {table_name!r}")
    present = {each["name"].lower() for each in inspector.get_columns(table_name)}
    wanted = _columns(config, present, version, f"{where}: table {table_name!r}")
    columns: list[ColumnElement[Any]] = [
        column(wanted[key]) if key in wanted else null() for key in RawRow._fields
    ]
    statement = select(*columns).select_from(table(table_name))
    if "id" in wanted:
        statement = statement.order_by(column("id"))
    return [RawRow._make(row) for row in connection.execute(statement)]


def _columns(
    config: DispatcherConfig, present: Container[str], version: int, where: str
) -> dict[str, str]:
    """Fields of `RawRow` and the columns that they are in.  ConfigError names what is missing."""
    required = {
        "setid": config.setid_col,
        "destination": config.destination_col,
        "socket": config.socket_col,
        "weight": config.weight_col,
        "attrs": config.attrs_col,
        "priority": config.priority_col,
    }
    if config.persistent_state:
        required["state"] = config.state_col
    missing = [
        f"{name!r} ({key}_col)" for key, name in required.items() if name.lower() not in present
    ]
    if missing:
        raise ConfigError(f"{where} has no column {', '.join(missing)}")
    optional = {"id": "id", "description": config.description_col}
    if version >= 9:
        optional["probe_mode"] = config.probe_mode_col
    return required | {key: name for key, name in optional.items() if name.lower() in present}
