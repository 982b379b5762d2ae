"""Functions that a script may call: their modules, their arguments, and what they become.

Most are methods of the request under their own names.  The others are made from variables and
`ds_farm.cfg.values`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass

from ds_farm.cfg.tree import quoted
from ds_farm.dispatch.arguments import parse_choices
from ds_farm.errors import ConfigError

MARKS = ("a", "1", "i", "0", "p", "2")
"""States as ds_mark_dst has them."""

REQUEST = frozenset({"request"})
FAILURE = frozenset({"failure"})
BRANCH = frozenset({"branch"})
REPLY = frozenset({"onreply"})
LOCAL = frozenset({"local"})
EVENT = frozenset({"event"})
MESSAGE = REQUEST | FAILURE | BRANCH | REPLY
EVERYWHERE = MESSAGE | LOCAL | EVENT

PLAIN, FORMAT, NAME, VALUE, AVP, PATTERN, ROUTE, SUBST = (
    "plain", "format", "name", "value", "avp", "pattern", "route", "subst",
)  # fmt: skip
"""Kinds of arguments: a text with its variables filled in; the same for the log; the name of a
variable; its value; an AVP to change; a regular expression; a route; /a/b/."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function of a script."""

    modules: tuple[str, ...]
    """Any of these has it; () is the core."""

    least: int
    most: int
    routes: frozenset[str] = MESSAGE
    method: str = ""
    """Of the request; "" is the function's own name."""

    kinds: tuple[str, ...] = ()
    """Of its arguments; `PLAIN` are those that are not named."""

    code: Callable[[list[str]], str] | None = None
    """Makes the expression of its arguments' code, if it is no method."""

    is_number: tuple[int, ...] = ()
    """Arguments that must be numbers where they are constants."""


def _forward(arguments: list[str]) -> str:
    """``forward(udp:host:port)`` of 1.x, or a URI."""
    constant = _constant(arguments[0]) if arguments else None
    if constant is not None and not constant.startswith(("sip:", "$")):
        arguments = [quoted("sip:" + constant.removeprefix("udp:"))]
    return f"request.forward({', '.join(arguments)})"


def _avp_copy(arguments: list[str]) -> str:
    source, mark, flags = arguments[0].partition(", ")
    return f"copy_avp(request.avp, {source}, {arguments[1]}{mark}{flags})"


def _append_branch(arguments: list[str]) -> str:
    return f"request.append_branch({arguments[0] if arguments else ''})"


def _is_maxfwd_lt(arguments: list[str]) -> str:
    have = "number(first(request.hdr('Max-Forwards')) or 70)"
    return f"truth({have} < number({arguments[0]}))"


def _subst_user(arguments: list[str]) -> str:
    user = f"subst(uri_part(request.ru, 'user'), {arguments[0]})"
    return f"put(request, 'ru', with_user(request.ru, {user}))"


def _uri_param(arguments: list[str]) -> str:
    if len(arguments) == 1:
        return f"truth(has_param(uri_part(request.ru, 'params'), {arguments[0]}))"
    return f"truth(same(uri_param(request.ru, {arguments[0]}), {arguments[1]}))"


def _rand_event(arguments: list[str]) -> str:
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


def _select(name: str) -> Callable[[list[str]], str]:
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


def _mark(arguments: list[str]) -> str:
    """``(partition, state)`` of 2.1, ``(state, partition)`` of 3.0."""
    if len(arguments) == 2 and (_constant(arguments[0]) or "").lower() in MARKS:
        arguments = arguments[::-1]
    return f"request.ds_mark_dst({', '.join(a for a in arguments if _constant(a) != '')})"


def _count(arguments: list[str]) -> str:
    """``(set, filter, result)``, and a partition since 3.0."""
    return f"request.ds_count({_set(arguments, 3)}, {arguments[1]}, {arguments[2]})"


def _is_in_list(arguments: list[str]) -> str:
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


def _log(arguments: list[str]) -> str:
    level, line = arguments if len(arguments) == 2 else ('"L_ERR"', *arguments)
    return f"log_line({level}, {line})"


