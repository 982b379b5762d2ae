"""What the bench commands share: options, progress, the result file, and how they end."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks.programs import BenchError

RESULTS = Path(__file__).with_name("results")
WIDTH = 80
"""Of tables, at least: a narrower terminal breaks lines, and no number is cut."""

INTERRUPTED = 130

JsonOption = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Result file; default: benchmarks/results/."),
]
RealTimeOption = Annotated[
    bool,
    typer.Option(
        "--real-time",
        help="Workers and generator run before every ordinary process (SCHED_FIFO, as root): "
        "for a machine on which something else runs too, and which can spare its cores.",
    ),
]
QuickOption = Annotated[
    bool,
    typer.Option("--quick", help="A short run that shows that it works (its numbers are rough)."),
]


def console() -> Console:
    """Where the tables go."""
    out = Console(highlight=False)
    out.width = max(WIDTH, out.width if out.is_terminal else 0)
    return out


def table(first: str, *numbers: str) -> Table:
    """A table with a column of names and columns of numbers, as narrow as they are."""
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    made.add_column(first, overflow="fold", min_width=16)
    for head in numbers:
        made.add_column(head, justify="right", no_wrap=True)
    return made


def show(out: Console, title: str, made: Table) -> None:
    """Print a table below its title."""
    out.print(title, style="bold", markup=False, soft_wrap=True)
    out.print(made, markup=False)


class Steps:
    """Progress on stderr: a bar on a terminal, else a line for each step that is done."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._bar = Progress(
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            BarColumn(30),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("", total=total)
        self._is_watched = sys.stderr.isatty()

    def begin(self, text: str) -> None:
        """What is done now."""
        if self._is_watched:
            self._bar.update(self._task, description=text)

    def end(self, text: str) -> None:
        """It is done, and what came out."""
        self._done += 1
        if self._is_watched:
            self._bar.advance(self._task)
        else:
            print(f"{self._done}/{self._total}  {text}", file=sys.stderr, flush=True)

    def __enter__(self) -> Steps:
        if self._is_watched:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_watched:
            self._bar.stop()


@contextmanager
def ended_cleanly() -> Iterator[None]:
    """Ctrl-C, TERM and HUP unwind all that was started; a BenchError is a line and exit code 1."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except BenchError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print("interrupted: no result", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def write_result(path: Path | None, bench: str, result: Mapping[str, object]) -> Path:
    """Write a result file, whose format is described in README.md; returns where it is."""
    path = path or RESULTS / f"{bench}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"bench": bench, **result}, indent=1) + "\n")
    return path
