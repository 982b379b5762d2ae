"""A SIP worker: sockets -> proxy core -> sockets.

It reads no database, resolves no name and touches no disk.  It serves nobody before the first
table is there (datagrams wait in the socket), and goes on with the table it has when a newer one
cannot be read.
"""

from __future__ import annotations

import gc
import logging
import secrets
import time

from ds_farm.config import resolve as resolve_partitions
from ds_farm.dispatch._live import LiveTable
from ds_farm.dispatch.registry import Registry
from ds_farm.dispatch.state import Event, Reason
from ds_farm.proxy._core import Core
from ds_farm.proxy._handover import Handover
from ds_farm.proxy._relay import Relay, Timers
from ds_farm.proxy._wire import Outbox
from ds_farm.script._request import Request
from ds_farm.script.module import Routes, builtin_routes, load_routes
from ds_farm.script.settings import script_settings
from shm.errors import SegmentError
from shm.generation import Generations
from workers._udp import Loop
from workers.process import QUICK, RUN, ProcessContext
from workers.sockets import is_captured, network, queue_of, report_errors, stamp_arrivals

logger = logging.getLogger(__name__)

WAIT_MS = 100
"""Longest wait for a datagram: how soon an idle worker sees a new table."""

STOPPING_WAIT_MS = 10
"""The same while what is queued and under way is brought to its end."""

LOOK_S = 1.0
"""Between two looks at the queues in the kernel."""

START_WAIT_S = 0.02
"""Between two looks for the first table."""


def main(context: ProcessContext) -> None:
    """Serve until told to stop; on a graceful stop what is queued is dealt with first."""
    worker = SipWorker(context)
    while not worker.follow_table():
        context.wait(START_WAIT_S)
        if context.stopping != RUN:
            return
    gc.freeze()  # what is here now lives as long as the worker: leave it out of every collection
    context.ready()
    while context.stopping != QUICK:
        if context.stopping == RUN:
            worker.turn(WAIT_MS)
        elif not worker.turn(STOPPING_WAIT_MS) and not worker.is_busy():
            worker.leave()
            break


