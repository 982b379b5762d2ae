"""The supervisor: makes the segment and the sockets, forks the process table, tends it.

One loop: wait for signals, reap who ended, murder who hangs, start who is due.  All signals stay
blocked and are taken by sigtimedwait, so nothing runs between two statements.

It stays out of what its children share: it reads heartbeats, but takes no lock and writes no record
of the segment, touches no datagram and no database.  Otherwise what crashes them could crash it.
"""

from __future__ import annotations

import enum
import gc
import logging
import signal
import time
from typing import TYPE_CHECKING

from setproctitle import setproctitle

from ds_farm.errors import ConfigError
from shm.errors import SegmentError
from shm.layout import Status
from workers import logs
from workers.children import Child, reap
from workers.farm import Farm
from workers.notify import Notifier
from workers.process import load_main
from workers.process_table import PROCESS_TABLE, Count, ProcessKind
from workers.sockets import ListenError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ds_farm.config import Config

logger = logging.getLogger(__name__)

TICK_S = 0.25
"""Longest sleep of the loop: how late a hang or the end of a back-off may be seen."""

STARTING_TICK_S = 0.01
QUICK_STOP_S = 2.0
"""How long children have after INT before they get SIGKILL."""

ABORT_S = 1.0
"""How long a hung child has to write its traceback before SIGKILL."""

SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
    signal.SIGCHLD,
)


class Phase(enum.IntEnum):
    """Where the farm is in its life; it only goes forward."""

    STARTING = 0
    """Not every process has booted, or there is no table yet."""

    RUNNING = 1
    """Ready; READY=1 has been sent."""

    GRACEFUL = 2
    """TERM has come: stage by stage children finish what is queued."""

    QUICK = 3
    """INT has come, or TERM again, or a child could not boot: all end now."""

    KILLING = 4
    """Their time is over: SIGKILL."""

    ENDED = 5
    """No child is left."""


def run(config: Config, table: Sequence[ProcessKind] = PROCESS_TABLE) -> int:
    """Run a farm until it is told to stop; returns the exit code, 1 if it could not start."""
    logs.setup(config.log, "supervisor")
    setproctitle(f"ds-farm: supervisor {config.farm.name}")
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        return _run(config, table)
    except (ConfigError, SegmentError) as error:
        logger.error("cannot start: %s", error)
        return 1
    finally:
        logs.finish()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _run(config: Config, table: Sequence[ProcessKind]) -> int:
    for kind in table:
        if kind.preload:
            load_main(kind)
    farm = Farm(config, table)
    try:
        # What exists now stays shared with the children: no collector touches its pages.
        gc.collect()
        gc.freeze()
        return Supervisor(farm).run()
    finally:
        farm.remove()


