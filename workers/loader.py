"""The loader: destinations from the database into the segment, at the start and on request.

A request is a number: HUP (through the supervisor) and MI raise ``header.reload_requests``, and
whoever asked can wait until ``header.reload_served`` has reached its number.  The work is done in a
thread, so that the main thread beats and hears signals while a database or a resolver is slow.

A reload that fails changes nothing and says why (decision 21).  At the very first load there is
nothing to keep: an unreachable database is tried again, anything else stops the farm.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Container, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TypeVar

from ds_farm.config import resolve as resolve_partitions
from ds_farm.db.loader import LoadResult, SkippedRow, load
from ds_farm.dispatch.model import DestinationSet, Discard, LoadError
from ds_farm.dispatch.registry import Registry
from ds_farm.errors import ConfigError, DatabaseError
from shm.errors import SegmentError
from workers.dns import DnsLookup, families_of
from workers.flush import Flusher
from workers.process import ProcessContext
from workers.resolve import DEADLINE_S, Resolver

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOAD_ERRORS = {
    LoadError.DATABASE: DatabaseError,
    LoadError.TABLE: ConfigError,
    LoadError.CAPACITY: SegmentError,
}
"""What each of them is raised as."""

TURN_S = 0.1
"""How late a request may be seen."""

FIRST_RESOLVE_S = 0.3
"""The first table does not wait longer for names; they are asked for again at once."""

COLLECT_S = 1.0
LAST_FLUSH_S = 2.0
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 10.0
LONGEST_WORK_S = 120.0
"""A load that takes longer hangs: the process ends, and its successor tries again."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is published: the sets, and what was read of each partition, the last time."""

    sets: list[DestinationSet]
    results: dict[str, LoadResult]

    @property
    def skipped(self) -> list[SkippedRow]:
        """Rows that are left out, of all partitions."""
        return [row for result in self.results.values() for row in result.skipped]

    @property
    def discarded(self) -> list[Discard]:
        """What is wrong with each of them."""
        return [row.what for row in self.skipped if row.what is not None]


@dataclass(frozen=True, slots=True)
class _Retry:
    """A reload that is to be tried again."""

    wanted: set[str]
    is_fresh: bool
    pause_s: float
    due_s: float


