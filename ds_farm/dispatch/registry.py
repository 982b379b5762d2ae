"""Destinations in the shared segment: publishing tables, allotting slots, changing states.

The only place that writes set and destination slots.  A slot belongs to (partition, set, URI,
n-th of that URI) for as long as a table names it, so state, failure count, cursor and counters
live over reloads (decision 21).  The state word is changed by compare-and-swap, to what `state.py`
decides.

NOTES
 (a) Order of a change: word, then the set's `state_version`.  Workers rebuild their view of a set
     when that number moves.  A process that dies between the two leaves workers with the old
     view, so every process bumps all versions when it starts (`announce`).
 (b) Between the two stands the record of the change, from which control makes its event
     (`journal.py`).
 (c) A slot that the current table does not name is allotted again after `REST_NS`, its counters
     zeroed: transactions that are under way with what was there before still count, mark and move
     on by its number.  Without another free slot the one that rests longest is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence

from ds_farm.dispatch import journal
from ds_farm.dispatch.model import DestinationSet, Discard, State
from ds_farm.dispatch.state import CHANGES_MASK, Event, Reason, decide, pack, unpack
from ds_farm.dispatch.table import SetRecord, Table, decode, encode
from shm._native import SIZES
from shm.errors import SegmentError
from shm.generation import Generations
from shm.layout import Role
from shm.locks import LockId
from shm.segment import Segment

Key = tuple[str, int, str, int]
"""Identity of a destination: partition, set id, URI, which of several equal ones."""

REST_NS = 600 * 10**9
"""Longer than transactions live, by their default timers (RFC 3261, timer C: three minutes from the
last provisional response)."""

_EVENTS = {
    State.ACTIVE: Event.ACTIVATE,
    State.INACTIVE: Event.DEACTIVATE,
    State.PROBING: Event.PROBE,
}


class Registry:
    """A process's access to sets and destinations of its farm's segment."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self._slots = segment.layout.max_destinations
        self._first_word = segment.destination(0).offset("word")
        self._generations = Generations(segment)
        self._table = Table(0, ())

    # -- reading

    def table(self) -> Table:
        """The current table; decoded again only when a newer one has been published."""
        if self._table.generation != self.segment.header.generation:
            current = self._generations.current()
            if current is not None:
                number, data = current
                with data:
                    self._table = decode(number, data[:])
        return self._table

    def state(self, slot: int) -> State:
        """State of the destination in ``slot``."""
        return unpack(self.segment.memory.load(self._word(slot)))[0]

    def _word(self, slot: int) -> int:
        """Offset of a state word; without a view, for timer and scrapes ask it by the thousand."""
        if not 0 <= slot < self._slots:
            raise IndexError(f"destination slot {slot} is not in 0..{self._slots - 1}")
        return self._first_word + slot * SIZES["Destination"]

    def failures(self, slot: int) -> int:
        """Its failures in a row, as far as they count towards probing."""
        return unpack(self.segment.destination(slot).word)[1]

    def changes(self, slot: int) -> int:
        """How often its state has changed since it was first loaded; wraps at 2**32."""
        view = self.segment.destination(slot)
        return (unpack(view.word)[2] - view.changes_base) & CHANGES_MASK

    # -- states

    def apply(
        self, slot: int, event: Event, threshold: int = 1, reason: Reason = Reason.UNKNOWN
    ) -> bool:
        """Let something happen to a destination; True if it has another state now.

        ``threshold`` failures in a row make it probing.  Takes no lock.
        """
        offset = self._word(slot)
        while True:
            word = self.segment.memory.load(offset)
            state, failures, changes = unpack(word)
            new_state, new_failures = decide(state, failures, event, threshold)
            changed = new_state is not state
            new_word = pack(new_state, new_failures, changes + changed)
            if new_word == word:
                return False
            if self.segment.memory.swap(offset, word, new_word):
                break
        if changed:
            view = self.segment.destination(slot)
            journal.record(self.segment, slot, unpack(new_word)[2], state, new_state, reason)
            view.changed_ns = self.segment.now_ns()
            self.segment.set(view.set_slot).add("state_version")
        return changed

    def set_state(
        self, slot: int, state: State, threshold: int = 1, reason: Reason = Reason.UNKNOWN
    ) -> bool:
        """Give a destination a state, at once (decision 15); True if it had another one.

        Who makes it active begins with its first address again.
        """
        if state is State.ACTIVE:
            self.segment.destination(slot).address = 0
        return self.apply(slot, _EVENTS[state], threshold, reason)

    def address(self, slot: int) -> int:
        """Number of the address that is in use, modulo how many there are."""
        return self.segment.destination(slot).address

    def leave_address(self, slot: int, number: int) -> None:
        """Address ``number`` is dead: the next one is in use now, if nobody else has found out."""
        view = self.segment.destination(slot)
        self.segment.memory.swap(view.offset("address"), number, number + 1)

    def announce(self) -> None:
        """Let every worker look at all states again (note a)."""
        for slot in range(self.segment.header.sets_used):
            self.segment.set(slot).add("state_version")

    # -- publishing

    def publish(
        self,
        sets: Sequence[DestinationSet],
        fresh: Container[str] = (),
        discarded: Iterable[Discard] | None = None,
    ) -> int:
        """Make these sets the current table; returns its generation.

        States, failures and cursors of what stays are kept; the partitions in ``fresh`` get the
        states given.  ``discarded`` rows are not in the sets; None: the same as before.
        SegmentError names what does not fit; nothing has changed then.
        Takes LockId.PUBLISH.
        """
        with self.segment.lock(LockId.PUBLISH):
            return self._publish(sets, fresh, discarded)

    def _publish(
        self,
        sets: Sequence[DestinationSet],
        fresh_partitions: Container[str],
        discarded: Iterable[Discard] | None,
    ) -> int:
        segment, before = self.segment, self.table()
        layout, header = segment.layout, segment.header
        set_slots = {(one.partition, one.id): one.slot for one in before.sets}
        slots = {key: slot for one in before.sets for key, slot in _keys(one)}
        free_sets = _free(set(set_slots.values()), layout.max_sets)
        free = self._free_slots(set(slots.values()))
        new_sets: list[tuple[DestinationSet, int, list[int]]] = []
        addresses = {each.slot: each.addresses for one in before.sets for each in one.destinations}
        moved: list[int] = []
        fresh: list[tuple[int, int, State]] = []
        given: list[tuple[int, State]] = []
        fresh_sets: list[int] = []
        for one in sets:
            slot = set_slots.get((one.partition, one.id))
            if slot is None:
                slot = _take(free_sets, "set", layout.max_sets, "max_sets")
                fresh_sets.append(slot)
            own: list[int] = []
            seen: Counter[str] = Counter()
            for destination in one.destinations:
                key = (one.partition, one.id, destination.uri, seen[destination.uri])
                seen[destination.uri] += 1
                known = slots.get(key)
                if known is None:
                    known = _take(free, "destination", layout.max_destinations, "max_destinations")
                    fresh.append((known, slot, destination.state))
                elif one.partition in fresh_partitions:
                    given.append((known, destination.state))
                if addresses.get(known) != destination.addresses:
                    moved.append(known)
                own.append(known)
            new_sets.append((one, slot, own))
        data = encode(new_sets)
        self._prepare(fresh_sets, fresh)
        # States before the table: nobody may see it with others (decision 21).
        replaced = [(known, self.state(known)) for known, _ in given]
        for known, state in given:
            self.set_state(known, state, reason=Reason.RELOAD)
        try:
            number = self._generations.publish(data)
        except SegmentError:
            for known, state in replaced:
                self.set_state(known, state, reason=Reason.RELOAD)
            raise
        for known in moved:
            segment.destination(known).address = 0
        now_ns = segment.now_ns()
        for known in set(slots.values()).difference(*(own for _, _, own in new_sets)):
            segment.destination(known).changed_ns = now_ns  # it rests from now on
        if discarded is not None:
            counts = Counter(discarded)
            for what in Discard:
                segment.memory.store(header.offset("discarded", what), counts[what])
        return number

    def _free_slots(self, taken: set[int]) -> Iterator[int]:
        """Free destination slots: those that do not rest (note c), then the others."""
        used, now_ns = self.segment.header.destinations_used, self.segment.now_ns()
        resting = []
        for slot in range(self.segment.layout.max_destinations):
            if slot in taken:
                continue
            since_ns = self.segment.destination(slot).changed_ns if slot < used else 0
            if since_ns and now_ns < since_ns + REST_NS:
                resting.append((since_ns, slot))
            else:
                yield slot
        yield from (slot for _, slot in sorted(resting))

    def _prepare(self, fresh_sets: Sequence[int], fresh: Sequence[tuple[int, int, State]]) -> None:
        """Initialise slots that the table about to be published allots; reserves their pages."""
        segment, header = self.segment, self.segment.header
        old_sets, old = header.sets_used, header.destinations_used
        header.sets_used = max([old_sets, *(slot + 1 for slot in fresh_sets)])
        header.destinations_used = max([old, *(slot + 1 for slot, _, _ in fresh)])
        # A worker that starts now reserves its own rows, by the numbers just written.
        ranks = _ranks(segment)
        for rank in ranks:
            segment.reserve_counters(rank, header.sets_used, header.destinations_used)
        segment.reserve_probes(header.sets_used, header.destinations_used)
        for slot in fresh_sets:
            view = segment.set(slot)
            view.cursor = 0
            view.add("state_version")
            for rank in ranks if slot < old_sets else ():
                _zero(segment, segment.set_counters(rank, slot).base, SIZES["SetCounters"])
            if slot < old_sets:
                _zero(segment, segment.set_probes(slot).base, SIZES["SetProbes"])
        now_ns = segment.now_ns()
        for slot, set_slot, state in fresh:
            destination = segment.destination(slot)
            destination.set_slot = set_slot
            destination.changed_ns = now_ns
            # The change number goes on, so that no late record of the destination that was here
            # before is taken for one of this; what was not announced of that one is counted.
            changes = unpack(destination.word)[2]
            if slot < old:
                journal.lost(segment, slot)
            destination.changes_base = destination.announced = changes
            destination.word = pack(state, 0, changes)
            for rank in ranks if slot < old else ():
                _zero(segment, segment.counters(rank, slot).base, SIZES["DestinationCounters"])
            if slot < old:
                _zero(segment, segment.probe(slot).base, SIZES["Probe"])

    def collect(self) -> list[int]:
        """Remove tables that nobody works with any more; returns their generations."""
        return self._generations.collect()


def _keys(record: SetRecord) -> Iterator[tuple[Key, int]]:
    seen: Counter[str] = Counter()
    for destination in record.destinations:
        yield (
            (record.partition, record.id, destination.uri, seen[destination.uri]),
            destination.slot,
        )
        seen[destination.uri] += 1


def _free(taken: set[int], limit: int) -> Iterator[int]:
    return (slot for slot in range(limit) if slot not in taken)


def _take(free: Iterator[int], what: str, limit: int, parameter: str) -> int:
    for slot in free:
        return slot
    raise SegmentError(
        f"more than {limit} {what}s: raise {parameter} in the [farm] section and restart"
    )


def _ranks(segment: Segment) -> list[int]:
    """Ranks of workers that have started: theirs are the counter rows that exist."""
    slots = (segment.process(index) for index in range(segment.layout.max_processes))
    return sorted({view.rank for view in slots if view.role == Role.WORKER and view.starts})


def _zero(segment: Segment, base: int, size: int) -> None:
    for offset in range(base, base + size, 8):
        segment.memory.store(offset, 0)
