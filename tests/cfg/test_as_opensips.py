"""What OpenSIPS's own lexer and grammar make of a script, where that may surprise."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cfg.translated import says


@pytest.mark.parametrize(
    ("condition", "is_true"),
    [
        ("1 || 0 && 0", False),
        ("1 or 0 and 0", False),
        ("1 || (0 && 0)", True),
        ("0 && 0 || 1", True),
        ("0 && (0 || 1)", False),
        ("1 || 1 && 0 || 0", False),
        ("0 && 1 || 1 && 1", True),
        ("!0 || 1 && 0", False),
        ("not (1 || 0 && 0)", True),
        ("$var(x) == 0 || 1 == 1 && 1 == 2", False),
    ],
)
def test_or_and_and_are_one_level(tmp_path: Path, condition: str, is_true: bool) -> None:
    before = f'if ({condition}) $avp(r) = "yes"; else $avp(r) = "no";'
    assert says(tmp_path, "$avp(r)", before=before) == ("yes" if is_true else "no")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4", "20"),
        ("100 - 10 * 2", "180"),
        ("2 + (3 * 4)", "14"),
        ("10 - 2 - 3", "5"),
        ("10 - (2 - 3)", "11"),
        ("7 + 1 / 2", "4"),
        ("7 + 3 % 4", "2"),
        ("1 | 2 ^ 3 & 1", "0"),
        ("1 | (2 ^ 3 & 1)", "1"),
        ("6 & 3 | 8 << 1", "20"),
        ("1 << 2 + 1", "8"),
        ("1 + 2 | 4", "7"),
        ("2 * -3 + 1", "-5"),
        ("$var(n) + 3 * 4", "12"),
        ("$var(n) - 1 * 2", "-2"),
        ("$var(n) | 2 ^ 3 & 1", "1"),
    ],
)
def test_arithmetic_is_one_level_and_bits_one(tmp_path: Path, expression: str, value: str) -> None:
    assert says(tmp_path, expression, before="$var(n) = 0;") == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (r'"\x41\x4a-\x7"', "AJ-\a"),
        (r'"\x4g"', "\x04g"),
        (r'"\xg"', r"\xg"),
        (r'"\101\112\60"', "AJ0"),
        (r'"\0601"', "01"),
        (r'"\1\8"', r"\1\8"),
        (r'"\\x41\\101"', r"\x41\101"),
        (r'"\xc3\xa9\303\251"', "éé"),
        (r"'\x41\101'", r"\x41\101"),
        ('"a\\\nb"', "ab"),
        ("010", "8"),
        ("0777", "511"),
        ("09", "9"),
        ("0", "0"),
        ("00", "0"),
        ("0x1F", "31"),
        ("10", "10"),
    ],
)
def test_strings_and_numbers(tmp_path: Path, expression: str, value: str) -> None:
    assert says(tmp_path, expression) == value


def test_one_digit_is_what_a_substitution_found(tmp_path: Path) -> None:
    before = '$ru = "sip:123@example.com"; subst_user("/(1)(2)/\\2\\x2d\\1/");'
    assert says(tmp_path, "$rU", before=before) == "2-13"
