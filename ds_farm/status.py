"""What an operator sees of a running farm: sets, destinations, states, who got how much.

Read from the segment alone, from any process, with no lock: numbers of one moment are as close
together as reading them takes.  Rows of workers that never started are not touched.
"""

from __future__ import annotations

from dataclasses import dataclass

from ds_farm.dispatch.model import State
from ds_farm.dispatch.registry import Registry
from ds_farm.dispatch.table import DestinationRecord, SetRecord
from shm.errors import SegmentError
from shm.layout import Role
from shm.segment import Segment, start_time

RESPONSE_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "6xx")


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """A destination with its counts since it was first loaded, of all workers together."""

    uri: str
    state: State
    weight: int
    priority: int
    attrs: str
    requests: int
    """Forwarded to it."""

    responses: tuple[int, ...]
    """Received from it, by `RESPONSE_CLASSES`."""

    failures: int
    """Datagrams that the kernel would not send."""

    share: float | None
    """Its part of the set's requests, 0 to 1; None while the set has had none."""


@dataclass(frozen=True, slots=True)
class SetStatus:
    """A set, destinations in their order of use."""

    partition: str
    id: int
    destinations: tuple[DestinationStatus, ...]


@dataclass(frozen=True, slots=True)
class FarmStatus:
    """A farm at one moment."""

    name: str
    supervisor_pid: int
    workers: int
    """SIP workers that are alive."""

    generation: int
    sets: tuple[SetStatus, ...]


def attach(name: str) -> Segment:
    """Map a running farm's segment, read-only.

    Raises SegmentError if no farm of that name runs: what a dead one left behind is not shown.
    """
    segment = Segment.attach(name)
    pid = segment.header.supervisor_pid
    if start_time(pid) != segment.header.supervisor_start:
        segment.close()
        raise SegmentError(
            f"no farm named {name!r} is running on this host: its supervisor, pid {pid}, is dead"
        )
    return segment


def read(segment: Segment, registry: Registry) -> FarmStatus:
    """The farm now.  SegmentError if its table cannot be read."""
    table = registry.table()
    ranks = [rank for rank in range(segment.layout.max_workers) if _has_run(segment, rank)]
    return FarmStatus(
        name=segment.farm,
        supervisor_pid=segment.header.supervisor_pid,
        workers=sum(segment.process(rank).pid != 0 for rank in ranks),
        generation=table.generation,
        sets=tuple(_set_status(segment, registry, ranks, one) for one in table.sets),
    )


def _has_run(segment: Segment, rank: int) -> bool:
    """A SIP worker's process slot has the number of its rank."""
    view = segment.process(rank)
    return view.role == Role.WORKER and view.starts > 0


def _set_status(
    segment: Segment, registry: Registry, ranks: list[int], one: SetRecord
) -> SetStatus:
    requests = {
        record.slot: sum(segment.counters(rank, record.slot).requests for rank in ranks)
        for record in one.destinations
    }
    total = sum(requests.values())

    def destination(record: DestinationRecord) -> DestinationStatus:
        views = [segment.counters(rank, record.slot) for rank in ranks]
        by_class = [view.words("responses")[1:7] for view in views]
        return DestinationStatus(
            uri=record.uri,
            state=registry.state(record.slot),
            weight=record.weight,
            priority=record.priority,
            attrs=record.attrs,
            requests=requests[record.slot],
            responses=tuple(sum(counts) for counts in zip(*by_class, strict=True)) or (0,) * 6,
            failures=sum(view.failures for view in views),
            share=requests[record.slot] / total if total else None,
        )

    return SetStatus(one.partition, one.id, tuple(map(destination, one.destinations)))
