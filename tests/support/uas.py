"""A destination that answers by a script, in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.support.message import Sip, reply
from tests.support.peer import Address, Peer

Answers = Sequence[tuple[float, bytes]]
"""Seconds to wait before each datagram, and the datagram."""

Script = Callable[[bytes], Answers]


@dataclass(frozen=True)
class Arrival:
    """A request as it came."""

    at_s: float
    """time.monotonic()"""

    data: bytes
    source: Address

    @property
    def call_id(self) -> bytes:
        return Sip.read(self.data).one("Call-ID")


def answering(*statuses: str) -> Script:
    """Answer each request with these, one after the other."""
    return lambda request: [(0.0, reply(request, status)) for status in statuses]


def after(seconds: float, status: str = "200 OK") -> Script:
    """Answer late."""
    return lambda request: [(seconds, reply(request, status))]


def silent(_: bytes) -> Answers:
    """Answer nothing."""
    return ()


class Uas:
    """Listens while the with statement lasts; ``script`` may be changed meanwhile."""

    def __init__(self, script: Script = silent, host: str = "127.0.0.1", port: int = 0) -> None:
        self.script = script
        self.peer = Peer(host, port)
        self.answers_from = self.peer
        """Another socket, to answer from a port where nobody asked."""

        self.arrivals: list[Arrival] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def uri(self) -> str:
        return f"sip:{self.peer.sent_by}"

    def requests(self) -> dict[bytes, list[Arrival]]:
        """What has come, by Call-ID, in the order of the first one's arrival."""
        found: dict[bytes, list[Arrival]] = {}
        for arrival in list(self.arrivals):
            found.setdefault(arrival.call_id, []).append(arrival)
        return found

    def _serve(self) -> None:
        waiting: list[tuple[float, bytes, Address]] = []
        while not self._stopping:
            next_s = min((each[0] for each in waiting), default=time.monotonic() + 0.05)
            with contextlib.suppress(AssertionError):
                wait_s = min(0.05, max(0.001, next_s - time.monotonic()))
                data, source = self.peer.receive_from(wait_s)
                now_s = time.monotonic()
                self.arrivals.append(Arrival(now_s, data, source))
                waiting += [(now_s + later_s, each, source) for later_s, each in self.script(data)]
            due = [each for each in waiting if each[0] <= time.monotonic()]
            waiting = [each for each in waiting if each not in due]
            for _, data, source in due:
                self.answers_from.send(data, source)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping = True
        self._thread.join(5.0)
        self.peer.close()
