"""What a dashboard is made of, and pieces that expressions share.

Expressions are PromQL over the metrics of `ds_farm.metrics`.  ``$instance`` is chosen at the top of
each dashboard; a rate is over Grafana's own interval, so that it fits the scrape interval.
`generate.py` makes JSON of this; nothing here knows how Grafana wants it written.
"""

from __future__ import annotations

from dataclasses import dataclass

ME = 'instance=~"$instance"'
SET = f'{ME},partition=~"$partition",set=~"$set"'
RATE = "[$__rate_interval]"


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and the name of its series."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: a time series, or a single number with ``kind="stat"``, or rows of a table."""

    title: str
    queries: tuple[Query, ...]
    about: str
    """Shown at the panel's corner: what to read from it."""

    unit: str = "short"
    kind: str = "timeseries"
    width: int = 12
    """Of 24 columns."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; ``name`` is its file and the end of its identity in Grafana."""

    name: str
    title: str
    variables: tuple[tuple[str, str], ...]
    """(variable, metric and label it is taken from), in the order of their choice."""

    panels: tuple[Panel, ...]


def stat(title: str, expr: str, about: str, unit: str = "short") -> Panel:
    """A single number, six of them in a line."""
    return Panel(title, (Query(expr),), about, unit, "stat", 4)


INSTANCE = ("instance", "ds_farm_up, instance")
"""The variable that every dashboard has."""
