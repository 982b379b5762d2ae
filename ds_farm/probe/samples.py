"""Metrics of probing, read from the segment in one go."""

from __future__ import annotations

from collections.abc import Iterator

from ds_farm.dispatch.table import Table
from ds_farm.metric import Family, Metric, histogram
from ds_farm.probe.prober import Result
from ds_farm.probe.rtt import BOUNDS_S
from ds_farm.probe.series import Series
from shm._native import FIELDS, SIZES
from shm.segment import Segment

_D = ("partition", "set", "destination")

PROBES = Metric(
    "ds_farm_destination_probes_total",
    "Probes sent to it; retransmissions are not among them.",
    _D,
)
PROBE_RETRANSMISSIONS = Metric(
    "ds_farm_destination_probe_retransmissions_total", "Probes sent again for want of a reply.", _D
)
PROBE_RESULTS = Metric(
    "ds_farm_destination_probe_results_total",
    "Ended probes: good or bad reply, time-out, refused by ICMP, not sent.",
    (*_D, "result"),
)
PROBE_STATUS = Metric(
    "ds_farm_destination_probe_status", "Status of the last final reply, 0 before the first.", _D
)
PROBE_RTT = Metric(
    "ds_farm_destination_probe_rtt_seconds",
    "From the last answered probe to its final reply, 0 before the first.",
    _D,
)
PROBE_RTT_SMOOTHED = Metric(
    "ds_farm_destination_probe_rtt_smoothed_seconds",
    "Running mean of that time, each new one with a weight of 1/8.",
    _D,
)
SET_PROBE_RTT = Metric(
    "ds_farm_set_probe_rtt_seconds",
    "Times from a probe to its final reply, of all destinations of a set.",
    ("partition", "set"),
    BOUNDS_S,
)
PROBE_IGNORED = Metric(
    "ds_farm_probe_replies_ignored_total",
    "Replies to probes that came late or twice, or were forged.",
)
PROBE_LOST = Metric(
    "ds_farm_probe_notices_lost_total",
    "Replies to probes that found the way from worker to timer full.",
)

METRICS = (
    PROBES,
    PROBE_RETRANSMISSIONS,
    PROBE_RESULTS,
    PROBE_STATUS,
    PROBE_RTT,
    PROBE_RTT_SMOOTHED,
    SET_PROBE_RTT,
    PROBE_IGNORED,
    PROBE_LOST,
)
"""All of them, in the order of exposition."""

_WORDS = SIZES["Probe"] // 8
_AT = {name: offset // 8 for name, (offset, _) in FIELDS["Probe"].items()}


def of_farm(segment: Segment) -> Iterator[Family]:
    """What concerns all probes."""
    yield PROBE_IGNORED, [((), segment.header.probe_replies_ignored)]
    yield PROBE_LOST, [((), segment.header.probe_notices_lost)]


def of_sets(segment: Segment, table: Table) -> Iterator[Family]:
    """The histogram of each set."""
    samples = []
    for one in table.sets:
        view = segment.set_probes(one.slot)
        counts = view.words("rtt_buckets")
        labels = (one.partition, str(one.id))
        samples += histogram(labels, BOUNDS_S, counts, view.rtt_sum_ns / 1e9)
    yield SET_PROBE_RTT, samples


def of_destinations(segment: Segment, series: Series) -> Iterator[Family]:
    """What concerns each destination."""
    base, used = segment.probe(0).base, segment.header.destinations_used

    def column(name: str, index: int = 0) -> list[int]:
        return segment.memory.words(base + 8 * (_AT[name] + index), used, _WORDS)

    for metric, name in ((PROBES, "number"), (PROBE_RETRANSMISSIONS, "retransmissions")):
        yield metric, [series.column(series.sums(column(name)))]
    yield (
        PROBE_RESULTS,
        [
            series.column(series.sums(column("results", result)), (result.name.lower(),))
            for result in Result
        ],
    )
    yield PROBE_STATUS, [series.column(series.firsts(column("status")))]
    for metric, name in ((PROBE_RTT, "rtt_ns"), (PROBE_RTT_SMOOTHED, "rtt_smoothed_ns")):
        times = series.firsts(column(name))
        yield metric, [series.column([each / 1e9 for each in times])]
