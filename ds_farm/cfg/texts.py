"""Texts of a script taken apart: URIs, parameters, addresses, lists, and transformations.

Values are text, whole numbers and None (NULL), as in OpenSIPS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
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


def parsed_uri(data: str) -> re.Match[str] | None:
    return _URI.match(data) or _TEL.match(data)


def uri_part(value: Value, part: str) -> Value:
    """``user``, ``host``, ``port`` (a number), ``scheme``, ``passwd``, ``params`` or ``headers``;
    NULL if it has none."""
    found = parsed_uri(text(value))
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
    found = parsed_uri(text(value))
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


def split_at(value: Value, separator: str) -> list[str]:
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
    pairs = (each.partition("=") for each in split_at(value, separator) if each.strip())
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
