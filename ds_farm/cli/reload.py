"""``ds-farm reload``: a running farm reads its database again, and this says what changed.

It goes the way of ``ds-farm mi``: ds_reload (documentation section 1.5) over mi.http.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ds_farm.cli.mi import as_expected, ask, find_address, refuse_error
from ds_farm.cli.options import CONFIG_NAME, FarmConfigOption, UrlOption

Key = tuple[str, str, str]
"""Partition, set and URI of a destination."""


def reload(
    partition: Annotated[
        str | None,
        typer.Option("--partition", metavar="NAME", help="Passed on to ds_reload."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Take the states of the database, keep none.")
    ] = False,
    config: FarmConfigOption = Path(CONFIG_NAME),
    url: UrlOption = None,
) -> None:
    """Make a running farm read its database again, wait, and show what changed.

    It goes to mi.http of the configuration. A reload that fails changes nothing: exit code 1.
    """
    address, token = find_address(config, url, "reload")
    params = {"inherit_state": "n" if fresh else "y"}
    if partition is not None:
        params["partition"] = partition

    def call(method: str, arguments: dict[str, str]) -> Any:
        answer = ask(address, token, method, arguments)
        refuse_error(method, answer)
        return answer.get("result")

    def listed() -> set[Key]:
        result = call("ds_list", {})
        with as_expected(address):
            return _destinations(result)

    before = listed()
    call("ds_reload", params)
    after = listed()
    for sign, keys in (("+", after - before), ("-", before - after)):
        for name, set_id, uri in sorted(keys):
            print(f"{sign} partition {name}, set {set_id}: {uri}")
    sets = {key[:2] for key in after}
    print(f"reloaded: {len(after)} destinations in {len(sets)} sets")


def _destinations(listed: dict[str, Any]) -> set[Key]:
    return {
        (partition["name"], str(one["id"]), destination["URI"])
        for partition in listed["PARTITIONS"]
        for one in partition.get("SETS", ())
        for destination in one["Destinations"]
    }