class Loader:
    """State of the loading process."""

    def __init__(self, context: ProcessContext) -> None:
        self._context = context
        self._header = context.segment.header
        self._registry = Registry(context.segment)
        dns = context.config.dns
        lookup = DnsLookup(dns, families_of(context.config.farm.socket))
        self._resolver = Resolver(lookup, dns.min_ttl_s, dns.max_ttl_s)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load")
        # Beside the loads: a database that is slow to take states does not hold up a reload.
        self._flush_thread = ThreadPoolExecutor(1, thread_name_prefix="flush")
        self._flushing: Future[None] | None = None
        self._flusher = Flusher(context.config, self._registry)
        self._flush_due_s = time.monotonic() + context.config.farm.flush_interval_s
        self._retry: _Retry | None = None
        self._loaded: Loaded | None = None
        self._sets: Sequence[DestinationSet] = ()
        self._collect_due_s = 0.0

    def run(self) -> None:
        """Until the process is told to stop."""
        self._registry.announce()
        if self._header.generation:
            self._keep()
        else:
            self._load_first()
        if self._context.stopping:
            return
        self._context.ready()
        while not self._context.stopping:
            self._context.wait(TURN_S)
            self._turn(time.monotonic())

    def finish(self) -> None:
        """Write what is due; a database that hangs does not hold up the end."""
        last = ThreadPoolExecutor(1, thread_name_prefix="last flush")
        work = last.submit(self._flusher.flush, is_last=True)
        if wait([work], LAST_FLUSH_S).not_done:
            logger.error("the database does not answer: the last states may not be saved")
        elif error := work.exception():
            logger.error("the last states are not saved: %s: %s", type(error).__name__, error)

    def _turn(self, now_s: float) -> None:
        header = self._header
        if self._context.take_reload():
            header.add("reload_requests")
        if header.reload_requests != header.reload_served:
            self._reload(header.reload_requests)
        elif self._retry and now_s >= self._retry.due_s:
            self._reload_again(self._retry)
        elif now_s >= self._resolver.due_s:
            self._resolve_again()
        self._flush(now_s)
        if now_s >= self._collect_due_s:
            self._collect_due_s = now_s + COLLECT_S
            self._registry.collect()

    def _flush(self, now_s: float) -> None:
        if self._flushing and self._flushing.done():
            error = self._flushing.exception()
            if error:
                logger.error("states are not saved: %s: %s", type(error).__name__, error)
            self._flushing = None
        if now_s >= self._flush_due_s and not self._flushing:
            self._flush_due_s = now_s + self._context.config.farm.flush_interval_s
            self._flushing = self._flush_thread.submit(self._flusher.turn)

    # -- start ------------------------------------------------------------------------------

    def _keep(self) -> None:
        """A predecessor has published a table: it stays, with what it knows of names."""
        table = self._registry.table()
        self._sets = table.as_loaded()
        self._resolver.remember(
            (destination.uri, destination.addresses)
            for one in self._sets
            for destination in one.destinations
        )
        logger.info("kept table %d", table.generation)

    def _load_first(self) -> None:
        delay_s = FIRST_RETRY_S
        while not self._context.stopping:
            served = self._header.reload_requests
            try:
                self._load()
            except DatabaseError as error:
                self._count_error(error)
                logger.error("not ready, next try in %.1f s: %s", delay_s, error)
            except SegmentError as error:
                raise ConfigError(str(error)) from error
            else:
                self._serve(served, True)
                return
            until_s = time.monotonic() + delay_s
            delay_s = min(LONGEST_RETRY_S, delay_s * 2)
            while time.monotonic() < until_s and not self._context.stopping:
                self._context.wait(TURN_S)

    # -- later ------------------------------------------------------------------------------

    def _reload(self, number: int) -> None:
        header = self._header
        is_fresh = header.reload_served < header.reload_fresh <= number
        asked = header.take_reload()
        names = [one.name for one in resolve_partitions(self._context.config.dispatcher)]
        if asked is None or self._loaded is None:
            wanted = set(names)
        else:
            wanted = {name for index, name in enumerate(names) if index in asked}
        retry, self._retry = self._retry, None
        try:
            is_done = self._try_load(wanted, is_fresh, FIRST_RETRY_S)
        except _Stopped:
            raise
        except Exception:
            self._serve(number, False)  # else the successor would die of it too
            raise
        if retry and not retry.wanted <= wanted:
            # Of other partitions: it is still to be made up for.
            self._retry = replace(retry, wanted=retry.wanted | (set() if is_done else wanted))
        if not is_done:
            header.add("reloads_failed")
        self._serve(number, is_done)

    def _reload_again(self, retry: _Retry) -> None:
        """A reload that an unreachable database has failed is made up for."""
        self._retry = None
        if self._try_load(retry.wanted, retry.is_fresh, min(LONGEST_RETRY_S, 2 * retry.pause_s)):
            self._header.reload_successful = 1

    def _try_load(self, wanted: set[str], is_fresh: bool, pause_s: float) -> bool:
        """Load; if that fails say why, and try again after a pause if it is worth it."""
        header = self._header
        try:
            self._load(wanted, is_fresh)
            return True
        except (ConfigError, DatabaseError, SegmentError) as error:
            header.reload_reason = str(error)
            self._count_error(error)
            again = ""
            if isinstance(error, DatabaseError):
                self._retry = _Retry(wanted, is_fresh, pause_s, time.monotonic() + pause_s)
                again = f", next try in {pause_s:g} s"
            logger.error("reload failed, everything stays as it was%s: %s", again, error)
            return False

    def _count_error(self, error: ConfigError | DatabaseError | SegmentError) -> None:
        what = next(kind for kind, each in LOAD_ERRORS.items() if isinstance(error, each))
        self._header.add("load_errors", index=what)

    def _resolve_again(self) -> None:
        """Ask for the names that are due, and publish where they lead if it is elsewhere now."""
        resolved = self._do(lambda: self._resolver.refresh(self._sets))
        self._count_names(resolved.unknown)
        if resolved.sets == self._sets:
            return
        try:
            self._do(lambda: self._registry.publish(resolved.sets), may_be_left=False)
        except SegmentError as error:
            logger.error("new addresses cannot be published: %s", error)
        else:
            self._sets = resolved.sets

    def _count_names(self, unknown: Collection[str]) -> None:
        header = self._header
        header.dns_names = len(self._resolver)
        header.dns_failing = len(unknown)
        asked, failed = self._resolver.take_counts()
        header.add("dns_questions", asked)
        header.add("dns_failures", failed)

    def _read(self, wanted: Container[str] | None) -> Loaded:
        """Database and resolver; runs in the thread."""
        settings = self._context.config.dispatcher
        results: dict[str, LoadResult] = {}
        for partition in resolve_partitions(settings):
            if wanted is not None and partition.name not in wanted and self._loaded:
                results[partition.name] = self._loaded.results[partition.name]
                continue
            try:
                results[partition.name] = load(settings, partition)
            except DatabaseError:
                self._header.database_up = 0
                raise
        self._header.database_up = 1
        resolved = self._resolver.fill(
            [one for result in results.values() for one in result.sets],
            DEADLINE_S if self._header.generation else FIRST_RESOLVE_S,
        )
        self._count_names(resolved.unknown)
        return Loaded(resolved.sets, results)

    def _load(self, wanted: Collection[str] | None = None, is_fresh: bool = False) -> None:
        """Read these partitions (None: all) and publish; ``is_fresh`` takes their states, too."""
        started_s = time.monotonic()
        loaded = self._do(lambda: self._read(wanted))
        fresh = (wanted or ()) if is_fresh else ()
        number = self._do(
            lambda: self._registry.publish(loaded.sets, fresh, loaded.discarded),
            may_be_left=False,
        )
        self._loaded, self._sets = loaded, loaded.sets
        self._header.last_reload_ns = self._context.segment.now_ns()
        self._header.add("reloads_ok")
        for name, result in loaded.results.items():
            if wanted is not None and name not in wanted:
                continue
            for row in result.skipped:
                logger.warning(f"row skipped: {row}")  # texts that differ: none is held back
            for row in result.warnings:
                logger.warning(str(row))
        logger.info(
            "table %d: %d destinations in %d sets, %d rows skipped, %d names unknown, %d ms",
            number,
            sum(len(one.destinations) for one in loaded.sets),
            len(loaded.sets),
            len(loaded.skipped),
            self._header.dns_failing,
            1000 * (time.monotonic() - started_s),
        )

    def _serve(self, number: int, successful: bool) -> None:
        self._header.reload_successful = int(successful)
        self._header.reload_served = number

    def _do(self, work: Callable[[], T], may_be_left: bool = True) -> T:
        """Run in the thread and beat meanwhile.

        Raises what ``work`` raises; `_Stopped` if the process is to end and this ``may_be_left``.
        """
        until_s = time.monotonic() + LONGEST_WORK_S
        future = self._thread.submit(work)
        while not wait([future], TURN_S).done:
            self._context.beat()
            if self._context.stopping and may_be_left:
                raise _Stopped
            if time.monotonic() >= until_s:
                raise RuntimeError(f"database or resolver have not answered in {LONGEST_WORK_S} s")
        return future.result()


class _Stopped(Exception):
    """The process is to end, and nothing that the thread still does is wanted."""


def main(context: ProcessContext) -> None:
    """Entry of the process table."""
    loader = Loader(context)
    with contextlib.suppress(_Stopped):
        loader.run()
    loader.finish()
