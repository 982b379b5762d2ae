"""The farm's few locks: POSIX semaphores, each with its holder's pid in the header.

Locks guard what is larger than a word; single words change by atomic operations (README.md).

Ownership is the *holder word*, taken by compare-and-swap; the semaphore is only the place to wait.
So every crash leaves something that the next process can mend:

 * died after ``sem_wait``, before its pid stood there: the word stays 0 while nobody can pass the
   semaphore; after `ORPHAN_S` a waiter takes the word.  If the first one was only slow, its own
   compare-and-swap fails and it goes back to waiting.
 * died while holding: the word names a dead pid; a waiter swaps its own in and repairs.
 * died after clearing the word, before ``sem_post``: as in the first case.

In each case the one who took over posts once when it is done, which restores the count.
"""

from __future__ import annotations

import enum
import os
import time
from collections.abc import Callable
from types import TracebackType

import posix_ipc

from shm._native import Memory
from shm.errors import LockTimeout
from shm.layout import HeaderView

WAIT_S = 0.05
"""Between two looks at whether the holder still lives."""

ORPHAN_S = 1.0
"""How long the word may be 0 while the semaphore is taken."""


class LockId(enum.IntEnum):
    """Every lock, in the order in which they may be taken together.

    The number is part of traces and metrics and is never given to another lock.
    """

    PUBLISH = 0
    """Publishing a table and allotting slots.  Longest hold: one reload, about a second for
    10,000 destinations.  Taken by the loader; workers never wait for it."""

    # 1 was PROCESSES, which nobody took: all process slots are the supervisor's to place.


class Lock:
    """One lock of one farm; a context manager.  Not re-entrant."""

    def __init__(self, memory: Memory, segment_name: str, lock: LockId) -> None:
        self.id = lock
        self._memory = memory
        header = HeaderView(memory, 0)
        self._word = header.offset("lock_holder", lock)
        self._recoveries = header.offset("lock_recoveries", lock)
        self._semaphore = posix_ipc.Semaphore(
            f"{segment_name}.lock{int(lock)}",
            posix_ipc.O_CREAT,
            mode=0o660,
            initial_value=1,
        )

    def acquire(self, timeout_s: float = 30.0, repair: Callable[[], None] = lambda: None) -> None:
        """Wait for the lock and become its holder.

        ``repair`` runs once, with the lock held, if it was taken over from a dead holder.
        Raises LockTimeout, naming the holder, after ``timeout_s``.
        """
        memory, me = self._memory, os.getpid()
        deadline = time.monotonic() + timeout_s
        orphan_since = 0.0
        while True:
            try:
                self._semaphore.acquire(WAIT_S)
            except posix_ipc.BusyError:
                pass
            else:
                if memory.swap(self._word, 0, me):
                    return
                continue
            now, holder = time.monotonic(), memory.load(self._word)
            if holder:
                orphan_since = 0.0
                takeable = not _alive(holder)
            else:
                orphan_since = orphan_since or now
                takeable = now - orphan_since >= ORPHAN_S
            if takeable and memory.swap(self._word, holder, me):
                memory.add(self._recoveries, 1)
                repair()
                return
            if now >= deadline:
                raise LockTimeout(
                    f"lock {self.id.name} is held by pid {holder} for more than {timeout_s:g} s"
                )

    def release(self) -> None:
        """Give the lock back.  RuntimeError if this process does not hold it."""
        if not self._memory.swap(self._word, os.getpid(), 0):
            raise RuntimeError(f"lock {self.id.name} is not held by pid {os.getpid()}")
        self._semaphore.release()

    @property
    def holder(self) -> int:
        """Pid of the holder, 0 if it is free."""
        return self._memory.load(self._word)

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False
