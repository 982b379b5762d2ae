"""The screen of `ds-farm top`: workers and destinations as Rich tables, as wide as the terminal.

A narrow terminal gets the columns that matter most; a low one the busiest destinations.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ds_farm.dispatch.model import State
from ds_farm.screen import STATE_STYLES
from ds_farm.watch import (
    DestinationKey,
    DestinationRate,
    Look,
    WorkerRate,
    destination_rates,
    worker_rates,
)

WIDE = 110
"""Columns of a terminal that has room for everything."""

BUSY, VERY_BUSY = 0.5, 0.8
OTHER_LINES = 10
"""What stands on the screen besides rows: title, two heads, their frames, the last line."""


def screen(before: Look, after: Look, width: int, height: int) -> Group:
    """All of it, in ``height`` lines if there is room for at least a row of each."""
    workers = worker_rates(before, after)
    rates = destination_rates(before, after)
    room = max(1, height - OTHER_LINES - min(len(workers), max(3, height // 3)))
    is_wide = width >= WIDE
    return Group(
        _title(after, workers, rates),
        _workers(workers[: max(3, height // 3)], is_wide),
        _destinations(rates, room, is_wide),
    )


def _title(
    after: Look, workers: Sequence[WorkerRate], rates: dict[DestinationKey, DestinationRate]
) -> Text:
    messages = sum(each.messages for each in workers)
    busy = sum(each.busy for each in workers) / len(workers) if workers else 0.0
    requests = sum(each.requests for each in rates.values())
    return Text(
        f"farm {after.name}  table {after.generation}  {len(workers)} workers, {busy:.0%} busy  "
        f"{messages:,.0f} messages/s  {requests:,.0f} requests/s",
        overflow="ellipsis",
        no_wrap=True,
    )


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def _workers(workers: Sequence[WorkerRate], is_wide: bool) -> Table:
    table = _table()
    table.add_column("worker")
    heads = ["busy", "messages/s", "queue", "drops/s", "open"]
    for head in ["pid", *heads] if is_wide else heads:
        table.add_column(head, justify="right")
    if is_wide:
        table.add_column("", min_width=20)
    for each in workers:
        style = "red" if each.busy >= VERY_BUSY else "yellow" if each.busy >= BUSY else "green"
        limit = each.now.queue_limit_bytes
        cells: list[str | Text] = [
            Text(f"{each.busy:.0%}", style=style),
            f"{each.messages:,.0f}",
            f"{each.now.queued_bytes / limit:.0%}" if limit else "-",
            Text(f"{each.drops:,.0f}", style="red" if each.drops else ""),
            f"{each.now.open_transactions:,}",
        ]
        if is_wide:
            bar = Text("#" * round(20 * each.busy), style=style)
            table.add_row(str(each.now.rank), str(each.now.pid), *cells, bar)
        else:
            table.add_row(str(each.now.rank), *cells)
    return table


def _destinations(
    rates: dict[DestinationKey, DestinationRate], room: int, is_wide: bool
) -> Table | Group:
    table = _table()
    # Rich takes room away from columns that may wrap: the URI gives way, and nothing else.
    if is_wide:
        table.add_column("partition", no_wrap=True)
    table.add_column("set", justify="right", no_wrap=True)
    table.add_column("destination")
    table.add_column("state", no_wrap=True)
    heads = ["req/s", "share", "open", "fail/s", "RTT ms"]
    for head in heads if is_wide else [*heads[:2], *heads[3:]]:
        table.add_column(head, justify="right", no_wrap=True)

    # The busiest of a set first; those that are not active come before all, they need a look.
    def urgency(key: DestinationKey) -> tuple[bool, float, float]:
        one = rates[key]
        return one.now.state is State.ACTIVE, -one.trouble, -one.requests

    order = sorted(rates, key=urgency)
    for key in order[:room]:
        table.add_row(*_destination(key, rates[key], is_wide))
    hidden = len(order) - room
    if hidden <= 0:
        return table
    return Group(table, Text(f"... and {hidden:,} more destinations"))


def _destination(key: DestinationKey, rate: DestinationRate, is_wide: bool) -> list[str | Text]:
    partition, set_id, uri = key
    now = rate.now
    cells: list[str | Text] = [Text(partition)] if is_wide else []
    cells += [
        str(set_id),
        Text(uri, overflow="ellipsis", no_wrap=True),
        Text(now.state.name.lower(), style=STATE_STYLES[now.state]),
        f"{rate.requests:,.0f}",
        f"{rate.share:.0%}",
    ]
    if is_wide:
        cells.append(f"{now.open_transactions:,}")
    cells.append(Text(f"{rate.trouble:,.1f}", style="red" if rate.trouble else ""))
    cells.append(f"{1000 * now.rtt_s:,.1f}" if now.rtt_s else "-")
    return cells
