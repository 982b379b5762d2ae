"""Where a farm is in its life."""

from __future__ import annotations

import enum


class Phase(enum.IntEnum):
    """Where the farm is in its life; it only goes forward."""

    STARTING = 0
    """Not every process has booted, or there is no table yet."""

    RUNNING = 1
    """Ready; READY=1 has been sent."""

    GRACEFUL = 2
    """TERM has come: stage by stage children finish what is queued; who is late is killed."""

    QUICK = 3
    """INT has come, or TERM again, or a child could not boot: all end now."""

    KILLING = 4
    """Their time is over: SIGKILL."""

    ENDED = 5
    """No child is left."""
