"""Sockets of a script: what ``listen`` and ``socket`` say, and which of them a name means."""

from __future__ import annotations

import fcntl
import ipaddress
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

SIOCGIFADDR = 0x8915
DEFAULT_PORT = 5060

_VALUED = ("as", "tag", "use_workers", "use_children", "use_auto_scaling_profile")
_FLAGS = (
    *("anycast", "accept_subdomain", "frag", "reuse_port"),
    *("allow_proxy_protocol", "send_proxy_protocol"),
)
_OPTION = re.compile(rf"\s+({'|'.join(_VALUED + _FLAGS)})\b\s*", re.IGNORECASE)
_PLACE = re.compile(r"(?:\w+:(?!\d+$))?(\[[^\]]*\]|[^:\[\]]+)(?::(\d+))?$")


@dataclass(slots=True)
class Sockets:
    """The farm's sockets."""

    texts: list[str] = field(default_factory=list)
    """As ``farm.socket`` has them."""

    tags: dict[str, str] = field(default_factory=dict)
    """``proto:host:port`` of those that the script gives a name."""

    are_given: bool = False
    """They are not the script's own."""

    def places(self) -> list[str]:
        """``host:port`` of each, and of what it is advertised as."""
        found = []
        for text in self.texts:
            for each in re.split(r"\s+as\s+", text.removeprefix("udp:")):
                found.append(each if re.search(r":\d+$", each) else f"{each}:{DEFAULT_PORT}")
        return found

    def find(self, text: str) -> str:
        """What a tag, or ``[proto:]host[:port]``, names; "" if that is none of these sockets."""
        text = self.tags.get(text, text)
        wanted = _PLACE.fullmatch(text.strip())
        if wanted is None or re.match(r"(?!udp)[a-z]+:(?!\d+$)", text.strip().lower()):
            return ""
        known = [_PLACE.fullmatch(place) for place in self.places()]
        is_ours = any(
            each is not None
            and each[1].lower() == wanted[1].lower()
            and wanted[2] in (None, each[2])
            for each in known
        )
        # A name that we listen on may have any address.
        is_open = any(each is None or not _is_address(each[1]) for each in known)
        return text if is_ours or is_open else ""


def places_of(text: str) -> list[str]:
    """A list as 1.x has it, taken apart into socket lines."""
    found: list[str] = []
    is_value = False
    for word in text.split():
        is_option = word.lower() in _VALUED + _FLAGS
        if found and (is_value or is_option):
            found[-1] += f" {word}"
        else:
            found.append(word)
        is_value = not is_value and word.lower() in _VALUED
    return found


def options_of(text: str) -> tuple[str, dict[str, str]]:
    """A socket line as ``proto:host:port`` and what follows it."""
    place, *rest = _OPTION.split(text)
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return place.strip(), {name.lower(): value.strip() for name, value in pairs}


def listening(text: str, port: int, told: str, advertised: Mapping[str, str]) -> list[str]:
    """What `farm.socket` has for one place: an address each of ``*`` and of an interface.

    ``told`` is what it is advertised as, ``advertised`` the script's address and port for sockets
    that do not say it themselves.
    """
    found = re.fullmatch(r"(?:(udp):)?(\*|[A-Za-z]\w*)(?::(\d+))?", text)
    addresses = interfaces(found[2]) if found else []
    if found and addresses:
        sockets = [f"udp:{each}:{found[3] or port}" for each in addresses]
    else:
        has_port = re.search(r"(?:\]|[^:\]]):\d+$", text.removeprefix("udp:"))
        sockets = [text if has_port else f"{text}:{port}"]
    if told:
        return [f"{each} as {told}" for each in sockets]
    if not advertised:
        return sockets
    made = []
    for each in sockets:
        host, _, number = each.removeprefix("udp:").rpartition(":")
        name, other = advertised.get("address", host), advertised.get("port", number)
        made.append(f"{each} as {name}:{other}")
    return made


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def interfaces(name: str) -> list[str]:
    """IPv4 addresses of an interface, of all for ``*``; none if there is no such interface."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, each in socket.if_nameindex():
            if name in ("*", each):
                request = struct.pack("256s", each.encode()[:15])
                try:
                    answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, request)
                except OSError:
                    continue  # an interface without an address
                found.append(socket.inet_ntoa(answer[20:24]))
    return found
