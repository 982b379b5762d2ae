"""Arguments of the dispatcher's functions in every documented spelling (documentation 1.4.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.dispatch.arguments import (
    MAX_LIST,
    NO_LIMIT,
    Choice,
    Flags,
    UnequalLists,
    parse_choices,
    parse_flags,
    parse_sets,
)
from ds_farm.errors import ConfigError

NONE = Flags()


@pytest.mark.parametrize(
    ("text", "partition", "ids"),
    [
        ("1", "default", [1]),
        (1, "default", [1]),
        (" 7 ", "default", [7]),
        ("0", "default", [0]),
        ("default : 4", "default", [4]),  # 1.1: equivalent to "4"
        ("part2 : 1", "part2", [1]),
        ("part4 : 2,3", "part4", [2, 3]),
        ("p4:1, 2", "p4", [1, 2]),
        (": 5", "default", [5]),  # an empty variable as the partition
        ("2147483647", "default", [2147483647]),
    ],
)
def test_sets(text: str | int, partition: str, ids: list[int]) -> None:
    assert parse_sets(text) == (partition, ids)


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("f", Flags(failover=True)),
        ("F", Flags(failover=True)),
        ("u", Flags(user_only=True)),
        ("U", Flags(user_only=True)),
        ("s", Flags(keep=True)),
        ("S", Flags(keep=True)),
        ("d", Flags(use_default=True)),
        ("D", Flags(use_default=True)),
        ("5", Flags(max_results=5)),  # only max_results
        ("0", Flags(max_results=0)),
        (" 17 ", Flags(max_results=17)),
        ("fUsD", Flags(True, True, True, True)),
        ("fuD M 5", Flags(True, True, False, True, 5)),
        (" fuS M 2", Flags(True, True, True, False, 2)),
        ("f M 1000", Flags(failover=True, max_results=1000)),
        ("fM3", Flags(failover=True, max_results=3)),
        ("M 4", Flags(max_results=4)),
        ("F U", Flags(failover=True, user_only=True)),
        ("", NONE),
        ("f\tm 99999999999999999999", Flags(failover=True)),  # more than any set has
    ],
)
def test_flags(text: str, flags: Flags) -> None:
    assert parse_flags(text) == flags


def test_decision_1_flags_alone_have_no_limit() -> None:
    assert parse_flags("f").max_results == NO_LIMIT
    assert NONE.max_results == NO_LIMIT


DOCUMENTED = [
    # Example 1.29, its calls in their order.
    (("1", "0"), [Choice("default", 1, 0, NONE)]),
    (("part2 : 1", "0", "5"), [Choice("part2", 1, 0, Flags(max_results=5))]),
    (("part3 : 1", "0", "fUsD"), [Choice("part3", 1, 0, Flags(True, True, True, True))]),
    (
        ("part4 : 2,3", "0,1", "fuD M 5, fuS M 2"),
        [
            Choice("part4", 2, 0, Flags(True, True, False, True, 5)),
            Choice("part4", 3, 1, Flags(True, True, True, False, 2)),
        ],
    ),
    (
        ("p4:1, 2", "4, 2", " sFDU M 2, fuS M 3"),
        [
            Choice("p4", 1, 4, Flags(True, True, True, True, 2)),
            Choice("p4", 2, 2, Flags(True, True, True, False, 3)),
        ],
    ),
]


@pytest.mark.parametrize(("call", "choices"), DOCUMENTED)
def test_example_1_29_is_parsed(
    call: tuple[str, str] | tuple[str, str, str], choices: list[Choice]
) -> None:
    assert parse_choices(*call) == tuple(choices)


def test_numbers_are_arguments_too() -> None:
    assert parse_choices(2, 4, 3) == parse_choices("2", "4", "3")


@pytest.mark.parametrize("nothing", [None, "", "   "])
def test_decision_12_an_empty_third_argument_is_none(nothing: str | None) -> None:
    assert parse_choices("1,2", "4,4", nothing) == parse_choices("1,2", "4,4")


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (("1,2", "4"), ["2 sets in '1,2'", "1 algorithms in '4'"]),
        (("1", "4,4"), ["1 sets in '1'", "2 algorithms in '4,4'"]),
        (("1,2", "4,4", "f"), ["2 sets in '1,2'", "1 flags in 'f'"]),
        (("1", "4", "f,f"), ["1 sets in '1'", "2 flags in 'f,f'"]),
    ],
)
def test_decision_9_unequal_lengths_are_both_named(
    call: tuple[str, ...], expected: list[str]
) -> None:
    with pytest.raises(UnequalLists) as caught:
        parse_choices(*call)
    assert all(text in str(caught.value) for text in expected)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (("", "4"), "set id '' is not a number"),
        (("one", "4"), "set id 'one' is not a number"),
        (("part2", "4"), "set id 'part2' is not a number"),
        (("part2:", "4"), "set id '' is not a number"),
        (("1,,2", "4,4,4"), "set id '' is not a number"),
        (("1_0", "4"), "set id '1_0' is not a number"),
        (("²", "4"), "set id '²' is not a number"),
        (("-3", "4"), "'-3': a set id is not negative"),
        (("2147483648", "4"), "set id '2147483648' is larger than 2147483647"),
        (("9" * 5000, "4"), "is larger than 2147483647"),
        (("1", ""), "algorithm '' is not a number"),
        (("1", "roundrobin"), "algorithm 'roundrobin' is not a number"),
        (("1", "4.0"), "algorithm '4.0' is not a number"),
        (("1", "99999999999"), "algorithm '99999999999' is larger than 2147483647"),
        (("1", "4", "x"), "flags 'x': unknown flag 'x', expected f, u, s, d and M number"),
        (("1", "4", "ff"), "flags 'ff': a flag stands twice"),
        (("1", "4", "fF"), "flags 'fF': a flag stands twice"),
        (("1", "4", "f M"), "flags 'f M': a number is expected after M"),
        (("1", "4", "f M x"), "flags 'f M x': a number is expected after M"),
        (("1", "4", "f M -1"), "flags 'f M -1': a number is expected after M"),
        (("1", "4", "f M ²"), "flags 'f M ²': a number is expected after M"),
        (("1", "4", "f 5"), "unknown flag '5'"),
        (("1", "4", "-1"), "unknown flag '-'"),
    ],
)
def test_every_mistake_is_named(call: tuple[str, ...], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_choices(*call)
    assert expected in str(caught.value)


def test_as_many_sets_as_anybody_has() -> None:
    ids = ",".join(map(str, range(MAX_LIST)))
    assert parse_sets(ids)[1] == list(range(MAX_LIST))
    with pytest.raises(ConfigError, match=f"{MAX_LIST + 1} sets in one call"):
        parse_sets(ids + ",1")


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_any_text_is_a_call_or_an_error_of_ours(sets: str, algorithms: str, flags: str) -> None:
    try:
        choices = parse_choices(sets, algorithms, flags)
    except ConfigError:
        return
    assert all(0 <= one.set_id < 2**31 and abs(one.algorithm) < 2**31 for one in choices)
    assert all(0 <= one.flags.max_results <= NO_LIMIT for one in choices)


@given(
    st.lists(st.sampled_from("fFuUsSdD"), max_size=4, unique_by=str.lower),
    st.none() | st.integers(0, 2**40),
)
def test_any_order_and_case_of_flags(letters: list[str], limit: int | None) -> None:
    text = " ".join(letters) + ("" if limit is None else f" M {limit}")
    lower = [letter.lower() for letter in letters]
    expected = Flags(
        "f" in lower,
        "u" in lower,
        "s" in lower,
        "d" in lower,
        NO_LIMIT if limit is None else min(limit, NO_LIMIT),
    )
    assert parse_flags(text) == expected
