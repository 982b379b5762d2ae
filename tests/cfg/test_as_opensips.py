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
