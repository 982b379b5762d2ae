"""A script's text before it is parsed: included files, defines, conditions, the environment.

OpenSIPS leaves macros to a preprocessor.  Understood are those in use: ``#!define``, ``#!ifdef``,
``#!ifndef``, ``#!else``, ``#!endif`` (``!!`` does as well), m4's ``define(`NAME', `value')`` and
``dnl``, and ``$env(NAME)``.  Nothing is executed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ds_farm.cfg.errors import ScriptProblem, ScriptProblems

MOST_DEPTH = 10
MOST_BYTES = 4 << 20

_INCLUDE = re.compile(r'\s*(include|import)_file\s+"([^"\n]*)"\s*;?\s*(?:#.*)?$')
_DIRECTIVE = re.compile(r"\s*(?:#!|!!)\s*(define|ifdef|ifndef|else|endif)\b[ \t]*(\w*)[ \t]*(.*)$")
_M4_DEFINE = re.compile(r"\s*define\(`(\w+)',\s*`([^`']*)'\)\s*(?:dnl.*)?$")
_M4 = re.compile(r"^[ \t]*(?:define\(`|dnl\b)", re.MULTILINE)
_ENVIRONMENT = re.compile(r"\$env\((\w+)\)")
_PIECES = re.compile(r'"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#.*|//.*|\w+|.', re.DOTALL)


@dataclass(slots=True)
class Source:
    """The whole text, and where each of its lines comes from."""

    path: Path
    lines: list[str] = field(default_factory=list)
    places: list[tuple[Path, int]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def place(self, line: int) -> tuple[Path, int]:
        """File and line of a line of the whole text, counted from 1."""
        if 0 < line <= len(self.places):
            return self.places[line - 1]
        return self.places[-1] if self.places else (self.path, 0)

    def problem(self, line: int, column: int, text: str) -> ScriptProblem:
        """A mistake at this line of the whole text."""
        file, number = self.place(line)
        shown = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        return ScriptProblem(file, number, column, text, shown)


def read(path: Path, environment: Mapping[str, str] | None = None) -> Source:
    """A script with all that it includes.

    :raises ScriptProblems: a file that cannot be read, conditions that do not close, a variable
        of the environment that is not set
    """
    reader = _Reader(Source(path), os.environ if environment is None else environment)
    reader.read(path, 0)
    if reader.problems:
        raise ScriptProblems(reader.problems)
    return reader.source


class _Reader:
    def __init__(self, source: Source, environment: Mapping[str, str]) -> None:
        self.source = source
        self.problems: list[ScriptProblem] = []
        self._environment = environment
        self._defines: dict[str, str] = {}
        self._everywhere: dict[str, str] = {}
        self._bytes = 0
        self._is_m4 = False

    def read(self, path: Path, depth: int) -> None:
        text = self._text(path)
        self._bytes += len(text)
        if self._bytes > MOST_BYTES:
            raise ScriptProblems([ScriptProblem(path, 0, 0, f"more than {MOST_BYTES} bytes")])
        self._is_m4 = self._is_m4 or _M4.search(text) is not None
        skipping: list[bool] = []
        opened: list[int] = []
        for number, line in enumerate(text.splitlines(), 1):
            directive = _DIRECTIVE.match(line)
            if directive:
                self._directive(path, number, line, directive, skipping, opened)
                self._add("", path, number)
            elif any(skipping):
                self._add("", path, number)
            elif include := _INCLUDE.match(line):
                self._add("", path, number)
                self._include(include[1], include[2], path, number, line, depth)
            elif macro := _M4_DEFINE.match(line):
                self._everywhere[macro[1]] = macro[2]
                self._add("", path, number)
            else:
                self._add(self._expanded(line, path, number), path, number)
        for number in opened:
            self._complain(path, number, 1, "no #!endif follows", "")

    def _text(self, path: Path) -> str:
        try:
            return path.read_bytes().decode()
        except OSError as error:
            raise ScriptProblems([ScriptProblem(path, 0, 0, f"{error.strerror}")]) from None
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise ScriptProblems([ScriptProblem(path, line, 0, "this is not UTF-8")]) from None

    def _add(self, line: str, path: Path, number: int) -> None:
        self.source.lines.append(line)
        self.source.places.append((path, number))

    def _complain(self, path: Path, line: int, column: int, text: str, source: str) -> None:
        self.problems.append(ScriptProblem(path, line, column, text, source))

    def _directive(
        self, path: Path, number: int, line: str, found: re.Match[str],
        skipping: list[bool], opened: list[int],
    ) -> None:  # fmt: skip
        kind, name, value = found[1], found[2], found[3].strip()
        if kind in ("define", "ifdef", "ifndef") and not name:
            self._complain(path, number, len(line) + 1, f"expected a name after #!{kind}", line)
        elif kind == "define" and not any(skipping):
            self._defines[name] = value
        elif kind in ("ifdef", "ifndef"):
            is_defined = name in self._defines or name in self._everywhere
            skipping.append(is_defined == (kind == "ifndef"))
            opened.append(number)
        elif kind in ("else", "endif") and not opened:
            self._complain(path, number, 1, f"#!{kind} without #!ifdef", line)
        elif kind == "else":
            skipping[-1] = not skipping[-1]
        elif kind == "endif":
            skipping.pop()
            opened.pop()

    def _include(
        self, kind: str, name: str, path: Path, number: int, line: str, depth: int
    ) -> None:
        if depth >= MOST_DEPTH:
            text = f"files include each other more than {MOST_DEPTH} deep"
            self._complain(path, number, 1, text, line)
            return
        found = next((each for each in (path.parent / name, Path(name)) if each.is_file()), None)
        if found is not None:
            self.read(found, depth + 1)
        elif kind == "include":
            column = line.index('"') + 1
            self._complain(path, number, column, f"there is no file {name!r}", line)

    def _expanded(self, line: str, path: Path, number: int) -> str:
        if self._is_m4:
            line = re.sub(r"\bdnl\b.*", "", line)
            line = re.sub(r"\w+", lambda m: self._everywhere.get(m[0], m[0]), line)
        if self._defines:
            pieces = _PIECES.findall(line)
            line = "".join(self._defines.get(piece, piece) for piece in pieces)
        for found in _ENVIRONMENT.finditer(line):
            if found[1] not in self._environment:
                text = f"the environment has no {found[1]}"
                self._complain(path, number, found.start() + 1, text, line)
        return _ENVIRONMENT.sub(
            lambda m: re.sub(r'["\\\n]', "", self._environment.get(m[1], "")), line
        )
