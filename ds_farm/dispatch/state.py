"""What happens to a destination's state, as a table (documentation 1.4.6, decisions 14 to 17).

This file decides; `registry.py` writes shared memory.

    event            active               inactive   probing
    ACTIVATE         active, count 0      active     active, count 0
    DEACTIVATE       inactive             -          inactive
    PROBE            probing at once      probing    -
    FAIL             count + 1, probing   -          count stays at the threshold
                     at the threshold
    SUCCEED          count 0              -          active, count 0

An inactive destination is an operator's: only ACTIVATE and PROBE, which come from people, end it.
"""

from __future__ import annotations

import enum

from ds_farm.dispatch.model import State

STATE_BITS = 8
FAILURES_MASK = 0xFFFFFF
CHANGES_SHIFT = 32
CHANGES_MASK = 0xFFFFFFFF


class Event(enum.Enum):
    """What may change a state."""

    ACTIVATE = "a"
    """An operator or a script says active."""

    DEACTIVATE = "i"
    """An operator or a script says inactive."""

    PROBE = "p"
    """An operator says probing: at once (decision 15)."""

    FAIL = "fail"
    """A probe failed, or a script says probing: counts towards the threshold (decision 14)."""

    SUCCEED = "succeed"
    """A probe was answered well."""


class Reason(enum.IntEnum):
    """Why a state changed; the number is what the segment holds."""

    UNKNOWN = 0
    """Who changed it died before it could say why."""

    SCRIPT = 1
    MI = 2
    GOOD_REPLY = 3
    BAD_REPLY = 4
    UNSENT = 5
    RELOAD = 6


REASON_TEXTS = {
    Reason.UNKNOWN: "unknown",
    Reason.SCRIPT: "script function ds_mark()",
    Reason.MI: "MI command",
    Reason.GOOD_REPLY: "200 OK probing reply",
    Reason.BAD_REPLY: "negative probing reply",
    Reason.UNSENT: "failed to send probe",
    Reason.RELOAD: "reload",
}
"""What events and logs say; OpenSIPS's words where it has any (semantics section 7)."""


def decide(state: State, failures: int, event: Event, threshold: int) -> tuple[State, int]:
    """State and failures in a row after an event; ``threshold`` failures make it probing."""
    if event is Event.ACTIVATE:
        return State.ACTIVE, 0
    if event is Event.DEACTIVATE:
        return State.INACTIVE, 0
    if event is Event.PROBE:
        return State.PROBING, threshold
    if state is State.INACTIVE:
        return state, failures
    if event is Event.SUCCEED:
        return State.ACTIVE, 0
    failures = min(failures + 1, threshold, FAILURES_MASK)
    return (State.PROBING if failures >= threshold else state), failures


def pack(state: State, failures: int, changes: int) -> int:
    """The state word: state in bits 0 to 7, failures in 8 to 31, changes in 32 to 63."""
    return (changes & CHANGES_MASK) << CHANGES_SHIFT | failures << STATE_BITS | state


def unpack(word: int) -> tuple[State, int, int]:
    """State, failures in a row, and number of changes of a state word."""
    return (
        State(word & ((1 << STATE_BITS) - 1)),
        (word >> STATE_BITS) & FAILURES_MASK,
        word >> CHANGES_SHIFT,
    )
