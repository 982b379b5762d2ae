"""SIPp destinations for farms of real processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import farm as farms
from tests.support.sipp import Destination

SIZES = {
    "one worker": (1, "ebpf"),
    "four workers": (4, "ebpf"),
    "four workers, handing over": (4, "handover"),
}


@pytest.fixture
def destinations(tmp_path: Path) -> Iterator[list[Destination]]:
    """Three SIPp destinations that answer OPTIONS with 200."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(Destination(tmp_path / "sipp", name=f"destination{i}"))
            for i in range(3)
        ]


@pytest.fixture(params=list(SIZES.values()), ids=list(SIZES))
def children(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many workers a farm has; datagrams get to them by eBPF, and by hand-over."""
    count, steering = request.param
    monkeypatch.setattr(farms, "STEERING", steering)
    assert isinstance(count, int)
    return count


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends what a test has started."""
    with ExitStack() as stack:
        yield stack
