"""Back-off and the ends of children."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from unittest.mock import Mock

import pytest

from workers.children import Child, Ended, backoff_delay
from workers.crew import Crew
from workers.process import ProcessContext
from workers.process_table import Count


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


def test_fork_that_fails_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child(Mock(spec=ProcessContext))
    refuse = Mock(side_effect=BlockingIOError(errno.EAGAIN, "no room"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fork", refuse)
        with pytest.raises(BlockingIOError):
            child.spawn()
    assert (child.pid, child.reason_fd) == (0, -1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_start_that_failed_is_tried_again_later_and_later() -> None:
    child = Child(Mock(spec=ProcessContext))
    assert [child.put_off(10.0) for _ in range(4)] == [0.1, 0.1, 0.2, 0.4]
    assert child.is_waiting(10.3)
    assert not child.is_waiting(10.4)


def test_with_all_workers_in_back_off_the_first_comes_back_soon() -> None:
    context = Mock(spec=ProcessContext, kind=Mock(count=Count.PER_RANK))
    first, second = workers = [Child(context), Child(context)]
    farm = Mock()
    farm.config.farm.children = 2
    crew = Crew(farm, workers)
    first.due_s, second.due_s = 15.0, 14.0
    crew.hurry(10.0)
    assert (first.due_s, second.due_s) == (15.0, 11.0)
    crew.hurry(10.5)
    assert (first.due_s, second.due_s) == (15.0, 11.0)
    second.pid = 1
    crew.hurry(12.0)
    assert first.due_s == 15.0
