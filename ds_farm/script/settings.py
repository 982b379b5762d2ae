"""What scripts read of the configuration, compiled once: hash_pvar and pvar_algo_pattern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ds_farm.errors import ConfigError
from ds_farm.script.pvars import Getter, Readable, compile_format

T = TypeVar("T")

Load = Callable[[Readable, str], float | None]
"""Load of the destination with a URI, as a request sees it; None if it is not a number."""

_MOST_GETTERS = 1 << 17
"""URIs remembered; reloads bring new ones, and the old are forgotten all at once."""


@dataclass(frozen=True, slots=True)
class ScriptSettings:
    """Made by `script_settings`."""

    hash_text: Getter | None = None
    """Value of hash_pvar (algorithm 7), None if the parameter is not set."""

    load: Load | None = None
    """Value of pvar_algo_pattern (algorithm 9), None if the parameter is not set."""


def script_settings(hash_pvar: str | None, pvar_algo_pattern: str | None) -> ScriptSettings:
    """Compile the parameters.  Raises ConfigError, naming the parameter, for unknown variables."""
    return ScriptSettings(
        hash_text=_named("hash_pvar", compile_format, hash_pvar) if hash_pvar else None,
        load=(
            _named("pvar_algo_pattern", _compile_load, pvar_algo_pattern)
            if pvar_algo_pattern
            else None
        ),
    )


def _named(parameter: str, compile_text: Callable[[str], T], text: str) -> T:
    try:
        return compile_text(text)
    except ConfigError as error:
        raise ConfigError(f"{parameter}: {error}") from None


def _compile_load(pattern: str) -> Load:
    """``%u`` in the pattern is the destination's URI (documentation 1.3.17)."""
    compile_format(pattern.replace("%u", "sip:destination"))  # errors now, not under traffic
    getters: dict[str, Getter] = {}

    def load(request: Readable, uri: str) -> float | None:
        if uri not in getters:
            if len(getters) >= _MOST_GETTERS:
                getters.clear()
            getters[uri] = compile_format(pattern.replace("%u", uri))
        value = getters[uri](request).strip()
        try:
            return float(value) if value else 0.0
        except ValueError:
            return None

    return load
