"""Metrics of sets and destinations, summed over the workers' counters.

Cost: the counters of all destinations are read in one go for each worker that has ever started.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import add

from ds_farm.dispatch.model import State
from ds_farm.dispatch.registry import Registry
from ds_farm.dispatch.state import CHANGES_MASK, unpack
from ds_farm.dispatch.table import Table
from ds_farm.dispatch.times import BOUNDS_S
from ds_farm.metric import Family, Metric, Sample, histogram_columns
from ds_farm.probe import samples as probe_samples
from ds_farm.probe.series import Series
from shm._native import FIELDS, SIZES
from shm.layout import Role
from shm.segment import Segment

ALGORITHMS = (*map(str, range(10)), "X")
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "6xx")
_S = ("partition", "set")
_D = ("partition", "set", "destination")

SET_DESTINATIONS = Metric("ds_farm_set_destinations", "Destinations by state.", (*_S, "state"))
SET_CURSOR = Metric("ds_farm_set_cursor", "Round-robin picks since the set was first loaded.", _S)
SET_SELECTIONS = Metric(
    "ds_farm_set_selections_total",
    "Selections that found a destination, by the number of the algorithm that did it; X: another.",
    (*_S, "algorithm"),
)
SET_FAILURES = Metric(
    "ds_farm_set_selection_failures_total", "Selections that found no destination to use.", _S
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

ADDRESS = Metric(
    "ds_farm_destination_address_in_use",
    "Which of them requests go to, from 0: a dead one gives way to the next.",
    _D,
)

METRICS = tuple(each for each in list(globals().values()) if isinstance(each, Metric))
"""All of them, in the order of exposition."""


def of_sets(segment: Segment, table: Table, registry: Registry) -> Iterator[Family]:
    counters = _Sums(segment, "SetCounters", segment.header.sets_used)
    selected = [counters.column("selections", index) for index in range(len(ALGORITHMS))]
    refused = counters.column("failures")
    by_state: list[Sample] = []
    cursors: list[Sample] = []
    selections: list[Sample] = []
    failures: list[Sample] = []
    for one in table.sets:
        labels = (one.partition, str(one.id))
        states = [registry.state(destination.slot) for destination in one.destinations]
        by_state += [((*labels, s.name.lower()), states.count(s)) for s in State]
        cursors.append((labels, segment.set(one.slot).cursor))
        selections += [
            ((*labels, name), counts[one.slot])
            for name, counts in zip(ALGORITHMS, selected, strict=True)
        ]
        failures.append((labels, refused[one.slot]))
    yield SET_DESTINATIONS, by_state
    yield SET_CURSOR, cursors
    yield SET_SELECTIONS, selections
    yield SET_FAILURES, failures


def of_destinations(segment: Segment, table: Table) -> Iterator[Family]:
    used = segment.header.destinations_used
    series = Series(table)
    counters = _Sums(segment, "DestinationCounters", used)

    def counted(name: str, index: int = 0) -> list[int]:
        return series.sums(counters.column(name, index))

    for metric, name in (
        (SELECTED, "selected"),
        (REQUESTS, "requests"),
        (FAILURES, "failures"),
        (FAILOVERS, "failovers"),
        (FAILOVERS_AWAY, "failovers_away"),
        (TIMEOUTS, "timeouts"),
        (OPEN, "open"),
    ):
        yield metric, [series.column(counted(name))]
    yield (
        RESPONSES,
        [
            series.column(counted("responses", index), (text,))
            for index, text in enumerate(CLASSES, start=1)
        ],
    )
    for metric, name in ((FIRST_RESPONSE, "first_response"), (FINAL_RESPONSE, "final_response")):
        classes = [counted(name, index) for index in range(len(BOUNDS_S) + 1)]
        totals = [total / 1e9 for total in counted(f"{name}_ns")]
        yield metric, histogram_columns(series.labels, BOUNDS_S, classes, totals)
    hot = _Columns(segment, segment.destination(0).base, "Destination", used)
    words = list(map(unpack, series.firsts(hot.column("word"))))
    yield (
        STATE,
        [series.column([int(w[0] is each) for w in words], (each.name.lower(),)) for each in State],
    )
    bases = series.firsts(hot.column("changes_base"))
    changes = [(w[2] - base) & CHANGES_MASK for w, base in zip(words, bases, strict=True)]
    yield STATE_CHANGES, [series.column(changes)]
    changed = series.firsts(hot.column("changed_ns"))
    yield STATE_TIME, [series.column([each / 1e9 for each in changed])]
    yield CONSECUTIVE_FAILURES, [series.column([w[1] for w in words])]
    yield WEIGHT, [series.column([record.weight for record in series.records])]
    yield PRIORITY, [series.column([record.priority for record in series.records])]
    counts = [len(record.addresses) for record in series.records]
    yield ADDRESSES, [series.column(counts)]
    numbers = series.firsts(hot.column("address"))
    in_use = [number % max(1, count) for number, count in zip(numbers, counts, strict=True)]
    yield ADDRESS, [series.column(in_use)]
    yield from probe_samples.of_destinations(segment, series)


class _Columns:
    """Fields of an array of structs, of all its elements at once."""

    def __init__(self, segment: Segment, base: int, struct: str, used: int) -> None:
        self._memory = segment.memory
        self._base, self._used = base, used
        self._fields = FIELDS[struct]
        self._stride = SIZES[struct] // 8

    def column(self, field: str, index: int = 0) -> list[int]:
        at = self._base + self._fields[field][0] + 8 * index
        return self._memory.words(at, self._used, self._stride)


class _Sums:
    """Counters of all workers that have started, summed."""

    def __init__(self, segment: Segment, struct: str, used: int) -> None:
        first = segment.set_counters if struct == "SetCounters" else segment.counters
        self._used = used
        self._rows = [
            _Columns(segment, first(rank, 0).base, struct, used) for rank in ranks_of(segment)
        ]

    def column(self, field: str, index: int = 0) -> list[int]:
        """A field of every slot."""
        total = [0] * self._used
        for row in self._rows:
            total = list(map(add, total, row.column(field, index)))
        return total


def ranks_of(segment: Segment) -> list[int]:
    """Ranks of SIP workers that have ever started."""
    return [rank for rank in range(segment.layout.max_workers) if starts_of(segment, rank)]


def starts_of(segment: Segment, rank: int) -> int:
    """The process slot of a SIP worker has the number of its rank."""
    view = segment.process(rank)
    return view.starts if view.role == Role.WORKER else 0
