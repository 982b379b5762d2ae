"""Format strings over pseudo-variables: ``"hash the $fU@$ci"`` (documentation 1.3.3).

A format is parsed once into a function of the request; an unknown variable is a ConfigError then,
not a surprise under traffic.  The table below is the list of variables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping
from typing import Protocol

from ds_farm.cfg.pvars import (
    REFERENCE,
    Reference,
    Unknown,
    avp_name,
    check_transformation,
    parse,
)
from ds_farm.cfg.texts import Value, at, nameaddr, param, uri_part
from ds_farm.cfg.texts import text as as_text
from ds_farm.cfg.transformations import transform_1x
from ds_farm.errors import ConfigError


class Stacks(Protocol):
    """AVPs, as far as they are read here."""

    def get(self, name: str, default: str | int, /) -> str | int: ...
    def all(self, name: str) -> list[str | int]: ...


class Readable(Protocol):
    """What a variable reads: the request of ds_farm.script."""

    @property
    def ru(self) -> str: ...
    @property
    def du(self) -> str | None: ...
    @property
    def method(self) -> str: ...
    @property
    def ci(self) -> str: ...
    @property
    def cs(self) -> int: ...
    @property
    def fu(self) -> str: ...
    @property
    def ft(self) -> str: ...
    @property
    def tu(self) -> str: ...
    @property
    def tt(self) -> str: ...
    @property
    def si(self) -> str: ...
    @property
    def sp(self) -> int: ...
    @property
    def rs(self) -> int: ...
    @property
    def rr(self) -> str: ...
    @property
    def T_reply_code(self) -> int: ...
    @property
    def mb(self) -> bytes: ...
    @property
    def rb(self) -> bytes: ...
    @property
    def ou(self) -> str: ...
    @property
    def Ri(self) -> str: ...
    @property
    def Rp(self) -> int: ...
    @property
    def fs(self) -> str | None: ...
    @property
    def avp(self) -> Stacks: ...
    @property
    def var(self) -> Mapping[str, str | int]: ...
    @property
    def stat(self) -> Mapping[str, int]: ...
    def hdr(self, name: str) -> list[str]: ...


Getter = Callable[[Readable], str]
"""Value of a variable for a request; empty where OpenSIPS has NULL."""

Setter = Callable[["Writable", str | int], None]
"""Gives a variable a value."""


class Writable(Protocol):
    """What can be assigned to: the two kinds of variables that are a script's own."""

    @property
    def avp(self) -> MutableMapping[str, str | int]: ...
    @property
    def var(self) -> MutableMapping[str, str | int]: ...


def _part(uri: str, part: str) -> str:
    """``user``, ``host`` or ``port`` of a URI; empty if it has none."""
    return as_text(uri_part(uri, part))


def _first(values: list[str]) -> str:
    return values[0] if values else ""


def _credential(request: Readable, name: str) -> str:
    """A parameter of Proxy-Authorization, else of Authorization."""
    given = request.hdr("Proxy-Authorization") or request.hdr("Authorization")
    return as_text(param(_first(given).partition(" ")[2], name, ","))


VARIABLES: dict[str, Getter] = {
    "ci": lambda r: r.ci,
    "cs": lambda r: str(r.cs),
    "rm": lambda r: r.method,
    "ru": lambda r: r.ru,
    "rU": lambda r: _part(r.ru, "user"),
    "rd": lambda r: _part(r.ru, "host"),
    "rp": lambda r: _part(r.ru, "port"),
    "ou": lambda r: r.ou,
    "oU": lambda r: _part(r.ou, "user"),
    "od": lambda r: _part(r.ou, "host"),
    "op": lambda r: _part(r.ou, "port"),
    "fu": lambda r: r.fu,
    "fU": lambda r: _part(r.fu, "user"),
    "fd": lambda r: _part(r.fu, "host"),
    "ft": lambda r: r.ft,
    "fn": lambda r: as_text(nameaddr(_first(r.hdr("From")), "name")),
    "tu": lambda r: r.tu,
    "tU": lambda r: _part(r.tu, "user"),
    "td": lambda r: _part(r.tu, "host"),
    "tt": lambda r: r.tt,
    "tn": lambda r: as_text(nameaddr(_first(r.hdr("To")), "name")),
    "du": lambda r: r.du or "",
    "dd": lambda r: _part(r.du or "", "host"),
    "dp": lambda r: _part(r.du or "", "port"),
    "si": lambda r: r.si,
    "sp": lambda r: str(r.sp),
    "Ri": lambda r: r.Ri,
    "Rp": lambda r: str(r.Rp),
    "fs": lambda r: r.fs or "",
    "pr": lambda r: "udp",
    "au": lambda r: _credential(r, "username"),
    "ar": lambda r: _credential(r, "realm"),
    "ua": lambda r: _first(r.hdr("User-Agent")),
    "rs": lambda r: str(r.rs) if r.rs else "",
    "rr": lambda r: r.rr,
    "T_reply_code": lambda r: str(r.T_reply_code),
    "ct": lambda r: _first(r.hdr("Contact")),
    "cT": lambda r: _first(r.hdr("Content-Type")),
    "mb": lambda r: r.mb.decode("utf-8", "replace"),
    "rb": lambda r: r.rb.decode("utf-8", "replace"),
}

