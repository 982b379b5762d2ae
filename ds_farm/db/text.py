"""Tables in text files: OpenSIPS's ``text:///directory`` (db_text; documentation FAQ 2.4).

A table is a file of its name.  Its first line declares the columns, ``id(int,auto) setid(int)
destination(string) attrs(string,null)``; every other line is a row, fields apart by ``:``.  A
backslash before n, r, t, 0, itself or a colon escapes; an empty field is NULL.  The file
``version`` in the same directory is the version table.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ds_farm.errors import ConfigError, DatabaseError

SCHEME = "text://"

_COLUMN = re.compile(r"(\w+)\((int|double|string|str|blob)(?:,(\w+))?\)")
_FIELD_END = re.compile(r"(?<!\\)((?:\\\\)*):")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_MEANINGS = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}

Value = str | int | None


@dataclass(frozen=True, slots=True)
class Line:
    """A row: where it stands, and its fields as they are written."""

    number: int
    fields: list[str]


@dataclass(frozen=True, slots=True)
class TextTable:
    """A file, read."""

    path: Path
    head: str
    columns: dict[str, str]
    """Name in lower case -> type, in the order of the fields."""

    lines: list[Line]
    bad: list[str]
    """Lines that are no rows, each with file, line and reason."""

    def values(self, line: Line) -> dict[str, Value]:
        """The row's values by column; what should be a number and is none stays a text."""
        return {
            name: _value(text, kind)
            for text, (name, kind) in zip(line.fields, self.columns.items(), strict=True)
        }


def directory(url: str) -> Path | None:
    """The directory of a ``text://`` URL; None for every other one."""
    return Path(url.removeprefix(SCHEME)) if url.startswith(SCHEME) else None


def read(folder: Path, table: str) -> TextTable:
    """Read a table.  DatabaseError if the file cannot be read, ConfigError if its first line does
    not declare columns; a line that is no row is noted in ``bad``."""
    path = folder / table
    try:
        head, *rest = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    except OSError as error:
        raise DatabaseError(f"{SCHEME}{path}: {error.strerror}") from None
    columns: dict[str, str] = {}
    for word in head.split():
        match = _COLUMN.fullmatch(word)
        if not match:
            raise ConfigError(
                f"{path}:1: {word!r} is no column, expected name(type) or name(type,null)"
            )
        columns[match[1].lower()] = match[2]
    if not columns:
        raise ConfigError(f"{path}:1: no columns, expected name(type) name(type) ...")
    lines, bad = [], []
    for number, text in enumerate(rest, start=2):
        if not text.strip():
            continue
        fields = list(_fields(text.removesuffix("\r")))
        if len(fields) == len(columns):
            lines.append(Line(number, fields))
        else:
            bad.append(f"{path}:{number}: {len(fields)} fields, expected {len(columns)}")
    return TextTable(path, head, columns, lines, bad)


def read_version(folder: Path, table: str) -> int | None:
    """The version that the directory gives for a table, None if it gives none.  DatabaseError if
    there is no such directory."""
    if not folder.is_dir():
        raise DatabaseError(f"{SCHEME}{folder}: no such directory")
    if not (folder / "version").exists():
        return None
    versions = read(folder, "version")
    for line in versions.lines:
        row = versions.values(line)
        version = row.get("table_version")
        if row.get("table_name") == table and isinstance(version, int):
            return version
    return None


def update(
    folder: Path,
    table: str,
    keys: tuple[str, str],
    column: str,
    values: Iterable[tuple[int, str, int]],
) -> None:
    """Set ``column`` to the third of each triple where the columns ``keys`` have the first two.

    The file is replaced at once and whole, with its mode and owner; all other text in it stays as
    it is, byte for byte.  Raises DatabaseError, ConfigError.
    """
    found = read(folder, table)
    wanted = {(set_id, uri): value for set_id, uri, value in values}
    names = list(found.columns)
    missing = [name for name in (*keys, column) if name.lower() not in names]
    if missing:
        raise ConfigError(f"{found.path}: there is no column {', '.join(missing)}")
    at = names.index(column.lower())
    changed: dict[int, str] = {}
    for line in found.lines:
        row = found.values(line)
        value = wanted.get((row[keys[0].lower()], row[keys[1].lower()]))  # type: ignore[arg-type]  # no key has NULL
        if value is not None and line.fields[at] != str(value):
            changed[line.number] = ":".join([*line.fields[:at], str(value), *line.fields[at + 1 :]])
    if changed:
        _rewrite(found.path, changed)


def _rewrite(path: Path, changed: dict[int, str]) -> None:
    """Give lines (by number, from 1) another text."""
    temporary = ""
    path = path.resolve()  # a link stays one
    try:
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
        for number, text in changed.items():
            lines[number - 1] = text + ("\r" if lines[number - 1].endswith("\r") else "")
        data = "\n".join(lines).encode("utf-8", "surrogateescape")
        before = path.stat()
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), before.st_mode & 0o7777)
            with suppress(PermissionError):  # only root gives files away
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise DatabaseError(f"{SCHEME}{path}: {error.strerror}") from None


def _fields(text: str) -> Iterator[str]:
    """Fields as written, escapes and all."""
    start = 0
    for match in _FIELD_END.finditer(text):
        yield text[start : match.end() - 1]
        start = match.end()
    yield text[start:]


def _value(text: str, kind: str) -> Value:
    if not text:
        return None
    if kind == "int":
        with suppress(ValueError):
            return int(text)
    return _ESCAPE.sub(lambda match: _MEANINGS.get(match[1], match[1]), text)
