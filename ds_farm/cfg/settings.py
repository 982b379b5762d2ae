"""Global parameters and ``modparam`` of a script as the sections of ds_farm.toml.

What means something here is honoured; what does not is accepted with a note; a module's parameter
that is not there is a mistake.  Values stay as they are written: `ds_farm.config` says what is
wrong with them, by their place in the script.
"""

from __future__ import annotations

import fcntl
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from lark import Token

from ds_farm.cfg.errors import ScriptProblem
from ds_farm.cfg.expressions import MOST_LOOPS
from ds_farm.cfg.functions import NOTHING_HERE
from ds_farm.cfg.parse import Node
from ds_farm.cfg.source import Source
from ds_farm.cfg.tree import as_number, unquoted

Place = tuple[str | int, ...]
Value = str | int | float | bool | list[str]

SIOCGIFADDR = 0x8915
DEFAULT_PORT = 5060

_LEVELS = {-3: "error", -2: "error", -1: "error", 0: "error", 1: "warning", 2: "info", 3: "info"}

IGNORED = frozenset(
    (
        *("fork", "log_stderror", "stderror_enabled", "syslog_enabled", "log_facility", "log_name"),
        *("syslog_facility", "syslog_name", "mpath", "check_via", "dns", "rev_dns", "memdump"),
        *("memlog", "mem_dump", "mem_log", "disable_tcp", "disable_tls", "tcp_children", "wdir"),
        *("tcp_workers", "tcp_max_connections", "server_header", "server_signature", "syn_branch"),
        *("user_agent_header", "sip_warning", "dns_try_ipv6", "dns_try_naptr", "dns_retr_time"),
        *("dns_retr_no", "dns_servers_no", "dns_use_search_list", "disable_dns_failover", "user"),
        *("disable_dns_blacklist", "disable_core_dump", "open_files_limit", "group", "chroot"),
        *("db_version_table", "db_max_async_connections", "mhomed", "mcast_ttl", "tos", "uid"),
        *("auto_scaling_profile", "auto_scaling_cycle", "timer_workers", "pv_print_buf_size"),
        *(
            "max_while_loops",
            "maxbuffer",
            "query_buffer_size",
            "reply_to_via",
            "exec_msg_threshold",
        ),
        *(
            "exec_dns_threshold",
            "tcp_threshold",
            "shm_hash_split_percentage",
            "restart_persistency",
        ),
        *("xlog_buf_size", "xlog_force_color", "xlog_level", "xlog_print_level", "abort_on_assert"),
        *("disable_503_translation", "shm_size", "pkg_size", "loadpath", "cfg_hash"),
        *("advertised_address", "advertised_port", "enable_asserts", "anycast", "gid", "pmemsize"),
        *("shm_memlog_size", "udp_receive_buffer", "poll_method", "stateless_forward"),
    )
)
"""Global parameters that change nothing here."""


@dataclass(slots=True)
class Settings:
    """What the script says besides its routes."""

    sections: dict[str, dict[str, Value]] = field(default_factory=dict)
    places: dict[Place, tuple[int, int]] = field(default_factory=dict)
    """Line and column of each value."""

    modules: set[str] = field(default_factory=set)
    aliases: list[str] = field(default_factory=list)
    most_loops: int = MOST_LOOPS
    problems: list[ScriptProblem] = field(default_factory=list)
    notes: list[ScriptProblem] = field(default_factory=list)


