"""The hash of OpenSIPS (decision 6): observed vectors, and a plain reference for all else."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.dispatch import _hash
from tests.dispatch.model import reference_hash
from tests.support.pure import pure

VECTORS = tomllib.loads(
    (Path(__file__).parents[1] / "data" / "vectors" / "hash.toml").read_text(encoding="utf-8")
)["vector"]
KINDS = {"compiled": _hash, "pure": pure("ds_farm.dispatch._hash"), "reference": None}


def _keys(vector: dict[str, object]) -> list[bytes]:
    if "bytes" in vector:
        return [bytes.fromhex(str(vector["bytes"]))]
    keys = vector["keys"]
    assert isinstance(keys, list)
    return [key.encode() for key in keys]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["hash"]))
def test_decision_6_observed_vectors(kind: str, vector: dict[str, object]) -> None:
    module = KINDS[kind]
    hash_keys = reference_hash if module is None else module.hash_keys
    assert hash_keys(*_keys(vector)) == vector["hash"]


def test_the_vectors_are_all_of_the_semantics() -> None:
    assert len(VECTORS) == 10


def test_one_is_compiled_and_one_is_not() -> None:
    assert str(_hash.__file__).endswith(".so")
    assert str(pure("ds_farm.dispatch._hash").__file__).endswith(".py")


@given(st.lists(st.binary(max_size=70), max_size=3))
def test_compiled_and_pure_agree_with_the_reference(keys: list[bytes]) -> None:
    expected = reference_hash(*keys)
    assert _hash.hash_keys(*keys) == expected
    assert pure("ds_farm.dispatch._hash").hash_keys(*keys) == expected
    assert 1 <= expected < 2**32


def test_keys_are_hashed_one_after_the_other_and_not_joined() -> None:
    assert _hash.hash_keys(b"alice", b"example.com") != _hash.hash_keys(b"aliceexample.com")
