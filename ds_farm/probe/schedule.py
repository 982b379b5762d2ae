"""When each destination is probed: once an interval, all of them spread evenly over it.

A destination's phase is a function of its slot alone, and the time is a clock that goes on when
the timer dies: so a successor goes on where its predecessor stopped, and a reload moves nobody.

Phases are multiples of the golden section: any run of neighbouring slots divides the circle into
gaps of at most three lengths (the three-distance theorem), so ten destinations are as evenly spread
as ten thousand, without anybody knowing how many there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

_GOLDEN = 0x9E3779B97F4A7C15
"""2**64 divided by the golden section."""


def phase_ns(slot: int, interval_ns: int) -> int:
    """Where in the interval a slot's moment lies: 0 to ``interval_ns`` - 1."""
    return ((slot + 1) * _GOLDEN % 2**64) * interval_ns >> 64


class Schedule:
    """Moments of a number of slots; knows up to when they have been handed out.

    A slot's moments are phase + k * interval on the caller's clock, which never goes back.
    """

    def __init__(self, slots: Iterable[int], interval_ns: int, passed_ns: int) -> None:
        """Moments up to ``passed_ns`` are over."""
        found = sorted((phase_ns(slot, interval_ns), slot) for slot in slots)
        self._phases = [phase for phase, _ in found]
        self._slots = [slot for _, slot in found]
        self._interval_ns = interval_ns
        self.passed_ns = passed_ns
        self._turn = self._index = 0
        self._seek(passed_ns)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def next_ns(self) -> int | None:
        """The next moment, None if there are no slots."""
        if not self._slots:
            return None
        return self._turn * self._interval_ns + self._phases[self._index]

    def due(self, now_ns: int, limit: int) -> list[tuple[int, int]]:
        """(slot, moment) of what is due and was not handed out, in order, at most ``limit``.

        What is more than that comes with the next call: who was held up catches up without a
        burst.  Of a hold-up longer than an interval each slot gets one moment, the last.
        """
        found: list[tuple[int, int]] = []
        if now_ns - self.passed_ns > self._interval_ns:
            self._seek(now_ns - self._interval_ns)
        while len(found) < limit and (moment_ns := self.next_ns) is not None:
            if moment_ns > now_ns:
                break
            found.append((self._slots[self._index], moment_ns))
            self.passed_ns = moment_ns
            self._index += 1
            if self._index == len(self._slots):
                self._turn, self._index = self._turn + 1, 0
        if len(found) < limit:
            self.passed_ns = now_ns
        return found

    def _seek(self, passed_ns: int) -> None:
        self._turn, offset = divmod(passed_ns, self._interval_ns)
        self._index = bisect_right(self._phases, offset)
        if self._index == len(self._slots):
            self._turn, self._index = self._turn + 1, 0
