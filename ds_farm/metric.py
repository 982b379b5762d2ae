"""What a metric is: name, help, labels; how its values are handed over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import add


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: the name of its samples (a counter's ends in ``_total``), help and labels."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's classes."""

    @property
    def kind(self) -> str:
        """Prometheus's word: counter, gauge or histogram."""
        if self.bounds:
            return "histogram"
        return "counter" if self.name.endswith("_total") else "gauge"


Sample = tuple[tuple[str, ...], float]
"""Label values in the metric's order, and the value.

A histogram's have one more, the part: "sum", "count", or the upper bound of a class, whose value
counts everything up to it.
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A value for each of many series.  All columns of a table share one list of ``labels``, so
    that 10,000 destinations are written within a scrape's time."""

    labels: Sequence[tuple[str, ...]]
    values: Sequence[float]
    extra: tuple[str, ...] = ()
    """What each sample has besides, in the place of the last labels or as the part."""


Rows = Sequence[Sample] | Sequence[Column]
Family = tuple[Metric, Rows]


def samples_of(rows: Rows) -> Iterator[Sample]:
    """Every sample by itself; those of a series stand together, as OpenMetrics has it."""
    columns = [row for row in rows if isinstance(row, Column)]
    yield from (row for row in rows if not isinstance(row, Column))
    if columns:
        extras = [column.extra for column in columns]
        values = zip(*(column.values for column in columns), strict=True)
        for labels, of_series in zip(columns[0].labels, values, strict=True):
            for extra, value in zip(extras, of_series, strict=True):
                yield (*labels, *extra), value


def histogram_columns(
    labels: Sequence[tuple[str, ...]],
    bounds: Sequence[float],
    classes: Sequence[Sequence[float]],
    totals: Sequence[float],
) -> list[Column]:
    """Columns of a histogram of many series; ``classes`` has a column for each class's own count,
    the last beyond all bounds."""
    columns: list[Column] = []
    running: list[float] = [0.0] * len(labels)
    for bound, counts in zip((*map(str, bounds), "+Inf"), classes, strict=True):
        running = list(map(add, running, counts))
        columns.append(Column(labels, running, (bound,)))
    return [*columns, Column(labels, running, ("count",)), Column(labels, totals, ("sum",))]


def histogram(
    labels: tuple[str, ...], bounds: Sequence[float], counts: Sequence[int], total: float
) -> list[Sample]:
    """Samples of one series; ``counts`` has each class's own count, the last beyond all bounds."""
    samples: list[Sample] = []
    running = 0
    for bound, count in zip((*(str(bound) for bound in bounds), "+Inf"), counts, strict=True):
        running += count
        samples.append(((*labels, bound), running))
    return [*samples, ((*labels, "count"), running), ((*labels, "sum"), total)]
