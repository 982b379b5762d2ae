"""The selection as docs/opensips-semantics.md and docs/decisions.md describe it, written plainly.

Slow and obviously right rather than clever: no running sums, no search, no shared state.  Nothing
of ds_farm is used here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd


def reference_hash(*keys: bytes) -> int:
    """Semantics 2.3, step by step."""

    def signed(byte: int) -> int:
        return byte - 256 if byte >= 128 else byte

    h = 0
    for key in keys:
        while len(key) >= 4:
            b0, b1, b2, b3 = (signed(byte) for byte in key[:4])
            v = (b0 * 2**24 + b1 * 2**16 + b2 * 2**8 + b3) % 2**32
            h = (h + (v ^ (v >> 3))) % 2**32
            key = key[4:]
        v = 0
        for byte in key:
            v = (v * 2**8 + signed(byte)) % 2**32
        h = (h + (v ^ (v >> 3))) % 2**32
    h = (h + (h >> 11) + (h >> 13) + (h >> 23)) % 2**32
    return h or 1


@dataclass
class Member:
    """A destination of a model set."""

    weight: int = 1
    active: bool = True
    load: float | None = 0.0
    """Value of pvar_algo_pattern; None: no number."""


@dataclass
class ModelSet:
    """A set with its round-robin cursor."""

    members: list[Member]
    cursor: int = field(default=0)

    def drawn(self, use_default: bool) -> list[int]:
        """Indexes that take part: with flag D and more than one member not the last (2.1, 3)."""
        count = len(self.members)
        return list(range(count - 1 if use_default and count > 1 else count))

    def select(self, algorithm: int, h: int, use_default: bool) -> int | None:
        """Index of the chosen member, None if there is none."""
        if not self.members:
            return None
        drawn = self.drawn(use_default)
        active = [i for i in drawn if self.members[i].active]
        chosen = self._among(algorithm, h, drawn, active) if active else None
        if chosen is None and use_default and self.members[-1].active:
            return len(self.members) - 1
        return chosen

    def _among(self, algorithm: int, h: int, drawn: list[int], active: list[int]) -> int | None:
        if algorithm == 4:
            self.cursor += 1
            total = sum(self.members[i].weight for i in active)
            if total and self.cycle(drawn) > max(128, 32 * len(drawn)):
                return self.by_hash(active, (self.cursor - 1) * self.stride(total) % total)
            turns = [i for i in self.turns(drawn) if i in active] or active
            return turns[(self.cursor - 1) % len(turns)]
        if algorithm == 9:
            order = self.by_load(active)
            return order[0] if order else None
        if algorithm in (0, 1, 2, 3, 5, 6, 7):
            first = self.by_hash(drawn, h)
            return first if first in active else self.by_hash(active, h)
        return active[0]

    def by_hash(self, among: list[int], h: int) -> int:
        """The weighted draw (2.3): a member of weight w holds w numbers of the total."""
        total = sum(self.members[i].weight for i in among)
        if total == 0:
            return among[h % len(among)]
        r = h % total
        for i in among:
            r -= self.members[i].weight
            if r < 0:
                return i
        raise AssertionError("r was below the total")

    def cycle(self, drawn: list[int]) -> int:
        """Turns until round robin begins anew."""
        weights = [self.members[i].weight for i in drawn]
        return len(set(weights)) > 1 and sum(weights) // gcd(*weights)

    def stride(self, total: int) -> int:
        """Decision 4, long cycles: from the golden section upwards, what shares no divisor."""
        first = int(total * (5**0.5 - 1) / 2)
        return next(step for step in range(max(first, 1), 2 * total) if gcd(step, total) == 1)

    def turns(self, drawn: list[int]) -> list[int]:
        """Decision 4: the k-th turn of weight w in the middle of the k-th of w equal stretches."""
        if not any(self.members[i].weight for i in drawn):
            return drawn
        # The cycle begins with the first that has a share (decision 2).
        moments = [
            (Fraction(2 * k + 1, 2 * self.members[i].weight), i)
            for i in drawn
            for k in range(self.members[i].weight)
        ]
        cycle = [i for _, i in sorted(moments)]
        begin = cycle.index(min(cycle))
        return cycle[begin:] + cycle[:begin]

    def by_load(self, active: list[int]) -> list[int]:
        """Decision 8: ascending, of equal ones the first in the set first."""
        loads = [(self.members[i].load, i) for i in active]
        return [i for load, i in sorted((x, i) for x, i in loads if x is not None)]

    def failover(
        self, algorithm: int, chosen: int, use_default: bool, max_results: int
    ) -> list[int]:
        """All that flag f may use, the chosen one first (semantics 3.4)."""
        drawn = self.drawn(use_default)
        last = len(self.members) - 1
        result = [chosen]
        if chosen in drawn:
            if algorithm == 9:
                others = self.by_load([i for i in drawn if self.members[i].active])
                others = others[others.index(chosen) + 1 :] if chosen in others else []
            else:
                others = drawn[drawn.index(chosen) + 1 :] + drawn[: drawn.index(chosen)]
            alternates = [i for i in others if self.members[i].active]
            result += alternates[: max(0, max_results - 1)]
        if use_default and last not in result:
            result.append(last)
        return result
