"""Round robin is exact over processes together, also when one of them is killed."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from ds_farm.dispatch.model import Destination
from shm.segment import Segment
from tests.dispatch.live import bind, live_rows
from tests.support.request import dest, drop_segment, new_segment
from tests.support.wait import until

PROCESSES = 4
EACH = 60_000


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = new_segment(max_workers=PROCESSES + 1)
    yield made
    drop_segment(made)


def _fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def _draw(farm: str, rank: int, rows: tuple[Destination, ...], picks: int) -> None:
    """What a worker does, in a mapping of its own; its counters are the record."""
    live = bind(Segment.attach(farm, writable=True), rows, rank)
    for _ in range(picks):
        live.pick(4)


def _end(pids: list[int]) -> None:
    for pid in pids:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _picked(segment: Segment, count: int, ranks: int = PROCESSES) -> list[int]:
    return [
        sum(segment.counters(rank, slot).selected for rank in range(ranks)) for slot in range(count)
    ]


def _rows(*weights: int) -> tuple[Destination, ...]:
    return tuple(dest(f"sip:192.0.2.{i + 1}", weight) for i, weight in enumerate(weights))


@pytest.mark.parametrize("weights", [(1, 1, 1), (3, 2, 1)], ids=str)
def test_four_processes_give_exact_shares(segment: Segment, weights: tuple[int, ...]) -> None:
    rows = _rows(*weights)
    live_rows(segment, rows)
    _end([_fork(lambda rank=rank: _draw(segment.farm, rank, rows, EACH)) for rank in range(4)])  # type: ignore[misc]
    total = PROCESSES * EACH
    assert _picked(segment, 3) == [total * weight // sum(weights) for weight in weights]
    assert segment.set(0).cursor == total


def test_a_killed_process_changes_no_share(segment: Segment) -> None:
    """It takes at most the pick with it that it had under way."""
    rows = _rows(3, 2, 1)
    live_rows(segment, rows)
    endless = _fork(lambda: _draw(segment.farm, 3, rows, 2**40))
    pids = [_fork(lambda rank=rank: _draw(segment.farm, rank, rows, EACH)) for rank in range(3)]  # type: ignore[misc]
    until(
        lambda: sum(segment.set_counters(3, 0).words("selections")) > 500,
        "picks of the one to be killed",
    )
    os.kill(endless, signal.SIGKILL)
    os.waitpid(endless, 0)
    _end(pids)
    # The next worker of that rank goes on where the cursor stands.
    _end([_fork(lambda: _draw(segment.farm, 3, rows, EACH))])
    drawn = segment.set(0).cursor
    picked = _picked(segment, 3)
    assert drawn - 1 <= sum(picked) <= drawn
    for count, share in zip(picked, (3 / 6, 2 / 6, 1 / 6), strict=True):
        assert abs(count - drawn * share) <= 2


def test_one_process_sees_a_state_that_another_has_changed(segment: Segment) -> None:
    rows = _rows(1, 1, 1)
    live = live_rows(segment, rows)
    assert live.pick(4) == 0

    def change() -> None:
        other = Segment.attach(segment.farm, writable=True)
        other.destination(1).word = 1
        other.set(0).add("state_version")

    _end([_fork(change)])
    assert Counter(live.pick(4) for _ in range(100)) == {0: 50, 2: 50}
