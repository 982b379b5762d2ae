"""The journal: every change of a state, once and in the order of its destination.

Who changes a state writes a record into a ring in the segment, right after the compare-and-swap
(`record`); control reads them (`Journal`).  The state word itself counts the changes, so a record
that is missing is noticed: its writer died between the two, or the ring went round.  What the
missing record said follows from its neighbours, for a record has the state before and after.

NOTES
 (a) Record n is at n mod CHANGES.  Its `number` is 0 while it is written and n + 1 when it is
     complete; the reader looks at it before and after, as at a sequence lock.
 (b) ``header.changes_read`` and a destination's ``announced`` are the reader's memory and survive
     it.  Both move before the change is handed out: a reader that dies announces nothing twice.
 (c) Only a change that was followed by another one, with both records missing, leaves nothing
     behind but its number: it is counted in ``header.changes_unknown``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from ds_farm.dispatch.model import State
from ds_farm.dispatch.state import CHANGES_MASK, Reason, unpack
from shm._native import SIZES
from shm.layout import CHANGES
from shm.segment import Segment

PATIENCE_NS = 300_000_000
"""How long a record may take after its change; then its writer is taken for dead."""

SCAN_NS = 500_000_000
"""Between two looks at all destinations for changes that have no record."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a destination's state."""

    slot: int
    number: int
    """Change number in the state word."""

    before: State
    """The same as ``after`` if the record is missing."""

    after: State
    reason: Reason


def record(
    segment: Segment, slot: int, number: int, before: State, after: State, reason: Reason
) -> None:
    """Write the record of a change that has just been made.  Takes no lock."""
    ticket = segment.header.add("changes_logged")
    view = segment.change(ticket)
    view.number = 0
    view.slot = slot
    view.change = number
    view.what = before | after << 8 | reason << 16
    view.number = ticket + 1


def lost(segment: Segment, slot: int) -> None:
    """Count what was not announced of a destination whose slot is given away."""
    view = segment.destination(slot)
    missing = (unpack(view.word)[2] - view.announced) & CHANGES_MASK
    if missing:
        segment.header.add("changes_unknown", missing)


class Journal:
    """The reader; a farm has one, control.  ``now_ns`` is CLOCK_MONOTONIC."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        # A predecessor may have had records in hand; what it announced is known by its number.
        header = segment.header
        header.changes_read = max(0, header.changes_logged - CHANGES)
        self._waiting: dict[int, dict[int, Change]] = {}
        """Slot -> records that came before one with a lower number."""

        self._since_ns: dict[int, int] = {}
        """Slot -> since when a record of it is missing."""

        self._hole_ns = 0
        self._scan_due_ns = 0

    def read(self, now_ns: int) -> Generator[Change, None, None]:
        """Changes since the last call.  Each one that is taken is announced."""
        for change in self._records(now_ns):
            yield from self._in_order(change, now_ns)
        if now_ns >= self._scan_due_ns:
            self._scan_due_ns = now_ns + SCAN_NS
            self._find_silent(now_ns)
        for slot in [s for s, since in self._since_ns.items() if now_ns - since >= PATIENCE_NS]:
            yield from self._give_up(slot)

    # -- the ring

    def _records(self, now_ns: int) -> Iterator[Change]:
        header = self._segment.header
        logged = header.changes_logged
        if logged - header.changes_read > CHANGES:
            header.changes_read = logged - CHANGES  # overrun; state words tell what is missing
        while header.changes_read < logged:
            ticket = header.changes_read
            found = self._record(ticket)
            if found is None:
                self._hole_ns = self._hole_ns or now_ns
                if now_ns - self._hole_ns < PATIENCE_NS:
                    return
            self._hole_ns = 0
            header.changes_read = ticket + 1
            if found is not None:
                yield found

    def _record(self, ticket: int) -> Change | None:
        view = self._segment.change(ticket)
        if view.number != ticket + 1:
            return None
        slot, number, what = view.slot, view.change, view.what
        if view.number != ticket + 1 or slot >= self._segment.layout.max_destinations:
            return None
        return Change(
            slot,
            number,
            State(what & 0xFF),
            State(what >> 8 & 0xFF),
            Reason(what >> 16 & 0xFF),
        )

    # -- one destination

    def _in_order(self, change: Change, now_ns: int) -> Iterator[Change]:
        view = self._segment.destination(change.slot)
        if not 0 < (change.number - view.announced) & CHANGES_MASK <= CHANGES_MASK >> 1:
            return  # announced already
        waiting = self._waiting.setdefault(change.slot, {})
        waiting[change.number] = change
        while (following := (view.announced + 1) & CHANGES_MASK) in waiting:
            found = waiting.pop(following)
            view.announced = following
            yield found
        if waiting:
            self._since_ns.setdefault(change.slot, now_ns)
        else:
            del self._waiting[change.slot]
            self._since_ns.pop(change.slot, None)

    def _find_silent(self, now_ns: int) -> None:
        """Note destinations whose word has counted a change that nobody has told of."""
        segment = self._segment
        used, stride = segment.header.destinations_used, SIZES["Destination"] // 8
        if not used:
            return
        first = segment.destination(0)
        announced = segment.memory.words(first.offset("announced"), used, stride)
        words = segment.memory.words(first.offset("word"), used, stride)
        for slot, (word, known) in enumerate(zip(words, announced, strict=True)):
            if word >> 32 != known:
                self._since_ns.setdefault(slot, now_ns)
            elif slot not in self._waiting:
                self._since_ns.pop(slot, None)

    def _give_up(self, slot: int) -> Iterator[Change]:
        """A record will not come: tell what follows from its neighbours."""
        view = self._segment.destination(slot)
        self._since_ns.pop(slot, None)
        waiting = self._waiting.pop(slot, {})
        state, _, last = unpack(view.word)
        while (missing := (last - view.announced) & CHANGES_MASK) and missing < 1 << 31:
            number = (view.announced + 1) & CHANGES_MASK
            if number in waiting:
                view.announced = number
                yield waiting.pop(number)
                continue
            behind = waiting.get((number + 1) & CHANGES_MASK)
            view.announced = number
            if number == last:
                yield Change(slot, number, state, state, Reason.UNKNOWN)
            elif behind is not None:
                yield Change(slot, number, behind.before, behind.before, Reason.UNKNOWN)
            else:
                self._segment.header.add("changes_unknown")
