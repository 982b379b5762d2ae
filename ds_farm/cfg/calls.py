"""Calls of a script: of functions, with the checks of `functions.py`, and of routes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lark import Token

from ds_farm.cfg import forms, values
from ds_farm.cfg import functions as table
from ds_farm.cfg.expressions import WORDS, Expressions, Failure
from ds_farm.cfg.functions import FUNCTIONS, Function
from ds_farm.cfg.modules import ELSEWHERE
from ds_farm.cfg.parse import Node
from ds_farm.cfg.pvars import NAMED, NUMBER, REFERENCE, Code, Unknown, avp_name, parse
from ds_farm.cfg.texts import posix
from ds_farm.cfg.tree import as_node, as_token, constant, quoted

TARGETS = {
    "$ru": 'put(request, "ru", ', "$du": 'put(request, "du", ',
    "$rU": "request.rewriteuser(", "$rd": "request.rewritehost(",
    "$dd": "put_host(request, host=", "$dp": "put_host(request, port=",
    "$fs": "request.force_send_socket(",
}  # fmt: skip
"""Variables besides AVPs and ``$var`` that a result may go to, and what the call begins with."""


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
        if self._kind in table.BACKGROUND:
            self._problem(token, f"{_article(self._kind)}_route cannot call other routes")
            raise Failure
        name = constant(arguments[0]) if arguments else None
        if arguments and arguments[0].children and (name is None or "$" in name):
            self._problem(token, "names of routes must be constants")
            raise Failure
        function = self._names.get(("request_route", name)) if name else None
        if function is None:
            self._problem(
                token, f"there is no route[{name}]" if name else "expected the name of a route"
            )
            raise Failure
        given = self._each(
            self._value, [as_node(each.children[0]) for each in arguments[1:] if each.children]
        )
        return f"{function}({', '.join(['request', *(each.text for each in given)])})"

    def _call_function(self, token: Token, name: str, arguments: list[Node]) -> str:
        function = FUNCTIONS.get(name)
        if function is None:
            module = ELSEWHERE.get(name)
            of = "" if not module else " (core)" if module == "core" else f" (module {module})"
            self._problem(token, f"there is no function {name}() here{of}")
            raise Failure
        if function.modules and not self._modules & set(function.modules):
            of = " or ".join(function.modules)
            self._problem(token, f"{name}() is of module {of}, which is not loaded")
        # A route may be called from any kind of route, and then has its functions.
        if not self._is_called and self._kind not in function.routes:
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
        made = self._each(lambda each: self._argument(function, *each, token), enumerate(arguments))
        if name in table.WITHOUT_EFFECT:
            self._note(token, f"{name}() means nothing here: {table.WITHOUT_EFFECT[name]}")
        if name == "is_myself":
            self._needs_myself = True
        if name == "loose_route" and self.follows_received:
            code = "received_route(request)"
            self._variables.note(code)
        elif function.code is not None:
            try:
                code = function.code(made)
            except ValueError as error:
                self._problem(token, f"{name}(): {error}")
                raise Failure from None
            self._variables.note(code)
        else:
            code = f"request.{function.method or name}({', '.join(made)})"
        if function.modules == ("dispatcher",):
            self._check_partition(name, code, token)
        return code

    def _check_partition(self, name: str, code: str, at: Token) -> None:
        partition = forms.partition_of(name, code)
        if partition and "$" not in partition and partition not in self.partitions:
            known = ", ".join(sorted(self.partitions))
            self._problem(at, f"{name}(): there is no partition {partition!r}, only {known}")

    def _argument(self, function: Function, index: int, node: Node, token: Token) -> str:
        kind = function.kinds[index] if index < len(function.kinds) else table.PLAIN
        if not node.children:
            return "''"
        inner = as_node(node.children[0])
        if kind == table.SOCKET:
            return self._socket(inner)
        if kind == table.TARGET:
            return self._target(constant(node) or "", token)
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
            self._check_pattern(literal, at)
            return quoted(posix(literal))
        if kind == table.WORD:
            return quoted(literal)
        if kind == table.SUBST:
            return self._substitution(literal, at)
        if kind in (table.CHECK, table.CHANGE):
            known = values.CHECKS if kind == table.CHECK else values.ARITHMETIC.keys()
            return self._operator_argument(literal, known, at)
        return self._variable_argument(kind, literal, at, str(token))

    def _target(self, literal: str, at: Token) -> str:
        """The beginning of a call that assigns to a variable."""
        plain = literal if literal.startswith("$") else f"$avp({literal})"
        try:
            reference = parse(plain)
            key = self._variables.text(avp_name(reference.inner or "")).text
        except Unknown as error:
            self._unknown(at, error)
            raise Failure from None
        if reference.name in ("avp", "var") and reference.inner and not reference.transformations:
            return f"set_{reference.name}(request.{reference.name}, {key}, "
        if plain in TARGETS:
            return TARGETS[plain]
        known = ", ".join(TARGETS)
        self._problem(at, f"expected $avp(...), $var(...) or one of {known}, got {literal!r}")
        raise Failure

    def _substitution(self, literal: str, at: Token) -> str:
        """``/pattern/replacement/flags`` as three arguments."""
        try:
            pattern, replacement, flags = values.parts_of_subst(literal)
        except ValueError as error:
            self._problem(at, str(error))
            raise Failure from None
        parts = [
            str(part) if isinstance(part, int) else self._text(part, at).text
            for part in values.replacement_parts(replacement, REFERENCE)
        ] or ['""']
        is_text = len(parts) == 1 and not parts[0].isdecimal()
        code = parts[0] if is_text else f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
        return f"{quoted(pattern)}, {code}, {quoted(flags)}"

    def _operator_argument(self, literal: str, known: Iterable[str], at: Token) -> str:
        """``operator/value[/flags]``: a text with operator and flags, and the value."""
        name, _, rest = literal.strip().partition("/")
        given, _, flags = rest.partition("/")
        if name not in known:
            expected = ", ".join(sorted(known))
            self._problem(
                at, f"expected operator/value, an operator of {expected}, got {literal!r}"
            )
            raise Failure
        how = quoted(f"{name}/{flags}" if flags else name)
        if given.startswith("$"):
            return f"{how}, {self._variables.value(given).text}"
        plain = given[2:] if given[:2] in ("i:", "s:") else given
        is_number = given[:2] != "s:" and re.fullmatch(r"-?\d{1,18}", plain)
        return f"{how}, {int(plain) if is_number else quoted(plain)}"

    def _variable_argument(self, kind: str, literal: str, at: Token, function: str) -> str:
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
            return f"{code.text}, {quoted(flags)}" if flags else code.text
        if kind == table.LISTED:
            is_every = "g" in flags.lower() or function in ("set_count", "avp_check")
            several = NAMED.get(reference.name, (None, None))[1] if is_every else None
            if several and reference.inner:
                return several(self._variables.text(avp_name(reference.inner)).text)
            return f"[{code.text}]"
        if reference.name != "avp" or not reference.inner:
            self._problem(at, f"expected an AVP, got {literal!r}")
            raise Failure
        if kind == table.PAIR:
            target, _, flags = flags.partition("/")
            other = parse(target) if target.startswith("$avp(") else None
            if target and (other is None or not other.inner):
                self._problem(at, f"expected $avp(from)/$avp(to)/flags, got {literal!r}")
                raise Failure
            to = other.inner if other and other.inner else reference.inner
            names = quoted(avp_name(reference.inner)), quoted(avp_name(to))
            return f"{names[0]}, {names[1]}, {quoted(flags)}"
        return quoted(avp_name(reference.inner)) + (f", {quoted(flags)}" if flags else "")

    def _route_argument(self, function: str, literal: str, at: Token) -> str:
        kind = {"t_on_failure": "failure_route", "t_on_reply": "onreply_route"}.get(
            function, "branch_route"
        )
        if "$" in literal:
            self._problem(at, "names of routes must be constants")
            raise Failure
        name = self._names.get((kind, literal))
        if name is None:
            self._problem(at, f"there is no {kind}[{literal}]")
            raise Failure
        return quoted(name.removeprefix(f"{kind}_"))


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
