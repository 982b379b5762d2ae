"""`ds-farm list`: what a running farm does, read from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from shm.segment import remove_stale
from tests.support.command import ds_farm
from tests.support.database import Row
from tests.support.farm import Farm

ROWS = [
    Row("sip:127.0.0.1:7001", weight=2, priority=5, attrs="a=1"),
    Row("sip:[::1]:7002", state=1),
    Row("sip:127.0.0.1:7003", setid=2, state=2),
]


def test_a_running_farm_as_table_and_as_json(tmp_path: Path) -> None:
    farm = Farm(tmp_path, ROWS, children=2)
    try:
        farm.start()
        as_json = ds_farm("list", "--json", "-n", farm.name, cwd=tmp_path)
        assert as_json.returncode == 0, as_json
        found = json.loads(as_json.stdout)
        assert (found["farm"], found["workers"], found["generation"]) == (farm.name, 2, 1)
        assert found["supervisor_pid"] == farm.pid
        (partition,) = found["partitions"]
        assert partition["name"] == "default"
        assert [one["id"] for one in partition["sets"]] == [1, 2]
        first, second = partition["sets"][0]["destinations"]
        assert first == {
            "uri": "sip:127.0.0.1:7001",
            "state": "active",
            "weight": 2,
            "priority": 5,
            "attrs": "a=1",
            "requests": 0,
            "responses": {"1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0, "6xx": 0},
            "failures": 0,
            "share": None,
        }
        assert (second["uri"], second["state"]) == ("sip:[::1]:7002", "inactive")

        # The name comes from the file given, and from the one in the folder.
        for arguments in (("-c", farm.config), ()):
            table = ds_farm("list", *arguments, cwd=tmp_path)
            assert table.returncode == 0, table
            for word in ("sip:[::1]:7002", "inactive", "probing", "set 2", "2 workers"):
                assert word in table.stdout
            assert "\x1b" not in table.stdout, "no colour without a terminal"
    finally:
        farm.close()


def test_no_such_farm_is_not_reachable(tmp_path: Path) -> None:
    found = ds_farm("list", "-n", "no-such-farm", cwd=tmp_path)
    assert found.returncode == 3
    assert found.stderr == "no farm named 'no-such-farm' is running on this host\n"
    assert found.stdout == ""


def test_the_segment_of_a_dead_farm_is_no_running_farm(tmp_path: Path) -> None:
    name = f"dead-{os.getpid()}"
    script = (
        "import sys; from shm.segment import Segment; "
        "Segment.create(sys.argv[1], max_workers=1, max_sets=1, max_destinations=1)"
    )
    subprocess.run([sys.executable, "-c", script, name], check=True)
    try:
        found = ds_farm("list", "-n", name, cwd=tmp_path)
        assert found.returncode == 3
        assert "is dead" in found.stderr
    finally:
        assert remove_stale(name)
