"""Included files, constants, conditions, the environment; and errors in the right file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ds_farm.cfg import ScriptProblems
from ds_farm.cfg.source import read


def lines(folder: Path, text: str, **environment: str) -> list[str]:
    (folder / "a.cfg").write_text(text)
    found = [line.strip() for line in read(folder / "a.cfg", environment).lines]
    return [line for line in found if line]


def problems(folder: Path, text: str) -> list[str]:
    (folder / "a.cfg").write_text(text)
    with pytest.raises(ScriptProblems) as caught:
        read(folder / "a.cfg", {})
    return [f"{one.file.name}:{one.line}:{one.column}: {one.text}" for one in caught.value.problems]


def test_included_files_stand_where_they_are_included(tmp_path: Path) -> None:
    (tmp_path / "b.inc").write_text("two\nthree\n")
    text = 'one\ninclude_file "b.inc"\nimport_file "none.inc";\nfour\n'
    assert lines(tmp_path, text) == ["one", "two", "three", "four"]
    source = read(tmp_path / "a.cfg", {})
    places = {line: source.place(n) for n, line in enumerate(source.lines, 1) if line}
    assert places["three"] == (tmp_path / "b.inc", 2)
    assert places["four"] == (tmp_path / "a.cfg", 4)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert problems(tmp_path, 'a\n include_file "b.inc"') == [
        "a.cfg:2:15: there is no file 'b.inc'"
    ]
    with pytest.raises(ScriptProblems, match=r"none\.cfg: No such file or directory"):
        read(tmp_path / "none.cfg", {})


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    found = problems(tmp_path, 'include_file "a.cfg"')
    assert found == ["a.cfg:1:1: files include each other more than 10 deep"]


def test_constants_and_conditions(tmp_path: Path) -> None:
    text = (
        '#!define PORT 5070\n!!define A\n#!ifdef A\nlisten PORT "PORT" XPORT\n#!else\nno\n#!endif\n'
        "#!ifndef A\nno\n#!ifdef B\nno\n#!endif\n#!else\nyes\n#!endif\n"
    )
    assert lines(tmp_path, text) == ['listen 5070 "PORT" XPORT', "yes"]


def test_conditions_that_do_not_match(tmp_path: Path) -> None:
    assert problems(tmp_path, "#!ifdef A\nx\n") == ["a.cfg:1:1: no #!endif follows"]
    assert problems(tmp_path, "x\n#!endif\n") == ["a.cfg:2:1: #!endif without #!ifdef"]
    assert problems(tmp_path, "#!define\n") == ["a.cfg:1:9: expected a name after #!define"]


def test_m4(tmp_path: Path) -> None:
    text = "define(`HOST', `192.0.2.1')dnl\nlisten=udp:HOST:5060 dnl a comment\n"
    assert lines(tmp_path, text) == ["listen=udp:192.0.2.1:5060"]
    text = "dnl a comment's text\nport=5060 dnl more\n" + text
    assert lines(tmp_path, text) == ["port=5060", "listen=udp:192.0.2.1:5060"]
    assert lines(tmp_path, 'xlog("dnl is a word");') == ['xlog("dnl is a word");']


def test_environment(tmp_path: Path) -> None:
    assert lines(tmp_path, 'x "$env(DB)"', DB='a"b\n') == ['x "ab"']
    assert problems(tmp_path, "x $env(NONE)") == ["a.cfg:1:3: the environment has no NONE"]


def test_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_bytes(b"a\n\xff\n")
    with pytest.raises(ScriptProblems, match=r"a\.cfg:2: this is not UTF-8"):
        read(tmp_path / "a.cfg", {})
