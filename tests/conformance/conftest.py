"""One farm with one worker between a caller and a destination, both seen byte by byte."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.farm import Farm
from tests.support.message import Draft
from tests.support.net import own_host
from tests.support.peer import Peer

# Where answers to the torture messages go: the ports in their first Via, and the defaults.
CALLER_PORTS = (5060, 5061, 5050, 5070)


@dataclass(frozen=True)
class Fate:
    """What the farm sent because of one datagram."""

    forwarded: list[bytes]
    """To the destination."""

    answered: list[bytes]
    """Back to the caller, at any of its ports."""


class Bench:
    """caller - farm - destination.  One worker, so what is sent in turn is done in turn."""

    def __init__(self, farm: Farm, destination: Peer) -> None:
        self.farm = farm
        self.destination = destination
        host = own_host()
        self.callers = [Peer(host, port) for port in CALLER_PORTS]
        self.caller = self.callers[0]
        self._keys = itertools.count(1)

    def key(self) -> str:
        """A word for one transaction."""
        return f"k{next(self._keys)}"

    def draft(
        self,
        method: str = "OPTIONS",
        uri: str = "sip:service@example.com",
        via: str = "",
        body: bytes = b"",
    ) -> Draft:
        """A request of the caller, of a transaction of its own."""
        key = self.key()
        via = via or f"SIP/2.0/UDP {self.caller.sent_by};branch=z9hG4bK{key}"
        return Draft(method, uri, via=via, key=key, body=body)

    def fate(self, datagram: bytes, sender: Peer | None = None) -> Fate:
        """Send one datagram to the farm and see what becomes of it.

        A well-formed request goes after it through the same socket and worker; when that one has
        come through, all that the datagram causes has been sent.
        """
        sender = sender or self.caller
        to = self.farm.sip6 if ":" in sender.host else self.farm.sip
        fence = self.draft()
        if ":" in sender.host:
            fence.set("Via", f"SIP/2.0/UDP {sender.sent_by};branch=z9hG4bKfence{self.key()}")
        mark = f"fence-{self.key()}@example.net"
        fence.set("Call-ID", mark)
        sender.send(datagram, to)
        sender.send(fence.bytes(), to)
        forwarded = self.destination.receive_until(mark.encode())
        listening = {*self.callers, sender}
        return Fate(forwarded, [found for peer in listening for found in peer.pending()])

    def through(self, datagram: bytes, sender: Peer | None = None) -> bytes:
        """Send a request that must be forwarded, once, and unanswered; returns it as it came."""
        fate = self.fate(datagram, sender)
        assert not fate.answered, fate.answered[0].decode(errors="replace")
        assert len(fate.forwarded) == 1, f"{len(fate.forwarded)} datagrams at the destination"
        return fate.forwarded[0]

    def refused(self, datagram: bytes, sender: Peer | None = None) -> bytes:
        """Send a request that must be answered, once, and not forwarded; returns the answer."""
        fate = self.fate(datagram, sender)
        assert not fate.forwarded, fate.forwarded[0].decode(errors="replace")
        assert len(fate.answered) == 1, f"{len(fate.answered)} answers"
        return fate.answered[0]

    def dropped(self, datagram: bytes, sender: Peer | None = None) -> None:
        """Send a datagram that must cause nothing but one more in the counter of drops."""
        before = self.drops()
        fate = self.fate(datagram, sender)
        assert not fate.forwarded, fate.forwarded[0].decode(errors="replace")
        assert not fate.answered, fate.answered[0].decode(errors="replace")
        assert self.drops() == before + 1, "a dropped message is counted once"

    def drops(self) -> int:
        """Messages that the worker has dropped so far."""
        with self.farm.segment() as segment:
            return sum(segment.worker(0).words("dropped"))

    def close(self) -> None:
        for peer in self.callers:
            peer.close()


@pytest.fixture(scope="package")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Peer(own_host()) as destination:
        farm = Farm(
            tmp_path_factory.mktemp("conformance"),
            [f"sip:{destination.sent_by}"],
            children=1,
            listen_ipv6=True,
        )
        with farm:
            bench = Bench(farm, destination)
            yield bench
            bench.close()
