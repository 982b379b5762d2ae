"""What commands act on; control puts it together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ds_farm.config import Config
from ds_farm.dispatch.registry import Registry
from ds_farm.mi.events import Event
from ds_farm.mi.statistics import Bases
from ds_farm.mi.subscriptions import Subscriptions
from shm.segment import Segment


def _nobody(_: Event) -> None:
    """Without control there are no subscribers."""


@dataclass(frozen=True, slots=True)
class Farm:
    """What commands act on."""

    config: Config
    segment: Segment
    registry: Registry

    reload: Callable[[str, bool], str]
    """Load a partition ("": all of them) again, keeping states or not; why it failed, "" if it
    is done."""

    now_s: Callable[[], float] = time.time
    """Seconds since the epoch."""

    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    raise_event: Callable[[Event], None] = _nobody
    bases: Bases = field(default_factory=Bases)
