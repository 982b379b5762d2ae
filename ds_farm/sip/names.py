"""Words of SIP as values: methods, schemes, faults, drops (RFC 3261)."""

from __future__ import annotations

from ds_farm.sip._names import Drop, Fault, Method, Scheme

__all__ = ["DROP_LABELS", "FAULT_LABELS", "Drop", "Fault", "Method", "Scheme"]

FAULT_LABELS = {fault: fault.name.lower() for fault in Fault if fault is not Fault.NONE}
"""Label value of each fault in metrics."""

DROP_LABELS = {drop: drop.name.lower() for drop in Drop}
"""Label value of each drop reason in metrics."""
