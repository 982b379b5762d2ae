"""What calls become whose arguments stand in another order or form than a request's methods have.

Each function makes the expression of its arguments' code; ValueError says what is wrong with
constants among them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from ds_farm.cfg.tree import quoted
from ds_farm.dispatch.arguments import parse_choices
from ds_farm.errors import ConfigError

MARKS = ("a", "1", "i", "0", "p", "2")
"""States as ds_mark_dst has them."""


def forward(arguments: list[str]) -> str:
    """``forward(udp:host:port)`` of 1.x, or a URI; by its address."""
    for constant in filter(None, map(_constant, arguments)):
        _check_proxy(constant)
    return f"request.forward({', '.join(arguments)})"


def _check_proxy(constant: str) -> None:
    place = constant.strip().removeprefix("sip:").removeprefix("udp:")
    if "$" not in place and not re.fullmatch(r"([\d.]+|\[[\da-fA-F:.]+\])(:\d{1,5})?", place):
        raise ValueError(f"expected an address such as udp:192.0.2.1:5060, got {constant!r}")


def avp_copy(arguments: list[str]) -> str:
    """``($avp(from)[/flags], $avp(to)[/flags])``."""
    pairs = [each.partition(", ") for each in arguments]
    flags = "".join(_constant(each[2]) or "" for each in pairs)
    last = f", {quoted(flags)}" if flags else ""
    return f"copy_avp(request.avp, {pairs[0][0]}, {pairs[1][0]}{last})"


def append_branch(arguments: list[str]) -> str:
    return f"request.append_branch({arguments[0] if arguments else ''})"


def is_maxfwd_lt(arguments: list[str]) -> str:
    have = "first(request.hdr('Max-Forwards'))"
    return f"truth(compare({have}, '<', number({arguments[0]})))"


def uri_param(arguments: list[str]) -> str:
    if len(arguments) == 1:
        return f"truth(has_param(uri_part(request.ru, 'params'), {arguments[0]}))"
    return f"truth(same(uri_param(request.ru, {arguments[0]}), {arguments[1]}))"


def new_uri(maker: str) -> str:
    return f"put(request, 'ru', {maker})"


def uri_header(arguments: list[str]) -> str:
    """``append_urihf``."""
    return f"request.append_hf({_joined(arguments[0], 'request.ou', arguments[1])})"


def own_flag(method: str, prefix: str) -> Callable[[list[str]], str]:
    """``(flag)``, and of branches ``(0, flag)``, since 3.0 ``(flag, 0)``: of the first one, so of
    the message as it is sent first.  The prefix tells them from flags of messages."""

    def code(arguments: list[str]) -> str:
        known = [_constant(each) for each in arguments]
        if len(known) > 1 and (not (known[0] or "").isdigit() or known[0] != "0" == known[1]):
            arguments, known = arguments[::-1], known[::-1]
        if len(known) > 1 and known[0] != "0":
            raise ValueError("flags of other branches than 0 are not there")
        return f"request.{method}({_joined(quoted(prefix), arguments[-1])})"

    return code


def relay(arguments: list[str]) -> str:
    """``([proxy,] [flags])``; a proxy is reached over UDP, by its address."""
    for constant in filter(None, map(_constant, arguments)):
        if "." in constant or ":" in constant:
            _check_proxy(constant)
    return f"request.t_relay({', '.join(arguments)})"


def local_replied(arguments: list[str]) -> str:
    if (_constant(arguments[0]) or "").lower() not in ("all", "last", "branch"):
        raise ValueError(f"expected all, last or branch, got {_constant(arguments[0])!r}")
    return f"request.t_local_replied({arguments[0]})"


def via_handling(arguments: list[str]) -> str:
    """Flags of 3.5: ``force-rport`` is what matters here."""
    return "request.force_rport()" if "force-rport" in (_constant(arguments[0]) or "") else "1"


def helper(name: str, *options: str) -> Callable[[list[str]], str]:
    """A function of `ds_farm.cfg.values` that takes the request, and the arguments as they are."""

    def code(arguments: list[str]) -> str:
        return f"{name}({', '.join(['request', *arguments, *options])})"

    return code


def validate(arguments: list[str]) -> str:
    """``([flags[, result]])``."""
    if len(arguments) < 2:
        return helper("verdict")(arguments)
    flags, target = arguments
    return f"explained(verdict(request, {flags}), lambda why: {target}why))"


PUSHED_TO = {
    "$ru": "ru", "$ru/username": "username", "$ru/domain": "domain", "$du": "du", "$br": "br",
}  # fmt: skip
"""Destinations of avp_pushto."""


def push_to(arguments: list[str]) -> str:
    where = PUSHED_TO.get(_constant(arguments[0]) or "")
    if where is None:
        raise ValueError(f"expected one of {', '.join(PUSHED_TO)}, got {_constant(arguments[0])!r}")
    return f"push_to(request, {quoted(where)}, {arguments[1]})"


def flagged(arguments: list[str]) -> str:
    """``operator[/flags], value`` of avp_op, with the flags that stand after its AVPs."""
    how, _, value = arguments[1].partition(", ")
    flags = _constant(arguments[0].rpartition(", ")[2]) or ""
    if not flags:
        return arguments[1]
    known = _constant(how) or ""
    return f"{quoted(known + flags if '/' in known else f'{known}/{flags}')}, {value}"


def rand_event(arguments: list[str]) -> str:
    return f"truth(chance() % 100 < number({arguments[0] if arguments else '10'}))"


def _constant(code: str) -> str | None:
    """What an argument's code is, if that is known."""
    try:
        return str(ast.literal_eval(code))
    except (ValueError, SyntaxError):
        return None