FUNCTIONS: dict[str, Function] = {
    # core
    "forward": Function((), 0, 1, REQUEST | FAILURE, code=_forward),
    "force_send_socket": Function((), 1, 1),
    "append_branch": Function((), 0, 2, REQUEST | FAILURE, code=_append_branch),
    "setflag": Function((), 1, 1),
    "resetflag": Function((), 1, 1),
    "isflagset": Function((), 1, 1),
    "rewriteuri": Function((), 1, 1),
    "seturi": Function((), 1, 1, method="rewriteuri"),
    "rewritehost": Function((), 1, 1),
    "sethost": Function((), 1, 1, method="rewritehost"),
    "rewritehostport": Function((), 1, 1),
    "sethostport": Function((), 1, 1, method="rewritehostport"),
    "sethp": Function((), 1, 1, method="rewritehostport"),
    "rewriteport": Function((), 1, 1),
    "setport": Function((), 1, 1, method="rewriteport"),
    "setp": Function((), 1, 1, method="rewriteport"),
    "rewriteuser": Function((), 1, 1),
    "setuser": Function((), 1, 1, method="rewriteuser"),
    "setu": Function((), 1, 1, method="rewriteuser"),
    "prefix": Function((), 1, 1),
    "strip": Function((), 1, 1),
    "strip_tail": Function((), 1, 1),
    "revert_uri": Function((), 0, 0),
    "setdsturi": Function((), 1, 1),
    "resetdsturi": Function((), 0, 0),
    "isdsturiset": Function((), 0, 0),
    "force_rport": Function((), 0, 0),
    "add_rport": Function((), 0, 0, method="force_rport"),
    "xlog": Function((), 1, 2, EVERYWHERE, code=_log),
    "log": Function((), 1, 2, EVERYWHERE, code=_log),
    "is_myself": Function((), 1, 2, code=lambda a: f"truth(myself.has({', '.join(a)}))"),
    "use_blacklist": Function((), 1, 1),
    "unuse_blacklist": Function((), 1, 1),
    "is_blacklisted": Function((), 1, 2),
    "update_stat": Function((), 2, 2),
    "reset_stat": Function((), 1, 1),
    # maxfwd
    "mf_process_maxfwd_header": Function(("maxfwd",), 1, 1, REQUEST, is_number=(0,)),
    "is_maxfwd_lt": Function(("maxfwd",), 1, 1, code=_is_maxfwd_lt),
    # sl, signaling
    "sl_send_reply": Function(("sl",), 2, 2, REQUEST | FAILURE, is_number=(0,)),
    "sl_reply_error": Function(("sl",), 0, 0, REQUEST),
    "send_reply": Function(("signaling", "sl"), 2, 2, REQUEST | FAILURE, is_number=(0,)),
    # tm
    "t_relay": Function(("tm",), 0, 2, REQUEST | FAILURE),
    "t_newtran": Function(("tm",), 0, 0, REQUEST),
    "t_reply": Function(("tm",), 2, 2, REQUEST | FAILURE, is_number=(0,)),
    "t_on_failure": Function(("tm",), 1, 1, kinds=(ROUTE,)),
    "t_on_reply": Function(("tm",), 1, 1, kinds=(ROUTE,)),
    "t_on_branch": Function(("tm",), 1, 1, kinds=(ROUTE,)),
    "t_check_status": Function(("tm",), 1, 1, FAILURE | REPLY),
    "t_was_cancelled": Function(("tm",), 0, 0, REQUEST | FAILURE | REPLY),
    "t_check_trans": Function(("tm",), 0, 0, MESSAGE),
    # rr
    "record_route": Function(("rr",), 0, 1, REQUEST | FAILURE | BRANCH),
    "loose_route": Function(("rr",), 0, 0, REQUEST),
    "add_rr_param": Function(("rr",), 1, 1, REQUEST | FAILURE | BRANCH),
    "check_route_param": Function(("rr",), 1, 1),
    "is_direction": Function(("rr",), 1, 1),
    # sipmsgops, textops, uri
    "is_method": Function(("sipmsgops", "textops"), 1, 1, MESSAGE | LOCAL),
    "has_totag": Function(("sipmsgops", "uri", "textops"), 0, 0),
    "has_body": Function(("sipmsgops", "textops"), 0, 1),
    "append_hf": Function(("sipmsgops", "textops"), 1, 2, MESSAGE | LOCAL),
    "insert_hf": Function(("sipmsgops", "textops"), 1, 2),
    "remove_hf": Function(("sipmsgops", "textops"), 1, 2),
    "remove_hf_glob": Function(
        ("sipmsgops",), 1, 1, code=lambda a: f"request.remove_hf({a[0]}, 'g')"
    ),
    "is_present_hf": Function(("sipmsgops", "textops"), 1, 1),
    "append_to_reply": Function(("sipmsgops", "textops"), 1, 1),
    "search": Function(("textops",), 1, 1, kinds=(PATTERN,)),
    "search_body": Function(("textops",), 1, 1, kinds=(PATTERN,)),
    "subst_uri": Function(
        ("textops",), 1, 1, kinds=(SUBST,),
        code=lambda a: f"put(request, 'ru', subst(request.ru, {a[0]}))",
    ),
    "subst_user": Function(("textops",), 1, 1, kinds=(SUBST,), code=_subst_user),
    "uri_param": Function(("uri", "sipmsgops"), 1, 2, code=_uri_param),
    # dispatcher
    "ds_select_dst": Function(
        ("dispatcher",), 2, 5, REQUEST | FAILURE, code=_select("ds_select_dst")
    ),
    "ds_select_domain": Function(
        ("dispatcher",), 2, 5, REQUEST | FAILURE, code=_select("ds_select_domain")
    ),
    "ds_next_dst": Function(("dispatcher",), 0, 1, REQUEST | FAILURE),
    "ds_next_domain": Function(("dispatcher",), 0, 1, REQUEST | FAILURE),
    "ds_mark_dst": Function(("dispatcher",), 0, 2, REQUEST | FAILURE, code=_mark),
    "ds_count": Function(
        ("dispatcher",), 3, 4, kinds=(PLAIN, PLAIN, NAME), code=_count
    ),
    "ds_is_in_list": Function(("dispatcher",), 2, 5, code=_is_in_list),
    # avpops
    "is_avp_set": Function(
        ("avpops",), 1, 1, kinds=(VALUE,), code=lambda a: f"truth(({a[0]}) is not None)"
    ),
    "avp_delete": Function(
        ("avpops",), 1, 1, kinds=(AVP,), code=lambda a: f"drop_avp(request.avp, {a[0]})"
    ),
    "avp_printf": Function(
        ("avpops",), 2, 2, kinds=(AVP,), code=lambda a: f"set_avp(request.avp, {a[0]}, {a[1]})"
    ),
    "avp_copy": Function(
        ("avpops",), 2, 2, kinds=(AVP, AVP), code=_avp_copy
    ),
    "avp_subst": Function(
        ("avpops",), 2, 2, kinds=(AVP, SUBST),
        code=lambda a: f"subst_avp(request.avp, {a[0]}, {a[1]})",
    ),
    # cfgutils
    "rand_event": Function(("cfgutils",), 0, 1, code=_rand_event),
    "sleep": Function(("cfgutils",), 1, 1, code=lambda a: f"pause(number({a[0]}))"),
    "usleep": Function(("cfgutils",), 1, 1, code=lambda a: f"pause(number({a[0]}) / 1000000)"),
}  # fmt: skip
"""What is here can be called."""

