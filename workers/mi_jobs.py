"""Threads that run MI commands for a transport without connections, a bounded number of jobs.

A command may take long (a reload), a client may not take its reply: neither keeps others waiting
as long as there is a free thread.  Jobs with one key are one client's: they keep their order and
have one thread at a time, so a client that takes nothing costs no more than that.  What finds no
place is dropped and said so.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

logger = logging.getLogger(__name__)

THREADS = 16
MOST_JOBS = 64
MOST_BEHIND = 16
"""Jobs that wait for one with the same key."""

Job = Callable[[], None]


class Jobs:
    """The pool of one transport."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=name)
        self._free = threading.BoundedSemaphore(MOST_JOBS)
        self._guard = threading.Lock()
        self._behind: dict[bytes, deque[Job]] = {}
        """Keys with a job that waits for a thread or has one, and what waits for that job."""

    def submit(self, job: Job, key: bytes = b"") -> bool:
        """Have a job done; False if too many are waiting.  Without a key it waits for none.

        For the one thread that reads the transport.
        """
        if key:
            with self._guard:
                behind = self._behind.get(key)
                if behind is None:
                    self._behind[key] = deque()
                elif len(behind) < MOST_BEHIND:
                    behind.append(job)
                    return True
            if behind is not None:
                logger.warning(
                    "%s: too many requests of %r at once, one is dropped", self._name, key
                )
                return False
        if not self._free.acquire(blocking=False):
            logger.warning(
                "%s: more than %d requests at once, one is dropped", self._name, MOST_JOBS
            )
            with self._guard:
                self._behind.pop(key, None)
            return False
        self._pool.submit(self._run, job, key)
        return True

    def _run(self, job: Job, key: bytes) -> None:
        try:
            following: Job | None = job
            while following:
                _do(following)
                following = self._next(key)
        finally:
            self._free.release()

    def _next(self, key: bytes) -> Job | None:
        with self._guard:
            behind = self._behind.get(key)
            if behind:
                return behind.popleft()
            self._behind.pop(key, None)
            return None

    def finish(self) -> None:
        """No more jobs; those that wait are forgotten, those that run go on."""
        with self._guard:
            for behind in self._behind.values():
                behind.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _do(job: Job) -> None:
    try:
        job()
    except Exception:
        logger.exception("an MI request failed")
