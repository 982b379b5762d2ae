"""Functions that a script may call: their modules, their arguments, and what they become.

Most are methods of the request under their own names.  The others are made from variables and
`ds_farm.cfg.values`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ds_farm.cfg import forms

REQUEST = frozenset({"request"})
FAILURE = frozenset({"failure"})
BRANCH = frozenset({"branch"})
REPLY = frozenset({"onreply"})
LOCAL = frozenset({"local"})
BACKGROUND = frozenset({"local", "event", "timer", "startup"})
"""Routes without a caller's message."""

MESSAGE = REQUEST | FAILURE | BRANCH | REPLY
EVERYWHERE = MESSAGE | BACKGROUND

PLAIN, WORD, NAME, VALUE, AVP, PAIR, LISTED = (
    "plain", "word", "name", "value", "avp", "pair", "listed",
)  # fmt: skip
PATTERN, ROUTE, SUBST, CHECK, CHANGE, SOCKET, TARGET = (
    "pattern", "route", "subst", "check", "change", "socket", "target",
)  # fmt: skip
"""Kinds of arguments: a text with its variables filled in; a constant; the name of a variable; its
value; an AVP to change; ``$avp(from)[/$avp(to)[/flags]]``; all values of a variable; a regular
expression; a route; /a/b/; ``operator/value[/flags]`` of avp_check, of avp_op; a socket of ours;
the variable that a result goes to, as the beginning of a call."""


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


