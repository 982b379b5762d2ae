"""Functions of a script that change texts: substitutions, bodies, lists, paths, whole headers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cfg.translated import HEAD, problems, run, says
from tests.support.message import Draft, Sip
from tests.support.request import Sent

VIA = "SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKrewriting"
SDP = (
    "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0\r\na=sendrecv\r\nm=video 4002 RTP/AVP 96\r\na=sendonly\r\n"
)


def message(
    body: str | bytes = SDP, method: str = "INVITE", uri: str = "sip:0123@example.com"
) -> Draft:
    made = Draft(
        method,
        uri,
        via=VIA,
        key="rewriting",
        body=body if isinstance(body, bytes) else body.encode(),
    )
    made.set("From", '"Al" <sip:al@a.example>;tag=f1').set("To", "<sip:bo@b.example>")
    made.add("Contact", "<sip:al@198.51.100.7:5070>").add("Supported", "timer, 100rel")
    if body:
        made.add("Content-Type", "application/sdp")
    return made.add("X-Gw", "gw1.example, gw2.example").add("X-Last", "1")


def forwarded(sent: list[Sent]) -> Sip:
    """The one request that goes out, with a body of the length that it says."""
    (data,) = [each[0] for each in sent if not each[0].startswith(b"SIP/2.0")]
    read = Sip.read(data)
    assert int(read.one("Content-Length")) == len(data.partition(b"\r\n\r\n")[2])
    return read


def relayed(folder: Path, statements: str, draft: Draft | None = None, routes: str = "") -> Sip:
    text = f'route {{ {statements} ds_select_dst("1", "8"); t_relay(); }}\n{routes}'
    return forwarded(run(folder, text, draft or message()))


@pytest.mark.parametrize(
    ("statements", "value"),
    [
        (r'subst_uri("/^sip:(.*)@.*/sip:\1@$td;was=$rd/"); $avp(r) = $ru;',
         "sip:0123@b.example;was=example.com"),
        (r'subst_user("/^0(..)/$fU-\1-\0/"); $avp(r) = $rU;', "al-12-0123"),
        (r'subst_user("/^[[:digit:]]/a\/b/"); $avp(r) = $rU;', "a/b123"),
        (r'$avp(a) = "x@y"; avp_subst("$avp(a)", "/(.*)@(.*)/\1@$rd/"); $avp(r) = $avp(a);',
         "x@example.com"),
        (r'$avp(a) = "x1"; $avp(a) = "x2"; $avp(a) = "z"; avp_subst("$avp(a)/$avp(b)/g", "/x/y/");'
         ' $avp(r) = "$(avp(b)[*])|$(avp(a)[*])";', "y2, y1|z, x2, x1"),
        (r'$avp(a) = "x1"; $avp(a) = "x2"; avp_subst("$avp(a)/$avp(b)/d", "/x/y/");'
         ' $avp(r) = "$(avp(b)[*])|$(avp(a)[*])";', "y2|x1"),
        ('$avp(a) = "x"; if (!avp_subst("$avp(a)", "/y/z/")) $avp(r) = $avp(a);', "x"),
        ('$avp(a) = 1; $avp(a) = 2; avp_op("$avp(a)/$avp(b)", "mul/5/g");'
         ' $avp(r) = "$(avp(b)[*])";', "10, 5"),
        ('$avp(a) = 2; avp_op("$avp(a)/$avp(b)", "add/5"); $avp(r) = "$avp(a) $avp(b)";', "2 7"),
        ('$avp(a) = 1; $avp(a) = 3; avp_insert("$avp(a)", "2", 1); avp_print();'
         ' $avp(r) = "$(avp(a)[*])";', "3, 2, 1"),
        ('avp_pushto("$ru/domain", "$fd"); avp_pushto("$ru/username", "$fU"); $avp(r) = $ru;',
         "sip:al@a.example"),
        ('$avp(a) = "sip:192.0.2.9"; avp_pushto("$du", "$avp(a)"); $avp(r) = $du;',
         "sip:192.0.2.9"),
        ('if (!avp_pushto("$ru", "$avp(none)")) $avp(r) = $ru;', "sip:0123@example.com"),
        ('$avp(a) = 1; $avp(a) = 2; set_count("$avp(a)", "$var(n)"); $avp(r) = $var(n);', "2"),
        ('ts_usec_delta(10, 900, 12, 100, $avp(r));', "1999200"),
        ('construct_uri("sip", "u", "h.example", 5070, "a=b", $avp(r));',
         "sip:u@h.example:5070;a=b"),
        ('construct_uri("sip", "", "h.example", "", "", $avp(r));', "sip:h.example"),
        ('setsflag(A); if (issflagset(A) && !isflagset(A)) $avp(r) = "set";', "set"),
        ('setsflag(A); resetsflag(A); if (!issflagset(A)) $avp(r) = "reset";', "reset"),
        ('$du = "sip:192.0.2.1:5062"; setdsthost("192.0.2.2"); setdstport(5064); $avp(r) = $du;',
         "sip:192.0.2.2:5064"),
        ('xdbg("seen\n"); script_trace(); t_flush_flags(); $avp(r) = "gone on";', "gone on"),
        ('if (search("^x-LAST: 1") && search("^call-id:") && !search("^last")) $avp(r) = "found";',
         "found"),
        ('if (search_body("^A=send[[:lower:]]+")) $avp(r) = "found";', "found"),
        ('if (!is_privacy("id")) $avp(r) = "none";', "none"),
        ('if (is_audio_on_hold()) $avp(r) = "hold"; else $avp(r) = "no";', "no"),
        ('if (sipmsg_validate("shrftc", $var(why))) $avp(r) = "good";', "good"),
    ],
)  # fmt: skip
def test_statements(tmp_path: Path, statements: str, value: str) -> None:
    assert says(tmp_path, "$avp(r)", message(), statements) == value


# -- whole messages


def test_replace_and_its_kin(tmp_path: Path) -> None:
    out = relayed(tmp_path, 'replace("GW[0-9]", "sbc"); replace_all("alice|al@", "$rU@");')
    assert out.one("X-Gw") == b"sbc.example, gw2.example"
    assert out.one("From") == b'"Al" <sip:0123@a.example>;tag=f1'
    out = relayed(tmp_path, 'replace_body("10.0.0.1", "203.0.113.250");')
    assert out.body == SDP.replace("10.0.0.1", "203.0.113.250", 1).encode()
    out = relayed(tmp_path, 'replace_body_all("10.0.0.1", "9"); replace_body("^s=-", "s=call");')
    assert out.body == SDP.replace("10.0.0.1", "9").replace("s=-", "s=call").encode()
    out = relayed(tmp_path, r'replace_body_atonce("\r\nm=video.*", "\r\n");')
    assert out.body == SDP.partition("m=video")[0].encode()
    out = relayed(tmp_path, 'search_append("X-Last: ", "0"); search_append_body("a=send", "x");')
    assert (out.one("X-Last"), out.body) == (b"01", SDP.replace("a=send", "a=sendx", 1).encode())


def test_subst_and_subst_body(tmp_path: Path) -> None:
    out = relayed(tmp_path, r'subst("/^X-Gw: (gw)(.)/X-Gw: $rU-\2-\1/");')
    assert out.one("X-Gw") == b"0123-1-gw.example, gw2.example"
    out = relayed(tmp_path, r'subst_body("/^a=(.*)$/a=$fU:\1/g");')
    assert out.body == SDP.replace("a=send", "a=al:send").encode()
    out = relayed(tmp_path, r'if (subst_body("/A=SEND/x/")) drop; subst_body("/A=SEND/x/i");')
    assert out.body == SDP.replace("a=send", "x", 1).encode()


def test_what_our_own_edits_rely_on_stays(tmp_path: Path) -> None:
    before = relayed(tmp_path, "")
    out = relayed(tmp_path, 'replace_all("[0-9]+", "7"); replace("^\\r\\n", "X: 1");')
    for name in ("Call-ID", "CSeq", "Max-Forwards"):
        assert out.all(name) == before.all(name)
    assert out.all("Via")[1:] == before.all("Via")[1:]
    assert out.one("X-Last") == b"7"
    assert b"c=IN IP7 7.7.7.7" in out.body


def test_too_many_changes_are_none(tmp_path: Path) -> None:
    many = message("a=" + "x" * 40)
    text = 'if (replace_body_all("x", "yy")) append_hf("X-Done: 1\\r\\n");'
    out = relayed(tmp_path, text, many)
    assert (out.body, out.all("X-Done")) == (b"a=" + b"x" * 40, [])


def test_bytes_that_are_no_text_go_through(tmp_path: Path) -> None:
    out = relayed(tmp_path, r'subst_body("/(.*)=1/\1=22/");', message(b"\xff\xfe=1"))
    assert out.body == b"\xff\xfe=22"


def test_a_branch_s_changes_of_the_body_are_its_own(tmp_path: Path) -> None:
    text = """
    route {
        replace_body("s=-", "s=all");
        t_on_branch("b");
        $ru = "sip:192.0.2.1"; append_branch("sip:192.0.2.2");
        t_relay();
    }
    branch_route[b] { replace_body_all("10.0.0.1", "$rd"); append_hf("X-To: $rd\\r\\n"); }
    """
    sent = [each for each in run(tmp_path, text, message()) if b"INVITE" in each[0][:6]]
    assert [each[1] for each in sent] == ["192.0.2.1", "192.0.2.2"]
    for each in sent:
        out = forwarded([each])
        assert out.body == SDP.replace("s=-", "s=all").replace("10.0.0.1", each[1]).encode()
        assert out.all("X-To") == [each[1].encode()]


def test_a_body_that_goes(tmp_path: Path) -> None:
    out = relayed(tmp_path, "strip_body();")
    assert (out.body, out.all("Content-Type")) == (b"", [])
    out = relayed(tmp_path, 'if (strip_body("text/plain")) drop; remove_body_part();')
    assert out.body == b""
    assert relayed(tmp_path, "if (strip_body()) drop;", message("")).body == b""


# -- headers as a whole


def test_lists_of_options(tmp_path: Path) -> None:
    out = relayed(tmp_path, 'list_hdr_add_option("Supported", "path");')
    assert out.all("Supported") == [b"timer, 100rel", b"path"]
    out = relayed(tmp_path, 'list_hdr_add_option("Supported", "TIMER");')
    assert out.all("Supported") == [b"timer, 100rel"]
    out = relayed(tmp_path, 'list_hdr_remove_option("Supported", "100rel");')
    assert out.all("Supported") == [b"timer"]
    out = relayed(
        tmp_path, 'list_hdr_add_option("Require", "path"); append_urihf("CC: ", "\\r\\n");'
    )
    assert (out.all("Require"), out.one("CC")) == ([b"path"], b"sip:0123@example.com")
    draft = message().add("k", "timer").add("Privacy", "header; id")
    text = """if (is_privacy("ID")) list_hdr_remove_option("Supported", "timer");
        if (!list_hdr_remove_option("Supported", "none")) append_hf("X-None: 1\\r\\n");"""
    out = relayed(tmp_path, text, draft)
    assert [*out.all("Supported"), *out.all("k"), *out.all("X-None")] == [b"100rel", b"1"]


@pytest.mark.parametrize(
    ("body", "is_held"),
    [
        (SDP.replace("a=sendrecv", "a=sendonly"), True),
        (SDP.replace("a=sendrecv", "a=inactive"), True),
        (SDP.replace("t=0 0", "a=inactive\r\nt=0 0"), False),  # the stream's own counts
        (SDP.replace("t=0 0", "a=inactive\r\nt=0 0").replace("a=sendrecv\r\n", ""), True),
        (SDP.replace("c=IN IP4 10.0.0.1", "c=IN IP4 0.0.0.0"), True),
        ("", False),
    ],
)
def test_audio_on_hold(tmp_path: Path, body: str, is_held: bool) -> None:
    before = 'if (is_audio_on_hold()) $avp(r) = "1"; else $avp(r) = "0";'
    assert says(tmp_path, "$avp(r)", message(body), before) == str(int(is_held))


@pytest.mark.parametrize(
    ("flags", "draft", "code", "why"),
    [
        ("", message().remove("Max-Forwards"), -13, "no Max-Forwards"),
        ("m", message().remove("Max-Forwards"), 1, "<null>"),
        ("", message().remove("Contact"), -14, "no Contact"),
        ("", message().remove("Content-Type"), -21, "no Content-Type"),
        ("s", message("v=0\r\nno media"), -6, "the body is no SDP"),
        ("", message("v=0\r\nno media"), 1, "<null>"),
        ("r", message(uri="sip:0123@exa_mple.com"), -12, "bad host in the Request-URI"),
        ("f", message().set("From", "<sip:a@b_c>;tag=1"), -25, "bad host in From"),
        ("t", message().set("To", "<sip:a@b_c>"), -24, "bad host in To"),
        ("c", message().set("Contact", "nobody"), -26, "bad Contact"),
    ],
)
def test_sipmsg_validate(tmp_path: Path, flags: str, draft: Draft, code: int, why: str) -> None:
    before = f"""sipmsg_validate("{flags}", $avp(why)); $avp(r) = "$rc $avp(why)";
        if (sipmsg_validate("{flags}")) $avp(r) = "$avp(r) good"; else $avp(r) = "$avp(r) bad";"""
    expected = f"{code} {why} {'good' if code > 0 else 'bad'}"
    assert says(tmp_path, "$avp(r)", draft, before) == expected


def test_tel_uris(tmp_path: Path) -> None:
    draft = message(uri="tel:+49-30.123")
    assert says(tmp_path, "$ru", draft, "ruri_tel2sip();") == "sip:+4930123@a.example;user=phone"
    assert says(tmp_path, "$ru", message(), "tel2sip();") == "sip:0123@example.com"


# -- paths and routes

PATH = HEAD + 'loadmodule "path.so"\n'


def test_paths(tmp_path: Path) -> None:
    for call, expected in (
        ("add_path()", b"<sip:127.0.0.1;lr>"),
        ('add_path("lb")', b"<sip:lb@127.0.0.1;lr>"),
        ("add_path_received()", b"<sip:127.0.0.1;received=sip:198.51.100.7:5070;lr>"),
        ('add_path_received("in")', b"<sip:in@127.0.0.1;received=sip:198.51.100.7:5070;lr>"),
    ):
        text = f'{PATH} route {{ {call}; ds_select_dst("1", "4"); forward(); }}'
        sent = run(tmp_path, text, message("", "REGISTER", "sip:example.com"))
        assert forwarded(sent).all("Path") == [expected]


@pytest.mark.parametrize("use", [0, 1])
def test_what_came_back_by_its_path(tmp_path: Path, use: int) -> None:
    draft = message("", "MESSAGE", "sip:al@198.51.100.99")
    draft.add("Route", "<sip:127.0.0.1;received=sip:203.0.113.9:4444;lr>")
    text = f'{PATH} modparam("path", "use_received", {use}) route {{ loose_route(); forward(); }}'
    ((data, *place),) = run(tmp_path, text, draft)
    assert place[:2] == (["203.0.113.9", 4444] if use else ["198.51.100.99", 5060])
    assert Sip.read(data).all("Route") == []


def test_record_route_preset(tmp_path: Path) -> None:
    draft = message().add("Record-Route", "<sip:192.0.2.50;lr>")
    out = relayed(tmp_path, 'record_route_preset("lb.example:5070");', draft)
    assert out.all("Record-Route") == [b"<sip:lb.example:5070;lr;ftag=f1>", b"<sip:192.0.2.50;lr>"]


def test_two_preset_record_routes(tmp_path: Path) -> None:
    text = 'add_rr_param("x=y"); record_route_preset("203.0.113.5:5060", "10.0.0.5:5060");'
    assert relayed(tmp_path, text).all("Record-Route") == [
        b"<sip:10.0.0.5:5060;lr;ftag=f1;x=y>",
        b"<sip:203.0.113.5:5060;lr;ftag=f1;x=y>",
    ]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ('subst_uri("/(a/b/");', "'(a' is no regular expression"),
        (r'subst("/a(b)/\2/");', "'a(b)' has 1 groups, there is no \\2"),
        ('subst("/a/$nothing/");', "the variable $nothing is not there"),
        ('replace("(", "x");', "'(' is no regular expression"),
        ('check_route_param("(");', "'(' is no regular expression"),
        ('t_relay("tcp:192.0.2.1:5060");', "t_relay(): expected an address such as udp:192.0.2.1"),
        ('t_relay("udp:gw.example:5060");', "t_relay(): expected an address such as udp:192.0.2.1"),
        ('avp_pushto("$fu", "$avp(x)");', "avp_pushto(): expected one of $ru, $ru/username,"),
        ('avp_subst("$avp(x)/y", "/a/b/");', "expected $avp(from)/$avp(to)/flags, got '$avp(x)/y'"),
        ('set_count("$avp(x)", "$si");', "expected $avp(...), $var(...) or one of $ru, $du"),
        ('t_local_replied("all");', "t_local_replied() cannot be called in a request_route"),
        ('forward("gw.example.com:5060");', "forward(): expected an address such as udp:192.0.2.1"),
        ("add_path();", "add_path() is of module path, which is not loaded"),
    ],
)
def test_mistakes(tmp_path: Path, call: str, expected: str) -> None:
    ((_, _, said),) = problems(tmp_path, f"route {{ {call} }}", HEAD)
    assert said.startswith(expected)


def test_local_replied_knows_two_words(tmp_path: Path) -> None:
    text = f'{HEAD} route {{ }} failure_route[f] {{ t_local_replied("any"); }}'
    ((_, _, said),) = problems(tmp_path, text)
    assert said == "t_local_replied(): expected all, last or branch, got 'any'"
