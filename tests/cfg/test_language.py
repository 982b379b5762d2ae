"""What statements, operators, variables and transformations do, by what the farm sends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cfg.translated import run, says, translation
from tests.support.message import Draft, Sip

VIA = "SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKlanguage"


def message(uri: str = "sip:0123@example.com:5070;user=phone") -> Draft:
    made = Draft("INVITE", uri, via=VIA, key="language")
    made.set("From", '"Al" <sip:al@a.example;x=1>;tag=f1')
    made.add("X-List", 'one, "two, three", four')
    made.add("X-Params", "a=1;b;c=three")
    made.add("X-Words", "one two three")
    return made


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", "9"),
        ("(1 + 2) * 3", "9"),
        ("7 / 2", "3"),
        ("7 % 4", "3"),
        ("1 << 4 | 1", "17"),
        ("6 & 3", "2"),
        ("-5 + 2", "-3"),
        ("~0 & 15", "15"),
        ("0x10", "16"),
        ('"a" + "b"', "ab"),
        ('"n" + 5', "n5"),
        ("'$ru'", "sip:0123@example.com:5070;user=phone"),
        ('"$$5"', "$5"),
        ("$rm", "INVITE"),
        ("$rU", "0123"),
        ("$rd", "example.com"),
        ("$rp", "5070"),
        ("$fu", "sip:al@a.example;x=1"),
        ("$fU", "al"),
        ("$fn", "Al"),
        ("$ft", "f1"),
        ("$si", "198.51.100.7"),
        ("$sp + 1", "5071"),
        ("$hdr(X-Params)", "a=1;b;c=three"),
        ("$hdr(None)", "<null>"),
        ('"-$hdr(None)-$var(never)"', "-<null>-0"),
        ("$(hdr(X-Words){s.select,1, })", "two"),
        ("$(hdr(X-Words){s.select, -1 , })", "three"),
        ("$(hdr(X-List){s.select,0,,})", "one"),
        ("$(hdr(X-Params){param.value,c})", "three"),
        ("$(hdr(X-Params){param.exist,b})", "1"),
        ("$(hdr(X-Params){param.count})", "3"),
        ("$(hdr(X-Params){param.valueat,0})", "1"),
        ("$(hdr(X-List){csv.value,1})", '"two, three"'),
        ("$(hdr(X-List){csv.count})", "3"),
        ("$(ru{uri.host})", "example.com"),
        ("$(ru{uri.param,user})", "phone"),
        ("$(ru{uri.port}) + 1", "5071"),
        ("$(hdr(From){nameaddr.uri}{uri.user})", "al"),
        ("$(hdr(From){nameaddr.name})", "Al"),
        ("$(rU{s.len})", "4"),
        ("$(rU{s.substr,1,0})", "123"),
        ("$(rU{s.substr,-2,1})", "2"),
        ("$(rU{s.int})", "123"),
        ("$(rm{s.tolower})", "invite"),
        ("$(ru{s.select,1,@})", "example.com:5070;user=phone"),
        ("$(rU{s.md5})", "eb62f6b9306db575c2d596b1279627a4"),
        ("$(rd{s.index,.})", "7"),
        ("$(rU{re.subst,/^0/+49/})", "+49123"),
        ("$(si{ip.isip})", "1"),
        ("$var(never)", "0"),
        ('"$Ri:$Rp"', "127.0.0.1:5060"),
        ("$pr", "udp"),
    ],
)
def test_expressions(tmp_path: Path, expression: str, value: str) -> None:
    assert says(tmp_path, expression, message()) == value


PHONE = "sip:1234;phone-context=+1@example.com;user=phone"
USERS = {
    PHONE: ("1234;phone-context=+1", "example.com", "5060"),
    "sip:a?b/c@example.com:5062": ("a?b/c", "example.com", "5062"),
    "sip:a;b:secret@[2001:db8::1]:5070": ("a;b", "[2001:db8::1]", "5070"),
    "sip:example.com;user=phone": ("", "example.com", "5060"),
    "tel:+1234;phone-context=example.com": ("+1234", "", "5060"),
}


@pytest.mark.parametrize("uri", USERS)
def test_the_user_is_all_before_the_at_sign(tmp_path: Path, uri: str) -> None:
    user, host, port = USERS[uri]
    script = 'if ($rU != NULL) $avp(u) = $rU; else $avp(u) = "";'
    script += 'if ($rd != NULL) $avp(d) = $rd; else $avp(d) = "";'
    assert says(tmp_path, '"$avp(u)|$avp(d)|$rp"', message(uri), script) == f"{user}|{host}|{port}"


@pytest.mark.parametrize(
    ("statements", "uri"),
    [
        ('$rU = "+1" + $rU;', "sip:+11234;phone-context=+1@example.com;user=phone"),
        ('subst_user("/^1/9/");', "sip:9234;phone-context=+1@example.com;user=phone"),
        ("$rU = NULL;", "sip:example.com;user=phone"),
        ('$ru = "tel:+12;x=y"; $rU = "+34";', "tel:+34;x=y"),
        ('$ru = "sip:a:pw@example.com"; $rU = "b";', "sip:b:pw@example.com"),
        ('$ru = "tel:+12"; add_uri_param("x=1");', "tel:+12;x=1"),
        ('$ru = "sip:a:pw@h:1;x"; prefix("p"); strip_tail(0);', "sip:pa:pw@h:1;x"),
        ('$ru = "sip:abc:pw@h:1"; strip(1); strip_tail("1");', "sip:b:pw@h:1"),
        ('$ru = "sip:abc:pw@h:1"; strip(9);', "sip:h:1"),
        ('$ru = "sip:a:pw@h:1"; setuser("b"); setu("c");', "sip:c:pw@h:1"),
        ('$ru = "sip:a:pw@h:1"; setuserpass("b:new");', "sip:b:new@h:1"),
        ('$ru = "sip:h:1"; prefix("p");', "sip:p@h:1"),
        ('$ru = "sip:a@h:1;x=@"; $rd = "i";', "sip:a@i:1;x=@"),
        ('$ru = "sip:a@[::1]:1;x"; sethost("i");', "sip:a@i:1;x"),
        ('sethostport("i:2");', "sip:1234;phone-context=+1@i:2;user=phone"),
    ],
)
def test_another_user(tmp_path: Path, statements: str, uri: str) -> None:
    assert says(tmp_path, "$ru", message(PHONE), statements) == uri


@pytest.mark.parametrize(
    ("condition", "is_true"),
    [
        ('$rm == "INVITE"', True),
        ('method == "INVITE" && !method == "ACK"', True),
        ('$rd == "EXAMPLE.com"', True),
        ('$rd != "example.com"', False),
        ('$ru =~ "^SIP:0[[:digit:]]+@"', True),
        ('$ru !~ "xyz"', True),
        ("$var(n) == NULL", False),
        ("$hdr(None) == NULL", True),
        ("$hdr(None) == null || 0", True),
        ("$rp > 5060 and $rp <= 5070", True),
        ("not (1 == 2) or 0", True),
        ("src_ip == 198.51.100.0/24", True),
        ("src_ip == 192.0.2.1", False),
        ("uri == myself", False),
        ("src_ip == myself", False),
        ("$Ri == myself", True),
        ('is_myself("$Ri")', True),
        ('is_myself("$Ri", "5060")', True),
        ('is_myself("$Ri", 5062)', False),
        ('$(ru{uri.param,none}) == ""', True),
        ('$(fu{uri.port}) == ""', True),
        ("$(ru{uri.port}) == 5070", True),
        ('$(fu{uri.passwd}) == "" && $(fu{uri.headers}) == ""', True),
        ('$(hdr(X-Params){param.value,none}) == ""', True),
        ('$(hdr(X-Params){param.valueat,9}) == ""', True),
        ('$(hdr(From){nameaddr.param,none}) == ""', True),
        ('$(ru{s.select,9,@}) == ""', True),
        ("$(hdr(X-List){uri.user}) == NULL", True),
        ("$(hdr(None){uri.user}) == NULL", True),
        ("$hdr(None) < 5", False),
        ("$hdr(None) <= $hdr(None)", False),
        ("5 > $hdr(None)", False),
        ("$hdr(None) != 5", True),
        ('$hdr(None) =~ ".*"', False),
        ('$hdr(None) !~ ".*"', True),
        ('"" =~ "^$"', False),
        ('"" !~ "a"', False),
        ('$fU < "B"', True),
        ('"B" > $fU', True),
        ('"abc" <= "ABC"', True),
        ("is_method(\"INVITE|ACK\")", True),
        ("has_totag()", False),
        ('$fU =~ "$(rU{s.substr,0,0})"', False),
        ('"$fU" == "al"', True),
        ("(1 || 0) && 0", False),
        ("1 || 0 && 0", False),
    ],
)  # fmt: skip
def test_conditions(tmp_path: Path, condition: str, is_true: bool) -> None:
    before = f'if ({condition}) $avp(r) = "yes"; else $avp(r) = "no";'
    assert says(tmp_path, "$avp(r)", message(), before) == ("yes" if is_true else "no")


@pytest.mark.parametrize(
    ("statements", "value"),
    [
        ("$var(x) = 0; while ($var(x) < 5) { $var(x) += 2; } $avp(r) = $var(x);", "6"),
        ("$var(x) = 0; while (1) { $var(x) += 1; } $avp(r) = $var(x);", "100"),
        ("while (1) { if ($avp(x) == 3) break; $avp(x) := $avp(x) + 1; } $avp(r) = $avp(x);", "3"),
        ("$var(x) = 8; $var(x) /= 2; $var(x) -= 1; $var(x) *= 5; $avp(r) = $var(x);", "15"),
        ("$avp(a) = 1; $avp(a) = 2; $avp(r) = $(avp(a)[*]);", "2, 1"),
        ("$avp(a) = 1; $avp(a) = 2; $avp(r) = $(avp(a)[1]);", "1"),
        ("$avp(a) = 1; $avp(a) := 2; $avp(r) = $(avp(a)[*]);", "2"),
        ("$avp(a) = 1; $avp(a) = 2; $avp(a) = NULL; $avp(r) = $avp(a);", "1"),
        ("$avp(a) = 1; $avp(a) = 2; $(avp(a)[1]) = 7; $avp(r) = $(avp(a)[*]);", "2, 7"),
        ('$avp(a) = 1; avp_delete("$avp(a)/g"); $avp(r) = $avp(a) + "none";', "none"),
        (
            '$avp(a) = 1; $avp(a) = 2; $var(s) = ""; for ($var(i) in $(avp(a)[*])) '
            '{ $var(s) = $var(s) + "-$var(i)"; } $avp(r) = $var(s);',
            "-2-1",
        ),
        (
            'switch ($rU) { case "9": $avp(r) = "no"; break; case "0123": $avp(r) = "hit"; '
            'default: $avp(r) = "$avp(r) on"; }',
            "hit on",
        ),
        (
            'switch ($rU) { case "0123": switch (2) { case 2: $avp(r) = "in"; break; } break; '
            'default: $avp(r) = "out"; }',
            "in",
        ),
        ('switch (1) { case 2: $avp(r) = "no"; break; default: $avp(r) = "default"; }', "default"),
        ('if (0) $avp(r) = 1; else if (1) { $avp(r) = 2; } else $avp(r) = 3;', "2"),
        ('$rU = "77"; $avp(r) = $ru;', "sip:77@example.com:5070;user=phone"),
        ('$rd = "b.example"; $avp(r) = $rd;', "b.example"),
        ('strip(1); prefix("+49"); $avp(r) = $rU;', "+49123"),
        ('subst_user("/^0/00/"); $avp(r) = $rU;', "00123"),
        ('subst_uri("/example/other/"); $avp(r) = $rd;', "other.com"),
        ('if (subst_user("/^9/00/")) $avp(r) = 1; else $avp(r) = $rU;', "0123"),
        ('if (subst_uri("/none/other/")) $avp(r) = 1; else $avp(r) = $rd;', "example.com"),
        ('if (subst_user("/^0/0/") && subst_uri("/e/e/")) $avp(r) = "both";', "both"),
        ('$avp("q") = 3; $avp(r) = $avp("q");', "3"),
        ('$avp(a) = "x1"; avp_subst("$avp(a)", "/x/y/"); $avp(r) = $avp(a);', "y1"),
        ('avp_printf("$avp(r)", "$rU-$rm");', "0123-INVITE"),
        ('$avp(a) = 1; $avp(a) = 2; avp_copy("$avp(a)/g", "$avp(r)");', "1"),
        ('$avp(r) = force_send_socket(udp:127.0.0.1:5060);', "1"),
        ('$var(s) = "udp:192.0.2.9:5060"; $avp(r) = force_send_socket($var(s));', "-1"),
        ('setflag(FLAG_A); if (isflagset(FLAG_A)) $avp(r) = "set";', "set"),
        ('ds_select_dst("7", "4"); $avp(r) = $rc;', "-1"),
        ('$var(s) = "1"; ds_select_dst("$var(s)", "4"); $avp(r) = "$rc $du";', "1 sip:192.0.2.1"),
    ],
)  # fmt: skip
def test_statements(tmp_path: Path, statements: str, value: str) -> None:
    assert says(tmp_path, "$avp(r)", message(), statements) == value


ROUTES = """
route {
    if (route(check, "a", 2) == 5) { }
    if (route(no)) { sl_send_reply(201, "wrong"); exit; }
    route(end);
    sl_send_reply(202, "not reached");
}
route[check] { $var(p) = "$param(1)$param(2)"; return(5); }
route[no] { return(-1); }
route[end] { if ($var(p) == "a2") sl_send_reply(203, "right"); exit; }
"""


def test_routes_return_and_exit(tmp_path: Path) -> None:
    ((sent, *_),) = run(tmp_path, ROUTES)
    assert Sip.read(sent).start_line == b"SIP/2.0 203 right"


def test_a_return_of_zero_ends_the_script(tmp_path: Path) -> None:
    text = """
        route { route(x); sl_send_reply(200, "no"); }
        route[x] { sl_send_reply(204, "yes"); return(0); }
    """
    ((sent, *_),) = run(tmp_path, text)
    assert Sip.read(sent).start_line == b"SIP/2.0 204 yes"


RETURNS = """
route {{ if (route(x)) sl_send_reply(200, "yes $rc"); else sl_send_reply(200, "no $rc"); }}
route[x] {{ {} }}
"""


@pytest.mark.parametrize(
    ("statements", "answer"),
    [
        ("return(5);", b"yes 5"),
        ("return -5;", b"no -5"),
        ("return();", b"yes 1"),
        ("return;", b"yes 1"),
        ('return("no");', b"yes 1"),
        ("return($ci);", b"yes 1"),
        ("return($hdr(None));", b"no -1"),
        ("$var(x) = 3; return($var(x) - 1);", b"yes 2"),
        ('sl_send_reply(200, "end"); $var(x) = 0; return($var(x));', b"end"),
        ('sl_send_reply(200, "end"); return(0x0);', b"end"),
    ],
)
def test_what_a_route_returns(tmp_path: Path, statements: str, answer: bytes) -> None:
    ((sent, *_),) = run(tmp_path, RETURNS.format(statements), message())
    assert Sip.read(sent).start_line == b"SIP/2.0 200 " + answer


@pytest.mark.parametrize("code", ["x", "99", "700", "0"])
def test_an_answer_with_what_is_no_code_is_not_sent(tmp_path: Path, code: str) -> None:
    text = f"""
        $var(x) = "{code}";
        if (!send_reply("$var(x)", "A") && !sl_send_reply($var(x), "B") && !t_reply($var(x), "C"))
            {{ $var(x) = 202; $var(y) = 7; send_reply($var(x), $var(y)); }}
    """
    sent = run(tmp_path, text, message())[-1][0]
    assert Sip.read(sent).start_line == b"SIP/2.0 202 7"


def test_text_of_a_message_is_no_script(tmp_path: Path) -> None:
    odd = message()
    odd.add("X-Odd", "$avp(x) {s.len} %s ' \" \\ ${ru}")
    assert says(tmp_path, "$hdr(X-Odd)", odd) == "$avp(x) {s.len} %s ' \" \\ ${ru}"


@pytest.mark.parametrize("name", ["x'y", 'a"b', "__import__('os')", "a\\nb", "x);exit(", "é"])
def test_names_of_a_script_are_no_code(tmp_path: Path, name: str) -> None:
    literal = name.replace("\\", "\\\\").replace('"', '\\"')
    assert says(tmp_path, f'"{literal}"', message()) == name
    if "(" not in name and '"' not in name:
        assert says(tmp_path, f"$var({name})", message(), f"$var({name}) = 5;") == "5"


PARTITIONS = """
modparam("dispatcher", "partition", "p2: db_url=sqlite:///b.sqlite")
route {{ {} }}
"""


@pytest.mark.parametrize(
    ("call", "becomes"),
    [
        ('ds_select_dst("1", "4", "f");', 'request.ds_select_dst("1", "4", "f")'),
        ('ds_select_dst(1, 4, "f", "p2", 3);', 'request.ds_select_dst("p2:1", 4, "fM3")'),
        ("ds_select_dst(1, 4, , , 5);", 'request.ds_select_dst(1, 4, "M5")'),
        (
            'ds_select_domain($var(s), 4, "", $var(p));',
            'request.ds_select_domain(text(request.var.get("p", 0)) + ":" + '
            'text(request.var.get("s", 0)), 4)',
        ),
        ('ds_mark_dst("p2", "p");', 'request.ds_mark_dst("p2", "p")'),
        ('ds_mark_dst("p", "p2");', 'request.ds_mark_dst("p2", "p")'),
        ("ds_mark_dst();", "request.ds_mark_dst()"),
        ('ds_count(1, "a", $avp(n), "p2");', 'request.ds_count("p2:1", "a", "$avp(n)")'),
        ('ds_is_in_list("$si", "", "2", "1");', 'request.ds_is_in_list(request.si, "", "2", "1")'),
        (
            'ds_is_in_list($si, $sp, 2, "p2", 1);',
            'request.ds_is_in_list(request.si, request.sp, "p2:2", 1)',
        ),
        ("ds_is_in_list($si, $sp);", "request.ds_is_in_list(request.si, request.sp)"),
        ('ds_next_dst("p2");', 'request.ds_next_dst("p2")'),
    ],
)
def test_calls_of_2_1_and_of_3_0(tmp_path: Path, call: str, becomes: str) -> None:
    made = translation(tmp_path, PARTITIONS.format(call))
    assert made.module.splitlines()[-1].strip() == becomes
