"""Control: the management interface on all its transports, and events to subscribers.

Commands and their encodings are `ds_farm.mi`'s; the transports are threads (`mi_*.py`), and so is
the reader of state changes (`announcer.py`).  The main thread beats and sees that all live: one
that ends is a bug, and the whole process is replaced.  It binds nothing, the supervisor has.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from ds_farm.config import resolve
from ds_farm.dispatch.registry import Registry
from ds_farm.mi.farm import Farm
from shm.segment import Segment
from workers.announcer import Announcer, subscriptions_of
from workers.httpd import TURN_S, Server
from workers.mi_datagram import Datagrams
from workers.mi_fifo import Fifo
from workers.mi_http import application
from workers.process import GRACEFUL, ProcessContext

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ds_farm.config import Config
    from ds_farm.mi.events import Event

logger = logging.getLogger(__name__)

RELOAD_WAIT_S = 12.0
RELOAD_POLL_S = 0.01
MOST_WAITING = 8
"""Requests that wait for the end of a reload: fewer than a transport has threads."""


class Reloads:
    """Asks the loader for a reload and waits for its end (shm/_layout.pxd, reload_requests)."""

    def __init__(self, segment: Segment, names: Sequence[str]) -> None:
        """``names`` are the partitions in the order of `ds_farm.config.resolve`."""
        self._header = segment.header
        self._names = list(names)
        self._guard = threading.Lock()
        self._free = threading.BoundedSemaphore(MOST_WAITING)

    def __call__(self, partition: str, inherit_state: bool) -> str:
        if not self._free.acquire(blocking=False):
            return f"{MOST_WAITING} requests wait for a reload already"
        try:
            return self._reload(partition, inherit_state)
        finally:
            self._free.release()

    def _reload(self, partition: str, inherit_state: bool) -> str:
        header = self._header
        with self._guard:
            if not inherit_state:
                header.reload_fresh = header.reload_requests + 1
            number = header.ask_reload(self._names.index(partition) if partition else None)
        until_s = time.monotonic() + RELOAD_WAIT_S
        while header.reload_served < number:
            if time.monotonic() >= until_s:
                return f"it goes on: not done within {RELOAD_WAIT_S:g} s, see the loader's log"
            time.sleep(RELOAD_POLL_S)
        return "" if header.reload_successful else header.reload_reason or "see the loader's log"


class Control:
    """State of the process: the farm as commands see it, and the threads."""

    def __init__(self, context: ProcessContext) -> None:
        config = context.config
        _warn(config)
        self._context = context
        registry = Registry(context.segment)
        registry.announce()
        subscriptions = subscriptions_of(config, context.segment.farm)
        self._announcer = Announcer(
            context.segment, subscriptions, _event_route(config, Registry(context.segment))
        )
        farm = Farm(
            config,
            context.segment,
            registry,
            Reloads(context.segment, [one.name for one in resolve(config.dispatcher)]),
            subscriptions=subscriptions,
            raise_event=self._announcer.raise_event,
        )
        self._readers: list[Fifo | Datagrams] = [
            Datagrams(farm, bound) for bound in context.places.datagrams
        ]
        if context.places.fifo:
            self._readers.append(Fifo(farm, context.places.fifo, context.places.fifo_fd))
        self._http: Server | None = None
        self._threads: list[threading.Thread] = [self._announcer, *self._readers]
        if context.kind.listens_at in context.streams:
            self._http = Server(context.listening, application(farm))
            self._threads.append(
                threading.Thread(
                    target=self._http.serve_forever, args=(0.05,), name="mi http", daemon=True
                )
            )

    def run(self) -> None:
        """Until the process is told to stop."""
        context = self._context
        for thread in self._threads:
            thread.start()
        context.ready()
        while not context.stopping:
            context.wait(TURN_S)
            if self._http:
                self._http.drop_late(time.monotonic())
            for thread in self._threads:
                if not thread.is_alive():
                    raise RuntimeError(f"the thread {thread.name!r} has ended")
        for reader in self._readers:
            reader.stopping = True
        if context.stopping == GRACEFUL:
            if self._http:
                self._http.finish()
            self._announcer.finish()
        for reader in self._readers:
            reader.jobs.finish()


def main(context: ProcessContext) -> None:
    """Entry of the process table."""
    Control(context).run()


def _event_route(config: Config, registry: Registry) -> Callable[[Event], object] | None:
    """The routing module's ``event_route``; the module is loaded here only to look for it."""
    if config.route_module is None:
        return None
    from ds_farm.script.background import (  # noqa: PLC0415 - needs the compiled core
        EventRequest,
        Surroundings,
    )
    from ds_farm.script.module import load_event_route  # noqa: PLC0415 - likewise

    route = load_event_route(config.route_module, config.module_text)
    if route is None:
        return None
    surroundings = Surroundings(registry)

    def run(event: Event) -> None:
        try:
            route(EventRequest(surroundings, event.name, event.params))
        except Exception:
            raise
        except BaseException as error:
            # sys.exit() would silently end the thread that delivers.
            raise RuntimeError(f"{type(error).__name__}: {error}") from error

    return run


def _warn(config: Config) -> None:
    """Say what others than this host could use without a password."""
    for address in config.mi.datagram:
        if not address.is_loopback:
            logger.warning("mi.datagram: %s takes commands from anybody who reaches it", address)
    http = config.mi.http
    if http and not (http.is_loopback or config.mi.http_token):
        logger.warning("mi.http: %s takes commands from anybody; set mi.http_token", http)
