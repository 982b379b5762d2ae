"""Transformations: ``{class.name,arguments}`` of a variable."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import string
from collections.abc import Callable
from urllib.parse import unquote

from ds_farm.cfg.texts import (
    Value,
    at,
    has_param,
    nameaddr,
    number,
    param,
    params,
    parsed_uri,
    split_at,
    subst,
    text,
    uri_param,
    uri_part,
)

MOST_FILLED = 4096
"""Characters that a script may fill a text to."""


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
    """One of the fields between separators, from the end if ``index`` is negative; NULL if there
    is none."""
    return at(text(value).split(separator or ","), number(index))


def ip(value: Value, part: str) -> Value:
    """``isip``, ``family``, ``version`` or ``pton`` of a text."""
    try:
        found = ipaddress.ip_address(text(value).strip("[]"))
    except ValueError:
        return 0 if part == "isip" else None
    return {"isip": 1, "family": "INET" if found.version == 4 else "INET6"}.get(part, found.version)


_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-_.!~*'()")
_USER = _UNRESERVED | frozenset("&=+$,;?/")
_PARAMETER = _UNRESERVED | frozenset("[]/:&+$")
"""What RFC 3261 25.1 lets stand as it is in a user and in a URI parameter."""

_COMMON = {"'": "\\'", '"': '\\"', "\\": "\\\\", "\0": "\\0"}


def percent(value: Value, allowed: frozenset[str]) -> str:
    """``{s.escape.user}``, ``{s.escape.param}``: %xx for what may not stand there."""
    return "".join(
        each if each in allowed else "".join(f"%{byte:02x}" for byte in each.encode())
        for each in text(value)
    )


def plain(value: Value) -> str:
    """``{s.unescape.common}``."""
    return re.sub(r"\\([\\'\"0])", lambda found: "\0" if found[1] == "0" else found[1], text(value))


def from_hexa(value: Value) -> Value:
    """``{s.decode.hexa}``; NULL of what is none."""
    try:
        return bytes.fromhex(text(value)).decode("utf-8", "replace")
    except ValueError:
        return None


def from_base64(value: Value) -> Value:
    """``{s.b64decode}``; NULL of what is none."""
    try:
        return base64.b64decode(text(value), validate=True).decode("utf-8", "replace")
    except ValueError:
        return None


def filled(value: Value, mark: Value, width: Value, left: bool) -> str:
    """``{s.fill.left,mark,width}`` and right; what is longer stays as it is."""
    data = text(value)
    padding = (text(mark) or " ") * max(number(width) - len(data), 0)
    padding = padding[: max(min(number(width), MOST_FILLED) - len(data), 0)]
    return padding + data if left else data + padding


def cut(value: Value, width: Value) -> Value:
    """``{s.width,n}``: cut, or with blanks behind it."""
    size = min(number(width), MOST_FILLED)
    return text(value)[:size].ljust(size) if size > 0 else None


def from_hex(value: Value) -> Value:
    """``{s.hex2dec}``; NULL of what is none."""
    try:
        return value if isinstance(value, int) else int(text(value), 16)
    except ValueError:
        return None


_PRIVATE = [ipaddress.ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]


def _version(value: Value) -> int:
    """4 or 6; 0 of what is no address."""
    try:
        return ipaddress.ip_address(text(value).strip("[]")).version
    except ValueError:
        return 0


def address_or_null(value: Value) -> Value:
    """``{ip.pton}`` and ``{ip.ntop}``, whose bytes are not shown here: the address itself."""
    return text(value).strip("[]") if _version(value) else None


def in_net(value: Value, network: str) -> Value:
    """``{ip.matches,address/bits}``; NULL if one of them is none, or of the other family."""
    try:
        found = ipaddress.ip_address(text(value).strip("[]"))
        net = ipaddress.ip_network(network, strict=False)
    except ValueError:
        return None
    return int(found in net) if found.version == net.version and "/" in network else None


def is_private(value: Value) -> int:
    """``{ip.isprivate}``: of RFC 1918."""
    if _version(value) != 4:
        return 0
    found = ipaddress.ip_address(text(value))
    return int(any(found in each for each in _PRIVATE))


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
    "s.decode.hexa": (0, 0, from_hexa),
    "s.b64encode": (0, 0, lambda v: base64.b64encode(text(v).encode()).decode()),
    "s.b64decode": (0, 0, from_base64),
    "s.escape.common": (0, 0, lambda v: "".join(_COMMON.get(each, each) for each in text(v))),
    "s.unescape.common": (0, 0, plain),
    "s.escape.user": (0, 0, lambda v: percent(v, _USER)),
    "s.unescape.user": (0, 0, lambda v: unquote(text(v))),
    "s.escape.param": (0, 0, lambda v: percent(v, _PARAMETER)),
    "s.unescape.param": (0, 0, lambda v: unquote(text(v))),
    "s.fill.left": (2, 2, lambda v, mark, n: filled(v, mark, n, True)),
    "s.fill.right": (2, 2, lambda v, mark, n: filled(v, mark, n, False)),
    "s.width": (1, 1, cut),
    "s.dec2hex": (0, 0, lambda v: f"{number(v):x}"),
    "s.hex2dec": (0, 0, from_hex),
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
    "uri.lr": (0, 0, lambda v: uri_param(v, "lr")),
    "uri.maddr": (0, 0, lambda v: uri_param(v, "maddr")),
    "uri.method": (0, 0, lambda v: uri_param(v, "method")),
    "uri.ttl": (0, 0, lambda v: uri_param(v, "ttl")),
    "uri.uparam": (0, 0, lambda v: uri_param(v, "user")),
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
    "csv.count": (0, 0, lambda v: len(split_at(v, ","))),
    "csv.value": (1, 1, lambda v, i: at([each.strip() for each in split_at(v, ",")], number(i))),
    "re.subst": (1, 1, subst),
    "ip.isip": (0, 0, lambda v: ip(v, "isip")),
    "ip.family": (0, 0, lambda v: ip(v, "family")),
    "ip.version": (0, 0, lambda v: ip(v, "version")),
    "ip.pton": (0, 0, address_or_null),
    "ip.ntop": (0, 0, address_or_null),
    "ip.matches": (1, 1, in_net),
    "ip.isprivate": (0, 0, is_private),
    "ip.isip4": (0, 0, lambda v: int(_version(v) == 4)),
    "ip.isip6": (0, 0, lambda v: int(_version(v) == 6)),
}  # fmt: skip


PARTS = frozenset(n for n in TRANSFORMATIONS if n.startswith(("uri.", "param.", "nameaddr.")))
"""Those that take a part out."""


def transform(value: Value, name: str, *arguments: str) -> Value:
    """``{name,arguments}``.  NULL stays NULL, and so is a part that is not there."""
    return None if value is None else TRANSFORMATIONS[name][2](value, *arguments)


def transform_1x(value: Value, name: str, *arguments: str) -> Value:
    """The same as in OpenSIPS 1.x: of what can be taken apart, a part that is not there is ""."""
    found = transform(value, name, *arguments)
    if found is None and value is not None:
        if name == "s.select":
            return ""
        if name in PARTS and value != "":
            return "" if name[:4] != "uri." or parsed_uri(text(value)) else None
    return found


def _port(value: Value) -> Value:
    """That a URI has."""
    found = parsed_uri(text(value))
    return int(found["port"]) if found and found["port"] else None


def _index(place: int) -> Value:
    return None if place < 0 else place
