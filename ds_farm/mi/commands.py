"""The MI commands: what each takes and gives, with OpenSIPS's names, texts and codes.

Documentation section 1.5; results and errors as of OpenSIPS 4.0 (semantics section 6.4).  A
command is a function of the farm and its arguments; `COMMANDS` is the table, `call` checks the
arguments against it.  No sockets and no waiting: control brings what a command needs in `Farm`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import ds_farm
from ds_farm.config import Config, resolve
from ds_farm.dispatch.model import DEFAULT_PARTITION, Address, State
from ds_farm.dispatch.registry import Registry
from ds_farm.dispatch.table import DestinationRecord, SetRecord
from ds_farm.mi.jsonrpc import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Json,
    MiError,
    Params,
)
from shm.layout import Role
from shm.segment import Segment

_STATES = {"a": State.ACTIVE, "1": State.ACTIVE, "i": State.INACTIVE, "0": State.INACTIVE}
_STATES |= {"p": State.PROBING, "2": State.PROBING}
_YES_NO = {"y": True, "1": True, "n": False, "0": False}


@dataclass(frozen=True, slots=True)
class Farm:
    """What commands act on."""

    config: Config
    segment: Segment
    registry: Registry

    reload: Callable[[bool], bool]
    """Load the table again, keeping states or not; True once it is done, False if it failed."""

    now_s: Callable[[], float] = time.time
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter, by position and by name."""

    name: str
    kind: type[str] | type[int] = str
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the table."""

    function: Callable[..., Json]
    params: tuple[Param, ...] = ()


def call(farm: Farm, method: str, params: Params) -> Json:
    """Run a command.  Raises MiError."""
    command = COMMANDS.get(ALIASES.get(method, method))
    if command is None:
        raise MiError(METHOD_NOT_FOUND, "Method not found")
    return command.function(farm, **_bind(command.params, params))


def _bind(known: tuple[Param, ...], given: Params) -> dict[str, str | int]:
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


def _typed(param: Param, value: Json) -> str | int:
    """Numbers may come as text and text as numbers: command lines do not tell them apart."""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        if param.kind is str:
            return str(value)
        if isinstance(value, int) or _is_number(value):
            return int(value)
    raise MiError(INVALID_PARAMS, "Invalid params", f"Bad type for parameter '{param.name}'")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


# -- destinations ---------------------------------------------------------------------------


def ds_set_state(farm: Farm, state: str, group: str, address: str) -> Json:
    """Give a destination a state, at once and without a threshold (decision 15)."""
    wanted = _STATES.get(state[:1].lower())
    if wanted is None:
        raise MiError(500, "Bad state value")
    partition, set_id = _parse_group(group)
    _check_partition(farm, partition, 404)
    found = farm.registry.table().find(partition, set_id)
    slots = [
        destination.slot
        for destination in (found.destinations if found else ())
        if destination.uri.lower() == address.lower()
    ]
    if not slots:
        raise MiError(404, "destination not found")
    for slot in slots:
        farm.registry.set_state(slot, wanted)
    return "OK"


def ds_list(farm: Farm, full: int = 0, partition: str = "") -> Json:
    """All partitions with their sets and destinations, or one of them."""
    if partition:
        _check_partition(farm, partition, 500)
    names = [partition] if partition else _partitions(farm)
    table = farm.registry.table()
    shown = []
    for name in names:
        sets = [_show_set(farm, one, full) for one in table.sets if one.partition == name]
        shown.append({"name": name} | ({"SETS": sets} if sets else {}))
    return {"PARTITIONS": shown}


def ds_reload(farm: Farm, partition: str = "", inherit_state: str = "y") -> Json:
    """Load all partitions again; one that is named must exist.

    States of destinations that stay are kept unless ``inherit_state`` is n or 0 (decision 21).
    """
    inherit = _YES_NO.get(inherit_state.lower())
    if inherit is None:
        data = "Bad type for parameter 'inherit_state'"
        raise MiError(INVALID_PARAMS, "Invalid params", data)
    if partition:
        _check_partition(farm, partition, 500)
    if not farm.reload(inherit):
        raise MiError(500, "ERROR Reloading data")
    return "OK"


def _show_set(farm: Farm, one: SetRecord, full: int) -> Json:
    return {
        "id": one.id,
        "Destinations": [_show_destination(farm, each, full) for each in one.destinations],
    }


def _show_destination(farm: Farm, destination: DestinationRecord, full: int) -> Json:
    shown: dict[str, Json] = {
        "URI": destination.uri,
        "state": farm.registry.state(destination.slot).name.capitalize(),
        "first_hit_counter": _times_selected(farm.segment, destination.slot),
    }
    if destination.socket:
        shown["socket"] = destination.socket
    if destination.attrs:
        shown["attr"] = destination.attrs
    if full:
        shown["weight"] = destination.weight
        shown["priority"] = destination.priority
        if destination.description:
            shown["description"] = destination.description
    shown["resolved_addresses"] = [_show_address(each) for each in destination.addresses]
    return shown


def _show_address(address: Address) -> str:
    ip = f"[{address.ip}]" if ":" in address.ip else address.ip
    return f"{ip}:{address.port}"


def _times_selected(segment: Segment, slot: int) -> int:
    """Summed over the workers that have started; the process slot of a worker is its rank."""
    return sum(
        segment.counters(rank, slot).selected
        for rank in range(segment.layout.max_workers)
        if segment.process(rank).starts
    )


def _parse_group(group: str) -> tuple[str, int]:
    partition, _, number = group.rpartition(":")
    number = number.strip()
    if not _is_number(number):
        raise MiError(500, "bad group value")
    return partition.strip() or DEFAULT_PARTITION, int(number)


def _partitions(farm: Farm) -> list[str]:
    return [partition.name for partition in resolve(farm.config.dispatcher)]


def _check_partition(farm: Farm, name: str, code: int) -> None:
    if name not in _partitions(farm):
        raise MiError(code, "ERROR Unknown partition")


# -- the farm -------------------------------------------------------------------------------


def which(farm: Farm) -> Json:
    """Names of all commands."""
    return sorted(COMMANDS)


def version(farm: Farm) -> Json:
    """Product and version."""
    return {"Server": f"ds_farm ({ds_farm.__version__})"}


def uptime(farm: Farm) -> Json:
    """Since when the farm runs, local time."""
    now_s, since_s = farm.now_s(), farm.segment.header.created_ns / 1e9
    return {
        "Now": time.ctime(now_s),
        "Up since": time.ctime(since_s),
        "Up time": f"{int(now_s - since_s)} [sec]",
    }


def ps(farm: Farm) -> Json:
    """The farm's processes."""
    rows = [(farm.segment.header.supervisor_pid, "supervisor"), *_processes(farm.segment)]
    return {
        "Processes": [
            {"ID": index, "PID": pid, "Type": kind} for index, (pid, kind) in enumerate(rows)
        ]
    }


def _processes(segment: Segment) -> Iterator[tuple[int, str]]:
    for index in range(segment.layout.max_processes):
        view = segment.process(index)
        if view.pid:
            role = Role(view.role)
            name = role.name.lower()
            yield view.pid, f"{name} {view.rank}" if role is Role.WORKER else name


COMMANDS = {
    "ds_list": Command(ds_list, (Param("full", int, True), Param("partition", str, True))),
    "ds_reload": Command(
        ds_reload, (Param("partition", str, True), Param("inherit_state", str, True))
    ),
    "ds_set_state": Command(ds_set_state, (Param("state"), Param("group"), Param("address"))),
    "ps": Command(ps),
    "uptime": Command(uptime),
    "version": Command(version),
    "which": Command(which),
}
"""Name -> command, in the order of the alphabet."""

ALIASES = {
    "dispatcher:list": "ds_list",
    "dispatcher:reload": "ds_reload",
    "dispatcher:set_state": "ds_set_state",
}
"""OpenSIPS 4.0's names -> ours, which are OpenSIPS's older ones."""