class Reader:
    """Goes through the parts of a script that are no routes."""

    def __init__(self, source: Source) -> None:
        self.settings = Settings()
        self._source = source
        self._port = DEFAULT_PORT
        self._sockets: list[str] = []
        self._fifo_parts: dict[str, str] = {}

    def read(self, items: list[Node]) -> Settings:
        """All of them."""
        for item in items:
            if item.data == "global":
                self._global(_token(item, 0), _token(item, 1))
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

    def _global(self, name: Token, value: Token) -> None:
        text = str(value).strip()
        if text[:1] in "\"'":
            text = unquoted(text)
        key = str(name)
        makers: dict[str, Callable[[str, Token], None]] = {
            "listen": self._socket,
            "socket": self._socket,
            "port": self._set_port,
            "children": self._children,
            "udp_workers": self._children,
            "debug": self._debug,
            "log_level": self._debug,
            "alias": self._alias,
            "dst_blacklist": lambda t, at: self._note(at, "dst_blacklist: the dispatcher's own "
                "lists (ds_define_blacklist) are there, static ones are not"),
            "db_default_url": lambda t, at: self._put("dispatcher", "db_url", t, at),
        }  # fmt: skip
        if key == "max_while_loops":
            self._loops(text, value)
        elif key in makers:
            makers[key](text, value)
        elif key == "auto_aliases":
            pass
        elif key in IGNORED or key.startswith(("tcp_", "tls_")):
            self._note(name, f"{key} means nothing here")
        else:
            self._problem(name, f"there is no global parameter {key}")

    def _number(self, text: str, at: Token, name: str) -> int | None:
        if re.fullmatch(r"-?\d+", text):
            return int(text)
        self._problem(at, f"{name}: expected a number, got {text!r}")
        return None

    def _loops(self, text: str, at: Token) -> None:
        number = self._number(text, at, "max_while_loops")
        if number is not None:
            self.settings.most_loops = number

    def _socket(self, text: str, at: Token) -> None:
        place = re.split(
            r"\s+(?:use_workers|use_children|use_auto_scaling_profile|anycast|tag|accept_subdomain)\b",
            text,
        )[0]
        proto = place.partition(":")[0].lower()
        if proto in ("tcp", "tls", "sctp", "ws", "wss", "hep_udp", "hep_tcp", "bin"):
            self._note(at, f"{place} is not listened on: SIP over UDP only")
            return
        self._sockets.append(place)
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
        host = re.sub(r"^(udp|tcp|tls|sctp):", "", text)
        self.settings.aliases.append(host)

    def _listen(self) -> None:
        """Without ``listen`` OpenSIPS takes every interface; `*` and names of interfaces too."""
        sockets: list[str] = []
        for text in self._sockets or ["udp:*"]:
            found = re.fullmatch(r"(?:(udp):)?(\*|[A-Za-z]\w*)(?::(\d+))?(\s+as\s+.+)?", text)
            addresses = _interfaces(found[2]) if found else []
            if found and addresses:
                port = found[3] or str(self._port)
                sockets += [f"udp:{each}:{port}{found[4] or ''}" for each in addresses]
            else:
                host, mark, rest = text.partition(" as ")
                has_port = re.search(r"(?:\]|[^:\]]):\d+$", host.removeprefix("udp:").strip())
                full = host.strip() if has_port else f"{host.strip()}:{self._port}"
                sockets.append(f"{full}{mark}{rest}")
        self.settings.sections.setdefault("farm", {})["socket"] = list(dict.fromkeys(sockets))

    # -- modules

    def _module(self, token: Token) -> None:
        name = unquoted(str(token)).rsplit("/", 1)[-1].removesuffix(".so")
        self.settings.modules.add(name)
        if name not in NOTHING_HERE:
            self._note(token, f"of module {name} there is nothing here")

    def _parameter(self, item: Node) -> None:
        module, name = (unquoted(str(_token(item, n))) for n in (0, 1))
        at = _token(item, 1)
        node = item.children[2]
        if isinstance(node, Token):
            value: str | int = as_number(node) if node.type == "NUMBER" else unquoted(str(node))
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
        elif (module, name) in _PARAMETERS:
            section, key = _PARAMETERS[module, name]
            self._put(section, key, value, at)
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
        else:
            self._note(at, f"{name} of module {module} means nothing here")


_PARAMETERS = {
    ("mi_fifo", "fifo_name"): ("mi", "fifo"),
    ("mi_fifo", "reply_dir"): ("mi", "fifo_reply_dir"),
}


def _token(item: Node, index: int) -> Token:
    token = item.children[index]
    assert isinstance(token, Token)
    return token


def _interfaces(name: str) -> list[str]:
    """IPv4 addresses of an interface, of all for ``*``; none if there is no such interface."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, each in socket.if_nameindex():
            if name in ("*", each):
                request = struct.pack("256s", each.encode()[:15])
                try:
                    answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, request)
                except OSError:
                    continue  # an interface without an address
                found.append(socket.inet_ntoa(answer[20:24]))
    return found
