"""The parsers of ds_farm.sip, compiled and pure, by one way in: bytes -> offsets by name."""

from __future__ import annotations

from collections.abc import Callable

from ds_farm.sip import _auth, _scan, _uri, _via
from tests.support.pure import Struct, pure

Offsets = dict[str, int]

COMPILED: dict[str, Callable[[bytes], Offsets]] = {
    "scan": _scan.offsets,
    "via": _via.via,
    "uri": _uri.uri,
    "address": _uri.address,
    "credentials": _auth.credentials,
}


def _pure_scan(data: bytes) -> Offsets:
    found = Struct()
    pure("ds_farm.sip._scan").scan(data, len(data), found)
    return dict(vars(found))


def _pure(module: str, function: str) -> Callable[[bytes], Offsets]:
    def read(data: bytes) -> Offsets:
        found = Struct()
        getattr(pure(f"ds_farm.sip.{module}"), function)(data, 0, len(data), found)
        return dict(vars(found))

    return read


PURE: dict[str, Callable[[bytes], Offsets]] = {
    "scan": _pure_scan,
    "via": _pure("_via", "parse_via"),
    "uri": _pure("_uri", "parse_uri"),
    "address": _pure("_uri", "parse_address"),
    "credentials": _pure("_auth", "parse_credentials"),
}

KINDS = {"compiled": COMPILED, "pure": PURE}


def agreed(name: str, data: bytes) -> Offsets:
    """What both find; they must find the same (a field that is unset is 0)."""
    compiled, uncompiled = COMPILED[name](data), PURE[name](data)
    assert compiled == {key: int(uncompiled.get(key, 0)) for key in compiled}, data
    return compiled


def text(data: bytes, found: Offsets, name: str) -> bytes:
    """The bytes that a pair of offsets names."""
    return data[found[name] : found[f"{name.rstrip('_')}_end"]]
