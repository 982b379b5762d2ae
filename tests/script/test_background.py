"""What routes without a caller's message have; documentation 1.4.7 has ds_count in all of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from ds_farm.dispatch.model import State
from ds_farm.script.background import Background, EventRequest, Surroundings
from ds_farm.script.local import LocalRequest
from tests.support.request import Script

A, B, C = (f"sip:192.0.2.{number}" for number in (1, 2, 3))
FILTERS = [
    "".join(letters)
    for count in range(4)
    for letters in itertools.product("aip102AIPx", repeat=count)
]


@pytest.fixture
def script() -> Iterator[Script]:
    with Script({1: [A, B, C], 2: []}) as made:
        yield made


@pytest.fixture
def surroundings(script: Script) -> Surroundings:
    return Surroundings(script.registry)


def test_counts_what_a_request_counts(script: Script, surroundings: Surroundings) -> None:
    script.set_state(B, State.INACTIVE)
    script.set_state(C, State.PROBING)
    background = Background(surroundings)

    def counted(filter: str) -> object:
        assert background.ds_count("1", filter, "$avp(n)") == 1
        return background.avp["n"]

    def by_request(filter: str) -> object:
        def route(request: object) -> object:
            assert request.ds_count("1", filter, "$var(n)") == 1  # type: ignore[attr-defined]
            return request.var["n"]  # type: ignore[attr-defined]

        return script.run(route)

    assert [counted(each) for each in FILTERS] == [by_request(each) for each in FILTERS]
    assert (counted("a"), counted("ip"), counted("")) == (1, 2, 3)


@pytest.mark.parametrize(
    ("sets", "result"), [("3", "$var(n)"), ("1,2", "$var(n)"), ("x", "$var(n)"), ("1", "$ru")]
)
def test_refuses(surroundings: Surroundings, sets: str, result: str) -> None:
    background = Background(surroundings)
    assert background.ds_count(sets, "a", result) == -1
    assert not background.var
    assert not background.avp


def test_an_empty_set_counts_none(surroundings: Surroundings) -> None:
    background = Background(surroundings)
    assert background.ds_count("default : 2", "a", "$var(n)") == 1
    assert background.var == {"n": 0}


def test_variables_stay_and_avps_go(surroundings: Surroundings) -> None:
    first = Background(surroundings)
    first.var["v"], first.avp["a"] = 1, 2
    assert first.update_stat("s", "+3") == first.update_stat("s") == 1
    assert first.update_stat("s", "many") == -1
    for later in (
        Background(surroundings),
        EventRequest(surroundings, "E", {"address": A}),
        LocalRequest(surroundings, "OPTIONS", A, B),
    ):
        assert (later.var, later.stat, len(later.avp)) == ({"v": 1}, {"s": 4}, 0)
    assert first.reset_stat("s") == 1
    assert first.reset_stat("s") == -1
