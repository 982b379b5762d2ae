"""From a host name to addresses and ports: RFC 3263, for UDP, by dnspython.

The way depends on what the URI leaves open (RFC 3263 sections 4.1 and 4.2, semantics 1.5): a port
means addresses only, a transport means SRV records and else addresses, neither means NAPTR, SRV,
addresses.  Names of /etc/hosts need no question.  Targets are asked for side by side, with one
deadline for all; who calls is a thread that may wait.
"""

from __future__ import annotations

import asyncio
import enum
import ipaddress
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.rdtypes.IN.NAPTR
import dns.rdtypes.IN.SRV
import dns.resolver

from ds_farm.config.models import DnsConfig
from ds_farm.config.opensips import SocketSpec

SIDE_BY_SIDE = 64
MOST_ADDRESSES = 32
"""Kept for a name, and targets of SRV records asked for; as many as OpenSIPS (semantics 1.5)."""

HOSTS = Path("/etc/hosts")
HOSTS_TTL_S = 60.0
DNS_PORT = 53
NO_RECORD = (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer)


class Way(enum.Enum):
    """Where the search for a host begins."""

    ADDRESS = "A, AAAA"
    SRV = "SRV"
    NAPTR = "NAPTR"


@dataclass(frozen=True, slots=True)
class Target:
    """A name to ask for."""

    host: str
    way: Way


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address that was found; ``port`` 0 is the URI's.  A smaller ``rank`` goes first."""

    ip: str
    port: int = 0
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A good answer: endpoints by preference, and how long they may be used without asking."""

    endpoints: tuple[Endpoint, ...]
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """No usable answer, and why.  ``is_late``: only for now, the deadline came first.  ``instead``:
    what a name without any address may have until its SRV records can be asked for."""

    reason: str
    is_late: bool = False
    instead: tuple[Endpoint, ...] = ()


Lookup = Callable[[Sequence[Target], float], dict[Target, Found | Failed]]
"""Targets and seconds -> answers.  Raises nothing for a target."""


class _NoAddress(Exception):
    """A name leads to nothing that we can send to."""


class _NoAnswer(Exception):
    """Nobody says whether a name has SRV records."""


def read_hosts(path: Path = HOSTS) -> dict[str, list[str]]:
    """Names (lower case) and their addresses in a file as hosts(5) describes it."""
    names: dict[str, list[str]] = {}
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        ip, *hosts = line.partition("#")[0].split() or [""]
        try:
            ipaddress.ip_address(ip)
        except ValueError:
            continue  # also addresses with a scope, which are of no use as destinations
        for host in hosts:
            names.setdefault(host.lower(), []).append(ip)
    return names


def families_of(specs: Iterable[SocketSpec]) -> frozenset[int]:
    """IP versions (4, 6) that the farm can send by; both if a socket is named by a host name."""
    versions: set[int] = set()
    for spec in specs:
        try:
            versions.add(ipaddress.ip_address(spec.host).version)
        except ValueError:
            versions |= {4, 6}
    return frozenset(versions)


class DnsLookup:
    """A `Lookup` by the nameservers of the configuration, or of the system."""

    def __init__(self, config: DnsConfig, versions: Collection[int], hosts: Path = HOSTS) -> None:
        self._config = config
        self._versions = versions
        self._path = hosts
        self._hosts: dict[str, list[str]] = {}

    def __call__(
        self, targets: Sequence[Target], deadline_s: float
    ) -> dict[Target, Found | Failed]:
        """Ask for all of them; what was not even begun by the deadline is late, too."""
        self._hosts = read_hosts(self._path)
        return asyncio.run(self._all(targets, deadline_s))

    def _resolver(self) -> dns.asyncresolver.Resolver:
        """Made for each round, so that a changed resolv.conf(5) is noticed."""
        try:
            resolver = dns.asyncresolver.Resolver(configure=not self._config.nameservers)
        except dns.resolver.NoResolverConfiguration:
            resolver = dns.asyncresolver.Resolver(configure=False)
            resolver.nameservers = ["127.0.0.1"]  # as resolv.conf(5) has it
        if self._config.nameservers:
            resolver.nameservers = [
                dns.nameserver.Do53Nameserver(one.host, one.port or DNS_PORT)
                for one in self._config.nameservers
            ]
        resolver.lifetime = self._config.timeout_s
        return resolver

    async def _all(
        self, targets: Sequence[Target], deadline_s: float
    ) -> dict[Target, Found | Failed]:
        search = _Search(self._resolver(), self._config, self._versions, self._hosts)
        limit = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(target: Target) -> Found | Failed:
            async with limit:
                try:
                    return await search.target(target)
                except _NoAnswer as error:
                    return Failed(str(error), instead=await search.instead(target))
                except (_NoAddress, dns.exception.DNSException, UnicodeError, OSError) as error:
                    return Failed(str(error) or type(error).__name__)

        tasks = {asyncio.create_task(one(target)): target for target in targets}
        done, late = await asyncio.wait(tasks, timeout=deadline_s) if tasks else (set(), set())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        reason = f"no answer within {deadline_s:g} s"
        return {
            **{tasks[task]: task.result() for task in done},
            **{tasks[task]: Failed(reason, is_late=True) for task in late},
        }


class _Search:
    """One round of questions."""

    def __init__(
        self,
        resolver: dns.asyncresolver.Resolver,
        config: DnsConfig,
        versions: Collection[int],
        hosts: dict[str, list[str]],
    ) -> None:
        self._resolver = resolver
        self._config = config
        self._versions = versions
        self._hosts = hosts

    async def target(self, target: Target) -> Found:
        """Follow RFC 3263 section 4 from where the target begins."""
        local = self._usable(self._hosts.get(target.host.lower().rstrip("."), ()))
        if local:
            return Found(tuple(map(Endpoint, local)), HOSTS_TTL_S)
        found = None
        if target.way is Way.NAPTR and self._config.try_naptr:
            found = await self._by_naptr(target.host)
        if found is None and target.way is not Way.ADDRESS:
            found = await self._by_srv(f"_sip._udp.{target.host}")
        return found or await self._by_address(target.host)

    async def instead(self, target: Target) -> tuple[Endpoint, ...]:
        """The addresses of the name itself, none if they cannot be had either."""
        try:
            return (await self._by_address(target.host)).endpoints
        except (_NoAddress, dns.exception.DNSException, UnicodeError, OSError):
            return ()

    def _usable(self, ips: Iterable[str]) -> list[str]:
        fit = (ip for ip in ips if ipaddress.ip_address(ip).version in self._versions)
        return list(dict.fromkeys(fit))

    async def _by_naptr(self, host: str) -> Found | None:
        """RFC 3263 section 4.1: records for SIP over UDP, in their order; None if none helps."""
        try:
            answer = await self._resolver.resolve(host, "NAPTR", search=False)
        except dns.exception.DNSException:
            return None  # servers that do not know the type are no reason to give up
        ttl_s = answer.chaining_result.minimum_ttl
        for record in answer.rrset.processing_order() if answer.rrset else ():
            assert isinstance(record, dns.rdtypes.IN.NAPTR.NAPTR)
            if record.service.upper() != b"SIP+D2U" or record.regexp:
                continue
            follow = {b"S": self._by_srv, b"A": self._by_address}.get(record.flags.upper())
            try:
                found = await follow(record.replacement.to_text()) if follow else None
            except (*NO_RECORD, _NoAddress):
                continue
            if found:
                return Found(found.endpoints, min(ttl_s, found.ttl_s))
        return None

    async def _by_srv(self, name: str) -> Found | None:
        """RFC 2782: all servers by priority and weight; None if there is no such record.

        A server that cannot be resolved is left out.  Raises if the service is not offered, or if
        no server is left.
        """
        try:
            answer = await self._resolver.resolve(name, "SRV", search=False)
        except NO_RECORD:
            return None
        except dns.exception.DNSException as error:
            raise _NoAnswer(str(error)) from error
        records = [
            record
            for record in (answer.rrset.processing_order() if answer.rrset else ())
            if isinstance(record, dns.rdtypes.IN.SRV.SRV)
        ][:MOST_ADDRESSES]
        if len(records) == 1 and records[0].target.to_text() == ".":
            raise _NoAddress(f"{name} offers no SIP over UDP")
        servers = await asyncio.gather(
            *(self._by_address(record.target.to_text()) for record in records),
            return_exceptions=True,
        )
        endpoints: list[Endpoint] = []
        ttl_s = float(answer.chaining_result.minimum_ttl)
        for record, found in zip(records, servers, strict=True):
            if isinstance(found, Found):
                ttl_s = min(ttl_s, found.ttl_s)
                endpoints += (
                    Endpoint(one.ip, record.port, record.priority) for one in found.endpoints
                )
        if not endpoints:
            raise next(one for one in servers if isinstance(one, BaseException))
        return Found(tuple(endpoints[:MOST_ADDRESSES]), ttl_s)

    async def _by_address(self, host: str) -> Found:
        """Addresses of the families that we send by, IPv4 first; one that fails is left out."""
        local = self._usable(self._hosts.get(host.lower().rstrip("."), ()))
        if local:
            return Found(tuple(map(Endpoint, local)), HOSTS_TTL_S)
        answers = await asyncio.gather(
            *(
                self._resolver.resolve(host, kind, search=bool(self._config.use_search_list))
                for version, kind in ((4, "A"), (6, "AAAA"))
                if version in self._versions
            ),
            return_exceptions=True,
        )
        good = [one for one in answers if isinstance(one, dns.resolver.Answer)]
        ips = [record.to_text() for one in good for record in one.rrset or ()]
        if not ips:
            raise next((one for one in answers if isinstance(one, BaseException)), _NoAddress(host))
        ttl_s = float(min(one.chaining_result.minimum_ttl for one in good))
        return Found(tuple(map(Endpoint, ips[:MOST_ADDRESSES])), ttl_s)