FUNCTIONS: dict[str, Function] = {
    # core
    "forward": Function((), 0, 1, REQUEST | FAILURE, code=forms.forward),
    "force_send_socket": Function((), 1, 1, kinds=(SOCKET,)),
    "append_branch": Function((), 0, 2, REQUEST | FAILURE, code=forms.append_branch),
    "setflag": Function((), 1, 1),
    "resetflag": Function((), 1, 1),
    "isflagset": Function((), 1, 1),
    "setbflag": Function((), 1, 2, code=forms.own_flag("setflag", "branch ")),
    "resetbflag": Function((), 1, 2, code=forms.own_flag("resetflag", "branch ")),
    "isbflagset": Function((), 1, 2, code=forms.own_flag("isflagset", "branch ")),
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
    "rewriteuserpass": Function((), 1, 1),
    "prefix": Function((), 1, 1, code=lambda a: f"request.prefix(text({a[0]}))"),
    "strip": Function((), 1, 1, code=lambda a: f"request.strip(number({a[0]}))"),
    "strip_tail": Function((), 1, 1, code=lambda a: f"request.strip_tail(number({a[0]}))"),
    "revert_uri": Function((), 0, 0),
    "setdsturi": Function((), 1, 1),
    "resetdsturi": Function((), 0, 0),
    "isdsturiset": Function((), 0, 0),
    "force_rport": Function((), 0, 0),
    "add_rport": Function((), 0, 0, method="force_rport"),
    "add_local_rport": Function((), 0, 0, code=lambda a: "1"),
    "set_via_handling": Function((), 1, 1, kinds=(WORD,), code=forms.via_handling),
    "avp_printf": Function((), 2, 2, EVERYWHERE, kinds=(TARGET,), code=lambda a: "".join(a) + ")"),
    "xlog": Function((), 1, 2, EVERYWHERE, code=forms.log),
    "log": Function((), 1, 2, EVERYWHERE, code=forms.log),
    "is_myself": Function((), 1, 2, code=lambda a: f"truth(myself.has({', '.join(a)}))"),
    "use_blacklist": Function((), 1, 1),
    "unuse_blacklist": Function((), 1, 1),
    "is_blacklisted": Function((), 1, 2),
    "update_stat": Function((), 2, 2, EVERYWHERE),
    "reset_stat": Function((), 1, 1, EVERYWHERE),
    "setsflag": Function((), 1, 1, code=forms.own_flag("setflag", "script ")),
    "resetsflag": Function((), 1, 1, code=forms.own_flag("resetflag", "script ")),
    "issflagset": Function((), 1, 1, code=forms.own_flag("isflagset", "script ")),
    "xdbg": Function((), 1, 1, EVERYWHERE, code=lambda a: f'log_line("L_DBG", {a[0]})'),
    "setdsthost": Function((), 1, 1, code=lambda a: f"put_host(request, host={a[0]})"),
    "setdstport": Function((), 1, 1, code=lambda a: f"put_host(request, port={a[0]})"),
    "construct_uri": Function(
        (), 6, 6, kinds=(*[PLAIN] * 5, TARGET),
        code=lambda a: f"{a[5]}uri_of({', '.join(a[:5])}))",
    ),
    "script_trace": Function((), 0, 3, code=lambda a: "1"),
    # maxfwd
    "mf_process_maxfwd_header": Function(("maxfwd",), 1, 1, REQUEST, is_number=(0,)),
    "is_maxfwd_lt": Function(("maxfwd",), 1, 1, code=forms.is_maxfwd_lt),
    # sl, signaling
    "sl_send_reply": Function(
        ("sl",), 2, 2, REQUEST | FAILURE, is_number=(0,), code=forms.reply("sl_send_reply")
    ),
    "sl_reply_error": Function(("sl",), 0, 0, REQUEST),
    "send_reply": Function(
        ("signaling", "sl"), 2, 2, REQUEST | FAILURE, is_number=(0,), code=forms.reply("send_reply")
    ),
    # tm
    "t_relay": Function(("tm",), 0, 2, REQUEST | FAILURE, code=forms.relay),
    "t_newtran": Function(("tm",), 0, 0, REQUEST),
    "t_reply": Function(
        ("tm",), 2, 2, REQUEST | FAILURE, is_number=(0,), code=forms.reply("t_reply")
    ),
    "t_on_failure": Function(("tm",), 1, 1, kinds=(ROUTE,)),
    "t_on_reply": Function(("tm",), 1, 1, kinds=(ROUTE,)),
    "t_on_branch": Function(("tm",), 1, 1, kinds=(ROUTE,)),
    "t_check_status": Function(("tm",), 1, 1, kinds=(PATTERN,)),
    "t_local_replied": Function(("tm",), 1, 1, FAILURE, kinds=(WORD,), code=forms.local_replied),
    "t_reply_with_body": Function(
        ("tm",), 3, 3, REQUEST | FAILURE, is_number=(0,), code=forms.reply("t_reply_with_body")
    ),
    "t_flush_flags": Function(("tm",), 0, 0, code=lambda a: "1"),
    "t_was_cancelled": Function(("tm",), 0, 0),
    "t_check_trans": Function(("tm",), 0, 0, MESSAGE),
    # rr
    "record_route": Function(("rr",), 0, 1, REQUEST | FAILURE | BRANCH),
    "record_route_preset": Function(
        ("rr",), 1, 2, REQUEST | FAILURE | BRANCH,
        code=forms.helper("preset_route"),
    ),
    "loose_route": Function(("rr",), 0, 0, REQUEST),
    "add_rr_param": Function(("rr",), 1, 1, REQUEST | FAILURE | BRANCH),
    "check_route_param": Function(("rr",), 1, 1, kinds=(PATTERN,)),
    "is_direction": Function(("rr",), 1, 1),
    # path
    "add_path": Function(
        ("path",), 0, 1, REQUEST, code=forms.helper("add_path")
    ),
    "add_path_received": Function(
        ("path",), 0, 1, REQUEST,
        code=forms.helper("add_path", "received=True"),
    ),
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
    "remove_hf_re": Function(
        ("sipmsgops",), 1, 1, kinds=(PATTERN,), code=lambda a: f"request.remove_hf({a[0]}, 'r')"
    ),
    "change_reply_status": Function(("sipmsgops", "textops"), 2, 2, REPLY, is_number=(0,)),
    "append_time": Function(
        ("sipmsgops", "textops"), 0, 0, REQUEST | FAILURE | BRANCH,
        code=lambda a: "request.append_to_reply(date_line())",
    ),
    "list_hdr_has_option": Function(("sipmsgops",), 2, 2, code=forms.helper("has_option")),
    "list_hdr_add_option": Function(
        ("sipmsgops",), 2, 2, code=forms.helper("add_option")
    ),
    "list_hdr_remove_option": Function(
        ("sipmsgops",), 2, 2, code=forms.helper("remove_option")
    ),
    "append_urihf": Function(
        ("sipmsgops", "textops"), 2, 2, REQUEST | FAILURE | BRANCH,
        code=forms.uri_header,
    ),
    "is_privacy": Function(
        ("sipmsgops", "textops"), 1, 1, code=forms.helper("has_privacy")
    ),
    "is_audio_on_hold": Function(
        ("sipmsgops", "textops"), 0, 0, code=forms.helper("is_audio_on_hold")
    ),
    "strip_body": Function(
        ("sipmsgops", "textops"), 0, 1,
        code=forms.helper("strip_body"),
    ),
    "remove_body_part": Function(
        ("sipmsgops",), 0, 1, code=forms.helper("strip_body")
    ),
    "sipmsg_validate": Function(
        ("sipmsgops",), 0, 2, kinds=(PLAIN, TARGET), code=forms.validate
    ),
    "is_present_hf": Function(("sipmsgops", "textops"), 1, 1),
    "append_to_reply": Function(("sipmsgops", "textops"), 1, 1),
    "search": Function(("textops",), 1, 1, kinds=(PATTERN,)),
    "search_body": Function(("textops",), 1, 1, kinds=(PATTERN,)),
    "search_append": Function(
        ("textops",), 2, 2, kinds=(PATTERN,), code=forms.helper("append_text")
    ),
    "search_append_body": Function(
        ("textops",), 2, 2, kinds=(PATTERN,), code=forms.helper("append_text", "in_body=True")
    ),
    "replace": Function(("textops",), 2, 2, kinds=(PATTERN,), code=forms.helper("replace_text")),
    "replace_all": Function(
        ("textops",), 2, 2, kinds=(PATTERN,), code=forms.helper("replace_text", "every=True")
    ),
    "replace_body": Function(
        ("textops",), 2, 2, kinds=(PATTERN,), code=forms.helper("replace_text", "in_body=True")
    ),
    "replace_body_all": Function(
        ("textops",), 2, 2, kinds=(PATTERN,),
        code=forms.helper("replace_text", "in_body=True", "every=True"),
    ),
    "replace_body_atonce": Function(
        ("textops",), 2, 2, kinds=(PATTERN,),
        code=forms.helper("replace_text", "in_body=True", "every=True", "is_one=True"),
    ),
    "subst": Function(
        ("textops",), 1, 1, kinds=(SUBST,), code=forms.helper("subst_message")
    ),
    "subst_body": Function(
        ("textops",), 1, 1, kinds=(SUBST,),
        code=forms.helper("subst_message", "in_body=True"),
    ),
    "subst_uri": Function(
        ("textops",), 1, 1, kinds=(SUBST,), code=forms.helper("subst_uri")
    ),
    "subst_user": Function(
        ("textops",), 1, 1, kinds=(SUBST,), code=forms.helper("subst_user")
    ),
    "uri_param": Function(("uri", "sipmsgops"), 1, 2, code=forms.uri_param),
    "ruri_has_param": Function(("sipmsgops",), 1, 2, code=forms.uri_param),
    "add_uri_param": Function(
        ("uri",), 1, 1, code=lambda a: forms.new_uri(f"with_params(request.ru, '', {a[0]})")
    ),
    "ruri_add_param": Function(
        ("sipmsgops",), 1, 1, code=lambda a: forms.new_uri(f"with_params(request.ru, '', {a[0]})")
    ),
    "del_uri_param": Function(
        ("uri",), 1, 1, code=lambda a: forms.new_uri(f"with_params(request.ru, {a[0]})")
    ),
    "ruri_del_param": Function(
        ("sipmsgops",), 1, 1, code=lambda a: forms.new_uri(f"with_params(request.ru, {a[0]})")
    ),
    "ruri_tel2sip": Function(("sipmsgops",), 0, 0, code=forms.helper("tel2sip")),
    "tel2sip": Function(("uri",), 0, 0, code=forms.helper("tel2sip")),
    "is_uri_user_e164": Function(
        ("uri", "sipmsgops"), 1, 1,
        code=lambda a: f"truth(regex(r'^\\+\\d{{2,15}}$').search(text(uri_part({a[0]}, 'user'))))",
    ),
    # options
    "options_reply": Function(
        ("options",), 0, 0, REQUEST, code=forms.helper("answer_options")
    ),
    # dispatcher
    "ds_select_dst": Function(
        ("dispatcher",), 2, 5, REQUEST | FAILURE, code=forms.select("ds_select_dst")
    ),
    "ds_select_domain": Function(
        ("dispatcher",), 2, 5, REQUEST | FAILURE, code=forms.select("ds_select_domain")
    ),
    "ds_next_dst": Function(("dispatcher",), 0, 1, REQUEST | FAILURE),
    "ds_next_domain": Function(("dispatcher",), 0, 1, REQUEST | FAILURE),
    "ds_mark_dst": Function(("dispatcher",), 0, 2, REQUEST | FAILURE, code=forms.mark),
    "ds_count": Function(
        ("dispatcher",), 3, 4, EVERYWHERE, kinds=(PLAIN, PLAIN, NAME), code=forms.count
    ),
    "ds_is_in_list": Function(("dispatcher",), 2, 5, code=forms.is_in_list),
    # avpops
    "is_avp_set": Function(
        ("avpops",), 1, 1, EVERYWHERE, kinds=(VALUE,),
        code=lambda a: f"avp_is_set({a[0]})",
    ),
    "avp_delete": Function(
        ("avpops",), 1, 1, EVERYWHERE, kinds=(AVP,),
        code=lambda a: f"drop_avp(request.avp, {a[0]})",
    ),
    "avp_copy": Function(
        ("avpops",), 2, 2, EVERYWHERE, kinds=(AVP, AVP), code=forms.avp_copy
    ),
    "avp_check": Function(
        ("avpops",), 2, 2, EVERYWHERE, kinds=(LISTED, CHECK),
        code=lambda a: f"check_avp({a[0]}, {a[1]})",
    ),
    "avp_op": Function(
        ("avpops",), 2, 2, EVERYWHERE, kinds=(PAIR, CHANGE),
        code=lambda a: f"change_avp(request.avp, {a[0].rpartition(', ')[0]}, {forms.flagged(a)})",
    ),
    "avp_subst": Function(
        ("avpops",), 2, 2, EVERYWHERE, kinds=(PAIR, SUBST),
        code=lambda a: f"subst_avp(request.avp, {a[0]}, {a[1]})",
    ),
    "avp_insert": Function(
        ("avpops",), 3, 3, EVERYWHERE, kinds=(AVP,),
        code=lambda a: f"insert_avp(request.avp, {', '.join(a)})",
    ),
    "avp_print": Function((), 0, 0, EVERYWHERE, code=lambda a: "print_avps(request.avp)"),
    "avp_pushto": Function(
        ("avpops",), 2, 2, REQUEST | FAILURE | BRANCH, kinds=(WORD, LISTED), code=forms.push_to
    ),
    # cfgutils
    "set_count": Function(
        ("cfgutils",), 2, 2, EVERYWHERE, kinds=(LISTED, TARGET),
        code=lambda a: f"{a[1]}len({a[0]}))",
    ),
    "ts_usec_delta": Function(
        ("cfgutils",), 5, 5, EVERYWHERE, kinds=(*[PLAIN] * 4, TARGET),
        code=lambda a: f"{a[4]}usec_delta({', '.join(a[:4])}))",
    ),
    "rand_event": Function(("cfgutils",), 0, 1, EVERYWHERE, code=forms.rand_event),
    "sleep": Function(("cfgutils",), 1, 1, code=lambda a: f"pause(number({a[0]}))"),
    "usleep": Function(("cfgutils",), 1, 1, code=lambda a: f"pause(number({a[0]}) / 1000000)"),
}  # fmt: skip
"""What is here can be called."""

OLDER = {
    "setduri": "setdsturi", "resetduri": "resetdsturi", "isduriset": "isdsturiset",
    "seth": "sethost", "setbranchflag": "setbflag", "resetbranchflag": "resetbflag",
    "isbranchflagset": "isbflagset", "force_local_rport": "add_local_rport",
    "setscriptflag": "setsflag", "resetscriptflag": "resetsflag",
    "isscriptflagset": "issflagset", "sip_validate": "sipmsg_validate",
    "pv_printf": "avp_printf", "setuserpass": "rewriteuserpass", "setup": "rewriteuserpass",
}  # fmt: skip
"""Other spellings of functions of the core."""

for _name, _same in OLDER.items():
    _function = FUNCTIONS[_same]
    FUNCTIONS[_name] = replace(_function, method=_function.method or _same)

WITHOUT_EFFECT = {
    "add_local_rport": "our Via has no rport, answers come to the port that it names",
    "force_local_rport": "our Via has no rport, answers come to the port that it names",
    "script_trace": "a translated script has no actions to trace",
    "t_flush_flags": "flags are the transaction's at once",
}
"""Functions that are called in vain, and why."""
