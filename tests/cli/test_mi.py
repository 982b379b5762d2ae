"""``ds-farm mi`` against a running farm, and against none."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import ds_farm
from tests.support.farm import Farm

URI = "sip:127.0.0.1:7001"


def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
    return ds_farm(*arguments, cwd=Path("/"))


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    settings = {"mi": {"http_token": "secret"}}
    with Farm(tmp_path_factory.mktemp("mi"), [URI], children=1, settings=settings) as made:
        yield made


def test_tables_and_json(farm: Farm) -> None:
    config = str(farm.config)
    assert ask("mi", "-c", config, "ds_set_state", "p", "1", URI).stdout == "OK\n"
    shown = ask("mi", "-c", config, "ds_list").stdout
    assert URI in shown
    assert "Probing" in shown
    listed = json.loads(ask("mi", "-c", config, "--json", "ds_list", "full=1").stdout)
    assert listed["PARTITIONS"][0]["SETS"][0]["Destinations"][0]["weight"] == 1
    assert "supervisor" in ask("mi", "-c", config, "ps").stdout
    assert ask("mi", "-c", config, "get_statistics", "probing").stdout == "dispatcher:probing: 1\n"
    assert "New global log level: -1" in ask("mi", "-c", config, "log_level", "-1").stdout


def test_refusals(farm: Farm) -> None:
    done = ask("mi", "-c", str(farm.config), "ds_set_state", "p", "1", "sip:nobody")
    assert (done.returncode, done.stderr) == (
        1,
        "ds_set_state: 404 destination not found\n",
    )
    done = ask("mi", "-c", "/nowhere", "--url", "http://127.0.0.1:9/mi", "which")
    assert done.returncode == 3
    assert "no farm answers at http://127.0.0.1:9/mi" in done.stderr
