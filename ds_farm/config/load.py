"""A file to a configuration, or to all that is wrong with it, each with file, line and key."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from ds_farm.config.locate import find_lines, holds
from ds_farm.config.models import Config
from ds_farm.config.rules import Location, broken
from ds_farm.config.types import describe
from ds_farm.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from ds_farm.cfg import ScriptProblem


_WORDS = {
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "text",
    "a valid tuple": "a list",
    "a valid dictionary": "a table",
}
"""pydantic's words for what it expected -> TOML's."""


SPELLINGS = {"ds_probing_threshold": "ds_probing_threshhold"}
"""Decision 19: a name of ours, and the documented one of the same parameter."""

SCRIPT = ".cfg"
"""Ending of the name of an OpenSIPS script."""

COMMAND_LINE = "--set"
"""Stands for the file of a value that came with the command."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.  ``key`` is as in ``farm.children`` or ``farm.socket[0]``, "" for the file as
    a whole; ``line`` counts from 1, 0 if there is none."""

    file: Path
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{where}: {self.key}: {self.text}" if self.key else f"{where}: {self.text}"


class ConfigProblems(ConfigError):
    """A file with mistakes: all of them in ``problems``, in the order of their lines."""

    def __init__(self, problems: Sequence[Problem | ScriptProblem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def load(
    path: Path | str, *, for_run: bool = False, instead: Mapping[Location, object] | None = None
) -> Config:
    """Read a file.  ``for_run`` demands what a farm cannot start without: a socket, a database.

    ``instead`` has values that count instead of the file's, by section and key.
    Raises ConfigProblems with every mistake of the file.
    """
    path = Path(path)
    if path.suffix == SCRIPT:
        return _load_script(path, for_run, instead or {})
    text = _read(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigProblems([_syntax_problem(path, text, error)]) from None
    for place, value in (instead or {}).items():
        data = _with(data, place, value)
    config, found = check(data, path, for_run=for_run)
    if config is None:
        lines = find_lines(text, [location for location, _ in found])
        raise ConfigProblems(
            [
                Problem(Path(COMMAND_LINE), 0, key_name(where), what)
                if any(_overlap(where, place) for place in instead or {})
                else Problem(path, lines[where], key_name(where), what)
                for where, what in found
            ]
        )
    return config


def _load_script(path: Path, for_run: bool, instead: Mapping[Location, object]) -> Config:
    """An OpenSIPS script: `ds_farm.cfg` has its parameters and its routes."""
    from ds_farm.cfg import translate  # noqa: PLC0415 - the parser, for who has a script alone

    translation = translate(path, sockets=_sockets(instead))
    data: dict[str, Any] = {name: dict(values) for name, values in translation.sections.items()}
    data.setdefault("farm", {})["route_module"] = path.name
    for place, value in instead.items():
        data = _with(data, place, value)
    config, found = check(data, path, for_run=for_run)
    if config is None:
        raise ConfigProblems([translation.problem(where, what) for where, what in found])
    config._module_text = translation.module
    config._notes = tuple(note.short for note in translation.notes)
    return config


def _sockets(instead: Mapping[Location, object]) -> list[str] | None:
    """``farm.socket``, if it is given instead of a script's own."""
    given = instead.get(("farm", "socket"))
    if isinstance(given, str):
        return [given]
    return [str(each) for each in given] if isinstance(given, list) else None


def problem_at(path: Path, place: Location, text: str) -> Problem:
    """A problem found later with a value of a file that has been loaded."""
    if path.suffix == SCRIPT:
        return Problem(path, 0, key_name(place), text)
    return Problem(path, find_lines(_read(path), [place])[place], key_name(place), text)


def check(
    data: dict[str, Any], path: Path, *, for_run: bool = False
) -> tuple[Config | None, list[tuple[Location, str]]]:
    """The configuration, or None and all that is wrong with it.

    What is wrong by itself is taken out and the rest checked again, so that rules between keys
    speak up as well.
    """
    found: dict[Location, str] = {}
    remaining = data
    config = None
    while config is None:
        try:
            config = Config.model_validate(remaining, context={"folder": path.absolute().parent})
        except ValidationError as error:
            wrong = [(_location(each), _explain(each)) for each in error.errors()]
            wrong = [each for each in wrong if each[0] not in found] or [((), str(error))]
            found.update(wrong)
            for where, _ in wrong:
                remaining = _without(remaining, where)
    for finding in broken(config, for_run):
        if not any(_overlap(key, where) for key in finding.keys for where in found):
            blamed = next((key for key in finding.keys if holds(data, key)), finding.keys[0])
            found[blamed] = finding.text
    if found:
        return None, list(found.items())
    config._path = path.absolute()
    return config, []


