"""States of destinations back into a partition's table, as OpenSIPS's ds-flusher does."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import column, table, update
from sqlalchemy.exc import SQLAlchemyError

from ds_farm.config import DispatcherConfig, PartitionConfig
from ds_farm.db import text
from ds_farm.db import url as urls
from ds_farm.db.schema import Names, reason
from ds_farm.errors import DatabaseError


def write_states(
    config: DispatcherConfig, partition: PartitionConfig, states: Iterable[tuple[int, str, int]]
) -> None:
    """Write (set id, destination as loaded, state: 0 active, 1 inactive, 2 probing), all or none.

    A row that is gone is passed over, rows that are alike all get the state, as OpenSIPS does.
    Raises DatabaseError.
    """
    names = Names.of(config, partition.table_name)
    folder = text.directory(partition.db_url)
    if folder is not None:
        text.update(folder, names.table, (names.setid, names.destination), names.state, states)
        return
    url = urls.parse(partition.db_url)
    engine = urls.engine(url)
    target = table(names.table, column(names.setid), column(names.destination), column(names.state))
    try:
        with engine.begin() as connection:
            for set_id, uri, state in states:
                connection.execute(
                    update(target)
                    .where(target.c[names.setid] == set_id, target.c[names.destination] == uri)
                    .values({names.state: state})
                )
    except SQLAlchemyError as error:
        raise DatabaseError(f"{urls.show(url)}: {reason(error)}") from None
    finally:
        engine.dispose()
