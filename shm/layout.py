"""Where everything is in the segment, and typed views of it.

The declaration is `_layout.pxd`; `_native.FIELDS` brings offsets and sizes of its structs here.
This file turns them into an address map for given capacities and into views whose attributes
read and write single words.  No I/O, and no field's meaning beyond its name.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar

from shm._native import FIELDS, SIZES, Memory

MAGIC = int.from_bytes(b"ds_farm\0", "little")
LAYOUT_VERSION = 10
CACHE_LINE = 64
CHANGES = 1 << 14
"""Records of the ring of state changes."""


class Role(enum.IntEnum):
    """What a process is, as its slot says."""

    NONE = 0
    WORKER = 1
    TIMER = 2
    LOADER = 3
    EXPORTER = 4
    CONTROL = 5


class By(enum.IntEnum):
    """How a datagram from outside gets to a SIP worker."""

    RANDOM = 0
    """A draw in the kernel: nobody owns anything."""

    HANDOVER = 1
    """A draw in the kernel, then from worker to worker if it is another one's."""

    EBPF = 2
    """The kernel knows the owner."""


class Status(enum.IntEnum):
    """Where a process is in its life."""

    EMPTY = 0
    BOOTING = 1
    READY = 2
    STOPPING = 3


@dataclass(frozen=True, slots=True)
class Layout:
    """Address map for one choice of capacities; all offsets in bytes from the segment's start."""

    max_processes: int
    max_workers: int
    max_sets: int
    max_destinations: int

    @property
    def process(self) -> int:
        return SIZES["Header"]

    @property
    def worker(self) -> int:
        return self.process + self.max_processes * SIZES["Process"]

    @property
    def set(self) -> int:
        return self.worker + self.max_workers * SIZES["Worker"]

    @property
    def destination(self) -> int:
        return self.set + self.max_sets * SIZES["Set"]

    @property
    def change(self) -> int:
        return self.destination + self.max_destinations * SIZES["Destination"]

    @property
    def set_counters(self) -> int:
        return self.change + CHANGES * SIZES["Change"]

    @property
    def destination_counters(self) -> int:
        return self.set_counters + self.max_workers * self.max_sets * SIZES["SetCounters"]

    @property
    def set_probes(self) -> int:
        return self.destination_counters + (
            self.max_workers * self.max_destinations * SIZES["DestinationCounters"]
        )

    @property
    def probe(self) -> int:
        return self.set_probes + self.max_sets * SIZES["SetProbes"]

    @property
    def total_size(self) -> int:
        return self.probe + self.max_destinations * SIZES["Probe"]


class _Word:
    """Attribute of a view: one word of its struct."""

    def __set_name__(self, owner: type[View], name: str) -> None:
        self.offset, words = FIELDS[owner.STRUCT][name]
        if words != 1:
            raise TypeError(f"{owner.STRUCT}.{name} is an array of {words} words")

    def __get__(self, view: View, owner: type[View] | None = None) -> int:
        return view.memory.load(view.base + self.offset)

    def __set__(self, view: View, value: int) -> None:
        view.memory.store(view.base + self.offset, value)


class View:
    """A struct at an address.  Reading an attribute loads its word, assigning stores it."""

    __slots__ = ("base", "memory")
    STRUCT: ClassVar[str]

    def __init__(self, memory: Memory, base: int) -> None:
        self.memory = memory
        self.base = base

    def words(self, name: str) -> list[int]:
        """All words of an array field."""
        offset, count = FIELDS[self.STRUCT][name]
        return [self.memory.load(self.base + offset + 8 * i) for i in range(count)]

    def offset(self, name: str, index: int = 0) -> int:
        """Address of a field (or of one word of an array) in the segment, for atomic work."""
        start, count = FIELDS[self.STRUCT][name]
        if not 0 <= index < count:
            raise IndexError(f"{self.STRUCT}.{name} has {count} words, asked for {index}")
        return self.base + start + 8 * index

    def add(self, name: str, amount: int = 1, index: int = 0) -> int:
        """Atomic fetch-and-add on a field, or word of an array; returns the value before."""
        return self.memory.add(self.offset(name, index), amount)


