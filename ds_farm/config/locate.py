"""The line of a key, without a TOML scanner of our own.

The line of a key is the first prefix of the file, cut at a line end, whose parse holds the key.  So
that an item of a list over several lines has its own line, a prefix that does not parse is tried
once more with a closing bracket.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from ds_farm.config.rules import Location


def find_lines(text: str, places: Sequence[Location]) -> dict[Location, int]:
    """Lines, counted from 1, of places in a file that parses.

    A place that is not in the file has the line of the innermost table that would hold it; 0 if
    there is none.
    """
    lines = text.split("\n")
    found: dict[Location, int] = {}
    wanted = {place[:length] for place in places for length in range(1, len(place) + 1)}
    for number, line in enumerate(lines, 1):
        if not wanted - found.keys():
            break
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        data = _parse("\n".join(lines[:number]) + "\n")
        found.update({place: number for place in wanted - found.keys() if holds(data, place)})
    return {
        place: next((found[place[:n]] for n in range(len(place), 0, -1) if place[:n] in found), 0)
        for place in places
    }


def holds(data: Any, place: Location) -> bool:
    """Whether parsed data has something at this place."""
    for part in place:
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return isinstance(data, str) and part == 0  # one text in place of a list
        if data is None:
            return False
    return True


def _parse(prefix: str) -> dict[str, Any]:
    for closing in ("", "]"):
        try:
            return tomllib.loads(prefix + closing)
        except tomllib.TOMLDecodeError:
            continue
    return {}