class SipWorker:
    """The parts of one worker, put together."""

    def __init__(self, context: ProcessContext) -> None:
        segment, rank = context.segment, context.rank
        segment.reserve_counters(rank, segment.header.sets_used, segment.header.destinations_used)
        self._context = context
        self._generations = Generations(segment)
        self._generation = 0
        self._table: LiveTable | None = None
        self._network = network(context.sockets, context.config.farm.alias)
        self._out = Outbox()
        dispatcher = context.config.dispatcher
        self._settings = script_settings(dispatcher, resolve_partitions(dispatcher))
        self._registry = Registry(segment)
        self._registry.announce()
        self._routes = self._load_routes()
        self._forget_open_branches()
        self._relay = self._make_relay()
        self._core: Core[Request] = Core(
            self._network,
            self._out,
            self._make_request,
            self._routes.request_route,
            _report,
            segment,
            rank,
            self._relay,
            self._make_handover(),
        )
        self._loop = Loop(
            [listener.sockets[rank].fileno() for listener in context.sockets],
            context.handovers[rank].fileno(),
            context.requests.wake_fd,
            self._core,
            segment,
            context.slot,
            rank,
            context.notices[1],
        )
        for listener in context.sockets:
            stamp_arrivals(listener.sockets[rank])
        self._is_seen = False
        self._look_due_s = 0.0
        self._look_at_kernel()
        segment.worker(rank).handover_port = context.handovers[rank].getsockname()[1]
        if dispatcher.ds_ping_interval or self._relay is not None:
            for listener in context.sockets:
                report_errors(listener.sockets[rank])

    def is_busy(self) -> bool:
        """It has transactions that nobody has been given a final response of."""
        return self._relay is not None and self._relay.unfinished > 0

    def leave(self) -> None:
        """Tell the others that nobody is here to ask any more; deal with what was on its way."""
        self._context.segment.worker(self._context.rank).handover_port = 0
        while self.turn(STOPPING_WAIT_MS):
            pass

    def turn(self, timeout_ms: int) -> int:
        """Serve for a while; returns how many datagrams came."""
        came = self._loop.turn(timeout_ms, self._generation)
        self._context.drain_wake()
        self.follow_table()
        now_s = time.monotonic()
        if now_s >= self._look_due_s:
            self._look_due_s = now_s + LOOK_S
            self._look_at_kernel()
        return came

    def _look_at_kernel(self) -> None:
        """What waits there, what it had to drop, and who else looks."""
        rank = self._context.rank
        queues = [queue_of(listener.sockets[rank]) for listener in self._context.sockets]
        view = self._context.segment.worker(rank)
        view.queued_bytes = sum(each.bytes for each in queues)
        view.queue_limit_bytes = sum(each.limit_bytes for each in queues)
        view.kernel_drops = sum(each.drops for each in queues)
        self._choose_sending()

    def _choose_sending(self) -> None:
        """Datagrams for one address in one piece, unless somebody looks at packets."""
        wanted = self._context.config.farm.udp_segmentation
        is_seen = wanted == "auto" and is_captured()
        self._loop.join(wanted != "never" and not is_seen)
        if is_seen != self._is_seen:
            self._is_seen = is_seen
            if self._context.rank == 0:
                logger.info(
                    "packets are captured on this host: datagrams are sent one by one"
                    if is_seen
                    else "packets are no longer captured: datagrams are sent together again"
                )

    def follow_table(self) -> bool:
        """Take the newest table, if it is not the one in use; False while there is none."""
        header = self._context.segment.header
        if header.generation == self._generation:
            return self._generation > 0
        try:
            current = self._generations.current()
            if current is None:
                return False
            number, data = current
            with data:
                table = LiveTable(self._context.segment, number, data[:], self._context.rank)
        except (SegmentError, ValueError) as error:
            logger.error(
                "table %d cannot be used, going on with %d: %s",
                header.generation,
                self._generation,
                error,
            )
            return self._generation > 0
        self._table, self._generation = table, number
        self._core.request.use_table(table)
        self._context.view.generation = number
        logger.debug("table %d with %d sets is in use", number, len(table.sets))
        return True

    def _make_request(self) -> Request:
        request = Request(
            self._network,
            self._out,
            self._context.segment,
            self._context.rank,
            self._settings,
            self._mark,
            _complain,
            secrets.randbits(64),
            self._relay,
            _report,
            self._routes.named,
        )
        if self._table is not None:
            request.use_table(self._table)
        return request

    def _mark(self, slot: int, event: Event) -> None:
        """A routing function says something of a destination (ds_mark_dst)."""
        dispatcher = self._context.config.dispatcher
        threshold = dispatcher.ds_probing_threshold
        if self._registry.apply(slot, event, threshold, Reason.SCRIPT):
            logger.info("destination slot %d is %s now", slot, self._registry.state(slot).name)

    def _load_routes(self) -> Routes:
        config = self._context.config
        if config.route_module is not None:
            return load_routes(config.route_module, config.module_text)
        route = config.route
        return builtin_routes(
            route.set,
            route.algorithm,
            route.flags,
            route.failover_codes,
            bool(route.record_route),
        )

    def _forget_open_branches(self) -> None:
        """Those of a predecessor of this rank have ended with it."""
        segment = self._context.segment
        for slot in range(segment.header.destinations_used):
            view = segment.counters(self._context.rank, slot)
            if view.open:
                view.open = 0

    def _make_relay(self) -> Relay | None:
        """The transaction layer, if this farm has one."""
        tm = self._context.config.tm
        if tm.stateful == "no" or (tm.stateful == "auto" and not self._routes.is_stateful):
            return None
        timers = Timers(
            t1_ms=tm.T1_timer,
            t2_ms=tm.T2_timer,
            fr_timeout_ms=round(1000 * tm.fr_timeout),
            fr_inv_timeout_ms=round(1000 * tm.fr_inv_timeout),
            auto_100=bool(tm.auto_100trying),
        )
        return Relay(
            self._network,
            self._out,
            timers,
            self._context.segment,
            self._context.rank,
            time.monotonic_ns(),
        )

    def _make_handover(self) -> Handover | None:
        """Only transactions need an owner."""
        if self._relay is None:
            return None
        tm = self._context.config.tm
        longest_s = tm.fr_timeout + tm.fr_inv_timeout + 128 * tm.T1_timer / 1000
        return Handover(
            self._context.segment,
            self._context.rank,
            len(self._context.sockets),
            round(1e9 * longest_s),
        )


def _report(error: BaseException) -> None:
    """A routing function raised: its caller got a 500, here is why."""
    logger.error("the routing function failed", exc_info=error)


def _complain(text: str) -> None:
    logger.error("%s", text)
