"""Mistakes are told as by a compiler: place, line, what was expected; all at once if possible."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ds_farm.cfg import ScriptProblems
from tests.cfg.translated import HEAD, problems, translation

ROUTE = "route {{ {} }}\n"


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("route { t_relay() }", (1, 19), "got '}', expected"),
        ('route { xlog("a); }', (1, 14), "a string begins here and does not end"),
        ("route { if (1) ", (1, 16), "the script ends here, expected"),
        ("route { $ru = ; }", (1, 15), "got ';', expected"),
        ("children=\n", (1, 10), "the script ends here, expected a value"),
        ("route[] { }", (1, 7), "got ']', expected a string or the name of a route"),
        ("modparam(1, 2, 3)", (1, 10), "got '1', expected a string"),
        ("frobnicate { }", (1, 12), "got '{', expected '='"),
        ("route { else { } }", (1, 14), "got '{', expected '('"),
    ],
)
def test_syntax(tmp_path: Path, text: str, place: tuple[int, int], expected: str) -> None:
    ((line, column, said),) = problems(tmp_path, text)
    assert ((line, column), said[: len(expected)]) == (place, expected)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("break;", "break outside of while, for and switch"),
        ("for ($var(x) in $(avp(y)[*]zz)) { }", "$(avp(y)[*]zz): 'zz' is no index"),
        (
            "$var(x) = " + "(" * 60 + "1" + " + 1)" * 60 + ";",
            "expressions within expressions, more",
        ),
        ("lookup();", "there is no function lookup() here (module registrar)"),
        ('cache_store("local", "a", "b");', "there is no function cache_store() here (core)"),
        ("dp_translate();", "there is no function dp_translate() here (module dialplan)"),
        ("t_replicate();", "there is no function t_replicate() here (module tm)"),
        ("codec_delete();", "there is no function codec_delete() here (module sipmsgops)"),
        ("mid_registrar_save();", "there is no function mid_registrar_save() here (module mid_reg"),
        ("is_uri_host_local();", "there is no function is_uri_host_local() here (module domain)"),
        ("assert();", "there is no function assert() here (core)"),
        ("frob();", "there is no function frob() here"),
        ("route(nowhere);", "there is no route[nowhere]"),
        ('t_on_failure("x");', "there is no failure_route[x]"),
        ('ds_select_dst("1");', "ds_select_dst() takes 2 to 5 arguments, got 1"),
        ('ds_select_dst("1", "4", "fz");', "ds_select_dst(): "),
        ('ds_select_dst("1,2", "4");', "ds_select_dst(): "),
        ("drop(); ds_next_dst(1, 2);", "ds_next_dst() takes 0 to 1 arguments, got 2"),
        ("$zz = 1;", "$zz cannot be assigned to"),
        ("$si = 1;", "$si cannot be assigned to"),
        ("$var(x) = $nothing;", "the variable $nothing is not there"),
        ("$var(x) = $(ru{s.frob});", "$(ru{s.frob}): the transformation {s.frob} is not there"),
        ("$var(x) = $(ru{s.substr,1});", "$(ru{s.substr,1}): {s.substr} takes 2 arguments, got 1"),
        ('if ($ru =~ "(") exit;', "'(' is no regular expression"),
        ("if (frob == 1) exit;", "got frob, expected a variable or a value"),
        ('subst_uri("/a/b");', "expected /pattern/replacement/flags"),
        ('mf_process_maxfwd_header("ten");', "expected a number, got 'ten'"),
        ('ds_count("1", "a", "x");', "expected a variable, got 'x'"),
    ],
)
def test_what_a_script_needs_and_is_not_there(tmp_path: Path, body: str, expected: str) -> None:
    ((line, _, said),) = problems(tmp_path, ROUTE.format(body), HEAD)
    assert (line, said[: len(expected)]) == (HEAD.count("\n") + 1, expected)


def test_all_of_it_at_once(tmp_path: Path) -> None:
    text = (
        'frob=1\nloadmodule "usrloc.so"\nroute {\n  lookup("x");\n  ds_select_dst("1", "4");\n}\n'
    )
    found = problems(tmp_path, text)
    assert [(line, said) for line, _, said in found] == [
        (1, "there is no global parameter frob"),
        (4, "there is no function lookup() here (module registrar)"),
        (5, "ds_select_dst() is of module dispatcher, which is not loaded"),
    ]


BODIES = """
route {
  if (a1() || !a2()) { a3(); } else if ($a4 == $a5) { a6("$a7 $a8", $a9); }
  while ($b1 =~ "(") { b2(); }
  switch ($c1) { case $c2: c3(); break; default: c4(); }
  for ($d1 in $(avp(x)[0]q)) { d2(); }
  for ($e1 in $(ru[*])) { e2(); }
  xlog("$f1 $f2 $(ru{f3})");
  is_myself($g1, $g2);
  route(nowhere);
  $var(x) = $h1 + $h2;
  $h3 = $h4;
  return($h5);
}
timer_route[t, 5] { $var(x) = $fu; $var(x) = $ci; }
"""


def test_nothing_hides_behind_what_is_wrong(tmp_path: Path) -> None:
    found = " ".join(said for _, _, said in problems(tmp_path, BODIES))
    names = (
        *("a1", "a2", "a3", "a4", "a5", "a6", "b1", "b2", "c1", "c2", "c3", "c4", "d2", "e1", "e2"),
        *("f1", "f2", "f3", "g1", "g2", "nowhere", "h1", "h2", "h3", "h4", "h5", "fu", "ci"),
    )
    assert [name for name in names if not re.search(rf"\b{name}\b", found)] == []
    assert "is no regular expression" in found


def test_the_line_is_shown(tmp_path: Path) -> None:
    with pytest.raises(ScriptProblems) as caught:
        translation(tmp_path, "route {\n\tfrob();\n}\n", "")
    shown = str(caught.value).splitlines()
    assert shown[0] == f"{tmp_path}/script.cfg:2:2: there is no function frob() here"
    assert shown[1].index("frob") == shown[2].index("^")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("failure_route[x] { }", "there is no route{...}: nothing says what to do with requests"),
        ("route { } route { }", "there are two of route"),
        ("route { } timer_route[x, 0] { }", "an interval is not 0"),
        ("route { } timer_route[x, 5] { } timer_route[x, 6] { }", "there are two of timer_route"),
        ("route { } timer_route[x, 5] { $ru = $ci; }", "a timer_route cannot use"),
        ("route { } timer_route[x, 5] { t_relay(); }", "t_relay() cannot be called in a timer"),
        ("route { } startup_route { t_relay(); }", "t_relay() cannot be called in a startup_route"),
        ("route { } startup_route { subscribe_event(1, 2); }", "subscribe_event() takes E_DISP"),
        ("route { } startup_route { xlog($si); }", "a startup_route cannot use si: it has no mess"),
        ("route { } route[a] { } timer_route[x, 5] { route(a); }", "a timer_route cannot call oth"),
        ("route { } event_route[E_DISPATCHER_STATUS] { xlog($ci); }", "an event_route cannot use"),
        ("route { } route[a] { } local_route { route(a); }", "a local_route cannot call other"),
        ("route { $var(x) = 99999999999999999999; }", "got '9"),
        ("route { } event_route[E_X] { }", "there is no event E_X; there is E_DISPATCHER_STATUS"),
        ("route { } local_route { append_hf($si); }", "a local_route cannot use si"),
        ('modparam("dispatcher", "x", 1) route { }', "modparam of module dispatcher"),
        ("children=many\nroute { }", "children: expected a number, got 'many'"),
    ],
)
def test_parts_that_do_not_fit(tmp_path: Path, text: str, expected: str) -> None:
    head = "" if "modparam" in text else HEAD
    assert any(said.startswith(expected) for _, _, said in problems(tmp_path, text, head))


def test_subscribers_of_a_startup_route(tmp_path: Path) -> None:
    text = 'startup_route { subscribe_event("E_DISPATCHER_STATUS", "udp:127.0.0.1:9", 60); }'
    made = translation(tmp_path, text + " route { }")
    assert made.sections["events"] == {"subscribers": ["udp:127.0.0.1:9"]}


def test_global_parameters_that_the_farm_has(tmp_path: Path) -> None:
    text = """
        listen=udp:127.0.0.1:5060
        listen=udp:127.0.0.1:5070 as 198.51.100.1:5080
        listen=udp:[::1]:5060
        advertised_address="203.0.113.5"
        user="nobody"
        gid=nogroup
        maxbuffer=262144
        tos=IPTOS_LOWDELAY
        dns_try_naptr=no
        dns_use_search_list=1
        db_default_url="mysql://a:b@localhost/c"
        route { }
    """
    sections = translation(tmp_path, text).sections
    assert sections["farm"] == {
        "socket": [
            "udp:127.0.0.1:5060 as 203.0.113.5:5060",
            "udp:127.0.0.1:5070 as 198.51.100.1:5080",
            "udp:[::1]:5060 as 203.0.113.5:5060",
        ],
        "user": "nobody",
        "group": "nogroup",
        "receive_buffer_bytes": 262144,
        "tos": 16,
    }
    assert sections["dns"] == {"try_naptr": 0, "use_search_list": 1}
    assert sections["dispatcher"] == {"db_url": "mysql://a:b@localhost/c"}
    text = "port=5062\nadvertised_port=5090\nlisten=127.0.0.1\nroute { }"
    made = translation(tmp_path, text).sections["farm"]["socket"]
    assert made == ["127.0.0.1:5062 as 127.0.0.1:5090"]


def test_places_of_the_management_interface(tmp_path: Path) -> None:
    text = """
        listen=127.0.0.1
        loadmodule "mi_fifo.so"
        modparam("mi_fifo", "fifo_name", "/run/x/fifo")
        modparam("mi_fifo", "fifo_mode", 0600)
        modparam("mi_fifo", "reply_dir", "/run/x")
        loadmodule "mi_datagram.so"
        modparam("mi_datagram", "socket_name", "/run/x/sock")
        route { }
    """
    assert translation(tmp_path, text).sections["mi"] == {
        "fifo": "/run/x/fifo",
        "mode": "0600",
        "fifo_reply_dir": "/run/x",
        "datagram": "unix:/run/x/sock",
    }


@pytest.mark.parametrize(("root", "is_noted"), [("opensips_mi", True), ("mi", False)])
def test_where_mi_is_served(tmp_path: Path, root: str, is_noted: bool) -> None:
    text = f'loadmodule "mi_http.so"\nmodparam("mi_http", "root", "{root}")\nroute {{ }}'
    notes = [note.text for note in translation(tmp_path, text).notes]
    said = "root of module mi_http: MI is served at /mi, not at /opensips_mi"
    assert notes == ([said] if is_noted else [])


def test_what_has_no_effect_is_a_note(tmp_path: Path) -> None:
    made = translation(
        tmp_path, "fork=yes\nlisten=tcp:127.0.0.1:5060\nerror_route { }\nroute { }\n"
    )
    notes = [note.text for note in made.notes]
    assert "fork means nothing here" in notes
    assert any("SIP over UDP only" in note for note in notes)
    assert any(note.startswith("error_route never runs") for note in notes)


def test_global_parameters_that_opensips_knows(tmp_path: Path) -> None:
    known = (
        *("debug_mode=yes", "mem_warming=on", "mem_warming_percentage=50", "log_prefix=x"),
        *('avp_aliases="a=i:1"', "event_shm_threshold=90", "query_flush_time=10", "log_stdout=1"),
        *("workdir=/tmp", "restart_persistency_size=64", "mcast_loopback=no", "tcp_keepalive=1"),
        'mem-group="fast": "dispatcher" "tm"',
    )
    text = "listen=127.0.0.1\n" + "\n".join(known) + "\nroute { }"
    notes = [note.text for note in translation(tmp_path, text).notes]
    assert notes == [f"{each.partition('=')[0]} means nothing here" for each in known]


@pytest.mark.parametrize(
    "call",
    [
        'ds_select_dst("nopart:1", "4")',
        'ds_select_domain("nopart : $var(s)", "4", "f")',
        'ds_select_dst(1, 4, "f", "nopart")',
        'ds_select_dst($var(s), 4, , "nopart", 5)',
        'ds_next_dst("nopart")',
        'ds_next_domain("nopart")',
        'ds_mark_dst("nopart", "p")',
        'ds_mark_dst("p", "nopart")',
        'ds_count("nopart:1", "a", "$var(n)")',
        'ds_count(1, "a", $var(n), "nopart")',
        'ds_is_in_list($si, $sp, "nopart:1")',
        'ds_is_in_list($si, $sp, $var(s), "nopart", 1)',
    ],
)
def test_partitions_that_are_not_there(tmp_path: Path, call: str) -> None:
    partition = 'modparam("dispatcher", "partition", "{}: db_url=sqlite:///b.sqlite")\n'
    text = HEAD + partition.format("p2") + f"route {{ {call}; }}"
    ((_, _, said),) = problems(tmp_path, text)
    assert said == f"{call.split('(')[0]}(): there is no partition 'nopart', only default, p2"
    translation(tmp_path, text.replace('"p2:', '"nopart :'), "")
    for other in ("default", "$var(x)"):
        translation(tmp_path, text.replace("nopart", other), "")


def test_blocks_within_blocks(tmp_path: Path) -> None:
    deep = "if (1) { " * 70 + "exit; " + "} " * 70
    ((_, _, said),) = problems(tmp_path, f"route {{ {deep} }}")
    assert said == "blocks within blocks, more than 60 deep"
    nested = "(" * 3000 + "1" + ")" * 3000
    found = problems(
        tmp_path, f"route {{ if ({nested} == $var(x)) exit; if ({'!' * 2000}1) exit; }}"
    )
    assert len(found) == 1
