"""Texts of a script taken apart: URIs, parameters, addresses, lists, and transformations.

Values are text, whole numbers and None (NULL), as in OpenSIPS.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TypeAlias

Value: TypeAlias = str | int | None

_BREAKS = {"n": "\n", "r": "\r", "t": "\t"}

_POSIX = {
    "[:digit:]": "0-9", "[:alpha:]": "a-zA-Z", "[:alnum:]": "a-zA-Z0-9", "[:space:]": r"\s",
    "[:upper:]": "A-Z", "[:lower:]": "a-z", "[:xdigit:]": "0-9a-fA-F",
    "[:punct:]": r"!-/:-@\[-`{-~",
    "[:blank:]": r" \t",
}  # fmt: skip


def text(value: Value) -> str:
    """As a text shows it; NULL is empty."""
    return "" if value is None else str(value)


def printed(value: Value) -> str:
    """Within a text, as a log or a header has it."""
    return "<null>" if value is None else str(value)


def number(value: Value) -> int:
    """As a number; what is none is 0."""
    if isinstance(value, int):
        return value
    found = re.match(r"\s*[-+]?\d+", value or "")
    return int(found[0]) if found else 0


def first(values: list[str]) -> str | None:
    """Of a header's values."""
    return values[0] if values else None


def at(values: list[Value] | list[str], index: int) -> Value:
    """Value number ``index``, from the end if it is negative; NULL if there is none."""
    return values[index] if -len(values) <= index < len(values) else None


@lru_cache(maxsize=1024)
def regex(pattern: str) -> re.Pattern[str]:
    """A POSIX extended regular expression.

    :raises re.error: if it is none
    """
    return re.compile(posix(pattern), re.IGNORECASE | re.DOTALL)


def posix(pattern: str) -> str:
    """A POSIX extended regular expression as Python writes it."""
    for name, inside in _POSIX.items():
        pattern = pattern.replace(name, inside)
    return pattern


# -- URIs

_REST = r"(?P<params>;[^?]*)?(?:\?(?P<headers>.*))?"
_URI = re.compile(
    # All before the "@" is userinfo, which may have ; ? / and more (RFC 3261 25.1).
    r"(?P<scheme>sips?):(?:(?P<user>[^@:]*)(?::(?P<passwd>[^@]*))?@)?"
    r"(?P<host>\[[^\]]*\]|[^@;?:>]*)(?::(?P<port>\d+))?" + _REST,
    re.IGNORECASE | re.DOTALL,
)
_TEL = re.compile(
    # The number counts as the user (RFC 3966); there is no host.
    r"(?P<scheme>tel):(?P<user>[^;?]*)(?P<passwd>(?!))?(?P<host>(?!))?(?P<port>(?!))?" + _REST,
    re.IGNORECASE | re.DOTALL,
)


def _uri(data: str) -> re.Match[str] | None:
    return _URI.match(data) or _TEL.match(data)


def uri_part(value: Value, part: str) -> Value:
    """``user``, ``host``, ``port`` (a number), ``scheme``, ``passwd``, ``params`` or ``headers``;
    NULL if it has none."""
    found = _uri(text(value))
    if found is None:
        return None
    inside = found[part]
    if part == "port":
        return int(inside) if inside else 5061 if found["scheme"].lower() == "sips" else 5060
    if part == "params" and inside:
        return inside[1:]
    return inside or None


def uri_param(value: Value, name: str) -> Value:
    """A parameter of a URI."""
    return param(uri_part(value, "params"), name)


def with_params(value: Value, name: str, added: str = "") -> str:
    """The URI without its parameters of a name, with ``added`` after the others."""
    found = _uri(text(value))
    if found is None:
        return text(value)
    kept = [
        each
        for each in (found["params"] or "").split(";")
        if each and (not name or each.partition("=")[0].strip().lower() != name.strip().lower())
    ]
    if added:
        kept.append(added.strip().lstrip(";"))
    end = max(map(found.end, ("user", "host", "port", "params")))
    data = text(value)
    begin = found.start("params") if found["params"] is not None else end
    return data[:begin] + "".join(f";{each}" for each in kept) + data[end:]


# -- lists of parameters, addresses, separated values


def _split(value: Value, separator: str) -> list[str]:
    """At a character, but not within quotes."""
    found: list[str] = []
    begin, is_quoted, data = 0, False, text(value)
    for place, character in enumerate(data):
        if character == '"' and (place == 0 or data[place - 1] != "\\"):
            is_quoted = not is_quoted
        elif character == separator and not is_quoted:
            found.append(data[begin:place])
            begin = place + 1
    return [*found, data[begin:]]


