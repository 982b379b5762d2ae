"""What is wrong with a script, as a compiler says it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ds_farm.errors import ConfigError

MOST_SHOWN = 160


@dataclass(frozen=True, slots=True)
class ScriptProblem:
    """One mistake; ``line`` and ``column`` count from 1, 0 if there is none."""

    file: Path
    line: int
    column: int
    text: str
    source: str = ""
    """The line itself."""

    @property
    def short(self) -> str:
        """In one line."""
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        shown = self.source.expandtabs(1).rstrip()
        if not shown or len(shown) > MOST_SHOWN or not self.column:
            return f"{where}: {self.text}"
        return f"{where}: {self.text}\n    {shown}\n    {' ' * (self.column - 1)}^"


class ScriptProblems(ConfigError):
    """All mistakes that were found, in the order of their lines."""

    def __init__(self, problems: Iterable[ScriptProblem]) -> None:
        self.problems = tuple(
            sorted(dict.fromkeys(problems), key=lambda one: (one.line, one.column))
        )
        super().__init__("\n".join(str(problem) for problem in self.problems))
