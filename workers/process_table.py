"""The table of processes: what each one is, how many, in which order they start and stop.

Data only: the supervisor reads it and forks, `README.md` shows it.  A kind's main function is a
name, so that the supervisor imports no role; it is imported before the first fork where every
process profits from shared pages, and in the child where nobody else needs it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from shm.layout import Role


class Count(enum.Enum):
    """How many processes of a kind a farm has."""

    PER_RANK = "one for each SIP worker rank"
    ONE = "one"
    IF_LISTENING = "one, if it has an address to listen on, or somebody to tell of events"


@dataclass(frozen=True, slots=True)
class ProcessKind:
    """One row of the table."""

    name: str
    """In titles, logs and metrics; workers add their rank."""

    role: Role
    main: str
    """``module:function``, called with a `workers.process.ProcessContext`."""

    count: Count = Count.ONE
    stop_stage: int = 0
    """A graceful stop asks the lowest stage first and goes on when all of it has ended."""

    preload: bool = False
    """Import ``main`` in the supervisor, before the first fork."""

    takes_reload: bool = False
    """HUP reaches it; all others ignore HUP."""

    sends_as: int | None = None
    """Rank whose SIP sockets it has too, to send from the farm's address; it never reads them."""

    has_places: bool = False
    """It has the FIFO and the datagram sockets of ``[mi]``."""

    listens_at: str = ""
    """Configuration key ``section.key`` of the TCP address that the supervisor binds for it."""


PROCESS_TABLE: tuple[ProcessKind, ...] = (
    # In the order of their start.  The loader is first: it takes longest until it has an effect.
    ProcessKind("loader", Role.LOADER, "workers.loader:main", stop_stage=2, takes_reload=True),
    ProcessKind("worker", Role.WORKER, "workers.sip_worker:main", Count.PER_RANK, preload=True),
    ProcessKind("timer", Role.TIMER, "workers.timer:main", stop_stage=1, preload=True, sends_as=0),
    ProcessKind(
        "exporter",
        Role.EXPORTER,
        "workers.exporter:main",
        Count.IF_LISTENING,
        stop_stage=3,
        listens_at="metrics.listen",
    ),
    ProcessKind(
        "control",
        Role.CONTROL,
        "workers.control:main",
        Count.IF_LISTENING,
        stop_stage=3,
        has_places=True,
        listens_at="mi.http",
    ),
)
