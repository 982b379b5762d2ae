"""Where the routing function comes from: the user's module, or the built-in route."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ds_farm.dispatch.arguments import parse_choices
from ds_farm.errors import ConfigError
from ds_farm.script._request import Request

Route = Callable[[Request], object]
"""Called once for each request; what it returns is of no matter."""

EventRoute = Callable[[Any], object]
"""Called once for each event, a `ds_farm.mi.events.Event` (documentation section 1.6)."""

MODULE_NAME = "ds_farm_routes"
BUILTIN_HOPS = 70


def load_route(path: Path) -> Route:
    """Run the module at ``path`` and return its ``request_route``.

    Raises ConfigError with file and line of a syntax error or of the exception that the module
    raised, or if the function is missing.
    """
    route = getattr(_load(path), "request_route", None)
    if not callable(route):
        raise ConfigError(f"{path}: defines no function request_route(request)")
    checked: Route = route
    return checked


def load_event_route(path: Path) -> EventRoute | None:
    """Run the module at ``path`` and return its ``event_route``, None if it has none.

    Raises ConfigError as `load_route`.
    """
    route: EventRoute | None = getattr(_load(path), "event_route", None)
    if route is not None and not callable(route):
        raise ConfigError(f"{path}: event_route is no function event_route(event)")
    return route


def _load(path: Path) -> ModuleType:
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


def builtin_route(sets: str, algorithm: str, flags: str = "") -> Route:
    """The route for those who write none: Max-Forwards, ds_select_dst, forward.

    It answers 500 when no destination can be selected, as the documentation's example 1.32.
    Raises ConfigError for arguments that ds_select_dst would not take.
    """
    parse_choices(sets, algorithm, flags)

    def request_route(request: Request) -> None:
        if not request.mf_process_maxfwd_header(BUILTIN_HOPS):
            request.send_reply(483, "Too Many Hops")
        elif not request.ds_select_dst(sets, algorithm, flags):
            request.send_reply(500, "Unable to route")
        else:
            request.forward()

    return request_route
