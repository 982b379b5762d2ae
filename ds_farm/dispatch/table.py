"""A table as bytes: every set of one generation, packed with msgpack, in columns.

Columns are arrays of fixed-width numbers in native byte order, so that a worker's compiled sets
take them as they are: loading 10,000 destinations costs a worker about a millisecond.  Nothing
here changes after publication; hot state is in the segment, at the slots that the table names.
"""

from __future__ import annotations

import ipaddress
import struct
from array import array
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import msgpack

from ds_farm.dispatch.model import Address, DestinationSet
from ds_farm.dispatch.schedule import turns
from ds_farm.sip._uri import uri as uri_offsets

ENDPOINT = struct.Struct("=HH16s")
"""IP version (4 or 6), port, address left-aligned."""


@dataclass(frozen=True, slots=True)
class DestinationRecord:
    """A destination as the current table has it; ``slot`` is where its hot state lives."""

    uri: str
    slot: int
    weight: int
    priority: int
    attrs: str
    socket: str
    description: str
    probe_mode: int
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class SetRecord:
    """A set as the current table has it, destinations in their order of use."""

    partition: str
    id: int
    slot: int
    destinations: tuple[DestinationRecord, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One decoded generation."""

    generation: int
    sets: tuple[SetRecord, ...]

    def find(self, partition: str, set_id: int) -> SetRecord | None:
        """The set of that number, None if there is none."""
        for record in self.sets:
            if record.id == set_id and record.partition == partition:
                return record
        return None


def encode(sets: Iterable[tuple[DestinationSet, int, Sequence[int]]]) -> bytes:
    """Pack sets, each with its slot and the slots of its destinations."""
    packed: bytes = msgpack.packb({"sets": [_encode_set(*one) for one in sets]}, use_bin_type=True)
    return packed


def _encode_set(one: DestinationSet, slot: int, slots: Sequence[int]) -> dict[str, object]:
    destinations = one.destinations
    texts = [destination.uri.encode() for destination in destinations]
    weights = [destination.weight for destination in destinations]
    host_spans = array("I")
    for text in texts:
        span = uri_offsets(text)
        host_spans.extend((span["host"], span["hostport_end"]))
    return {
        "partition": one.partition,
        "id": one.id,
        "slot": slot,
        "slots": array("I", slots).tobytes(),
        "weights": array("I", weights).tobytes(),
        "turns": turns(weights).tobytes(),
        # With flag D the last destination is kept out of the draw (semantics section 3.4).
        "turns_but_last": turns(weights[:-1]).tobytes() if len(weights) > 1 else b"",
        "endpoints": b"".join(_endpoint(a) for d in destinations for a in d.addresses),
        "endpoint_ends": _ends([d.addresses for d in destinations]),
        "uri_ends": _ends(texts),
        "uris": b"".join(texts),
        "host_spans": host_spans.tobytes(),
        "addresses": [[(a.ip, a.port) for a in d.addresses] for d in destinations],
        "priorities": array("I", [d.priority for d in destinations]).tobytes(),
        "attrs": [d.attrs for d in destinations],
        "sockets": [d.socket for d in destinations],
        "descriptions": [d.description for d in destinations],
        "probe_modes": bytes(d.probe_mode for d in destinations),
    }


def _ends(parts: Sequence[Sized]) -> bytes:
    """Where each part ends when all are written one after the other."""
    return array("I", accumulate(len(part) for part in parts)).tobytes()


def _endpoint(address: Address) -> bytes:
    ip = ipaddress.ip_address(address.ip)
    return ENDPOINT.pack(ip.version, address.port, ip.packed)


def unpack(data: bytes) -> list[dict[str, Any]]:
    """The raw columns of each set, for the workers' compiled sets."""
    sets: list[dict[str, Any]] = msgpack.unpackb(data)["sets"]
    return sets


def decode(generation: int, data: bytes) -> Table:
    """The table as values, for everything but the path of a message."""
    return Table(generation, tuple(_decode_set(one) for one in unpack(data)))


def _decode_set(one: dict[str, Any]) -> SetRecord:
    texts, start = [], 0
    for end in array("I", one["uri_ends"]):
        texts.append(one["uris"][start:end].decode())
        start = end
    rows = zip(
        texts,
        array("I", one["slots"]),
        array("I", one["weights"]),
        array("I", one["priorities"]),
        one["attrs"],
        one["sockets"],
        one["descriptions"],
        one["probe_modes"],
        (tuple(Address(ip, port) for ip, port in pairs) for pairs in one["addresses"]),
        strict=True,
    )
    destinations = tuple(DestinationRecord(*row) for row in rows)
    return SetRecord(one["partition"], one["id"], one["slot"], destinations)