def params(value: Value, separator: str = ";") -> list[tuple[str, str]]:
    """Names and values of ``a=b;c``."""
    pairs = (each.partition("=") for each in _split(value, separator) if each.strip())
    return [(name.strip(), inside.strip().strip('"')) for name, _, inside in pairs]


def param(value: Value, name: str, separator: str = ";") -> Value:
    """Value of a parameter; NULL if it is not there."""
    for each, inside in params(value, separator):
        if each.lower() == name.lower():
            return inside
    return None


def has_param(value: Value, name: str, separator: str = ";") -> int:
    """1 if the parameter is there."""
    return int(any(each.lower() == name.lower() for each, _ in params(value, separator)))


_NAME_ADDRESS = re.compile(
    r'\s*(?P<name>"(?:\\.|[^"\\])*"|[^<"]*?)\s*<(?P<uri>[^>]*)>(?P<rest>.*)', re.DOTALL
)


def nameaddr(value: Value, part: str) -> Value:
    """``name``, ``uri``, ``params`` or ``len`` of ``"name" <uri>;params``."""
    data = text(value)
    found = _NAME_ADDRESS.match(data)
    if part == "len":
        return len(data)
    if found is None:
        uri, _, rest = data.strip().partition(";")
        return {"uri": uri or None, "params": rest or None}.get(part)
    if part == "params":
        return found["rest"].lstrip("; ") or None
    return found[part].strip('"') or None


# -- /pattern/replacement/flags, as sed has it

Replacement: TypeAlias = str | tuple[str | int, ...]
"""A text, or texts and numbers of groups."""


def parts_of_subst(expression: str) -> tuple[str, str, str]:
    """Pattern, replacement and flags of ``/a/b/flags``; the first character separates.

    :raises ValueError: if it is none
    """
    mark = expression[:1]
    parts = re.split(rf"(?<!\\){re.escape(mark)}", expression[1:]) if mark else []
    if len(parts) != 3:
        raise ValueError(f"expected /pattern/replacement/flags, got {expression!r}")
    pattern, replacement, flags = parts
    groups = subst_pattern(pattern, flags).groups
    for part in replacement_parts(replacement):
        if isinstance(part, int) and part > groups:
            raise ValueError(f"{pattern!r} has {groups} groups, there is no \\{part}")
    return pattern, replacement, flags


@lru_cache(maxsize=256)
def subst_pattern(pattern: str, flags: str) -> re.Pattern[str]:
    """The compiled pattern.

    :raises ValueError: if it is no regular expression
    """
    options = re.DOTALL if "s" in flags else re.MULTILINE
    try:
        return re.compile(posix(pattern), options | (re.IGNORECASE if "i" in flags else 0))
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None


def replacement_parts(
    replacement: str, whole: re.Pattern[str] | None = None
) -> Iterator[str | int]:
    """Its texts, and the numbers of groups between them; what ``whole`` matches stays as it is."""
    plain = ""
    tokens = r"\\(?P<escaped>[\s\S])|[^\\$]+|[\s\S]"
    pattern = re.compile(rf"{whole.pattern}|{tokens}" if whole else tokens)
    for found in pattern.finditer(replacement):
        escaped = found["escaped"]
        if escaped is not None and escaped.isdecimal() and escaped.isascii():
            if plain:
                yield plain
            yield int(escaped)
            plain = ""
        else:
            plain += found[0] if escaped is None else _BREAKS.get(escaped, escaped)
    if plain:
        yield plain


def _filled(found: re.Match[str], replacement: Replacement) -> str:
    if isinstance(replacement, str):
        return replacement
    return "".join((found[part] or "") if isinstance(part, int) else part for part in replacement)


def substituted(value: Value, pattern: str, replacement: Replacement, flags: str) -> str | None:
    """The text with what it is replaced by; None if nothing matches."""
    result, count = subst_pattern(pattern, flags).subn(
        lambda found: _filled(found, replacement), text(value), 0 if "g" in flags else 1
    )
    return result if count else None


def subst(value: Value, expression: str) -> str:
    """``{re.subst,/a/b/flags}``."""
    pattern, replacement, flags = parts_of_subst(expression)
    result = substituted(value, pattern, tuple(replacement_parts(replacement)), flags)
    return text(value) if result is None else result


# -- transformations of {class.name,arguments}


def substr(value: Value, offset: Value, length: Value) -> Value:
    """Characters from ``offset`` on, from the end if it is negative; length 0 is all the rest, a
    negative one all but as many.  NULL if it begins outside of the text."""
    data, begin, count = text(value), number(offset), number(length)
    begin = len(data) + begin if begin < 0 else begin
    if not 0 <= begin < len(data):
        return None
    end = begin + count if count > 0 else len(data) + count
    return data[begin : max(end, begin)]


