"""Changed states into the database (persistent_state), and whether it is there: the loader's second
work.

A destination is due when its change number is neither the one it was allotted with nor the one
written last.  The first is in the segment, the second is this process's: a successor of a killed
loader writes every state that has ever changed once more, so nothing is lost.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from ds_farm.config import Config, PartitionConfig
from ds_farm.config import resolve as resolve_partitions
from ds_farm.db.loader import check
from ds_farm.db.states import write_states
from ds_farm.dispatch.registry import Registry
from ds_farm.dispatch.state import unpack
from ds_farm.dispatch.table import Table
from ds_farm.errors import ConfigError, DatabaseError

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Due:
    """States of a partition that are not in its database."""

    rows: list[tuple[int, str, int]] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)
    """Slot -> change number."""

    oldest_ns: int = 0


class Flusher:
    """What has been written; used by one thread at a time."""

    def __init__(self, config: Config, registry: Registry) -> None:
        self._settings = config.dispatcher
        self._registry = registry
        self._written: dict[int, int] = {}
        self._failing: set[str] = set()

    def turn(self) -> None:
        """Write what is due, and say in the segment whether every database has answered."""
        header = self._registry.segment.header
        is_good = self.flush()
        for partition in resolve_partitions(self._settings):
            if partition.name in self._failing:
                continue
            try:
                check(partition)
            except (ConfigError, DatabaseError) as error:
                is_good = False
                if header.database_up:
                    logger.error("the database is gone, the farm goes on: %s", error)
        if is_good and not header.database_up:
            logger.info("the database is there")
        header.database_up = int(is_good)

    def flush(self, is_last: bool = False) -> bool:
        """Write what is due, each partition by itself; what fails stays due and is logged once, and
        at the end of the farm.

        Returns whether nothing is left.
        """
        if not self._settings.persistent_state:
            return True
        left = _Due()
        table = self._registry.table()
        for partition in resolve_partitions(self._settings):
            due = self._due(table, partition)
            if not due.rows:
                self._failing.discard(partition.name)
                continue
            try:
                write_states(self._settings, partition, due.rows)
            except (ConfigError, DatabaseError) as error:
                if is_last:
                    count = len(due.rows)
                    logger.error("the last states (%d) are not saved: %s", count, error)
                elif partition.name not in self._failing:
                    logger.error("states are not saved, they will be: %s", error)
                self._failing.add(partition.name)
                left.rows += due.rows
                left.oldest_ns = min(left.oldest_ns or due.oldest_ns, due.oldest_ns)
            else:
                if partition.name in self._failing:
                    logger.info("states of partition %s are saved", partition.name)
                self._failing.discard(partition.name)
                self._written |= due.numbers
        header = self._registry.segment.header
        header.flush_oldest_ns = left.oldest_ns
        header.flush_due = len(left.rows)
        if left.rows:
            header.add("flush_failures")
        return not left.rows

    def _due(self, table: Table, partition: PartitionConfig) -> _Due:
        due = _Due()
        for one in table.sets:
            for each in one.destinations if one.partition == partition.name else ():
                view = self._registry.segment.destination(each.slot)
                state, _, number = unpack(view.word)
                if number not in (view.changes_base, self._written.get(each.slot)):
                    due.rows.append((one.id, each.uri, int(state)))
                    due.numbers[each.slot] = number
                    due.oldest_ns = min(due.oldest_ns or view.changed_ns, view.changed_ns)
        return due