def key_name(where: Location) -> str:
    """``("farm", "socket", 0)`` as ``farm.socket[0]``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return "".join(parts).removeprefix(".")


def _read(path: Path) -> str:
    try:
        # TOML 1.0: a newline is LF or CRLF; tomllib.loads wants LF.
        return path.read_bytes().decode().replace("\r\n", "\n")
    except OSError as error:
        raise ConfigProblems([Problem(path, 0, "", f"{error.strerror}")]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigProblems([Problem(path, line, "", "this is not UTF-8")]) from None


def _syntax_problem(path: Path, text: str, error: tomllib.TOMLDecodeError) -> Problem:
    message = str(error)
    match = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    line = text.count("\n") + 1 if match is None or match[1] is None else int(match[1])
    return Problem(path, line, "", f"not TOML: {message.removesuffix(match[0] if match else '')}")


def _location(error: ErrorDetails) -> Location:
    """pydantic marks a wrong key of a dictionary with a last item ``[key]``."""
    where = error["loc"]
    return where[:-1] if where and where[-1] == "[key]" else where


def _explain(error: ErrorDetails) -> str:
    where = _location(error)
    if error["type"] == "extra_forbidden":
        return _explain_unknown(where)
    if "ctx" in error and "error" in error["ctx"]:
        return str(error["ctx"]["error"])
    if error["type"] == "model_type":
        return f"got {describe(error['input'])}, expected a table"
    return f"got {describe(error['input'])}, expected {_expected(where, error)}"


def _expected(where: Location, error: ErrorDetails) -> str:
    model, key = _model_at(where[:-1]), str(where[-1])
    bounds: dict[str, float] = {}
    if model and key in (names := _names(model)):
        for limit in model.model_fields[names[key]].metadata:
            for name in ("ge", "gt", "le"):
                if hasattr(limit, name):
                    bounds[name] = getattr(limit, name)
    kind = error["msg"].replace("Input should be ", "")
    kind = _WORDS.get(kind, kind)
    if not bounds or "le" not in bounds:
        return kind
    kind = "a number" if error["type"].startswith(("float", "greater_than", "less")) else kind
    low = bounds.get("ge", bounds.get("gt"))
    above = "above" if "gt" in bounds else "from"
    return f"{kind} {above} {low} to {bounds['le']}"


def _explain_unknown(where: Location) -> str:
    key = str(where[-1])
    if key in SPELLINGS:
        return f"the same as {SPELLINGS[key]}, which is given too"
    model = _model_at(where[:-1])
    known = list(_names(model)) if model else []
    what = "section" if len(where) == 1 else "key"
    if near := difflib.get_close_matches(key.lower(), known, 1, 0.6):
        return f"unknown {what}, did you mean {key_name((*where[:-1], near[0]))}?"
    for section, field in Config.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and key in _names(inner):
            return f"unknown {what}, did you mean {section}.{key}?"
    return f"unknown {what}, known are {', '.join(known)}"


def _names(model: type[BaseModel]) -> dict[str, str]:
    """Names that a model takes in a file, documented ones first, and the field of each."""
    fields = model.model_fields
    return {SPELLINGS.get(name, name): name for name in fields} | {name: name for name in fields}


def _model_at(where: Location) -> type[BaseModel] | None:
    """The model that holds the keys at this place."""
    model: Any = Config
    for part in where:
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(str(part))
            model = field.annotation if field else None
        else:  # tuple[PartitionLine, ...] or dict[str, PartitionTable]
            arguments = [each for each in getattr(model, "__args__", ()) if each is not Ellipsis]
            model = arguments[-1] if arguments else None
            model = getattr(model, "__origin__", model) if not isinstance(model, type) else model
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None


def _overlap(one: Location, other: Location) -> bool:
    """One is the other or lies inside it."""
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _with(data: Any, place: Location, value: object) -> Any:
    """A copy of the data with a value at this place; what is no table on the way is replaced."""
    if not place:
        return value
    head, table = place[0], data if isinstance(data, dict) else {}
    return {**table, head: _with(table.get(head), place[1:], value)}


def _without(data: Any, where: Location) -> Any:
    """A copy of the data without the innermost existing item at this place."""
    if not where:
        return {}
    head, rest = where[0], where[1:]
    if isinstance(data, dict):
        if rest and isinstance(data.get(head), (dict, list)) and holds(data[head], rest):
            return {**data, head: _without(data[head], rest)}
        return {name: value for name, value in data.items() if name != head}
    if isinstance(data, list) and isinstance(head, int):
        if rest and holds(data[head], rest):
            return [*data[:head], _without(data[head], rest), *data[head + 1 :]]
        return [*data[:head], *data[head + 1 :]]
    return data
