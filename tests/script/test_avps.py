"""AVPs are stacks: the value set last is read first (semantics 3.3)."""

from __future__ import annotations

import pytest

from ds_farm.script.avps import Avps


def test_a_mapping_of_topmost_values() -> None:
    avps = Avps()
    avps["a"] = 1
    avps.push("a", 2)
    avps.push("b", "x")
    assert (avps["a"], avps["b"], len(avps), set(avps)) == (2, "x", 2, {"a", "b"})
    assert avps.all("a") == [2, 1]
    assert avps.all("none") == []
    assert avps.get("none") is None
    assert "none" not in avps


def test_an_assignment_leaves_just_the_new_value() -> None:
    avps = Avps()
    avps.push("a", 1)
    avps.push("a", 2)
    avps["a"] = 3
    assert avps.all("a") == [3]
    del avps["a"]
    assert "a" not in avps


def test_pop_takes_one_value() -> None:
    avps = Avps()
    avps.put_all("a", [1, 2])
    assert [avps.pop("a"), avps.pop("a")] == [1, 2]
    assert "a" not in avps
    assert avps.pop("a", 0) == 0
    with pytest.raises(KeyError, match="a"):
        avps.pop("a")
    avps.put_all("a", [])
    assert list(avps) == []


def test_what_is_read_is_a_copy() -> None:
    avps = Avps()
    values = [1, 2]
    avps.put_all("a", list(values))
    avps.all("a").clear()
    values.clear()
    assert avps.all("a") == [1, 2]
