"""Round-trip times of probes: the histogram's classes and the running mean.

A time is measured from the first transmission to the final reply: what a caller would have waited.
"""

from __future__ import annotations

from bisect import bisect_left

BOUNDS_S = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
"""Upper bounds of the classes in seconds; one more class holds what is longer.

The array of the segment has a word for each class: append, never change.
"""

_BOUNDS_NS = [round(bound * 1e9) for bound in BOUNDS_S]


def bucket(rtt_ns: int) -> int:
    """Index of the class that a time falls into; a bound belongs to its own class."""
    return bisect_left(_BOUNDS_NS, rtt_ns)


def smooth(mean_ns: int, rtt_ns: int) -> int:
    """The running mean after one more time: 7/8 old, 1/8 new (RFC 6298 section 2.3).

    ``mean_ns`` 0 means that this is the first.
    """
    return rtt_ns if not mean_ns else mean_ns + (rtt_ns - mean_ns) // 8
