"""Where the routing function comes from: the user's module, or the built-in route."""

from __future__ import annotations

import importlib.util
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from ds_farm.dispatch.arguments import parse_choices
from ds_farm.errors import ConfigError
from ds_farm.proxy.codes import STATEFUL
from ds_farm.script._request import Request
from ds_farm.script.local import LocalRoute

Route = Callable[[Request], object]
"""Called once for each request; what it returns is of no matter."""

EventRoute = Callable[[Any], object]
"""Called once for each event, a `ds_farm.mi.events.Event` (documentation section 1.6)."""

MODULE_NAME = "ds_farm_routes"
BUILTIN_HOPS = 70


@dataclass(frozen=True, slots=True)
class Routes:
    """What a farm does with messages."""

    request_route: Route
    named: Mapping[str, Route] = field(default_factory=dict)
    """Every function of the module by its name; ``failure_route_NAME`` are found here."""

    is_stateful: bool = False
    local_route: LocalRoute | None = None


def load_routes(path: Path, text: str | None = None) -> Routes:
    """Run the module at ``path``, or ``text`` that was made of it, and return its functions.

    Raises ConfigError with file and line of a syntax error or of the exception that the module
    raised, or if the function is missing.
    """
    module = _load(path, text)
    named = {name: value for name, value in vars(module).items() if callable(value)}
    if "request_route" not in named:
        raise ConfigError(f"{path}: defines no function request_route(request)")
    names = {name for each in named.values() for name in _names(getattr(each, "__code__", None))}
    return Routes(named["request_route"], named, bool(names & STATEFUL), named.get("local_route"))


def load_event_route(path: Path, text: str | None = None) -> EventRoute | None:
    """Run the module at ``path`` and return its ``event_route``, None if it has none.

    Raises ConfigError as `load_routes`.
    """
    route: EventRoute | None = getattr(_load(path, text), "event_route", None)
    if route is not None and not callable(route):
        raise ConfigError(f"{path}: event_route is no function event_route(event)")
    return route


def _load(path: Path, text: str | None = None) -> ModuleType:
    if text is not None:
        return _run(path, text)
    spec = importlib.util.spec_from_file_location(MODULE_NAME, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: a routing module is a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE_NAME] = module
    try:
        spec.loader.exec_module(module)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such routing module") from None
    except SyntaxError as error:
        raise ConfigError(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except Exception as error:
        line = next(
            (
                one.lineno
                for one in reversed(traceback.extract_tb(error.__traceback__))
                if one.filename == str(path)
            ),
            0,
        )
        raise ConfigError(f"{path}:{line}: {type(error).__name__}: {error}") from error
    return module


def _run(path: Path, text: str) -> ModuleType:
    """A module that was translated from a script; tracebacks show its lines."""
    module = ModuleType(MODULE_NAME)
    name = f"{path} (translated)"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    sys.modules[MODULE_NAME] = module
    exec(compile(text, name, "exec"), vars(module))
    return module


def _names(code: CodeType | None) -> Iterator[str]:
    """Attributes and globals that a function uses, those of functions within it too."""
    if code is not None:
        yield from code.co_names
        for each in code.co_consts:
            if isinstance(each, CodeType):
                yield from _names(each)


def builtin_routes(
    sets: str, algorithm: str, flags: str = "", failover_codes: str = "408|5[0-9][0-9]"
) -> Routes:
    """The route for those who write none: Max-Forwards, ds_select_dst, forward.

    With flag f transactions are kept, and on a failure that ``failover_codes`` matches the
    destination is marked and the next one gets the request.  It answers 500 when no destination
    can be selected, as the documentation's example 1.32.  Raises ConfigError for arguments that
    ds_select_dst would not take.
    """
    choices = parse_choices(sets, algorithm, flags)
    is_stateful = any(choice.flags.failover for choice in choices)
    partition = choices[0].partition

    def request_route(request: Request) -> None:
        if not request.mf_process_maxfwd_header(BUILTIN_HOPS):
            request.send_reply(483, "Too Many Hops")
        elif not request.ds_select_dst(sets, algorithm, flags):
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
