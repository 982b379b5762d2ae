"""Changed states into the database (persistent_state): the loader's second work.

A destination is due when its change number is neither the one it was allotted with nor the one
written last.  The first is in the segment, the second is this process's: a successor of a killed
loader writes every state that has ever changed once more, so nothing is lost.
"""

from __future__ import annotations

import logging

from ds_farm.config import Config
from ds_farm.config import resolve as resolve_partitions
from ds_farm.db.states import write_states
from ds_farm.dispatch.registry import Registry
from ds_farm.dispatch.state import unpack
from ds_farm.errors import DatabaseError

logger = logging.getLogger(__name__)

FLUSH_S = 30.0
"""OpenSIPS's ds-flusher."""


class Flusher:
    """What has been written; used by one thread at a time."""

    def __init__(self, config: Config, registry: Registry) -> None:
        self._settings = config.dispatcher
        self._registry = registry
        self._written: dict[int, int] = {}
        self._failing: set[str] = set()

    def flush(self) -> None:
        """Write what is due, each partition by itself; what fails stays due and is logged once."""
        if not self._settings.persistent_state:
            return
        table = self._registry.table()
        for partition in resolve_partitions(self._settings):
            rows: list[tuple[int, str, int]] = []
            numbers: dict[int, int] = {}
            for one in table.sets:
                for each in one.destinations if one.partition == partition.name else ():
                    view = self._registry.segment.destination(each.slot)
                    state, _, number = unpack(view.word)
                    if number not in (view.changes_base, self._written.get(each.slot)):
                        rows.append((one.id, each.uri, int(state)))
                        numbers[each.slot] = number
            if not rows:
                continue
            try:
                write_states(self._settings, partition, rows)
            except DatabaseError as error:
                if partition.name not in self._failing:
                    logger.error("states are not saved, they will be: %s", error)
                self._failing.add(partition.name)
            else:
                self._failing.discard(partition.name)
                self._written |= numbers
