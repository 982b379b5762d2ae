"""The pool: no two pieces overlap, and memory goes back to the system."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ds_farm.proxy._pool import PiecePool

MIB = 1 << 20
SIZES = st.one_of(st.integers(0, 40), st.sampled_from((255, 256, 257, 2048, 2049, 65507)))


@given(st.lists(st.tuples(st.integers(0, 20), SIZES), max_size=120))
def test_a_piece_keeps_what_is_in_it(actions: list[tuple[int, int]]) -> None:
    """A number that is taken is given back, else a piece is taken for it."""
    pool = PiecePool()
    taken: set[int] = set()
    for number, size in actions:
        if number in taken:
            assert pool.give(number)
            taken.remove(number)
        else:
            pool.take(number, size)
            taken.add(number)
    assert all([pool.give(number) for number in taken])


def test_pieces_of_many_chunks() -> None:
    """40,000 pieces of all lengths, in any order: dozens of chunks of two megabytes."""
    draw = random.Random(1)
    pool = PiecePool()
    taken: list[int] = []
    for number in range(80_000):
        if taken and (len(taken) > 40_000 or draw.random() < 0.3):
            at = draw.randrange(len(taken))
            taken[at], taken[-1] = taken[-1], taken[at]
            assert pool.give(taken.pop())
        pool.take(number, draw.choice((100, 500, 500, 600, 2000, 3000)))
        taken.append(number)
    while taken:
        assert pool.give(taken.pop(draw.randrange(len(taken))))


def test_memory_goes_back() -> None:
    pool = PiecePool()
    before = _resident()
    for number in range(100_000):
        pool.take(number, 2048)
    peak = _resident()
    assert peak - before > 180 * MIB
    for number in range(100_000):
        pool.give(number)
    spare = pool.empty()[-1]
    assert 1 <= spare <= 16
    assert pool.empty()[:-1] == [0] * 7
    assert _resident() - before < (2 * spare + 24) * MIB
    del pool
    assert _resident() - before < 24 * MIB


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
