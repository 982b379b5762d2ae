"""``ds-farm list``: sets and destinations of a running farm, from its segment."""

from __future__ import annotations

import json
import sys
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
    from ds_farm.status import DestinationStatus, FarmStatus


def list_destinations(
    name: NameOption = None,
    config: NameConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show sets, destinations and their states from a running farm.

    Without a name it is that of ds_farm.toml in this folder, if there is one. The farm is not
    disturbed: this only reads its shared segment.
    """
    from ds_farm import status  # noqa: PLC0415 - keeps `--help` quick
    from ds_farm.dispatch.registry import Registry  # noqa: PLC0415 - the same
    from shm.errors import SegmentError  # noqa: PLC0415 - the same

    farm = farm_name(name, config)
    try:
        segment = status.attach(farm)
        found = status.read(segment, Registry(segment))
    except SegmentError as error:
        refuse(str(error), NOT_REACHABLE)
    if as_json:
        json.dump(_as_json(found), sys.stdout, indent=2)
        print()
    else:
        _print_table(found)


def _as_json(farm: FarmStatus) -> dict[str, object]:
    partitions: dict[str, list[dict[str, object]]] = {}
    for one in farm.sets:
        destinations = [_destination_as_json(destination) for destination in one.destinations]
        partitions.setdefault(one.partition, []).append(
            {"id": one.id, "destinations": destinations}
        )
    return {
        "farm": farm.name,
        "supervisor_pid": farm.supervisor_pid,
        "workers": farm.workers,
        "generation": farm.generation,
        "partitions": [{"name": name, "sets": sets} for name, sets in partitions.items()],
    }


def _destination_as_json(destination: DestinationStatus) -> dict[str, object]:
    from ds_farm.status import RESPONSE_CLASSES  # noqa: PLC0415 - keeps `--help` quick

    return {
        "uri": destination.uri,
        "state": destination.state.name.lower(),
        "weight": destination.weight,
        "priority": destination.priority,
        "attrs": destination.attrs,
        "requests": destination.requests,
        "responses": dict(zip(RESPONSE_CLASSES, destination.responses, strict=True)),
        "failures": destination.failures,
        "share": None if destination.share is None else round(destination.share, 6),
    }


def _print_table(farm: FarmStatus) -> None:
    from rich.console import Console  # noqa: PLC0415 - Rich costs start-up time

    from ds_farm.screen import destination_tables  # noqa: PLC0415 - the same

    console = Console()
    # A pipe gets whole lines, whatever their length.
    if not console.is_terminal:
        console = Console(width=200)
    console.print(
        f"farm {farm.name}: {farm.workers} workers, supervisor {farm.supervisor_pid}, "
        f"table {farm.generation}",
        highlight=False,
    )
    for table in destination_tables(farm):
        console.print(table)
    if not farm.sets:
        console.print("no destinations")
