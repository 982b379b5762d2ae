"""The supervisor's record of one child: fork it, know how it ended, when it may start again.

Nothing here decides; `supervisor.py` does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass

from shm.layout import Status
from workers.process import BOOT_ERROR, REASON_BYTES, ProcessContext, run_child

YOUNG_S = 10.0
"""A child that dies before it has lived so long makes the next start wait longer."""

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0


def backoff_delay(young_deaths: int) -> float:
    """Seconds to wait after so many young deaths in a row: 0, 0.1, 0.2, 0.4 ... 5."""
    if young_deaths <= 1:
        return 0.0
    return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(young_deaths - 2, 30))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended."""

    pid: int
    status: int
    """As waitpid() gave it."""

    reason: str
    """What the child says if it could not boot."""

    @property
    def cannot_boot(self) -> bool:
        return os.waitstatus_to_exitcode(self.status) == BOOT_ERROR

    @property
    def is_clean(self) -> bool:
        return self.status == 0

    def __str__(self) -> str:
        code = os.waitstatus_to_exitcode(self.status)
        if code < 0:
            return f"killed by signal {-code} ({signal.strsignal(-code)})"
        return f"cannot start: {self.reason}" if self.cannot_boot else f"exit code {code}"


@dataclass(slots=True)
class Child:
    """A place in the farm that a process fills; the place stays when the process ends."""

    context: ProcessContext
    pid: int = 0
    """0 while no process is here."""

    spawned_s: float = 0.0
    due_s: float = 0.0
    """Not before this time may it be started again."""

    young_deaths: int = 0
    boot_deaths: int = 0
    """How often in a row it ended or hung before it was ready, without a word of why."""

    is_retired: bool = False
    """A worker that TTOU has taken away: it is not started again until TTIN."""

    was_told: bool = False
    """It has been asked to stop."""

    was_recalled: bool = False
    """That was taken back by TTIN; it may have been too late for that."""

    aborted_s: float = 0.0
    """When SIGABRT was sent because it hung; 0 if it was not."""

    reason_fd: int = -1

    @property
    def title(self) -> str:
        return self.context.title

    @property
    def rank(self) -> int:
        return self.context.rank

    def is_waiting(self, now_s: float) -> bool:
        """It is dead and its back-off is not over."""
        return not self.pid and self.due_s > now_s

    def spawn(self) -> None:
        """Fork.  The caller has all signals blocked; returns in the supervisor only.

        Raises OSError if there is no descriptor or process to be had; `put_off` is for then.
        """
        read, written = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        supervisor_pid = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            os.close(read)
            os.close(written)
            raise
        if not pid:
            run_child(self.context, supervisor_pid, written)
        os.close(written)
        self.reason_fd = read
        self.pid = pid
        self.spawned_s = time.monotonic()
        self.was_told = self.was_recalled = False
        self.aborted_s = 0.0

    def ended(self, status: int, now_s: float) -> Ended:
        """Note that the process is gone and from when on the next one may start."""
        end = Ended(self.pid, status, self._take_reason())
        lived_s = now_s - self.spawned_s
        self.young_deaths = self.young_deaths + 1 if lived_s < YOUNG_S else 1
        had_time = lived_s >= YOUNG_S and not self.aborted_s
        self.boot_deaths = 0 if had_time or self._was_ready(status) else self.boot_deaths + 1
        self.due_s = now_s + backoff_delay(self.young_deaths)
        self.pid = 0
        return end

    def put_off(self, now_s: float) -> float:
        """It could not even be started: the next try waits as if it had died young, for so many
        seconds."""
        self.young_deaths += 1
        delay_s = max(FIRST_DELAY_S, backoff_delay(self.young_deaths))
        self.due_s = now_s + delay_s
        return delay_s

    def kill(self, signum: signal.Signals) -> None:
        """Send a signal if there is a process.

        Its pid cannot be another's: it is free for reuse only after the supervisor has waited.
        """
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def silent_s(self, now_s: float) -> float:
        """How long ago it was started or last beat."""
        return now_s - max(self.spawned_s, self.context.view.heartbeat_ns / 1e9)

    def _was_ready(self, status: int) -> bool:
        """Whether the process that was here had booted; what ends in order leaves its slot."""
        view = self.context.view
        if os.WIFEXITED(status) and (view.pid, view.status) == (0, Status.EMPTY):
            return True
        return (view.pid, view.status) == (self.pid, Status.READY)

    def _take_reason(self) -> str:
        try:
            return os.read(self.reason_fd, REASON_BYTES).decode(errors="replace")
        except BlockingIOError:
            return ""
        finally:
            os.close(self.reason_fd)
            self.reason_fd = -1


def reap() -> list[tuple[int, int]]:
    """(pid, status) of every process that has ended, also of strangers that PID 1 inherits."""
    found = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            found.append((pid, status))
    return found
