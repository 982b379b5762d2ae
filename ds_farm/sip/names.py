"""Words of SIP as values: methods, schemes, faults, drops (RFC 3261)."""

from __future__ import annotations

from ds_farm.sip._names import Drop, Fault, Method, Scheme

__all__ = ["COMPACT_FORMS", "DROP_LABELS", "FAULT_LABELS", "Drop", "Fault", "Method", "Scheme"]

FAULT_LABELS = {fault: fault.name.lower() for fault in Fault if fault is not Fault.NONE}
"""Label value of each fault in metrics."""

COMPACT_FORMS = {
    "Accept-Contact": "a",
    "Allow-Events": "u",
    "Call-ID": "i",
    "Contact": "m",
    "Content-Encoding": "e",
    "Content-Length": "l",
    "Content-Type": "c",
    "Event": "o",
    "From": "f",
    "Identity": "y",
    "Refer-To": "r",
    "Referred-By": "b",
    "Reject-Contact": "j",
    "Request-Disposition": "d",
    "Session-Expires": "x",
    "Subject": "s",
    "Supported": "k",
    "To": "t",
    "Via": "v",
}
"""Header names and their one letter (RFC 3261 7.3.3 and the registry of header fields)."""

DROP_LABELS = {drop: drop.name.lower() for drop in Drop}
"""Label value of each drop reason in metrics."""
