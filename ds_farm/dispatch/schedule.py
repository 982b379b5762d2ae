"""Order of turns for weighted round robin (decision 4).

A destination of weight w takes w turns of each cycle.  Its k-th turn lies in the middle of the
k-th of w equal stretches of the cycle, so turns are spread evenly: weights 3,1 give a,a,b,a.
Equal weights give a,b,c,d.  The cycle begins with the first destination that has a share
(decision 2).  Leaving out the turns of a destination that is down keeps every other share exact,
and the order as even as it can be.

A cycle that would be long, by large weights without a common divisor, is not written down: a worker
walks over the sum of weights in steps of the golden section (`_select.golden_step`), with the same
shares over the whole of it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

LEAST_TURNS = 128
TURNS_EACH = 32


def most_turns(size: int) -> int:
    """The longest cycle that is written down for a set of so many destinations."""
    return max(LEAST_TURNS, TURNS_EACH * size)


def turns(weights: Sequence[int]) -> array[int]:
    """Indexes into ``weights`` in the order of their turns, one whole cycle; none if it is long.

    Weights are divided by their greatest common divisor.  Weight 0 takes no turn, unless all
    are 0, which counts as all equal (semantics section 2.3).
    """
    if not any(weights):
        weights = [1] * len(weights)
    divisor = math.gcd(*weights)
    shares = [weight // divisor for weight in weights]
    if len(set(shares)) <= 1:
        return array("I", range(len(shares)))
    if sum(shares) > most_turns(len(shares)):
        return array("I")
    moments = [
        ((2 * turn + 1) / (2 * share), index)
        for index, share in enumerate(shares)
        for turn in range(share)
    ]
    moments.sort()
    cycle = [index for _, index in moments]
    begin = cycle.index(min(cycle))
    return array("I", cycle[begin:] + cycle[:begin])
