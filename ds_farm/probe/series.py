"""The series of a table's destinations: their labels, and columns of values in their order."""

from __future__ import annotations

from collections.abc import Sequence

from ds_farm.dispatch.table import DestinationRecord, Table
from ds_farm.metric import Column


class Series:
    """One series for each URI of a set: one that stands in it twice has the counts of both."""

    def __init__(self, table: Table) -> None:
        places: dict[tuple[str, str, str], list[DestinationRecord]] = {}
        for one in table.sets:
            set_id = str(one.id)
            for record in one.destinations:
                places.setdefault((one.partition, set_id, record.uri), []).append(record)
        self.labels = list(places)
        self.records = [records[0] for records in places.values()]
        self._firsts = [record.slot for record in self.records]
        self._others = [
            (index, record.slot)
            for index, records in enumerate(places.values())
            for record in records[1:]
        ]

    def firsts(self, by_slot: Sequence[int]) -> list[int]:
        """Values of the first of each series, out of those of all slots."""
        # A table may be newer than the numbers: what it has more is 0 so far.
        most = len(by_slot)
        return [by_slot[slot] if slot < most else 0 for slot in self._firsts]

    def sums(self, by_slot: Sequence[int]) -> list[int]:
        """The same, summed over the destinations of a series."""
        values = self.firsts(by_slot)
        for index, slot in self._others:
            values[index] += by_slot[slot] if slot < len(by_slot) else 0
        return values

    def column(self, values: Sequence[float], extra: tuple[str, ...] = ()) -> Column:
        """Values in the order of the series."""
        return Column(self.labels, values, extra)
