"""Classes of times: of destinations that answer, of datagrams that wait for a worker."""

from __future__ import annotations

BOUNDS_S = (0.01, 0.05, 0.2, 0.5, 1.0, 4.0, 32.0)
"""Upper bounds, seconds: a good answer in a datacentre, T1, T2, 64 * T1 (RFC 3261 table 4)."""

WAIT_BOUNDS_S = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0,
)  # fmt: skip
"""Upper bounds, seconds: how long a datagram has waited in the socket for its worker."""
