"""Functions and variables of a script that are made of other things, by what the farm sends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ds_farm.config import load
from tests.cfg.translated import HEAD, problems, run, says, translation
from tests.support.message import Draft, Sip

VIA = "SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKfunctions"


URI = "sips:0123@example.com:5070;user=phone"


def message(method: str = "INVITE", uri: str = URI) -> Draft:
    made = Draft(method, uri, via=VIA, key="functions")
    made.set("From", '"Al" <sip:+4930123@a.example>;tag=f1')
    made.add("Proxy-Authorization", 'Digest username="al", realm="a.example", uri="sip:x", nc=1')
    made.add("P-Preferred-Identity", '"Bo" <sip:bo@b.example>')
    made.add("Supported", "timer, 100rel")
    made.add("X-One", "1")
    made.add("X-Two", "2")
    return made


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$rz", "sips"),
        ("$au@$ar", "al@a.example"),
        ("$adu", "sip:x"),
        ("$pu|$pU|$pd|$pn", "sip:bo@b.example|bo|b.example|Bo"),
        ("$socket_in", "udp:127.0.0.1:5060"),
        ("$socket_in(ip) $socket_in(port) $socket_in(proto)", "127.0.0.1 5060 udp"),
        ("$msg.is_request $(msg.is_request) $socket_in.port $ru.", "1 1 5060 " + URI + "."),
        ("$C(rb)bold$C(xx)", "bold"),
        ("$fs", "<null>"),
    ],
)
def test_variables(tmp_path: Path, expression: str, value: str) -> None:
    assert says(tmp_path, f'"{expression}"', message()) == value


@pytest.mark.parametrize(
    ("statements", "value"),
    [
        ('$ru = "sip:9@example.org"; $avp(r) = "$ou $oU $od $op";',
         "sips:0123@example.com:5070;user=phone 0123 example.com 5070"),
        ('$fs = "udp:127.0.0.1:5060"; $avp(r) = $socket_out;', "udp:127.0.0.1:5060"),
        ('$fs = "udp:127.0.0.1:5060"; $fs = NULL; if ($fs == NULL) $avp(r) = "open";', "open"),
        ('$fs = "udp:127.0.0.1:5060"; $fs = $avp(x); if ($fs == NULL) $avp(r) = "open";', "open"),
        ('if ($tt == NULL && $ft != NULL) $avp(r) = $ft;', "f1"),
        ('if (is_uri_user_e164($fu)) $avp(r) = "yes";', "yes"),
        ('if (!is_uri_user_e164($ru)) $avp(r) = "no";', "no"),
        ('ruri_add_param("x=1"); add_uri_param(";y"); $avp(r) = $ru;',
         "sips:0123@example.com:5070;user=phone;x=1;y"),
        ('del_uri_param("USER"); $avp(r) = $ru;', "sips:0123@example.com:5070"),
        ('$ru = "sip:h:1?a=b"; ruri_add_param("p"); $avp(r) = $ru;', "sip:h:1;p?a=b"),
        ('if (ruri_has_param("user", "phone")) $avp(r) = "yes";', "yes"),
        ('if (list_hdr_has_option("Supported", "100REL")) $avp(r) = "yes";', "yes"),
        ('if (!list_hdr_has_option("Supported", "path")) $avp(r) = "no";', "no"),
        ('pv_printf("$avp(r)", "$rm!");', "INVITE!"),
        ('pv_printf($var(x), "$rU"); $avp(r) = "=$var(x)";', "=0123"),
        ('pv_printf("$ru", "sip:x@$rd"); $avp(r) = $ru;', "sip:x@example.com"),
        ('avp_printf("r", "plain");', "plain"),
        ('setduri("sip:192.0.2.7"); if (isduriset()) $avp(r) = $du; resetduri();',
         "sip:192.0.2.7"),
        ('seth("h.example"); $avp(r) = $rd;', "h.example"),
        ('setbranchflag(A); if (isbranchflagset(A)) $avp(r) = "set"; resetbranchflag(A);', "set"),
        ('add_local_rport(); force_local_rport(); $avp(r) = "gone on";', "gone on"),
        ('while (1) { $avp(r) = "once"; esac; }', "once"),
        ('setbflag(NAT); if (isbflagset(0, NAT) && !isflagset(NAT)) $avp(r) = "set";', "set"),
        ('setbflag(NAT, 0); if (isbflagset(0, NAT)) $avp(r) = "set";', "set"),
        ('setbflag(0, 3); setbflag(4); if (isbflagset(3, 0) && isbflagset(4)) $avp(r) = "set";',
         "set"),
        ('if (set_via_handling("force-rport,reply-to-via")) $avp(r) = "yes";', "yes"),
        ('if (!is_maxfwd_lt(70)) $avp(r) = "no"; if (is_maxfwd_lt(71)) $avp(r) = "$avp(r) yes";',
         "no yes"),
        ('setbflag(NAT); resetbflag(NAT); if (!isbflagset(NAT)) $avp(r) = "reset";', "reset"),
        ('$avp(n) = 7; if (avp_check("$avp(n)", "gt/i:6")) $avp(r) = "more";', "more"),
        ('$avp(n) = "B"; if (avp_check("$avp(n)", "eq/s:b/i")) $avp(r) = "alike";', "alike"),
        ('$avp(n) = "B"; if (!avp_check("$avp(n)", "eq/s:b")) $avp(r) = "unlike";', "unlike"),
        ('$avp(n) = "x"; $avp(n) = "abc"; if (avp_check("$avp(n)", "fm/x*/g")) $avp(r) = "one";',
         "one"),
        ('$avp(n) = "abc"; if (avp_check("$avp(n)", "re/^a.c$")) $avp(r) = "fits";', "fits"),
        ('$avp(n) = 6; if (avp_check("$avp(n)", "and/1")) $avp(r) = "x"; else $avp(r) = "none";',
         "none"),
        ('$avp(m) = 5; $avp(n) = 5; if (avp_check("$avp(n)", "eq/$avp(m)")) $avp(r) = "same";',
         "same"),
        ('$avp(n) = 7; avp_op("$avp(n)", "mul/6"); $avp(r) = $avp(n);', "42"),
        ('$avp(n) = -7; avp_op("$avp(n)", "div/2"); $avp(r) = $avp(n);', "-3"),
        ('$avp(n) = 7; if (!avp_op("$avp(n)", "mod/0")) $avp(r) = $avp(n);', "7"),
        ('if (!avp_op("$avp(none)", "add/1")) $avp(r) = "nothing";', "nothing"),
        ('$avp(r) = -7 / 2;', "-3"),
        ('$avp(r) = -7 % 4;', "-3"),
        ('$avp(r) = 7 % -4;', "3"),
    ],
)  # fmt: skip
def test_statements(tmp_path: Path, statements: str, value: str) -> None:
    assert says(tmp_path, "$avp(r)", message(), statements) == value


MYSELF = """
listen=udp:127.0.0.1:5062
alias=b.example:5070
alias=c.example
route {{ if ({}) sl_send_reply(200, "yes"); else sl_send_reply(200, "no"); }}
"""


@pytest.mark.parametrize(
    ("condition", "is_so"),
    [
        ('is_myself("$rd")', True),
        ('is_myself("$rd", "$rp")', False),
        ('is_myself("$rd", 5062)', True),
        ("uri == myself", False),  # of a URI that is port 5060
        ("dst_ip == myself", True),
        ('is_myself("b.example")', True),
        ('is_myself("B.example", 5070)', True),
        ('is_myself("b.example", 5071)', False),
        ('is_myself("c.example", 5071)', True),
        ('is_myself("sip:x@c.example")', True),
        ('is_myself("sip:127.0.0.1:5062")', True),
        ('is_myself("d.example")', False),
    ],
)
def test_a_host_without_a_port_is_this_server_by_any(
    tmp_path: Path, condition: str, is_so: bool
) -> None:
    sent = run(tmp_path, MYSELF.format(condition), message(uri="sip:a@127.0.0.1"))[0][0]
    assert Sip.read(sent).start_line == f"SIP/2.0 200 {'yes' if is_so else 'no'}".encode()


def test_sockets_of_the_command_line_are_this_server(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_text(HEAD + MYSELF.format("uri == myself"))
    given = ["udp:127.0.0.1:5060 as b.example:5070"]
    made = load(tmp_path / "a.cfg", instead={("farm", "socket"): given})
    known = '"127.0.0.1:5060", "b.example:5070", "b.example:5070", "c.example"'
    assert f"myself = Myself({known})\n" in (made.module_text or "")
    made = load(tmp_path / "a.cfg", instead={("farm", "socket"): "udp:127.0.0.2:5060"})
    assert '"127.0.0.2:5060", ' in (made.module_text or "")


TAGGED = """
socket=udp:127.0.0.1:5062 as 198.51.100.1:5070 use_workers 4 tag wan
socket=udp:127.0.0.1:5060 tag lan
route {{ {} $avp(r) = $socket_out; sl_send_reply(200, "$avp(r)"); }}
"""


@pytest.mark.parametrize(
    "statements",
    [
        '$socket_out = "lan";',
        '$fs = "lan";',
        'force_send_socket("lan");',
        "force_send_socket(lan);",
        "force_send_socket(udp:127.0.0.1:5060);",
        '$socket_out = "udp:127.0.0.1:5060";',
        '$var(s) = "lan"; $socket_out = $var(s);',
        '$var(s) = "lan"; force_send_socket("$var(s)");',
        '$var(s) = "127.0.0.1:5060"; $socket_out = $var(s);',
    ],
)
def test_sockets_by_tag_and_by_address(tmp_path: Path, statements: str) -> None:
    ((sent, *_),) = run(tmp_path, TAGGED.format(statements), message())
    assert Sip.read(sent).start_line == b"SIP/2.0 200 udp:127.0.0.1:5060"


def test_sockets_that_are_none_of_ours(tmp_path: Path) -> None:
    wrong = (
        *('$socket_out = "dmz";', '$fs = "udp:127.0.0.1:5061";', '$fs = "tcp:127.0.0.1:5060";'),
        *("force_send_socket(udp:9.9.9.9:5060);", "force_send_socket(dmz);"),
    )
    found = problems(tmp_path, TAGGED.format(" ".join(wrong)), HEAD)
    names = ("dmz", "udp:127.0.0.1:5061", "tcp:127.0.0.1:5060", "udp:9.9.9.9:5060", "dmz")
    assert [said for _, _, said in found] == [
        f"{name} is none of the sockets listened on" for name in names
    ]
    made = translation(tmp_path, TAGGED.format("$fs = 'udp:198.51.100.1:5070'; $fs = 'wan';"))
    assert made.sections["farm"]["socket"] == [
        "udp:127.0.0.1:5062 as 198.51.100.1:5070",
        "udp:127.0.0.1:5060",
    ]
    assert [note.text[:24] for note in made.notes] == ["use_workers of a socket "]


def test_sockets_of_the_command_line_may_leave_some_out(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_text(HEAD + TAGGED.format('$fs = "lan"; $fs = "wan";'))
    made = load(tmp_path / "a.cfg", instead={("farm", "socket"): "udp:127.0.0.1:5060"})
    assert [note.rpartition(": ")[2] for note in made.notes if "none of" in note] == [
        "wan is none of the sockets listened on"
    ]


def test_headers_by_a_regular_expression(tmp_path: Path) -> None:
    ((sent, *_),) = [
        each
        for each in run(
            tmp_path,
            'remove_hf_re("^x-(one|two)$"); ds_select_dst("1", "4"); forward();',
            message(),
        )
        if b"INVITE " in each[0][:8]
    ]
    forwarded = Sip.read(sent)
    assert (forwarded.all("x-one"), forwarded.all("x-two")) == ([], [])
    assert forwarded.all("supported") == [b"timer, 100rel"]


def test_options_for_this_server(tmp_path: Path) -> None:
    head = HEAD + 'loadmodule "options.so"\n'
    text = head + 'route { if (!options_reply()) sl_send_reply(404, "No"); }'
    ((sent, *_),) = run(tmp_path, text, message("OPTIONS", "sip:127.0.0.1"))
    answer = Sip.read(sent)
    assert answer.status == 200
    assert (answer.one("accept"), answer.one("accept-language")) == (b"*/*", b"en")
    ((sent, *_),) = run(tmp_path, text, message("OPTIONS", "sip:user@127.0.0.1"))
    assert Sip.read(sent).status == 404
    ((sent, *_),) = run(tmp_path, text, message("INFO", "sip:127.0.0.1"))
    assert Sip.read(sent).status == 404


def test_the_date_of_an_answer(tmp_path: Path) -> None:
    ((sent, *_),) = run(tmp_path, 'append_time(); sl_send_reply(200, "OK");', message())
    date = Sip.read(sent).one("date").decode()
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ('avp_check("$avp(x)", "is/1");', "expected operator/value, an operator of and, eq, fm,"),
        ('avp_op("$avp(x)", "pow/2");', "expected operator/value, an operator of add, and, div"),
        ('avp_op("$ru", "add/2");', "expected an AVP, got '$ru'"),
        ('send_reply(99, "x");', "send_reply(): '99' is no status code from 100 to 699"),
        ('t_reply("700", "x");', "t_reply(): '700' is no status code from 100 to 699"),
        ('pv_printf("$si", "x");', "expected $avp(...), $var(...) or one of $ru, $du, $rU,"),
        ("setbflag(1, NAT);", "setbflag(): flags of other branches than 0 are not there"),
        ('change_reply_status(400, "x");', "change_reply_status() cannot be called in a request"),
    ],
)
def test_mistakes(tmp_path: Path, call: str, expected: str) -> None:
    ((_, _, said),) = problems(tmp_path, f"route {{ {call} }}", HEAD)
    assert said.startswith(expected)


def test_a_place_from_a_variable(tmp_path: Path) -> None:
    for text in (
        '$var(p) = "192.0.2.9:5070"; forward("$var(p)");',
        'forward("udp:192.0.2.9:5070");',
    ):
        ((_, *place),) = run(tmp_path, text, message())
        assert place[:2] == ["192.0.2.9", 5070]


@pytest.mark.parametrize(
    ("inside", "value"),
    [
        ('ds_select_dst("77", "4");', "-1"),
        ('ds_select_dst("1", "4");', "1"),
        ('if (is_method("INVITE")) { ds_select_dst("77", "4"); }', "-1"),
        ('if (is_method("BYE")) { ds_select_dst("77", "4"); }', "1"),
        ('if (is_method("BYE")) exit; else if (1) { ds_select_dst("77", "4"); ; } else exit;',
         "-1"),
        ('route(inner);', "-1"),
        ('ds_select_dst("77", "4"); $var(x) = 1;', "1"),
        ('ds_select_dst("77", "4"); xlog("x");', "1"),
        ("", "1"),
    ],
)  # fmt: skip
def test_a_route_gives_what_its_last_statement_gave(
    tmp_path: Path, inside: str, value: str
) -> None:
    text = f"""
    route {{ if (route(asked)) $avp(r) = "1"; else $avp(r) = "-1"; sl_send_reply(200, "$avp(r)"); }}
    route[asked] {{ {inside} }}
    route[inner] {{ ds_select_dst("77", "4"); }}
    """
    sent = run(tmp_path, text, message())[-1][0]
    assert Sip.read(sent).start_line == f"SIP/2.0 200 {value}".encode()


def test_functions_and_drop_in_routes_that_others_call(tmp_path: Path) -> None:
    text = """
    route { t_on_branch("b"); t_on_failure("f"); append_branch("sip:192.0.2.2");
        ds_select_dst("1", "4"); t_relay(); }
    branch_route[b] { route(check); }
    route[check] { if ($rd == "192.0.2.2") drop; }
    failure_route[f] { route(over); }
    route[over] { if (t_local_replied("all")) t_reply(480, "Nobody"); change_reply_status(1, "x"); }
    """
    sent = [each for each in run(tmp_path, text, message()) if b"INVITE" in each[0][:6]]
    assert [each[1] for each in sent] == ["192.0.2.1"]


def test_aliases_are_the_farm_s(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_text(HEAD + MYSELF.format("uri == myself"))
    alias = load(tmp_path / "a.cfg").farm.alias
    assert [(each.host, each.port) for each in alias] == [("b.example", 5070), ("c.example", 0)]
