"""What all folders use: the profiles of hypothesis, and logs of farms beside a failed test."""

from __future__ import annotations

from collections.abc import Generator

import hypothesis
import pytest

from tests.support.farm import OPEN

hypothesis.settings.register_profile("default", deadline=None, max_examples=200)
hypothesis.settings.register_profile("long", deadline=None, max_examples=50_000)
hypothesis.settings.load_profile("default")

SHOWN = 6000
"""Characters of a farm's log that a failed test shows."""


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
