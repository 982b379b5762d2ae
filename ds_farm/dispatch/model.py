"""Destinations, sets and their words as plain values (documentation section 1.1).

Numbers and letters of the outside world become these types at the edge and never travel
further: the database's ``state`` is 0 active, 1 inactive, 2 probing, while ``ds_mark_dst``
takes 0 inactive, 1 active, 2 probing.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

DEFAULT_PARTITION = "default"
MAX_WEIGHT = 65535
"""Weights and priorities lie in 0..65535 (decision 22)."""


class State(enum.IntEnum):
    """State of a destination, with the numbers of the database's ``state`` column."""

    ACTIVE = 0
    INACTIVE = 1
    PROBING = 2

    @property
    def letter(self) -> str:
        """``a``, ``i`` or ``p``, as MI and scripts write it."""
        return "aip"[self]


class Discard(enum.IntEnum):
    """What is wrong with a row that is left out of the table (decision 22)."""

    SETID = 0
    DESTINATION = 1
    STATE = 2
    WEIGHT = 3
    PRIORITY = 4
    TRANSPORT = 5
    """It asks for TLS."""

    LINE = 6
    """A line of a text file that is no row."""


class LoadError(enum.IntEnum):
    """Why a table cannot be had."""

    DATABASE = 0
    """It cannot be reached or does not answer."""

    TABLE = 1
    """It answers, and has no such table, column or version."""

    CAPACITY = 2
    """What it has does not fit the segment."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where datagrams of a destination go: a literal IP address and a UDP port."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Destination:
    """One row of the dispatcher table.

    ``uri`` is the database's text, byte for byte: the identity everywhere (decision 7).
    ``addresses`` are its resolved addresses, the first one is used; none while the host name
    does not resolve (decision 23).  ``priority`` orders a set, largest first.
    """

    uri: str
    weight: int = 1
    priority: int = 0
    state: State = State.ACTIVE
    attrs: str = ""
    socket: str = ""
    description: str = ""
    probe_mode: int = 0
    addresses: tuple[Address, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class DestinationSet:
    """A numbered set of a partition; destinations in their order of use (section 1.3 of the
    semantics: priority descending, then the database's row order)."""

    partition: str
    id: int
    destinations: tuple[Destination, ...]
