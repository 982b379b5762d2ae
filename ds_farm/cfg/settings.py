"""Global parameters and ``modparam`` of a script as the sections of ds_farm.toml.

What means something here is honoured; what does not is accepted with a note; a module's parameter
that is not there is a mistake.  Values stay as they are written: `ds_farm.config` says what is
wrong with them, by their place in the script.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from lark import Token

from ds_farm.cfg.errors import ScriptProblem
from ds_farm.cfg.expressions import MOST_LOOPS
from ds_farm.cfg.modules import GLOBALS_IGNORED, NOTHING_HERE
from ds_farm.cfg.parse import Node
from ds_farm.cfg.sockets import DEFAULT_PORT, Sockets, listening, options_of, places_of
from ds_farm.cfg.source import Source
from ds_farm.cfg.tree import as_number, unquoted

Place = tuple[str | int, ...]
Value = str | int | float | bool | list[str]

_LEVELS = {-3: "error", -2: "error", -1: "error", 0: "error", 1: "warning", 2: "info", 3: "info"}

DIRECT = {
    "db_default_url": ("dispatcher", "db_url"),
    "dns_try_naptr": ("dns", "try_naptr"),
    "dns_use_search_list": ("dns", "use_search_list"),
    "user": ("farm", "user"),
    "uid": ("farm", "user"),
    "group": ("farm", "group"),
    "gid": ("farm", "group"),
    "maxbuffer": ("farm", "receive_buffer_bytes"),
    "tos": ("farm", "tos"),
}
"""Global parameters that the farm has under another name."""

NUMBERS = frozenset({"try_naptr", "use_search_list", "receive_buffer_bytes", "tos"})
WORDS = {
    **{"yes": 1, "on": 1, "true": 1, "enable": 1, "no": 0, "off": 0, "false": 0, "disable": 0},
    **{"iptos_lowdelay": 16, "iptos_throughput": 8, "iptos_reliability": 4, "iptos_mincost": 2},
}
"""What stands for a number."""

LISTS = frozenset({"alias", "listen", "socket", "mem-group"})
"""Global parameters with more than one value."""


SINCE_2_1 = frozenset(
    (
        *("socket", "udp_workers", "tcp_workers", "timer_workers", "log_level", "stderror_enabled"),
        *("syslog_enabled", "xlog_level", "stderror_level_filter", "syslog_level_filter"),
    )
)
"""Global parameters that tell a script's age, as do modules named proto_..."""


@dataclass(slots=True)
class Settings:
    """What the script says besides its routes."""

    sections: dict[str, dict[str, Value]] = field(default_factory=dict)
    places: dict[Place, tuple[int, int]] = field(default_factory=dict)
    """Line and column of each value."""

    sockets: Sockets = field(default_factory=Sockets)
    modules: set[str] = field(default_factory=set)
    aliases: list[str] = field(default_factory=list)
    most_loops: int = MOST_LOOPS
    is_1x: bool = True
    """There is nothing in it that only 2.1 and later know."""

    follows_received: bool = False
    """loose_route() goes by the ``received`` of our own Route (use_received of module path)."""

    problems: list[ScriptProblem] = field(default_factory=list)
    notes: list[ScriptProblem] = field(default_factory=list)

    def partitions(self) -> list[str]:
        """Names of the dispatcher's partitions."""
        lines = self.sections.get("dispatcher", {}).get("partition", [])
        given = lines if isinstance(lines, list) else [lines]
        return [str(line).partition(":")[0].strip() for line in given]


