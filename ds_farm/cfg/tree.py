"""Looking at the syntax tree: positions, names of routes, constants."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lark import Token, Tree

from ds_farm.cfg.parse import Node

_LITERAL = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'')
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "a": "\a", "\n": ""}
# One octal digit is none: \1 is what a substitution has found.
_CODED = re.compile(r"\\x([0-9a-fA-F]{1,2})|\\([0-7]{2,3})")
_ESCAPED = re.compile(rf"(?P<coded>(?:{_CODED.pattern})+)|\\(?P<other>[\s\S])")


def unquoted(token: str) -> str:
    """A string of the script without its quotes and escapes."""
    if token.startswith("'"):
        return token[1:-1]
    return _ESCAPED.sub(
        lambda m: _decoded(m[0]) if m["coded"] else _ESCAPES.get(m["other"], m[0]), token[1:-1]
    )


def _decoded(escapes: str) -> str:
    """Bytes that the script has as ``\\xHH`` or ``\\NNN``, which may be UTF-8."""
    codes = (int(m[1], 16) if m[1] else int(m[2], 8) & 0xFF for m in _CODED.finditer(escapes))
    data = bytes(codes)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def quoted(text: str) -> str:
    """A text in Python, in double quotes where that takes no escapes."""
    shown = repr(text)
    if shown[0] == "'" and '"' not in shown:
        return f'"{shown[1:-1]}"'
    return shown


def without_texts(code: str) -> str:
    """Python code whose literals are empty: what is left are names."""
    return _LITERAL.sub('""', code)


def position_of(at: Node | Token | None) -> tuple[int, int]:
    """Line and column, counted from 1; 0 if there is none."""
    if isinstance(at, Token):
        return at.line or 0, at.column or 0
    if isinstance(at, Tree) and not at.meta.empty:
        return at.meta.line, at.meta.column
    return 0, 0


def as_node(each: Node | Token) -> Node:
    """A part of the tree that is no token."""
    assert isinstance(each, Tree)
    return each


def as_token(each: Node | Token) -> Token:
    """A part of the tree that is one."""
    assert isinstance(each, Token)
    return each


def body_of(route: Node) -> Node:
    """The block of a route."""
    return next(
        each
        for each in map(as_node, (c for c in route.children if isinstance(c, Tree)))
        if each.data == "block"
    )


def statements_of(statement: Node) -> list[Node | Token]:
    """A block's statements, or the one that stands instead."""
    return list(statement.children) if statement.data == "block" else [statement]


def name_of(route: Node) -> str:
    """Of a route; "" if it has none, as the main one, which is route[0] too."""
    if route.data == "timer_route":
        return str(route.children[0])
    for each in route.children:
        if isinstance(each, Tree) and each.data == "route_name":
            token = as_token(each.children[0])
            name = unquoted(str(token)) if token.type == "STRING" else str(token)
            return "" if name == "0" and route.data == "request_route" else name
    return ""


def routes_called(route: Node) -> Iterable[str]:
    """Names of the routes that a route calls."""
    for call in route.find_data("call"):
        if str(call.children[0]) == "route" and len(call.children) > 1:
            name = constant(as_node(call.children[1]))
            if name:
                yield name


def constant(argument: Node) -> str | None:
    """The text of an argument that is a constant."""
    inner = argument.children[0] if argument.children else None
    if not isinstance(inner, Tree):
        return None
    if inner.data == "string":
        return "".join(unquoted(str(each)) for each in inner.children)
    if inner.data in ("name", "number", "bare", "pvar"):
        return str(inner.children[0])
    return None


def last_calls(statements: Iterable[Node | Token]) -> Iterable[int]:
    """Identities of the calls that a route without ``return`` may end with: what the last statement
    gives is what it returns, in an ``if`` that of the block that was run."""
    last = next((each for each in reversed([*statements]) if not _is_nothing(each)), None)
    if not isinstance(last, Tree):
        return
    if last.data == "call_":
        yield id(last)
    elif last.data == "block":
        yield from last_calls(last.children)
    elif last.data == "if_":
        for each in last.children[1:]:
            yield from last_calls([each])


def _is_nothing(statement: Node | Token) -> bool:
    return isinstance(statement, Token) or statement.data == "nothing"


def returned(node: Node) -> int | None:
    """What a ``return`` gives, if that is known: 0 is ``exit``, a text is 1."""
    if not node.children:
        return 1
    value = as_node(node.children[0])
    if value.data == "minus" and as_node(value.children[-1]).data == "number":
        return -as_number(as_node(value.children[-1]).children[0])
    if value.data == "number":
        return as_number(value.children[0])
    return 1 if value.data == "string" else None


def may_end(node: Node) -> bool:
    """Whether a statement may end the script: ``exit``, ``drop``, a ``return`` of 0 or of what only
    the message decides."""
    return node.data in ("exit_", "drop_") or (node.data == "return_" and not returned(node))


def as_number(token: Node | str) -> int:
    """A number of the script: decimal, 0x..., or octal with a 0 before octal digits."""
    text = str(token)
    base = 16 if text[:2].lower() == "0x" else 8 if re.fullmatch(r"0[0-7]+", text) else 10
    return int(text, base)


def shown_route(kind: str, name: str) -> str:
    """As the script has it: failure_route[name]."""
    word = "route" if kind == "request_route" else kind
    return f"{word}[{name}]" if name else word
