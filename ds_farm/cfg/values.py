"""What a translated script computes with: comparisons, arithmetic, assignments, the log.

Values are text, whole numbers and None (NULL), as in OpenSIPS.  Equality of texts and regular
expressions do not look at case, as there.  Routing modules made of scripts import from here.
"""

from __future__ import annotations

import ipaddress
import logging
import operator
import random
import re
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from ds_farm.cfg.avps import (
    ARITHMETIC,
    CHECKS,
    append_avp,
    avp_is_set,
    change_avp,
    check_avp,
    copy_avp,
    divide,
    drop_avp,
    insert_avp,
    matches,
    modulo,
    print_avps,
    push_avp,
    replace_avp,
    set_avp,
    subst_avp,
    truth,
)
from ds_farm.cfg.headers import (
    VERDICTS,
    add_option,
    add_path,
    has_option,
    has_privacy,
    is_audio_on_hold,
    preset_route,
    received_route,
    remove_option,
    strip_body,
    tel2sip,
    verdict,
)
from ds_farm.cfg.message import (
    address,
    content_length,
    credential,
    entries,
    socket_part,
)
from ds_farm.cfg.subst import append_text, replace_text, subst_message, subst_user
from ds_farm.cfg.texts import (
    Replacement,
    Value,
    at,
    first,
    has_param,
    nameaddr,
    number,
    param,
    parts_of_subst,
    printed,
    regex,
    replacement_parts,
    subst,
    substituted,
    text,
    uri_param,
    uri_part,
    with_params,
)
from ds_farm.cfg.transformations import TRANSFORMATIONS, transform, transform_1x
from ds_farm.proxy.codes import FAILED

__all__ = [
    "ARITHMETIC", "CHECKS", "TRANSFORMATIONS", "VERDICTS", "Value", "add_option", "add_path",
    "address", "append_avp", "append_text", "at", "avp_is_set", "change_avp", "check_avp",
    "content_length", "copy_avp", "credential", "divide", "drop_avp", "entries", "first",
    "has_option", "has_param", "has_privacy", "insert_avp", "is_audio_on_hold", "matches", "modulo",
    "nameaddr",
    "number", "param", "parts_of_subst", "preset_route", "print_avps", "printed", "push_avp",
    "received_route", "regex", "remove_option", "replace_avp", "replace_text", "replacement_parts",
    "set_avp", "socket_part", "strip_body", "subst", "subst_avp", "subst_message", "subst_user",
    "substituted", "tel2sip", "text", "transform", "transform_1x", "truth", "uri_param",
    "uri_part", "verdict", "with_params",
]  # fmt: skip
"""Of the files beside this one; scripts import all from here."""

logger = logging.getLogger(__name__)
xlog = logging.getLogger("ds_farm.routes")

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
        self.code = int(code)  # a stored -1 is true
        return code


class Myself:
    """Which hosts are this server: its sockets and aliases."""

    def __init__(self, *places: str) -> None:
        """``places`` are ``host`` or ``host:port``."""
        self._places = {_bare(place) for place in places}
        self._hosts = {host for host, _ in self._places}

    def has(self, host: Value, port: Value = None) -> bool:
        """Whether a host, or a SIP URI, is this server; a host without a port by any of its ports,
        a URI without one by 5060, as in OpenSIPS."""
        data = text(host)
        if ":" in data and (found := uri_part(data, "host")) is not None:
            data, port = text(found), uri_part(data, "port")
        name, wanted = _bare(data)[0], number(port)
        if not wanted:
            return name in self._hosts
        return (name, wanted) in self._places or (name, 0) in self._places


def _bare(place: str) -> tuple[str, int]:
    """Host without brackets, and port, 0 if there is none."""
    found = re.fullmatch(r"(\[.*\]|[^:]*):(\d{1,5})", place)
    host, port = (found[1], int(found[2])) if found else (place, 0)
    return host.strip("[]").lower(), port


def returned(value: Value) -> int:
    """What ``return(value)`` gives: -1 for NULL, 1 for a text; 0 ends the script."""
    if value == 0:
        raise Exit
    return FAILED if value is None else value if isinstance(value, int) else 1


def same(left: Value, right: Value) -> bool:
    """``==``."""
    if left is None or right is None:
        return left is right
    if isinstance(left, int) and isinstance(right, int):
        return left == right
    return str(left).lower() == str(right).lower()


def compare(left: Value, order: str, right: Value) -> bool:
    """``<``, ``>``, ``<=``, ``>=``: as numbers if one of them is, else as texts in any case of
    letters.  NULL is not less than anything, nor greater, nor equal."""
    if left is None or right is None:
        return False
    if isinstance(left, int) or isinstance(right, int):
        return ORDERS[order](number(left), number(right))
    one, other = left.lower(), right.lower()
    return ORDERS[order]((one > other) - (one < other), 0)


def add(left: Value, right: Value) -> Value:
    """``+``: a sum of numbers, NULL is 0; else both texts one after the other."""
    if not isinstance(left, str) and not isinstance(right, str):
        return number(left) + number(right)
    return text(left) + text(right)


