"""The routes of a script as a Python module: what the farm runs, and what ``convert`` writes.

A route becomes a function; nothing of the script is interpreted while messages flow.  Names and
texts of the script get into the code by quoted() or as names that were checked.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

from ds_farm.cfg import values
from ds_farm.cfg.parse import Node
from ds_farm.cfg.statements import Statements
from ds_farm.cfg.tree import (
    as_node,
    as_number,
    as_token,
    body_of,
    constant,
    last_calls,
    may_end,
    name_of,
    position_of,
    quoted,
    routes_called,
    shown_route,
    without_texts,
)

KINDS = {
    "request_route": ("request", "route"),
    "failure_route": ("failure", "failure_route"),
    "onreply_route": ("onreply", "onreply_route"),
    "branch_route": ("branch", "branch_route"),
    "local_route": ("local", "local_route"),
    "event_route": ("event", "event_route"),
    "timer_route": ("timer", "timer_route"),
    "startup_route": ("startup", "startup_route"),
}
"""Kind of a route in the tree: its name in `functions`, and what its functions are called."""

NEVER = {
    "error_route": "error_route never runs: malformed requests are answered as RFC 3261 says",
}
EVENTS = ("E_DISPATCHER_STATUS",)
_SILENT = "avp|var|stat|ds_count|update_stat|reset_stat"
REACH = {
    "local": f"{_SILENT}|method|ru|fu|append_hf|is_method|drop",
    "event": f"{_SILENT}|params",
    "timer": _SILENT,
    "startup": _SILENT,
}
"""What the request of a route without a caller's message has (ds_farm.script.background)."""


