"""SIPp destinations for farms of real processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.sipp import Destination


@pytest.fixture
def destinations(tmp_path: Path) -> Iterator[list[Destination]]:
    """Three SIPp destinations that answer OPTIONS with 200."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(Destination(tmp_path / "sipp", name=f"destination{i}"))
            for i in range(3)
        ]
