"""Small costs against each other: rounds over all of them in turn, medians, ratios in a round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from benchmarks.command import Steps


@dataclass(frozen=True, slots=True)
class Timed:
    """What one thing costs."""

    ns: float
    ratio: float
    """To the reference, in the same round; both are medians."""

    least: float
    greatest: float
    """The ratio's extremes."""

    @property
    def ratio_text(self) -> str:
        return f"{self.ratio:.2f} {self.least:.2f}-{self.greatest:.2f}"

    def result(self) -> dict[str, float]:
        """For the result file."""
        return {
            "ns": round(self.ns, 2),
            "ratio": round(self.ratio, 4),
            "least": round(self.least, 4),
            "greatest": round(self.greatest, 4),
        }


def compare(
    costs: Mapping[str, Callable[[], float]],
    reference: str,
    rounds: int,
    steps: Steps | None = None,
) -> dict[str, Timed]:
    """Measure each cost (a function that returns nanoseconds) once a round, in their order."""
    measured: dict[str, list[float]] = {name: [] for name in costs}
    for number in range(1, rounds + 1):
        if steps:
            steps.begin(f"round {number}")
        for name, measure in costs.items():
            measured[name].append(measure())
        if steps:
            steps.end(f"round {number}")
    found = {}
    for name, values in measured.items():
        each = [mine / its for mine, its in zip(values, measured[reference], strict=True)]
        found[name] = Timed(median(values), median(each), min(each), max(each))
    return found