class Supervisor:
    """State of the one loop; the only object that knows all children."""

    def __init__(self, farm: Farm) -> None:
        self.farm = farm
        self.settings = farm.config.farm
        self.phase = Phase.STARTING
        self.failure = ""
        self.children = list(farm.places())
        self._notifier = Notifier()
        self._started_s = self._turned_s = time.monotonic()
        self._deadline_s = 0.0
        self._spared_until_s = 0.0
        children = self.settings.children
        self._spread = list(range(children)), children
        self._reload_pending = False
        self._reloads_seen = 0

    def run(self) -> int:
        """Start, tend, stop; returns the exit code."""
        for note in self.farm.config.notes:
            logger.info("%s", note)
        logger.info("farm %s: starting %d processes", self.settings.name, len(self.children))
        self._note_size()
        while self.phase is not Phase.ENDED:
            for signum in self._wait():
                self._handle(signum)
            now_s = time.monotonic()
            self._reap(now_s)
            self._murder(now_s)
            self._manage(now_s)
            self._advance(now_s)
            self._notifier.watchdog(now_s)
        if self.failure:
            logger.error("stopped: %s", self.failure)
            return 1
        logger.info("stopped")
        return 0

    # -- the loop's verbs -------------------------------------------------------------------

    def _wait(self) -> list[int]:
        """Signals that have come, after sleeping until there is one or something is due."""
        now_s = time.monotonic()
        sleep_s = STARTING_TICK_S if self.phase is Phase.STARTING else TICK_S
        for child in self.children:
            if child.is_waiting(now_s) and not child.is_retired:
                sleep_s = min(sleep_s, child.due_s - now_s)
        signals = []
        while found := signal.sigtimedwait(SIGNALS, sleep_s):
            signals.append(found.si_signo)
            sleep_s = 0
        return signals

    def _handle(self, signum: int) -> None:
        match signum:
            case signal.SIGTERM | signal.SIGINT | signal.SIGQUIT:
                self._stop(signal.Signals(signum))
            case signal.SIGHUP:
                self._reload()
            case signal.SIGTTIN:
                self._more_workers()
            case signal.SIGTTOU:
                self._fewer_workers()

    def _reap(self, now_s: float) -> None:
        for pid, status in reap():
            child = next((each for each in self.children if each.pid == pid), None)
            if child:  # else an orphan that we got as PID 1
                self._bury(child, status, now_s)

    def _bury(self, child: Child, status: int, now_s: float) -> None:
        lived_s = now_s - child.spawned_s
        end = child.ended(status, now_s)
        if child.was_told or self.phase > Phase.RUNNING:
            level = logging.DEBUG if end.is_clean else logging.WARNING
        else:
            level = logging.ERROR
        logger.log(level, "%s[%d] ended after %.1f s: %s", child.title, end.pid, lived_s, end)
        if end.cannot_boot and self.phase is Phase.STARTING:
            self.failure = f"{child.title} {end}"
            self._enter(Phase.QUICK)

    def _murder(self, now_s: float) -> None:
        """Kill children whose heartbeat is old; `_reap` and `_manage` then replace them."""
        limit_s = self.settings.hang_timeout_s
        if now_s - self._turned_s > max(4 * TICK_S, limit_s / 2):
            # We were stopped ourselves, and they probably with us: first let them beat again.
            self._spared_until_s = now_s + limit_s
        self._turned_s = now_s
        if now_s < self._spared_until_s:
            return
        for child in self.children:
            if not child.pid or child.silent_s(now_s) <= limit_s:
                continue
            if not child.aborted_s:
                logger.error(
                    "%s[%d] has not moved for %.1f s and is replaced",
                    child.title,
                    child.pid,
                    limit_s,
                )
                child.aborted_s = now_s
                child.kill(signal.SIGABRT)
            elif now_s - child.aborted_s > ABORT_S:
                child.kill(signal.SIGKILL)

    def _manage(self, now_s: float) -> None:
        """Start who is missing; keep the datagrams away from workers in back-off."""
        if self.phase > Phase.RUNNING:
            return
        self._respread(now_s)
        header = self.farm.segment.header
        logs.follow(header.log_level)
        if header.children_asked:
            self._follow_asked(header.children_asked)
        if header.stop_requests:
            logger.info("stop by MI")
            self._enter(Phase.GRACEFUL)
            return
        for child in self.children:
            if not child.pid and not child.is_retired and child.due_s <= now_s:
                child.spawn()
        self._forward_reload()

    def _advance(self, now_s: float) -> None:
        """The only place that moves the farm's phase forward by itself."""
        running = [child for child in self.children if child.pid]
        match self.phase:
            case Phase.STARTING:
                if self._is_ready():
                    self._announce_ready()
            case Phase.RUNNING:
                self._finish_reload()
            case Phase.GRACEFUL | Phase.QUICK if now_s >= self._deadline_s and running:
                names = ", ".join(child.title for child in running)
                logger.warning("still running after the time to stop, killed: %s", names)
                self._enter(Phase.KILLING)
            case Phase.GRACEFUL if running:
                stage = min(child.context.kind.stop_stage for child in running)
                for child in running:
                    if child.context.kind.stop_stage == stage and not child.was_told:
                        child.was_told = True
                        child.kill(signal.SIGTERM)
        if self.phase > Phase.RUNNING and not running:
            self.phase = Phase.ENDED

    # -- ready, stop ------------------------------------------------------------------------

    def _is_ready(self) -> bool:
        """A table is published and every process has booted."""
        return bool(self.farm.segment.header.generation) and all(
            child.pid
            and child.context.view.pid == child.pid
            and child.context.view.status == Status.READY
            for child in self.children
            if not child.is_retired
        )

    def _announce_ready(self) -> None:
        self.phase = Phase.RUNNING
        self._reloads_seen = self._reloads()
        text = f"ready: {len(self._workers())} workers on {self.farm.where()}"
        logger.info("%s (%.2f s after start)", text, time.monotonic() - self._started_s)
        self._notifier.send("READY=1", f"STATUS={text}")

    def _stop(self, signum: signal.Signals) -> None:
        """TERM is graceful, INT and QUIT quick; again means faster."""
        if self.phase >= Phase.QUICK:
            self._enter(Phase.KILLING)
        elif signum is signal.SIGTERM and self.phase < Phase.GRACEFUL:
            self._enter(Phase.GRACEFUL)
        else:
            self._enter(Phase.QUICK)

    def _enter(self, phase: Phase) -> None:
        if phase <= self.phase:
            return
        logger.info("stopping: %s", phase.name.lower())
        self._notifier.send("STOPPING=1", f"STATUS=stopping: {phase.name.lower()}")
        self.phase = phase
        limit_s = self.settings.stop_timeout_s if phase is Phase.GRACEFUL else QUICK_STOP_S
        self._deadline_s = time.monotonic() + limit_s
        signum = {Phase.QUICK: signal.SIGINT, Phase.KILLING: signal.SIGKILL}.get(phase)
        if signum:
            for child in self.children:
                child.was_told = True
                child.kill(signum)

    # -- number of workers ------------------------------------------------------------------

    def _workers(self) -> list[Child]:
        """Workers that are wanted, by rank: always 0..n-1."""
        return [
            child
            for child in self.children
            if child.context.kind.count is Count.PER_RANK and not child.is_retired
        ]

    def _follow_asked(self, asked: int) -> None:
        """A step towards the number that MI has asked for; done, or given up, it is forgotten."""
        before = len(self._workers())
        if before < asked:
            self._more_workers()
        elif before > asked:
            self._fewer_workers()
        if len(self._workers()) in (before, asked):
            self.farm.segment.header.children_asked = 0

    def _more_workers(self) -> None:
        workers = self._workers()
        rank = len(workers)
        if self.phase > Phase.RUNNING:
            return
        if rank >= self.settings.max_children:
            logger.warning("TTIN: farm.max_children = %d is reached", rank)
            return
        try:
            self.farm.open_rank(rank)
        except ListenError as error:
            logger.error("TTIN: %s", error)
            return
        retired = (each for each in self.children if each.is_retired and each.rank == rank)
        child = next(retired, None)
        if child is None:
            child = self.farm.worker_place(workers[0].context.kind, rank)
            self.children.append(child)
        child.is_retired = False
        child.was_told = False
        child.due_s = 0.0
        child.kill(signal.SIGUSR1)  # it may still be here with calls under way: it stays
        self._note_size()
        logger.info("TTIN: %d workers", rank + 1)
        self._tell_status()

    def _fewer_workers(self) -> None:
        workers = self._workers()
        if self.phase > Phase.RUNNING:
            return
        if len(workers) <= 1:
            logger.warning("TTOU: one worker is the least")
            return
        child = workers[-1]
        child.is_retired = True
        self._respread(time.monotonic())  # nothing new for it before it finishes its queue
        self._note_size()
        child.was_told = True
        child.kill(signal.SIGTERM)
        logger.info("TTOU: %d workers", len(workers) - 1)
        self._tell_status()

    def _note_size(self) -> None:
        """Calls that begin now are owned by so many workers (ds_farm/proxy/_handover.pyx)."""
        self.farm.segment.header.note_size(len(self._workers()), time.monotonic_ns())

    def _respread(self, now_s: float) -> None:
        """Datagrams go to workers that are there, or will be at once.

        With all of them in back-off they go to all: a queue is better than a refusal.
        """
        workers = self._workers()
        live = [child.rank for child in workers if not child.is_waiting(now_s)]
        live = live or [child.rank for child in workers]
        if (live, len(workers)) != self._spread:
            self._spread = live, len(workers)
            self.farm.spread(*self._spread)

    def _tell_status(self) -> None:
        self._notifier.send(f"STATUS={len(self._workers())} workers")

    # -- reload -----------------------------------------------------------------------------

    def _reload(self) -> None:
        logger.info("HUP: reload")
        self._reload_pending = True
        if self.phase is Phase.RUNNING:
            self._notifier.reloading()

    def _forward_reload(self) -> None:
        """Pass HUP on, also to a loader that is only now started again."""
        loaders = [child for child in self.children if child.context.kind.takes_reload]
        if self._reload_pending and all(child.pid for child in loaders):
            self._reload_pending = False
            for child in loaders:
                child.kill(signal.SIGHUP)

    def _reloads(self) -> int:
        header = self.farm.segment.header
        return header.reloads_ok + header.reloads_failed

    def _finish_reload(self) -> None:
        if self._reloads() != self._reloads_seen:
            self._reloads_seen = self._reloads()
            self._notifier.send("READY=1", f"STATUS={len(self._workers())} workers, reloaded")
