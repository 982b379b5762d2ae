"""Threads that run MI commands for the transports without connections, a bounded number of jobs.

A command may take long (a reload), a client may not take its reply: neither keeps others waiting
as long as there is a free thread.  What finds no place is dropped and said so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

logger = logging.getLogger(__name__)

THREADS = 16
MOST_JOBS = 64


class Jobs:
    """One pool for FIFO and datagrams."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="mi")
        self._free = threading.BoundedSemaphore(MOST_JOBS)

    def submit(self, job: Callable[[], None]) -> bool:
        """Have a job done; False if too many are waiting."""
        if not self._free.acquire(blocking=False):
            logger.warning("more than %d MI requests at once, one is dropped", MOST_JOBS)
            return False
        self._pool.submit(job).add_done_callback(self._done)
        return True

    def _done(self, job: Future[None]) -> None:
        self._free.release()
        if error := job.exception():
            logger.error("an MI request failed", exc_info=error)

    def finish(self) -> None:
        """No more jobs; those that wait are forgotten, those that run go on."""
        self._pool.shutdown(wait=False, cancel_futures=True)
