"""Reading SIP messages in tests, independently of ds_farm.sip: head, fields and body as bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass

COMPACT = {
    b"v": b"via",
    b"f": b"from",
    b"t": b"to",
    b"i": b"call-id",
    b"l": b"content-length",
    b"m": b"contact",
    b"c": b"content-type",
    b"s": b"subject",
    b"k": b"supported",
    b"e": b"content-encoding",
}
"""RFC 3261 section 7.3.3."""

# A header field ends at a CRLF that is not followed by a blank (section 7.3.1).
_FIELD_END = re.compile(rb"\r\n(?![ \t])")


@dataclass(frozen=True)
class Field:
    """A header field: its exact bytes without the last CRLF, and its name as a key."""

    raw: bytes

    @property
    def name(self) -> bytes:
        """Lower case, compact forms written out."""
        name = self.raw.partition(b":")[0].strip(b" \t").lower()
        return COMPACT.get(name, name)

    @property
    def value(self) -> bytes:
        """The value with folds unfolded and blanks around it removed."""
        value = self.raw.partition(b":")[2]
        return re.sub(rb"\r\n[ \t]+", b" ", value).strip(b" \t")


@dataclass(frozen=True)
class Sip:
    """A message taken apart; nothing is interpreted."""

    start_line: bytes
    fields: tuple[Field, ...]
    body: bytes

    @classmethod
    def read(cls, datagram: bytes) -> Sip:
        head, _, body = datagram.partition(b"\r\n\r\n")
        start_line, *fields = _FIELD_END.split(head)
        return cls(start_line, tuple(Field(raw) for raw in fields), body)

    @property
    def status(self) -> int:
        """Status code of a response, 0 for a request."""
        word = self.start_line.split(b" ")
        return int(word[1]) if word[0] == b"SIP/2.0" else 0

    def all(self, name: str) -> list[bytes]:
        """Values of all header fields of this name, in order."""
        return [field.value for field in self.fields if field.name == name.lower().encode()]

    def one(self, name: str) -> bytes:
        """The value of a header field that must be there once."""
        values = self.all(name)
        assert len(values) == 1, f"{len(values)} header fields {name}: {values}"
        return values[0]

    @property
    def vias(self) -> list[bytes]:
        """All Via values, those in one field taken apart at commas (no quoted commas in tests)."""
        return [via.strip() for value in self.all("via") for via in value.split(b",")]


def parameter(value: bytes, name: str) -> bytes | None:
    """Value of ``;name=value`` in a header value: empty without ``=``, None if absent."""
    found = re.search(
        rb";[ \t]*" + re.escape(name.encode()) + rb"[ \t]*(?:=[ \t]*([^;,> \t]*))?(?=[;, \t]|$)",
        value,
        re.IGNORECASE,
    )
    return None if found is None else (found[1] or b"")


def tag(value: bytes) -> bytes | None:
    """The tag of a From or To value."""
    return parameter(value.rpartition(b">")[2] if b">" in value else value, "tag")


class Draft:
    """A request to be sent, written out field by field; fields can be replaced, removed, added."""

    def __init__(
        self,
        method: str = "OPTIONS",
        uri: str = "sip:service@example.com",
        *,
        via: str,
        key: str,
        body: bytes = b"",
    ) -> None:
        """``via`` is the first Via's value, ``key`` makes Call-ID, tag and branch of its own."""
        self.start_line = f"{method} {uri} SIP/2.0"
        self.fields = [
            ("Via", via),
            ("Max-Forwards", "70"),
            ("From", f'"Caller" <sip:caller@example.net>;tag={key}'),
            ("To", "<sip:service@example.com>"),
            ("Call-ID", f"{key}@example.net"),
            ("CSeq", f"1 {method}"),
            ("Content-Length", str(len(body))),
        ]
        self.body = body

    def set(self, name: str, value: str) -> Draft:
        """Replace the field of this name where it stands."""
        assert any(found == name for found, _ in self.fields), name
        self.fields = [(n, value if n == name else v) for n, v in self.fields]
        return self

    def rename(self, name: str, other: str) -> Draft:
        """Write a field's name in another way."""
        self.fields = [(other if n == name else n, v) for n, v in self.fields]
        return self

    def remove(self, name: str) -> Draft:
        self.fields = [(n, v) for n, v in self.fields if n != name]
        return self

    def add(self, name: str, value: str) -> Draft:
        """Append a field."""
        self.fields.append((name, value))
        return self

    def bytes(self) -> bytes:
        lines = [self.start_line, *(f"{name}: {value}" for name, value in self.fields), "", ""]
        return "\r\n".join(lines).encode() + self.body


def reply(request: bytes, status: str = "200 OK", to_tag: str = "answered") -> bytes:
    """The response of an endpoint to a request as it arrived there (RFC 3261 8.2.6)."""
    sip = Sip.read(request)
    copied = [
        field.raw for field in sip.fields if field.name in (b"via", b"from", b"call-id", b"cseq")
    ]
    to = sip.one("to")
    if tag(to) is None:
        to += b";tag=" + to_tag.encode()
    return b"\r\n".join(
        [b"SIP/2.0 " + status.encode(), *copied, b"To: " + to, b"Content-Length: 0", b"", b""]
    )
