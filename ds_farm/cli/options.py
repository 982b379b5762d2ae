"""Options that several commands share, and reading the configuration for a command."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from ds_farm.config import Config
    from ds_farm.config.rules import Location

CONFIG_NAME = "ds_farm.toml"
DEFAULT_NAME = "ds_farm"

REFUSED = 1
NOT_REACHABLE = 3

ConfigOption = Annotated[
    Path,
    typer.Option(
        "-c",
        "-f",
        "--config",
        metavar="FILE",
        help="Configuration: TOML, or an OpenSIPS script whose name ends in .cfg.",
    ),
]


FarmConfigOption = Annotated[
    Path, typer.Option("-c", "-f", "--config", metavar="FILE", help="Configuration of the farm.")
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Its MI address instead: http://host:port/mi."),
]
NameOption = Annotated[
    str | None, typer.Option("-n", "--name", metavar="NAME", help="Name of the farm.")
]
NameConfigOption = Annotated[
    Path | None,
    typer.Option("-c", "-f", "--config", metavar="FILE", help="Take the name from this file."),
]

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A value instead of the file's, such as farm.name=b or farm.children=2.",
    ),
]


def load_config(path: Path, settings: Sequence[str] = (), *, for_run: bool = False) -> Config:
    """The configuration; prints every mistake to stderr and exits 1 if it has any.

    ``settings`` are ``section.key=value``, the value in TOML or plain text.
    """
    from ds_farm.config import load  # noqa: PLC0415 - keeps `--help` quick
    from ds_farm.config.load import SCRIPT  # noqa: PLC0415 - the same
    from ds_farm.errors import ConfigError  # noqa: PLC0415 - the same

    instead = dict(map(parse_setting, settings))
    try:
        return load(path, for_run=for_run, instead=instead)
    except ConfigError as error:
        print(error, file=sys.stderr)
        if not path.exists() and path.suffix != SCRIPT:
            print("'ds-farm init' writes a configuration to start with", file=sys.stderr)
        raise typer.Exit(REFUSED) from None


def farm_name(name: str | None, config: Path | None) -> str:
    """The name given, else that of the configuration given or in this folder, else the default."""
    if name is not None:
        return name
    if config is None and Path(CONFIG_NAME).exists():
        config = Path(CONFIG_NAME)
    return load_config(config).farm.name if config else DEFAULT_NAME


def parse_setting(text: str) -> tuple[Location, object]:
    """``farm.children=2`` as (("farm", "children"), 2); what is not TOML is text."""
    key, equals, value = text.partition("=")
    place = tuple(part.strip() for part in key.split("."))
    if not equals or len(place) < 2 or not all(place):
        raise typer.BadParameter(f"expected section.key=value, got {text!r}")
    try:
        return place, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return place, value


def refuse(text: str, code: int = REFUSED) -> NoReturn:
    """Print a reason to stderr and exit."""
    print(text, file=sys.stderr)
    raise typer.Exit(code)
