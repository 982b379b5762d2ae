"""Documents: links lead somewhere, commands exist, every public name of a request is described."""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from ds_farm.cfg.functions import FUNCTIONS
from ds_farm.cfg.modules import NOTHING_HERE
from ds_farm.cfg.pvars import NAMED as SCRIPT_NAMED
from ds_farm.cfg.pvars import SIMPLE
from ds_farm.cfg.transformations import TRANSFORMATIONS
from ds_farm.config import FarmConfig, load
from ds_farm.dispatch.model import State
from ds_farm.script.module import load_routes
from ds_farm.script.pvars import NAMED, VARIABLES
from shm._native import FIELDS, SIZES
from shm.layout import Layout
from shm.segment import PROCESSES_BESIDE_WORKERS

ROOT = Path(__file__).parents[1]
HIDDEN = ("build", "dist", "node_modules")
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in HIDDEN for part in path.relative_to(ROOT).parts)
)
NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


def _anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {NOT_IN_ANCHORS.sub("", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        assert file.exists(), target
        if anchor:
            assert anchor in _anchors(file.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"`make ([a-z][a-z-]*)", text)) <= targets
    assert set(re.findall(r"^make ([a-z][a-z-]*)$", text, re.MULTILINE)) <= targets


def _described(folder: Path) -> list[Path]:
    """Source files that the README of a folder is about: also those of folders without one."""
    found = [path for kind in ("py", "pyx") for path in folder.glob(f"*.{kind}")]
    for inner in folder.iterdir():
        if inner.is_dir() and inner.name not in EACH_ALIKE and not (inner / "README.md").exists():
            found += _described(inner)
    return [path for path in found if not path.stem.startswith("__")]


EACH_ALIKE = ("cli", "demo", "__pycache__")
"""Folders that their README describes as a whole."""


@pytest.mark.parametrize(
    "folder",
    [
        *("ds_farm", "ds_farm/cfg", "ds_farm/dispatch", "ds_farm/proxy", "ds_farm/script"),
        *("ds_farm/sip", "grafana", "shm", "workers"),
    ],
)
def test_every_source_file_is_in_its_readme(folder: str) -> None:
    text = (ROOT / folder / "README.md").read_text(encoding="utf-8")
    names = re.findall(r"[\w*]+(?=\.(?:py|pyx|pxd)\b)", text)
    files = _described(ROOT / folder)
    missing = [each.name for each in files if not any(fnmatch(each.stem, name) for name in names)]
    assert files
    assert missing == []


def test_ci_finds_the_test_command() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert blocks[:2] == ["make run\n", "make test\n"]


def _public_names(stub: str, name: str) -> set[str]:
    tree = ast.parse((ROOT / "ds_farm" / stub).read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    names = set()
    for node in found.body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {each for each in names if not each.startswith("_")}


def test_every_public_name_of_a_request_is_described() -> None:
    names = _public_names("script/_request.pyi", "Request")
    names |= _public_names("proxy/_request.pyi", "BaseRequest")
    names |= _public_names("proxy/_message.pyi", "MessageRequest")
    names |= _public_names("proxy/_dialog.pyi", "DialogRequest")
    names |= _public_names("proxy/_tm.pyi", "TmRequest")
    assert {"ds_select_dst", "forward", "ru", "avp"} <= names
    text = (ROOT / "docs" / "routing.md").read_text(encoding="utf-8")
    described = set(re.findall(r"`(\w+)(?:\([^`]*\))?`", text))
    assert names <= described, f"missing in docs/routing.md: {sorted(names - described)}"


def test_every_variable_is_described() -> None:
    text = (ROOT / "docs" / "routing.md").read_text(encoding="utf-8")
    section = text.split("## Variables in texts")[1].split("\n## ")[0]
    rows = re.findall(r"\| `\$(\w+)(\(name\))?` \|", section.replace(" | `$", " | | `$"))
    assert {name for name, argument in rows if not argument} == VARIABLES.keys()
    assert {name for name, argument in rows if argument} == NAMED.keys()


def test_the_byte_map_is_the_declaration() -> None:
    text = (ROOT / "shm" / "README.md").read_text(encoding="utf-8")
    sizes = re.findall(r"^\| (\w+) \| (\d+) \|", text, re.MULTILINE)
    assert {name: int(size) for name, size in sizes if name in SIZES} == SIZES
    drawn = re.findall(r"(?<![\w.])(\d+) ([a-z_]+)(?:\[(\d+)\])?", text.split("```")[3])
    shown = {(name, int(offset), int(words or 1)) for offset, name, words in drawn}
    declared = {
        (name, offset, words)
        for fields in FIELDS.values()
        for name, (offset, words) in fields.items()
    }
    assert declared <= shown
    assert {one for one in shown if one not in declared} == set()


def test_the_size_of_the_segment_is_that_of_the_default_capacities() -> None:
    text = (ROOT / "shm" / "README.md").read_text(encoding="utf-8")
    farm = FarmConfig.model_construct()
    layout = Layout(
        farm.max_children + PROCESSES_BESIDE_WORKERS,
        farm.max_children,
        farm.max_sets,
        farm.max_destinations,
    )
    capacities = f"({farm.max_children} workers, {farm.max_sets} sets, {farm.max_destinations} dest"
    assert capacities in text
    assert f"{layout.total_size:,}" in text


def test_states_are_named_everywhere_alike() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (?:yes|no) \|", text, re.MULTILINE)
    assert rows == [state.name.lower() for state in State]


def _blocks(kind: str) -> list[tuple[str, str]]:
    return [
        (str(path.relative_to(ROOT)), block)
        for path in DOCUMENTS
        for block in re.findall(
            rf"```{kind}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL
        )
    ]


@pytest.mark.parametrize(("where", "block"), _blocks("toml"))
def test_configurations_are_valid(where: str, block: str, tmp_path: Path) -> None:
    file = tmp_path / "ds_farm.toml"
    file.write_text(block, encoding="utf-8")
    load(file, for_run="[farm]" in block)


@pytest.mark.parametrize(("where", "block"), _blocks("python"))
def test_routing_modules_load(where: str, block: str, tmp_path: Path) -> None:
    file = tmp_path / "routes.py"
    file.write_text(block, encoding="utf-8")
    assert callable(load_routes(file).request_route)


def test_there_are_examples() -> None:
    assert {where for where, _ in _blocks("python")} >= {"README.md", "docs/routing.md"}
    assert {where for where, _ in _blocks("toml")} >= {"README.md", "docs/configuration.md"}


SOURCES = [
    path
    for folder in ("ds_farm", "workers", "shm", "tests")
    for kind in ("py", "pyx", "pxd")
    for path in (ROOT / folder).rglob(f"*.{kind}")
]


def _cited(word: str, numbers: str) -> dict[str, str]:
    """Number -> a file that names it: ``semantics 2.3, 2.4``, ``decisions 14 to 17``."""
    found: dict[str, str] = {}
    for path in SOURCES:
        text = re.sub(r"\s+#?\s*", " ", path.read_text(encoding="utf-8"))
        for group in re.findall(
            rf"\b{word}(?: sections?)? ({numbers}(?:(?:,| and| to) {numbers})*)", text
        ):
            for number in re.findall(numbers, group):
                found.setdefault(number, str(path.relative_to(ROOT)))
    return found


def test_every_cited_section_of_the_semantics_is_there() -> None:
    text = (ROOT / "docs" / "opensips-semantics.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^(?:## |\*\*)(\d(?:\.\d)?) ", text, re.MULTILINE))
    cited = _cited("[Ss]emantics", r"\d(?:\.\d)?")
    assert {"2.3", "6.4"} <= cited.keys()
    assert {number: where for number, where in cited.items() if number not in known} == {}


def test_every_cited_decision_is_there() -> None:
    text = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^\| (\d+) \|", text, re.MULTILINE))
    cited = _cited("[Dd]ecisions?", r"\d+")
    assert "21" in cited
    assert {number: where for number, where in cited.items() if number not in known} == {}


def test_what_scripts_may_use_is_described() -> None:
    text = (ROOT / "docs" / "opensips-cfg.md").read_text(encoding="utf-8")
    described = set(re.findall(r"`([^`\s]+)`", text))
    assert set(FUNCTIONS) <= described
    assert {f"{{{name}}}" for name in TRANSFORMATIONS} <= described
    assert {f"${name}" for name in SIMPLE if name != "null"} <= described
    assert {f"${name}(...)" for name in SCRIPT_NAMED} <= described
    assert described >= NOTHING_HERE
