"""AVPs of a script: assignments, the functions of ``avpops``, and the arithmetic of these."""

from __future__ import annotations

import fnmatch
import logging
import operator
import re
from collections.abc import Callable
from typing import Any

from ds_farm.cfg.texts import Replacement, Value, number, regex, substituted, text
from ds_farm.proxy.codes import FAILED

logger = logging.getLogger("ds_farm.routes")


def truth(is_so: object) -> int:
    """What a function returns for yes and no."""
    return 1 if is_so else FAILED


def divide(left: Value, right: Value) -> Value:
    """``/``; NULL if the divisor is 0."""
    dividend, divisor = number(left), number(right)
    if not divisor:
        return None
    quotient = abs(dividend) // abs(divisor)  # towards 0, as in C
    return quotient if (dividend < 0) is (divisor < 0) else -quotient


def modulo(left: Value, right: Value) -> Value:
    """``%``, with the sign of the dividend, as in C; NULL if the divisor is 0."""
    dividend, divisor = number(left), number(right)
    if not divisor:
        return None
    rest = abs(dividend) % abs(divisor)
    return -rest if dividend < 0 else rest


def matches(value: Value, pattern: Value | re.Pattern[str]) -> bool:
    """``=~``.  NULL and an empty text match nothing; what is no pattern is matched by nothing."""
    if value is None or value == "" or pattern is None:
        return False
    try:
        found = pattern if isinstance(pattern, re.Pattern) else regex(text(pattern))
    except re.error:
        return False
    return found.search(text(value)) is not None


def push_avp(avps: Any, name: str, value: Value) -> None:
    """``$avp(name) = value``: on top of the others; NULL takes the topmost away."""
    if value is None:
        avps.pop(name, 0)
    else:
        avps.push(name, value)


def set_avp(avps: Any, name: str, value: Value) -> int:
    """``$avp(name) := value``: instead of all."""
    avps.put_all(name, [] if value is None else [value])
    return 1


def replace_avp(avps: Any, name: str, index: int, value: Value) -> None:
    """``$(avp(name)[index]) = value``; NULL removes it."""
    values = avps.all(name)
    if -len(values) <= index < len(values):
        values[index : index + 1 or None] = [] if value is None else [value]
        avps.put_all(name, values)


def append_avp(avps: Any, name: str, value: Value) -> None:
    """``$(avp(name)[append]) = value``: below the others; NULL adds nothing."""
    if value is not None:
        avps.put_all(name, [*avps.all(name), value])


def avp_is_set(value: Value, flags: str = "") -> int:
    """``is_avp_set``: with flag n of a number, with s of a text, with e of an empty one or of 0."""
    wanted = {"n": isinstance(value, int), "s": isinstance(value, str), "e": value in ("", 0)}
    return truth(value is not None and all(wanted.get(each, True) for each in flags.lower()))


def drop_avp(avps: Any, name: str, flags: str = "") -> int:
    """``avp_delete``: the topmost value, with flag g all."""
    found = name in avps
    if "g" in flags:
        avps.put_all(name, [])
    elif found:
        avps.pop(name)
    return truth(found)


def copy_avp(avps: Any, source: str, target: str, flags: str = "") -> int:
    """``avp_copy``: the topmost value, with flag g every one, is pushed on top of what the target
    has; with d the source is deleted, n and s make numbers and texts of them."""
    values = avps.all(source) if "g" in flags else avps.all(source)[:1]
    if values and "d" in flags:
        drop_avp(avps, source, flags)
    for value in values:  # each on top of the one before it: all come in reverse
        made = number(value) if "n" in flags else text(value) if "s" in flags else value
        avps.push(target, made)
    return truth(values)


def change_avp(avps: Any, source: str, target: str, change: str, value: Value) -> int:
    """``avp_op`` by ``operator[/flags]``; -1 if there is no value or it cannot be."""
    operator, _, flags = change.partition("/")
    return _made(avps, source, target, flags, lambda each: ARITHMETIC[operator](each, value))


