"""Waiting for a condition with a deadline, instead of sleeping for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TICK_S = 0.01


def until(condition: Callable[[], T | None], what: str, timeout_s: float = 10.0) -> T:
    """Poll ``condition`` until it returns something true, and return that.

    Raises AssertionError with ``what`` and the last value when ``timeout_s`` has passed.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s:g} s, last seen: {value!r}")
        time.sleep(TICK_S)
