"""The life of the shared segment: create, find a stale one, attach, reserve, remove.

The supervisor creates it before the first fork and children inherit the mapping.  Other tools
attach by name, read-only.  This file knows names, sizes and permissions, not what fields mean.

NOTES
 (a) The object is sparse: a page costs memory when it is first written.  A write to a page that
     /dev/shm has no room for would be SIGBUS, so pages are reserved (`reserve`) before anybody
     is told of a slot that lies in them; a lack of room is then an error with a text.
 (b) The magic number is written last: a segment without it is half made.
 (c) A farm is alive while its supervisor is: same pid and same start time.  The segment of a dead
     one is removed by whoever wants the name; it never prevents a start.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
import time
from types import TracebackType
from typing import Self

import posix_ipc

from shm._native import FIELDS, SIZES, Memory
from shm.errors import SegmentError, SegmentInUse
from shm.layout import (
    CHANGES,
    LAYOUT_VERSION,
    MAGIC,
    ChangeView,
    DestinationCountersView,
    DestinationView,
    HeaderView,
    Layout,
    ProbeView,
    ProcessView,
    SetCountersView,
    SetProbesView,
    SetView,
    WorkerView,
)
from shm.locks import Lock, LockId

PROCESSES_BESIDE_WORKERS = 16
HALF_MADE_S = 5.0
"""How long another supervisor may take between creating the object and writing its magic."""


def object_name(farm: str) -> str:
    """Name of the farm's segment among the POSIX shared-memory objects."""
    return f"/ds_farm-{farm}"


