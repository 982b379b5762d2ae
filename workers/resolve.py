"""Addresses of destinations: literals as they stand, host names by the system's resolver.

Only the loader calls it; getaddrinfo() may take seconds, so names are asked for side by side and
with one deadline for all.  A name that does not resolve now keeps the addresses it had, or has none
and stays in its set (decision 23).  Host and port are those of the URI (RFC 3263 section 4.2 for a
numeric host or an explicit port); SRV and NAPTR records are not asked for.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from ds_farm.config.opensips import SocketSpec
from ds_farm.dispatch.model import Address, Destination, DestinationSet
from ds_farm.sip._uri import uri as uri_offsets

logger = logging.getLogger(__name__)

DEFAULT_PORT = 5060
DEADLINE_S = 5.0
"""For all names of a load together; the resolver's threads may go on, nobody waits for them."""

SIDE_BY_SIDE = 32
MOST_ADDRESSES = 32
"""Kept for a destination, as many as OpenSIPS (semantics 1.5)."""

Lookup = Callable[[str], Sequence[str]]
"""Host name -> its addresses as literals; OSError if it has none."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Sets with addresses filled in, and the names that nobody knew."""

    sets: list[DestinationSet]
    unknown: tuple[str, ...]


def host_and_port(uri: str) -> tuple[str, int]:
    """Where a destination URI points: host without brackets, port (5060 if there is none)."""
    text = uri.encode()
    offsets = uri_offsets(text)
    host = text[offsets["host"] : offsets["host_end"]].decode()
    return host.strip("[]"), offsets["port"] or DEFAULT_PORT


def system_lookup(specs: Iterable[SocketSpec]) -> Lookup:
    """getaddrinfo() for the address families that the farm has sockets of."""
    families = {_family(spec.host) for spec in specs}
    family = families.pop() if len(families) == 1 else socket.AF_UNSPEC

    def lookup(host: str) -> Sequence[str]:
        found = socket.getaddrinfo(host, None, family=family, type=socket.SOCK_DGRAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    return lookup


def _family(host: str) -> socket.AddressFamily:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return socket.AF_UNSPEC
    return socket.AF_INET6 if version == 6 else socket.AF_INET


class Resolver:
    """Resolves, and remembers the last good answer for each name."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._known: dict[str, tuple[str, ...]] = {}

    def remember(self, destinations: Iterable[tuple[str, Sequence[Address]]]) -> None:
        """Take over what a table already has: (URI, addresses)."""
        for uri, addresses in destinations:
            if addresses:
                self._known[host_and_port(uri)[0]] = tuple(address.ip for address in addresses)

    def fill(self, sets: Sequence[DestinationSet], deadline_s: float = DEADLINE_S) -> Resolved:
        """Give every destination its addresses, as far as they can be known by the deadline."""
        names = {
            host
            for one in sets
            for destination in one.destinations
            if not _is_literal(host := host_and_port(destination.uri)[0])
        }
        fresh = self._ask(sorted(names), deadline_s)
        self._known = {host: ips for host, ips in self._known.items() if host in names} | fresh
        filled = [
            replace(one, destinations=tuple(map(self._with_addresses, one.destinations)))
            for one in sets
        ]
        return Resolved(filled, tuple(sorted(names - fresh.keys())))

    def _with_addresses(self, destination: Destination) -> Destination:
        host, port = host_and_port(destination.uri)
        ips = (str(ipaddress.ip_address(host)),) if _is_literal(host) else self._known.get(host, ())
        addresses = tuple(Address(ip, port) for ip in ips[:MOST_ADDRESSES])
        return replace(destination, addresses=addresses)

    def _ask(self, names: Sequence[str], deadline_s: float) -> dict[str, tuple[str, ...]]:
        if not names:
            return {}
        pool = ThreadPoolExecutor(min(SIDE_BY_SIDE, len(names)), thread_name_prefix="resolve")
        asked: dict[Future[Sequence[str]], str] = {
            pool.submit(self._lookup, name): name for name in names
        }
        done, late = wait(asked, deadline_s)
        pool.shutdown(wait=False, cancel_futures=True)
        answers = {}
        for future in done:
            try:
                answers[asked[future]] = tuple(future.result())
            except OSError as error:
                logger.warning(f"{asked[future]} does not resolve: {error.strerror}")
            except UnicodeError as error:
                logger.warning(f"{asked[future]} is no host name: {error}")
        for future in late:
            logger.warning(f"{asked[future]} does not resolve within {deadline_s:g} s")
        return answers


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
