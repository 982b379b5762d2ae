"""``local_route(request)`` of the routing module: requests that the farm makes itself, its probes.

The request is not forwarded but about to be sent; the route may add headers, or keep it back.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ds_farm.proxy.codes import FAILED
from ds_farm.script.background import Background, Surroundings

_LINE = re.compile(r"[!-9;-~]+[ \t]*:[^\r\n\0]*")
_FIXED = frozenset(
    (
        *("via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "content-length", "l"),
        *("max-forwards", "route", "record-route"),
    )
)


class LocalRequest(Background):
    """What a local route gets.  Names are OpenSIPS's pseudo-variables."""

    def __init__(self, surroundings: Surroundings, method: str, ru: str, fu: str) -> None:
        """``ru`` is the Request-URI, and where it goes: the destination's URI."""
        super().__init__(surroundings)
        self.method = method
        self.ru = ru
        self.fu = fu
        self.added: list[str] = []
        """Header lines that were added, without line ends."""

        self.is_dropped = False

    def append_hf(self, text: str) -> int:
        """Add header lines, ``"Name: value\\r\\n"``.  Returns 1; -1 if ``text`` is no header line
        or names a header that a transaction depends on."""
        lines = text.removesuffix("\r\n").split("\r\n")
        for line in lines:
            if not _LINE.fullmatch(line) or line.partition(":")[0].strip().lower() in _FIXED:
                return FAILED
        self.added += lines
        return 1

    def is_method(self, methods: str) -> int:
        """1 if the method is one of ``methods``, written ``"OPTIONS|INFO"``; else -1."""
        return 1 if self.method in methods.split("|") else FAILED

    def drop(self) -> int:
        """Do not send it.  A probe that is dropped counts as one that could not be sent."""
        self.is_dropped = True
        return 1


LocalRoute = Callable[[LocalRequest], object]
"""Called once for each request that the farm makes; what it returns is of no matter."""


def insert(datagram: bytes, lines: list[str]) -> bytes:
    """The request with more header lines, before its Content-Length."""
    if not lines:
        return datagram
    head, mark, rest = datagram.rpartition(b"Content-Length:")
    return head + "".join(f"{line}\r\n" for line in lines).encode() + mark + rest
