"""What routes have that run without a caller's message: event, timer, startup and local routes.

AVPs last as long as one run.  Variables and statistics last as long as the process that runs the
route; SIP workers have others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ds_farm.dispatch.arguments import parse_sets
from ds_farm.dispatch.model import State
from ds_farm.dispatch.registry import Registry
from ds_farm.errors import ConfigError
from ds_farm.proxy.codes import FAILED
from ds_farm.script.avps import Avps, Value
from ds_farm.script.pvars import compile_setter

logger = logging.getLogger(__name__)

LETTERS = {
    "a": State.ACTIVE,
    "1": State.ACTIVE,
    "i": State.INACTIVE,
    "0": State.INACTIVE,
    "p": State.PROBING,
    "2": State.PROBING,
}
"""States as ``ds_count`` writes them (documentation 1.4.7)."""


def states_asked(filter: object) -> frozenset[State]:
    """The states that a filter of ``ds_count`` names; none of them means all."""
    letters = str(filter).lower()
    return frozenset(LETTERS[each] for each in letters if each in LETTERS) or frozenset(State)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all runs in a process share."""

    registry: Registry
    var: dict[str, Value] = field(default_factory=dict)
    stat: dict[str, int] = field(default_factory=dict)


class Background:
    """What a timer or startup route is called with; the others' requests have more."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.avp = Avps()
        self.var = surroundings.var
        self.stat = surroundings.stat
        self._registry = surroundings.registry

    def ds_count(self, sets: str | int, filter: object, result: str) -> int:
        """Store in ``result`` ($avp(name) or $var(name)) how many destinations of a set are in
        the states that ``filter`` names: letters of a, i, p or 1, 0, 2; none of them means all.
        Documentation 1.4.7.  Returns 1, also for 0 of them; -1 if there is no such set."""
        try:
            partition, ids = parse_sets(sets)
            assign = compile_setter(result)
        except ConfigError as error:
            logger.error("ds_count: %s", error)
            return FAILED
        one = self._registry.table().find(partition, ids[0])
        if one is None or len(ids) != 1:
            return FAILED
        asked = states_asked(filter)
        states = [self._registry.state(each.slot) for each in one.destinations]
        assign(self, sum(state in asked for state in states))
        return 1

    def update_stat(self, name: str, value: int | str = 1) -> int:
        """Add ``value``, a number or text such as "+1" and "-1", to a statistic, which begins at
        0.  Returns 1; -1 if the value is no number."""
        try:
            number = int(value)
        except ValueError:
            logger.error("update_stat: %r is no number", value)
            return FAILED
        self.stat[name] = self.stat.get(name, 0) + number
        return 1

    def reset_stat(self, name: str) -> int:
        """Let the statistic begin at 0 again.  Returns 1; -1 if there is none of that name."""
        return 1 if self.stat.pop(name, None) is not None else FAILED


class EventRequest(Background):
    """What an event route is called with."""

    def __init__(
        self,
        surroundings: Surroundings,
        name: str,
        params: Mapping[str, object] | Sequence[object],
    ) -> None:
        super().__init__(surroundings)
        self.name = name
        self.params = params


BackgroundRoute = Callable[[Background], object]
"""A timer or startup route; what it returns is of no matter."""

EventRoute = Callable[[EventRequest], object]
"""Called once for each event (documentation section 1.6)."""


@dataclass(frozen=True, slots=True)
class TimerRoute:
    """A route that runs again and again."""

    name: str
    interval_s: float
    route: BackgroundRoute
