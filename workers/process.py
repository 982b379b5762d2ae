"""The contract of a child process, and how a fork becomes one.

Before the fork nothing of the process may change: `ProcessContext` is only put together.  After it,
`run_child` does all that is process-wide, in an order that leaves no gap: handlers first, while
every signal is still blocked; then log, title, foreign sockets, imports, privileges, the tie to the
supervisor (a change of user would undo it), the slot in the segment; at last the signals are let in
and the role's main function runs.

Exit codes: 0 the work is done; `BOOT_ERROR` it cannot start, the reason is in the pipe to the
supervisor; `BUG` anything else, with its traceback in the log.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from setproctitle import setproctitle

from ds_farm.errors import ConfigError
from shm.layout import ProcessView, Status
from shm.segment import Segment
from workers import logs
from workers.account import drop_privileges
from workers.mi_places import Places
from workers.process_table import Count, ProcessKind
from workers.sockets import Listener

if TYPE_CHECKING:
    from ds_farm.config import Config

logger = logging.getLogger(__name__)

CLEAN = 0
BUG = 1
BOOT_ERROR = 3

RUN = 0
GRACEFUL = 1
QUICK = 2
"""Values of `ProcessContext.stopping`: go on; finish what is queued and end; end now."""

REASON_BYTES = select.PIPE_BUF
_PR_SET_PDEATHSIG = 1
_IGNORED = (
    signal.SIGHUP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)


@dataclass(slots=True)
class Requests:
    """What signals have asked of this process."""

    stopping: int = RUN
    reload: bool = False
    wake_fd: int = -1
    """Readable when a signal has arrived; for loops that sleep in poll()."""

    def disown(self) -> None:
        """In a copy that a routing module has forked: it is nobody's second self, if it comes back
        from the module it ends."""
        self.stopping = QUICK


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """What the main function of a process gets."""

    config: Config
    segment: Segment
    kind: ProcessKind
    slot: int
    """Index of its process slot in the segment."""

    rank: int = 0
    """Of a SIP worker: 0..max_children-1."""

    sockets: Sequence[Listener] = ()
    """SIP addresses; a worker has ``listener.sockets[rank]`` of each, all else is closed.  The
    timer has those of the rank that it sends as."""

    notices: tuple[int, int] = (-1, -1)
    """The pipe from SIP workers to the timer, for what concerns probes; neither end blocks."""

    handovers: Sequence[socket.socket] = ()
    """Sockets between workers, index = rank; a worker has its own, all others are closed."""

    streams: Mapping[str, socket.socket] = field(default_factory=dict)
    """TCP sockets by configuration key; a process has its own, see `listening`."""

    places: Places = field(default_factory=Places)
    """FIFO and datagram sockets of the management interface, of the kind that ``has_places``."""

    requests: Requests = field(default_factory=Requests)

    @property
    def title(self) -> str:
        """``worker 2`` or ``loader``: in the process list and in every log line."""
        return f"{self.kind.name} {self.rank}" if _is_ranked(self.kind) else self.kind.name

    @property
    def listening(self) -> socket.socket:
        """The TCP socket of a kind that has ``listens_at``."""
        return self.streams[self.kind.listens_at]

    @property
    def view(self) -> ProcessView:
        """This process's slot; only it writes there."""
        return self.segment.process(self.slot)

    @property
    def stopping(self) -> int:
        """`RUN`, `GRACEFUL` or `QUICK`."""
        return self.requests.stopping

    def take_reload(self) -> bool:
        """Whether HUP has come since the last call."""
        wanted, self.requests.reload = self.requests.reload, False
        return wanted

    def ready(self) -> None:
        """Booting is over: from here on a failure is a crash and no `BOOT_ERROR`.

        The supervisor waits for it before it reports the farm ready.
        """
        view = self.view
        view.heartbeat_ns = time.monotonic_ns()
        view.status = Status.READY

    def beat(self) -> None:
        """Say that this process is not hung; at least every second."""
        self.view.heartbeat_ns = time.monotonic_ns()
        logs.follow(self.segment.header.log_level)

    def wait(self, timeout_s: float) -> None:
        """Beat, then sleep until a signal arrives or the time is over."""
        self.beat()
        readable, _, _ = select.select([self.requests.wake_fd], [], [], timeout_s)
        if readable:
            self.drain_wake()

    def drain_wake(self) -> None:
        """Forget the signals that have been heard, so that ``wake_fd`` is quiet again."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.requests.wake_fd, 4096)


def load_main(kind: ProcessKind) -> Callable[[ProcessContext], None]:
    """Import a kind's main function."""
    module, _, name = kind.main.partition(":")
    main: Callable[[ProcessContext], None] = getattr(importlib.import_module(module), name)
    return main


