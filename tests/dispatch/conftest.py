"""One segment for the tests that need nothing but its slots."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shm.segment import Segment
from tests.support.request import drop_segment, new_segment


@pytest.fixture(scope="package")
def segment() -> Iterator[Segment]:
    made = new_segment()
    yield made
    drop_segment(made)
