"""AVPs, results, and variables of headers, where OpenSIPS is not what one would guess."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cfg.translated import HEAD, problems, run, says
from tests.support.message import Draft, Sip

VIA = "SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKvalues"
TWO = "$avp(a) = 1; $avp(a) = 2; "


def message() -> Draft:
    made = Draft("INVITE", "sip:0123@example.com", via=VIA, key="values")
    made.set("From", '"Al" <sip:al@a.example>;tag=f1').set("To", "<sip:bo@b.example>")
    made.add("Remote-Party-ID", '"R, x" <sip:r@a.example>;party=calling')
    made.add("P-Asserted-Identity", "<sip:p@a.example>")
    made.add("Diversion", "<sip:d@a.example>;reason=busy;privacy=full, <sip:e@a.example>;reason=no")
    made.add("Refer-To", "<sip:t@a.example?x=y>")
    made.add("Contact", '"a, b" <sip:a,x@c.example>;q=1, <sip:b@c.example>')
    made.add("Contact", "sip:c@c.example")
    made.add("Authorization", 'Digest username="al@a.example", realm="r"')
    return made


@pytest.mark.parametrize(
    ("statements", "value"),
    [
        (TWO + '$(avp(a)[*]) = NULL; $avp(r) = "$avp(a)";', "<null>"),
        (TWO + "$(avp(a)[*]) = 7; $avp(r) = $(avp(a)[*]);", "7"),
        (TWO + "$var(i) = 1; $(avp(a)[$var(i)]) = 7; $avp(r) = $(avp(a)[*]);", "2, 7"),
        (TWO + "$(avp(a)[append]) = 7; $avp(r) = $(avp(a)[*]);", "2, 1, 7"),
        ("$(avp(a)[append]) = NULL; $avp(r) = \"$avp(a)\";", "<null>"),
        ('$var(x) = is_method("FOO"); if ($var(x)) $avp(r) = "true $var(x)";', "true -1"),
        ('is_method("FOO"); if ($rc && $retcode == -1) $avp(r) = "true";', "true"),
        ('if (is_method("FOO")) $avp(r) = "true"; else $avp(r) = "false";', "false"),
        (TWO + '$avp(b) = 9; avp_copy("$avp(a)/g", "$avp(b)"); $avp(r) = $(avp(b)[*]);',
         "1, 2, 9"),
        (TWO + '$avp(b) = 9; avp_copy("$avp(a)/d", "$avp(b)"); $avp(r) = "$(avp(b)[*])|$avp(a)";',
         "2, 9|1"),
        ('$avp(a) = "5"; avp_copy("$avp(a)/n", "$avp(b)"); if (is_avp_set("$avp(b)/n")) '
         '$avp(r) = $avp(b) + 1;', "6"),
        ('$avp(a) = 5; avp_copy("$avp(a)/s", "$avp(b)"); if (is_avp_set("$avp(b)/s")) '
         '$avp(r) = "text";', "text"),
        ('$avp(a) = ""; if (is_avp_set("$avp(a)/e") && !is_avp_set("$avp(a)/n")) $avp(r) = "e";',
         "e"),
        ('$avp(a) = 0; if (is_avp_set("$avp(a)/e") && !is_avp_set("$avp(b)/e")) $avp(r) = "e";',
         "e"),
        ('if (avp_check("$rU", "eq/s:0123")) $avp(r) = "yes";', "yes"),
        ('$var(x) = 5; if (avp_check("$var(x)", "gt/i:4")) $avp(r) = "yes";', "yes"),
        ('$avp(a) = "7"; if (!avp_check("$avp(a)", "gt/i:6")) $avp(r) = "no";', "no"),
        ('$avp(a) = 7; if (!avp_check("$avp(a)", "ne/s:8")) $avp(r) = "no";', "no"),
        ('$avp(a) = "abc"; if (avp_check("$avp(a)", "lt/s:B")) $avp(r) = "less";', "less"),
        ('$du = "sip:192.0.2.1:5062"; $dd = "192.0.2.2"; $dp = 5064; $avp(r) = $du;',
         "sip:192.0.2.2:5064"),
        ('pv_printf("$rU", "9$fU"); pv_printf("$rd", "h.example"); $avp(r) = $ru;',
         "sip:9al@h.example"),
        ('pv_printf("$fs", "udp:127.0.0.1:5060"); $avp(r) = $fs;', "udp:127.0.0.1:5060"),
        ('$ruri.user = "7"; $ruri.domain = "h.example"; $avp(r) = $ruri;', "sip:7@h.example"),
        ('$duri = "sip:192.0.2.1"; $avp(r) = $du;', "sip:192.0.2.1"),
    ],
)  # fmt: skip
def test_statements(tmp_path: Path, statements: str, value: str) -> None:
    assert says(tmp_path, "$avp(r)", message(), statements) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$rb $cl $rs $rr $dP", "<null> <null> <null> <null> <null>"),
        ("$re $ai $rt", "sip:r@a.example sip:p@a.example sip:t@a.example?x=y"),
        ("$di $dir $dip", "sip:d@a.example busy full"),
        ("$ct", '"a, b" <sip:a,x@c.example>;q=1'),
        ("$(ct[1])|$(ct[-1])", "<sip:b@c.example>|sip:c@c.example"),
        ("$(ct[*])", '"a, b" <sip:a,x@c.example>;q=1, <sip:b@c.example>, sip:c@c.example'),
        (
            "$src_ip $ouri $ruri.user@$ruri.domain",
            "198.51.100.7 sip:0123@example.com 0123@example.com",
        ),
        ("$from $from.user $from.domain.", "sip:al@a.example al a.example."),
        ("$to $to.user $to.domain", "sip:bo@b.example bo b.example"),
        ("$au", "al"),
        (
            "$(si{ip.matches,198.51.100.0/24})$(si{ip.isprivate})$(si{ip.isip4})$(si{ip.isip6})",
            "1010",
        ),
        ("$(rU{s.substr,0,-1}) $(rU{s.substr,-3,-1}) $(rU{s.substr,1,9})", "012 12 123"),
        ("$(rU{s.substr,4,0}) $(rU{s.substr,-5,0}) $(rU{s.substr,2,-3})", "<null> <null> "),
    ],
)
def test_variables(tmp_path: Path, expression: str, value: str) -> None:
    draft = message().remove("Content-Length")
    quoted = expression.replace('"', '\\"')
    assert says(tmp_path, f'"{quoted}"', draft).strip() == value.strip()


def test_a_place_below_the_others_is_no_value(tmp_path: Path) -> None:
    ((_, _, said),) = problems(tmp_path, "route { xlog($(avp(a)[append])); }", HEAD)
    assert said == "$(avp(a)[append]) can only be assigned to"


@pytest.mark.parametrize(
    ("statements", "old", "new"),
    [
        ('$avp(r) = "$(ru{uri.param,lb})|$(ru{uri.headers})";', "|", "<null>|<null>"),
        ('if ($(ru{uri.param,lb}) != NULL) $avp(r) = "set"; else $avp(r) = "none";',
         "set", "none"),
        ('$avp(r) = "$(avp(l){s.select,5,|})";', "", "<null>"),
        ('$avp(r) = "$var(fresh)";', "0", "<null>"),
        ('$var(x) = 1; $var(x) = NULL; if ($var(x) == NULL) $avp(r) = "null"; else $avp(r) = "0";',
         "0", "null"),
        ('$var(x) = $hdr(X-None); $avp(r) = "$var(x)";', "0", "<null>"),
        ('$var(n) = $var(n) + 1; $avp(r) = "$var(n)";', "1", "1"),
    ],
)  # fmt: skip
def test_null_of_1x_and_since_2_1(tmp_path: Path, statements: str, old: str, new: str) -> None:
    route = f'route {{ $avp(l) = "a|b"; {statements} sl_send_reply(299, "$avp(r)"); }}'
    for head, expected in (
        ("", old),
        ('loadmodule "proto_udp.so"\n', new),
        ("socket=udp:127.0.0.1:5060\n", new),
        ("log_level=3\n", new),
    ):
        data = run(tmp_path, head + route, message())[-1][0]
        assert Sip.read(data).start_line == f"SIP/2.0 299 {expected}".encode()


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$(avp(x){s.b64encode})", "YSdiIlxjIMOk"),
        ("$(avp(x){s.b64encode}{s.b64decode})", "a'b\"\\c ä"),
        ("$(fd{s.b64decode})|$(avp(x){s.b64decode})", "<null>|<null>"),
        ("$(rU{s.encode.hexa}{s.decode.hexa})|$(fU{s.decode.hexa})", "0123|<null>"),
        ("$(avp(x){s.escape.common})", "a\\'b\\\"\\\\c ä"),
        ("$(avp(x){s.escape.common}{s.unescape.common})", "a'b\"\\c ä"),
        ("$(avp(x){s.escape.user})", "a'b%22%5cc%20%c3%a4"),
        ("$(avp(x){s.escape.user}{s.unescape.user})", "a'b\"\\c ä"),
        ("$(avp(x){s.escape.param}{s.unescape.param})", "a'b\"\\c ä"),
        ("$(rU{s.fill.left,0,6})|$(rU{s.fill.right,ab,7})|$(rU{s.fill.left,0,2})",
         "000123|0123aba|0123"),
        ("$(rU{s.width,2})|$(rU{s.width,6})|$(rU{s.width,0})", "01|0123  |<null>"),
        ("$(rU{s.dec2hex})|$(rU{s.hex2dec})|$(fU{s.hex2dec}{s.len})", "7b|291|<null>"),
        ("$(avp(u){uri.lr})|$(avp(u){uri.maddr})|$(avp(u){uri.ttl})|$(avp(u){uri.uparam})",
         "|192.0.2.1||phone"),
        ("$(si{ip.pton}{ip.family})|$(rU{ip.pton})", "INET|<null>"),
        ("$(si{ip.matches,198.51.100.0/24})|$(si{ip.isprivate})", "1|0"),
    ],
)  # fmt: skip
def test_transformations(tmp_path: Path, expression: str, value: str) -> None:
    made = message().add("X-Text", "a'b\"\\c ä")
    before = '$avp(x) = $hdr(X-Text); $avp(u) = "sip:a@b;maddr=192.0.2.1;user=phone;lr";'
    assert says(tmp_path, f'"{expression}"', made, before) == value
