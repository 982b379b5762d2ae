"""`ds-farm demo`, which is `make run`: what a newcomer sees first."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.alone import alone
from tests.support.farm import COMMAND


@pytest.mark.timeout(120)
def test_without_a_terminal_it_runs_shows_and_ends(tmp_path: Path) -> None:
    shared = "ls /dev/shm | sort >"
    command = f"{shared} before; {COMMAND} demo; code=$?; {shared} after; exit $code"
    run = subprocess.run(
        alone(command),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        env=os.environ | {"COLUMNS": "160"},
    )
    assert run.returncode == 0, run.stdout
    shares = [float(found) for found in re.findall(r"(\d+(?:\.\d+)?) ?%", run.stdout)]
    assert len(shares) >= 3, run.stdout
    assert all(abs(share - 100 / 3) < 0.5 for share in shares[-3:]), run.stdout
    for word in ("sip:", "metrics", "/mi"):
        assert word in run.stdout, run.stdout
    assert "Traceback" not in run.stdout
    before, after = ((tmp_path / name).read_text().split() for name in ("before", "after"))
    left = {name for name in after if re.match(r"(sem\.)?ds_farm-ds_farm", name)}
    assert left <= set(before), left
