"""Tables: immutable objects beside the segment, one a generation, published by one number.

A table is written whole into an object of its own, then ``header.generation`` names it.  Who
maps a generation keeps it as long as it likes (removing a name leaves mappings alone); the name
goes once every process has moved on.  What the bytes mean is ds_farm.dispatch's matter.
"""

from __future__ import annotations

import contextlib
import mmap
import os

import posix_ipc

from shm.errors import SegmentError
from shm.layout import Status
from shm.locks import LockId
from shm.segment import Segment, object_name


class Generations:
    """Publishing (the loader) and reading (everybody) of a farm's tables."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment

    def _name(self, number: int) -> str:
        return f"{object_name(self._segment.farm)}.table{number}"

    def publish(self, table: bytes) -> int:
        """Make ``table`` the current one; returns its generation number.

        The caller holds LockId.PUBLISH.  SegmentError, and nothing has changed, if /dev/shm
        has no room.
        """
        header = self._segment.header
        if self._segment.lock(LockId.PUBLISH).holder != os.getpid():
            raise RuntimeError("publish needs the PUBLISH lock")
        number = header.generation + 1
        with contextlib.suppress(posix_ipc.ExistentialError):
            # A loader that died before it told anybody has left this one.
            posix_ipc.unlink_shared_memory(self._name(number))
        made = posix_ipc.SharedMemory(self._name(number), posix_ipc.O_CREX, mode=0o660)
        try:
            os.posix_fallocate(made.fd, 0, max(1, len(table)))
            if os.pwrite(made.fd, table, 0) != len(table):
                raise OSError(28, "No space left on device")
        except OSError as error:
            posix_ipc.unlink_shared_memory(self._name(number))
            raise SegmentError(
                f"no room in /dev/shm for a table of {len(table) >> 10} KiB: {error.strerror}"
            ) from error
        finally:
            os.close(made.fd)
        header.generation = number
        return number

    def current(self) -> tuple[int, mmap.mmap] | None:
        """The current generation's number and its bytes, mapped read-only; None before the first.

        Safe against a publication at the same moment: it then returns the newer one.
        """
        while number := self._segment.header.generation:
            try:
                fd = os.open("/dev/shm" + self._name(number), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                if self._segment.header.generation == number:
                    raise SegmentError(f"table {number} has been removed") from None
                continue
            try:
                return number, mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
            finally:
                os.close(fd)
        return None

    def collect(self) -> list[int]:
        """Remove the names of tables that no process works with any more; returns their numbers."""
        segment = self._segment
        oldest = segment.header.generation
        for index in range(segment.layout.max_processes):
            process = segment.process(index)
            if process.pid and process.status in (Status.READY, Status.STOPPING):
                oldest = min(oldest, process.generation or oldest)
        prefix = self._name(0).strip("/")[:-1]
        removed = []
        for name in os.listdir("/dev/shm"):
            number = name.removeprefix(prefix)
            if name.startswith(prefix) and number.isdigit() and int(number) < oldest:
                with contextlib.suppress(posix_ipc.ExistentialError):
                    posix_ipc.unlink_shared_memory(self._name(int(number)))
                removed.append(int(number))
        return sorted(removed)
