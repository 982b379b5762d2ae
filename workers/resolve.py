"""Addresses of destinations: literals as they stand, host names as DNS has them.

Each name is asked for again when its records expire.  A name that fails keeps the addresses it had,
or has none and stays in its set (decision 23); it is asked for again after a pause that doubles.
An answer with the same addresses changes nothing, in whatever order they come: a destination does
not move for a nameserver that rotates.  Only the loader's thread calls.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ds_farm.dispatch.model import Address, Destination, DestinationSet
from ds_farm.sip._uri import uri as uri_offsets
from workers.dns import MOST_ADDRESSES, Endpoint, Failed, Found, Lookup, Target, Way

logger = logging.getLogger(__name__)

DEFAULT_PORT = 5060
DEADLINE_S = 5.0
"""For all names of a load together."""

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Resolved:
    """Sets with addresses filled in, and the names whose last question failed."""

    sets: list[DestinationSet]
    unknown: tuple[str, ...]


@dataclass(slots=True)
class _Name:
    """What is known of a target."""

    endpoints: tuple[Endpoint, ...] = ()
    due_s: float = 0.0
    failures: int = 0
    """In a row."""


def host_and_port(uri: str) -> tuple[str, int]:
    """Where a destination URI points: host or maddr (RFC 3263 section 4) without brackets, port (0
    if there is none)."""
    text = uri.encode()
    offsets = uri_offsets(text)
    part = "maddr" if offsets["maddr_end"] > offsets["maddr"] else "host"
    host = text[offsets[part] : offsets[f"{part}_end"]].decode()
    return host.strip("[]"), offsets["port"]


def target_of(uri: str) -> Target | None:
    """What to ask for; None if the host is an address."""
    host, port = host_and_port(uri)
    if _is_literal(host):
        return None
    if port:
        return Target(host.lower(), Way.ADDRESS)
    offsets = uri_offsets(uri.encode())
    has_transport = offsets["transport_end"] > offsets["transport"]
    return Target(host.lower(), Way.SRV if has_transport else Way.NAPTR)


class Resolver:
    """Resolves, and remembers the last good answer for each name.

    ``lookup`` asks; answers are used for their time to live, between the two bounds (seconds).
    """

    def __init__(
        self,
        lookup: Lookup,
        min_ttl_s: float,
        max_ttl_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookup = lookup
        self._min_ttl_s = min_ttl_s
        self._max_ttl_s = max_ttl_s
        self._clock = clock
        self._names: dict[Target, _Name] = {}
        self._asked = 0
        self._failed = 0

    def __len__(self) -> int:
        """How many names the sets have."""
        return len(self._names)

    def take_counts(self) -> tuple[int, int]:
        """Since the last call: names asked for, and how many had no usable answer."""
        counts = self._asked, self._failed
        self._asked = self._failed = 0
        return counts

    @property
    def due_s(self) -> float:
        """When the next name is to be asked for again; infinite if there is none."""
        return min((name.due_s for name in self._names.values()), default=float("inf"))

    def remember(self, destinations: Iterable[tuple[str, Sequence[Address]]]) -> None:
        """Take over what a table already has, due at once: (URI, addresses)."""
        for uri, addresses in destinations:
            target = target_of(uri)
            if target:
                has_port = target.way is Way.ADDRESS
                self._names[target] = _Name(
                    tuple(Endpoint(one.ip, 0 if has_port else one.port) for one in addresses)
                )

    def fill(self, sets: Sequence[DestinationSet], deadline_s: float = DEADLINE_S) -> Resolved:
        """Give every destination its addresses, as far as they can be known by the deadline."""
        targets = {
            target
            for one in sets
            for destination in one.destinations
            if (target := target_of(destination.uri))
        }
        self._names = {target: self._names.get(target) or _Name() for target in targets}
        self._ask(list(self._names), deadline_s)
        return self._filled(sets)

    def refresh(self, sets: Sequence[DestinationSet], deadline_s: float = DEADLINE_S) -> Resolved:
        """The same for names that are due; ``sets`` as `fill` or `remember` have seen them."""
        now_s = self._clock()
        self._ask(
            [target for target, name in self._names.items() if name.due_s <= now_s], deadline_s
        )
        return self._filled(sets)

    def _filled(self, sets: Sequence[DestinationSet]) -> Resolved:
        filled = [
            replace(one, destinations=tuple(map(self._with_addresses, one.destinations)))
            for one in sets
        ]
        unknown = {target.host for target, name in self._names.items() if name.failures}
        return Resolved(filled, tuple(sorted(unknown)))

    def _with_addresses(self, destination: Destination) -> Destination:
        target = target_of(destination.uri)
        host, port = host_and_port(destination.uri)
        endpoints = (
            self._names[target].endpoints
            if target
            else (Endpoint(str(ipaddress.ip_address(host))),)
        )
        addresses = tuple(
            Address(one.ip, one.port or port or DEFAULT_PORT) for one in endpoints[:MOST_ADDRESSES]
        )
        return replace(destination, addresses=addresses)

    def _ask(self, targets: Sequence[Target], deadline_s: float) -> None:
        if not targets:
            return
        self._asked += len(targets)
        for target, answer in self._lookup(targets, deadline_s).items():
            if isinstance(answer, Found):
                self._take(target, answer)
            else:
                self._miss(target, answer)

    def _take(self, target: Target, found: Found) -> None:
        name = self._names[target]
        place = {(one.ip, one.port): index for index, one in enumerate(name.endpoints)}
        before = name.endpoints
        name.endpoints = tuple(
            sorted(
                found.endpoints,
                key=lambda one: (one.rank, place.get((one.ip, one.port), len(place))),
            )
        )
        if name.failures or name.endpoints != before:
            addresses = ", ".join(
                f"{one.ip}:{one.port}" if one.port else one.ip for one in name.endpoints
            )
            logger.info(f"{target.host} resolves to {addresses}")
        name.failures = 0
        name.due_s = self._clock() + min(max(found.ttl_s, self._min_ttl_s), self._max_ttl_s)

    def _miss(self, target: Target, answer: Failed) -> None:
        name = self._names[target]
        name.failures += 1
        self._failed += 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(name.failures - 1, 10))
        # The first round is short, so that a farm starts at once: the second one follows it.
        is_first = answer.is_late and name.failures == 1
        name.due_s = self._clock() + (0.0 if is_first else pause_s)
        kept = "keeps the addresses it had" if name.endpoints else "has no address"
        if answer.instead and not name.endpoints:
            name.endpoints = answer.instead
            kept = f"gets {', '.join(one.ip for one in name.endpoints)} until it does"
        say = logger.warning if name.failures == 1 else logger.debug
        say(f"{target.host} does not resolve, it {kept}: {answer.reason}")


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
