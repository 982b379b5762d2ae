"""Requests in the byte stream of a FIFO, in both dialects, one after the other (decision 25).

    :reply_name:{"jsonrpc": ...}        4.0: ends with the object
    :command:reply_name\\narguments\\n\\n  2.1: ends with an empty line

Several clients write into one FIFO, and any of them may write rubbish or half a request.  `feed`
gives what is whole; `expire`, called when nothing more has come for a while, gives up the request
that is not and looks for the next beginning behind it, so that nobody else's is lost with it.  No
argument looks like the head of a request: half of a 2.1 request ends where a line does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

MOST_BYTES = 1 << 16
"""Of one request."""

LONGEST_TOKEN = 8
"""A mistake so near to the end may be a token of which the rest is still to come."""

_DECODER = json.JSONDecoder()
_JSON = re.compile(rb":([^:\s{\[\"]{0,255}):[ \t]*(?=[{\[])")
_JSON_BEGUN = re.compile(rb":[^:\s{\[\"]{0,255}(:[ \t]*)?\Z")
_NEXT = re.compile(rb":[\w-]{0,255}:[ \t]*[{\[]|(?<=\n):")
_END = re.compile(
    rb"""\r?\n(?:[ \t]*\r?\n | (?=(?P<other>
        :[^:\s]+(?::[^:\s]+)*:[^:\s]*[ \t]*\r?\n | :[^:\s{\["]{0,255}:[ \t]*[{\[])))""",
    re.VERBOSE,
)
"""Of a 2.1 request: an empty line, or the head of another one."""


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
        self._may_have_end = True
        self.discarded = 0
        """Bytes that were no request."""

    @property
    def is_partial(self) -> bool:
        """A request has begun that is not whole."""
        return bool(self._rest)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Requests that are whole now."""
        self._may_have_end = True
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
                length = _json_length(self._rest[found.end() :].decode("latin-1"))
                if length is None:
                    return
                if length:
                    end = found.end() + length
                    yield Frame(True, found[1], self._rest[found.end() : end])
                    self._rest = self._rest[end:]
                else:
                    self._skip()
                continue
            if _JSON_BEGUN.fullmatch(self._rest):
                return
            # What has no end has none further back either: one look for all beginnings.
            line_end = _END.search(self._rest) if self._may_have_end else None
            if not line_end:
                self._may_have_end = False
                return
            if line_end["other"]:
                self.discarded += line_end.end()
            else:
                yield Frame(False, b"", self._rest[: line_end.start()])
            self._rest = self._rest[line_end.end() :]

    def _skip(self) -> None:
        """To the next beginning of a request after the one here, or to the end."""
        found = _NEXT.search(self._rest, 1)
        keep = found.start() if found else len(self._rest)
        self.discarded += keep
        self._rest = self._rest[keep:]


def _json_length(text: str) -> int | None:
    """How long the JSON is that ``text`` begins with; None if more must come, 0 if it is none.

    One character a byte: structure is ASCII.  What is wrong is found where it stands, so that many
    beginnings in a row do not cost a look at all that follows, each.
    """
    try:
        return _DECODER.raw_decode(text)[1]
    except json.JSONDecodeError as error:
        is_cut = error.msg.startswith("Unterminated") or len(text) - error.pos <= LONGEST_TOKEN
        return None if is_cut else 0
    except (ValueError, RecursionError):
        return 0
