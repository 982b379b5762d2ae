"""Non-INVITE client transactions over UDP (RFC 3261 17.1.2), one at most for each destination.

    state        reply 1xx     final reply   timer E                     timer F   unreachable
    TRYING       PROCEEDING    ended         send again, E = min(2E, T2) ended     ended
    PROCEEDING   -             ended         send again, E = T2          ended     ended

State COMPLETED needs no memory: what comes after the end belongs to no open transaction and is
counted as ignored, whether it is a repetition, late, or forged.

A probe has an interval, at most timer F's 64 * T1, and the next one of its destination waits until
it has ended: so there is never a second one open, and the memory is bounded by the number of
destinations.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Collection
from dataclasses import dataclass

from ds_farm.dispatch.state import Event
from ds_farm.probe.request import Request

T1_NS = 500_000_000
T2_NS = 4_000_000_000
F_NS = 64 * T1_NS
GOOD_STATUS = 200


class Result(enum.IntEnum):
    """How a probe ended; indexes an array of the segment: append, never renumber."""

    GOOD = 0
    """200 or one of options_reply_codes (decision 19)."""

    BAD = 1
    TIMEOUT = 2
    REFUSED = 3
    """ICMP says that host, port or protocol cannot be reached."""

    UNSENT = 4
    """No address, no socket of its family, or the kernel would not send it (decision 18)."""


EVENTS = {result: Event.FAIL for result in Result} | {Result.GOOD: Event.SUCCEED}
"""What a result means for the destination's state."""

Target = tuple[str, int]
"""IP address and port that a request goes to."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A probe that is over; ``status`` and ``rtt_ns`` are 0 without a final reply."""

    slot: int
    result: Result
    status: int = 0
    rtt_ns: int = 0


@dataclass(slots=True, eq=False)
class Transaction:
    """One open probe.  Times on the caller's clock."""

    slot: int
    request: Request
    target: Target
    listener: int
    """Which of our sockets sends it."""

    sent_ns: int
    deadline_ns: int
    resend_ns: int
    period_ns: int = T1_NS
    is_proceeding: bool = False
    is_open: bool = True

    def set_resend(self, now_ns: int) -> None:
        """Timer E: the next moment of its rhythm that is still to come."""
        while self.resend_ns <= now_ns:
            self.period_ns = T2_NS if self.is_proceeding else min(2 * self.period_ns, T2_NS)
            self.resend_ns += self.period_ns


class Prober:
    """All open probes."""

    def __init__(self, good_codes: Collection[int], timeout_ns: int = F_NS) -> None:
        self._good = {GOOD_STATUS, *good_codes}
        self._timeout_ns = min(timeout_ns, F_NS)
        self._by_branch: dict[bytes, Transaction] = {}
        self._by_slot: dict[int, Transaction] = {}
        self._by_target: dict[Target, set[int]] = {}
        self._timers: list[tuple[int, int, Transaction]] = []
        self._started = 0

    def __len__(self) -> int:
        return len(self._by_slot)

    def is_open(self, slot: int) -> bool:
        """Whether a probe of this destination has not ended yet."""
        return slot in self._by_slot

    @property
    def next_ns(self) -> int | None:
        """When `expire` has something to do next, None if never."""
        while self._timers and not self._timers[0][2].is_open:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def start(
        self,
        slot: int,
        request: Request,
        target: Target,
        listener: int,
        sent_ns: int,
        now_ns: int,
    ) -> Transaction:
        """A request is sent first at ``sent_ns``: now, or it was some time ago by a predecessor.

        Then it goes on in its rhythm.  One of the same slot must have ended before.
        """
        if slot in self._by_slot:
            raise ValueError(f"slot {slot} has an open probe")
        deadline_ns = sent_ns + self._timeout_ns
        one = Transaction(slot, request, target, listener, sent_ns, deadline_ns, sent_ns + T1_NS)
        one.set_resend(now_ns)
        self._by_slot[slot] = self._by_branch[request.branch] = one
        self._by_target.setdefault(target, set()).add(slot)
        self._set_timer(one)
        return one

    def reply(self, branch: bytes, method: bytes, status: int, at_ns: int) -> Ended | None:
        """A reply has come; None if it ends nothing.  Raises KeyError if no open probe has it.

        It belongs to a transaction by branch and CSeq method, from wherever it came (17.1.3).
        """
        one = self._by_branch[branch]
        if method != one.request.method:
            raise KeyError(branch)
        if status < GOOD_STATUS:
            one.is_proceeding = True
            return None
        result = Result.GOOD if status in self._good else Result.BAD
        return self._end(one, result, status, max(0, at_ns - one.sent_ns))

    def unreachable(self, target: Target) -> list[Ended]:
        """ICMP has said so: every probe on its way there has failed (8.1.3.1, 18.4)."""
        slots = sorted(self._by_target.get(target, ()))
        return [self._end(self._by_slot[slot], Result.REFUSED) for slot in slots]

    def fail(self, slot: int, result: Result) -> Ended:
        """End a destination's open probe."""
        return self._end(self._by_slot[slot], result)

    def forget(self, slot: int) -> None:
        """A destination has gone; whatever becomes of its probe is nobody's business."""
        if slot in self._by_slot:
            self._end(self._by_slot[slot], Result.TIMEOUT)

    def expire(self, now_ns: int) -> tuple[list[Transaction], list[Ended]]:
        """Timers that have run out: what is to be sent again, and what has ended."""
        again: list[Transaction] = []
        ended: list[Ended] = []
        while self._timers and self._timers[0][0] <= now_ns:
            _, _, one = heapq.heappop(self._timers)
            if not one.is_open:
                continue
            if one.deadline_ns <= now_ns:
                ended.append(self._end(one, Result.TIMEOUT))
                continue
            again.append(one)
            one.set_resend(now_ns)
            self._set_timer(one)
        return again, ended

    def _set_timer(self, one: Transaction) -> None:
        self._started += 1
        heapq.heappush(self._timers, (min(one.resend_ns, one.deadline_ns), self._started, one))

    def _end(self, one: Transaction, result: Result, status: int = 0, rtt_ns: int = 0) -> Ended:
        one.is_open = False
        del self._by_slot[one.slot], self._by_branch[one.request.branch]
        others = self._by_target[one.target]
        others.discard(one.slot)
        if not others:
            del self._by_target[one.target]
        return Ended(one.slot, result, status, rtt_ns)
