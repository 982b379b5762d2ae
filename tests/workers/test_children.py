"""Back-off and the ends of children."""

from __future__ import annotations

import signal

import pytest

from workers.children import Ended, backoff_delay


def test_back_off_starts_with_none_and_is_bounded() -> None:
    delays = [backoff_delay(deaths) for deaths in range(12)]
    assert delays == [0, 0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5]
    assert backoff_delay(10**6) == 5.0


@pytest.mark.parametrize(
    ("status", "reason", "text", "cannot_boot"),
    [
        (0, "", "exit code 0", False),
        (1 << 8, "", "exit code 1", False),
        (3 << 8, "no such file", "cannot start: no such file", True),
        (signal.SIGKILL, "", "killed by signal 9 (Killed)", False),
        (signal.SIGSEGV | 0x80, "", "killed by signal 11 (Segmentation fault)", False),
        (signal.SIGRTMIN + 1, "", f"killed by signal {signal.SIGRTMIN + 1}", False),
    ],
)
def test_end_says_how(status: int, reason: str, text: str, cannot_boot: bool) -> None:
    end = Ended(1, status, reason)
    assert str(end).startswith(text)
    assert end.cannot_boot is cannot_boot
