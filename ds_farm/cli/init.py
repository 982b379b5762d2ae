"""``ds-farm init``: a configuration, a routing module and a database to start with."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ds_farm.cli.options import CONFIG_NAME, load_config, refuse

if TYPE_CHECKING:
    from ds_farm.config import Config

ROUTES_NAME = "routes.py"
DATABASE_NAME = "ds_farm.sqlite"

ROUTES = '''\
"""Where requests go.

The farm calls `request_route` once for each request, with the functions of OpenSIPS as methods of
the request.  They return OpenSIPS's codes: what failed is false, what succeeded is true.  An
exception answers 500, is logged with its traceback, and costs the farm nothing else.
"""


def request_route(request):
    if not request.mf_process_maxfwd_header(10):
        request.send_reply(483, "Too Many Hops")
        return

    # Set 1, algorithm 4: round robin.  0 hashes the Call-ID, 8 takes the first that is active.
    if not request.ds_select_dst("1", "4"):
        request.send_reply(500, "Unable to route")
        return

    request.forward()
'''


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to write to.", show_default="this one")
    ] = Path("."),
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite files. Rows of a database always stay.")
    ] = False,
) -> None:
    """Write a commented configuration and an example routing module, and create the database.

    What exists is kept. The database is that of the configuration: tables 'dispatcher' and
    'version' as OpenSIPS has them are made where they are missing.
    """
    from ds_farm.config.template import render  # noqa: PLC0415 - keeps `--help` quick

    values: dict[str, dict[str, object]] = {
        "farm": {"socket": ["udp:127.0.0.1:5060"], "route_module": ROUTES_NAME},
        "dispatcher": {"db_url": f"sqlite:///{DATABASE_NAME}"},
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write(directory / CONFIG_NAME, render(values), force)
        write(directory / ROUTES_NAME, ROUTES, force)
    except OSError as error:
        refuse(f"{error.filename}: {error.strerror}")
    config = load_config(directory / CONFIG_NAME)
    shown = shlex.quote(str(directory / CONFIG_NAME))
    make_databases(config)
    print(
        "\nNext:\n"
        "  1. put your destinations into the table, such as\n"
        "       INSERT INTO dispatcher (setid, destination) VALUES (1, 'sip:192.0.2.1:5060');\n"
        f"  2. ds-farm check -c {shown}\n"
        f"  3. ds-farm run -c {shown}"
    )


def make_databases(config: Config) -> None:
    """Create what is missing in the database of each partition, and say so."""
    from ds_farm.config import resolve  # noqa: PLC0415 - keeps `--help` quick
    from ds_farm.db import schema, url  # noqa: PLC0415 - SQLAlchemy, for this command alone

    dispatcher = config.dispatcher
    for partition in resolve(dispatcher):
        names = schema.Names.of(dispatcher, partition.table_name)
        created = schema.create_database(partition.db_url, names)
        where = url.show(url.parse(partition.db_url))
        table = f"table {partition.table_name!r} in {where}"
        print(f"created  {table}" if created.table else f"kept     {table}")
        if created.version_row and not created.table:
            print(f"created  the version row of {table}")


def write(path: Path, text: str, force: bool) -> None:
    """Write a file, or say that it was kept."""
    exists = path.exists()
    if exists and not force:
        print(f"kept     {path}")
        return
    path.write_text(text, encoding="utf-8")
    print(f"{'replaced' if exists else 'wrote   '} {path}")
