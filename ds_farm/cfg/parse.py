"""Text to syntax tree, by `grammar.lark`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

from ds_farm.cfg.errors import ScriptProblems
from ds_farm.cfg.source import Source

Node = Tree[Token]

MOST_EXPECTED = 8
_WORDS = {
    "PVAR": "a variable", "STRING": "a string", "NUMBER": "a number", "NAME": "a name",
    "VALUE": "a value", "ROUTE_ID": "the name of a route", "IP": "an address",
    "SOCKET": "proto:host:port", "COMPARE": "a comparison", "ASSIGN": "an assignment",
    "BITWISE": "an operator", "TIMES": "an operator", "PLUS": "an operator",
    "MINUS": "an operator", "$END": "the end",
}  # fmt: skip


@cache
def _parser() -> Lark:
    text = Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def parse(source: Source) -> Node:
    """The tree of a script.

    :raises ScriptProblems: with line and column, and what was expected there
    """
    try:
        return _parser().parse(source.text)
    except UnexpectedInput as error:
        line, column, text = _explain(error, source)
        raise ScriptProblems([source.problem(line, column, text)]) from None


def _explain(error: UnexpectedInput, source: Source) -> tuple[int, int, str]:
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        got = f"got {_shown(error.token)!r}"
        return error.line, error.column, f"{got}, expected {_expected(error.accepts or set())}"
    if isinstance(error, UnexpectedCharacters):
        character = source.text[error.pos_in_stream or 0]
        if character in "\"'":
            return error.line, error.column, "a string begins here and does not end"
        text = f"got {character!r}, expected {_expected(set(error.allowed or ()))}"
        return error.line, error.column, text
    expected = error.accepts if isinstance(error, UnexpectedToken) else None
    if isinstance(error, UnexpectedEOF):
        expected = set(map(str, error.expected))
    last = max((n for n, line in enumerate(source.lines, 1) if line.strip()), default=1)
    text = f"the script ends here, expected {_expected(expected or set())}"
    return last, len(source.lines[last - 1]) + 1 if source.lines else 1, text


def _shown(token: Token) -> str:
    """What stands there; the parser may have taken more than a word for one token."""
    found = re.match(r"\w+|\S", str(token))
    return found[0] if token.type == "VALUE" and found else str(token)[:40]


def _expected(names: set[str]) -> str:
    """Terminals in words."""
    words = {_word(name) for name in names if name != "$END"} or {"something else"}
    shown = sorted(words)[:MOST_EXPECTED]
    more = ", ..." if len(words) > MOST_EXPECTED else ""
    return (" or ".join(shown) if len(shown) < 3 else ", ".join(shown)) + more


def _word(name: str) -> str:
    if name in _WORDS:
        return _WORDS[name]
    for terminal in _parser().terminals:
        if terminal.name == name and terminal.pattern.type == "str":
            return f"'{terminal.pattern.value}'"
    return name.lower()
