"""Who is probed, where to, and from which of our sockets (semantics 5, decisions 17 and 18)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ds_farm.dispatch.model import State
from ds_farm.dispatch.table import DestinationRecord, Table
from ds_farm.probe.prober import Target

PROBING_ONLY = 0
ALL = 1
"""Values of ds_probing_mode (documentation 1.3.10)."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a probe gets to an address."""

    target: Target
    listener: int
    """Index of the socket that sends; -1 if no socket of ours is of the address's family."""


@dataclass(frozen=True, slots=True)
class Place:
    """A destination of the current table as probing sees it."""

    slot: int
    set_slot: int
    uri: str
    mode: int
    """`ALL` if the farm's mode or its row's ``probe_mode`` says so (semantics 1.9)."""

    ways: tuple[Way, ...]
    """One for each of its addresses, in their order; none while its name does not resolve."""

    def way(self, number: int) -> Way | None:
        """To the address in use, where calls go too."""
        return self.ways[number % len(self.ways)] if self.ways else None

    def is_probed(self, state: State) -> bool:
        """Inactive ones never (decision 17), active ones in mode 1."""
        return state is State.PROBING or (state is State.ACTIVE and self.mode == ALL)


class Sockets:
    """Our SIP sockets, by number."""

    def __init__(self, hosts: Sequence[str], find: Callable[[str], int], preferred: str) -> None:
        """``hosts`` are the bound literal addresses; ``find`` gives the number of a socket
        description or -1; ``preferred`` is ds_probing_sock or ""."""
        self._is_ipv6 = [":" in host for host in hosts]
        self._find = find
        self._preferred = find(preferred) if preferred else -1

    def choose(self, own: str, address: str) -> int:
        """The destination's own socket, else ds_probing_sock, else the first one; each only if
        it can send to that address.  -1 if none can."""
        wanted = ":" in address
        candidates: list[int] = [
            self._find(own) if own else -1,
            self._preferred,
            *range(len(self._is_ipv6)),
        ]
        for index in candidates:
            if index >= 0 and self._is_ipv6[index] == wanted:
                return index
        return -1


def places(table: Table, sockets: Sockets, mode: int) -> Iterator[Place]:
    """All destinations of a table; the same URI in two sets is two destinations."""
    for one in table.sets:
        for record in one.destinations:
            yield _place(one.slot, record, sockets, mode)


def _place(set_slot: int, record: DestinationRecord, sockets: Sockets, mode: int) -> Place:
    return Place(
        slot=record.slot,
        set_slot=set_slot,
        uri=record.uri,
        mode=ALL if ALL in (mode, record.probe_mode) else PROBING_ONLY,
        ways=tuple(
            Way((each.ip, each.port), sockets.choose(record.socket, each.ip))
            for each in record.addresses
        ),
    )
