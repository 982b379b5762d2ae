"""Algorithms of a set against the plain model (semantics 2.2 to 2.5, decisions 2 to 8)."""

from __future__ import annotations

import math
from array import array
from collections import Counter

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.dispatch.schedule import turns
from shm.segment import Segment
from tests.dispatch.live import live_rows, live_set, set_active
from tests.dispatch.model import Member, ModelSet, reference_hash
from tests.support.pure import pure
from tests.support.request import dest

HASHED = (0, 1, 2, 3, 5, 6, 7)
FIRST = (8, 10, 11, 4711, -1)
"""The first entry: 8, and X, which is every number that is not an algorithm."""

REUSED = hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
"""Every example fills the slots of the one segment anew."""

weights = st.one_of(st.integers(0, 5), st.sampled_from([0, 0, 1, 1, 7, 100, 255]))
large_weights = st.sampled_from([0, 1, 255, 65535])
small_weights = st.integers(0, 6)
hashes = st.integers(1, 2**32 - 1)


def members(weight: st.SearchStrategy[int]) -> st.SearchStrategy[list[Member]]:
    return st.lists(st.builds(Member, weight, st.booleans()), min_size=1, max_size=12)


# -- the pure draws


@given(
    st.one_of(members(weights), members(large_weights)), st.lists(hashes, min_size=1, max_size=8)
)
def test_pure_draws_against_the_model(given_members: list[Member], numbers: list[int]) -> None:
    select = pure("ds_farm.dispatch._select")
    model = ModelSet(given_members)
    size = len(given_members)
    everyone, active = range(size), [i for i in range(size) if given_members[i].active]
    flags = bytes(member.active for member in given_members)
    column = array("I", [member.weight for member in given_members])
    running, active_running = array("I", [0] * size), array("I", [0] * size)
    assert select.sum_up(column, bytes([1] * size), size, running) == size
    assert select.sum_up(column, flags, size, active_running) == len(active)
    assert list(running) == [sum(column[: i + 1]) for i in everyone]
    for h in numbers:
        assert select.draw(running, size, h) == model.by_hash(list(everyone), h)
        expected = model.by_hash(active, h) if active else -1
        assert select.draw_active(active_running, flags, size, len(active), h) == expected
        start = h % size
        upwards = [i % size for i in range(start, start + size) if given_members[i % size].active]
        assert select.probe_up(flags, size, start) == (upwards[0] if upwards else -1)


@given(members(small_weights))
def test_pure_turns_of_the_active(given_members: list[Member]) -> None:
    turns = ModelSet(given_members).turns(list(range(len(given_members))))
    kept = array("I", [0] * len(turns))
    flags = bytes(member.active for member in given_members)
    count = pure("ds_farm.dispatch._select").keep_active(array("I", turns), len(turns), flags, kept)
    assert list(kept[:count]) == [i for i in turns if given_members[i].active]


# -- the compiled set


@given(
    algorithm=st.sampled_from(HASHED),
    use_default=st.booleans(),
    given_members=members(weights),
    numbers=st.lists(hashes, min_size=1, max_size=20),
)
@REUSED
def test_hash_algorithms(
    segment: Segment,
    algorithm: int,
    use_default: bool,
    given_members: list[Member],
    numbers: list[int],
) -> None:
    model = ModelSet(given_members)
    live = live_set(segment, given_members)
    for h in numbers:
        assert live.pick(algorithm, h, use_default) == model.select(algorithm, h, use_default)


@given(
    use_default=st.booleans(),
    given_members=members(small_weights),
    changes=st.lists(st.tuples(st.integers(0, 11), st.booleans(), st.integers(0, 9))),
)
@REUSED
def test_round_robin_while_states_change(
    segment: Segment,
    use_default: bool,
    given_members: list[Member],
    changes: list[tuple[int, bool, int]],
) -> None:
    model = ModelSet(given_members)
    live = live_set(segment, given_members)
    for index, active, picks in [(0, given_members[0].active, 9), *changes]:
        set_active(segment, given_members, index % len(given_members), active)
        for _ in range(picks):
            assert live.pick(4, 0, use_default) == model.select(4, 0, use_default)
    assert segment.set(0).cursor == model.cursor