def shift(left: Value, right: Value) -> int:
    """``<<``, of 32 bits as in OpenSIPS."""
    return (number(left) << min(max(number(right), 0), 32)) & 0xFFFFFFFF


def unlike(value: Value, pattern: Value | re.Pattern[str]) -> bool:
    """``!~``.  NULL is unlike everything; an empty text is neither like a pattern nor unlike it."""
    return value is None or (value != "" and not matches(value, pattern))


def in_network(value: Value, network: str) -> bool:
    """Whether an address is in ``address[/mask]``."""
    try:
        return ipaddress.ip_address(text(value)) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


# -- answers


def answered(reply: Callable[..., int], code: Value, *texts: Value) -> int:
    """An answer whose code only the message decides; -1 if it is none."""
    try:
        return reply(code, *map(text, texts))
    except (ValueError, TypeError) as error:
        logger.warning("%s", error)
        return FAILED


def answer_options(request: Any) -> int:
    """``options_reply``: 200 to an OPTIONS for this server itself, whose URI has no user."""
    if request.method != "OPTIONS" or uri_part(request.ru, "user") is not None:
        return FAILED
    accept = "Accept: */*\r\nAccept-Encoding: \r\nAccept-Language: en\r\nSupported: \r\n"
    return int(request.send_reply(200, "OK", accept))


# -- what a script assigns to


def put(request: Any, attribute: str, value: Value) -> int:
    """Assign to ``$ru``, ``$du`` or a timer; -1, and nothing changes, if the value will not do."""
    try:
        setattr(request, attribute, value)
    except (ValueError, TypeError) as error:
        logger.warning("$%s is not set: %s", attribute, error)
        return FAILED
    return 1


def subst_uri(request: Any, pattern: str, replacement: Replacement, flags: str) -> int:
    """Of the Request-URI; -1 if nothing matches."""
    result = substituted(request.ru, pattern, replacement, flags)
    return FAILED if result is None else put(request, "ru", result)


def push_to(request: Any, where: str, values: list[Value]) -> int:
    """``avp_pushto``: into ``ru``, its ``username`` or ``domain``, or ``du``; ``br``: a branch for
    each, which are also what follows a first ``ru``.  -1 without a value that will do."""
    writers: dict[str, Callable[[str], int]] = {
        "ru": lambda each: put(request, "ru", each),
        "du": lambda each: put(request, "du", each),
        "username": request.rewriteuser,
        "domain": request.rewritehost,
        "br": request.append_branch,
    }
    given = [text(each) for each in values if each is not None]
    if not given:
        return FAILED
    done = int(writers[where](given[0]))
    if where in ("ru", "br"):
        for each in given[1:]:
            request.append_branch(each)
    return done


def put_host(request: Any, host: Value = None, port: Value = None) -> int:
    """``setdsthost`` and ``setdstport``: of ``$du``, or of one that is made of the Request-URI."""
    uri = text(request.du or request.ru)
    name = text(uri_part(uri, "host")) if host is None else text(host)
    number_of = number(uri_part(uri, "port")) if port is None else number(port)
    return put(request, "du", f"sip:{name}:{number_of}")


def kept(value: Value) -> str | int:
    """NULL makes a ``$var`` 0."""
    return 0 if value is None else value


def explained(code: int, tell: Callable[[str], object]) -> int:
    """A verdict on a message, whose reason a variable gets if it is a bad one."""
    if code < 0:
        tell(VERDICTS[code])
    return code


def uri_of(proto: Value, user: Value, domain: Value, port: Value, extra: Value) -> str:
    """``construct_uri``: what is NULL or empty is left out."""
    who = f"{text(user)}@" if user else ""
    where = text(domain) + (f":{text(port)}" if port else "")
    return f"{text(proto) or 'sip'}:{who}{where}" + (f";{text(extra)}" if extra else "")


def set_var(variables: Any, name: str, value: Value) -> int:
    """``pv_printf`` to a ``$var``."""
    variables[name] = kept(value)
    return 1


# -- time and chance


def now(form: str = "") -> str:
    """The local time, in strftime's words."""
    return time.strftime(form or "%c")


def microseconds() -> int:
    """Of this second."""
    return time.time_ns() // 1000 % 1_000_000


def usec_delta(second: Value, microsecond: Value, until: Value, microsecond_until: Value) -> int:
    """``ts_usec_delta``: between two moments, in microseconds."""
    begin = number(second) * 1_000_000 + number(microsecond)
    return abs(number(until) * 1_000_000 + number(microsecond_until) - begin)


def date_line() -> str:
    """A Date header (RFC 3261 20.17)."""
    return f"Date: {formatdate(usegmt=True)}\r\n"


def seconds() -> int:
    """Since 1970."""
    return int(time.time())


ORDERS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


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
    xlog.log(LEVELS.get(text(level), logging.INFO), "%s", text(line).rstrip())
    return 1


def chance() -> int:
    """``$RANDOM``."""
    return random.getrandbits(31)
