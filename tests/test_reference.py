"""docs/configuration.md and docs/metrics.md say what the farm really takes and exposes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ds_farm.config import Config
from ds_farm.config.section import Section
from ds_farm.metrics import METRICS
from ds_farm.reference import PAGES

DOCS = Path(__file__).parents[1] / "docs"


def _keys() -> set[str]:
    return {
        f"{name}.{field.serialization_alias or key}"
        for name, section in Config.model_fields.items()
        if isinstance(section.annotation, type) and issubclass(section.annotation, Section)
        for key, field in section.annotation.model_fields.items()
    }


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_in_step(page: str) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "ds_farm.reference", page], check=True, capture_output=True
    ).stdout.decode()
    written = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    assert written == printed, "run `make docs`"


def test_every_key_has_a_row_with_a_meaning() -> None:
    sections = (DOCS / "configuration.md").read_text(encoding="utf-8").split("\n## ")
    found = {
        f"{head.strip('[]')}.{cells[0].strip('`')}"
        for head, *lines in (section.split("\n") for section in sections[1:])
        for line in lines
        if line.startswith("| `") and len((cells := line.strip("| ").split(" | "))[-1]) > 10
    }
    assert found == _keys()


def test_every_metric_has_a_row() -> None:
    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert [metric.name for metric in METRICS if f"\n| `{metric.name}` | " not in text] == []


def test_an_unknown_page_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ds_farm.reference", "nothing"], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"configuration|metrics" in done.stderr
