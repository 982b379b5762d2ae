"""``ds-farm run``: the production start, in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds_farm.cli.options import CONFIG_NAME, ConfigOption, SetOption, load_config


def run(
    config: ConfigOption = Path(CONFIG_NAME),
    children: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Number of SIP workers, as --set farm.children=N."),
    ] = None,
    settings: SetOption = None,
) -> None:
    """Run a farm in the foreground until it gets TERM (graceful) or INT (quick).

    HUP reloads the destinations, TTIN and TTOU make it one SIP worker more or less. The log goes to
    stderr; the line that begins with "ready:" says that calls are served, and where.
    """
    settings = list(settings or ())
    if children is not None:
        settings.append(f"farm.children={children}")
    loaded = load_config(config, settings, for_run=True)

    from workers import supervisor  # noqa: PLC0415 - only this command needs the farm itself

    raise typer.Exit(supervisor.run(loaded))
