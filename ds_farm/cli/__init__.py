"""The command ``ds-farm``: one module for each command, heavy imports inside the commands.

Exit codes: 0 done, 1 refused with a reason, 2 wrong usage, 3 what should answer is not reachable.
Data goes to stdout, what is wrong to stderr.  `run` must be quick to start, so this file imports
neither a database nor Rich, nor anything of `workers` that no command has asked for.
"""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

import ds_farm
from ds_farm.cli.check import check
from ds_farm.cli.children import children
from ds_farm.cli.convert import convert
from ds_farm.cli.demo import demo
from ds_farm.cli.init import init
from ds_farm.cli.listing import list_destinations
from ds_farm.cli.mi import mi
from ds_farm.cli.reload import reload
from ds_farm.cli.run import run
from ds_farm.cli.top import top
from ds_farm.errors import FarmError

STDERR = 2

app = typer.Typer(
    name="ds-farm",
    help="A SIP dispatcher: worker processes that share destinations in shared memory.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # joins the lines of a paragraph
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 refused with a reason, 2 wrong usage, 3 not reachable.",
)
app.command()(run)
app.command()(init)
app.command()(check)
app.command()(convert)
app.command("list")(list_destinations)
app.command()(top)
app.command()(reload)
app.command()(children)
# A value such as -1 is no option.
app.command(context_settings={"ignore_unknown_options": True})(mi)
app.command()(demo)


def _version(is_asked: bool) -> None:
    if is_asked:
        version()
        raise typer.Exit


@app.callback()
def main_options(
    is_version_asked: Annotated[
        bool,
        typer.Option(
            "--version", "-V", help="Show the version and exit.", callback=_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options beside the commands."""


@app.command()
def version() -> None:
    """Show the version of ds_farm."""
    print(f"ds_farm {ds_farm.__version__}")


def main() -> None:
    """Run the command line; the console script."""
    _have_streams()
    try:
        _refuse_foreign_packages()
        app()
    except FarmError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


def _have_streams() -> None:
    """Descriptors 0 to 2 are open, or a socket of the farm would get their number; what they show
    may hold file names that are no UTF-8."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(fd, True)
    os.close(fd)
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, "w" if fd else "r", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")


def _refuse_foreign_packages() -> None:
    """``workers`` and ``shm`` are common names: another distribution may have put its own first."""
    home = Path(ds_farm.__file__).parent.parent
    for name in ("workers", "shm"):
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).parent.parent if spec and spec.origin else None
        if found != home:
            where = f"comes from {found}" if found else "is missing"
            print(
                f"ds-farm: the package '{name}' {where}, not from {home}: "
                "install ds-farm into a virtual environment of its own",
                file=sys.stderr,
            )
            sys.exit(1)
