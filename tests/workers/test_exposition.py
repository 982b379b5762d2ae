"""The text format as we write it says what the library's own writer says."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric as Exposed
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from ds_farm import exposition
from ds_farm.metric import (
    Column,
    Family,
    Metric,
    histogram,
    histogram_columns,
    samples_of,
)
from workers.exporter import exposed

LABELS = [("a", "1"), ('q"uo\\te', "2"), ("new\nline", "3"), ("", "4")]
COUNTER = Metric("x_total", "Counts, with \\ and\nmore.", ("name", "number"))
GAUGE = Metric("x_state", "One for each state.", ("name", "number", "state"))
TIMES = Metric("x_seconds", "Times.", ("name", "number"), (0.1, 2.5))
PLAIN = Metric("x_up", "No label.")

FAMILIES: list[Family] = [
    (PLAIN, [((), 1)]),
    (COUNTER, [Column(LABELS, [1, 2**53, 0, 7])]),
    (
        GAUGE,
        [Column(LABELS, [1, 0, 0, 1], ("on",)), Column(LABELS, [0.5, 1e-9, 1e300, 0], ("off",))],
    ),
    (TIMES, histogram_columns(LABELS, TIMES.bounds, [[1] * 4, [2] * 4, [3] * 4], [0.25] * 4)),
    (Metric("y_seconds", "One by one.", ("name",), (0.1,)), histogram(("z",), (0.1,), [4, 5], 9.5)),
    (Metric("nobody_total", "Has no sample.", ("name",)), []),
]

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> dict[str, tuple[str, str, Samples]]:
    """Type, help and samples of each family."""
    return {
        family.name: (
            family.type,
            family.documentation,
            {(s.name, tuple(sorted(s.labels.items()))): s.value for s in family.samples},
        )
        for family in text_string_to_metric_families(text)
    }


def of_the_library(families: Sequence[Family]) -> str:
    class Ours(Collector):
        def collect(self) -> list[Exposed]:
            return [exposed(metric, samples_of(rows)) for metric, rows in families]

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Ours())
    return generate_latest(registry).decode()


def test_same_as_the_library_writes() -> None:
    ours = parsed(exposition.text(FAMILIES).decode())
    assert ours == parsed(of_the_library(FAMILIES))
    assert sum(len(samples) for _, _, samples in ours.values()) == 1 + 4 + 8 + 4 * 5 + 4


def test_histogram_columns_are_what_single_histograms_are() -> None:
    classes = [[1, 10, 0, 0], [2, 20, 0, 1], [3, 30, 0, 0]]
    sums = [0.5, 60.0, 0.0, 2.0]
    columns = samples_of(histogram_columns(LABELS, (0.1, 2.5), classes, sums))
    single = [
        sample
        for index, labels in enumerate(LABELS)
        for sample in histogram(labels, (0.1, 2.5), [each[index] for each in classes], sums[index])
    ]
    assert sorted(columns) == sorted(single)
