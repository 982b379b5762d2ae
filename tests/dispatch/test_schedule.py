"""Turns of weighted round robin: exact shares, evenly spread (decision 4)."""

from __future__ import annotations

from collections import Counter
from math import gcd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.dispatch.schedule import most_turns, turns
from tests.dispatch.model import Member, ModelSet


@pytest.mark.parametrize(
    ("weights", "order"),
    [
        ([1, 1, 1, 1], [0, 1, 2, 3]),
        ([5, 5], [0, 1]),
        ([3, 1], [0, 0, 1, 0]),
        ([1, 3], [0, 1, 1, 1]),  # decision 2: the first entry first
        ([0, 1, 2], [1, 2, 2]),
        ([0, 0, 0], [0, 1, 2]),
        ([0], [0]),
        ([0, 4], [1]),
        ([200, 100], [0, 1, 0]),
        ([], []),
    ],
)
def test_known_orders(weights: list[int], order: list[int]) -> None:
    assert list(turns(weights)) == order


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12))
def test_shares_are_exact_and_the_order_is_the_model_s(weights: list[int]) -> None:
    found = list(turns(weights))
    divisor = gcd(*weights) or 1
    shares = [weight // divisor for weight in weights] if any(weights) else [1] * len(weights)
    counted = Counter(found)
    assert [counted[i] for i in range(len(weights))] == shares
    model = ModelSet([Member(share) for share in shares])
    assert found == model.turns(list(range(len(weights))))


@given(st.lists(st.integers(1, 20), min_size=2, max_size=8))
def test_turns_are_spread_and_not_in_bursts(weights: list[int]) -> None:
    """In any stretch of the endless order a destination is at most two turns off its share."""
    cycle = list(turns(weights))
    for index in range(len(weights)):
        share = cycle.count(index) / len(cycle)
        seen = 0
        for length, turn in enumerate(cycle * 2, start=1):
            seen += turn == index
            assert abs(seen - share * length) <= 1.01 + len(weights) / 2


def test_a_heavy_one_never_waits_for_the_whole_of_another_s_turns() -> None:
    cycle = list(turns([50, 50, 1]))
    longest = max(len(run) for i in (0, 1) for run in "".join(map(str, cycle)).split(str(1 - i)))
    assert longest <= 2


def test_a_long_cycle_is_not_written_down() -> None:
    assert len(turns([100, 27])) == most_turns(2) - 1
    assert len(turns([100, 29])) == 0
    assert len(turns(range(1, 41))) == sum(range(1, 41))
    assert len(turns([65535, 65534])) == 0
