"""A farm with the product's own roles beside its workers, which are trivial."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import database
from tests.support.database import Row
from tests.workers.stage import Stage

ROWS = [
    Row("sip:127.0.0.1:7001"),
    Row("sip:127.0.0.1:7002", weight=3, attrs="a", description="second"),
    Row("sip:127.0.0.1:7003", setid=2, state=1),
]


@pytest.fixture
def real(tmp_path: Path) -> Stage:
    """Not started; its database is ``tmp_path / "db"`` and has `ROWS`."""
    database.write(tmp_path / "db", ROWS)
    made = Stage(tmp_path, "real")
    made.config["dispatcher"] = {"db_url": f"sqlite:///{tmp_path / 'db'}"}
    made.config["metrics"] = {"listen": "127.0.0.1:0"}
    made.config["mi"] = {"http": "127.0.0.1:0"}
    return made


@pytest.fixture
def farm(real: Stage) -> Iterator[Stage]:
    """Started and ready."""
    with real:
        yield real
