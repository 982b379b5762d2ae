"""Where the routing function comes from: the user's module, or the built-in route."""

from __future__ import annotations

import importlib.util
import inspect
import linecache
import math
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from ds_farm.config import read_module
from ds_farm.dispatch.arguments import parse_choices
from ds_farm.errors import ConfigError
from ds_farm.proxy.codes import STATEFUL
from ds_farm.script._request import Request
from ds_farm.script.background import BackgroundRoute, EventRoute, TimerRoute
from ds_farm.script.local import LocalRoute

Route = Callable[[Request], object]
"""Called once for each request; what it returns is of no matter."""

MODULE_NAME = "ds_farm_routes"
BUILTIN_HOPS = 70
BEGIN_DIALOGS = "INVITE|SUBSCRIBE|NOTIFY|REFER"
"""Methods of requests that make dialogs (RFC 3261 12.1, 6665, 3515)."""

TIMERS = "TIMER_ROUTES"
"""What a module calls its table of timer routes: name -> seconds."""


@dataclass(frozen=True, slots=True)
class Routes:
    """What a farm does with messages."""

    request_route: Route
    named: Mapping[str, Route] = field(default_factory=dict)
    """Every function of the module by its name; ``failure_route_NAME`` are found here."""

    is_stateful: bool = False
    local_route: LocalRoute | None = None
    startup_route: BackgroundRoute | None = None
    timer_routes: tuple[TimerRoute, ...] = ()


def load_routes(path: Path, text: str | None = None) -> Routes:
    """Run the module at ``path``, whose ``text`` may have been read or made of it before, and
    return its functions.

    Raises ConfigError with file and line of a syntax error or of the exception that the module
    raised, or if the function is missing or takes something else.
    """
    module = _load(path, text)
    named = {name: value for name, value in vars(module).items() if callable(value)}
    if "request_route" not in named:
        raise ConfigError(f"{path}: defines no function request_route(request)")
    for name in ("request_route", "local_route", "startup_route"):
        _check_call(path, named.get(name))
    names = {name for each in named.values() for name in _names(getattr(each, "__code__", None))}
    return Routes(
        named["request_route"],
        named,
        bool(names & STATEFUL),
        named.get("local_route"),
        named.get("startup_route"),
        tuple(_timer_routes(path, getattr(module, TIMERS, {}), named)),
    )


def _timer_routes(path: Path, table: object, named: Mapping[str, Any]) -> Iterator[TimerRoute]:
    """The routes of ``TIMER_ROUTES``.  ConfigError if it is no such table."""
    if not isinstance(table, Mapping):
        raise ConfigError(f"{path}: {TIMERS} is no dictionary of names and seconds")
    for name, interval_s in table.items():
        route = named.get(f"timer_route_{name}")
        if route is None:
            raise ConfigError(f"{path}: {TIMERS} has {name!r}, there is no timer_route_{name}()")
        _check_call(path, route)
        is_number = isinstance(interval_s, int | float) and not isinstance(interval_s, bool)
        if not is_number or not 0 < interval_s < math.inf:
            raise ConfigError(
                f"{path}: {TIMERS}[{name!r}]: expected seconds above 0, got {interval_s!r}"
            )
        yield TimerRoute(str(name), float(interval_s), route)


def load_event_route(path: Path, text: str | None = None) -> EventRoute | None:
    """Run the module at ``path`` and return its ``event_route``, None if it has none.

    Raises ConfigError as `load_routes`.
    """
    route: EventRoute | None = getattr(_load(path, text), "event_route", None)
    if route is not None and not callable(route):
        raise ConfigError(f"{path}: event_route is no function event_route(event)")
    _check_call(path, route)
    return route


def _check_call(path: Path, route: Callable[..., object] | None) -> None:
    """ConfigError for a route that cannot be called with one argument."""
    if route is None:
        return
    try:
        inspect.signature(route).bind(None)
    except TypeError as error:
        code = getattr(route, "__code__", None)
        where = f"{path}:{code.co_firstlineno}" if code else str(path)
        name = getattr(route, "__name__", "a route")
        raise ConfigError(f"{where}: {name} is called with one argument: {error}") from None
    except ValueError:
        pass  # written in C, and does not tell


def _load(path: Path, text: str | None) -> ModuleType:
    """Run the module; tracebacks show the lines that ran, also when the file has others by now."""
    if text is None:
        text = read_module(path)
    name = str(path)
    spec = importlib.util.spec_from_file_location(MODULE_NAME, path)
    if spec is None:
        module = ModuleType(MODULE_NAME)
        name += " (translated)"  # from a script
    else:
        module = importlib.util.module_from_spec(spec)
    # Without a time of change linecache never looks at the file.
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    sys.modules[MODULE_NAME] = module
    try:
        exec(compile(text, name, "exec", dont_inherit=True), vars(module))
    except SyntaxError as error:
        raise ConfigError(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except BaseException as error:  # sys.exit() too
        line = next(
            (
                one.lineno
                for one in reversed(traceback.extract_tb(error.__traceback__))
                if one.filename == name
            ),
            0,
        )
        raise ConfigError(f"{path}:{line}: {type(error).__name__}: {error}") from error
    return module


def _names(code: CodeType | None) -> Iterator[str]:
    """Attributes and globals that a function uses, those of functions within it too."""
    if code is not None:
        yield from code.co_names
        for each in code.co_consts:
            if isinstance(each, CodeType):
                yield from _names(each)


def builtin_routes(
    sets: str,
    algorithm: str,
    flags: str = "",
    failover_codes: str = "408|5[0-9][0-9]",
    record_route: bool = False,
) -> Routes:
    """The route for those who write none: Max-Forwards, ds_select_dst, forward.

    With ``record_route`` it stays in the path of a dialog's later requests, which go where their
    routes lead.  With flag f transactions are kept, and on a failure that ``failover_codes``
    matches the destination is marked and the next one gets the request.  It answers 500 when no
    destination can be selected, as the documentation's example 1.32.  Raises ConfigError for
    arguments that ds_select_dst would not take.
    """
    choices = parse_choices(sets, algorithm, flags)
    is_stateful = any(choice.flags.failover for choice in choices)
    partition = choices[0].partition

    def request_route(request: Request) -> None:
        if not request.mf_process_maxfwd_header(BUILTIN_HOPS):
            request.send_reply(483, "Too Many Hops")
            return
        if record_route:
            if request.has_totag() and request.loose_route():
                if is_stateful:
                    request.t_relay()
                else:
                    request.forward()
                return
            if request.is_method(BEGIN_DIALOGS):
                request.record_route()
        if not request.ds_select_dst(sets, algorithm, flags):
            request.send_reply(500, "Unable to route")
        elif is_stateful:
            request.t_on_failure()
            request.t_relay()
        else:
            request.forward()

    def failure_route(request: Request) -> None:
        if request.t_was_cancelled() or not request.t_check_status(failover_codes):
            return
        request.ds_mark_dst(partition, "p")
        while request.ds_next_dst(partition):
            request.t_on_failure()
            if request.t_relay():
                return

    return Routes(request_route, {"failure_route": failure_route}, is_stateful)
