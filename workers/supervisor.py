"""The supervisor: makes the segment and the sockets, forks the process table, tends it.

One loop: wait for signals, reap who ended, murder who hangs, start who is due.  All signals stay
blocked and are taken by sigtimedwait, so nothing runs between two statements.

It stays out of what its children share: it reads heartbeats and keeps the number of workers in the
header, but takes no lock, writes no record of theirs, touches no datagram and no database.
Otherwise what crashes them could crash it.
"""

from __future__ import annotations

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
from workers.crew import Crew
from workers.farm import Farm
from workers.notify import Notifier
from workers.phase import Phase
from workers.process import load_main
from workers.process_table import PROCESS_TABLE, ProcessKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ds_farm.config import Config

logger = logging.getLogger(__name__)

TICK_S = 0.25
"""Longest sleep of the loop: how late a hang or the end of a back-off may be seen."""

STARTING_TICK_S = 0.01
QUICK_STOP_S = 2.0
"""How long children have after INT before they get SIGKILL."""

STAGE_S = 3.0
"""What a stage of a graceful stop has at least, whatever the ones before it have used: longer than
the loader's last flush."""

MOST_BOOT_DEATHS = 5
"""So often may a child end before it is ready, while the farm starts."""

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
    try:
        farm = Farm(config, table)
    except OSError as error:  # descriptors, /dev/shm: nothing that the configuration can tell
        where = f"{error.filename}: " if error.filename else ""
        raise ConfigError(f"{where}{error.strerror or error}") from error
    try:
        # What exists now stays shared with the children: no collector touches its pages.
        gc.collect()
        gc.freeze()
        return Supervisor(farm).run()
    finally:
        farm.remove()


def _log_killed(children: Sequence[Child]) -> None:
    names = ", ".join(child.title for child in children)
    logger.warning("still running after the time to stop, killed: %s", names)


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
        self._crew = Crew(farm, self.children)
        self._reload_pending = False
        self._reloads_seen = 0

    def run(self) -> int:
        """Start, tend, stop; returns the exit code."""
        for note in self.farm.config.notes:
            logging.getLogger(logs.NOTES).info("%s", note)
        logger.info("farm %s: starting %d processes", self.settings.name, len(self.children))
        self._crew.note_size()
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
            case signal.SIGTTIN | signal.SIGTTOU if self.phase <= Phase.RUNNING:
                before = len(self._crew)
                if signum == signal.SIGTTIN:
                    self._crew.grow()
                else:
                    self._crew.shrink()
                if len(self._crew) != before:
                    self._tell_status()

    def _reap(self, now_s: float) -> None:
        for pid, status in reap():
            child = next((each for each in self.children if each.pid == pid), None)
            if child:  # else an orphan that we got as PID 1
                self._bury(child, status, now_s)

    def _bury(self, child: Child, status: int, now_s: float) -> None:
        lived_s = now_s - child.spawned_s
        end = child.ended(status, now_s)
        is_wanted = child.was_told or (child.was_recalled and end.is_clean)
        if is_wanted or self.phase > Phase.RUNNING:
            level = logging.DEBUG if end.is_clean else logging.WARNING
        else:
            level = logging.ERROR
        logger.log(level, "%s[%d] ended after %.1f s: %s", child.title, end.pid, lived_s, end)
        if self.phase is not Phase.STARTING:
            return
        if end.cannot_boot:
            self._fail(f"{child.title} {end}")
        elif child.boot_deaths >= MOST_BOOT_DEATHS:
            how = "it hangs" if child.aborted_s else str(end)
            self._fail(f"{child.title} ended {child.boot_deaths} times before it was ready: {how}")

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
        header = self.farm.segment.header
        logs.follow(header.log_level)
        if self._crew.follow_asked():
            self._tell_status()
        if header.stop_requests:
            logger.info("stop by MI")
            self._enter(Phase.GRACEFUL)
            return
        self._crew.hurry(now_s)
        for child in self.children:
            if not child.pid and not child.is_retired and child.due_s <= now_s:
                self._spawn(child, now_s)
        self._crew.spread(now_s)
        self._forward_reload()

    def _spawn(self, child: Child, now_s: float) -> None:
        """Start a child.  A host without room for it is a reason to stop before the farm is ready;
        a farm that serves calls goes on without this one and tries again."""
        if self.phase > Phase.RUNNING:
            return  # one before it has failed
        try:
            child.spawn()
        except OSError as error:
            text = f"{child.title} cannot be started: {error.strerror}"
            if self.phase is Phase.STARTING:
                self._fail(text)
            else:
                logger.error("%s, next try in %.1f s", text, child.put_off(now_s))

    def _advance(self, now_s: float) -> None:
        """The only place that moves the farm's phase forward by itself."""
        running = [child for child in self.children if child.pid]
        match self.phase:
            case Phase.STARTING:
                if self._is_ready():
                    self._announce_ready()
            case Phase.RUNNING:
                self._finish_reload()
            case Phase.QUICK if now_s >= self._deadline_s and running:
                _log_killed(running)
                self._enter(Phase.KILLING)
            case Phase.GRACEFUL if running:
                self._end_by_stage(running, now_s)
        if self.phase > Phase.RUNNING and not running:
            self.phase = Phase.ENDED

    def _end_by_stage(self, running: Sequence[Child], now_s: float) -> None:
        """Ask the next stage when the one before has ended.

        Who is late is killed and waited for no longer; later stages still have their time, or what
        the loader has not yet written would be lost.
        """
        if now_s >= self._deadline_s:
            late = [child for child in running if child.was_told]
            _log_killed(late)
            if len(late) == len(running):
                self._enter(Phase.KILLING)
                return
            for child in late:
                child.kill(signal.SIGKILL)
            running = [child for child in running if not child.was_told]
        stage = min(child.context.kind.stop_stage for child in running)
        for child in running:
            if child.context.kind.stop_stage == stage and not child.was_told:
                least_s = min(STAGE_S, self.settings.stop_timeout_s)
                self._deadline_s = max(self._deadline_s, now_s + least_s)
                child.was_told = True
                child.kill(signal.SIGTERM)

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
        text = f"ready: {len(self._crew)} workers on {self.farm.where()}"
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

    def _fail(self, reason: str) -> None:
        """What keeps the farm from being ready ends it."""
        self.failure = reason
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

    def _tell_status(self) -> None:
        self._notifier.send(f"STATUS={len(self._crew)} workers")

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
            self._notifier.send("READY=1", f"STATUS={len(self._crew)} workers, reloaded")