class Compiler(Statements):
    """One script."""

    def compile(self, routes: list[Node], modules: set[str], places: Iterable[str]) -> str:
        """The module's text; what is wrong is in ``problems``.

        ``modules`` are those that the script loads, ``places`` the hosts that are this server.
        """
        self._modules = modules
        for route in routes:
            self._name(route)
        text = self.source.text
        self._keeps = re.search(r"\$\(?(retcode|rc|return|\?)|\bretcode\b", text) is not None
        self._exits = self._may_exit(routes)
        for route in routes:
            self._route(route)
        if ("request_route", "") not in self._names:
            self._problem(None, "there is no route{...}: nothing says what to do with requests")
        return self._module(places)

    # -- routes

    def _name(self, route: Node) -> None:
        """Give the route's function its name."""
        kind, name = str(route.data), name_of(route)
        if kind in NEVER:
            return
        if kind == "event_route" and name not in EVENTS:
            self._problem(route, f"there is no event {name}; there is {', '.join(EVENTS)}")
            return
        key = (kind, "" if kind == "event_route" else name)
        if key in self._names:
            self._problem(route, f"there are two of {shown_route(kind, name)}")
            return
        prefix = KINDS[kind][1]
        if kind == "request_route" and not name:
            self._names[key] = "request_route"
        elif not key[1]:
            self._names[key] = prefix
        else:
            made = f"{prefix}_{re.sub(r'[^A-Za-z0-9_]', '_', name)}"
            while made in self._names.values() or keyword.iskeyword(made):
                made += "_"
            self._names[key] = made

    def _may_exit(self, routes: list[Node]) -> bool:
        """Whether a route that others call ends the script."""
        called = {("request_route", str(name)) for route in routes for name in routes_called(route)}
        return any(
            (str(route.data), name_of(route)) in called and any(route.find_pred(may_end))
            for route in routes
        )

    def _route(self, route: Node) -> None:
        kind, name = str(route.data), name_of(route)
        if kind in NEVER:
            self._note(route, NEVER[kind])
            return
        key = (kind, "" if kind == "event_route" else name)
        function = self._names.get(key)
        if function is None:
            return
        self._kind = KINDS[kind][0]
        self._is_called = kind == "request_route" and bool(name)
        file, line = self.source.place(position_of(route)[0])
        more = ", *parameters" if self._is_called else ""
        self._lines += ["", "", f"def {function}(request{more}):"]
        about = f"{shown_route(kind, name)} of {file.name}, line {line}."
        self._lines.append(f"    {_docstring(about)}")
        if kind == "event_route":
            self._lines.append("    parameters = request.params")
        calls = any(True for _ in routes_called(route))
        wraps = self._exits and calls and not self._is_called
        depth = 2 if wraps else 1
        begin = len(self._lines)
        if wraps:
            self._lines.append("    try:")
        statements = body_of(route).children
        if kind == "startup_route":
            statements = [each for each in statements if not self._subscribes(as_node(each))]
        self._last = set(last_calls(statements)) if self._is_called else set()
        self._block(statements, depth)
        if kind == "timer_route":
            self._timer(route, function)
        if wraps:
            self._lines += ["    except Exit:", "        pass"]
        if self._is_called and not re.match(r"    (return|raise)\b", self._lines[-1]):
            self._line(1, "return 1")
        self._check_reach(route, kind, self._lines[begin:])

    def _timer(self, route: Node, function: str) -> None:
        """Note how often a timer_route runs."""
        seconds = as_number(route.children[1])
        if not seconds:
            self._problem(as_token(route.children[1]), "an interval is not 0")
        self._intervals[function.removeprefix("timer_route_")] = seconds

    def _subscribes(self, statement: Node) -> bool:
        """Whether a statement of a startup_route is a subscription that the configuration has."""
        call = as_node(statement.children[0]) if statement.data == "call_" else None
        if call is None or str(call.children[0]) != "subscribe_event":
            return False
        given = [constant(as_node(each)) for each in call.children[1:]]
        if len(given) > 1 and given[0] in EVENTS and given[1]:
            self.subscribers.append(given[1])
        else:
            events = " or ".join(EVENTS)
            self._problem(call, f"subscribe_event() takes {events} and a constant socket here")
        return True

    def _check_reach(self, route: Node, kind: str, lines: list[str]) -> None:
        """Routes without a caller's message have less to ask."""
        reach = REACH.get(KINDS[kind][0])
        if reach is None:
            return
        code = without_texts("\n".join(lines))
        for name in dict.fromkeys(
            re.findall(rf"\brequest\b(?:\.(?!(?:{reach})\b)(\w+)|(?!\.))", code)
        ):
            article = "an" if kind[0] == "e" else "a"
            has = {"local": "$rm, $ru and $fu", "event": "$param(...)"}
            text = f"{article} {kind} cannot use {name or 'what changes a message'}: it has "
            self._problem(route, text + has.get(KINDS[kind][0], "no message"))

    # -- the module

    def _module(self, places: Iterable[str]) -> str:
        code = "\n".join(self._lines)
        used = {name for name in self._variables.used if hasattr(values, name)}
        used |= {
            name
            for name in re.findall(r"\b([a-z_][a-z0-9_]*)\(", code)
            if callable(vars(values).get(name))
        }
        if "raise Exit" in code or "except Exit" in code:
            used.add("Exit")
        head = [_docstring(f"Made of {self.source.path.name} by ds-farm convert."), ""]
        if "getpid()" in code:
            head += ["from os import getpid", ""]
        after = []
        if self._patterns:
            used.add("regex")
            after += [
                f"{name} = regex({quoted(literal)})" for literal, name in self._patterns.items()
            ]
        if "status." in code:
            used.add("Status")
            after.append("status = Status()")
        if "TAGS." in code:
            tags = (f"{quoted(name)}: {quoted(to)}" for name, to in self.sockets.tags.items())
            after.append(f"TAGS = {{{', '.join(tags)}}}")
        if self._intervals:
            entries = [f"{quoted(name)}: {seconds}" for name, seconds in self._intervals.items()]
            after.append(f"TIMER_ROUTES = {{{', '.join(entries)}}}")
        if self._needs_myself or "myself." in code:
            used.add("Myself")
            after.append(f"myself = Myself({', '.join(map(quoted, places))})")
        if used:
            head += [
                "from ds_farm.cfg.values import (",
                *(f"    {name}," for name in sorted(used)),
                ")",
            ]
        if after:
            head += [*([""] if used else []), *after]
        return "\n".join([*head, code if used or after else code.removeprefix("\n"), ""])


def _docstring(text: str) -> str:
    return '"""' + re.sub(r'[\\"\x00-\x1f]', "?", text) + '"""'