class HeaderView(View):
    """The header; see `_layout.pxd` for each field and its writer."""

    __slots__ = ()
    STRUCT = "Header"
    magic = _Word()
    layout_version = _Word()
    total_size = _Word()
    max_processes = _Word()
    max_workers = _Word()
    max_sets = _Word()
    max_destinations = _Word()
    supervisor_pid = _Word()
    supervisor_start = _Word()
    created_ns = _Word()
    generation = _Word()
    sets_used = _Word()
    destinations_used = _Word()
    reloads_ok = _Word()
    reloads_failed = _Word()
    last_reload_ns = _Word()
    reload_requests = _Word()
    database_up = _Word()
    reload_served = _Word()
    reload_fresh = _Word()
    reload_successful = _Word()
    probe_replies_ignored = _Word()
    probe_notices_lost = _Word()
    log_level = _Word()
    stop_requests = _Word()
    changes_logged = _Word()
    changes_read = _Word()
    changes_unknown = _Word()
    events_raised = _Word()
    events_accepted = _Word()
    events_delivered = _Word()
    events_dropped = _Word()
    mi_requests = _Word()
    reload_partitions = _Word()
    steering = _Word()

    def ask_reload(self, partition: int | None = None) -> int:
        """Ask the loader for one partition (its number in the configuration) or all (None).

        Returns the number of the request: it is served when `reload_served` has come to it.
        """
        most = 63
        bit = 1 << (most if partition is None or partition >= most else partition)
        offset = self.offset("reload_partitions")
        while True:
            asked = self.memory.load(offset)
            if self.memory.swap(offset, asked, asked | bit):
                return self.add("reload_requests") + 1

    def take_reload(self) -> set[int] | None:
        """Which partitions have been asked for since the last call; None is all.  Loader."""
        offset = self.offset("reload_partitions")
        while True:
            asked = self.memory.load(offset)
            if self.memory.swap(offset, asked, 0):
                break
        # A request without a bit is from before a loader's death: then all of them are read.
        if not asked or asked >> 63:
            return None
        return {number for number in range(63) if asked >> number & 1}

    @property
    def reload_reason(self) -> str:
        """Why the last reload failed."""
        data = b"".join(word.to_bytes(8, "little") for word in self.words("reload_reason"))
        return data.rstrip(b"\0").decode("utf-8", "ignore")

    @reload_reason.setter
    def reload_reason(self, text: str) -> None:
        count = FIELDS[self.STRUCT]["reload_reason"][1]
        data = text.encode()[: 8 * count].ljust(8 * count, b"\0")
        for index in range(count):
            word = int.from_bytes(data[8 * index : 8 * index + 8], "little")
            self.memory.store(self.offset("reload_reason", index), word)

    children_asked = _Word()
    size_changes = _Word()
    dns_names = _Word()
    dns_failing = _Word()
    dns_questions = _Word()
    dns_failures = _Word()
    flush_due = _Word()
    flush_oldest_ns = _Word()
    flush_failures = _Word()

    @property
    def workers(self) -> int:
        """How many SIP workers the farm is to have now."""
        return self.words("sizes")[self.size_changes % FIELDS["Header"]["sizes"][1]]

    def note_size(self, workers: int, now_ns: int) -> None:
        """Remember from when on the farm has so many SIP workers (CLOCK_MONOTONIC); supervisor."""
        change = self.size_changes + 1
        count = FIELDS["Header"]["sizes"][1]
        self.memory.store(self.offset("sizes", change % count), workers)
        self.memory.store(self.offset("size_since_ns", change % count), now_ns)
        self.size_changes = change


class ProcessView(View):
    """One process slot."""

    __slots__ = ()
    STRUCT = "Process"
    pid = _Word()
    role = _Word()
    rank = _Word()
    status = _Word()
    heartbeat_ns = _Word()
    started_ns = _Word()
    starts = _Word()
    generation = _Word()


class WorkerView(View):
    """Counters of one SIP worker; arrays by `words("malformed")`, `words("dropped")`,
    `words("replies")`, `words("waits")`."""

    __slots__ = ()
    STRUCT = "Worker"
    requests = _Word()
    responses = _Word()
    received_bytes = _Word()
    forwarded_requests = _Word()
    forwarded_responses = _Word()
    sent_bytes = _Word()
    send_errors = _Word()
    route_errors = _Word()
    batches = _Word()
    transactions = _Word()
    retransmissions = _Word()
    handover_port = _Word()
    handed_over = _Word()
    unfinished = _Word()
    repeated = _Word()
    busy_ns = _Word()
    absorbed = _Word()
    queued_bytes = _Word()
    queue_limit_bytes = _Word()
    kernel_drops = _Word()
    wait_ns = _Word()
    joined = _Word()
    unknown_sets = _Word()


class SetView(View):
    """Hot state of one set."""

    __slots__ = ()
    STRUCT = "Set"
    state_version = _Word()
    cursor = _Word()


class DestinationView(View):
    """Hot state of one destination; `word` is decoded by ds_farm.dispatch.registry."""

    __slots__ = ()
    STRUCT = "Destination"
    word = _Word()
    changed_ns = _Word()
    set_slot = _Word()
    changes_base = _Word()
    announced = _Word()
    address = _Word()


class ChangeView(View):
    """A record of the ring of changes; see ds_farm.dispatch.journal."""

    __slots__ = ()
    STRUCT = "Change"
    number = _Word()
    slot = _Word()
    change = _Word()
    what = _Word()


class SetCountersView(View):
    """One worker's counters of one set; by algorithm: `words("selections")`."""

    __slots__ = ()
    STRUCT = "SetCounters"
    failures = _Word()


class DestinationCountersView(View):
    """One worker's counters of one destination; responses by class: `words("responses")`,
    times of transactions: `words("first_response")`, `words("final_response")`."""

    __slots__ = ()
    STRUCT = "DestinationCounters"
    selected = _Word()
    requests = _Word()
    failures = _Word()
    failovers = _Word()
    timeouts = _Word()
    open = _Word()
    first_response_ns = _Word()
    final_response_ns = _Word()
    failovers_away = _Word()


class SetProbesView(View):
    """Answers to the probes of one set; the histogram: `words("rtt_buckets")`."""

    __slots__ = ()
    STRUCT = "SetProbes"
    rtt_sum_ns = _Word()


class ProbeView(View):
    """Probing of one destination; ended probes by result: `words("results")`."""

    __slots__ = ()
    STRUCT = "Probe"
    number = _Word()
    sent_ns = _Word()
    open = _Word()
    retransmissions = _Word()
    status = _Word()
    rtt_ns = _Word()
    rtt_smoothed_ns = _Word()
