"""A script as a whole: what `ds-farm run -f`, `check -f` and `convert` begin with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ds_farm.cfg.errors import ScriptProblem, ScriptProblems
from ds_farm.cfg.parse import Node, parse
from ds_farm.cfg.routes import Compiler
from ds_farm.cfg.settings import Place, Reader, Value
from ds_farm.cfg.sockets import Sockets
from ds_farm.cfg.source import Source, read


@dataclass(frozen=True, slots=True)
class Translation:
    """A script in the farm's own terms."""

    source: Source
    sections: Mapping[str, Mapping[str, Value]]
    """As ds_farm.toml has them."""

    places: Mapping[Place, tuple[int, int]]
    module: str
    """The routing module in Python."""

    notes: tuple[ScriptProblem, ...]
    """What was accepted and has no effect."""

    def problem(self, place: Place, text: str) -> ScriptProblem:
        """What `ds_farm.config` says of a value, by its place in the script."""
        line, column = self.places.get(place[:2], (0, 0))
        if not line:
            return ScriptProblem(self.source.path, 0, 0, f"{'.'.join(map(str, place))}: {text}")
        return self.source.problem(line, column, f"{place[1]}: {text}")


def translate(
    path: Path,
    environment: Mapping[str, str] | None = None,
    sockets: Sequence[str] | None = None,
) -> Translation:
    """Read and translate a script with all that it includes.

    ``sockets`` are the farm's if they are not the script's: what is ``myself`` depends on them.

    :raises ScriptProblems: all that is wrong with it, and all that it needs and is not here
    """
    source = read(path, environment)
    try:
        return _translate(source, sockets)
    except RecursionError:
        text = "expressions within expressions, too deep"
        raise ScriptProblems([ScriptProblem(path, 0, 0, text)]) from None


def _translate(source: Source, instead: Sequence[str] | None) -> Translation:
    tree = parse(source)
    items = [item for item in tree.children if isinstance(item, type(tree))]
    settings = Reader(source).read([each for each in items if not _is_route(each)])
    found = settings.sockets
    if instead is not None:
        found = Sockets(list(instead), found.tags, are_given=True)
    settings.sections["farm"]["socket"] = found.texts
    if settings.aliases:
        settings.sections["farm"]["alias"] = list(settings.aliases)
    compiler = Compiler(source, settings.most_loops, found, settings.partitions())
    compiler.follows_received = settings.follows_received
    compiler.set_age(settings.is_1x)
    routes = [each for each in items if _is_route(each)]
    module = compiler.compile(routes, settings.modules, [*found.places(), *settings.aliases])
    if compiler.subscribers:
        settings.sections["events"] = {"subscribers": compiler.subscribers}
    problems = [*settings.problems, *compiler.problems]
    if not problems:
        problems = _checked(source, module)
    if problems:
        raise ScriptProblems(problems)
    notes = tuple([*settings.notes, *compiler.notes])
    return Translation(source, settings.sections, settings.places, module, notes)


def _is_route(item: Node) -> bool:
    return str(item.data).endswith("_route")


def _checked(source: Source, module: str) -> list[ScriptProblem]:
    """Python's own limits, which a script may reach."""
    try:
        compile(module, f"{source.path} (translated)", "exec")
    except (SyntaxError, MemoryError, RecursionError, ValueError) as error:
        return [ScriptProblem(source.path, 0, 0, f"it cannot be translated: {error}")]
    return []
