"""``ds-farm convert``: an OpenSIPS script as configuration and routing module, for good."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ds_farm.cli.init import ROUTES_NAME, write
from ds_farm.cli.options import CONFIG_NAME, load_config, refuse


def convert(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT", help="The script: opensips.cfg.")],
    directory: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Folder to write to."),
    ] = Path("."),
    force: Annotated[bool, typer.Option("--force", help="Overwrite files.")] = False,
) -> None:
    """Write an OpenSIPS script as ds_farm.toml and routes.py.

    They do what `ds-farm run -f SCRIPT` does, which stays possible: nothing has to be converted.
    What exists is kept.
    """
    from ds_farm.cfg import translate  # noqa: PLC0415 - keeps `--help` quick
    from ds_farm.config.template import render  # noqa: PLC0415 - the same

    translation = translate(script)
    values: dict[str, dict[str, object]] = {
        name: dict(section) for name, section in translation.sections.items()
    }
    values.setdefault("farm", {})["route_module"] = ROUTES_NAME
    for note in translation.notes:
        print(f"note: {note.short}", file=sys.stderr)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write(directory / CONFIG_NAME, render(values), force)
        write(directory / ROUTES_NAME, translation.module, force)
    except OSError as error:
        refuse(f"{error.filename}: {error.strerror}")
    load_config(directory / CONFIG_NAME)