@given(algorithm=st.sampled_from(FIRST), given_members=members(weights), use_default=st.booleans())
@REUSED
def test_algorithm_8_and_x_take_the_first_active(
    segment: Segment, algorithm: int, given_members: list[Member], use_default: bool
) -> None:
    live = live_set(segment, given_members)
    expected = ModelSet(given_members).select(algorithm, 0, use_default)
    assert live.pick(algorithm, 0, use_default) == expected


@given(given_members=members(weights), use_default=st.booleans())
@REUSED
def test_algorithm_9_takes_what_the_caller_found(
    segment: Segment, given_members: list[Member], use_default: bool
) -> None:
    live = live_set(segment, given_members)
    model = ModelSet(given_members)
    order = model.by_load([i for i in model.drawn(use_default) if given_members[i].active])
    chosen = live.pick(9, order[0] if order else len(given_members), use_default)
    assert chosen == model.select(9, 0, use_default)


# -- single sentences of the documentation and of the decisions


def test_decision_2_the_first_pick_is_the_first_entry(segment: Segment) -> None:
    live = live_set(segment, [Member() for _ in range(4)])
    assert [live.pick(4) for _ in range(9)] == [0, 1, 2, 3, 0, 1, 2, 3, 0]


@pytest.mark.parametrize(
    ("given_weights", "shares"),
    [([3, 1], [3, 1]), ([3, 2, 1], [3, 2, 1]), ([10, 30], [1, 3]), ([0, 2, 2], [0, 1, 1])],
)
def test_decision_4_weights_count_in_every_window(
    segment: Segment, given_weights: list[int], shares: list[int]
) -> None:
    live = live_set(segment, [Member(weight) for weight in given_weights])
    cycle = sum(shares)
    picks = [live.pick(4) for _ in range(10 * cycle)]
    for start in range(9 * cycle):
        window = Counter(picks[start : start + cycle])
        assert [window[i] for i in range(len(shares))] == shares


