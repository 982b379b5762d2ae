"""Order of turns for weighted round robin (decision 4).

A destination of weight w takes w turns of each cycle.  Its k-th turn lies in the middle of the
k-th of w equal stretches of the cycle, so turns are spread evenly: weights 3,1 give a,a,b,a.
Equal weights give a,b,c,d.  Leaving out the turns of a destination that is down keeps every
other share exact, and the order as even as it can be.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

MAX_TURNS = 1 << 17
"""A longer cycle (large weights without a common divisor) is shortened to about this length;
shares are then right to within one turn in it."""


def turns(weights: Sequence[int]) -> array[int]:
    """Indexes into ``weights`` in the order of their turns, one whole cycle.

    Weights are divided by their greatest common divisor.  Weight 0 takes no turn, unless all
    are 0, which counts as all equal (semantics section 2.3).
    """
    if not any(weights):
        weights = [1] * len(weights)
    divisor = math.gcd(*weights)
    shares = [weight // divisor for weight in weights]
    if sum(shares) > MAX_TURNS:
        factor = MAX_TURNS / sum(shares)
        shares = [max(1, round(share * factor)) if share else 0 for share in shares]
    if len(set(shares)) == 1:
        return array("I", range(len(shares)))
    moments = [
        ((2 * turn + 1) / (2 * share), index)
        for index, share in enumerate(shares)
        for turn in range(share)
    ]
    moments.sort()
    return array("I", [index for _, index in moments])
