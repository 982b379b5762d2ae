"""The timer wheel against a list: no timer early, none late by more than a tick, none lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ds_farm.proxy._timers import TimerWheel

TICK_NS = 1 << 23
HOUR_NS = 3600 * 10**9

distances = st.one_of(
    st.integers(0, 3 * TICK_NS),
    st.integers(0, 70 * TICK_NS),
    st.integers(0, 5000 * TICK_NS),
    st.integers(0, 100 * HOUR_NS),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 30), distances),
        st.tuples(st.just("cancel"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("wait"), st.just(0), distances.map(lambda each: each // 2)),
        st.tuples(st.just("sleep"), st.just(0), st.just(0)),
    ),
    max_size=80,
)


@given(st.integers(0, HOUR_NS), steps)
def test_as_a_list_would(start_ns: int, actions: list[tuple[str, int, int]]) -> None:
    now_ns = start_ns
    wheel = TimerWheel(now_ns)
    due: dict[int, int] = {}
    known: set[int] = set()
    for action, number, distance in actions:
        if action == "set":
            wheel.set(number, now_ns + distance)
            due[number] = now_ns + distance
            known.add(number)
        elif action == "cancel":
            if number in known:
                wheel.cancel(number)
                due.pop(number, None)
        else:
            if action == "sleep":
                # To the time that the wheel names: never past a timer by more than a tick.
                now_ns = max(now_ns, wheel.next_ns())
            else:
                now_ns += distance
            expired = wheel.expired(now_ns)
            assert len(expired) == len(set(expired))
            for each in expired:
                assert due.pop(each) <= now_ns  # never early
            # Late by one tick at most; the farthest are looked at again on their way.
            assert all(each > now_ns - 2 * TICK_NS for each in due.values()), (now_ns, due)
        assert len(wheel) == len(due)
    if due:
        now_ns = max(due.values()) + 2 * TICK_NS
        assert set(wheel.expired(now_ns)) == set(due)
        assert wheel.next_ns() == 0


def test_next_never_misses() -> None:
    """Sleeping till `next_ns` again and again gets to every timer in time."""
    wheel = TimerWheel(5)
    times = [n * n * 7_000_000 + n for n in range(200)]
    for number, time_ns in enumerate(times):
        wheel.set(number, time_ns)
    seen: dict[int, int] = {}
    while len(wheel):
        now_ns = wheel.next_ns()
        for each in wheel.expired(now_ns):
            seen[each] = now_ns
    assert set(seen) == set(range(200))
    for number, time_ns in enumerate(times):
        assert time_ns <= seen[number] <= time_ns + 2 * TICK_NS