def select(value: Value, index: Value, separator: str) -> Value:
    """One of the fields between separators, from the end if ``index`` is negative; "" if there is
    none."""
    return text(at(text(value).split(separator or ","), number(index)))


def ip(value: Value, part: str) -> Value:
    """``isip``, ``family``, ``version`` or ``pton`` of a text."""
    try:
        found = ipaddress.ip_address(text(value).strip("[]"))
    except ValueError:
        return 0 if part == "isip" else None
    return {"isip": 1, "family": "INET" if found.version == 4 else "INET6"}.get(part, found.version)


TRANSFORMATIONS: dict[str, tuple[int, int, Callable[..., Value]]] = {
    # class.name: least and most arguments, function of the value and of these
    "s.len": (0, 0, lambda v: len(text(v))),
    "s.int": (0, 0, number),
    "s.substr": (2, 2, substr),
    "s.select": (2, 2, select),
    "s.tolower": (0, 0, lambda v: text(v).lower()),
    "s.toupper": (0, 0, lambda v: text(v).upper()),
    "s.trim": (0, 0, lambda v: text(v).strip()),
    "s.triml": (0, 0, lambda v: text(v).lstrip()),
    "s.trimr": (0, 0, lambda v: text(v).rstrip()),
    "s.index": (1, 2, lambda v, s, o=0: _index(text(v).find(s, number(o)))),
    "s.rindex": (1, 1, lambda v, s: _index(text(v).rfind(s))),
    "s.md5": (0, 0, lambda v: hashlib.md5(text(v).encode(), usedforsecurity=False).hexdigest()),
    "s.encode.hexa": (0, 0, lambda v: text(v).encode().hex()),
    "s.reverse": (0, 0, lambda v: text(v)[::-1]),
    "uri.user": (0, 0, lambda v: uri_part(v, "user")),
    "uri.username": (0, 0, lambda v: uri_part(v, "user")),
    "uri.host": (0, 0, lambda v: uri_part(v, "host")),
    "uri.domain": (0, 0, lambda v: uri_part(v, "host")),
    "uri.port": (0, 0, lambda v: _port(v)),
    "uri.passwd": (0, 0, lambda v: uri_part(v, "passwd")),
    "uri.password": (0, 0, lambda v: uri_part(v, "passwd")),
    "uri.schema": (0, 0, lambda v: uri_part(v, "scheme")),
    "uri.scheme": (0, 0, lambda v: uri_part(v, "scheme")),
    "uri.params": (0, 0, lambda v: uri_part(v, "params")),
    "uri.param": (1, 1, uri_param),
    "uri.headers": (0, 0, lambda v: uri_part(v, "headers")),
    "uri.transport": (0, 0, lambda v: uri_param(v, "transport")),
    "param.value": (1, 2, param),
    "param.exist": (1, 2, has_param),
    "param.count": (0, 1, lambda v, s=";": len(params(v, s))),
    "param.valueat": (1, 2, lambda v, i, s=";": at([b for _, b in params(v, s)], number(i))),
    "param.name": (1, 2, lambda v, i, s=";": at([a for a, _ in params(v, s)], number(i))),
    "nameaddr.name": (0, 0, lambda v: nameaddr(v, "name")),
    "nameaddr.uri": (0, 0, lambda v: nameaddr(v, "uri")),
    "nameaddr.len": (0, 0, lambda v: nameaddr(v, "len")),
    "nameaddr.params": (0, 0, lambda v: nameaddr(v, "params")),
    "nameaddr.param": (1, 1, lambda v, name: param(nameaddr(v, "params"), name)),
    "csv.count": (0, 0, lambda v: len(_split(v, ","))),
    "csv.value": (1, 1, lambda v, i: at([each.strip() for each in _split(v, ",")], number(i))),
    "re.subst": (1, 1, subst),
    "ip.isip": (0, 0, lambda v: ip(v, "isip")),
    "ip.family": (0, 0, lambda v: ip(v, "family")),
    "ip.version": (0, 0, lambda v: ip(v, "version")),
}  # fmt: skip


PARTS = frozenset(n for n in TRANSFORMATIONS if n.startswith(("uri.", "param.", "nameaddr.")))
"""Those that take a part out."""


def transform(value: Value, name: str, *arguments: str) -> Value:
    """``{name,arguments}``.  NULL stays NULL, and so is what cannot be taken apart; of what can, a
    part that is not there is "", as in OpenSIPS."""
    if value is None:
        return None
    found = TRANSFORMATIONS[name][2](value, *arguments)
    if found is None and name in PARTS and value != "":
        return "" if name[:4] != "uri." or _uri(text(value)) else None
    return found


def _port(value: Value) -> Value:
    """That a URI has."""
    found = _uri(text(value))
    return int(found["port"]) if found and found["port"] else None


def _index(place: int) -> Value:
    return None if place < 0 else place
