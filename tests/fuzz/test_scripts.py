"""Any text gives a script or mistakes with a place, in bounded time."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.cfg import ScriptProblem, ScriptProblems, translate

SCRIPTS = sorted((Path(__file__).parents[1] / "data" / "scripts").glob("*.cfg"))
WORDS = [
    *("route", "{", "}", "(", ")", ";", "if", "else", "while", "switch", "case", ":", "$ru", "="),
    *('"x"', "'y'", "1", "-", "==", "=~", "&&", "!", "[", "]", ",", "exit", "return", "$avp(a)"),
    *("$(ru{s.len})", "$(", "${", '"$(x', "modparam", "loadmodule", "failure_route", "#", "/*"),
    *(
        "t_relay",
        "ds_select_dst",
        "\n",
        "\\",
        '"',
        "$var(x)",
        "for",
        "in",
        "drop",
        "0x",
        "\0",
        "é",
        "0777",
        "0x1F",
        "route[a]",
        "+",
        "<<",
        ":=",
        "+=",
    ),
]
MOST_S = 10.0


def judge(folder: Path, text: str) -> None:
    path = folder / "fuzzed.cfg"
    path.write_text(text, encoding="utf-8", errors="replace")
    begun_s = time.monotonic()
    try:
        made = translate(path, {})
        problems: tuple[ScriptProblem, ...] = ()
        compile(made.module, "fuzzed", "exec")
    except ScriptProblems as error:
        problems = error.problems
        assert problems, "a refusal without a reason"
    for problem in problems:
        assert problem.text
        assert "cannot be translated" not in problem.text, problem
        assert 0 <= problem.line <= text.count("\n") + 30
        assert problem.column >= 0
        assert re.match(r".+\.(cfg|inc)(:\d+)*: ", str(problem))
    # A generous bound, for a parser that goes astray: a script of this size takes a tenth.
    assert time.monotonic() - begun_s < MOST_S


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@given(words=st.lists(st.sampled_from(WORDS), max_size=60))
def test_words_in_any_order(folder: Path, words: list[str]) -> None:
    judge(folder, " ".join(words))


@given(words=st.lists(st.sampled_from(WORDS), max_size=40))
def test_words_in_a_route(folder: Path, words: list[str]) -> None:
    judge(folder, f"route {{ {' '.join(words)} }}")


@given(text=st.text(max_size=300))
def test_any_text(folder: Path, text: str) -> None:
    judge(folder, text.replace("\r", "\n"))


@given(seed=st.integers(0, 1 << 30), path=st.sampled_from(SCRIPTS))
def test_scripts_that_were_damaged(folder: Path, seed: int, path: Path) -> None:
    chance = random.Random(seed)
    text = path.read_text()
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text))
        match chance.randrange(4):
            case 0:
                text = text[:at] + text[at + chance.randint(1, 20) :]
            case 1:
                text = text[:at] + chance.choice(WORDS) + text[at:]
            case 2:
                text = text[:at] + text[at : at + 200] * 3 + text[at:]
            case _:
                text = text[:at]
        text = text or "x"
    judge(folder, text)


@pytest.mark.parametrize(
    "text",
    [
        "route { " + "{" * 5000 + "}" * 5000 + " }",
        "route { if (" + "(" * 5000 + "1" + ")" * 5000 + ") exit; }",
        "route { $var(x) = 1" + " + 1" * 5000 + "; }",
        "route { if (1" + " || $rU" * 5000 + ") exit; }",
        'route { $var(x) = "a"' + " + $ru" * 45 + "; }",
        "route { $var(x) = " + "(" * 45 + "$avp(a) & $avp(b)" + ") & $avp(c)" * 45 + "; }",
        "route { $avp(x) = $(avp(" + "9" * 5000 + ")[" + "9" * 5000 + "]); }",
        "route { $var(x) = " + "-" * 3000 + "1; }",
        "route { " + "if (1) " * 3000 + "exit; }",
        'route { xlog("' + "$(" * 2000 + '"); }',
        'route { xlog("' + "$avp(" * 500 + '"); }',
        "route { $var(x) = $(ru" + "{s.len}" * 2000 + "); }",
        "/*" * 10000,
        '"' * 9999,
        "route { }" * 1000,
    ],
    ids=range(15),
)
def test_depths_and_lengths(folder: Path, text: str) -> None:
    judge(folder, text)