def subst_avp(
    avps: Any,
    source: str,
    target: str,
    how: str,
    pattern: str,
    replacement: Replacement,
    flags: str,
) -> int:
    """``avp_subst``; -1 if nothing matches."""
    return _made(
        avps, source, target, how, lambda each: substituted(each, pattern, replacement, flags)
    )


def _made(
    avps: Any, source: str, target: str, flags: str, make: Callable[[Value], Value]
) -> int:  # fmt: skip
    """The topmost value, with flag g every one, made another; in an AVP of its own if ``target`` is
    another one, and then flag d deletes what it was made of.  NULL is none."""
    values, is_every = avps.all(source), "g" in flags.lower()
    made = [make(each) for each in (values if is_every else values[:1])]
    if all(each is None for each in made):
        return FAILED
    if target == source:
        kept = [old if new is None else new for old, new in zip(values, made, strict=False)]
        avps.put_all(source, kept + values[len(made) :])
        return 1
    if "d" in flags.lower():
        rest = [old for old, new in zip(values, made, strict=False) if new is None]
        avps.put_all(source, rest + values[len(made) :])
    avps.put_all(target, [each for each in made if each is not None] + avps.all(target))
    return 1


def insert_avp(avps: Any, name: str, value: Value, index: Value) -> int:
    """``avp_insert``: at a place counted from the topmost value, from the last one if negative."""
    if value is None:
        return FAILED
    values = avps.all(name)
    values.insert(number(index), value)
    avps.put_all(name, values)
    return 1


def print_avps(avps: Any) -> int:
    """``avp_print``: all of them, in the log."""
    for name in avps:
        logger.info("$avp(%s) = %s", name, avps.all(name))
    return 1


def check_avp(values: list[Value], check: str, value: Value) -> int:
    """``avp_check``: whether the topmost value, with flag g any, passes ``operator[/flags]``."""
    operator, _, flags = check.partition("/")
    asked = values[: None if "g" in flags else 1]
    return truth(any(_passes(each, operator, value, "i" in flags) for each in asked))


def _passes(value: Value, operator: str, other: Value, no_case: bool) -> bool:
    """Values of different types do not, whatever the operator; the order of texts is theirs in any
    case of letters."""
    if operator in ("re", "fm"):
        pattern = text(other) if operator == "re" else fnmatch.translate(text(other))
        return isinstance(value, str) and matches(value, pattern)
    if isinstance(value, int) and isinstance(other, int):
        if operator in BITS:
            return bool(BITS[operator](value, other))
        return bool(CHECKED_ORDERS[operator](value - other, 0))
    if operator in BITS or not (isinstance(value, str) and isinstance(other, str)):
        return False
    no_case = no_case or operator not in ("eq", "ne")
    left, right = (value.lower(), other.lower()) if no_case else (value, other)
    return bool(CHECKED_ORDERS[operator]((left > right) - (left < right), 0))


CHECKED_ORDERS: dict[str, Callable[[int, int], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le,
    "gt": operator.gt, "ge": operator.ge,
}  # fmt: skip
BITS: dict[str, Callable[[int, int], int]] = {
    "and": operator.and_, "or": operator.or_, "xor": operator.xor,
}  # fmt: skip
CHECKS = frozenset((*CHECKED_ORDERS, *BITS, "re", "fm"))
"""Operators of ``avp_check``."""

ARITHMETIC: dict[str, Callable[[Value, Value], Value]] = {
    "add": lambda a, b: number(a) + number(b),
    "sub": lambda a, b: number(a) - number(b),
    "mul": lambda a, b: number(a) * number(b),
    "div": divide,
    "mod": modulo,
    "and": lambda a, b: number(a) & number(b),
    "or": lambda a, b: number(a) | number(b),
    "xor": lambda a, b: number(a) ^ number(b),
    "not": lambda a, b: ~number(a),
}
"""Operators of ``avp_op``."""
