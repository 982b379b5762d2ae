"""The probe's bytes (RFC 3261 8.1.1, documentation 1.3.5 and 1.3.6, semantics 5).

All that varies is a keyed hash of which probe it is, so that a successor of the timer writes the
very same request again, and nobody outside can make a branch that is taken for ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import ds_farm
from ds_farm.sip._branch import keyed_hash
from ds_farm.sip._uri import uri as uri_offsets

BRANCH = b"z9hG4bKp"
"""What a probe's branch begins with: no other branch of ours has a "p" there, theirs is hexadecimal
(ds_farm/proxy/_notice.pxd looks at this one byte)."""

_USER_AGENT = b"ds_farm/" + ds_farm.__version__.encode()


@dataclass(frozen=True, slots=True)
class Style:
    """What all probes of a farm have in common."""

    secret: bytes
    """The farm's 16-byte key."""

    method: str
    from_uri: str
    max_forwards: int = 70


@dataclass(frozen=True, slots=True)
class Probe:
    """Which probe: the ``number``-th of a slot, and when it was sent first."""

    slot: int
    number: int
    sent_ns: int


@dataclass(frozen=True, slots=True)
class Request:
    """A probe as it is sent, and what its replies are known by (17.1.3)."""

    datagram: bytes
    branch: bytes
    method: bytes


def request_uri(uri: str) -> str:
    """A destination's URI as a Request-URI: without headers, which may not be there (19.1.1)."""
    found = uri_offsets(uri.encode())
    end: int = found["headers"]
    return uri.encode()[:end].decode() if end else uri


def build(style: Style, probe: Probe, uri: str, sent_by: str) -> Request:
    """The request to ``uri`` (text of the database), sent by ``host:port`` as Via shows it."""
    name = b"%d.%d.%d" % (probe.slot, probe.number, probe.sent_ns)
    branch = BRANCH + b"%016x" % keyed_hash(style.secret, b"branch", name)
    call_id = b"%016x" % keyed_hash(style.secret, b"call-id", name)
    tag = b"%016x" % keyed_hash(style.secret, b"tag", name)
    method, target = style.method.encode(), request_uri(uri).encode()
    sender = sent_by.encode()
    return Request(
        b"%b %b SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP %b;branch=%b;rport\r\n"
        b"Max-Forwards: %d\r\n"
        b"From: <%b>;tag=%b\r\n"
        b"To: <%b>\r\n"
        b"Call-ID: %b@%b\r\n"
        b"CSeq: 1 %b\r\n"
        b"User-Agent: %b\r\n"
        b"Content-Length: 0\r\n\r\n"
        % (
            method,
            target,
            sender,
            branch,
            style.max_forwards,
            style.from_uri.encode(),
            tag,
            target,
            call_id,
            sender.rpartition(b":")[0],
            method,
            _USER_AGENT,
        ),
        branch,
        method,
    )
