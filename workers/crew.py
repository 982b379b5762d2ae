"""The SIP workers of a farm: how many are wanted, and which of them get new datagrams.

A worker's rank is its place among them, always 0..n-1: the last one comes and goes.
"""

from __future__ import annotations

import logging
import signal
import time

from workers.children import Child
from workers.farm import Farm
from workers.process_table import Count
from workers.sockets import ListenError

logger = logging.getLogger(__name__)

NOBODY_S = 1.0
"""No longer than this is nobody there for calls, however often all workers have died."""


class Crew:
    """Workers among the supervisor's ``children``, to which it adds."""

    def __init__(self, farm: Farm, children: list[Child]) -> None:
        self._farm = farm
        self._settings = farm.config.farm
        self._children = children
        self._spread = list(range(self._settings.children)), self._settings.children

    def __len__(self) -> int:
        return len(self.wanted())

    def wanted(self) -> list[Child]:
        """Workers that are wanted, by rank."""
        return [child for child in self._places() if not child.is_retired]

    def _places(self) -> list[Child]:
        """Of all ranks that there have been."""
        return [each for each in self._children if each.context.kind.count is Count.PER_RANK]

    def follow_asked(self) -> bool:
        """A step towards the number that MI has asked for; done, or given up, it is forgotten.

        Returns whether the number is another one now.
        """
        header = self._farm.segment.header
        asked, before = header.children_asked, len(self)
        if not asked:
            return False
        if before < asked:
            self.grow()
        elif before > asked:
            self.shrink()
        if len(self) in (before, asked):
            header.children_asked = 0
        return len(self) != before

    def grow(self) -> None:
        """One more, if there may be one; what prevents it is logged."""
        workers = self.wanted()
        rank = len(workers)
        if rank >= self._settings.max_children:
            logger.warning("TTIN: farm.max_children = %d is reached", rank)
            return
        try:
            self._farm.open_rank(rank)
        except ListenError as error:
            logger.error("TTIN: %s", error)
            return
        retired = (each for each in self._children if each.is_retired and each.rank == rank)
        child = next(retired, None)
        if child is None:
            child = self._farm.worker_place(workers[0].context.kind, rank)
            self._children.append(child)
        child.is_retired = False
        child.was_told, child.was_recalled = False, child.was_told
        child.due_s = 0.0
        child.kill(signal.SIGUSR1)  # it may still be here with calls under way: it stays
        self.note_size()
        logger.info("TTIN: %d workers", rank + 1)

    def shrink(self) -> None:
        """One less, if there is another."""
        workers = self.wanted()
        if len(workers) <= 1:
            logger.warning("TTOU: one worker is the least")
            return
        child = workers[-1]
        child.is_retired = True
        self.spread(time.monotonic())  # nothing new for it before it finishes its queue
        self.note_size()
        child.was_told = True
        child.kill(signal.SIGTERM)
        logger.info("TTOU: %d workers", len(workers) - 1)

    def note_size(self) -> None:
        """Calls that begin now are owned by so many workers (ds_farm/proxy/_handover.pyx)."""
        self._farm.segment.header.note_size(len(self), time.monotonic_ns())

    def hurry(self, now_s: float) -> None:
        """With all of them in back-off the first one is due soon."""
        workers = self.wanted()
        if all(child.is_waiting(now_s) for child in workers):
            first = min(workers, key=lambda child: child.due_s)
            first.due_s = min(first.due_s, now_s + NOBODY_S)

    def spread(self, now_s: float) -> None:
        """Datagrams go to workers that are there, or will be at once.

        With all of them in back-off they go to all: a queue is better than a refusal.  Who was
        killed and does not come back at once could not say so: nobody hands anything over to it.
        """
        workers = self.wanted()
        live = [child.rank for child in workers if not child.is_waiting(now_s)]
        live = live or [child.rank for child in workers]
        if (live, len(workers)) != self._spread:
            self._spread = live, len(workers)
            self._farm.spread(*self._spread)
        for child in self._places():
            if not child.pid and (child.is_retired or child.is_waiting(now_s)):
                self._farm.segment.worker(child.rank).handover_port = 0
