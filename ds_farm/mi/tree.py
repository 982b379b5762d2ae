"""Results of commands as trees, as OpenSIPS 2.1 prints them (semantics section 6.1).

A command's result is the JSON of OpenSIPS 4; 2.1 showed the same as nodes ``name:: value
attr=value``, one line each, a TAB for each level.  Nothing here can fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Json = Any

UNSIGNED = (1 << 64) - 1
"""2.1 shows numbers of sets without a sign."""

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)} | {10: "\\n", 13: "\\r"}


@dataclass(frozen=True, slots=True)
class Node:
    """A line and what is below it."""

    name: str = ""
    value: str = ""
    attributes: Sequence[tuple[str, object]] = ()
    children: Sequence[Node] = ()


def render(nodes: Iterable[Node], level: int = 0) -> Iterator[str]:
    """The lines, each with its end.  Control characters are escaped: a line is a node."""
    for node in nodes:
        name = f"{_text(node.name)}:: " if node.name else ""
        attributes = "".join(f" {key}={_text(value)}" for key, value in node.attributes)
        yield "\t" * level + name + _text(node.value) + attributes + "\n"
        yield from render(node.children, level + 1)


def _text(value: object) -> str:
    return str(value).translate(_CONTROLS)


def plain(result: Json) -> list[Node]:
    """Names with values, or a list of names; none for a mere OK."""
    if isinstance(result, dict):
        return [Node(name, str(value)) for name, value in result.items()]
    return [Node(value=str(one)) for one in result] if isinstance(result, list) else []


def destinations(result: Json) -> list[Node]:
    """Of ds_list."""
    return [
        Node("PARTITION", partition["name"], (), [_set(one) for one in partition.get("SETS", ())])
        for partition in result["PARTITIONS"]
    ]


def _set(one: Json) -> Node:
    shown = [_destination(destination) for destination in one["Destinations"]]
    return Node("SET", str(one["id"] & UNSIGNED), (), shown)


def _destination(one: Json) -> Node:
    below = [Node(name, one[name]) for name in ("socket", "attr") if name in one]
    return Node("URI", one["URI"], [("state", one["state"])], below)


def processes(result: Json) -> list[Node]:
    """Of ps and log_level."""
    if "Processes" not in result:
        return plain(result)
    return [Node("Process", "", list(row.items())) for row in result["Processes"]]


def events(result: Json) -> list[Node]:
    """Of events_list and subscribers_list, which name one event or several."""
    rows = result["Events"] if "Events" in result else [result["Event"]]
    return [_event(row) for row in rows]


def _event(row: Json) -> Node:
    subscribers = [*row.get("subscribers", ()), *filter(None, [row.get("Subscriber")])]
    below = [Node("Subscriber", "", list(one.items())) for one in subscribers]
    return Node("Event", row["name"], [("id", row["id"])], below)
