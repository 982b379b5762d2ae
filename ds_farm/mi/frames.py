"""Requests in the byte stream of a FIFO, in both dialects, one after the other (decision 25).

    :reply_name:{"jsonrpc": ...}        4.0: ends with the object
    :command:reply_name\\narguments\\n\\n  2.1: ends with an empty line

Several clients write into one FIFO, and any of them may write rubbish or half a request.  `feed`
gives what is whole; `expire`, called when nothing more has come for a while, gives up the request
that is not and looks for the next beginning behind it, so that nobody else's is lost with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

MOST_BYTES = 1 << 16
"""Of one request."""

_JSON = re.compile(rb":([^:\s{\[\"]{0,255}):[ \t]*(?=[{\[])")
_JSON_BEGUN = re.compile(rb":[^:\s{\[\"]{0,255}(:[ \t]*)?\Z")
_NEXT = re.compile(rb":[\w-]{0,255}:[ \t]*[{\[]|(?<=\n):")
_BRACKET = re.compile(rb'["{}\[\]]')
_QUOTE = re.compile(rb'["\\]')
_END = re.compile(rb"\r?\n[ \t]*\r?\n")


@dataclass(frozen=True, slots=True)
class Frame:
    """One request: JSON with the name of its reply FIFO, or all of a 2.1 request."""

    is_json: bool
    reply_name: bytes
    """Of a JSON request; a 2.1 request has it in its own first line."""

    body: bytes


class Frames:
    """What has been read and is not a whole request yet: at most `MOST_BYTES`."""

    def __init__(self) -> None:
        self._rest = b""
        self.discarded = 0
        """Bytes that were no request."""

    @property
    def is_partial(self) -> bool:
        """A request has begun that is not whole."""
        return bool(self._rest)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Requests that are whole now."""
        self._rest += data
        yield from self._whole()
        while len(self._rest) > MOST_BYTES:
            self._skip()
            yield from self._whole()

    def expire(self) -> Iterator[Frame]:
        """Give up the request that is not whole; requests that stand behind its beginning."""
        while self._rest:
            self._skip()
            yield from self._whole()

    def _whole(self) -> Iterator[Frame]:
        while self._rest:
            start = len(self._rest) - len(self._rest.lstrip(b" \t\r\n"))
            self._rest = self._rest[start:]
            if not self._rest:
                return
            if not self._rest.startswith(b":"):
                self._skip()
                continue
            found = _JSON.match(self._rest)
            if found:
                end = _json_end(self._rest, found.end())
                if end < 0:
                    return
                body = self._rest[found.end() : end]
                if _is_json(body):
                    yield Frame(True, found[1], body)
                    self._rest = self._rest[end:]
                else:  # or it has swallowed the beginning of somebody else's
                    self._skip()
                continue
            if _JSON_BEGUN.fullmatch(self._rest):
                return
            line_end = _END.search(self._rest)
            if not line_end:
                return
            yield Frame(False, b"", self._rest[: line_end.start()])
            self._rest = self._rest[line_end.end() :]

    def _skip(self) -> None:
        """To the next beginning of a request after the one here, or to the end."""
        found = _NEXT.search(self._rest, 1)
        keep = found.start() if found else len(self._rest)
        self.discarded += keep
        self._rest = self._rest[keep:]


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _json_end(data: bytes, start: int) -> int:
    """Where the object or list that begins at ``start`` ends, -1 if it does not."""
    depth, at = 0, start
    while found := _BRACKET.search(data, at):
        at = found.end()
        match found[0]:
            case b"{" | b"[":
                depth += 1
            case b"}" | b"]":
                depth -= 1
                if depth <= 0:
                    return at
            case _:
                at = _string_end(data, at)
                if at < 0:
                    return -1
    return -1


def _string_end(data: bytes, at: int) -> int:
    while found := _QUOTE.search(data, at):
        if found[0] == b'"':
            return found.end()
        at = found.end() + 1
    return -1
