"""Classes of the times that destinations take to answer a stateful proxy."""

from __future__ import annotations

BOUNDS_S = (0.01, 0.05, 0.2, 0.5, 1.0, 4.0, 32.0)
"""Upper bounds, seconds: a good answer in a datacentre, T1, T2, 64 * T1 (RFC 3261 table 4)."""
