"""What a metric is: name, help, labels; how its values are handed over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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

Family = tuple[Metric, Sequence[Sample]]


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
