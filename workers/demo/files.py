"""Where the demo runs: a folder's ds_farm.toml and database if they serve, else private ones.

What exists is kept.  A configuration whose destinations are not all on this host's loopback is not
for a demo: nobody wants test calls there.  Then, and when somebody else has the destinations'
ports, the demo works in a temporary folder and says why.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ds_farm.config import Config, load, resolve
from ds_farm.config.template import render
from ds_farm.db.loader import load as load_partition
from ds_farm.db.schema import Names, create_database, insert_destinations
from ds_farm.db.url import parse
from ds_farm.dispatch.model import DEFAULT_PARTITION
from ds_farm.errors import FarmError
from ds_farm.sip._uri import uri as uri_offsets
from workers.demo.peers import Destination

CONFIG_NAME = "ds_farm.toml"
DATABASE_NAME = "ds_farm.sqlite"
DESTINATIONS = 3
LOOPBACK = "127.0.0.1"


class NotForDemo(Exception):
    """Why a folder's configuration does not serve."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What the demo runs with."""

    config: Config
    destinations: tuple[Destination, ...]
    remarks: tuple[str, ...]
    """What was made, kept or passed over, for the user."""


def set_stage(directory: Path, stack: ExitStack) -> Stage:
    """Have a configuration, a database and the destinations' sockets.

    ``stack`` closes the sockets and removes what was temporary.  Raises ConfigError or
    DatabaseError, OSError if the folder cannot be written.
    """
    try:
        return _stage_in(directory, stack)
    except NotForDemo as reason:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ds_farm_demo_")))
        stage = _stage_in(folder, stack)
        remark = (
            f"{directory / CONFIG_NAME} is left alone: {reason}; the demo uses files of its own"
        )
        return Stage(stage.config, stage.destinations, (remark,))


def _stage_in(directory: Path, stack: ExitStack) -> Stage:
    remarks = []
    path = directory / CONFIG_NAME
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        values: dict[str, dict[str, object]] = {
            "farm": {"socket": [f"udp:{LOOPBACK}:5060"]},
            "dispatcher": {"db_url": f"sqlite:///{DATABASE_NAME}"},
        }
        path.write_text(render(values), encoding="utf-8")
        remarks.append(f"wrote {path}")
    config = _load(path)
    if _fill_database(config):
        remarks.append(f"put {DESTINATIONS} local destinations into set 1 of the database")
    return Stage(config, _open_destinations(config, stack), tuple(remarks))


def _load(path: Path) -> Config:
    try:
        return load(path, for_run=True)
    except FarmError as error:
        raise NotForDemo(f"it has mistakes ({str(error).splitlines()[0]})") from None


def _fill_database(config: Config) -> bool:
    """Make tables where they are missing; True if destinations were put into an empty one."""
    partitions = resolve(config.dispatcher)
    if [each.name for each in partitions] != [DEFAULT_PARTITION]:
        raise NotForDemo("it has partitions")
    partition = partitions[0]
    if parse(partition.db_url).get_backend_name() != "sqlite":
        raise NotForDemo("its database is not an SQLite file")
    names = Names.of(config.dispatcher, partition.table_name)
    create_database(partition.db_url, names)
    loaded = load_partition(config.dispatcher, partition)
    if loaded.sets or loaded.skipped:
        return False
    insert_destinations(partition.db_url, names, [(1, uri) for uri in _free_uris()])
    return True


def _free_uris() -> list[str]:
    with ExitStack() as stack:
        ports = []
        for _ in range(DESTINATIONS):
            probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            probe.bind((LOOPBACK, 0))
            ports.append(probe.getsockname()[1])
        return [f"sip:{LOOPBACK}:{port}" for port in sorted(ports)]


def _open_destinations(config: Config, stack: ExitStack) -> tuple[Destination, ...]:
    """A peer at each address of the table; NotForDemo if one is not ours to take."""
    partition = resolve(config.dispatcher)[0]
    sets = load_partition(config.dispatcher, partition).sets
    uris = dict.fromkeys(each.uri for one in sets for each in one.destinations)
    with ExitStack() as opened:
        found = []
        for uri in uris:
            destination = _open_destination(uri)
            opened.callback(destination.close)
            found.append(destination)
        stack.push(opened.pop_all())
    return tuple(found)


def _open_destination(uri: str) -> Destination:
    data = uri.encode()
    offsets = uri_offsets(data)
    host = data[offsets["host"] : offsets["host_end"]].decode().strip("[]")
    if not host.startswith("127.") and host != "::1":
        raise NotForDemo(f"its destination {uri} is not on this host")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return Destination(family, (host, offsets["port"] or 5060))
    except OSError as error:
        raise NotForDemo(
            f"somebody else has the address of its destination {uri}: {error.strerror}"
        ) from None
