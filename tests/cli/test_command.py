"""The command as a whole: help, usage, overrides, foreign packages, what it imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ds_farm as package
from shm.errors import SegmentError
from tests.support import process
from tests.support.command import ds_farm
from tests.support.farm import COMMAND, Farm
from tests.support.wait import until

COMMANDS = ("run", "init", "check", "list", "demo", "version")


@pytest.mark.parametrize("word", ["version", "--version", "-V"])
def test_version(tmp_path: Path, word: str) -> None:
    found = ds_farm(word, cwd=tmp_path)
    assert (found.returncode, found.stdout) == (0, f"ds_farm {package.__version__}\n")


def test_closed_standard_streams(tmp_path: Path) -> None:
    """No socket gets their numbers, and the log goes nowhere."""
    with Farm(tmp_path, ["sip:127.0.0.1:9"]) as farm:
        config = farm.config
        farm.stop()
        shell = subprocess.Popen(
            ["sh", "-c", 'exec "$0" run -c "$1" <&- >&- 2>&-', COMMAND, config],
            start_new_session=True,
        )
        try:
            until(lambda: len(_children(farm)) == farm.children + 4, "all processes")
            for pid in (shell.pid, *_children(farm)):
                held = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)]
                assert held == ["/dev/null"] * 3
            shell.terminate()
            assert shell.wait(20) == 0
        finally:
            process.kill_session(shell.pid)


def _children(farm: Farm) -> list[int]:
    try:
        return [child.pid for child in farm.processes()]
    except SegmentError:
        return []


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(tmp_path: Path, command: str) -> None:
    found = ds_farm(*command.split(), "--help", cwd=tmp_path)
    assert found.returncode == 0
    assert "Usage: ds-farm" in found.stdout
    if not command:
        assert all(each in found.stdout for each in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [["fly"], ["run", "--children", "0"], ["run", "--set", "x=1"], ["check", "--set", "farm.name"]],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str]) -> None:
    assert ds_farm(*arguments, cwd=tmp_path).returncode == 2


def test_a_missing_configuration(tmp_path: Path) -> None:
    for command in ("run", "check"):
        found = ds_farm(command, cwd=tmp_path)
        assert found.returncode == 1
        assert found.stderr.startswith("ds_farm.toml: No such file or directory\n")
        assert "ds-farm init" in found.stderr


def test_run_refuses_what_check_refuses(tmp_path: Path) -> None:
    (tmp_path / "ds_farm.toml").write_text("[farm]\nname = ''\n")
    run, check = (ds_farm(command, cwd=tmp_path) for command in ("run", "check"))
    assert run.returncode == check.returncode == 1
    assert run.stderr == check.stderr
    assert "ds_farm.toml:2: farm.name: " in run.stderr


def test_set_counts_instead_of_the_file(tmp_path: Path) -> None:
    ds_farm("init", cwd=tmp_path)
    changed = ("--set", "farm.name=other", "--set", "farm.children=3")
    found = ds_farm("check", *changed, cwd=tmp_path)
    assert found.returncode == 0, found
    assert "farm 'other'" in found.stdout
    found = ds_farm("check", "--set", "farm.children=many", cwd=tmp_path)
    assert found.returncode == 1
    assert "--set: farm.children: got 'many' (text), expected a whole number" in found.stderr


@pytest.mark.parametrize("name", ["workers", "shm"])
def test_a_foreign_package_of_a_common_name_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not ours')")
    found = ds_farm("version", cwd=tmp_path, environment={"PYTHONPATH": str(tmp_path)})
    assert found.returncode == 1
    (line,) = found.stderr.splitlines()
    assert f"the package '{name}' comes from {tmp_path}" in line
    assert "virtual environment" in line


@pytest.mark.parametrize("module", ["ds_farm.cli", "ds_farm.config"])
def test_start_up_imports_no_database_and_no_table_drawing(module: str) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    names = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout.split()
    heavy = {"sqlalchemy", "pymysql", "rich.console", "prometheus_client"}
    assert not heavy & set(names)
