"""What may happen to a state, each cell of the table (documentation 1.4.6, decisions 14 to 17)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.dispatch.model import State
from ds_farm.dispatch.state import Event, decide, pack, unpack

A, INACTIVE, P = State.ACTIVE, State.INACTIVE, State.PROBING
THRESHOLD = 3

CASES = [
    # state, failures, event -> state, failures; threshold 3
    ("marked active: the count is reset (15)", A, 2, Event.ACTIVATE, A, 0),
    ("an inactive one is marked active", INACTIVE, 0, Event.ACTIVATE, A, 0),
    ("a probing one is marked active", P, 3, Event.ACTIVATE, A, 0),
    ("marked inactive", A, 1, Event.DEACTIVATE, INACTIVE, 0),
    ("marked inactive while probing", P, 3, Event.DEACTIVATE, INACTIVE, 0),
    ("marked inactive again", INACTIVE, 0, Event.DEACTIVATE, INACTIVE, 0),
    ("MI probing: immediate, no threshold (15)", A, 0, Event.PROBE, P, 3),
    ("MI probing of an inactive one (15)", INACTIVE, 0, Event.PROBE, P, 3),
    ("the first failure (14)", A, 0, Event.FAIL, A, 1),
    ("the second", A, 1, Event.FAIL, A, 2),
    ("the third reaches the threshold (14)", A, 2, Event.FAIL, P, 3),
    ("a failure of a probing one stays there", P, 3, Event.FAIL, P, 3),
    ("p on an inactive one is ignored (14)", INACTIVE, 0, Event.FAIL, INACTIVE, 0),
    ("a success resets the count (14)", A, 2, Event.SUCCEED, A, 0),
    ("a success ends probing", P, 3, Event.SUCCEED, A, 0),
    ("a late success of an inactive one is ignored (16)", INACTIVE, 0, Event.SUCCEED, INACTIVE, 0),
]


@pytest.mark.parametrize(
    ("state", "failures", "event", "new_state", "new_failures"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_decide(
    state: State, failures: int, event: Event, new_state: State, new_failures: int
) -> None:
    assert decide(state, failures, event, THRESHOLD) == (new_state, new_failures)


def test_every_state_and_event_is_in_the_table() -> None:
    missing = {(s, e) for s in State for e in Event} - {(case[1], case[3]) for case in CASES}
    assert missing == {(P, Event.PROBE)}
    assert decide(P, 3, Event.PROBE, THRESHOLD) == (P, 3)


def test_decision_14_failures_count_only_in_a_row() -> None:
    state, failures = A, 0
    for event in (Event.FAIL, Event.FAIL, Event.SUCCEED) * 5:
        state, failures = decide(state, failures, event, THRESHOLD)
    assert state is A
    for number in range(1, 4):
        state, failures = decide(state, failures, Event.FAIL, THRESHOLD)
        assert (state is P) == (number == 3)


def test_decision_15_active_by_hand_starts_counting_anew() -> None:
    state, failures = decide(P, 3, Event.ACTIVATE, THRESHOLD)
    assert decide(state, failures, Event.FAIL, THRESHOLD) == (A, 1)


def test_a_threshold_of_one_is_at_once() -> None:
    assert decide(A, 0, Event.FAIL, 1) == (P, 1)


@given(st.sampled_from(State), st.integers(0, 2**24 - 1), st.integers(0, 2**32 - 1))
def test_a_word_holds_state_failures_and_changes(state: State, failures: int, changes: int) -> None:
    word = pack(state, failures, changes)
    assert 0 <= word < 2**64
    assert unpack(word) == (state, failures, changes)


def test_the_number_of_changes_wraps() -> None:
    assert unpack(pack(P, 2, 2**32)) == (P, 2, 0)


def test_letters_and_database_numbers() -> None:
    assert [(state.value, state.letter) for state in State] == [(0, "a"), (1, "i"), (2, "p")]
