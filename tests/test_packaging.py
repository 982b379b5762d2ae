"""What people install: the sdist, the wheel made of it, and a fresh environment with it alone.

A clean copy of the tree is built, so that neither compiled files nor a stale egg-info here can
hide a file that the sdist lacks.  Wheel and environment are made by the two pip commands of
deploy/Dockerfile as they stand.  Takes a minute or two; `make wheel-test` runs it alone.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
BUILD_S = 1200

pytestmark = pytest.mark.timeout(BUILD_S)


def run(
    *command: str | Path, cwd: Path | str = "/", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with nothing of this environment on its path.

    It gives way to the tests beside it, which wait for timers; compiling may take its time.
    """
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        ["nice", *(str(word) for word in command)],
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


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that other users may enter; those of pytest are for its own user only."""
    with tempfile.TemporaryDirectory(prefix="ds_farm_image_") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def image_commands(wheels: Path) -> list[list[str]]:
    """The Dockerfile's ``pip wheel`` and ``pip install``, with a folder instead of /wheels."""
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"\b(pip (?:wheel|install) .*)$", text, re.MULTILINE)
    return [shlex.split(each.replace("/wheels", str(wheels))) for each in found]


@dataclass(frozen=True)
class Built:
    sdist: Path
    wheel: Path
    bin: Path
    """Of the environment that the wheels were installed into."""


@pytest.fixture(scope="module")
def built(tree: Path, folder: Path) -> Built:
    """The sdist, the wheel that is built of it and of nothing else, and a fresh environment."""
    made = run(
        sys.executable,
        "-m",
        "build",
        "--sdist",
        "--no-isolation",
        "--outdir",
        folder / "dist",
        tree,
    )
    assert made.returncode == 0, made.stdout[-5000:]
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as packed:
        packed.extractall(folder / "src", filter="data")
    (source,) = (folder / "src").iterdir()
    home, wheels = folder / "venv", folder / "wheels"
    venv.create(home, with_pip=True)
    build, install = image_commands(wheels)
    for words, where in ((build, source), (install, Path("/"))):
        done = run(home / "bin" / words[0], *words[1:], cwd=where)
        assert done.returncode == 0, done.stdout[-5000:]
    (wheel,) = wheels.glob("ds_farm-*.whl")
    return Built(sdist, wheel, home / "bin")


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


def test_the_installed_wheel_works(tree: Path, built: Built) -> None:
    _check_compiled(built.bin / "python", compiled_modules(tree))
    version = run(built.bin / "ds-farm", "version")
    assert version.returncode == 0, version.stdout
    text = (ROOT / "ds_farm" / "__init__.py").read_text()
    number = text.partition('__version__ = "')[2].partition('"')[0]
    assert number
    assert number in version.stdout


def test_the_image_s_user_makes_and_checks_configurations(built: Built, folder: Path) -> None:
    """A user that is not root, as in the image; one of the configurations is a script."""
    pod = yaml.safe_load((ROOT / "deploy" / "kubernetes.yaml").read_text(encoding="utf-8"))
    user = int(pod["spec"]["template"]["spec"]["securityContext"]["runAsUser"])
    state = folder / "state"
    state.mkdir()
    (state / "opensips.cfg").write_text("listen=udp:127.0.0.1:5060\nroute { forward(); }\n")
    as_user: list[str] = []
    if os.getuid() == 0:
        os.chown(state, user, user)
        # It may read all, because this Python may be installed where only root can look.
        read_all = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *read_all]
    for words in (
        ("version",),
        ("init", "."),
        ("check", "-c", "ds_farm.toml"),
        ("convert", "opensips.cfg", "-o", "converted"),
    ):
        done = run(*as_user, built.bin / "ds-farm", *words, cwd=state)
        assert done.returncode == 0, done.stdout
    made = {path.stat().st_uid for path in state.rglob("*") if path.name != "opensips.cfg"}
    assert as_user == [] or made == {user}


def test_a_failing_compiler_fails_the_installation(tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    made = run(
        sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation",
        "--target", target, tree,
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
