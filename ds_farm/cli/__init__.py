"""The command ``ds-farm``: one module for each command, heavy imports inside the commands.

Exit codes: 0 done, 1 refused with a reason, 2 wrong usage, 3 what should answer is not reachable.
Data goes to stdout, what is wrong to stderr.  `run` must be quick to start, so this file imports
neither a database nor Rich, nor anything of `workers` that no command has asked for.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

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


@app.command()
def version() -> None:
    """Show the version of ds_farm."""
    print(f"ds_farm {ds_farm.__version__}")


def main() -> None:
    """Run the command line; the console script."""
    try:
        _refuse_foreign_packages()
        app()
    except FarmError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


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
