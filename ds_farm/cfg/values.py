"""What a translated script computes with: comparisons, arithmetic, assignments, the log.

Values are text, whole numbers and None (NULL), as in OpenSIPS.  Equality of texts and regular
expressions do not look at case, as there.  Routing modules made of scripts import from here.
"""

from __future__ import annotations

import ipaddress
import logging
import random
import re
import time
from typing import Any

from ds_farm.cfg.texts import (
    TRANSFORMATIONS as TRANSFORMATIONS,
)
from ds_farm.cfg.texts import (
    Value as Value,
)
from ds_farm.cfg.texts import (
    at as at,
)
from ds_farm.cfg.texts import (
    first as first,
)
from ds_farm.cfg.texts import (
    has_param as has_param,
)
from ds_farm.cfg.texts import (
    nameaddr as nameaddr,
)
from ds_farm.cfg.texts import (
    number as number,
)
from ds_farm.cfg.texts import (
    param as param,
)
from ds_farm.cfg.texts import (
    regex as regex,
)
from ds_farm.cfg.texts import (
    subst as subst,
)
from ds_farm.cfg.texts import (
    substitution as substitution,
)
from ds_farm.cfg.texts import (
    text as text,
)
from ds_farm.cfg.texts import (
    transform as transform,
)
from ds_farm.cfg.texts import (
    uri_param as uri_param,
)
from ds_farm.cfg.texts import (
    uri_part as uri_part,
)
from ds_farm.cfg.texts import (
    with_user as with_user,
)
from ds_farm.proxy.codes import FAILED

logger = logging.getLogger("ds_farm.routes")

MOST_LOOPS = 10_000
"""Of a ``while`` whose script sets max_while_loops to 0, which is no limit in OpenSIPS."""


class Exit(Exception):
    """``exit`` in a route that another route has called."""


class Status:
    """What the last function has returned: ``$retcode``."""

    __slots__ = ("code",)

    def __init__(self) -> None:
        self.code = 1

    def keep(self, code: int) -> int:
        """Note a function's result, and pass it on."""
        self.code = code
        return code


class Myself:
    """Which hosts are this server: its sockets and aliases."""

    def __init__(self, *places: str) -> None:
        """``places`` are ``host`` or ``host:port``."""
        self._places = {place.lower() for place in places}

    def has(self, host: Value, port: Value = None) -> bool:
        """Whether a host, or a SIP URI, is this server."""
        data = text(host).lower()
        if ":" in data and (found := uri_part(data, "host")) is not None:
            data, port = text(found), uri_part(data, "port")
        port = number(port) or 5060
        return data in self._places or f"{data}:{port}" in self._places


def truth(is_so: object) -> int:
    """What a function returns for yes and no."""
    return 1 if is_so else FAILED


def same(left: Value, right: Value) -> bool:
    """``==``."""
    if left is None or right is None:
        return left is right
    if isinstance(left, int) and isinstance(right, int):
        return left == right
    return str(left).lower() == str(right).lower()


def compare(left: Value, right: Value) -> int:
    """Below 0, 0 or above 0, as numbers if both are."""
    if isinstance(left, int) or isinstance(right, int):
        one, other = number(left), number(right)
        return (one > other) - (one < other)
    a, b = text(left), text(right)
    return (a > b) - (a < b)


def add(left: Value, right: Value) -> Value:
    """``+``: a sum of numbers, NULL is 0; else both texts one after the other."""
    if not isinstance(left, str) and not isinstance(right, str):
        return number(left) + number(right)
    return text(left) + text(right)


def divide(left: Value, right: Value) -> Value:
    """``/``; NULL if the divisor is 0."""
    divisor = number(right)
    return int(number(left) / divisor) if divisor else None


def modulo(left: Value, right: Value) -> Value:
    """``%``; NULL if the divisor is 0."""
    divisor = number(right)
    return number(left) % divisor if divisor else None


def shift(left: Value, right: Value) -> int:
    """``<<``, of 32 bits as in OpenSIPS."""
    return (number(left) << min(max(number(right), 0), 32)) & 0xFFFFFFFF


def matches(value: Value, pattern: Value) -> bool:
    """``=~`` with a pattern that is not known before; one that is none matches nothing."""
    try:
        return regex(text(pattern)).search(text(value)) is not None
    except re.error:
        return False


def in_network(value: Value, network: str) -> bool:
    """Whether an address is in ``address[/mask]``."""
    try:
        return ipaddress.ip_address(text(value)) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


# -- what a script assigns to


def put(request: Any, attribute: str, value: Value) -> int:
    """Assign to ``$ru``, ``$du`` or a timer; -1, and nothing changes, if the value will not do."""
    try:
        setattr(request, attribute, value)
    except (ValueError, TypeError) as error:
        logger.warning("$%s is not set: %s", attribute, error)
        return FAILED
    return 1


def kept(value: Value) -> str | int:
    """NULL makes a ``$var`` 0."""
    return 0 if value is None else value


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


def drop_avp(avps: Any, name: str, flags: str = "") -> int:
    """``avp_delete``: the topmost value, with flag g all."""
    found = name in avps
    if "g" in flags:
        avps.put_all(name, [])
    elif found:
        avps.pop(name)
    return truth(found)


def copy_avp(avps: Any, source: str, target: str, flags: str = "") -> int:
    """``avp_copy``: the topmost value, with flag g all; with d the source is deleted."""
    values = avps.all(source) if "g" in flags else avps.all(source)[:1]
    if values:
        avps.put_all(target, values)
        if "d" in flags:
            drop_avp(avps, source, flags)
    return truth(values)


def subst_avp(avps: Any, name: str, expression: str) -> int:
    """``avp_subst`` of the topmost value; -1 if nothing matches."""
    values = avps.all(name)
    if not values or not substitution(expression)[0].search(text(values[0])):
        return FAILED
    avps.put_all(name, [subst(values[0], expression), *values[1:]])
    return 1


# -- time and chance


def now(form: str = "") -> str:
    """The local time, in strftime's words."""
    return time.strftime(form or "%c")


def seconds() -> int:
    """Since 1970."""
    return int(time.time())


def pause(duration_s: float) -> int:
    """``sleep``, of a second at the most: the worker's other calls wait as well."""
    time.sleep(min(max(duration_s, 0.0), 1.0))
    return 1


LEVELS = {
    "L_ALERT": logging.CRITICAL, "L_CRIT": logging.CRITICAL, "L_ERR": logging.ERROR,
    "L_WARN": logging.WARNING, "L_NOTICE": logging.INFO, "L_INFO": logging.INFO,
    "L_DBG": logging.DEBUG, "-3": logging.CRITICAL, "-2": logging.CRITICAL, "-1": logging.ERROR,
    "0": logging.WARNING, "1": logging.WARNING, "2": logging.INFO, "3": logging.INFO,
    "4": logging.DEBUG,
}  # fmt: skip
"""Levels by name, and by the number that `log()` takes."""


def log_line(level: Value, line: Value) -> int:
    """``xlog``: a line in the farm's log."""
    logger.log(LEVELS.get(text(level), logging.INFO), "%s", text(line).rstrip())
    return 1


def chance() -> int:
    """``$RANDOM``."""
    return random.getrandbits(31)