@pytest.mark.parametrize(
    "given_weights", [[65535, 65533, 32768, 1, 0], [5, 0, 997], [33, 33, 33, 901, 10, 7, 1]]
)
def test_decision_4_a_cycle_that_is_too_long_to_be_written_down(
    segment: Segment, given_weights: list[int]
) -> None:
    """Exact over the whole of it, and evenly spread: a walk by the golden section leaves gaps of
    three lengths at most, so no stretch is off by more than its logarithm."""
    assert not turns(given_weights)
    members_ = [Member(weight) for weight in given_weights]
    live = live_set(segment, members_)
    for left_out in (None, 0):
        if left_out is not None:
            set_active(segment, members_, left_out, False)
        active = [i for i, one in enumerate(members_) if one.active]
        total = sum(given_weights[i] for i in active)
        picks = [live.pick(4) for _ in range(total)]
        assert Counter(picks) == {i: given_weights[i] for i in active if given_weights[i]}
        for length in (10, 100, total // 7, total // 2):
            seen = Counter(picks[:length])
            for i in active:
                share = length * given_weights[i] / total
                assert abs(seen[i] - share) <= 2 + math.log2(total), (i, length)


def test_decision_2_with_weights(segment: Segment) -> None:
    for given_weights in ([1, 3], [0, 1, 5], [1, 65535]):
        live = live_set(segment, [Member(weight) for weight in given_weights])
        assert live.pick(4) == next(i for i, weight in enumerate(given_weights) if weight)


@pytest.mark.parametrize("algorithm", [*HASHED, *FIRST, 9])
def test_decision_5_other_algorithms_leave_the_cursor_alone(
    segment: Segment, algorithm: int
) -> None:
    live = live_set(segment, [Member() for _ in range(5)])
    picks = []
    for h in range(1, 8):
        picks.append(live.pick(4))
        live.pick(algorithm, h % 5)
    assert picks == [0, 1, 2, 3, 4, 0, 1]


def test_decision_6_a_dead_member_moves_only_its_own_calls(segment: Segment) -> None:
    members_ = [Member(weight) for weight in (1, 2, 3, 4)]
    live = live_set(segment, members_)
    numbers = [reference_hash(b"call-%d" % i) for i in range(2000)]
    before = [live.pick(0, h) for h in numbers]
    set_active(segment, members_, 2, False)
    after = [live.pick(0, h) for h in numbers]
    assert all(a == b for a, b in zip(after, before, strict=True) if b != 2)
    moved = Counter(a for a, b in zip(after, before, strict=True) if b == 2)
    assert moved.keys() == {0, 1, 3}
    set_active(segment, members_, 2, True)
    assert [live.pick(0, h) for h in numbers] == before


def test_decision_6_all_active_weights_zero_share_alike(segment: Segment) -> None:
    """2.1 gives the whole share of a dead member to the first active one: a bug."""
    live = live_set(segment, [Member(5, active=False), Member(0), Member(0), Member(0)])
    assert [live.pick(0, h) for h in (3, 4, 5, 6)] == [1, 2, 3, 1]


def test_the_largest_weights(segment: Segment) -> None:
    given_members = [Member(weight) for weight in (65535, 1, 65535, 65534)]
    live = live_set(segment, given_members)
    model = ModelSet(given_members)
    for h in (1, 65534, 65535, 65536, 131070, 131071, 196604, 196605, 2**32 - 1):
        assert live.pick(0, h) == model.select(0, h, False)


def test_weight_zero_is_never_drawn(segment: Segment) -> None:
    live = live_set(segment, [Member(0), Member(2), Member(0), Member(1), Member(0)])
    assert {live.pick(6, h) for h in range(1, 300)} == {1, 3}
    assert {live.pick(4) for _ in range(30)} == {1, 3}


def test_round_robin_over_weight_zero_only_when_all_others_are_down(segment: Segment) -> None:
    members_ = [Member(0), Member(2), Member(0)]
    live = live_set(segment, members_)
    set_active(segment, members_, 1, False)
    assert Counter(live.pick(4) for _ in range(10)) == {0: 5, 2: 5}


def test_decision_13_the_default_is_kept_out_of_the_draw(segment: Segment) -> None:
    members_ = [Member(), Member(), Member(100)]
    live = live_set(segment, members_)
    assert {live.pick(4, 0, True) for _ in range(10)} == {0, 1}
    assert {live.pick(0, h, True) for h in range(1, 100)} == {0, 1}
    for index in (0, 1):
        set_active(segment, members_, index, False)
    for algorithm in (0, 4, 6, 8, 99):
        assert live.pick(algorithm, 5, True) == 2
    set_active(segment, members_, 2, False)
    assert live.pick(4, 0, True) is None


@pytest.mark.parametrize("algorithm", [*HASHED, 4, 9, *FIRST])
def test_nothing_active_is_no_destination(segment: Segment, algorithm: int) -> None:
    live = live_set(segment, [Member(active=False), Member(active=False)])
    before = segment.set_counters(0, 0).failures
    assert live.pick(algorithm, 1) is None
    assert live.pick(algorithm, 1, True) is None
    assert segment.set_counters(0, 0).failures == before + 2


def test_decision_23_without_an_address_a_destination_takes_no_calls(segment: Segment) -> None:
    rows = (
        dest("sip:192.0.2.1"),
        dest("sip:gone.example.com", addresses=()),
        dest("sip:192.0.2.3"),
    )
    live = live_rows(segment, rows)
    assert live.active() == [0, 2]
    assert [live.pick(4) for _ in range(4)] == [0, 2, 0, 2]
    assert {live.pick(0, h) for h in range(1, 50)} == {0, 2}
    assert live.count(True, False, False) == 3, "its state is active all the same"


# -- spread


def _chi_square(observed: list[int], expected: list[float]) -> float:
    return sum((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True))


LIMIT_5 = 20.52
"""Chi-square with 5 degrees of freedom is above this once in a thousand."""


@pytest.mark.parametrize("given_weights", [[1] * 6, [1, 2, 3, 4, 5, 10]])
def test_call_ids_spread_by_weight(segment: Segment, given_weights: list[int]) -> None:
    live = live_set(segment, [Member(weight) for weight in given_weights])
    total = 12_000
    keys = [b"%08x-%04x@192.0.2.77" % (i * 2654435761 % 2**32, i) for i in range(total)]
    picks = Counter(live.pick(0, reference_hash(key)) for key in keys)
    expected = [total * weight / sum(given_weights) for weight in given_weights]
    assert _chi_square([picks[i] for i in range(6)], expected) < LIMIT_5
