"""The timer: probing (documentation sections 1.3.5 to 1.3.12, decisions 14 to 19), timer routes.

Clock and sockets for `ds_farm.probe`.  Probes leave by the SIP sockets, so destinations see the
address that calls come from; the replies come to whatever worker the kernel picks, and reach this
process through the pipe of notices.  It looks at everything once a tick: replies bear the time at
which a worker had them, so waiting for more of them costs no accuracy.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from ds_farm.dispatch.registry import Registry
from ds_farm.dispatch.state import Event, Reason
from ds_farm.probe.prober import EVENTS, F_NS, Ended, Prober, Result, Transaction
from ds_farm.probe.record import Records
from ds_farm.probe.request import Probe, Request, Style, build, request_uri
from ds_farm.probe.schedule import Schedule
from ds_farm.probe.targets import ALL, Place, Sockets, Way, places
from ds_farm.proxy._notice import SIZE, decode
from ds_farm.script.background import Surroundings
from ds_farm.script.local import LocalRequest, LocalRoute, insert
from shm.errors import SegmentError
from workers.process import ProcessContext
from workers.routines import Routines
from workers.sockets import network

if TYPE_CHECKING:
    from ds_farm.script.module import Routes

logger = logging.getLogger(__name__)

STARTING_S = 0.05
"""Between two looks for the first table."""

TURN_NS = 500_000_000
"""Longest sleep: how soon a new table is seen."""

LONGEST_TICK_NS = 50_000_000
SHORTEST_TICK_NS = 20_000_000
PROBES_A_TICK = 40
"""Between two looks at clock and notices so many probes become due, if that is in these limits."""

READ_BYTES = 1024 * SIZE
MOST_READS = 8
"""Of one tick; the rest waits in the pipe."""

SEND_TRIES = 3
"""A failure may be what ICMP said of an earlier datagram (IP_RECVERR): it counts when it stays."""

REASONS = {
    Result.GOOD: Reason.GOOD_REPLY,
    Result.BAD: Reason.BAD_REPLY,
    Result.TIMEOUT: Reason.BAD_REPLY,
    Result.REFUSED: Reason.BAD_REPLY,
    Result.UNSENT: Reason.UNSENT,
}
"""What events say; to OpenSIPS a time-out is a 408, a negative reply."""


UNANSWERED = frozenset({Result.TIMEOUT, Result.REFUSED, Result.UNSENT})
"""Nothing came from the address that was probed: the next one is tried (RFC 3263 4.3)."""


def main(context: ProcessContext) -> None:
    """Entry of the process table."""
    surroundings = Surroundings(Registry(context.segment))
    routes = _routes(context)
    timers, startup = (routes.timer_routes, routes.startup_route) if routes else ((), None)
    routines = Routines(surroundings, timers, startup, _now_ns())
    probing = None
    if context.config.dispatcher.ds_ping_interval:
        probing = Probing(context, surroundings, routes.local_route if routes else None)
    context.ready()
    while not context.segment.header.generation and not context.stopping:
        context.wait(STARTING_S)  # who counts destinations wants some
    routines.start(context)
    while not context.stopping:
        started_ns = time.monotonic_ns()
        routines.turn(started_ns)
        until_ns = min(started_ns + TURN_NS, routines.next_ns or started_ns + TURN_NS)
        if probing:
            probing.turn(started_ns)
            probing.wait(started_ns, until_ns)
        else:
            context.wait(max(0, until_ns - _now_ns()) / 1e9)


class Probing:
    """State of the probing process."""

    def __init__(
        self, context: ProcessContext, surroundings: Surroundings, route: LocalRoute | None
    ) -> None:
        dispatcher = context.config.dispatcher
        self._context = context
        self._interval_ns = dispatcher.ds_ping_interval * 1_000_000_000
        self._mode = dispatcher.ds_probing_mode
        self._threshold = dispatcher.ds_probing_threshold
        self._style = Style(
            context.segment.secret(),
            dispatcher.ds_ping_method,
            dispatcher.ds_ping_from,
            dispatcher.ds_ping_maxfwd,
        )
        self._registry = Registry(context.segment)
        self._registry.announce()
        self._records = Records(context.segment)
        self._prober = Prober(dispatcher.options_reply_codes, self._interval_ns)
        self._places: dict[int, Place] = {}
        self._numbers: dict[int, int] = {}
        """Of the addresses that probes were last sent to, by slot."""

        self._held: dict[int, int] = {}
        """Until when a moment that has come waits for the probe before it, by slot."""

        self._generation = 0
        self._tick_ns = LONGEST_TICK_NS
        # A predecessor may have died with something due: each destination gets its last moment
        # once more, `_probe` knows who has been probed.  Before the farm there was none.
        now_ns, age_ns = _now_ns(), context.segment.now_ns() - context.segment.header.created_ns
        self._schedule = Schedule((), self._interval_ns, now_ns - min(age_ns, self._interval_ns))
        self._senders = [
            listener.sockets[context.kind.sends_as or 0] for listener in context.sockets
        ]
        self._sent_by = [str(listener.advertised) for listener in context.sockets]
        hosts = [listener.address.host for listener in context.sockets]
        known = network(context.sockets)
        preferred = dispatcher.ds_probing_sock or ""
        if preferred and known.find(preferred) < 0:
            logger.warning("ds_probing_sock = %s is none of our sockets", preferred)
        self._sockets = Sockets(hosts, known.find, preferred)
        self._surroundings = surroundings
        self._local_route = route

    # -- the loop

    def wait(self, started_ns: int, latest_ns: int) -> None:
        """Sleep to the next tick at which there may be something to do, or to a signal."""
        context = self._context
        context.beat()
        tick_ns = started_ns + self._tick_ns
        events = (self._prober.next_ns, self._schedule.next_ns)
        moments = [moment for moment in events if moment is not None]
        moments += [latest_ns, *self._held.values()]
        readable = [context.requests.wake_fd, context.notices[0]]
        until_ns = max(min(moments), tick_ns)
        found, _, _ = select.select(readable, [], [], max(0, until_ns - _now_ns()) / 1e9)
        if context.notices[0] in found and not context.stopping:
            # Replies come in company: read them together.
            select.select(readable[:1], [], [], max(0, tick_ns - _now_ns()) / 1e9)
        context.drain_wake()

    def turn(self, now_ns: int) -> None:
        """Everything that has happened, and that is due."""
        self._follow_table(now_ns)
        self._read_notices()
        again, ended = self._prober.expire(now_ns)
        for transaction in again:
            self._records.sent_again(transaction.slot)
            self._send(transaction)
        self._judge(ended)
        self._probe_due(now_ns)

    # -- the table

    def _follow_table(self, now_ns: int) -> None:
        """Take the current table; open probes of destinations that stay go on."""
        if self._context.segment.header.generation == self._generation:
            return
        try:
            table = self._registry.table()
        except (SegmentError, ValueError) as error:
            logger.error("a table cannot be read, going on with %d: %s", self._generation, error)
            return
        before, is_first = self._places, not self._generation
        found = {place.slot: place for place in places(table, self._sockets, self._mode)}
        for slot, old in before.items():
            new = found.get(slot)
            if new is None or (new.uri, new.set_slot) != (old.uri, old.set_slot):
                self._prober.forget(slot)
        self._schedule = Schedule(found, self._interval_ns, self._schedule.passed_ns)
        tick_ns = PROBES_A_TICK * self._interval_ns // max(1, len(found))
        self._tick_ns = min(max(tick_ns, SHORTEST_TICK_NS), LONGEST_TICK_NS)
        self._places, self._generation = found, table.generation
        self._numbers = {slot: each for slot, each in self._numbers.items() if slot in found}
        self._held = {slot: each for slot, each in self._held.items() if slot in found}
        self._context.view.generation = table.generation
        if is_first:
            self._resume(now_ns)

    def _resume(self, now_ns: int) -> None:
        """Go on with the probes that a predecessor left open."""
        for place in self._places.values():
            last = self._records.last(place.slot)
            if last is None or not self._records.is_open(place.slot):
                continue
            way = self._way(place)
            if way is None or way.listener < 0:
                self._judge([Ended(place.slot, Result.UNSENT)])
            else:
                self._open(place, way, last, now_ns)

    # -- probes

    def _probe_due(self, now_ns: int) -> None:
        for slot in [slot for slot, until_ns in self._held.items() if until_ns <= now_ns]:
            del self._held[slot]
            if self._places[slot].is_probed(self._registry.state(slot)):
                self._probe(self._places[slot], now_ns, now_ns)
        # Twice the normal pace: a hold-up is made good for soon, and without a burst.
        room = 4 + 2 * len(self._schedule) * self._tick_ns // self._interval_ns
        while room and (due := self._schedule.due(now_ns, room)):
            for slot, moment_ns in due:
                place = self._places[slot]
                if place.is_probed(self._registry.state(slot)):
                    room -= self._probe(place, moment_ns, now_ns)

    def _probe(self, place: Place, moment_ns: int, now_ns: int) -> bool:
        """Probe a destination for the moment that has come.

        False if a predecessor has, or if the last probe left late and its time is not over.
        """
        last = self._records.last(place.slot)
        if last is not None and last.sent_ns >= moment_ns:
            return False
        if last is not None and self._prober.is_open(place.slot):
            # A tick less than it has: who was late is not later each time.
            until_ns = last.sent_ns + min(self._interval_ns, F_NS) - LONGEST_TICK_NS
            if now_ns < until_ns:
                self._held[place.slot] = until_ns
                return False
            self._judge([self._prober.fail(place.slot, Result.TIMEOUT)])
        probe = self._records.begin(place.slot, now_ns)
        way = self._way(place)
        if way is None or way.listener < 0:
            self._judge([Ended(place.slot, Result.UNSENT)])
            return True
        transaction = self._open(place, way, probe, now_ns)
        if not transaction.request.datagram or not self._send(transaction):
            self._judge([self._prober.fail(place.slot, Result.UNSENT)])
        return True

    def _way(self, place: Place) -> Way | None:
        """Where a probe goes now."""
        number = self._numbers[place.slot] = self._registry.address(place.slot)
        return place.way(number)

    def _open(self, place: Place, way: Way, probe: Probe, now_ns: int) -> Transaction:
        request = build(self._style, probe, place.uri, self._sent_by[way.listener])
        if self._local_route is not None:
            request = replace(request, datagram=self._route(self._local_route, place, request))
        return self._prober.start(
            place.slot, request, way.target, way.listener, probe.sent_ns, now_ns
        )

    def _route(self, route: LocalRoute, place: Place, request: Request) -> bytes:
        """The probe's bytes as the module's local_route leaves them; none if it drops the probe."""
        local = LocalRequest(
            self._surroundings, self._style.method, request_uri(place.uri), self._style.from_uri
        )
        try:
            route(local)
        except BaseException:  # sys.exit() ends a route, not the process
            logger.exception("local_route failed, the probe goes out as it is")
            return request.datagram
        return b"" if local.is_dropped else insert(request.datagram, local.added)

    def _send(self, transaction: Transaction) -> bool:
        """False if the kernel will not have it."""
        error: OSError | None = None
        for _ in range(SEND_TRIES):
            try:
                self._senders[transaction.listener].sendto(
                    transaction.request.datagram, socket.MSG_DONTWAIT, transaction.target
                )
            except OSError as problem:
                error = problem
            else:
                return True
        logger.debug("a probe to %s port %d cannot be sent: %s", *transaction.target, error)
        return False

    # -- outcomes

    def _read_notices(self) -> None:
        for _ in range(MOST_READS):
            try:
                data = os.read(self._context.notices[0], READ_BYTES)
            except BlockingIOError:
                return
            for at_ns, status, branch, method, ip, port in sorted(decode(data)):
                if status:
                    self._reply(branch, method, status, at_ns)
                else:
                    self._judge(self._prober.unreachable((ip, port)))

    def _reply(self, branch: bytes, method: bytes, status: int, at_ns: int) -> None:
        try:
            ended = self._prober.reply(branch, method, status, at_ns)
        except KeyError:
            self._records.ignored()
        else:
            self._judge([ended] if ended else ())

    def _judge(self, outcomes: Iterable[Ended]) -> None:
        """Tell the destinations' states, then the records."""
        for ended in outcomes:
            place = self._places[ended.slot]
            event = EVENTS[ended.result]
            if ended.result not in UNANSWERED:
                self._held.pop(ended.slot, None)  # back to its own moments
            else:
                self._registry.leave_address(ended.slot, self._numbers.get(ended.slot, 0))
            # In mode 0 a bad result changes nothing (semantics 5): only probing ones are probed,
            # and one that has become active meanwhile does so by somebody's will.
            counts = event is Event.SUCCEED or place.mode == ALL
            if counts and self._registry.apply(
                ended.slot, event, self._threshold, REASONS[ended.result]
            ):
                logger.info(
                    "%s is %s now: probe %s%s",
                    place.uri,
                    self._registry.state(ended.slot).name.lower(),
                    ended.result.name.lower(),
                    f" {ended.status}" if ended.status else "",
                )
            self._records.end(place.set_slot, ended)


def _routes(context: ProcessContext) -> Routes | None:
    """The routing module's, if there is one."""
    path = context.config.route_module
    if path is None:
        return None
    from ds_farm.script.module import load_routes  # noqa: PLC0415 - for who has a module alone

    return load_routes(path, context.config.module_text)


def _now_ns() -> int:
    return time.monotonic_ns()