class Reader:
    """Goes through the parts of a script that are no routes."""

    def __init__(self, source: Source) -> None:
        self.settings = Settings()
        self._source = source
        self._port = DEFAULT_PORT
        self._sockets: list[tuple[str, str, str]] = []
        self._advertised: dict[str, str] = {}
        self._fifo_parts: dict[str, str] = {}

    def read(self, items: list[Node]) -> Settings:
        """All of them."""
        for item in items:
            if item.data == "global":
                self._global(_token(item, 0), *_tokens(item)[1:])
            elif item.data == "loadmodule":
                self._module(_token(item, 0))
        for item in items:
            if item.data == "modparam":
                self._parameter(item)
        self._listen()
        return self.settings

    def _put(
        self, section: str, key: str, value: Value, at: Token, *, several: bool = False
    ) -> None:
        values = self.settings.sections.setdefault(section, {})
        if several and key in values:
            before = values[key]
            values[key] = [*(before if isinstance(before, list) else [str(before)]), str(value)]
        else:
            values[key] = value
        self.settings.places.setdefault((section, key), (at.line or 0, at.column or 0))

    def _problem(self, at: Token, text: str) -> None:
        problem = self._source.problem(at.line or 0, at.column or 0, text)
        self.settings.problems.append(problem)

    def _note(self, at: Token, text: str) -> None:
        self.settings.notes.append(self._source.problem(at.line or 0, at.column or 0, text))

    # -- global parameters

    def _global(self, at: Token, value: Token, *more: Token) -> None:
        text = " ".join(_plain(each) for each in (value, *more))
        key = str(at)
        if key in SINCE_2_1:
            self.settings.is_1x = False
        if more and key not in LISTS:
            self._problem(more[0], f"got {more[0]}, expected one value of {key}")
            return
        makers: dict[str, Callable[[str, Token], None]] = {
            "listen": self._list,
            "socket": self._list,
            "port": self._set_port,
            "children": self._children,
            "udp_workers": self._children,
            "debug": self._debug,
            "log_level": self._debug,
            "alias": self._alias,
            "dst_blacklist": lambda t, at: self._note(at, "dst_blacklist: the dispatcher's own "
                "lists (ds_define_blacklist) are there, static ones are not"),
            "advertised_address": lambda t, at: self._advertised.update(address=t),
            "advertised_port": lambda t, at: self._advertised.update(port=t),
        }  # fmt: skip
        if key == "max_while_loops":
            self._loops(text, value)
        elif key in makers:
            makers[key](text, value)
        elif key in DIRECT:
            section, name = DIRECT[key]
            self._put(section, name, _word_or_number(text) if name in NUMBERS else text, value)
        elif key == "auto_aliases":
            pass
        elif key in GLOBALS_IGNORED or key.startswith(("tcp_", "tls_")):
            self._note(at, f"{key} means nothing here")
        else:
            self._problem(at, f"there is no global parameter {key}")

    def _number(self, text: str, at: Token, name: str) -> int | None:
        number = _word_or_number(text)
        if isinstance(number, int):
            return number
        self._problem(at, f"{name}: expected a number, got {text!r}")
        return None

    def _loops(self, text: str, at: Token) -> None:
        number = self._number(text, at, "max_while_loops")
        if number is not None:
            self.settings.most_loops = number

    def _list(self, text: str, at: Token) -> None:
        for each in places_of(text):
            self._socket(each, at)

    def _socket(self, text: str, at: Token) -> None:
        place, options = options_of(text)
        proto = place.partition(":")[0].lower()
        if proto in ("tcp", "tls", "sctp", "ws", "wss", "hep_udp", "hep_tcp", "bin"):
            self._note(at, f"{place} is not listened on: SIP over UDP only")
            return
        for name in options.keys() - {"as", "tag"}:
            self._note(at, f"{name} of a socket means nothing here: each worker serves all of them")
        self._sockets.append((place, options.get("as", ""), options.get("tag", "")))
        self.settings.places.setdefault(("farm", "socket"), (at.line or 0, at.column or 0))

    def _set_port(self, text: str, at: Token) -> None:
        number = self._number(text, at, "port")
        if number is not None:
            self._port = number

    def _children(self, text: str, at: Token) -> None:
        number = self._number(text.split()[0] if text.split() else text, at, "children")
        if number is not None:
            self._put("farm", "children", number, at)

    def _debug(self, text: str, at: Token) -> None:
        number = self._number(text, at, "log_level")
        if number is not None:
            self._put("log", "level", _LEVELS.get(number, "debug" if number > 3 else "error"), at)

    def _alias(self, text: str, at: Token) -> None:
        for each in text.split():
            host = re.sub(r"^(any|udp|tcp|tls|sctp|wss?):", "", each.strip("\"'"))
            self.settings.aliases.append(host)

    def _listen(self) -> None:
        """Without ``listen`` OpenSIPS takes every interface; `*` and names of interfaces too."""
        sockets = self.settings.sockets
        for text, told, tag in self._sockets or [("udp:*", "", "")]:
            made = listening(text, self._port, told, self._advertised)
            sockets.texts += [each for each in made if each not in sockets.texts]
            if tag:
                sockets.tags[tag] = made[0].partition(" as ")[0]
        self.settings.sections.setdefault("farm", {})["socket"] = sockets.texts

    # -- modules

    def _module(self, token: Token) -> None:
        name = unquoted(str(token)).rsplit("/", 1)[-1].removesuffix(".so")
        self.settings.modules.add(name)
        if name.startswith("proto_"):
            self.settings.is_1x = False
        if name not in NOTHING_HERE:
            self._note(token, f"of module {name} there is nothing here")

    def _parameter(self, item: Node) -> None:
        module, name = (unquoted(str(_token(item, n))) for n in (0, 1))
        at = _token(item, 1)
        node = item.children[2]
        value: str | int
        if isinstance(node, Token):
            value = _plain(node) if node.type == "STRING" else _word_or_number(str(node))
            if node.type == "NAME" and isinstance(value, str):
                self._problem(node, f"got {value}, expected a string, a number, yes or no")
                return
        else:
            value = -as_number(node.children[0])
        for each in module.split("|"):
            self._set(each.removesuffix(".so"), name, value, at)

    def _set(self, module: str, name: str, value: str | int, at: Token) -> None:
        if module not in self.settings.modules:
            self._problem(at, f"modparam of module {module}, which is not loaded")
        elif module == "dispatcher":
            self._dispatcher(name, value, at)
        elif module == "tm":
            self._tm(name, value, at)
        elif (module, name) == ("path", "use_received"):
            self.settings.follows_received = value not in (0, "0")
        elif (module, name) in _PARAMETERS:
            section, key = _PARAMETERS[module, name]
            is_mode = key == "mode" and isinstance(value, int)
            self._put(section, key, f"{value:04o}" if is_mode else value, at)
        elif module in ("mi_http", "mi_json", "mi_xmlrpc", "httpd", "mi_datagram", "mi_fifo"):
            self._management(module, name, value, at)
        elif module in NOTHING_HERE:  # of others it has been said that nothing is here
            self._note(at, f"{name} of module {module} means nothing here")

    def _dispatcher(self, name: str, value: str | int, at: Token) -> None:
        several = name in ("ds_define_blacklist", "partition")
        if name == "flags":
            self._note(at, "flags are an argument of ds_select_dst since 1.12: add 'f' there")
        elif name in ("force_dst", "use_default"):
            self._note(at, f"{name} is a flag of ds_select_dst since 1.12")
        else:
            self._put("dispatcher", name, value, at, several=several)

    def _tm(self, name: str, value: str | int, at: Token) -> None:
        found = {
            "fr_timeout": "fr_timeout", "fr_timer": "fr_timeout",
            "fr_inv_timeout": "fr_inv_timeout", "fr_inv_timer": "fr_inv_timeout",
            "T1_timer": "T1_timer", "T2_timer": "T2_timer", "auto_100trying": "auto_100trying",
        }.get(name)  # fmt: skip
        if found:
            self._put(
                "tm", found, float(value) if "fr_" in name and isinstance(value, int) else value, at
            )
        else:
            self._note(at, f"{name} of module tm means nothing here")

    def _management(self, module: str, name: str, value: str | int, at: Token) -> None:
        if module == "httpd" and name in ("ip", "port"):
            self._fifo_parts[name] = str(value)
            parts = self._fifo_parts
            address = f"{parts.get('ip', '127.0.0.1')}:{parts.get('port', '8888')}"
            self._put("mi", "http", address, at)
        elif module == "mi_datagram" and name == "socket_name":
            text = str(value)
            self._put("mi", "datagram", text if text.startswith("udp:") else f"unix:{text}", at)
        elif (module, name) == ("mi_http", "root"):
            if str(value).strip("/") != "mi":
                self._note(at, f"root of module mi_http: MI is served at /mi, not at /{value}")
        else:
            self._note(at, f"{name} of module {module} means nothing here")


_PARAMETERS = {
    ("mi_fifo", "fifo_name"): ("mi", "fifo"),
    ("mi_fifo", "reply_dir"): ("mi", "fifo_reply_dir"),
    ("mi_fifo", "fifo_mode"): ("mi", "mode"),
    ("mi_datagram", "unix_socket_mode"): ("mi", "mode"),
}


def _word_or_number(text: str) -> str | int:
    found = re.fullmatch(r"([-+]?)\s*(0x[0-9a-f]{1,16}|\d{1,18})", text, re.IGNORECASE)
    if found:
        return as_number(found[2]) * (-1 if found[1] == "-" else 1)
    return WORDS.get(text.lower(), text)


def _plain(token: Token) -> str:
    """A value without its quotes."""
    text = str(token).strip()
    return unquoted(text) if text[:1] in "\"'" else text


def _tokens(item: Node) -> list[Token]:
    return [each for each in item.children if isinstance(each, Token)]


def _token(item: Node, index: int) -> Token:
    token = item.children[index]
    assert isinstance(token, Token)
    return token