def start_time(pid: int) -> int:
    """Start time of a process in clock ticks since boot (proc(5)), 0 if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


class Segment:
    """A mapped segment.  Made by `create` (the supervisor) or `attach` (everybody else)."""

    def __init__(self, farm: str, fd: int, layout: Layout, writable: bool) -> None:
        self.farm = farm
        self.layout = layout
        self.writable = writable
        self._fd = fd
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        self._map = mmap.mmap(fd, layout.total_size, access=access)
        self.memory = Memory(self._map, writable)
        self.header = HeaderView(self.memory, 0)

    @classmethod
    def create(
        cls, farm: str, *, max_workers: int, max_sets: int, max_destinations: int
    ) -> Segment:
        """Make the segment of a farm, after removing what a dead farm of that name left.

        Raises SegmentInUse if that farm lives, SegmentError if /dev/shm has no room or refuses.
        """
        layout = Layout(
            max_processes=max_workers + PROCESSES_BESIDE_WORKERS,
            max_workers=max_workers,
            max_sets=max_sets,
            max_destinations=max_destinations,
        )
        try:
            remove_stale(farm)
            made = posix_ipc.SharedMemory(
                object_name(farm), posix_ipc.O_CREX, mode=0o660, size=layout.total_size
            )
        except posix_ipc.ExistentialError as error:
            raise SegmentInUse(f"another farm named {farm!r} is just starting") from error
        except (OSError, posix_ipc.Error) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise SegmentError(f"cannot make /dev/shm{object_name(farm)}: {why}") from error
        os.set_inheritable(made.fd, False)
        segment = cls(farm, made.fd, layout, writable=True)
        try:
            segment.reserve(0, layout.set_counters)
        except SegmentError:
            segment.unlink()
            raise
        remove_leftovers(farm)  # now that the name is ours nobody else makes such
        segment._fill_header()
        return segment

    @classmethod
    def attach(cls, farm: str, *, writable: bool = False) -> Segment:
        """Map the segment of a running farm.

        Raises SegmentError if there is none, if it is half made, or of another layout.
        """
        try:
            flags = os.O_RDWR if writable else os.O_RDONLY
            fd = os.open("/dev/shm" + object_name(farm), flags | os.O_CLOEXEC)
        except FileNotFoundError:
            raise SegmentError(f"no farm named {farm!r} is running on this host") from None
        except PermissionError as error:
            raise SegmentError(f"may not read the segment of farm {farm!r}: {error}") from None
        try:
            return cls(farm, fd, _read_layout(farm, fd), writable)
        except BaseException:
            os.close(fd)
            raise

    def _fill_header(self) -> None:
        header, layout = self.header, self.layout
        header.layout_version = LAYOUT_VERSION
        header.total_size = layout.total_size
        header.max_processes = layout.max_processes
        header.max_workers = layout.max_workers
        header.max_sets = layout.max_sets
        header.max_destinations = layout.max_destinations
        header.supervisor_pid = os.getpid()
        header.supervisor_start = start_time(os.getpid())
        header.created_ns = self.now_ns()
        for index in range(FIELDS["Header"]["secret"][1]):
            self.memory.store(header.offset("secret", index), secrets.randbits(64))
        header.magic = MAGIC

    def reserve(self, offset: int, length: int) -> None:
        """Have the pages of a range now; SegmentError if /dev/shm is full (note a)."""
        try:
            os.posix_fallocate(self._fd, offset, length)
        except OSError as error:
            free = os.statvfs("/dev/shm")
            raise SegmentError(
                f"the segment of farm {self.farm!r} needs {length >> 10} KiB more in /dev/shm, "
                f"{(free.f_bavail * free.f_frsize) >> 10} KiB are free: {error.strerror}"
            ) from error

    def reserve_counters(self, rank: int, sets: int, destinations: int) -> None:
        """Reserve one worker's counters of the first so many set and destination slots."""
        self.reserve(self.set_counters(rank, 0).base, max(1, sets) * SIZES["SetCounters"])
        self.reserve(
            self.counters(rank, 0).base, max(1, destinations) * SIZES["DestinationCounters"]
        )

    def process(self, index: int) -> ProcessView:
        """Process slot ``index``."""
        _check(index, self.layout.max_processes, "process slot")
        return ProcessView(self.memory, self.layout.process + index * SIZES["Process"])

    def worker(self, rank: int) -> WorkerView:
        """Counters of the SIP worker ``rank``."""
        _check(rank, self.layout.max_workers, "worker rank")
        return WorkerView(self.memory, self.layout.worker + rank * SIZES["Worker"])

    def set(self, slot: int) -> SetView:
        """Set slot ``slot``."""
        _check(slot, self.layout.max_sets, "set slot")
        return SetView(self.memory, self.layout.set + slot * SIZES["Set"])

    def destination(self, slot: int) -> DestinationView:
        """Destination slot ``slot``."""
        _check(slot, self.layout.max_destinations, "destination slot")
        base = self.layout.destination + slot * SIZES["Destination"]
        return DestinationView(self.memory, base)

    def change(self, number: int) -> ChangeView:
        """Where change record ``number`` is; another one may be there by now."""
        base = self.layout.change + number % CHANGES * SIZES["Change"]
        return ChangeView(self.memory, base)

    def set_counters(self, rank: int, slot: int) -> SetCountersView:
        """What worker ``rank`` counted of set ``slot``."""
        _check(rank, self.layout.max_workers, "worker rank")
        _check(slot, self.layout.max_sets, "set slot")
        index = rank * self.layout.max_sets + slot
        base = self.layout.set_counters + index * SIZES["SetCounters"]
        return SetCountersView(self.memory, base)

    def counters(self, rank: int, slot: int) -> DestinationCountersView:
        """What worker ``rank`` counted of destination ``slot``."""
        _check(rank, self.layout.max_workers, "worker rank")
        _check(slot, self.layout.max_destinations, "destination slot")
        index = rank * self.layout.max_destinations + slot
        base = self.layout.destination_counters + index * SIZES["DestinationCounters"]
        return DestinationCountersView(self.memory, base)

    def reserve_probes(self, sets: int, destinations: int) -> None:
        """Reserve what the timer writes of the first so many set and destination slots."""
        self.reserve(self.set_probes(0).base, max(1, sets) * SIZES["SetProbes"])
        self.reserve(self.probe(0).base, max(1, destinations) * SIZES["Probe"])

    def set_probes(self, slot: int) -> SetProbesView:
        """Answers to the probes of set ``slot``."""
        _check(slot, self.layout.max_sets, "set slot")
        return SetProbesView(self.memory, self.layout.set_probes + slot * SIZES["SetProbes"])

    def probe(self, slot: int) -> ProbeView:
        """Probing of destination ``slot``."""
        _check(slot, self.layout.max_destinations, "destination slot")
        return ProbeView(self.memory, self.layout.probe + slot * SIZES["Probe"])

    def lock(self, lock: LockId) -> Lock:
        """The farm's lock of that number."""
        return Lock(self.memory, object_name(self.farm), lock)

    def now_ns(self) -> int:
        """The clock that stamps in the segment are taken from (CLOCK_REALTIME)."""
        return time.time_ns()

    def secret(self) -> bytes:
        """The farm's 16-byte key for branches and tags."""
        return b"".join(word.to_bytes(8, "little") for word in self.header.words("secret"))

    def close(self) -> None:
        """Unmap; the object stays."""
        self.memory.release()
        self._map.close()
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def unlink(self) -> None:
        """Remove the object's name; mappings stay valid until closed."""
        with contextlib.suppress(posix_ipc.ExistentialError):
            posix_ipc.unlink_shared_memory(object_name(self.farm))


