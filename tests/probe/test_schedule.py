"""Every destination once an interval, spread over it; whatever the caller's clock does."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.probe.schedule import Schedule, phase_ns

SECOND = 1_000_000_000
EVERYTHING = 10**9


def run(schedule: Schedule, start_ns: int, end_ns: int, step_ns: int) -> list[tuple[int, int]]:
    """(slot, when it was handed out) with a look at the clock every ``step_ns``."""
    found = []
    for now_ns in range(start_ns, end_ns + 1, step_ns):
        found += [(slot, now_ns) for slot, _ in schedule.due(now_ns, EVERYTHING)]
    return found


@pytest.mark.parametrize("count", [10, 1_000, 10_000])
def test_the_probes_of_each_second_are_as_many(count: int) -> None:
    interval_s = 5
    schedule = Schedule(range(count), interval_s * SECOND, 0)
    seconds = Counter(now // SECOND for _, now in run(schedule, 0, 20 * SECOND - 1, SECOND // 50))
    expected = count / interval_s
    assert len(seconds) == 20
    assert all(abs(many - expected) <= max(1, 0.02 * expected) for many in seconds.values())


def test_neighbours_are_far_apart() -> None:
    # What a reload adds has slots beside each other: they must not come as a burst.
    phases = sorted(phase_ns(slot, SECOND) for slot in range(700, 710))
    gaps = [b - a for a, b in pairwise(phases)]
    assert min(gaps) > SECOND // 50


def test_each_slot_comes_once_an_interval_at_its_own_moment() -> None:
    schedule = Schedule([3, 1, 2], 2 * SECOND, 7 * SECOND)
    found = [each for end in (9, 11) for each in schedule.due(end * SECOND, EVERYTHING)]
    assert Counter(slot for slot, _ in found) == {1: 2, 2: 2, 3: 2}
    assert [moment for _, moment in found] == sorted(moment for _, moment in found)
    for slot, moment in found:
        assert 7 * SECOND < moment <= 11 * SECOND
        assert moment % (2 * SECOND) == phase_ns(slot, 2 * SECOND)


@given(
    slots=st.sets(st.integers(0, 5_000), min_size=1, max_size=30),
    interval_ms=st.integers(1, 5_000),
    start_ms=st.integers(0, 10**6),
    steps=st.lists(st.integers(0, 2_000), max_size=30),
    limit=st.integers(1, 40),
)
def test_nothing_is_lost_or_doubled(
    slots: set[int], interval_ms: int, start_ms: int, steps: list[int], limit: int
) -> None:
    interval = interval_ms * 1_000_000
    now = passed = start_ms * 1_000_000
    schedule = Schedule(slots, interval, passed)
    last: dict[int, int] = {}
    for step in steps:
        now += min(step * 1_000_000, interval)  # less than an interval between two looks
        for slot, moment in schedule.due(now, limit):
            assert passed < moment <= now
            assert moment % interval == phase_ns(slot, interval)
            # Held up for less than an interval: no moment is left out, none comes twice.
            if slot in last and limit >= 2 * len(slots):
                assert moment == last[slot] + interval
            assert moment > last.get(slot, -1)
            last[slot] = moment


def test_what_was_held_up_comes_without_a_burst() -> None:
    schedule = Schedule(range(100), SECOND, 0)
    counts = [len(schedule.due(900_000_000, 20)) for _ in range(6)]
    assert counts[:4] == [20] * 4
    assert 85 <= sum(counts) <= 95
    assert counts[5] == 0


def test_a_long_hold_up_gives_each_slot_one_moment() -> None:
    schedule = Schedule(range(10), SECOND, 0)
    found = schedule.due(3_600 * SECOND, EVERYTHING)
    assert Counter(slot for slot, _ in found) == dict.fromkeys(range(10), 1)
    assert min(moment for _, moment in found) > 3_599 * SECOND


def test_the_next_moment_is_known() -> None:
    assert Schedule([], SECOND, 5).next_ns is None
    schedule = Schedule([0, 1, 2], SECOND, 10 * SECOND)
    first = schedule.next_ns
    assert first is not None
    assert schedule.due(first - 1, EVERYTHING) == []
    assert [moment for _, moment in schedule.due(first, EVERYTHING)] == [first]


def test_a_reload_moves_nobody() -> None:
    before = Schedule(range(10), SECOND, 0)
    seen = before.due(400_000_000, EVERYTHING)
    after = Schedule(range(5, 20), SECOND, before.passed_ns)
    seen += after.due(SECOND - 1, EVERYTHING)
    counted = Counter(slot for slot, _ in seen)
    assert {slot: counted[slot] for slot in range(5, 10)} == dict.fromkeys(range(5, 10), 1)
