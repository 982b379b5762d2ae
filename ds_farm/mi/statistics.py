"""OpenSIPS's statistics, as far as a dispatcher has them, read from the segment.

`STATISTICS` is the list: group, name, whether it can be reset, how it is read.  A reset moves what
get_statistics counts from; Prometheus's counters do not notice (they must never go back).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ds_farm.dispatch.model import State
from ds_farm.dispatch.registry import Registry
from shm.layout import Role
from shm.segment import Segment

Read = Callable[[Segment, Registry], int]


@dataclass(frozen=True, slots=True)
class Statistic:
    """One number."""

    group: str
    name: str
    read: Read
    is_counter: bool = True

    @property
    def full_name(self) -> str:
        """``core:rcv_requests``."""
        return f"{self.group}:{self.name}"


class Bases:
    """Where counters that were reset count from."""

    def __init__(self) -> None:
        self._values: dict[str, int] = {}
        self._guard = threading.Lock()

    def value(self, statistic: Statistic, now: int) -> int:
        """What is shown for a counter that stands at ``now``."""
        return max(0, now - self._values.get(statistic.full_name, 0))

    def reset(self, statistic: Statistic, now: int) -> None:
        """Show 0 from here on."""
        with self._guard:
            self._values = self._values | {statistic.full_name: now}


def _workers(field: str) -> Read:
    return lambda segment, _: sum(getattr(segment.worker(rank), field) for rank in _ranks(segment))


def _arrays(field: str, indexes: Sequence[int] | None = None) -> Read:
    def read(segment: Segment, _: Registry) -> int:
        rows = [segment.worker(rank).words(field) for rank in _ranks(segment)]
        return sum(row[i] for row in rows for i in (indexes or range(len(row))))

    return read


def _header(field: str) -> Read:
    return lambda segment, _: int(getattr(segment.header, field))


def _ranks(segment: Segment) -> list[int]:
    return [
        rank
        for rank in range(segment.layout.max_workers)
        if segment.process(rank).role == Role.WORKER and segment.process(rank).starts
    ]


def _in_state(*states: State) -> Read:
    def read(_: Segment, registry: Registry) -> int:
        return sum(
            registry.state(destination.slot) in states
            for one in registry.table().sets
            for destination in one.destinations
        )

    return read


def _uptime(segment: Segment, _: Registry) -> int:
    return (segment.now_ns() - segment.header.created_ns) // 10**9


STATISTICS = (
    Statistic("core", "rcv_requests", _workers("requests")),
    Statistic("core", "rcv_replies", _workers("responses")),
    Statistic("core", "fwd_requests", _workers("forwarded_requests")),
    Statistic("core", "fwd_replies", _workers("forwarded_responses")),
    Statistic("core", "drop_requests", _arrays("dropped")),
    Statistic("core", "err_requests", _arrays("malformed")),
    Statistic("core", "timestamp", _uptime, is_counter=False),
    Statistic("net", "rcv_bytes", _workers("received_bytes")),
    Statistic("net", "sent_bytes", _workers("sent_bytes")),
    Statistic("net", "send_errors", _workers("send_errors")),
    Statistic("sl", "1xx_replies", _arrays("replies", [1])),
    Statistic("sl", "2xx_replies", _arrays("replies", [2])),
    Statistic("sl", "3xx_replies", _arrays("replies", [3])),
    Statistic("sl", "4xx_replies", _arrays("replies", [4])),
    Statistic("sl", "5xx_replies", _arrays("replies", [5])),
    Statistic("sl", "6xx_replies", _arrays("replies", [6])),
    Statistic("sl", "sent_replies", _arrays("replies")),
    Statistic("sl", "received_ACKs", _workers("absorbed")),
    Statistic("dispatcher", "destinations", _in_state(*State), is_counter=False),
    Statistic("dispatcher", "active", _in_state(State.ACTIVE), is_counter=False),
    Statistic("dispatcher", "inactive", _in_state(State.INACTIVE), is_counter=False),
    Statistic("dispatcher", "probing", _in_state(State.PROBING), is_counter=False),
    Statistic("dispatcher", "reloads", _header("reloads_ok")),
    Statistic("dispatcher", "failed_reloads", _header("reloads_failed")),
    Statistic("dispatcher", "events", _header("events_raised")),
    Statistic("dispatcher", "dropped_events", _header("events_dropped")),
)


def select(names: Iterable[str]) -> list[Statistic]:
    """By ``all``, ``group:``, ``group:name`` or ``name``; KeyError for one that is none of them."""
    chosen: dict[str, Statistic] = {}
    for name in names:
        found = [
            one for one in STATISTICS if name in ("all", f"{one.group}:", one.full_name, one.name)
        ]
        if not found:
            raise KeyError(name)
        chosen |= {one.full_name: one for one in found}
    return list(chosen.values())


def values(
    segment: Segment, registry: Registry, bases: Bases, chosen: Iterable[Statistic]
) -> dict[str, int]:
    """Full name -> value since its last reset."""
    return {one.full_name: bases.value(one, one.read(segment, registry)) for one in chosen}