def _check(index: int, limit: int, what: str) -> None:
    if not 0 <= index < limit:
        raise IndexError(f"{what} {index} is not in 0..{limit - 1}")


def _header_words(fd: int) -> dict[str, int]:
    """Header fields of an object that may be anything; what is missing reads as 0."""
    head = os.pread(fd, SIZES["Header"], 0)
    return {
        name: int.from_bytes(head[offset : offset + 8], "little")
        for name, (offset, _) in FIELDS["Header"].items()
    }


def _read_layout(farm: str, fd: int) -> Layout:
    """Check that the object is a segment of our layout and size; returns its address map."""
    word = _header_words(fd)
    if word["magic"] != MAGIC:
        raise SegmentError(f"the segment of farm {farm!r} is not a complete ds_farm segment")
    if word["layout_version"] != LAYOUT_VERSION:
        raise SegmentError(
            f"the segment of farm {farm!r} has layout version {word['layout_version']}, "
            f"this ds_farm has {LAYOUT_VERSION}"
        )
    layout = Layout(
        word["max_processes"], word["max_workers"], word["max_sets"], word["max_destinations"]
    )
    for size, where in (
        (word["total_size"], "its header says"),
        (os.fstat(fd).st_size, "the object has"),
    ):
        if size != layout.total_size:
            raise SegmentError(
                f"the segment of farm {farm!r}: expected {layout.total_size} bytes, {where} {size}"
            )
    return layout


def remove_stale(farm: str) -> bool:
    """Remove the segment that a dead farm of this name left behind.

    Returns True if there was one.  Raises SegmentInUse if that farm lives or is being made.  Takes
    a lock on the object: of two starts at once the second must not remove what the first has made.
    """
    path = "/dev/shm" + object_name(farm)
    while True:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except PermissionError as error:
            raise SegmentInUse(f"the name {farm!r} belongs to another user: {error}") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            _refuse_if_alive(farm, fd)
            if _is_at(path, fd):
                os.unlink(path)
                return True
        finally:
            os.close(fd)


def _is_at(path: str, fd: int) -> bool:
    """The object still has its name: nobody has removed or replaced it."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _refuse_if_alive(farm: str, fd: int) -> None:
    word = _header_words(fd)
    if word["magic"] != MAGIC:
        if time.time() - os.fstat(fd).st_mtime < HALF_MADE_S:
            raise SegmentInUse(f"another farm named {farm!r} is just starting")
        return
    pid = word["supervisor_pid"]
    if start_time(pid) == word["supervisor_start"]:
        raise SegmentInUse(f"a farm named {farm!r} is running, its supervisor has pid {pid}")


def remove_leftovers(farm: str) -> bool:
    """Remove every table object and semaphore of this farm; True if there was any."""
    found = False
    prefixes = (f"ds_farm-{farm}.", f"sem.ds_farm-{farm}.")
    for name in os.listdir("/dev/shm"):
        if name.startswith(prefixes):
            found = True
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"/dev/shm/{name}")
    return found
