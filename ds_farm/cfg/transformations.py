"""Transformations besides those of `texts.py`: of addresses."""

from __future__ import annotations

import ipaddress

from ds_farm.cfg.texts import TRANSFORMATIONS, Value, text

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


TRANSFORMATIONS.update(
    {
        "ip.matches": (1, 1, in_net),
        "ip.isprivate": (0, 0, is_private),
        "ip.isip4": (0, 0, lambda v: int(_version(v) == 4)),
        "ip.isip6": (0, 0, lambda v: int(_version(v) == 6)),
    }
)
