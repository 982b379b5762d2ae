"""What people install: the sdist, the wheel made of it, and a fresh environment with it alone.

A clean copy of the tree is built, so that neither compiled files nor a stale egg-info here can
hide a file that the sdist lacks.  Takes a minute or two; `make wheel-test` runs it alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUILD_S = 600

pytestmark = pytest.mark.timeout(BUILD_S)


def run(
    *command: str | Path, cwd: Path | str = "/", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with nothing of this environment on its path."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=inherited | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_S,
    )


def sources(tree: Path, pattern: str) -> set[str]:
    """Files of the three packages in a tree, as paths relative to its root."""
    return {
        str(path.relative_to(tree))
        for package in ("ds_farm", "shm", "workers")
        for path in (tree / package).rglob(pattern)
    }


def compiled_modules(tree: Path) -> list[str]:
    """Modules that setup.py compiles: each .pyx, and each .py beside a .pxd of its name."""
    declared = {name[:-4] for name in sources(tree, "*.pxd")}
    pure = {name[:-3] for name in sources(tree, "*.py")} & declared
    plain = {name[:-4] for name in sources(tree, "*.pyx")}
    return sorted(name.replace("/", ".") for name in pure | plain)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git would commit: no build products."""
    copy = tmp_path_factory.mktemp("tree")
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, names):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    return copy


@dataclass(frozen=True)
class Built:
    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist, and the wheel that is built of it and of nothing else."""
    out = tmp_path_factory.mktemp("dist")
    made = run(sys.executable, "-m", "build", "--outdir", out, tree)
    assert made.returncode == 0, made.stdout[-5000:]
    (sdist,) = out.glob("*.tar.gz")
    (wheel,) = out.glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bin`` of a fresh environment with the wheel and its dependencies."""
    home = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(home, with_pip=True)
    made = run(home / "bin" / "python", "-m", "pip", "install", "--quiet", built.wheel)
    assert made.returncode == 0, made.stdout[-5000:]
    return home / "bin"


def test_the_modules_of_this_tree_are_compiled() -> None:
    """A farm on the Python twins would work, and be slow without a word."""
    _check_compiled(Path(sys.executable), compiled_modules(ROOT))


def test_the_sdist_has_every_source(tree: Path, built: Built) -> None:
    """A pure-mode module without its .pxd compiles to a working, slow one."""
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    for pattern in ("*.pxd", "*.pyx", "*.pyi", "*.py", "py.typed"):
        missing = sources(tree, pattern) - names
        assert not missing, missing


def test_the_wheel_has_three_packages_and_no_sources_of_c(tree: Path, built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert {name.partition("/")[0] for name in names} == {"ds_farm", "shm", "workers"}
    assert not [name for name in names if name.endswith((".c", ".pyx"))]
    built_modules = sorted(
        name.partition(".")[0].replace("/", ".") for name in names if name.endswith(".so")
    )
    assert built_modules == compiled_modules(tree)


def test_the_installed_wheel_works(tree: Path, installed: Path) -> None:
    _check_compiled(installed / "python", compiled_modules(tree))
    version = run(installed / "ds-farm", "version")
    assert version.returncode == 0, version.stdout
    text = (ROOT / "ds_farm" / "__init__.py").read_text()
    number = text.partition('__version__ = "')[2].partition('"')[0]
    assert number
    assert number in version.stdout


def test_a_failing_compiler_fails_the_installation(tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    made = run(
        sys.executable, "-m", "pip", "install", "--no-deps", "--target", target, tree,
        CC="/bin/false",
    )  # fmt: skip
    assert made.returncode != 0, "installed without a compiler"
    assert "/bin/false' failed" in made.stdout or "/bin/false" in made.stdout, made.stdout[-3000:]
    assert not list(target.glob("ds_farm*"))


def _check_compiled(python: Path, modules: list[str]) -> None:
    """Import every compiled module from ``/`` and see that it is a shared object."""
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    path = importlib.import_module(name).__file__\n"
        "    print(name, path)\n"
        "    assert path.endswith('.so'), f'{name} is not compiled: {path}'\n"
    )
    done = run(python, "-c", program, *modules)
    assert done.returncode == 0, done.stdout
    assert len(done.stdout.splitlines()) == len(modules)
