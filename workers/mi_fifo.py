"""MI over a FIFO; replies go to a FIFO that the client has made (semantics sections 6.2, 6.4).

The name of a reply FIFO is one component of a path in the configured directory; what is there must
be a FIFO with one name, no link.  It is opened and written without blocking, within `OPEN_S` and
`REPLY_S`; meanwhile further requests with that name wait (`mi_jobs.py`), and no others.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import select
import stat
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ds_farm.mi import answer
from ds_farm.mi.farm import Farm
from ds_farm.mi.frames import Frame, Frames
from workers.mi_jobs import Jobs
from workers.mi_places import make_fifo
from workers.sockets import ListenError

logger = logging.getLogger(__name__)

READ_BYTES = 1 << 16
IDLE_S = 0.3
"""A request that is not whole after so long a silence is given up."""

REPLY_S = 2.0
"""How long a client may leave its FIFO full."""

OPEN_S = 0.32
"""How long it may leave it unopened: 2.1 tries four times, 80 ms apart."""

OPEN_POLL_S = 0.01
CHECK_S = 2.0
"""Between two looks whether the FIFO still has its name."""

_NAME = re.compile(r"[^./\\\0]{1,200}")


class Fifo(threading.Thread):
    """Reads the FIFO; the jobs answer."""

    def __init__(self, farm: Farm, path: Path, fd: int) -> None:
        super().__init__(name="mi fifo", daemon=True)
        self._farm = farm
        self._path = path
        self._fd = fd
        self.jobs = Jobs("MI FIFO")
        config = farm.config
        self._replies = config.path.parent / (config.mi.fifo_reply_dir or Path("/tmp"))
        self._frames = Frames()
        self._check_due_s = 0.0
        self.stopping = False

    def run(self) -> None:
        while not self.stopping:
            readable, _, _ = select.select([self._fd], [], [], IDLE_S)
            if readable:
                self._take(self._frames.feed(os.read(self._fd, READ_BYTES)))
            elif self._frames.is_partial:
                self._take(self._frames.expire())
            self._report()
            self._keep_name(time.monotonic())

    def _report(self) -> None:
        if self._frames.discarded:
            logger.warning("MI FIFO: %d bytes were no request", self._frames.discarded)
            self._frames.discarded = 0

    def _take(self, frames: Iterable[Frame]) -> None:
        """Requests of one read with one reply name are one job: their replies keep their order."""
        by_client: dict[bytes, list[Frame]] = {}
        for frame in frames:
            name = frame.reply_name
            if not frame.is_json:
                name = frame.body.partition(b"\n")[0].rpartition(b":")[2].strip()
            by_client.setdefault(name, []).append(frame)
        for name, group in by_client.items():
            self.jobs.submit(self._job(group), name)

    def _job(self, group: list[Frame]) -> Callable[[], None]:
        return lambda: self._answer(group)

    def _answer(self, group: list[Frame]) -> None:
        replies: dict[str, list[bytes]] = {}
        for frame in group:
            if frame.is_json:
                reply = answer.to_fifo_json(self._farm, frame.body)
                name = frame.reply_name.decode(errors="replace")
                found = (name, reply) if reply is not None and name else None
            else:
                found = answer.to_fifo_line(self._farm, frame.body)
            if found:
                replies.setdefault(found[0], []).append(found[1])
        for name, texts in replies.items():
            self._reply(name, b"".join(texts))

    def _reply(self, name: str, data: bytes) -> None:
        if not _NAME.fullmatch(name):
            logger.warning("MI FIFO: %r is no name for a reply FIFO", name)
            return
        try:
            fd = _open_reply(self._replies / name, time.monotonic() + OPEN_S)
        except OSError as error:
            logger.warning("MI FIFO: no reply to %r: %s", name, error.strerror or error)
            return
        try:
            _write(fd, data, time.monotonic() + REPLY_S)
        except OSError as error:
            logger.warning("MI FIFO: reply to %r: %s", name, error.strerror or error)
        finally:
            os.close(fd)

    def _keep_name(self, now_s: float) -> None:
        """Make the FIFO again if somebody has removed it; 2.1 does so every 30 s."""
        if now_s < self._check_due_s:
            return
        self._check_due_s = now_s + CHECK_S
        own = os.fstat(self._fd)
        try:
            there = self._path.lstat()
            if (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino):
                return
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.warning("MI FIFO: %s", error)
            return
        try:
            made = make_fifo(self._path, int(self._farm.config.mi.mode, 8))
        except ListenError as error:
            logger.error("MI FIFO is gone and cannot be made again: %s", error)
            return
        os.dup2(made, self._fd, inheritable=False)
        os.close(made)
        logger.warning("MI FIFO %s was gone and has been made again", self._path)


def _open_reply(path: Path, until_s: float) -> int:
    """Open a client's FIFO for writing, waiting until it reads.  Raises OSError."""
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        try:
            fd = os.open(path, flags)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() >= until_s:
                raise
        time.sleep(OPEN_POLL_S)
    found = os.fstat(fd)
    if not stat.S_ISFIFO(found.st_mode) or found.st_nlink != 1:
        os.close(fd)
        raise OSError(errno.EINVAL, "not a FIFO with one name")
    return fd


def _write(fd: int, data: bytes, until_s: float) -> None:
    """Write all of it.  Raises OSError, also when the time is over."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not select.select([], [fd], [], left_s)[1]:
                raise TimeoutError(errno.ETIMEDOUT, "the client does not read") from None
