"""Startup and timer routes of the routing module; they run in the timer process, between probes.

A route that raises is logged and counted for nothing else.  One that takes long holds up probing,
and one that hangs gets the process replaced, as anything that hangs.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ds_farm.script.background import Background, BackgroundRoute, Surroundings, TimerRoute
from workers.process import ProcessContext

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Due:
    timer: TimerRoute
    at_ns: int


class Routines:
    """The routes and when each is due.  ``now_ns`` is CLOCK_MONOTONIC."""

    def __init__(
        self,
        surroundings: Surroundings,
        timers: tuple[TimerRoute, ...],
        startup: BackgroundRoute | None,
        now_ns: int,
    ) -> None:
        self._surroundings = surroundings
        self._startup = startup
        self._due = [_Due(each, now_ns + _interval_ns(each)) for each in timers]

    def start(self, context: ProcessContext) -> None:
        """Run the startup route, once in the life of a farm."""
        if self._startup is not None and context.view.starts == 1:
            self._run("startup_route", self._startup)

    @property
    def next_ns(self) -> int | None:
        """When `turn` has something to do, None for never."""
        return min((each.at_ns for each in self._due), default=None)

    def turn(self, now_ns: int) -> None:
        """Run what is due.  A turn that was missed is not made up for."""
        for each in self._due:
            if now_ns >= each.at_ns:
                interval_ns = _interval_ns(each.timer)
                each.at_ns += interval_ns * (1 + (now_ns - each.at_ns) // interval_ns)
                self._run(f"timer_route_{each.timer.name}", each.timer.route)

    def _run(self, name: str, route: BackgroundRoute) -> None:
        try:
            route(Background(self._surroundings))
        except BaseException:  # sys.exit() ends a route, not the process
            logger.exception("%s failed", name)


def _interval_ns(timer: TimerRoute) -> int:
    return max(1, round(timer.interval_s * 1e9))
