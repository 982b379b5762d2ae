"""Calls of a script: of functions, with the checks of `functions.py`, and of routes."""

from __future__ import annotations

import re

from lark import Token

from ds_farm.cfg import functions as table
from ds_farm.cfg import values
from ds_farm.cfg.expressions import WORDS, Expressions, Failure
from ds_farm.cfg.functions import ELSEWHERE, FUNCTIONS, Function
from ds_farm.cfg.parse import Node
from ds_farm.cfg.pvars import NUMBER, Code, Unknown, avp_name, parse
from ds_farm.cfg.tree import as_node, as_token, constant, quoted


class Calls(Expressions):
    """Expressions with calls."""

    def _call(self, node: Node) -> Code:
        token, *arguments = node.children
        name = str(token)
        if name == "route":
            code = self._call_route(as_token(token), [as_node(each) for each in arguments])
        else:
            code = self._call_function(as_token(token), name, [as_node(each) for each in arguments])
        return Code(f"status.keep({code})" if self._keeps else code, NUMBER)

    def _call_route(self, token: Token, arguments: list[Node]) -> str:
        if self._kind in ("local", "event"):
            self._problem(token, f"a {self._kind}_route cannot call other routes")
            raise Failure
        name = constant(arguments[0]) if arguments else None
        function = self._names.get(("request_route", name)) if name else None
        if function is None:
            self._problem(
                token, f"there is no route[{name}]" if name else "expected the name of a route"
            )
            raise Failure
        given = [
            self._value(as_node(each.children[0])).text for each in arguments[1:] if each.children
        ]
        return f"{function}({', '.join(['request', *given])})"

    def _call_function(self, token: Token, name: str, arguments: list[Node]) -> str:
        function = FUNCTIONS.get(name)
        if function is None:
            module = ELSEWHERE.get(name)
            of = f" (module {module})" if module else ""
            self._problem(token, f"there is no function {name}() here{of}")
            raise Failure
        if function.modules and not self._modules & set(function.modules):
            of = " or ".join(function.modules)
            self._problem(token, f"{name}() is of module {of}, which is not loaded")
        if self._kind not in function.routes:
            self._problem(token, f"{name}() cannot be called in {_article(self._kind)}_route")
        while arguments and not arguments[-1].children:
            arguments.pop()
        if not function.least <= len(arguments) <= function.most:
            expected = (
                f"{function.least}"
                if function.least == function.most
                else f"{function.least} to {function.most}"
            )
            self._problem(token, f"{name}() takes {expected} arguments, got {len(arguments)}")
            raise Failure
        made = [self._argument(function, n, each, token) for n, each in enumerate(arguments)]
        if name == "is_myself":
            self._needs_myself = True
        if function.code is not None:
            try:
                code = function.code(made)
            except ValueError as error:
                self._problem(token, f"{name}(): {error}")
                raise Failure from None
            self._variables.note(code)
            return code
        return f"request.{function.method or name}({', '.join(made)})"

    def _argument(self, function: Function, index: int, node: Node, token: Token) -> str:
        kind = function.kinds[index] if index < len(function.kinds) else table.PLAIN
        if not node.children:
            return "''"
        inner = as_node(node.children[0])
        literal = constant(node)
        at = next(iter(inner.scan_values(lambda each: True)), token)
        if kind == table.PLAIN:
            if (
                literal is not None
                and index in function.is_number
                and not re.fullmatch(r"\d+|.*\$.*", literal)
            ):
                self._problem(at, f"expected a number, got {literal!r}")
            if inner.data == "name" and literal is not None and literal not in WORDS:
                return quoted(literal)
            return self._value(inner).text
        if literal is None:
            self._problem(at, "expected a constant")
            raise Failure
        if kind == table.ROUTE:
            return self._route_argument(str(token), literal, at)
        if kind == table.PATTERN:
            self._pattern(literal, at)
            return quoted(literal)
        if kind == table.SUBST:
            try:
                values.substitution(literal)
            except ValueError as error:
                self._problem(at, str(error))
                raise Failure from None
            return quoted(literal)
        return self._variable_argument(kind, literal, at)

    def _variable_argument(self, kind: str, literal: str, at: Token) -> str:
        """The name of a variable as an argument."""
        plain, _, flags = literal.strip().partition("/")
        try:
            code = self._variables.value(plain)
            reference = parse(plain)
        except (Unknown, IndexError):
            self._problem(at, f"expected a variable, got {literal!r}")
            raise Failure from None
        if kind == table.NAME:
            return quoted(literal)
        if kind == table.VALUE:
            return code.text
        if reference.name != "avp" or not reference.inner:
            self._problem(at, f"expected an AVP, got {literal!r}")
            raise Failure
        return quoted(avp_name(reference.inner)) + (f", {quoted(flags)}" if flags else "")

    def _route_argument(self, function: str, literal: str, at: Token) -> str:
        kind = {"t_on_failure": "failure_route", "t_on_reply": "onreply_route"}.get(
            function, "branch_route"
        )
        name = self._names.get((kind, literal))
        if name is None:
            self._problem(at, f"there is no {kind}[{literal}]")
            raise Failure
        return quoted(name.removeprefix(f"{kind}_"))


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
