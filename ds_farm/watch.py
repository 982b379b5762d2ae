"""Workers and destinations of a running farm as rates: two looks at the segment, what is between.

Read as `status.py` reads: from the segment alone, with no lock, disturbing nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from ds_farm import status
from ds_farm.dispatch.model import State
from ds_farm.dispatch.registry import Registry
from ds_farm.table_metrics import ranks_of
from shm.segment import Segment


@dataclass(frozen=True, slots=True)
class WorkerLook:
    """A worker's counters at one moment."""

    rank: int
    pid: int
    """0: it is not there."""

    busy_ns: int
    received: int
    """Requests and responses."""

    queued_bytes: int
    queue_limit_bytes: int
    drops: int
    open_transactions: int


@dataclass(frozen=True, slots=True)
class DestinationLook:
    """A destination's counters at one moment, of all workers together."""

    state: State
    requests: int
    timeouts: int
    failures: int
    open_transactions: int
    rtt_s: float
    """Of its probes, smoothed; 0: none has been answered."""


DestinationKey = tuple[str, int, str]
"""Partition, set, URI."""


@dataclass(frozen=True, slots=True)
class Look:
    """A farm at one moment, CLOCK_MONOTONIC."""

    at_ns: int
    name: str
    generation: int
    workers: dict[int, WorkerLook]
    destinations: dict[DestinationKey, DestinationLook]


@dataclass(frozen=True, slots=True)
class WorkerRate:
    """What a worker did between two looks."""

    now: WorkerLook
    busy: float
    """Part of its time, 0 to 1."""

    messages: float
    """Received, a second."""

    drops: float
    """By the kernel, a second."""


@dataclass(frozen=True, slots=True)
class DestinationRate:
    """What a destination got between two looks."""

    now: DestinationLook
    requests: float
    """A second."""

    share: float
    """Of its set's requests, 0 to 1."""

    trouble: float
    """Timeouts and datagrams that could not be sent, a second."""


def look(segment: Segment, registry: Registry, now_ns: int) -> Look:
    """The farm now.  SegmentError if its table cannot be read."""
    farm = status.read(segment, registry)
    return Look(
        now_ns,
        farm.name,
        farm.generation,
        {rank: _worker(segment, rank) for rank in ranks_of(segment)},
        _destinations(segment, registry),
    )


def _worker(segment: Segment, rank: int) -> WorkerLook:
    view = segment.worker(rank)
    return WorkerLook(
        rank,
        segment.process(rank).pid,
        view.busy_ns,
        view.requests + view.responses,
        view.queued_bytes,
        view.queue_limit_bytes,
        view.kernel_drops,
        view.unfinished,
    )


def _destinations(segment: Segment, registry: Registry) -> dict[DestinationKey, DestinationLook]:
    ranks = ranks_of(segment)
    found: dict[DestinationKey, DestinationLook] = {}
    for one in registry.table().sets:
        for each in one.destinations:
            views = [segment.counters(rank, each.slot) for rank in ranks]
            found[one.partition, one.id, each.uri] = DestinationLook(
                registry.state(each.slot),
                sum(view.requests for view in views),
                sum(view.timeouts for view in views),
                sum(view.failures for view in views),
                sum(view.open for view in views),
                segment.probe(each.slot).rtt_smoothed_ns / 1e9,
            )
    return found


def worker_rates(before: Look, after: Look) -> list[WorkerRate]:
    """By rank; a worker that is not there is left out.  It may have been replaced meanwhile: the
    counters of its rank go on."""
    seconds = max(1e-9, (after.at_ns - before.at_ns) / 1e9)
    rates = []
    for rank, now in sorted(after.workers.items()):
        if not now.pid:
            continue
        then = before.workers.get(rank)
        busy_ns, received, drops = (
            (now.busy_ns - then.busy_ns, now.received - then.received, now.drops - then.drops)
            if then
            else (0, 0, 0)
        )
        busy = min(1.0, busy_ns / 1e9 / seconds)
        rates.append(WorkerRate(now, busy, received / seconds, drops / seconds))
    return rates


def destination_rates(before: Look, after: Look) -> dict[DestinationKey, DestinationRate]:
    """In the order of the table."""
    seconds = max(1e-9, (after.at_ns - before.at_ns) / 1e9)
    gained: dict[DestinationKey, int] = {}
    of_set: dict[tuple[str, int], int] = {}
    for key, now in after.destinations.items():
        then = before.destinations.get(key)
        gained[key] = max(0, now.requests - then.requests) if then else 0
        of_set[key[:2]] = of_set.get(key[:2], 0) + gained[key]
    rates = {}
    for key, now in after.destinations.items():
        then = before.destinations.get(key, now)
        trouble = now.timeouts + now.failures - then.timeouts - then.failures
        total = of_set[key[:2]]
        rates[key] = DestinationRate(
            now,
            gained[key] / seconds,
            gained[key] / total if total else 0.0,
            max(0, trouble) / seconds,
        )
    return rates
