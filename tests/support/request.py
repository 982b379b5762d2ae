"""Routing functions without sockets: a segment, a table, and requests that are calls of `handle`.

with Script({1: ["sip:192.0.2.1", "sip:192.0.2.2"]}) as script:
    assert script.run(lambda request: request.ds_select_dst("1", "4")) == 1
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from ds_farm.dispatch._live import LiveTable
from ds_farm.dispatch.model import Address, Destination, DestinationSet, State
from ds_farm.dispatch.registry import Registry
from ds_farm.dispatch.state import Event
from ds_farm.proxy._core import Core
from ds_farm.proxy._relay import Relay, Timers
from ds_farm.proxy._wire import Network, Outbox
from ds_farm.script._request import Request
from ds_farm.script.settings import ScriptSettings
from shm.generation import Generations
from shm.segment import Segment
from tests.support.message import Draft

T = TypeVar("T")
Sent = tuple[bytes, str, int, int]
"""Datagram, IP address, port, number of our socket."""

SOCKETS = [("127.0.0.1", 5060, "127.0.0.1", 5060)]
CALLER = ("198.51.100.7", 5070)
_farms = itertools.count(1)


def new_segment(**capacities: int) -> Segment:
    """A segment of its own for a test; end it with `drop_segment`."""
    sizes = {"max_workers": 2, "max_sets": 16, "max_destinations": 256} | capacities
    return Segment.create(f"t{os.getpid()}-{next(_farms)}", **sizes)


def drop_segment(segment: Segment) -> None:
    """Remove it and all that stands beside it."""
    for name in os.listdir("/dev/shm"):
        if name.startswith((f"ds_farm-{segment.farm}.", f"sem.ds_farm-{segment.farm}.")):
            os.unlink(f"/dev/shm/{name}")
    segment.unlink()
    segment.close()


def dest(uri: str, weight: int = 1, **columns: Any) -> Destination:
    """A row whose URI has a literal IPv4 address, resolved as the loader does it."""
    if "addresses" not in columns:
        host, _, port = uri.partition(":")[2].rpartition("@")[2].partition(";")[0].partition(":")
        columns["addresses"] = (Address(host, int(port or 5060)),)
    return Destination(uri, weight, **columns)


Rows = Iterable[str | Destination]


def make_sets(sets: Mapping[int, Rows], partition: str = "default") -> list[DestinationSet]:
    """Sets by their ids, rows as URIs or destinations."""
    return [
        DestinationSet(
            partition, set_id, tuple(dest(row) if isinstance(row, str) else row for row in rows)
        )
        for set_id, rows in sets.items()
    ]


class Script:
    """A worker's core with the routing function of the moment."""

    def __init__(
        self,
        sets: Mapping[int, Rows] | Sequence[DestinationSet] | None,
        settings: ScriptSettings | None = None,
        *,
        sockets: list[tuple[str, int, str, int]] | None = None,
        aliases: list[tuple[str, int]] | None = None,
        threshold: int = 3,
        seed: int = 1,
        routes: Mapping[str, Callable[[Request], object]] | None = None,
    ) -> None:
        """With ``routes``, named as in a module, it keeps transactions."""
        self.segment = new_segment()
        self.registry = Registry(self.segment)
        self.threshold = threshold
        self.complaints: list[str] = []
        self.marked: list[tuple[int, Event]] = []
        self._numbers = itertools.count(1)
        self._settings = settings or ScriptSettings()
        self._seed = seed
        self._network = Network(sockets or SOCKETS, aliases or [])
        self._out = Outbox()
        self._route: Callable[[Request], object] = lambda request: None
        self._errors: list[BaseException] = []
        self._table: LiveTable | None = None
        self._routes = routes
        self.relay = (
            None
            if routes is None
            else Relay(self._network, self._out, Timers(), self.segment, 0, 0)
        )
        self.core: Core[Request] = Core(
            self._network,
            self._out,
            self._make_request,
            lambda request: self._route(request),
            self._errors.append,
            self.segment,
            0,
            self.relay,
        )
        if sets is not None:
            self.publish(sets)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        drop_segment(self.segment)

    def _make_request(self) -> Request:
        request = Request(
            self._network,
            self._out,
            self.segment,
            0,
            self._settings,
            self._mark,
            self.complaints.append,
            self._seed,
            self.relay,
            self._errors.append,
            self._routes,
        )
        if self._table is not None:
            request.use_table(self._table)
        return request

    def _mark(self, slot: int, event: Event) -> None:
        self.marked.append((slot, event))
        self.registry.apply(slot, event, self.threshold)

    def publish(
        self, sets: Mapping[int, Rows] | Sequence[DestinationSet], request: Request | None = None
    ) -> None:
        """Reload; the next request, and ``request`` at once, select from the new table."""
        made = make_sets(sets) if isinstance(sets, Mapping) else sets
        self.registry.publish(made)
        current = Generations(self.segment).current()
        assert current is not None
        number, data = current
        with data:
            self._table = LiveTable(self.segment, number, data[:], 0)
        (request or self.core.request).use_table(self._table)

    # -- states

    def slot(self, uri: str, set_id: int = 1, partition: str = "default") -> int:
        record = self.registry.table().find(partition, set_id)
        assert record is not None
        return next(one.slot for one in record.destinations if one.uri == uri)

    def state(self, uri: str, set_id: int = 1, partition: str = "default") -> State:
        return self.registry.state(self.slot(uri, set_id, partition))

    def set_state(
        self, uri: str, state: State, set_id: int = 1, partition: str = "default"
    ) -> None:
        self.registry.set_state(self.slot(uri, set_id, partition), state)

    # -- requests

    def message(self, method: str = "OPTIONS", uri: str = "sip:service@example.com") -> Draft:
        """A request of a transaction of its own."""
        key = f"k{next(self._numbers)}"
        via = f"SIP/2.0/UDP {CALLER[0]}:{CALLER[1]};branch=z9hG4bK{key}"
        return Draft(method, uri, via=via, key=key)

    def run(self, function: Callable[[Request], T], message: Draft | bytes | None = None) -> T:
        """What a routing function returns for a request; what it raises is raised here."""
        return self.route(function, message)[0]

    def route(
        self, function: Callable[[Request], T], message: Draft | bytes | None = None
    ) -> tuple[T, list[Sent]]:
        """The same, and the datagrams that were sent: (bytes, ip, port, number of our socket)."""
        returned: list[T] = []
        self._route = lambda request: returned.append(function(request))
        if message is None:
            message = self.message()
        data = message if isinstance(message, bytes) else message.bytes()
        sent = self.core.handle(data, *CALLER)
        if self._errors:
            raise self._errors.pop()
        assert returned, "the request did not reach the routing function"
        return returned[0], sent

    def handle(self, data: bytes, address: tuple[str, int] = CALLER) -> list[Sent]:
        """Any datagram; what is sent because of it.  What a route raises is raised here."""
        sent = self.core.handle(data, *address)
        if self._errors:
            raise self._errors.pop()
        return sent

    def chosen(
        self,
        sets: str | int,
        alg: str | int,
        flags: str | int | None = None,
        message: Draft | bytes | None = None,
    ) -> str | None:
        """$du after ds_select_dst; None if it failed."""

        def route(request: Request) -> str | None:
            return request.du if request.ds_select_dst(sets, alg, flags) else None

        return self.run(route, message)

    def walk(
        self,
        sets: str | int,
        alg: str | int,
        flags: str | int | None = None,
        message: Draft | bytes | None = None,
        read: Callable[[Request], object] = lambda request: None,
    ) -> list[str | None]:
        """$du after ds_select_dst and each ds_next_dst until it fails; ``read`` comes between."""

        def route(request: Request) -> list[str | None]:
            found: list[str | None] = []
            more = request.ds_select_dst(sets, alg, flags)
            while more:
                found.append(request.du)
                read(request)
                more = request.ds_next_dst()
            return found

        return self.run(route, message)
