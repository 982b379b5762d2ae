"""What the segment counts, by destination, and a watcher that sees whether it ever goes back."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ds_farm.dispatch.model import State
from ds_farm.dispatch.registry import Registry
from shm.segment import Segment
from tests.support.farm import Farm
from tests.support.wait import until


@dataclass(frozen=True)
class Counts:
    """Sums over all workers at one moment."""

    requests: dict[str, int]
    """Forwarded, by destination."""

    selected: dict[str, int]
    responses: dict[str, int]
    states: dict[str, State]
    cursors: dict[int, int]
    """Round-robin position by set id."""

    received: int
    """Requests at all workers."""

    def ascending(self) -> dict[str, int]:
        """Every value that may only grow, by a name."""
        found = {f"cursor of set {key}": value for key, value in self.cursors.items()}
        for name in ("requests", "selected", "responses"):
            values: dict[str, int] = getattr(self, name)
            found |= {f"{name} of {uri}": value for uri, value in values.items()}
        return found | {"received": self.received}


def read(segment: Segment) -> Counts:
    """Counters of the current table's destinations."""
    registry = Registry(segment)
    ranks = range(segment.header.max_workers)
    requests: dict[str, int] = {}
    selected: dict[str, int] = {}
    responses: dict[str, int] = {}
    states: dict[str, State] = {}
    cursors: dict[int, int] = {}
    for record in registry.table().sets:
        cursors[record.id] = segment.set(record.slot).cursor
        for destination in record.destinations:
            views = [segment.counters(rank, destination.slot) for rank in ranks]
            requests[destination.uri] = sum(view.requests for view in views)
            selected[destination.uri] = sum(view.selected for view in views)
            responses[destination.uri] = sum(sum(view.words("responses")) for view in views)
            states[destination.uri] = registry.state(destination.slot)
    received = sum(segment.worker(rank).requests for rank in ranks)
    return Counts(requests, selected, responses, states, cursors, received)


def of(farm: Farm) -> Counts:
    """Counters of a running farm now."""
    with farm.segment() as segment:
        return read(segment)


def wait_for_traffic(farm: Farm, requests: int) -> None:
    """Until the farm has received that many more requests."""
    goal = of(farm).received + requests
    until(lambda: of(farm).received >= goal, f"{requests} more requests at farm {farm.name}")


class Watcher:
    """Reads the counters twenty times a second in a thread and notes all that has gone back."""

    PERIOD_S = 0.05

    def __init__(self, farm: Farm) -> None:
        self._segment = farm.segment()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="counter watcher")
        self._error: BaseException | None = None
        self.went_back: list[str] = []
        self.readings = 0

    def _watch(self) -> None:
        try:
            last: dict[str, int] = {}
            while not self._ended.wait(self.PERIOD_S):
                now = read(self._segment).ascending()
                self.went_back += [
                    f"{name}: {last[name]} -> {value}"
                    for name, value in now.items()
                    if value < last.get(name, 0)
                ]
                last = now
                self.readings += 1
        except BaseException as error:
            self._error = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._segment.close()
        if self._error is not None and error is None:
            raise self._error
