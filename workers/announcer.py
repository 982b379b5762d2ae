"""Makes events of state changes and gives them to subscribers (decision 20).

One thread reads the journal, so events are in the order of the changes; `delivery.py` brings them.
What a predecessor had queued when it died is counted as dropped: nothing is lost silently.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ds_farm.config.addresses import Subscriber
from ds_farm.dispatch.journal import Change, Journal
from ds_farm.dispatch.registry import Registry
from ds_farm.mi.events import DISPATCHER_STATUS, Event, state_changed
from ds_farm.mi.subscriptions import Subscription, Subscriptions
from shm import note
from shm.errors import SegmentError
from shm.segment import Segment
from workers.delivery import LAST_S, Sender, Way, way_to, way_to_function

if TYPE_CHECKING:
    from ds_farm.config import Config

logger = logging.getLogger(__name__)

POLL_S = 0.02
NOTE = "subscriptions"


def subscriptions_of(config: Config, farm: str) -> Subscriptions:
    """Those of the configuration, and those by MI that a predecessor has noted."""

    def save(data: bytes) -> None:
        try:
            note.write(farm, NOTE, data)
        except OSError as error:
            logger.error("subscriptions by MI would not survive this process: %s", error)

    fixed = [Subscription(DISPATCHER_STATUS, one) for one in config.events.subscribers]
    made = Subscriptions(fixed, save)
    if noted := note.read(farm, NOTE):
        try:
            made.load(noted)
        except ValueError as error:
            logger.error("subscriptions by MI are lost: %s", error)
    return made


class Announcer(threading.Thread):
    """The thread; ``route`` is the user's ``event_route``."""

    def __init__(
        self,
        segment: Segment,
        subscriptions: Subscriptions,
        route: Callable[[Event], object] | None,
    ) -> None:
        super().__init__(name="events", daemon=True)
        self._segment = segment
        self._header = segment.header
        self._registry = Registry(segment)
        self._subscriptions = subscriptions
        self._journal = Journal(segment)
        self._raised: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._names: dict[int, tuple[str, int, str]] = {}
        self._generation = 0
        self._senders: dict[Subscriber, Sender] = {}
        self._route = self._start("event_route", way_to_function(route)) if route else None
        self.stopping = False
        self._take_over()

    def _take_over(self) -> None:
        header = self._header
        lost = header.events_accepted - header.events_delivered - header.events_dropped
        if lost > 0:
            header.add("events_dropped", lost)
            logger.warning("%d events were lost with the process before this one", lost)

    def raise_event(self, event: Event) -> None:
        """From any thread: announce an event after those that are due."""
        self._raised.put(event)

    def run(self) -> None:
        while not self.stopping:
            self.turn(time.monotonic())
            time.sleep(POLL_S)
        self.turn(time.monotonic())

    def turn(self, now_s: float) -> None:
        """All that has happened since the last turn."""
        self._follow_table()
        for change in self._journal.read(int(now_s * 1e9)):
            self._announce_change(change, now_s)
        while not self._raised.empty():
            self._announce(self._raised.get(), now_s)
        self._end_senders(now_s)

    def finish(self) -> None:
        """Give what is queued a moment; then forget it."""
        self.stopping = True
        self.join(LAST_S)
        senders = [*self._senders.values(), *filter(None, [self._route])]
        until_s = time.monotonic() + LAST_S
        for sender in senders:
            sender.stopping = True
        while time.monotonic() < until_s and not all(sender.is_idle for sender in senders):
            time.sleep(0.01)

    def _follow_table(self) -> None:
        """Names of slots; a slot out of the table keeps its name until it is given away."""
        if self._header.generation == self._generation:
            return
        try:
            table = self._registry.table()
        except (SegmentError, ValueError) as error:
            logger.error(
                "a table cannot be read, events go on with %d: %s", self._generation, error
            )
            return
        self._generation = table.generation
        for one in table.sets:
            for destination in one.destinations:
                self._names[destination.slot] = one.partition, one.id, destination.uri

    def _announce_change(self, change: Change, now_s: float) -> None:
        name = self._names.get(change.slot)
        if name is None:
            self._follow_table()  # it may be in a table that came after the last look
            name = self._names.get(change.slot)
        if name is None:
            self._header.add("changes_unknown")
            return
        self._announce(state_changed(*name, change.after, change.reason), now_s)

    def _announce(self, event: Event, now_s: float) -> None:
        self._header.add("events_raised")
        if self._route:
            self._route.put(event)
        for one in self._subscriptions.current(now_s):
            if one.event == event.name:
                self._sender(one.subscriber).put(event)

    def _sender(self, subscriber: Subscriber) -> Sender:
        if subscriber not in self._senders:
            self._senders[subscriber] = self._start(str(subscriber), way_to(subscriber))
        return self._senders[subscriber]

    def _start(self, name: str, way: Way) -> Sender:
        sender = Sender(name, way, self._header)
        sender.start()
        return sender

    def _end_senders(self, now_s: float) -> None:
        """A subscription that has ended keeps its sender until that is idle: if it is renewed
        before, what is new stays behind what is queued."""
        if self._senders:
            wanted = {one.subscriber for one in self._subscriptions.current(now_s)}
            for subscriber, sender in list(self._senders.items()):
                sender.is_wanted = subscriber in wanted
                if not sender.is_wanted and sender.is_idle:
                    self._senders.pop(subscriber).stopping = True
