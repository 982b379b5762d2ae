"""Transformations: ``{class.name,arguments}`` of a variable."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable

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


_PRIVATE = [ipaddress.ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]


def _version(value: Value) -> int:
    """4 or 6; 0 of what is no address."""
    try:
        return ipaddress.ip_address(text(value).strip("[]")).version
    except ValueError:
        return 0


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
    "csv.count": (0, 0, lambda v: len(split_at(v, ","))),
    "csv.value": (1, 1, lambda v, i: at([each.strip() for each in split_at(v, ",")], number(i))),
    "re.subst": (1, 1, subst),
    "ip.isip": (0, 0, lambda v: ip(v, "isip")),
    "ip.family": (0, 0, lambda v: ip(v, "family")),
    "ip.version": (0, 0, lambda v: ip(v, "version")),
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
