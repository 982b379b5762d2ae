"""Format strings over pseudo-variables: ``"hash the $fU@$ci"`` (documentation 1.3.3).

A format is parsed once into a function of the request; an unknown variable is a ConfigError then,
not a surprise under traffic.  The table below is the list of variables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping
from typing import Protocol

from ds_farm.errors import ConfigError
from ds_farm.sip._uri import uri as uri_offsets


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
    def avp(self) -> Mapping[str, str | int]: ...
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
    text = uri.encode()
    spans = uri_offsets(text)
    if spans["fault"]:
        return ""
    if part == "port":
        return str(spans["port"] or 5060)
    return text[spans[part] : spans[f"{part}_end"]].decode("utf-8", "replace")


def _first(values: list[str]) -> str:
    return values[0] if values else ""


VARIABLES: dict[str, Getter] = {
    "ci": lambda r: r.ci,
    "cs": lambda r: str(r.cs),
    "rm": lambda r: r.method,
    "ru": lambda r: r.ru,
    "rU": lambda r: _part(r.ru, "user"),
    "rd": lambda r: _part(r.ru, "host"),
    "rp": lambda r: _part(r.ru, "port"),
    "fu": lambda r: r.fu,
    "fU": lambda r: _part(r.fu, "user"),
    "fd": lambda r: _part(r.fu, "host"),
    "ft": lambda r: r.ft,
    "tu": lambda r: r.tu,
    "tU": lambda r: _part(r.tu, "user"),
    "td": lambda r: _part(r.tu, "host"),
    "tt": lambda r: r.tt,
    "du": lambda r: r.du or "",
    "dd": lambda r: _part(r.du or "", "host"),
    "dp": lambda r: _part(r.du or "", "port"),
    "si": lambda r: r.si,
    "sp": lambda r: str(r.sp),
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

_VARIABLE = re.compile(
    r"\$(?:\$|\((?P<braced>\w+)(?:\((?P<inner>[^()]*)\))?\)|(?P<name>\w+)(?:\((?P<argument>[^()]*)\))?)"
)


def compile_format(text: str) -> Getter:
    """A function that fills the format for a request.

    ``$$`` is a dollar sign.  Raises ConfigError for a variable that does not exist, naming it and
    its place.
    """
    parts: list[str | Getter] = []
    end = 0
    for match in _VARIABLE.finditer(text):
        if "$" in text[end : match.start()]:
            break
        parts.append(text[end : match.start()])
        parts.append(_getter(match))
        end = match.end()
    if "$" in text[end:]:
        raise ConfigError(f"{text!r}: no variable after the $ at column {text.index('$', end) + 1}")
    parts.append(text[end:])
    pieces = [part for part in parts if part != ""]
    if len(pieces) == 1 and not isinstance(pieces[0], str):
        return pieces[0]
    return lambda request: "".join(
        piece if isinstance(piece, str) else piece(request) for piece in pieces
    )


def _getter(match: re.Match[str]) -> str | Getter:
    if match[0] == "$$":
        return "$"
    name = match["braced"] or match["name"]
    argument = match["inner"] if match["braced"] else match["argument"]
    if argument is None and name in VARIABLES:
        return VARIABLES[name]
    if argument is not None and name in NAMED and argument.strip():
        return NAMED[name](argument.strip())
    known = sorted(f"${one}" for one in VARIABLES) + sorted(f"${one}(name)" for one in NAMED)
    raise ConfigError(f"unknown variable {match[0]!r}; known are {', '.join(known)}")


def compile_setter(text: str) -> Setter:
    """A function that assigns to ``$avp(name)`` or ``$var(name)``; ConfigError for all else."""
    match = _VARIABLE.fullmatch(text.strip())
    name = match["braced"] or match["name"] if match else None
    argument = (match["inner"] if match["braced"] else match["argument"]) if match else None
    key = (argument or "").strip()
    if not key or name not in ("avp", "var"):
        raise ConfigError(f"{text!r}: expected $avp(name) or $var(name)")

    def assign(request: Writable, value: str | int) -> None:
        (request.avp if name == "avp" else request.var)[key] = value

    return assign
