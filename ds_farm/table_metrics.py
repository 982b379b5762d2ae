"""Metrics of sets and destinations, summed over the workers' counters.

Cost: the counters of all destinations are read in one go for each worker that has ever started.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ds_farm.dispatch.model import State
from ds_farm.dispatch.registry import Registry
from ds_farm.dispatch.table import DestinationRecord, SetRecord, Table
from ds_farm.dispatch.times import BOUNDS_S
from ds_farm.metric import Family, Metric, Sample, histogram
from ds_farm.probe import samples as probe_samples
from shm._native import FIELDS, SIZES
from shm.layout import Role
from shm.segment import Segment

CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "6xx")
_S = ("partition", "set")
_D = ("partition", "set", "destination")

SET_DESTINATIONS = Metric("ds_farm_set_destinations", "Destinations by state.", (*_S, "state"))
SET_CURSOR = Metric("ds_farm_set_cursor", "Round-robin picks since the set was first loaded.", _S)
SET_SELECTIONS = Metric(
    "ds_farm_set_selections_total", "Selections, and whether they found one.", (*_S, "result")
)

SELECTED = Metric("ds_farm_destination_selected_total", "Picks by an algorithm.", _D)
REQUESTS = Metric("ds_farm_destination_requests_total", "Requests forwarded to it.", _D)
RESPONSES = Metric(
    "ds_farm_destination_responses_total", "Responses received from it.", (*_D, "class")
)
FAILURES = Metric(
    "ds_farm_destination_failures_total", "Datagrams to it that the kernel would not send.", _D
)
FAILOVERS = Metric(
    "ds_farm_destination_failovers_total", "Requests that it got because others had failed.", _D
)
FAILOVERS_AWAY = Metric(
    "ds_farm_destination_failovers_away_total",
    "Requests that went on to another destination because it had failed.",
    _D,
)
TIMEOUTS = Metric(
    "ds_farm_destination_timeouts_total", "Transactions without a final response in time.", _D
)
OPEN = Metric(
    "ds_farm_destination_transactions", "Transactions that wait for its final response.", _D
)
FIRST_RESPONSE = Metric(
    "ds_farm_destination_first_response_seconds",
    "From a request to the first response of its transaction.",
    _D,
    BOUNDS_S,
)
FINAL_RESPONSE = Metric(
    "ds_farm_destination_final_response_seconds",
    "From a request to the final response of its transaction.",
    _D,
    BOUNDS_S,
)
STATE = Metric(
    "ds_farm_destination_state", "1 for the state that it is in, 0 for the others.", (*_D, "state")
)
STATE_CHANGES = Metric("ds_farm_destination_state_changes_total", "Changes of its state.", _D)
STATE_TIME = Metric(
    "ds_farm_destination_last_state_change_timestamp_seconds",
    "When its state changed last, or when it was loaded first.",
    _D,
)
CONSECUTIVE_FAILURES = Metric(
    "ds_farm_destination_consecutive_failures", "Failures in a row towards probing.", _D
)
WEIGHT = Metric("ds_farm_destination_weight", "Weight in the table.", _D)
PRIORITY = Metric("ds_farm_destination_priority", "Priority in the table.", _D)
ADDRESSES = Metric(
    "ds_farm_destination_addresses", "IP addresses that it has; 0: its name does not resolve.", _D
)

METRICS = tuple(each for each in list(globals().values()) if isinstance(each, Metric))
"""All of them, in the order of exposition."""


def of_sets(segment: Segment, table: Table, registry: Registry) -> Iterator[Family]:
    counters = _Sums(segment, "SetCounters", segment.header.sets_used)
    by_state: list[Sample] = []
    cursors: list[Sample] = []
    selections: list[Sample] = []
    for one in table.sets:
        labels = (one.partition, str(one.id))
        states = [registry.state(destination.slot) for destination in one.destinations]
        by_state += [((*labels, s.name.lower()), states.count(s)) for s in State]
        cursors.append((labels, segment.set(one.slot).cursor))
        selections.append(((*labels, "ok"), counters.value(one.slot, "selections")))
        selections.append(((*labels, "no_active"), counters.value(one.slot, "failures")))
    yield SET_DESTINATIONS, by_state
    yield SET_CURSOR, cursors
    yield SET_SELECTIONS, selections


def of_destinations(segment: Segment, table: Table, registry: Registry) -> Iterator[Family]:
    counters = _Sums(segment, "DestinationCounters", segment.header.destinations_used)
    places = [place for one in table.sets for place in _places(one)]
    for metric, name in (
        (SELECTED, "selected"),
        (REQUESTS, "requests"),
        (FAILURES, "failures"),
        (FAILOVERS, "failovers"),
        (FAILOVERS_AWAY, "failovers_away"),
        (TIMEOUTS, "timeouts"),
        (OPEN, "open"),
    ):
        yield metric, [(labels, counters.total(slots, name)) for labels, slots, _ in places]
    yield (
        RESPONSES,
        [
            ((*labels, text), counters.total(slots, "responses", index))
            for labels, slots, _ in places
            for index, text in enumerate(CLASSES, start=1)
        ],
    )
    for metric, name in ((FIRST_RESPONSE, "first_response"), (FINAL_RESPONSE, "final_response")):
        times: list[Sample] = []
        for labels, slots, _ in places:
            classes = [counters.total(slots, name, i) for i in range(len(BOUNDS_S) + 1)]
            times += histogram(labels, BOUNDS_S, classes, counters.total(slots, f"{name}_ns") / 1e9)
        yield metric, times
    states = [registry.state(slots[0]) for _, slots, _ in places]
    yield (
        STATE,
        [
            ((*labels, each.name.lower()), float(state == each))
            for (labels, _, _), state in zip(places, states, strict=True)
            for each in State
        ],
    )
    yield STATE_CHANGES, [(labels, registry.changes(slots[0])) for labels, slots, _ in places]
    yield (
        STATE_TIME,
        [(labels, segment.destination(slots[0]).changed_ns / 1e9) for labels, slots, _ in places],
    )
    yield (
        CONSECUTIVE_FAILURES,
        [(labels, registry.failures(slots[0])) for labels, slots, _ in places],
    )
    yield WEIGHT, [(labels, record.weight) for labels, _, record in places]
    yield PRIORITY, [(labels, record.priority) for labels, _, record in places]
    yield ADDRESSES, [(labels, len(record.addresses)) for labels, _, record in places]
    yield from probe_samples.of_destinations(
        segment, [(labels, slots) for labels, slots, _ in places]
    )


Place = tuple[tuple[str, str, str], list[int], DestinationRecord]


def _places(one: SetRecord) -> list[Place]:
    """Destinations of a set by URI: one that stands in it twice is one series, with both counts."""
    found: dict[str, Place] = {}
    for record in one.destinations:
        labels = (one.partition, str(one.id), record.uri)
        found.setdefault(record.uri, (labels, [], record))[1].append(record.slot)
    return list(found.values())


class _Sums:
    """Counter rows of all workers that have started, read once."""

    def __init__(self, segment: Segment, struct: str, used: int) -> None:
        self._fields = FIELDS[struct]
        self._stride = SIZES[struct] // 8
        first = segment.set_counters if struct == "SetCounters" else segment.counters
        self._rows = [
            segment.memory.words(first(rank, 0).base, used * self._stride)
            for rank in ranks_of(segment)
        ]

    def value(self, slot: int, field: str, index: int = 0) -> int:
        """A field of one slot, summed over the workers."""
        at = slot * self._stride + self._fields[field][0] // 8 + index
        return sum(row[at] for row in self._rows if at < len(row))

    def total(self, slots: Sequence[int], field: str, index: int = 0) -> int:
        """A field summed over slots and workers."""
        return sum(self.value(slot, field, index) for slot in slots)


def ranks_of(segment: Segment) -> list[int]:
    """Ranks of SIP workers that have ever started."""
    return [rank for rank in range(segment.layout.max_workers) if starts_of(segment, rank)]


def starts_of(segment: Segment, rank: int) -> int:
    """The process slot of a SIP worker has the number of its rank."""
    view = segment.process(rank)
    return view.starts if view.role == Role.WORKER else 0
