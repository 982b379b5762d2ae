"""OpenSIPS's small languages as they stand in configuration values: text in, values out.

Sockets, addresses, blacklists, reply codes, AVP names, partition lines.  Each function raises
ValueError whose text says what was expected; the caller knows file, line and key.  No pydantic, no
I/O: names are not resolved here.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from dataclasses import dataclass

DEFAULT_SIP_PORT = 5060
PARTITION_KEYS = (
    "db_url",
    "table_name",
    "dst_avp",
    "grp_avp",
    "cnt_avp",
    "sock_avp",
    "attrs_avp",
    "ds_define_blacklist",
)
"""The parameters that each partition has for itself (documentation 1.3.20)."""

_HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_AVP = re.compile(r"\$avp\(([^\s()$]+)\)")
_PVAR = re.compile(r"\$(?:[A-Za-z][A-Za-z0-9_]*(?:\(.*\))?|\(.+\))")
_PARTITION_NAME = re.compile(r"[^\s:;=,$]+")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A literal IP address or host name and a port; port 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{_bracketed(self.host)}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Only this host can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True, slots=True)
class SocketSpec:
    """A SIP socket ``[proto:]host[:port] [as host[:port]]``.

    ``advertised_host`` and ``advertised_port`` are what Via shows; without ``as`` they are host
    and port themselves.
    """

    proto: str
    host: str
    port: int
    advertised_host: str
    advertised_port: int

    def __str__(self) -> str:
        text = f"{self.proto}:{_bracketed(self.host)}:{self.port}"
        if (self.advertised_host, self.advertised_port) != (self.host, self.port):
            text += f" as {_bracketed(self.advertised_host)}:{self.advertised_port}"
        return text


@dataclass(frozen=True, slots=True)
class Blacklist:
    """``name = id,id``: the addresses of these sets of the partition (documentation 1.3.11)."""

    name: str
    set_ids: tuple[int, ...]


def parse_endpoint(text: str) -> Endpoint:
    """``host:port``; IPv6 in brackets."""
    host, port = _host_port(text)
    if port is None:
        raise ValueError(f"expected host:port, such as 127.0.0.1:9464, got {text!r}")
    return Endpoint(host, port)


def parse_nameserver(text: str) -> Endpoint:
    """``address[:port]`` of a nameserver; port 0 if there is none."""
    host, port = _host_port(text)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"expected the address of a nameserver, got {text!r}") from None
    return Endpoint(host, port or 0)


def parse_socket(text: str) -> SocketSpec:
    """A listening SIP socket.  Only UDP so far; an unspecified address needs ``as``."""
    listen, keyword, advertised = (part.strip() for part in _split_as(text))
    proto, host, port = parse_socket_description(listen)
    if proto != "udp":
        raise ValueError(f"only udp sockets are supported so far, got {proto!r}")
    bound_port = DEFAULT_SIP_PORT if port is None else port
    if not keyword:
        if _is_unspecified(host):
            raise ValueError(
                f"{listen!r} listens on every address, so it needs 'as HOST[:PORT]': "
                "what peers are told to answer to"
            )
        return SocketSpec(proto, host, bound_port, host, bound_port)
    as_host, as_port = _host_port(advertised)
    if _is_unspecified(as_host):
        raise ValueError(f"'as {advertised}': peers cannot answer to an unspecified address")
    return SocketSpec(proto, host, bound_port, as_host, as_port or bound_port)


def parse_socket_description(text: str) -> tuple[str, str, int | None]:
    """``[proto:]host[:port]`` as (proto, host, port or None); no proto means udp."""
    proto, colon, rest = text.strip().partition(":")
    if not colon or not proto.isalpha() or rest.isdigit():
        proto, rest = "udp", text.strip()
    if proto.lower() not in ("udp", "tcp", "tls", "sctp", "ws", "wss"):
        raise ValueError(f"unknown protocol {proto!r} in {text!r}, expected udp")
    host, port = _host_port(rest)
    return proto.lower(), host, port


def parse_alias(text: str) -> Endpoint:
    """``[udp:]host[:port]`` that means this server too; port 0 if there is none."""
    proto, host, port = parse_socket_description(text)
    if proto != "udp":
        raise ValueError(f"only udp is supported so far, got {proto!r}")
    return Endpoint(host, port or 0)


def parse_blacklist(text: str) -> Blacklist:
    """``name = id,id,...`` (documentation 1.3.11)."""
    name, equals, ids = (part.strip() for part in text.partition("="))
    if not equals or not name:
        raise ValueError(f"expected 'name = id,id,...', got {text!r}")
    return Blacklist(name, parse_ids(ids))


def parse_reply_codes(text: str) -> tuple[int, ...]:
    """``501, 403``: comma-separated SIP status codes in 100..700 (semantics 5)."""
    codes = []
    for item in text.split(","):
        if not item.strip().isdecimal() or not 100 <= int(item) <= 700:
            raise ValueError(
                f"expected comma-separated status codes from 100 to 700, got {item.strip()!r}"
            )
        codes.append(int(item))
    return tuple(codes)


def check_avp(text: str) -> str:
    """``$avp(name)``, returned as it is."""
    if not _AVP.fullmatch(text):
        raise ValueError(f"expected an AVP such as $avp(271), got {text!r}")
    return text


def check_pvar(text: str) -> str:
    """A pseudo-variable such as ``$var(setid)``, returned as it is."""
    if not _PVAR.fullmatch(text):
        raise ValueError(f"expected a pseudo-variable such as $var(setid), got {text!r}")
    return text


def parse_partition_name(text: str) -> str:
    """The name of a partition: no blanks, none of ``:;=,$``."""
    if not _PARTITION_NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no partition name: no blanks, none of : ; = , $")
    return text


def parse_partition_line(text: str) -> tuple[str, dict[str, str | list[str]]]:
    """``name : key = value ; key = value ;`` as (name, values) (documentation 1.3.20).

    ``ds_define_blacklist`` may come several times and is a list.  A ``:`` directly followed by
    ``/`` does not end the name, it is the one of ``mysql://`` (semantics 1.8).
    """
    split = re.match(r"(.*?):(?!/)(.*)", text, re.DOTALL)
    if not split:  # not quoted back: it may hold a password
        raise ValueError("expected 'name : key = value; key = value'")
    name = parse_partition_name(split[1].strip())
    values: dict[str, str | list[str]] = {}
    blacklists: list[str] = []
    for item in split[2].split(";"):
        if not item.strip():
            continue
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise ValueError(f"partition {name!r}: expected 'key = value; key = value'")
        if key not in PARTITION_KEYS:
            near = difflib.get_close_matches(key.lower(), PARTITION_KEYS, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(PARTITION_KEYS)}"
            raise ValueError(f"partition {name!r} has the unknown key {key!r}, {hint}")
        if not value:
            raise ValueError(f"partition {name!r}: {key} has no value")
        if key == "ds_define_blacklist":
            blacklists.append(value)
            values[key] = blacklists
        elif key in values:
            raise ValueError(f"partition {name!r}: {key} is given twice")
        else:
            values[key] = value
    return name, values


def parse_ids(text: str) -> tuple[int, ...]:
    """``1,4,3``: set ids, all of them whole numbers that are not negative."""
    for item in text.split(","):
        if not item.strip().isdecimal():
            raise ValueError(f"expected set ids such as 1,4,3, got {item.strip()!r}")
    return tuple(int(item) for item in text.split(","))


def _split_as(text: str) -> tuple[str, str, str]:
    parts = re.split(r"\s+(as)\s+", f" {text} ", maxsplit=1, flags=re.IGNORECASE)
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else (text, "", "")


def _host_port(text: str) -> tuple[str, int | None]:
    """``host[:port]``; IPv6 only in brackets."""
    match = re.fullmatch(r"(?:\[(?P<six>[^\]]*)\]|(?P<host>[^:\[\]]*))(?::(?P<port>\d+))?", text)
    if not match:
        hint = " (IPv6 goes in brackets)" if text.count(":") > 1 else ""
        raise ValueError(f"expected host[:port], got {text!r}{hint}")
    port = None if match["port"] is None else int(match["port"])
    if port is not None and port > 65535:
        raise ValueError(f"port {port} is not in 0..65535")
    if match["six"] is not None:
        return _check_ip(match["six"], ipaddress.IPv6Address, "IPv6"), port
    host = match["host"]
    if re.fullmatch(r"[0-9.]+", host):
        return _check_ip(host, ipaddress.IPv4Address, "IPv4"), port
    if not _HOST_NAME.fullmatch(host):
        raise ValueError(f"{host!r} is neither an IP address nor a host name")
    return host, port


def _check_ip(
    text: str, kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address], name: str
) -> str:
    try:
        return str(kind(text))
    except ValueError:
        raise ValueError(f"{text!r} is not an {name} address") from None


def _is_unspecified(host: str) -> bool:
    return host in ("0.0.0.0", "::")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
