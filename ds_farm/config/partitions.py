"""What each partition really uses: inheritance of documentation 1.1 and semantics 1.8.

The default partition exists if one of its eight parameters is set.  Then a parameter that another
partition leaves out takes its value, else the documented default.  In AVP names, also in set ones,
``_<partition>`` goes before the closing parenthesis.  Blacklists are not inherited: they are lists
of addresses with names of their own.  A partition that is described twice is one partition; what
comes later counts (whole names are compared).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ds_farm.config.dispatcher import DispatcherConfig, PartitionTable
from ds_farm.config.opensips import PARTITION_KEYS, Blacklist
from ds_farm.dispatch.model import DEFAULT_PARTITION

AVP_KEYS = ("dst_avp", "grp_avp", "cnt_avp", "sock_avp", "attrs_avp")


@dataclass(frozen=True, slots=True)
class PartitionConfig:
    """A partition with nothing left open; ``db_url`` is "" only in a configuration that
    `ds_farm.config.rules` refuses."""

    name: str
    db_url: str = field(repr=False)
    table_name: str
    dst_avp: str
    grp_avp: str
    cnt_avp: str
    sock_avp: str
    attrs_avp: str | None
    blacklists: tuple[Blacklist, ...]


def resolve(dispatcher: DispatcherConfig) -> tuple[PartitionConfig, ...]:
    """All partitions: named ones in the order of their definition, the default one last."""
    described: dict[str, dict[str, object]] = {}
    for line in dispatcher.partition:
        described.setdefault(line.name, {}).update(_set_keys(line))
    for name, table in dispatcher.partitions.items():
        described.setdefault(name, {}).update(_set_keys(table))
    default = _set_keys(dispatcher) | described.pop(DEFAULT_PARTITION, {})
    partitions = [_make(name, own, default) for name, own in described.items()]
    if default:
        partitions.append(_make(DEFAULT_PARTITION, default, {}))
    return tuple(partitions)


def _set_keys(section: DispatcherConfig | PartitionTable) -> dict[str, object]:
    """Partition parameters that the file sets; "" leaves one unset, as OpenSIPS's NULL."""
    return {
        key: getattr(section, key)
        for key in PARTITION_KEYS
        if key in section.model_fields_set and getattr(section, key)
    }


def _make(name: str, own: dict[str, object], default: dict[str, object]) -> PartitionConfig:
    def pick(key: str) -> str:
        value = default.get(key, DispatcherConfig.model_fields[key].default)
        if key in own:
            return str(own[key])
        if value and key in AVP_KEYS and name != DEFAULT_PARTITION:
            return f"{str(value)[:-1]}_{name})"
        return str(value or "")

    blacklists = own.get("ds_define_blacklist", ())
    assert isinstance(blacklists, tuple)
    return PartitionConfig(
        name=name,
        db_url=pick("db_url"),
        table_name=pick("table_name"),
        dst_avp=pick("dst_avp"),
        grp_avp=pick("grp_avp"),
        cnt_avp=pick("cnt_avp"),
        sock_avp=pick("sock_avp"),
        attrs_avp=pick("attrs_avp") or None,
        blacklists=blacklists,
    )
