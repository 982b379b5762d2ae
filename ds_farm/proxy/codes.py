"""Return values of the functions that a routing module calls.

They are OpenSIPS's numbers: above 0 is success, below 0 failure.  In Python -1 would be true, so
failures are a kind of ``int`` that is false: ``if not request.ds_select_dst("1", "4")`` reads as
it does in a script, and ``== -1`` still holds.
"""

from __future__ import annotations


class Failure(int):
    """A negative return code; false."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False


FAILED = Failure(-1)
"""The function could not do what it was asked."""

UNEQUAL_LISTS = Failure(-2)
"""Lists of sets, algorithms and flags have different lengths (documentation 1.4.1)."""

NOT_SET = Failure(-3)
"""A destination was selected, but the request could not be directed to it."""

STATEFUL = frozenset({"t_relay", "t_newtran", "t_reply", "t_reply_with_body"})
"""Functions that need transactions: a module that has one of these names in it gets them."""
