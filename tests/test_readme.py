"""A newcomer's walk: the commands of README.md, in their order, print what stands there.

They run in a network and a /dev/shm of their own, so that ports and names are those of the text.
What differs from one machine or moment to another is made equal on both sides: times,
process ids, ephemeral ports, counts of the demo.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.alone import alone

ROOT = Path(__file__).parents[1]
FOLDER = "/srv/ds_farm"
"""Where README.md's newcomer is."""

END = "== end of command"

STOP = "kill %1; wait %1; echo stopped with $?"


@dataclass(frozen=True)
class Step:
    """One command and what it prints."""

    command: str
    printed: str

    @property
    def stays(self) -> bool:
        """It runs until it is ended."""
        return self.command == "ds-farm run"


def steps() -> list[Step]:
    """All commands after ``$ ``; a command goes on in lines that are indented by four spaces."""
    found = []
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    blocks = [block for language, block in fences if not language]
    for block in blocks:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            end = 1
            while end < len(lines) and _is_open(lines[:end]):
                end += 1
            found.append(Step("\n".join(lines[:end]), "\n".join(lines[end:])))
    return found


def _is_open(lines: list[str]) -> bool:
    try:
        shlex.split("\n".join(lines))
    except ValueError:  # a quotation that is not closed, or a backslash at the end
        return True
    return lines[-1].endswith("\\")


def script(found: list[Step]) -> str:
    """They run in one shell; each command's output ends with `END`."""
    parts = []
    for step in found:
        if step.stays:
            parts.append(f"{step.command} 2>log &")
            parts.append("for _ in $(seq 200); do grep -q ready: log && break; sleep 0.05; done")
            parts.append("cat log")
        else:
            parts.append(step.command)
        parts.append(f"echo; echo '{END}'")
    return "\n".join([*parts, STOP])


def alike(text: str, folder: str = FOLDER) -> list[str]:
    """The lines, without what may differ."""
    text = text.replace(folder, FOLDER)
    text = re.sub(r"\d{4}-\d\d-\d\d [\d:.]+ ", "TIME ", text)
    text = re.sub(r"\[\d+\] ", "[PID] ", text)
    text = re.sub(r"\b\d+ ms\b|\b\d+\.\d+ s\b", "DURATION", text)
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def run(text: str, folder: Path, timeout_s: float = 90.0) -> str:
    path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        alone(text),
        cwd=folder,
        env=os.environ | {"PATH": path, "COLUMNS": "100", "TERM": "dumb"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_commands_are_found() -> None:
    commands = [step.command for step in steps()]
    assert len(commands) >= 12
    assert {"ds-farm init", "ds-farm check", "ds-farm run", "ds-farm reload"} <= set(commands)
    assert any("\n" in command for command in commands)


def test_commands_print_what_the_readme_says(tmp_path: Path) -> None:
    found = steps()
    printed = run(script(found), tmp_path).split(END)
    assert len(printed) == len(found) + 1, printed
    for step, text in zip(found, printed, strict=False):
        assert alike(text, str(tmp_path)) == alike(step.printed), step.command
    assert "stopped with 0" in printed[-1]


@pytest.mark.timeout(180)
def test_the_main_job_prints_what_the_readme_says() -> None:
    """``make run`` in this tree, which is installed: lines about that are not repeated."""

    def shape(text: str) -> list[str]:
        lines = [line for line in alike(text) if not re.match(r"make: |wrote |kept |put ", line)]
        return [re.sub(r"\d+", "N", line) for line in lines]

    readme = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"^```\n(make: installing.*?)^```", readme, re.DOTALL | re.MULTILINE)
    command = "make --no-print-directory run </dev/null"
    assert shape(run(command, ROOT, 170.0)) == shape(block)
