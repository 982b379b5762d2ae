"""From the rounds to the numbers of the table: medians, and ratios taken within a round.

The machine's speed changes from minute to minute, and with it every absolute number.  What two
contenders cost one after the other in one round is comparable; so a ratio is made of each round
and the median of those is shown, with the least and the greatest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median

from benchmarks.contenders import Case
from benchmarks.programs import Load

FEW = 4
"""Destinations of the small set."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One round of one contender."""

    cpu_us: float
    """CPU time of all workers for one transaction."""

    user_us: float
    system_us: float
    per_second: float
    busy: float
    """Part of the measured time that a worker was on the processor, 0 to 1."""

    load_busy: float
    """The same of the generator, whose two threads may come to 2."""

    p50_us: float
    p90_us: float
    p99_us: float


def cost(case: Case, load: Load) -> Cost:
    """What a transaction of this round has cost."""
    cpu_us = load.cpu.ns / 1000 / load.done
    user_us = cpu_us * load.cpu.user_share
    return Cost(
        cpu_us=cpu_us,
        user_us=user_us,
        system_us=cpu_us - user_us,
        per_second=load.per_second,
        busy=load.cpu.ns / 1e9 / load.seconds / case.workers,
        load_busy=load.own_ns / 1e9 / load.seconds,
        p50_us=load.p50_us,
        p90_us=load.p90_us,
        p99_us=load.p99_us,
    )


def typical(costs: Sequence[Cost]) -> Cost:
    """The median of each number by itself."""
    columns = {key: [asdict(each)[key] for each in costs] for key in Cost.__slots__}
    return Cost(**{key: median(values) for key, values in columns.items()})


@dataclass(frozen=True, slots=True)
class Ratio:
    """CPU time for a transaction, divided by another contender's in the same round."""

    to: str
    median: float
    least: float
    greatest: float

    @property
    def text(self) -> str:
        return f"{self.median:.2f} {self.least:.2f}-{self.greatest:.2f}"


_REFERENCES: dict[str, Callable[[Case], Case]] = {
    "reflector": lambda case: Case("reflector", case.workers, method=case.method),
    "kamailio": lambda case: replace(case, kind="kamailio", form=""),
    "few": lambda case: replace(case, destinations=FEW),
    "one_worker": lambda case: replace(case, workers=1),
    "by_hand": lambda case: replace(case, form=""),
}
"""What a case is divided by, by the name of the ratio."""


def ratios(case: Case, rounds: Mapping[Case, Sequence[Cost]]) -> dict[str, Ratio]:
    """The ratios of a case to the contenders that were measured in the same rounds."""
    found: dict[str, Ratio] = {}
    for name, reference in _REFERENCES.items():
        other = reference(case)
        if other == case or other not in rounds:
            continue
        each = [
            mine.cpu_us / its.cpu_us for mine, its in zip(rounds[case], rounds[other], strict=True)
        ]
        found[name] = Ratio(other.name, median(each), min(each), max(each))
    return found
