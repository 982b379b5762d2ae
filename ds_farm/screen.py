"""Destinations of a running farm as Rich tables, for `ds-farm list` and the demo."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from ds_farm.dispatch.model import State
from ds_farm.status import RESPONSE_CLASSES, DestinationStatus, FarmStatus

STATE_STYLES = {State.ACTIVE: "green", State.INACTIVE: "red", State.PROBING: "yellow"}


def destination_tables(farm: FarmStatus) -> Iterator[Table]:
    """A table for each set.  Columns of response classes that nobody got are left out."""
    for one in farm.sets:
        shown = [
            index
            for index, name in enumerate(RESPONSE_CLASSES)
            if name == "2xx" or any(each.responses[index] for each in one.destinations)
        ]
        table = Table(
            title=f"partition {one.partition}, set {one.id}", title_justify="left", expand=False
        )
        table.add_column("destination", overflow="fold")
        table.add_column("state")
        for name in ("weight", "priority", "requests", "share"):
            table.add_column(name, justify="right")
        for index in shown:
            table.add_column(RESPONSE_CLASSES[index], justify="right")
        for destination in one.destinations:
            table.add_row(*_cells(destination, shown))
        yield table


def _cells(destination: DestinationStatus, shown: list[int]) -> Iterator[str]:
    # URIs hold brackets; Rich would take them for markup.
    yield destination.uri.replace("[", "\\[")
    style = STATE_STYLES[destination.state]
    yield f"[{style}]{destination.state.name.lower()}[/{style}]"
    yield str(destination.weight)
    yield str(destination.priority)
    yield str(destination.requests)
    yield "-" if destination.share is None else f"{destination.share:.1%}"
    for index in shown:
        yield str(destination.responses[index])
