"""docs/opensips-compat.md is complete, and every test that it names exists.

The list of what must be in it is tests/data/opensips/dispatcher_module.toml.  A row is

    | 1.3.1 | `db_url` | works | `db/test_url.py::test_x` | differences |
"""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
DOCUMENT = ROOT / "docs" / "opensips-compat.md"
LISTED: dict[str, dict[str, str]] = tomllib.loads(
    (TESTS / "data" / "opensips" / "dispatcher_module.toml").read_text(encoding="utf-8")
)
COUNTS = {"parameters": 27, "functions": 8, "flags": 5, "algorithms": 11, "examples": 32}

NEEDS_TESTS = {"works": True, "in part": True, "accepted": True, "not yet": False}
"""Status of a row -> whether it names tests; the document explains each."""


@dataclass(frozen=True)
class Line:
    key: str
    what: str
    status: str
    tests: tuple[str, ...]
    differences: str


def _sections() -> dict[str, list[Line]]:
    """Heading, in lower case -> rows of its table."""
    found: dict[str, list[Line]] = {}
    for section in DOCUMENT.read_text(encoding="utf-8").split("\n## ")[1:]:
        head, _, body = section.partition("\n")
        if head.lower() not in LISTED:
            continue
        rows = re.findall(r"^\| (.*) \|$", body.replace("\\|", "/"), re.MULTILINE)
        lines = []
        for row in rows[2:]:
            cells = [cell.strip() for cell in f" {row} ".split(" | ")]
            assert len(cells) == 5, row
            key, what, status, tests, differences = cells
            names = tuple(re.findall(r"`([\w/]+\.py::\w+)`", tests))
            lines.append(Line(key, what.strip("`"), status, names, differences))
        found[head.lower()] = lines
    return found


SECTIONS = _sections()
NAMED_TESTS = set(re.findall(r"`([\w/]+\.py::\w+)`", DOCUMENT.read_text(encoding="utf-8")))
LINES = [line for name in LISTED for line in SECTIONS.get(name, [])]


@cache
def _functions(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_list_is_the_documentations() -> None:
    for name, count in COUNTS.items():
        assert len(LISTED[name]) == count, name


@pytest.mark.parametrize("name", LISTED)
def test_every_entry_has_one_row(name: str) -> None:
    keys = [line.key for line in SECTIONS[name]]
    assert keys == list(LISTED[name])


@pytest.mark.parametrize("name", ["parameters", "functions", "management", "examples"])
def test_rows_have_the_documentations_words(name: str) -> None:
    assert {line.key: line.what for line in SECTIONS[name]} == LISTED[name]


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.key} {line.what}")
def test_the_row_has_a_status_and_its_tests(line: Line) -> None:
    assert line.status in NEEDS_TESTS
    assert bool(line.tests) == NEEDS_TESTS[line.status]
    if line.status in ("in part", "accepted", "not yet"):
        assert len(line.differences) > 10, "say what is missing"


@pytest.mark.parametrize("test", sorted(NAMED_TESTS))
def test_every_named_test_exists(test: str) -> None:
    file, _, function = test.partition("::")
    assert (TESTS / file).is_file(), test
    assert function in _functions(file), test
    assert function.startswith("test_")


def test_differences_name_decisions_that_exist() -> None:
    text = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^\| (\d+) \|", text, re.MULTILINE))
    assert known == {str(number) for number in range(1, 29)}
    for line in LINES:
        for group in re.findall(r"[Dd]ecisions? ([\d, and]*\d)", line.differences):
            assert set(re.findall(r"\d+", group)) <= known, line
