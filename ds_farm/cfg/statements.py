"""Statements of a script as lines of Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress

from lark import Token

from ds_farm.cfg.calls import Calls
from ds_farm.cfg.expressions import Failure
from ds_farm.cfg.parse import Node
from ds_farm.cfg.pvars import NUMBER, TEXT, Code, Unknown, avp_name, parse
from ds_farm.cfg.tree import as_node, as_token, returned, statements_of

MOST_DEPTH = 60


class Statements(Calls):
    """Appends to the lines of the module."""

    def _line(self, depth: int, text: str) -> None:
        self._lines.append("    " * depth + text)

    def _block(self, statements: Iterable[Node | Token], depth: int) -> None:
        """Statements at this depth; `pass` if there are none."""
        begin = len(self._lines)
        for statement in statements:
            if not isinstance(statement, Token):
                self._statement(statement, depth)
        if len(self._lines) == begin:
            self._line(depth, "pass")

    def _statement(self, node: Node, depth: int) -> None:
        if depth > MOST_DEPTH:
            self._problem(node, f"blocks within blocks, more than {MOST_DEPTH} deep")
            return
        makers: dict[str, Callable[[Node, int], None]] = {
            "if_": self._if,
            "while_": self._while,
            "for_": self._for,
            "switch_": self._switch,
            "return_": self._return,
            "exit_": lambda n, d: self._leave(d),
            "drop_": self._drop,
            "break_": self._break,
            "assign": self._assign,
            "assign_plain": self._assign,
            "call_": self._call_alone,
        }
        try:
            if node.data == "block":
                for each in node.children:
                    if not isinstance(each, Token):
                        self._statement(each, depth)
            elif node.data != "nothing":
                makers[str(node.data)](node, depth)
        except Failure:
            self._line(depth, "pass")
        except Unknown as error:
            self._unknown(node, error)
            self._line(depth, "pass")

    def _call_alone(self, node: Node, depth: int) -> None:
        code = self._call(as_node(node.children[0])).text
        self._line(depth, f"return {code}" if id(node) in self._last else code)

    def _tested(self, node: Node) -> str:
        """A condition; what depends on it is looked at even if it cannot be translated."""
        try:
            return self._condition(node)
        except Failure:
            return "0"

    def _given(self, node: Node, *, may_be_word: bool = False) -> Code:
        """A value; the same is true of it."""
        try:
            return self._word_or_value(node) if may_be_word else self._value(node)
        except Failure:
            return Code("None")

    def _if(self, node: Node, depth: int, word: str = "if") -> None:
        condition, then, *otherwise = map(as_node, node.children)
        self._line(depth, f"{word} {self._tested(condition)}:")
        self._block(statements_of(then), depth + 1)
        if not otherwise or otherwise[0].data == "nothing":
            return
        if otherwise[0].data == "if_":
            self._if(otherwise[0], depth, "elif")
        else:
            self._line(depth, "else:")
            self._block(statements_of(otherwise[0]), depth + 1)

    def _break(self, node: Node, depth: int) -> None:
        if not self._loops:
            self._problem(node, "break outside of while, for and switch")
        self._line(depth, "break")

    def _loop(self, statements: Iterable[Node | Token], depth: int) -> None:
        """Statements that a ``break`` may leave."""
        self._loops += 1
        self._block(statements, depth)
        self._loops -= 1

    def _while(self, node: Node, depth: int) -> None:
        condition, body = map(as_node, node.children)
        self._line(depth, f"for _ in range({self._most_loops}):")
        self._line(depth + 1, f"if not {_operand(self._tested(condition))}:")
        self._line(depth + 2, "break")
        self._loop(statements_of(body), depth + 1)

    def _for(self, node: Node, depth: int) -> None:
        target, of, body = node.children
        name, values_of = "", None
        try:
            reference = parse(str(of))
            values_of = {"avp": "request.avp.all", "hdr": "request.hdr"}.get(reference.name)
            if values_of is None or not reference.inner:
                raise Unknown(f"expected $(avp(...)[*]) or $(hdr(...)[*]), got {of}")
            name = self._variables.text(reference.inner).text
        except Unknown as error:
            self._unknown(as_token(of), error)
        self._line(depth, f"for each in {values_of}({name}):")
        with suppress(Failure):
            self._store(as_token(target), "=", Code("each"), depth + 1)
        self._loop(statements_of(as_node(body)), depth + 1)

    def _switch(self, node: Node, depth: int) -> None:
        """Cases run into the next one unless they break, so they are tried within a loop of one
        turn, which ``break`` leaves."""
        subject = self._given(as_node(node.children[0])).text
        cases = [as_node(each) for each in node.children[1:]]
        self._line(depth, "for _ in range(1):")
        names = f"subject_{depth}", f"hit_{depth}"  # a case may have a switch of its own
        self._line(depth + 1, f"{names[0]}, {names[1]} = {subject}, False")
        self._variables.used.add("same")
        for case in cases:
            if case.data == "default":
                self._loop(case.children, depth + 1)
                continue
            value = self._given(as_node(case.children[0])).text
            self._line(depth + 1, f"if {names[1]} or same({names[0]}, {value}):")
            self._line(depth + 2, f"{names[1]} = True")
            self._loop(case.children[1:], depth + 2)

    def _return(self, node: Node, depth: int) -> None:
        known = returned(node)
        value = self._value(as_node(node.children[0])) if node.children else None
        if known == 0:
            self._leave(depth)
        elif not self._is_called:
            self._line(depth, "return")
        elif known is not None or value is None:
            self._line(depth, f"return {known}")
        else:
            self._variables.used.add("returned")
            self._line(depth, f"return returned({value.text})")

    def _leave(self, depth: int) -> None:
        """``exit``."""
        self._line(depth, "raise Exit" if self._is_called else "return")

    def _drop(self, node: Node, depth: int) -> None:
        if self._kind in ("branch", "onreply", "local") or self._is_called:
            self._line(depth, "request.drop()")  # of a route that one of these may have called
        self._leave(depth)

    def _assign(self, node: Node, depth: int) -> None:
        target, *rest = node.children
        operator = str(rest[0]) if len(rest) == 2 else "="
        if str(target) in ("$fs", "$socket_out") and operator in ("=", ":="):
            self._line(depth, f"request.force_send_socket({self._socket(as_node(rest[-1]))})")
            return
        value = self._given(as_node(rest[-1]), may_be_word=operator in ("=", ":="))
        if as_node(rest[-1]).data == "call":  # a stored -1 is true
            value = Code(f"int({value.text})", value.kind)
        if operator not in ("=", ":="):
            before = self._variable(as_token(target))
            value = self._operation(operator.strip(":")[:-1], before, value)
        self._store(as_token(target), ":=" if operator == ":=" else "=", value, depth)

    def _store(self, target: Token, operator: str, value: Code, depth: int) -> None:
        """Assign to a variable."""
        try:
            reference = parse(str(target))
        except Unknown as error:
            self._unknown(target, error)
            raise Failure from None
        name = reference.name
        line = ""
        if reference.transformations:
            self._problem(target, f"{target} has a transformation and cannot be assigned to")
            raise Failure
        if name in ("avp", "var", "stat") and reference.inner:
            key = self._text(avp_name(reference.inner), target).text
            if name == "var":
                may_be_null = value.kind not in (TEXT, NUMBER)
                is_kept = may_be_null and self._variables.is_1x
                kept = f"kept({value.text})" if is_kept else value.text
                line = f"request.var[{key}] = {kept}"
            elif name == "stat":
                line = f"request.stat[{key}] = number({value.text})"
            else:
                line = self._stored_avp(key, reference.index, operator, value, target)
        elif name in ("ru", "ruri", "du", "duri", "T_fr_timeout", "T_fr_inv_timeout"):
            line = f"put(request, {name.removesuffix('ri')!r}, {value.text})"
        elif name in ("rU", "ruri.user"):
            line = f"request.rewriteuser({value.text})"
        elif name in ("rd", "ruri.domain"):
            line = f"request.rewritehost({value.text})"
        elif name in ("dd", "dp"):
            line = f"put_host(request, {'host' if name == 'dd' else 'port'}={value.text})"
        elif name == "rp":
            line = f"request.rewriteport(text({value.text}))"
        elif name in ("fs", "socket_out"):
            line = f"request.force_send_socket(text({value.text}))"
        elif name in ("rc", "retcode"):
            line = f"status.code = number({value.text})"
        if not line:
            self._problem(target, f"{target} cannot be assigned to")
            raise Failure
        self._variables.note(line)
        self._line(depth, line)

    def _stored_avp(
        self, key: str, index: str | None, operator: str, value: Code, at: Token
    ) -> str:
        """``$(avp(key)[index]) = value``: ``*`` are all values, ``append`` is below them."""
        if index is not None and index not in ("*", "append"):
            which = index if index.lstrip("-").isdigit() else self._index(index, at)
            return f"replace_avp(request.avp, {key}, {which}, {value.text})"
        if index == "append":
            function = "append_avp"
        else:
            function = "set_avp" if operator == ":=" or index else "push_avp"
        return f"{function}(request.avp, {key}, {value.text})"

    def _index(self, index: str, at: Token) -> str:
        try:
            return f"number({self._variables.value(index).text})"
        except Unknown as error:
            self._unknown(at, error)
            raise Failure from None


def _operand(condition: str) -> str:
    return condition if re.fullmatch(r"[\w.]+\([^()]*\)", condition) else f"({condition})"
