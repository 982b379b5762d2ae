"""What OpenSIPS's own lexer and grammar make of a script, where that may surprise."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cfg.translated import HEAD, problems, says, translation
from tests.support.message import Draft


@pytest.mark.parametrize(
    ("condition", "is_true"),
    [
        ("1 || 0 && 0", False),
        ("1 or 0 and 0", False),
        ("1 || (0 && 0)", True),
        ("0 && 0 || 1", True),
        ("0 && (0 || 1)", False),
        ("1 || 1 && 0 || 0", False),
        ("0 && 1 || 1 && 1", True),
        ("!0 || 1 && 0", False),
        ("not (1 || 0 && 0)", True),
        ("$var(x) == 0 || 1 == 1 && 1 == 2", False),
    ],
)
def test_or_and_and_are_one_level(tmp_path: Path, condition: str, is_true: bool) -> None:
    before = f'if ({condition}) $avp(r) = "yes"; else $avp(r) = "no";'
    assert says(tmp_path, "$avp(r)", before=before) == ("yes" if is_true else "no")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4", "20"),
        ("100 - 10 * 2", "180"),
        ("2 + (3 * 4)", "14"),
        ("10 - 2 - 3", "5"),
        ("10 - (2 - 3)", "11"),
        ("7 + 1 / 2", "4"),
        ("7 + 3 % 4", "2"),
        ("1 | 2 ^ 3 & 1", "0"),
        ("1 | (2 ^ 3 & 1)", "1"),
        ("6 & 3 | 8 << 1", "20"),
        ("1 << 2 + 1", "8"),
        ("1 + 2 | 4", "7"),
        ("2 * -3 + 1", "-5"),
        ("$var(n) + 3 * 4", "12"),
        ("$var(n) - 1 * 2", "-2"),
        ("$var(n) | 2 ^ 3 & 1", "1"),
    ],
)
def test_arithmetic_is_one_level_and_bits_one(tmp_path: Path, expression: str, value: str) -> None:
    assert says(tmp_path, expression, before="$var(n) = 0;") == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (r'"\x41\x4a-\x7"', "AJ-\a"),
        (r'"\x4g"', "\x04g"),
        (r'"\xg"', r"\xg"),
        (r'"\101\112\60"', "AJ0"),
        (r'"\0601"', "01"),
        (r'"\1\8"', r"\1\8"),
        (r'"\\x41\\101"', r"\x41\101"),
        (r'"\xc3\xa9\303\251"', "éé"),
        (r"'\x41\101'", r"\x41\101"),
        ('"a\\\nb"', "ab"),
        ("010", "8"),
        ("0777", "511"),
        ("09", "9"),
        ("0", "0"),
        ("00", "0"),
        ("0x1F", "31"),
        ("10", "10"),
    ],
)
def test_strings_and_numbers(tmp_path: Path, expression: str, value: str) -> None:
    assert says(tmp_path, expression) == value


def test_one_digit_is_what_a_substitution_found(tmp_path: Path) -> None:
    before = '$ru = "sip:123@example.com"; subst_user("/(1)(2)/\\2\\x2d\\1/");'
    assert says(tmp_path, "$rU", before=before) == "2-13"


HOSTS = "listen=127.0.0.1\n{}\nroute {{ if ($rd == myself) exit; }}"


@pytest.mark.parametrize(
    ("lines", "hosts"),
    [
        ("alias=a.com", ["a.com"]),
        ("alias=a.com b.com", ["a.com", "b.com"]),
        ('alias="a" "b"', ["a", "b"]),
        ('alias="a"\n  "b"\nalias=c # "d"', ["a", "b", "c"]),
        ("alias=udp:a.com:5060", ["a.com:5060"]),
        ("alias=any:a.com tcp:b.com /* no more */", ["a.com", "b.com"]),
    ],
)
def test_aliases(tmp_path: Path, lines: str, hosts: list[str]) -> None:
    found = translation(tmp_path, HOSTS.format(lines)).module
    shown = ", ".join(f'"{host}"' for host in ["127.0.0.1:5060", *hosts])
    assert f"myself = Myself({shown})" in found


@pytest.mark.parametrize(
    ("lines", "sockets"),
    [
        ("listen=udp:127.0.0.1 udp:127.0.0.2:5062", ["127.0.0.1:5060", "127.0.0.2:5062"]),
        ("listen=udp:127.0.0.1:5061 tcp:127.0.0.1:5061", ["127.0.0.1:5061"]),
        ('listen="udp:127.0.0.1" "udp:127.0.0.2"', ["127.0.0.1:5060", "127.0.0.2:5060"]),
        (
            "socket=udp:127.0.0.1 as 192.0.2.1:5080 tag x use_workers 2 udp:127.0.0.2 anycast",
            ["127.0.0.1:5060 as 192.0.2.1:5080", "127.0.0.2:5060"],
        ),
        ("listen=udp:127.0.0.1:5070 /* the one */", ["127.0.0.1:5070"]),
    ],
)
def test_lists_of_sockets(tmp_path: Path, lines: str, sockets: list[str]) -> None:
    made = translation(tmp_path, lines + "\nroute { }").sections["farm"]["socket"]
    assert made == [f"udp:{each}" for each in sockets]


def test_comments_after_values_are_no_part_of_them(tmp_path: Path) -> None:
    text = """
        listen=127.0.0.1
        children=4 /* one for each core,
                      or so */
        log_level=/* most */0x3
        user=nobody/* not root */
        max_while_loops=+0x10
        maxbuffer=010
        route { while (1) exit; }
    """
    made = translation(tmp_path, text)
    assert made.sections["farm"]["children"] == 4
    assert made.sections["farm"]["user"] == "nobody"
    assert made.sections["farm"]["receive_buffer_bytes"] == 8
    assert made.sections["log"] == {"level": "info"}
    assert "in range(16)" in made.module


def test_one_value_where_no_list_is(tmp_path: Path) -> None:
    ((line, column, said),) = problems(tmp_path, 'user="a" "b"\nroute { }')
    assert (line, column, said) == (1, 10, 'got "b", expected one value of user')


@pytest.mark.parametrize(
    ("condition", "is_true"),
    [
        ("[ $var(x) & 4 ]", True),
        ("[ $var(x) & 1 ]", False),
        ("[$var(x) - 7]", True),
        ("[1]", True),
        ("[ 0 ] || [ 1 ]", True),
        ("![ $var(x) & 1 ]", True),
        ("[ +5 - 5 ]", False),
        ("src_ip == [2001:db8::1]", False),
    ],
)
def test_brackets_around_arithmetic(tmp_path: Path, condition: str, is_true: bool) -> None:
    before = f'$var(x) = 6; if ({condition}) $avp(r) = "yes"; else $avp(r) = "no";'
    assert says(tmp_path, "$avp(r)", before=before) == ("yes" if is_true else "no")
    loop = f'$var(x) = 6; $avp(r) = "no"; while ({condition}) {{ $avp(r) := "yes"; break; }}'
    assert says(tmp_path, "$avp(r)", before=loop) == ("yes" if is_true else "no")


@pytest.mark.parametrize(
    ("expression", "value"),
    [("+5", "5"), ("-5", "-5"), ("2 - +5", "-3"), ('+"7"', "7"), ("yes + on", "2"), ("off", "0")],
)
def test_signs_and_words_of_numbers(tmp_path: Path, expression: str, value: str) -> None:
    assert says(tmp_path, expression) == value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", 0), ("yes", 1), ("on", 1), ("enable", 1), ("off", 0), ("disable", 0), ("true", 1),
        ("false", 0), ("+5", 5), ("-5", -5), ("0x10", 16), ("010", 8), ('"010"', "010"),
    ],
)  # fmt: skip
def test_values_of_modparam(tmp_path: Path, written: str, value: int | str) -> None:
    text = f'listen=127.0.0.1\nmodparam("tm", "auto_100trying", {written})\nroute {{ }}'
    assert translation(tmp_path, text).sections["tm"] == {"auto_100trying": value}


def test_other_words_are_no_values_of_modparam(tmp_path: Path) -> None:
    text = 'loadmodule "tm.so"\nmodparam("tm", "auto_100trying", maybe)\nroute { }'
    ((line, _, said),) = problems(tmp_path, text)
    assert (line, said) == (2, "got maybe, expected a string, a number, yes or no")


@pytest.mark.parametrize(
    "condition",
    ['$rm == "option" + "s"', "$rm == options", "method == OPTIONS", "af == INET", "$rU != abc"],
)
def test_words_on_the_right_are_texts_in_any_case(tmp_path: Path, condition: str) -> None:
    before = f'if ({condition}) $var(x) = abc; else $var(x) = "no";'
    message = Draft("OPTIONS", via="SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKwords", key="words")
    assert says(tmp_path, "$var(x)", message, before) == "abc"


@pytest.mark.parametrize("call", ["route($var(x))", 'route("$var(x)")', 't_on_failure("$var(x)")'])
def test_names_of_routes_are_constants(tmp_path: Path, call: str) -> None:
    ((_, _, said),) = problems(tmp_path, f"route {{ {call}; }}", HEAD)
    assert said == "names of routes must be constants"


def test_names_of_routes_in_quotes_and_the_main_one(tmp_path: Path) -> None:
    made = translation(tmp_path, 'route[0] { route("x y"); }\nroute["x y"] { }').module
    assert "def request_route(request)" in made
    assert "route_x_y(request)" in made


def test_more_names_of_globals(tmp_path: Path) -> None:
    names = ("xlog_default_level", "execmsgthreshold", "tcpthreshold", "mem_warming_enabled")
    text = "listen=127.0.0.1\n" + "".join(f"{name}=1\n" for name in names) + "route { }"
    notes = [note.text for note in translation(tmp_path, text, "").notes]
    assert notes == [f"{name} means nothing here" for name in names]
