"""The table of transactions against a dictionary, while it grows and after."""

from __future__ import annotations

import random

import pytest

from ds_farm.proxy._transaction import TransactionTable
from ds_farm.sip.names import Method

METHODS = (Method.INVITE, Method.OPTIONS, Method.BYE)


@pytest.mark.parametrize("bits", [64, 14, 4], ids=["spread", "some alike", "most alike"])
def test_as_a_dictionary_would(bits: int) -> None:
    """Keys of so many random bits above and below; with few, many transactions share a bucket."""
    draw = random.Random(bits)
    table = TransactionTable()
    known: dict[tuple[int, int], int] = {}
    kept: dict[int, bytes] = {}
    for number in range(20_000 if bits > 4 else 3_000):
        where = _key(draw, bits), draw.choice(METHODS)
        if where in known:
            old = known.pop(where)
            assert table.kept(old) == kept.pop(old)
            table.free(old)
        else:
            kept[number] = draw.randbytes(draw.choice((0, 1, 400, 700, 3000)))
            table.add(number, *where, kept[number])
            known[where] = number
        assert table.find(*where) == known.get(where, -1)
        if known and number % 99 == 0:
            changed = draw.choice(list(known.values()))
            kept[changed] = draw.randbytes(draw.choice((0, 256, 257, 2049)))
            table.keep(changed, kept[changed])
        assert len(table) == len(known)
        if number % 2_500 == 0:
            assert all(table.find(*where) == found for where, found in known.items())
    assert all(table.find(*where) == found for where, found in known.items())
    for (key, method), number in known.items():
        assert table.kept(number) == kept[number]
        table.free(number)
        assert table.find(key, method) == -1
    assert len(table) == 0


def test_an_ack_belongs_to_its_invite() -> None:
    table = TransactionTable()
    table.add(1, 77, Method.INVITE, b"")
    assert table.find(77, Method.ACK) == 1
    assert table.find(77, Method.BYE) == -1


def _key(draw: random.Random, bits: int) -> int:
    low = draw.getrandbits(min(bits, 32))
    return low | draw.getrandbits(min(bits, 32)) << 32
