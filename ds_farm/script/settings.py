"""What the dispatcher's functions read of the configuration, compiled once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from ds_farm.dispatch.model import DEFAULT_PARTITION
from ds_farm.errors import ConfigError
from ds_farm.script.pvars import Getter, Readable, Setter, compile_format, compile_setter

if TYPE_CHECKING:
    from ds_farm.config import DispatcherConfig, PartitionConfig

T = TypeVar("T")

Load = Callable[[Readable, str], float | None]
"""Load of the destination with a URI, as a request sees it; None if it is not a number."""

_MOST_GETTERS = 1 << 17
"""URIs remembered; reloads bring new ones, and the old are forgotten all at once."""


@dataclass(frozen=True, slots=True)
class AvpNames:
    """Names, without ``$avp()``, of a partition's AVPs (documentation 1.3.13 to 1.3.16, 1.3.2)."""

    dst: str = "ds_dst_failover"
    grp: str = "ds_grp_failover"
    cnt: str = "ds_cnt_failover"
    sock: str = "ds_sock_failover"
    attrs: str = ""
    """Empty: attributes are not provided."""


@dataclass(frozen=True, slots=True)
class ScriptSettings:
    """Made by `script_settings`."""

    hash_text: Getter | None = None
    """Value of hash_pvar (algorithm 7), None if the parameter is not set."""

    load: Load | None = None
    """Value of pvar_algo_pattern (algorithm 9), None if the parameter is not set."""

    set_setid: Setter | None = None
    """Stores a set id in setid_pvar, None if the parameter is not set."""

    avps: Mapping[str, AvpNames] = field(default_factory=lambda: {DEFAULT_PARTITION: AvpNames()})
    """By partition; also the list of partitions."""

    blacklists: Mapping[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    """Name -> partition and sets whose addresses are on the list (documentation 1.3.11)."""


def script_settings(
    dispatcher: DispatcherConfig, partitions: tuple[PartitionConfig, ...]
) -> ScriptSettings:
    """Compile the parameters.  Raises ConfigError, naming the parameter, for unknown variables."""
    return ScriptSettings(
        hash_text=_compiled("hash_pvar", compile_format, dispatcher),
        load=_compiled("pvar_algo_pattern", _compile_load, dispatcher),
        set_setid=_compiled("setid_pvar", compile_setter, dispatcher),
        avps={
            one.name: AvpNames(
                avp_name(one.dst_avp),
                avp_name(one.grp_avp),
                avp_name(one.cnt_avp),
                avp_name(one.sock_avp),
                avp_name(one.attrs_avp or ""),
            )
            for one in partitions
        },
        blacklists={
            blacklist.name: (one.name, blacklist.set_ids)
            for one in partitions
            for blacklist in one.blacklists
        },
    )


def unknown_variables(dispatcher: DispatcherConfig) -> Iterator[tuple[str, str]]:
    """Every parameter that cannot be compiled, with what is wrong with it."""
    compilers: dict[str, Callable[[str], object]] = {
        "hash_pvar": compile_format,
        "pvar_algo_pattern": _compile_load,
        "setid_pvar": compile_setter,
    }
    for parameter, compile_text in compilers.items():
        try:
            _compiled(parameter, compile_text, dispatcher)
        except ConfigError as error:
            yield parameter, str(error).removeprefix(f"{parameter}: ")


def avp_name(text: str) -> str:
    """``$avp(name)`` -> ``name``; the configuration has checked the form."""
    return text.removeprefix("$avp(").removesuffix(")").strip()


def _compiled(
    parameter: str, compile_text: Callable[[str], T], dispatcher: DispatcherConfig
) -> T | None:
    """What a parameter's text compiles to; None if it is not set."""
    text = getattr(dispatcher, parameter)
    if not text:
        return None
    try:
        return compile_text(text)
    except ConfigError as error:
        raise ConfigError(f"{parameter}: {error}") from None


def _compile_load(pattern: str) -> Load:
    """``%u`` in the pattern is the destination's URI (documentation 1.3.17)."""
    compile_format(pattern)  # errors now, not under traffic
    getters: dict[str, Getter] = {}

    def load(request: Readable, uri: str) -> float | None:
        if uri not in getters:
            if len(getters) >= _MOST_GETTERS:
                getters.clear()
            getters[uri] = compile_format(pattern, lambda part: part.replace("%u", uri))
        value = getters[uri](request).strip()
        try:
            number = float(value) if value else 0.0
        except ValueError:
            return None
        return number if math.isfinite(number) else None

    return load
