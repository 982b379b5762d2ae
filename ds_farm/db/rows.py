"""A row of the dispatcher table to a destination, or the reason why not (decisions 22 to 24).

Values come as the database gives them: numbers or text, NULL or bytes.  No SQL here.
"""

from __future__ import annotations

import re
import socket
from typing import NamedTuple

from ds_farm.config.opensips import parse_socket_description
from ds_farm.dispatch.model import MAX_WEIGHT, Destination, Discard, State
from ds_farm.sip._uri import uri as uri_offsets
from ds_farm.sip.names import Scheme

LONGEST_HOST = 254
"""Semantics 1.2: a longer one is no host."""

_STATES = {int(state): state for state in State}
_HOST_NAME = re.compile(
    rb"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.?"
)
"""RFC 3261 25.1 hostname, and the ``_`` that real names have."""

SECURE_TRANSPORTS = ("tls", "wss")
"""What asks for these, or is a ``sips:`` URI, must not go out in clear (RFC 3261 26.2.2)."""

_FORBIDDEN = re.compile(rb"[\0- \x7f<>\"]")


class RawRow(NamedTuple):
    """One row as selected; a column that the table does not have is None."""

    id: object
    setid: object
    destination: object
    socket: object
    weight: object
    attrs: object
    priority: object
    state: object
    description: object
    probe_mode: object


class BadRow(Exception):
    """A row that cannot be used; ``what`` is wrong with it, and the text says why."""

    def __init__(self, what: Discard, why: str) -> None:
        super().__init__(why)
        self.what = what


def convert(row: RawRow) -> tuple[int, Destination, str]:
    """(set id, destination, warning or "").  Raises BadRow.

    A socket that is no socket is a warning: the row is used without it (semantics 1.2).
    """
    if row.setid is None:
        raise BadRow(Discard.SETID, "setid is NULL")
    set_id = _whole("setid", row.setid, 0x7FFFFFFF)
    state = _whole("state", row.state, 0x7FFFFFFF) if row.state is not None else 0
    if state not in _STATES:
        raise BadRow(
            Discard.STATE, f"unknown state {state}, known are 0 active, 1 inactive, 2 probing"
        )
    sending_socket, warning = _socket(_text(row.socket))
    uri = _uri(_text(row.destination))
    transport = _transport(uri)
    if transport != "udp":
        over_udp = f"{uri!r} asks for {transport}, which is not supported: it is sent to over UDP"
        warning = f"{warning}; {over_udp}" if warning else over_udp
    return (
        set_id,
        Destination(
            uri=uri,
            weight=1 if row.weight is None else _whole("weight", row.weight, MAX_WEIGHT),
            priority=0 if row.priority is None else _whole("priority", row.priority, MAX_WEIGHT),
            state=_STATES[state],
            attrs=_text(row.attrs),
            socket=sending_socket,
            description=_text(row.description),
            # Semantics 1.9: other values than 0 and 1 are ignored.
            probe_mode=1 if row.probe_mode == 1 else 0,
        ),
        warning,
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _whole(column: str, value: object, most: int) -> int:
    """A number or its text (weights are text since version 8)."""
    what = Discard[column.upper()]
    if isinstance(value, int):
        number = value
    else:
        text = _text(value).strip()
        if text.startswith("fs://"):
            raise BadRow(what, f"{column} {text!r}: load figures of FreeSWITCH are not supported")
        if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
            raise BadRow(what, f"{column} {text!r} is not a whole number")
        number = int(text)
    if not 0 <= number <= most:
        raise BadRow(what, f"{column} {number} is not in 0..{most}")
    return number


def _uri(text: str) -> str:
    """Check a destination; the text stays as it is (decision 7)."""
    if not text:
        raise BadRow(Discard.DESTINATION, "the destination is empty")
    data = text.encode()
    found = uri_offsets(data)
    is_sip = found["scheme"] in (Scheme.SIP, Scheme.SIPS)
    host = data[found["host"] : found["host_end"]]
    if not is_sip or found["fault"] or _FORBIDDEN.search(data) or not _is_host(host):
        raise BadRow(Discard.DESTINATION, f"{text!r} is not a SIP URI")
    return text


def _transport(uri: str) -> str:
    """What the URI asks for, lower case, "udp" if it leaves it open; BadRow if it is TLS."""
    data = uri.encode()
    found = uri_offsets(data)
    transport = data[found["transport"] : found["transport_end"]].decode().lower() or "udp"
    if found["scheme"] == Scheme.SIPS or transport in SECURE_TRANSPORTS:
        raise BadRow(Discard.TRANSPORT, f"{uri!r} asks for TLS, which is not supported")
    return transport


def _is_host(host: bytes) -> bool:
    if _HOST_NAME.fullmatch(host):
        return len(host) <= LONGEST_HOST
    text = host.decode(errors="replace")
    try:
        if text.startswith("["):
            socket.inet_pton(socket.AF_INET6, text[1:-1])
        else:
            socket.inet_pton(socket.AF_INET, text)
    except OSError:
        return False
    return True


def _socket(text: str) -> tuple[str, str]:
    if not text.strip():
        return "", ""
    try:
        parse_socket_description(text)
    except ValueError as error:
        return "", f"socket: {error}; the row is used without it"
    return text.strip(), ""
