"""ds_set_state, ds_list, ds_reload (documentation section 1.5).

Results and errors as of OpenSIPS 4.0 (semantics section 6.4).
"""

from __future__ import annotations

from ds_farm.config import resolve
from ds_farm.dispatch.model import DEFAULT_PARTITION, Address, State
from ds_farm.dispatch.state import Reason
from ds_farm.dispatch.table import DestinationRecord, SetRecord
from ds_farm.mi.farm import Farm
from ds_farm.mi.jsonrpc import INVALID_PARAMS, Json, MiError
from shm.segment import Segment

_STATES = {"a": State.ACTIVE, "1": State.ACTIVE, "i": State.INACTIVE, "0": State.INACTIVE}
_STATES |= {"p": State.PROBING, "2": State.PROBING}
_YES_NO = {"y": True, "1": True, "n": False, "0": False}


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
        farm.registry.set_state(slot, wanted, reason=Reason.MI)
    return "OK"


def ds_list(farm: Farm, full: int = 0, partition: str = "") -> Json:
    """All partitions with their sets and destinations, or one of them.

    The set that the database names last comes first (semantics 1.3).
    """
    if partition:
        _check_partition(farm, partition, 500)
    names = [partition] if partition else _partitions(farm)
    found = farm.registry.table().sets[::-1]
    shown = []
    for name in names:
        sets = [_show_set(farm, one, full) for one in found if one.partition == name]
        shown.append({"name": name} | ({"SETS": sets} if sets else {}))
    return {"PARTITIONS": shown}


def ds_reload(farm: Farm, partition: str = "", inherit_state: str = "y") -> Json:
    """Load all partitions again, or the one that is named.

    States of destinations that stay are kept unless ``inherit_state`` is n or 0 (decision 21).
    """
    inherit = _YES_NO.get(inherit_state.lower())
    if inherit is None:
        data = "Bad type for parameter 'inherit_state'"
        raise MiError(INVALID_PARAMS, "Invalid params", data)
    if partition:
        _check_partition(farm, partition, 500)
    failure = farm.reload(partition, inherit)
    if failure:
        raise MiError(500, "ERROR Reloading data", failure)
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
    if not is_number(number):
        raise MiError(500, "bad group value")
    return partition.strip() or DEFAULT_PARTITION, int(number)


def is_number(text: str) -> bool:
    """Digits, and not more of them than a set id or a time can have."""
    return text.isascii() and text.isdigit() and len(text) < 20


def _partitions(farm: Farm) -> list[str]:
    return [partition.name for partition in resolve(farm.config.dispatcher)]


def _check_partition(farm: Farm, name: str, code: int) -> None:
    if name not in _partitions(farm):
        raise MiError(code, "ERROR Unknown partition")