def _joined(*codes: str) -> str:
    """The code of texts one after the other."""
    known = [_constant(code) for code in codes]
    if None not in known:
        return quoted("".join(map(str, known)))
    return " + ".join(code if _constant(code) is not None else f"text({code})" for code in codes)


def _given(arguments: list[str], index: int) -> str | None:
    """An argument that is there and is not empty."""
    found = arguments[index] if index < len(arguments) else None
    return None if found is None or _constant(found) == "" else found


def _set(arguments: list[str], partition: int) -> str:
    """``set`` and the partition that 3.0 and later give in an argument of its own."""
    found = _given(arguments, partition)
    return arguments[0] if found is None else _joined(found, '":"', arguments[0])


def select(name: str) -> Callable[[list[str]], str]:
    """``(set, alg, flags)`` of 2.1, ``(set, alg, flags, partition, max_res)`` of 3.0."""

    def code(arguments: list[str]) -> str:
        sets, flags, most = _set(arguments, 3), _given(arguments, 2), _given(arguments, 4)
        if most is not None:
            flags = _joined(flags or '""', '"M"', most)
        last = "" if flags is None else f", {flags}"
        known = [_constant(each) for each in (sets, arguments[1], flags or '""')]
        if None not in known and not any("$" in str(each) for each in known):
            try:
                parse_choices(*map(str, known))
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return f"request.{name}({sets}, {arguments[1]}{last})"

    return code


def mark(arguments: list[str]) -> str:
    """``(partition, state)`` of 2.1, ``(state, partition)`` of 3.0."""
    if len(arguments) == 2 and (_constant(arguments[0]) or "").lower() in MARKS:
        arguments = arguments[::-1]
    return f"request.ds_mark_dst({', '.join(a for a in arguments if _constant(a) != '')})"


def count(arguments: list[str]) -> str:
    """``(set, filter, result)``, and a partition since 3.0."""
    return f"request.ds_count({_set(arguments, 3)}, {arguments[1]}, {arguments[2]})"


def is_in_list(arguments: list[str]) -> str:
    """``(ip, port, set, active_only)``; a partition stands before ``active_only`` since 3.0."""
    fourth = _given(arguments, 3)
    constant = "" if fourth is None else _constant(fourth)
    partition = None if constant is not None and re.fullmatch(r"\d*", constant) else fourth
    active = _given(arguments, 4) if len(arguments) > 4 else None if partition else fourth
    group = _given(arguments, 2)
    if partition is not None:
        group = _joined(partition, '":"', group or '""')
    given = [*arguments[:2], group or ('""' if active else ""), active or ""]
    return f"request.ds_is_in_list({', '.join(each for each in given if each)})"


def reply(method: str) -> Callable[[list[str]], str]:
    """``(code, reason)``, and a body."""

    def code(arguments: list[str]) -> str:
        status, *others = (_constant(each) for each in arguments)
        if status is None or None in others:
            return f"answered(request.{method}, {', '.join(arguments)})"
        if not (status.isdecimal() and 100 <= int(status) <= 699):
            raise ValueError(f"{status!r} is no status code from 100 to 699")
        return f"request.{method}({', '.join(arguments)})"

    return code


_SETS_AT = {"ds_select_dst": 0, "ds_select_domain": 0, "ds_count": 0, "ds_is_in_list": 2}


def partition_of(name: str, code: str) -> str:
    """The partition that a call of the dispatcher names by a constant; "" if there is none."""
    call = ast.parse(code, mode="eval").body
    given = call.args if isinstance(call, ast.Call) else []
    if name in _SETS_AT:
        before, colon, _ = _beginning(given, _SETS_AT[name]).rpartition(":")
        return before.strip() if colon else ""
    if name == "ds_mark_dst" and len(given) < 2:
        return ""
    return _beginning(given, 0).strip()


def _beginning(arguments: list[ast.expr], index: int) -> str:
    """What an argument begins with, as far as that is known."""
    found = arguments[index] if index < len(arguments) else None
    if isinstance(found, ast.BinOp):
        text = _beginning([found.left], 0)
        return text + (_beginning([found.right], 0) if isinstance(found.left, ast.Constant) else "")
    return found.value if isinstance(found, ast.Constant) and isinstance(found.value, str) else ""


def log(arguments: list[str]) -> str:
    level, line = arguments if len(arguments) == 2 else ('"L_ERR"', *arguments)
    return f"log_line({level}, {line})"
