"""What a message says: addresses in its headers, credentials, sockets, lengths."""

from __future__ import annotations

from typing import Any

from ds_farm.cfg.texts import Value, first, nameaddr, number, param, text


def entries(values: list[str]) -> list[str]:
    """Addresses of a header: taken apart at commas outside of quotes and angle brackets."""
    found: list[str] = []
    for value in values:
        begin, is_quoted, is_inside = 0, False, False
        for place, character in enumerate(value):
            if character == '"' and value[max(place - 1, 0)] != "\\":
                is_quoted = not is_quoted
            elif is_quoted:
                continue
            elif character in "<>":
                is_inside = character == "<"
            elif character == "," and not is_inside:
                found.append(value[begin:place].strip())
                begin = place + 1
        found.append(value[begin:].strip())
    return [each for each in found if each]


def address(request: Any, header: str, part: str) -> Value:
    """``uri``, ``params`` or ``name`` of the first address in a header."""
    return nameaddr(first(entries(request.hdr(header))), part)


def credential(request: Any, name: str) -> Value:
    """A parameter of Proxy-Authorization, else of Authorization, without its quotes; ``user`` is
    what stands before "@" in the username."""
    given = first(request.hdr("Proxy-Authorization")) or first(request.hdr("Authorization"))
    found = param((given or "").partition(" ")[2], "username" if name == "user" else name, ",")
    return text(found).partition("@")[0] or None if name == "user" else found


def content_length(request: Any) -> Value:
    """As the message says it; NULL if it does not."""
    given = first(request.hdr("Content-Length"))
    return None if given is None else number(given)


def socket_part(request: Any, part: str) -> Value:
    """``ip``, ``port`` or ``proto`` of the socket that a message came in by; NULL for all else."""
    return {"ip": request.Ri, "port": request.Rp, "proto": "udp"}.get(part)
