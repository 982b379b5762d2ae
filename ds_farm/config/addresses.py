"""Addresses of the management interface and of event subscribers, as text and as values.

    udp:127.0.0.1:8080              a UDP socket
    unix:/run/ds_farm/mi.sock       a Unix datagram socket; a bare absolute path will do
    tcp:127.0.0.1:8090              JSON-RPC over a TCP connection
    http://127.0.0.1:8000/events    JSON-RPC by POST, a webhook

A subscriber's ``udp:`` or ``unix:`` may have ``line:`` or ``json:`` before it: events in the format
of OpenSIPS 2.1 or of 4.0.  A URL may have ``user:password@`` before its host.  ValueError
says what was expected.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from ds_farm.config.opensips import Endpoint, parse_endpoint

UNIX_PATH_BYTES = 107
"""unix(7): sun_path, with its closing zero."""

_PASSWORD = re.compile(r"(?<=//)([^/?#:]*):[^/?#]*(?=@)")

Format = Literal["line", "json"]


@dataclass(frozen=True, slots=True)
class DatagramAddress:
    """Where datagrams go to or are received: exactly one of the two is set."""

    udp: Endpoint | None = None
    path: str = ""

    def __str__(self) -> str:
        return f"udp:{self.udp}" if self.udp else f"unix:{self.path}"

    @property
    def is_loopback(self) -> bool:
        """Only this host can reach it."""
        return self.udp is None or self.udp.is_loopback


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Who gets events: a datagram address with its format, a TCP address, or a URL."""

    datagram: DatagramAddress | None = None
    format: Format = "json"
    tcp: Endpoint | None = None
    url: str = ""

    @property
    def text(self) -> str:
        """What `parse_subscriber` takes; with the password of a URL."""
        if self.datagram:
            return f"{'line:' if self.format == 'line' else ''}{self.datagram}"
        return f"tcp:{self.tcp}" if self.tcp else self.url

    def __str__(self) -> str:
        return _without_password(self.text)


def parse_datagram(text: str) -> DatagramAddress:
    """``udp:host:port`` or ``unix:/path``."""
    scheme, _, rest = text.strip().partition(":")
    if scheme.lower() == "udp":
        return DatagramAddress(udp=parse_endpoint(rest))
    path = rest if scheme.lower() == "unix" else text.strip()
    if not path.startswith("/") or "\0" in path:
        raise ValueError(f"expected udp:host:port or unix:/absolute/path, got {text!r}")
    if len(path.encode(errors="surrogateescape")) > UNIX_PATH_BYTES:
        raise ValueError(f"a path of a Unix socket has at most {UNIX_PATH_BYTES} bytes: {path!r}")
    return DatagramAddress(path=path)


def parse_subscriber(text: str, default: Format = "json") -> Subscriber:
    """A subscriber; ``default`` is the format of a datagram that names none."""
    text = text.strip()
    scheme, _, rest = text.partition(":")
    chosen = scheme.lower()
    if chosen in ("http", "https"):
        return Subscriber(url=_checked_url(text))
    if chosen == "tcp":
        return Subscriber(tcp=_with_port(parse_endpoint(rest), text))
    if chosen in ("line", "json"):
        text, default = rest, ("line" if chosen == "line" else "json")
    try:
        address = parse_datagram(text)
    except ValueError as error:
        raise ValueError(
            f"{error}, or tcp:host:port, or http://host/path; 'line:' before the first two "
            "chooses the format of OpenSIPS 2.1"
        ) from None
    if address.udp:
        _with_port(address.udp, text)
    return Subscriber(datagram=address, format=default)


def _with_port(endpoint: Endpoint, text: str) -> Endpoint:
    if not endpoint.port:
        raise ValueError(f"{text!r}: events cannot be sent to port 0")
    return endpoint


def _checked_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(
            f"expected a URL such as http://host:8000/events, got {_without_password(text)!r}"
        )
    return text


def _without_password(text: str) -> str:
    return _PASSWORD.sub(r"\1:***", text)
