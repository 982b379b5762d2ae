"""A table as bytes: every set of one generation, packed with msgpack, in columns.

Columns are arrays of fixed-width numbers in native byte order, so that a worker's compiled sets
take them as they are: loading 10,000 destinations costs a worker about a millisecond.  Nothing
here changes after publication; hot state is in the segment, at the slots that the table names.
"""

from __future__ import annotations

import ipaddress
import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import msgpack

from ds_farm.dispatch.model import Address, Destination, DestinationSet
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

    def as_loaded(self) -> list[DestinationSet]:
        """The sets as a loader would hand them in; their states are in the segment alone."""
        return [
            DestinationSet(
                one.partition,
                one.id,
                tuple(
                    Destination(
                        uri=each.uri,
                        weight=each.weight,
                        priority=each.priority,
                        attrs=each.attrs,
                        socket=each.socket,
                        description=each.description,
                        probe_mode=each.probe_mode,
                        addresses=each.addresses,
                    )
                    for each in one.destinations
                ),
            )
            for one in self.sets
        ]


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
        "host_spans": host_spans.tobytes(),
        "priorities": array("I", [d.priority for d in destinations]).tobytes(),
        "probe_modes": bytes(d.probe_mode for d in destinations),
        **_texts("uri", texts),
        **_texts("attr", [d.attrs.encode() for d in destinations]),
        **_texts("socket", [d.socket.encode() for d in destinations]),
        **_texts("description", [d.description.encode() for d in destinations]),
    }


def _texts(name: str, texts: Sequence[bytes]) -> dict[str, object]:
    """Two columns: all texts as one, and where each ends.  A worker unpacks no object for each."""
    return {f"{name}s": b"".join(texts), f"{name}_ends": _ends(texts)}


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
    rows = zip(
        _each_text(one, "uri"),
        array("I", one["slots"]),
        array("I", one["weights"]),
        array("I", one["priorities"]),
        _each_text(one, "attr"),
        _each_text(one, "socket"),
        _each_text(one, "description"),
        one["probe_modes"],
        _each_addresses(one),
        strict=True,
    )
    destinations = tuple(DestinationRecord(*row) for row in rows)
    return SetRecord(one["partition"], one["id"], one["slot"], destinations)


def _each_text(one: dict[str, Any], name: str) -> Iterator[str]:
    start = 0
    for end in array("I", one[f"{name}_ends"]):
        yield one[f"{name}s"][start:end].decode()
        start = end


def _each_addresses(one: dict[str, Any]) -> Iterator[tuple[Address, ...]]:
    endpoints = [
        Address(str(ipaddress.ip_address(packed if version == 6 else packed[:4])), port)
        for version, port, packed in ENDPOINT.iter_unpack(one["endpoints"])
    ]
    start = 0
    for end in array("I", one["endpoint_ends"]):
        yield tuple(endpoints[start:end])
        start = end