NAMED: dict[str, Callable[[str], Getter]] = {
    "hdr": lambda name: lambda r: _first(r.hdr(name)),
    "avp": lambda name: lambda r: str(r.avp.get(name, "")),
    "var": lambda name: lambda r: str(r.var.get(name, "")),
    "stat": lambda name: lambda r: str(r.stat.get(name, "")),
}

LISTS: dict[str, Callable[[str], Callable[[Readable], list[Value]]]] = {
    "hdr": lambda name: lambda r: [*r.hdr(name)],
    "avp": lambda name: lambda r: [*r.avp.all(name)],
}
"""Of those that an index chooses from: all values."""


def compile_format(text: str, fill: Callable[[str], str] = str) -> Getter:
    """A function that fills the format for a request.

    ``$$`` is a dollar sign; ``$(name[index]{transformation})`` as in OpenSIPS.  ``fill`` gets every
    literal part and every name in parentheses, after both have been recognised.  Raises ConfigError
    for a variable that does not exist, naming it and its place.
    """
    pieces: list[str | Getter] = []
    end = 0
    for match in REFERENCE.finditer(text):
        if "$" in text[end : match.start()]:
            break
        pieces.append(fill(text[end : match.start()]))
        pieces.append("$" if match[0] == "$$" else _getter(match[0], fill))
        end = match.end()
    if "$" in text[end:]:
        raise ConfigError(f"{text!r}: no variable after the $ at column {text.index('$', end) + 1}")
    pieces.append(fill(text[end:]))
    pieces = [piece for piece in pieces if piece != ""]
    if len(pieces) == 1 and not isinstance(pieces[0], str):
        return pieces[0]
    return lambda request: "".join(
        piece if isinstance(piece, str) else piece(request) for piece in pieces
    )


def _getter(text: str, fill: Callable[[str], str]) -> Getter:
    try:
        reference = parse(text)
        for name, arguments in reference.transformations:
            check_transformation(name, arguments, text)
    except Unknown as error:
        raise ConfigError(str(error)) from None
    getter = _plain(reference, text, fill)
    for name, arguments in reference.transformations:
        getter = _transformed(getter, name, [compile_format(each, fill) for each in arguments])
    return getter


def _plain(reference: Reference, text: str, fill: Callable[[str], str]) -> Getter:
    name, inner, index = reference.name, reference.inner, reference.index
    if inner is None and index is None and name in VARIABLES:
        return VARIABLES[name]
    if inner and index is None and name in NAMED:
        return NAMED[name](fill(avp_name(inner)))
    if inner and index is not None and name in LISTS and re.fullmatch(r"-?\d+", index):
        several, place = LISTS[name](fill(avp_name(inner))), int(index)
        return lambda request: as_text(at(several(request), place))
    known = sorted(f"${one}" for one in VARIABLES) + sorted(f"${one}(name)" for one in NAMED)
    raise ConfigError(f"unknown variable {text!r}; known are {', '.join(known)}")


def _transformed(getter: Getter, name: str, arguments: list[Getter]) -> Getter:
    return lambda request: as_text(
        transform_1x(getter(request), name, *(each(request) for each in arguments))
    )


def compile_setter(text: str) -> Setter:
    """A function that assigns to ``$avp(name)`` or ``$var(name)``; ConfigError for all else."""
    expected = ConfigError(f"{text!r}: expected $avp(name) or $var(name)")
    if not REFERENCE.fullmatch(text.strip()):
        raise expected
    try:
        reference = parse(text.strip())
    except Unknown:
        raise expected from None
    name, key = reference.name, avp_name(reference.inner or "")
    if not key or name not in ("avp", "var") or reference.index or reference.transformations:
        raise expected

    def assign(request: Writable, value: str | int) -> None:
        (request.avp if name == "avp" else request.var)[key] = value

    return assign
