"""A segment for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shm.segment import Segment
from tests.support.request import drop_segment, new_segment


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = new_segment(max_workers=2, max_sets=4, max_destinations=8)
    yield made
    drop_segment(made)