def run_child(context: ProcessContext, supervisor_pid: int, reason_fd: int) -> NoReturn:
    """The whole life of a child, called right after the fork with all signals blocked."""
    code = BUG
    pid = os.getpid()
    os.register_at_fork(after_in_child=context.requests.disown)
    try:
        code = _live(context, supervisor_pid, reason_fd)
        if os.getpid() == pid:
            _leave_slot(context)
    finally:
        logs.finish()
        # No interpreter shutdown: atexit functions and buffers belong to the supervisor.
        os._exit(code)


def _live(context: ProcessContext, supervisor_pid: int, reason_fd: int) -> int:
    try:
        _become(context, supervisor_pid)
        load_main(context.kind)(context)
    except ConfigError as error:
        reason = str(error)
    except BaseException as error:
        logger.exception("%s ends: %s", context.title, type(error).__name__)
        if context.view.pid == os.getpid() and context.view.status != Status.BOOTING:
            return BUG
        reason = f"{type(error).__name__}: {error}"
    else:
        return CLEAN
    os.write(reason_fd, reason.encode()[:REASON_BYTES])
    return BOOT_ERROR


def _become(context: ProcessContext, supervisor_pid: int) -> None:
    _take_signals(context)
    logs.setup(context.config.log, context.title)
    setproctitle(f"ds-farm: {context.title}")
    _drop_foreign_sockets(context)
    load_main(context.kind)  # the user that it becomes need not be able to read our files
    drop_privileges(context.config.farm.user, context.config.farm.group)
    _die_with(supervisor_pid)
    _fill_slot(context)
    faulthandler.enable()  # SIGABRT of a hung process: traceback of each thread, then the end
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _take_signals(context: ProcessContext) -> None:
    requests = context.requests

    def stop_gracefully(*_: object) -> None:
        requests.stopping = max(requests.stopping, GRACEFUL)

    def stay(*_: object) -> None:
        if requests.stopping == GRACEFUL:
            requests.stopping = RUN

    def stop_quickly(*_: object) -> None:
        requests.stopping = QUICK

    def reload(*_: object) -> None:
        requests.reload = True

    requests.wake_fd, written = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for each in _IGNORED:
        signal.signal(each, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop_gracefully)
    signal.signal(signal.SIGINT, stop_quickly)
    signal.signal(signal.SIGQUIT, stop_quickly)
    if context.kind.takes_reload:
        signal.signal(signal.SIGHUP, reload)
    if _is_ranked(context.kind):
        signal.signal(signal.SIGUSR1, stay)


def _drop_foreign_sockets(context: ProcessContext) -> None:
    for listener in context.sockets:
        listener.keep_only(context.rank if _is_ranked(context.kind) else context.kind.sends_as)
    for rank, each in enumerate(context.handovers):
        if rank != context.rank or not _is_ranked(context.kind):
            each.close()
    for key, stream in context.streams.items():
        if key != context.kind.listens_at:
            stream.close()
    if not context.kind.has_places:
        context.places.close()


def _die_with(supervisor_pid: int) -> None:
    """Get SIGKILL when the supervisor dies: whatever this process hangs in, it never outlives it.

    prctl(2): a parent that died before the call sends nothing, hence the look at its pid.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != supervisor_pid:
        os._exit(CLEAN)


def _fill_slot(context: ProcessContext) -> None:
    view = context.view
    view.status = Status.BOOTING
    view.role = context.kind.role
    view.rank = context.rank
    view.generation = 0
    view.heartbeat_ns = time.monotonic_ns()
    view.started_ns = time.time_ns()
    view.starts = view.starts + 1
    view.pid = os.getpid()


def _leave_slot(context: ProcessContext) -> None:
    """Nobody is here, and no table is in use by it; who is killed leaves that to its successor."""
    context.view.status = Status.EMPTY
    context.view.pid = 0


def _is_ranked(kind: ProcessKind) -> bool:
    return kind.count is Count.PER_RANK
