"""2.1's line protocol: bytes to a command with arguments, replies to bytes (semantics 6.2, 6.3).

    :ds_set_state:reply_name
    i
    group:: 1
    "sip:127.0.0.1:7000"
    (an empty line, or the end of the datagram)

Any bytes give a request or ParseError.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ds_farm.mi.tree import Node, render

MOST_HEAD_BYTES = 1024
MOST_ARGUMENT_BYTES = 8192
MOST_REPLY_BYTES = 65457
"""Of a reply in a datagram."""

MOST_NAME_BYTES = 255

_HEAD = re.compile(rb":([^:\s]+(?::[^:\s]+)*):([^:\r\n]*)")
"""4.0's names have a colon, those of reply FIFOs have none."""

_NAMED = re.compile(r"[A-Za-z0-9_]*\s*::\s*(.*)", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


class ParseError(Exception):
    """No request of the line protocol; ``command`` is its name if that much is clear."""

    def __init__(self, command: str = "") -> None:
        super().__init__(command)
        self.command = command


@dataclass(frozen=True, slots=True)
class Request:
    """A command by its name, where the reply goes, and its arguments in order."""

    command: str
    reply_name: str
    arguments: tuple[str, ...]


def parse(data: bytes) -> Request:
    """A whole request.  Raises ParseError."""
    head, _, rest = data.partition(b"\n")
    found = _HEAD.fullmatch(head.rstrip(b"\r"))
    if not found or len(head) > MOST_HEAD_BYTES or len(found[1]) > MOST_NAME_BYTES:
        raise ParseError
    command = found[1].decode(errors="replace")
    if len(rest) > MOST_ARGUMENT_BYTES:
        raise ParseError(command)
    arguments = []
    for line in rest.decode(errors="replace").split("\n"):
        text = line.strip(" \t\r")
        if not text:
            break
        if text != ".":  # the documentation ends its examples with one (decision 25)
            arguments.append(_value(text, command))
    return Request(command, found[2].strip().decode(errors="replace"), tuple(arguments))


def _value(text: str, command: str) -> str:
    """The value of ``value`` or ``name:: value``; names do not matter, places do."""
    named = _NAMED.fullmatch(text)
    value = named[1] if named else text
    if not value.startswith('"'):
        return value
    quoted = _QUOTED.fullmatch(value)
    if not quoted:
        raise ParseError(command)
    return re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL)


def encode(code: int, reason: str, nodes: Iterable[Node] = (), *, closed: bool) -> bytes:
    """A command's reply; a FIFO's is ``closed`` by an empty line, a datagram's is not."""
    text = f"{code} {reason}\n" + "".join(render(nodes)) + ("\n" if closed else "")
    return text.encode(errors="replace")


def encode_failure(code: int, reason: str) -> bytes:
    """A reply of the protocol itself, which has one line and nothing behind it."""
    return f"{code} {reason}\n".encode(errors="replace")