NOTHING_HERE = frozenset(
    (
        *("db_mysql", "db_text", "db_sqlite", "db_postgres", "db_unixodbc", "db_virtual"),
        *("db_http", "db_berkeley", "mi_fifo", "mi_datagram", "mi_http", "mi_json", "mi_xmlrpc"),
        *("mi_xmlrpc_ng", "mi_html", "httpd", "event_datagram", "event_flatstore", "event_route"),
        *("event_stream", "event_xmlrpc", "proto_udp", "proto_tcp", "statistics", "path"),
        *("maxfwd", "sl", "signaling", "tm", "rr", "sipmsgops", "textops", "uri", "dispatcher"),
        *("avpops", "cfgutils", "pi_http", "json", "options", "mathops", "stun", "xlog", "pv"),
    )
)
"""Modules that may be loaded: what they do is built in, or has functions in the table above.  Of
others only what a script calls is missing."""

ELSEWHERE = {
    name: module
    for module, names in {
        "registrar": ("save", "lookup", "is_registered", "add_sock_hdr", "unregister"),
        "auth": ("www_challenge", "proxy_challenge", "consume_credentials", "pv_www_authorize"),
        "auth_db": ("www_authorize", "proxy_authorize", "db_does_uri_exist", "db_check_from"),
        "nathelper": ("fix_nated_contact", "fix_nated_register", "nat_uac_test", "fix_nated_sdp"),
        "rtpproxy": ("rtpproxy_offer", "rtpproxy_answer", "rtpproxy_unforce", "rtpproxy_engage"),
        "rtpengine": (
            "rtpengine_offer",
            "rtpengine_answer",
            "rtpengine_delete",
            "rtpengine_manage",
        ),
        "dialog": ("create_dialog", "validate_dialog", "fix_route_dialog", "set_dlg_profile"),
        "acc": ("do_accounting", "acc_log_request", "acc_db_request"),
        "load_balancer": (
            "lb_start",
            "lb_start_or_next",
            "lb_next",
            "lb_is_started",
            "load_balance",
        ),
        "drouting": ("do_routing", "route_to_carrier", "route_to_gw", "use_next_gw", "is_from_gw"),
        "path": ("add_path", "add_path_received"),
        "permissions": ("allow_trusted", "check_address", "check_source_address", "allow_routing"),
        "topology_hiding": ("topology_hiding", "topology_hiding_match"),
        "uac": ("uac_replace_from", "uac_replace_to", "uac_auth"),
        "avpops": ("avp_db_query", "avp_db_load", "avp_check", "avp_op", "avp_print", "avp_pushto"),
        "textops": ("subst", "subst_body", "replace", "replace_all", "replace_body"),
        "tm": ("t_local_replied", "t_cancel_branch", "t_uac_dlg", "t_flush_flags"),
        "cfgutils": ("rand_set_prob", "get_static_lock", "release_static_lock", "check_time_rec"),
        "ratelimit": ("rl_check", "rl_dec_count"),
        "pike": ("pike_check_req",),
        "enum": ("enum_query",),
        "exec": ("exec", "exec_msg", "exec_avp"),
    }.items()
    for name in names
}
"""Functions that scripts call and that are not here: their modules, for the message."""
