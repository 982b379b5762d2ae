"""What a farm's segment and metrics say of the probing of one destination."""

from __future__ import annotations

from dataclasses import dataclass

from ds_farm.dispatch.model import State
from ds_farm.dispatch.registry import Registry
from ds_farm.probe.prober import Result
from shm.segment import Segment
from tests.support.farm import Farm


@dataclass(frozen=True)
class Probed:
    """One destination at one moment."""

    slot: int
    state: State
    failures: int
    sent: int
    sent_s: float
    """The last one, by time.monotonic()."""

    results: dict[Result, int]
    retransmissions: int
    status: int
    rtt_s: float


def seen(farm: Farm) -> dict[str, Probed]:
    """All destinations by URI."""
    with farm.segment() as segment:
        registry = Registry(segment)
        return {
            record.uri: _probed(segment, registry, record.slot)
            for one in registry.table().sets
            for record in one.destinations
        }


def _probed(segment: Segment, registry: Registry, slot: int) -> Probed:
    view = segment.probe(slot)
    counts = view.words("results")
    return Probed(
        slot,
        registry.state(slot),
        registry.failures(slot),
        view.number,
        view.sent_ns / 1e9,
        {result: counts[result] for result in Result if counts[result]},
        view.retransmissions,
        view.status,
        view.rtt_ns / 1e9,
    )


def set_state(farm: Farm, uri: str, state: State) -> None:
    """As an operator does, at once."""
    with Segment.attach(farm.name, writable=True) as segment:
        registry = Registry(segment)
        for one in registry.table().sets:
            for record in one.destinations:
                if record.uri == uri:
                    registry.set_state(record.slot, state)
