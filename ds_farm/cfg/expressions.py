"""Expressions of a script as Python expressions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from lark import Token

from ds_farm.cfg import values
from ds_farm.cfg.errors import ScriptProblem
from ds_farm.cfg.parse import Node
from ds_farm.cfg.pvars import NUMBER, TEXT, Code, Unknown, Variables
from ds_farm.cfg.sockets import Sockets
from ds_farm.cfg.source import Source
from ds_farm.cfg.tree import as_node, as_number, as_token, position_of, quoted, unquoted
from ds_farm.dispatch.model import DEFAULT_PARTITION

T = TypeVar("T")
U = TypeVar("U")

MOST_NESTED = 50
MOST_LOOPS = 100
"""OpenSIPS's max_while_loops."""

WORDS: dict[str, Code] = {
    "method": Code("request.method", TEXT),
    "uri": Code("request.ru", TEXT),
    "from_uri": Code("request.fu", TEXT),
    "to_uri": Code("request.tu", TEXT),
    "src_ip": Code("request.si", TEXT),
    "src_port": Code("request.sp", NUMBER),
    "dst_ip": Code("request.Ri", TEXT),
    "dst_port": Code("request.Rp", NUMBER),
    "status": Code("request.rs", NUMBER),
    "af": Code('("INET6" if ":" in request.si else "INET")', TEXT),
    "proto": Code('"udp"', TEXT),
    "msg:len": Code("len(request.mb)", NUMBER),
    "max_len": Code("65535", NUMBER),
    "retcode": Code("status.code", NUMBER),
    "null": Code("None"),
    "NULL": Code("None"),
    **{name: Code("1", NUMBER) for name in ("true", "yes", "on", "enable", "TRUE")},
    **{name: Code("0", NUMBER) for name in ("false", "no", "off", "disable", "FALSE")},
    **{
        name: Code(quoted(name), TEXT)
        for name in (
            *("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "INFO", "MESSAGE", "REFER"),
            *("SUBSCRIBE", "NOTIFY", "PUBLISH", "UPDATE", "PRACK", "UDP", "TCP", "TLS"),
        )
    },
    **{name: Code(quoted(name), TEXT) for name in values.LEVELS if name.startswith("L_")},
}
"""Words that an expression may have besides variables: those of 1.x, and constants."""


NEVER_EMPTY = frozenset({"request.method", "request.ru", "request.fu", "request.tu", "request.si"})
"""Texts that a regular expression is always tried on."""


class Failure(Exception):
    """A part of the script that cannot be translated; its problem has been noted."""


class TooDeep(Failure):
    """What is around it is not looked at further."""


class Expressions:
    """What all parts of the translation share, and expressions."""

    def __init__(
        self,
        source: Source,
        most_loops: int = MOST_LOOPS,
        sockets: Sockets | None = None,
        partitions: Iterable[str] = (),
    ) -> None:
        self.source = source
        self.sockets = sockets or Sockets()
        self.partitions = {DEFAULT_PARTITION, *partitions}
        self.problems: list[ScriptProblem] = []
        self.notes: list[ScriptProblem] = []
        self.subscribers: list[str] = []
        """Of events, from a startup_route."""

        self._most_loops = most_loops if most_loops > 0 else values.MOST_LOOPS
        self._modules: set[str] = set()
        self._names: dict[tuple[str, str], str] = {}
        self._variables = Variables()
        self._patterns: dict[str, str] = {}
        self._lines: list[str] = []
        self._kind = "request"
        self._intervals: dict[str, int] = {}
        """Of timer routes, by the names of their functions."""

        self._loops = 0
        self._nesting = 0
        self._is_called = False
        self._exits = False
        self._keeps = False
        self.follows_received = False
        self._last: set[int] = set()
        """Calls whose result is that of the route which ends with them."""

        self._needs_myself = False

    # -- problems

    def _problem(self, at: Node | Token | None, text: str) -> None:
        line, column = position_of(at)
        self.problems.append(self.source.problem(line, column, text))

    def _unknown(self, at: Node | Token, error: Unknown) -> None:
        for text in error.texts:
            self._problem(at, text)

    def _each(self, make: Callable[[T], U], parts: Iterable[T]) -> list[U]:
        """Of all parts, also of those after one that cannot be translated.

        :raises Failure: one could not
        """
        made, has_failed = [], False
        for part in parts:
            try:
                made.append(make(part))
            except TooDeep:
                raise
            except Failure:
                has_failed = True
        if has_failed:
            raise Failure
        return made

    def _note(self, at: Node | Token | None, text: str) -> None:
        self.notes.append(self.source.problem(*position_of(at), text))

    # -- expressions

    def _condition(self, node: Node) -> str:
        """An expression whose truth counts."""
        if node.data in ("or_", "and_"):
            word = str(node.data)[:-1]
            with self._deeper(node):
                return f" {word} ".join(self._each(lambda n: self._part(n, word), _chain(node)))
        if node.data == "not_":
            inner = as_node(node.children[0])
            with self._deeper(node):
                text = self._condition(inner)
            is_plain = (
                inner.data in ("call", "pvar", "name", "number") and " " not in text.split("(")[0]
            )
            return f"not {text}" if is_plain and " > 0" not in text else f"not ({text})"
        if node.data == "call" and str(node.children[0]) == "route":
            return f"{self._call(node).text} > 0"
        return self._value(node).text

    def _part(self, node: Node, word: str) -> str:
        text = self._condition(node)
        return f"({text})" if node.data in ("or_", "and_") and str(node.data)[:-1] != word else text

    def _value(self, node: Node) -> Code:
        with self._deeper(node):
            return self._value_of(node, str(node.data))

    @contextmanager
    def _deeper(self, node: Node) -> Iterator[None]:
        """One level more; Python, too, has a limit for parentheses."""
        self._nesting += 1
        try:
            if self._nesting > MOST_NESTED:
                text = f"expressions within expressions, more than {MOST_NESTED} deep"
                self._problem(node, text)
                raise TooDeep
            yield
        finally:
            self._nesting -= 1

    def _value_of(self, node: Node, kind: str) -> Code:
        if kind in ("or_", "and_", "not_"):
            return Code(f"int(bool({self._condition(node)}))", NUMBER)
        if kind == "number":
            return Code(str(as_number(node.children[0])), NUMBER)
        if kind == "string":
            literal = "".join(unquoted(str(each)) for each in node.children)
            return self._text(literal, as_token(node.children[0]))
        if kind == "pvar":
            return self._variable(as_token(node.children[0]))
        if kind == "bare":
            return Code(quoted(str(node.children[0])), TEXT)
        if kind == "name":
            word = str(node.children[0])
            if word in WORDS:
                return WORDS[word]
            self._problem(as_token(node.children[0]), f"got {word}, expected a variable or a value")
            raise Failure
        if kind == "call":
            return self._call(node)
        if kind == "compare":
            return self._comparison(node)
        if kind == "binary":
            left, operator, right = node.children
            operands = self._each(self._value, map(as_node, (left, right)))
            return self._operation(str(operator), *operands)
        operand = self._value(as_node(node.children[-1]))
        if kind == "tested":
            return operand
        if operand.kind != NUMBER:
            self._variables.used.add("number")
            operand = Code(f"number({operand.text})", NUMBER)
        if kind == "plus":
            return operand
        sign = "-" if kind == "minus" else "~"
        return Code(f"{sign}{operand.operand}", NUMBER, is_atom=False)

    def _word_or_value(self, node: Node) -> Code:
        """On the right a word that has no meaning of its own is a text."""
        word = _word(node)
        return Code(quoted(word), TEXT) if word and word not in WORDS else self._value(node)

    def _text(self, literal: str, at: Token) -> Code:
        try:
            return self._variables.text(literal)
        except Unknown as error:
            self._unknown(at, error)
            raise Failure from None

    def _variable(self, token: Token) -> Code:
        try:
            return self._variables.value(str(token))
        except Unknown as error:
            self._unknown(token, error)
            raise Failure from None

    def _socket(self, node: Node) -> str:
        """A socket of ours, by its tag or its address."""
        literal = "".join(
            unquoted(str(each)) if node.data == "string" else str(each) for each in node.children
        )
        is_name = node.data in ("name", "bare") and literal.upper() != "NULL"
        if "$" in literal or not (is_name or node.data == "string"):
            shown = f"text({self._value(node).text})"
            if self.sockets.tags:
                shown = f"TAGS.get({shown}, {shown})"
            self._variables.note(shown)
            return shown
        found = self.sockets.find(literal)
        if not found:
            say = self._note if self.sockets.are_given else self._problem
            say(as_token(node.children[0]), f"{literal} is none of the sockets listened on")
        return quoted(found or literal)

    def _operation(self, operator: str, left: Code, right: Code) -> Code:
        function = {"+": "add", "/": "divide", "%": "modulo", "<<": "shift"}.get(operator)
        if left.kind == right.kind == NUMBER and operator not in ("/", "%", "<<"):
            return Code(f"{left.operand} {operator} {right.operand}", NUMBER, is_atom=False)
        if operator == "+" and left.kind == right.kind == TEXT:
            return Code(f"{left.operand} + {right.operand}", TEXT, is_atom=False)
        if function:
            self._variables.used.add(function)
            return Code(f"{function}({left.text}, {right.text})")
        self._variables.used.add("number")
        numbers = [
            each.operand if each.kind == NUMBER else f"number({each.text})"
            for each in (left, right)
        ]
        return Code(f" {operator} ".join(numbers), NUMBER, is_atom=False)

    def _comparison(self, node: Node) -> Code:
        left_node, token, right_node = node.children
        operator = str(token)
        words = [_word(as_node(each)) for each in (left_node, right_node)]
        if "myself" in words:
            other = self._value(as_node(left_node if words[1] == "myself" else right_node))
            self._needs_myself = True
            text = f"myself.has({other.text})"
            return Code(text if operator == "==" else f"not {text}", NUMBER, operator == "==")
        if operator in ("=~", "!~"):
            text = self._match(as_node(left_node), operator, as_node(right_node))
            return Code(text, NUMBER, is_atom=False)
        sides = [(self._value, as_node(left_node)), (self._word_or_value, as_node(right_node))]
        left, right = self._each(lambda side: side[0](side[1]), sides)
        if as_node(right_node).data == "bare" and operator in ("==", "!="):
            address = str(as_node(right_node).children[0]).replace("[", "").replace("]", "")
            self._variables.used.add("in_network")
            text = f"in_network({left.text}, {address!r})"
            return Code(text if operator == "==" else f"not {text}", NUMBER, operator == "==")
        if operator in ("==", "!="):
            return self._equality(left, right, operator)
        if left.kind == right.kind == NUMBER:
            return Code(f"{left.operand} {operator} {right.operand}", NUMBER, is_atom=False)
        self._variables.used.add("compare")
        return Code(f"compare({left.text}, {quoted(operator)}, {right.text})", NUMBER)

    def _equality(self, left: Code, right: Code, operator: str) -> Code:
        if right.text == "None" or left.text == "None":
            other = left if right.text == "None" else right
            word = "is" if operator == "==" else "is not"
            return Code(f"{other.operand} {word} None", NUMBER, is_atom=False)
        if left.kind == right.kind == NUMBER:
            return Code(f"{left.operand} {operator} {right.operand}", NUMBER, is_atom=False)
        self._variables.used.add("same")
        text = f"same({left.text}, {right.text})"
        return Code(text if operator == "==" else f"not {text}", NUMBER, operator == "==")

    def _match(self, subject: Node, operator: str, node: Node) -> str:
        literal = (
            "".join(unquoted(str(each)) for each in node.children)
            if node.data == "string"
            else "$x"
        )
        is_constant = not re.search(r"\$[\w(]", literal)

        def part(each: Node) -> str:
            if each is node and is_constant:
                return self._pattern(literal, as_token(node.children[0]))
            return self._value(each).text

        left, pattern = self._each(part, (subject, node))
        if is_constant and left in NEVER_EMPTY:
            return f"{'' if operator == '=~' else 'not '}{pattern}.search({left})"
        function = "matches" if operator == "=~" else "unlike"
        self._variables.used.add(function)
        return f"{function}({left}, {pattern})"

    def set_age(self, is_1x: bool) -> None:
        """Whether NULL is as in OpenSIPS 1.x."""
        self._variables.is_1x = is_1x

    def _check_pattern(self, literal: str, at: Token) -> None:
        try:
            values.regex(literal)
        except re.error as error:
            self._problem(at, f"{literal!r} is no regular expression: {error}")
            raise Failure from None

    def _pattern(self, literal: str, at: Token) -> str:
        """The name of a compiled regular expression."""
        self._check_pattern(literal, at)
        self._variables.used.add("regex")
        return self._patterns.setdefault(literal, f"_PATTERN_{len(self._patterns) + 1}")

    def _call(self, call: Node) -> Code:
        raise NotImplementedError


def _chain(node: Node) -> list[Node]:
    """The operands of ``a || b || c``."""
    kind, found = node.data, []
    while node.data == kind:
        found.append(as_node(node.children[1]))
        node = as_node(node.children[0])
    return [node, *reversed(found)]


def _word(node: Node) -> str:
    return str(node.children[0]) if node.data == "name" else ""
