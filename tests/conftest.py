"""What all folders use: the profiles of hypothesis, and logs of farms beside a failed test."""

from __future__ import annotations

from collections.abc import Generator

import hypothesis
import pytest

from tests.support.farm import OPEN

hypothesis.settings.register_profile("default", deadline=None, max_examples=200)
hypothesis.settings.register_profile("long", deadline=None, max_examples=50_000)
hypothesis.settings.load_profile("default")

LONG = (
    "tests/farm/test_scripts.py",
    "tests/test_packaging.py",
    "tests/test_benchmarks.py",
)
"""Files that take longest: they run first, so that none of them is left for the end alone."""

SHOWN = 6000
"""Characters of a farm's log that a failed test shows."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`LONG` first, in their order; the others stay in theirs."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(LONG)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for farm in OPEN:
            if farm.log_path.exists():
                text = farm.log_path.read_text(errors="replace")[-SHOWN:]
                report.sections.append((f"log of farm {farm.name}", text))
    return report
