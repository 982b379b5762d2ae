"""``ds-farm demo``: the farm at work, for somebody who has just installed it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    directory: Annotated[
        Path,
        typer.Option("--dir", metavar="DIR", help="Where ds_farm.toml and its database are made."),
    ] = Path("."),
    seconds: Annotated[
        float | None,
        typer.Option(min=1, metavar="N", help="End after N seconds with a summary."),
    ] = None,
    rate: Annotated[
        int, typer.Option(min=1, max=5000, metavar="N", help="Requests a second of the caller.")
    ] = 200,
) -> None:
    """Run a farm with three local destinations and a caller, and show who gets what.

    Makes ds_farm.toml and ds_farm.sqlite if there are none. Ctrl-C ends it; without a terminal it
    ends by itself after ten seconds.
    """
    from workers.demo import main  # noqa: PLC0415 - only this command needs it

    raise typer.Exit(main(directory, seconds, rate))
