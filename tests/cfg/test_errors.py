"""Mistakes are told as by a compiler: place, line, what was expected; all at once if possible."""

from __future__ import annotations

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
        ("route[] { }", (1, 7), "got ']', expected the name of a route"),
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
        ("route(nowhere);", "there is no route[nowhere]"),
        ('t_on_failure("x");', "there is no failure_route[x]"),
        ('ds_select_dst("1");', "ds_select_dst() takes 2 to 5 arguments, got 1"),
        ('ds_select_dst("1", "4", "fz");', "ds_select_dst(): "),
        ('ds_select_dst("1,2", "4");', "ds_select_dst(): "),
        ('t_check_status("408");', "t_check_status() cannot be called in a request_route"),
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
        ("route { } timer_route[x, 5] { }", "timer_route is not there"),
        ("route { } startup_route { t_relay(); }", "a startup_route may call subscribe_event()"),
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


def test_what_has_no_effect_is_a_note(tmp_path: Path) -> None:
    made = translation(
        tmp_path, "fork=yes\nlisten=tcp:127.0.0.1:5060\nerror_route { }\nroute { }\n"
    )
    notes = [note.text for note in made.notes]
    assert "fork means nothing here" in notes
    assert any("SIP over UDP only" in note for note in notes)
    assert any(note.startswith("error_route never runs") for note in notes)


def test_blocks_within_blocks(tmp_path: Path) -> None:
    deep = "if (1) { " * 70 + "exit; " + "} " * 70
    ((_, _, said),) = problems(tmp_path, f"route {{ {deep} }}")
    assert said == "blocks within blocks, more than 60 deep"
    nested = "(" * 3000 + "1" + ")" * 3000
    found = problems(
        tmp_path, f"route {{ if ({nested} == $var(x)) exit; if ({'!' * 2000}1) exit; }}"
    )
    assert len(found) == 1
