"""``ds-farm top``: a running farm, live."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from ds_farm.cli.options import (
    NOT_REACHABLE,
    NameConfigOption,
    NameOption,
    farm_name,
    refuse,
)

if TYPE_CHECKING:
    from ds_farm.dispatch.registry import Registry
    from ds_farm.watch import Look
    from shm.segment import Segment

PIPE_WIDTH, PIPE_HEIGHT = 200, 10_000


def top(
    name: NameOption = None,
    config: NameConfigOption = None,
    interval: Annotated[
        float, typer.Option("-d", "--interval", min=0.1, max=3600, help="Seconds between looks.")
    ] = 1.0,
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="End after so many screens.")
    ] = None,
) -> None:
    """Show workers and destinations of a running farm, live; Ctrl-C ends it.

    Workers with the busy part of their time, what waits for them in the kernel and their message
    rates; destinations with state, rate, share and round-trip time, those in trouble first.
    Without a terminal it prints one screen and ends. The farm is not disturbed: this only reads
    its shared segment. NO_COLOR=1 does without colours.
    """
    from ds_farm import status  # noqa: PLC0415 - keeps `--help` quick
    from ds_farm.dispatch.registry import Registry  # noqa: PLC0415 - the same
    from shm.errors import SegmentError  # noqa: PLC0415 - the same

    farm = farm_name(name, config)
    try:
        segment = status.attach(farm)
        _show(segment, Registry(segment), interval, count)
    except SegmentError as error:
        refuse(str(error), NOT_REACHABLE)
    except KeyboardInterrupt:
        return


def _show(segment: Segment, registry: Registry, interval: float, count: int | None) -> None:
    from rich.console import Console  # noqa: PLC0415 - Rich costs start-up time
    from rich.live import Live  # noqa: PLC0415 - the same

    from ds_farm.top_screen import screen  # noqa: PLC0415 - the same

    console = Console()
    before = _look(segment, registry)
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
        for _ in range(count or 1):
            time.sleep(interval)
            after = _look(segment, registry)
            console.print(screen(before, after, PIPE_WIDTH, PIPE_HEIGHT))
            before = after
        return
    shown = 0
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while count is None or shown < count:
            time.sleep(interval if shown else min(interval, 0.5))  # the first one soon
            after = _look(segment, registry)
            live.update(screen(before, after, console.width, console.height), refresh=True)
            before = after
            shown += 1


def _look(segment: Segment, registry: Registry) -> Look:
    """The farm now; SegmentError once its supervisor has gone."""
    from ds_farm.watch import look  # noqa: PLC0415 - keeps `--help` quick
    from shm.errors import SegmentError  # noqa: PLC0415 - the same
    from shm.segment import start_time  # noqa: PLC0415 - the same

    if start_time(segment.header.supervisor_pid) != segment.header.supervisor_start:
        raise SegmentError(f"farm {segment.farm!r} has ended")
    return look(segment, registry, time.monotonic_ns())
