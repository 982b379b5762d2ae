"""The installed command ``ds-farm``, run to its end."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.farm import COMMAND


def ds_farm(
    *arguments: str | Path, cwd: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``ds-farm ARGUMENTS`` without a terminal; stdout and stderr are text."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=60,
        env=os.environ | {"COLUMNS": "200"} | (environment or {}),
    )
