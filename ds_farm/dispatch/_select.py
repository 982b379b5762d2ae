"""How a number becomes a destination of a set.

``active`` has one byte for each destination, 1 if it takes calls.  ``running`` are running sums of
weights, over all destinations or over the active ones (a destination that is not active repeats
the sum before it).  Pure-Python mode.
"""

import cython

if cython.compiled:
    from cython.cimports.libc.stdint import uint32_t, uint64_t
else:
    uint32_t = uint64_t = int


def draw(running, size, h):
    """Index that hash ``h`` falls on, by weight over *all* destinations (semantics 2.3).

    All weights 0 counts as all equal.  A member that is down keeps its share here on purpose, so
    that it moves only its own calls.
    """
    total: uint32_t = running[size - 1]
    if total == 0:
        return cython.cast(cython.int, h % size)
    return _first_above(running, size, cython.cast(uint32_t, h % total))


def draw_active(running, active, size, active_nr, h):
    """The re-hash when `draw` fell on one that is down: the same by the active ones' weights.

    -1 if none is active.  All their weights 0: equal shares (decision 6, not the bug of 2.1).
    """
    i: cython.int
    rank: cython.int
    total: uint32_t
    if active_nr == 0:
        return -1
    total = running[size - 1]
    if total:
        return _first_above(running, size, cython.cast(uint32_t, h % total))
    rank = cython.cast(cython.int, h % active_nr)
    for i in range(size):
        if active[i]:
            if rank == 0:
                return i
            rank -= 1
    return -1


def probe_up(active, size, start):
    """First active index from ``start`` upwards and around; -1 if none is active."""
    i: cython.int
    for i in range(start, size):
        if active[i]:
            return i
    for i in range(0, start):
        if active[i]:
            return i
    return -1


def sum_up(weights, active, size, running):
    """Fill ``running`` with sums over the active destinations; returns how many they are."""
    i: cython.int
    count: cython.int = 0
    total: uint32_t = 0
    for i in range(size):
        if active[i]:
            total += weights[i]
            count += 1
        running[i] = total
    return count


def keep_active(turns, count, active, kept):
    """Copy the turns of active destinations, in order; returns how many there are."""
    i: cython.int
    n: cython.int = 0
    for i in range(count):
        if active[turns[i]]:
            kept[n] = turns[i]
            n += 1
    return n


def golden_step(total):
    """How far a walk over ``total`` weights goes at each turn: the golden section of it, which
    spreads the turns of each destination evenly, and without a common divisor with it, so that the
    walk comes by every weight once."""
    step: uint32_t = cython.cast(uint32_t, total * 0.6180339887498949)
    a: uint32_t
    b: uint32_t
    if total < 3:
        return 1
    while True:
        a = total
        b = step
        while b:
            a, b = b, a % b
        if a == 1:
            return step
        step += 1


def stride(h, step, total):
    """Where turn ``h`` of the walk is; ``step`` and ``total`` are below 2**32."""
    return (h % total) * step % total


def _first_above(running, size, r):
    """Smallest index whose running sum is above ``r``; entries of weight 0 are never it."""
    low: cython.int = 0
    high: cython.int = size - 1
    middle: cython.int
    while low < high:
        middle = (low + high) >> 1
        if running[middle] > r:
            high = middle
        else:
            low = middle + 1
    return low
