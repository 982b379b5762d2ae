"""The table of MI commands, and how a request's parameters become a command's arguments.

A command is a function of the farm and its arguments that returns JSON; `COMMANDS` is the table.
`call` serves JSON-RPC, by place or by name; `call_line` the protocol of OpenSIPS 2.1, whose
arguments are text in order and whose results are trees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ds_farm.mi import destinations, server, subscribing, tree
from ds_farm.mi.farm import Farm
from ds_farm.mi.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, Json, MiError, Params

Kind = type[str] | type[int] | type[list[str]] | type[object]


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter, by position and by name.  A list takes all that is left of a command line."""

    name: str
    kind: Kind = str
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the table."""

    function: Callable[..., Json]
    params: tuple[Param, ...] = ()
    tree: Callable[[Json], list[tree.Node]] = tree.plain
    """How 2.1 shows the result."""

    line_arguments: int | None = None
    """How many arguments 2.1 looks at; None: as many as there are parameters."""

    line_defaults: Mapping[str, str] = field(default_factory=dict)
    """Arguments of the function that only the dialect decides."""


def call(farm: Farm, method: str, params: Params) -> Json:
    """Run a command.  Raises MiError."""
    farm.segment.header.add("mi_requests")
    command = find(method)
    if command is None:
        raise MiError(METHOD_NOT_FOUND, "Method not found")
    return command.function(farm, **_bind(command.params, params))


def call_line(farm: Farm, name: str, arguments: Sequence[str]) -> tuple[Json, Sequence[tree.Node]]:
    """Run a command with arguments of the line protocol; its result, also as a tree.

    Arguments that the command does not look at are ignored, as 2.1 does.  Raises MiError.
    """
    farm.segment.header.add("mi_requests")
    command = find(name)
    if command is None:
        raise MiError(METHOD_NOT_FOUND, "Method not found")
    known = command.params
    if known and known[-1].kind == list[str]:
        places: list[Json] = list(arguments[: len(known) - 1])
        if rest := arguments[len(known) - 1 :]:
            places.append(list(rest))
    else:
        most = len(known) if command.line_arguments is None else command.line_arguments
        places = list(arguments[:most])
    result = command.function(farm, **command.line_defaults, **_bind(known, places))
    return result, command.tree(result)


def find(name: str) -> Command | None:
    """A command by any of its names."""
    return COMMANDS.get(ALIASES.get(name, name))


def _bind(known: tuple[Param, ...], given: Params) -> dict[str, Json]:
    if isinstance(given, Mapping):
        needed = {param.name for param in known if not param.is_optional}
        if not needed <= given.keys() <= {param.name for param in known}:
            raise MiError(INVALID_PARAMS, "Invalid params", "Named parameters do not match")
        named = given
    else:
        least = sum(not param.is_optional for param in known)
        if not least <= len(given) <= len(known):
            raise MiError(INVALID_PARAMS, "Invalid params", "Too few or too many parameters")
        named = {param.name: value for param, value in zip(known, given, strict=False)}
    return {param.name: _typed(param, named[param.name]) for param in known if param.name in named}


def _typed(param: Param, value: Json) -> Json:
    """Numbers may come as text and text as numbers: command lines do not tell them apart."""
    if param.kind is object:
        return value
    if param.kind == list[str]:
        items = value if isinstance(value, list) else [value]
        if all(isinstance(item, str) for item in items):
            return items
    elif isinstance(value, (str, int)) and not isinstance(value, bool):
        if param.kind is str:
            return _text_of(value)
        if isinstance(value, int):
            return value
        if destinations.is_number(value.removeprefix("-")):
            return int(value)
    raise MiError(INVALID_PARAMS, "Invalid params", f"Bad type for parameter '{param.name}'")


def _text_of(value: str | int) -> str:
    # Python refuses to write numbers of many thousand digits.
    return value if isinstance(value, str) else str(value) if abs(value) < 10**20 else "?"


def which(farm: Farm, command: str = "") -> Json:
    """Names of all commands; of one command, its parameters by name (for completion)."""
    if not command:
        return sorted([*COMMANDS, *ALIASES])
    found = find(command)
    return [[param.name for param in found.params]] if found else []


_STATISTICS = Param("statistics", list[str])

COMMANDS = {
    "children": Command(server.children, (Param("count", int, True),)),
    "ds_list": Command(
        destinations.ds_list,
        (Param("full", int, True), Param("partition", str, True)),
        tree.destinations,
        line_arguments=0,
    ),
    "ds_reload": Command(
        destinations.ds_reload,
        (Param("partition", str, True), Param("inherit_state", str, True)),
        line_arguments=1,
    ),
    "ds_set_state": Command(
        destinations.ds_set_state, (Param("state"), Param("group"), Param("address"))
    ),
    "event_subscribe": Command(
        subscribing.event_subscribe,
        (Param("event"), Param("socket"), Param("expire", int, True)),
        line_defaults={"format": "line"},
    ),
    "events_list": Command(subscribing.events_list, tree=tree.events),
    "get_statistics": Command(server.get_statistics, (_STATISTICS,)),
    "kill": Command(server.kill),
    "list_statistics": Command(server.list_statistics, (Param("statistics", list[str], True),)),
    "log_level": Command(server.log_level, (Param("level", int, True),), tree.processes),
    "ps": Command(server.ps, tree=tree.processes),
    "raise_event": Command(
        subscribing.raise_event, (Param("event"), Param("params", object, True))
    ),
    "reset_statistics": Command(server.reset_statistics, (_STATISTICS,)),
    "subscribers_list": Command(
        subscribing.subscribers_list,
        (Param("event", str, True), Param("socket", str, True)),
        tree.events,
    ),
    "uptime": Command(server.uptime),
    "version": Command(server.version),
    "which": Command(which, (Param("command", str, True),)),
}
"""Name -> command, in the order of the alphabet; the names are those of OpenSIPS 2.1 to 3.6, and
``children`` is ours."""

ALIASES = {
    "dispatcher:ds_list": "ds_list",
    "dispatcher:ds_reload": "ds_reload",
    "dispatcher:ds_set_state": "ds_set_state",
    "dispatcher:list": "ds_list",
    "dispatcher:reload": "ds_reload",
    "dispatcher:set_state": "ds_set_state",
    "evi:list": "events_list",
    "evi:raise": "raise_event",
    "evi:subscribe": "event_subscribe",
    "evi:subscribers": "subscribers_list",
    "statistics:get": "get_statistics",
    "statistics:list": "list_statistics",
    "statistics:reset": "reset_statistics",
}
"""OpenSIPS 4.0's names -> ours."""
