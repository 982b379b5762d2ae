"""``text://`` tables: read as OpenSIPS's db_text writes them, states written in place."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ds_farm.config import Config, DispatcherConfig, PartitionConfig, resolve
from ds_farm.db.loader import LoadResult, load
from ds_farm.db.states import write_states
from ds_farm.dispatch.model import State
from ds_farm.errors import ConfigError, DatabaseError
from tests.support.farm import COMMAND, Farm
from tests.support.wait import until

HEAD = (
    "id(int,auto) setid(int) destination(string) socket(string,null) state(int,null) "
    "weight(int,null) priority(int,null) attrs(string,null) description(string,null)"
)
VERSION = "table_name(string) table_version(int)\nsubscriber:7\ndispatcher:8\n"
ROWS = (
    "1:1:sip\\:127.0.0.1\\:7001:udp\\:127.0.0.1\\:5060:0:5:10:a=1\\:2\\\\:first\\nline",
    "2:1:sip\\:127.0.0.1\\:7002::1::20::",
    "3:2:sip\\:host.example::2:1:0:x:",
)


def write(folder: Path, *rows: str, head: str = HEAD, version: str = VERSION) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "dispatcher"
    file.write_text("\n".join([head, *rows, ""]))
    if version:
        (folder / "version").write_text(version)
    return file


def settings(folder: Path, **values: object) -> tuple[DispatcherConfig, PartitionConfig]:
    config = Config.model_validate({"dispatcher": {"db_url": f"text://{folder}", **values}})
    (partition,) = resolve(config.dispatcher)
    return config.dispatcher, partition


def read(folder: Path, **values: object) -> LoadResult:
    return load(*settings(folder, **values))


def test_rows_are_read_with_their_escapes(tmp_path: Path) -> None:
    write(tmp_path, *ROWS)
    result = read(tmp_path)
    assert result.version == 8
    assert not result.skipped
    first, second = result.sets
    assert [one.uri for one in first.destinations] == [
        "sip:127.0.0.1:7002",  # the higher priority
        "sip:127.0.0.1:7001",
    ]
    low, high = first.destinations[1], first.destinations[0]
    assert (low.weight, low.priority, low.attrs) == (5, 10, "a=1:2\\")
    assert (low.socket, low.description) == ("udp:127.0.0.1:5060", "first\nline")
    assert (high.weight, high.state, high.attrs) == (1, State.INACTIVE, "")
    assert second.destinations[0].state is State.PROBING


def test_lines_that_are_no_rows_are_skipped_and_named(tmp_path: Path) -> None:
    file = write(tmp_path, ROWS[0], "4:1:sip\\:x", "", "5:one:sip\\:127.0.0.1::0:1:0::", ROWS[2])
    result = read(tmp_path)
    assert [one.id for one in result.sets] == [1, 2]
    reasons = [str(row) for row in result.skipped]
    assert reasons[0].endswith(f"{file}:3: 3 fields, expected 9")
    assert reasons[1].startswith("table 'dispatcher', id 5: ")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("id(int) setid", "'setid' is no column, expected name(type) or name(type,null)"),
        ("", "no columns, expected name(type) name(type) ..."),
        (HEAD.replace("weight", "w"), "the table has no column 'weight' (weight_col)"),
    ],
)
def test_a_wrong_first_line_is_named(tmp_path: Path, head: str, expected: str) -> None:
    write(tmp_path, head=head)
    with pytest.raises(ConfigError) as caught:
        read(tmp_path)
    assert expected in str(caught.value)
    assert str(tmp_path / "dispatcher") in str(caught.value)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("", "table 'version' gives no version for 'dispatcher' (counts as 0)"),
        ("table_name(string) table_version(int)\nother:8\n", "gives no version for 'dispatcher'"),
        (VERSION.replace("8", "3"), "table 'dispatcher' has version 3"),
    ],
)
def test_the_version_is_checked(tmp_path: Path, version: str, expected: str) -> None:
    write(tmp_path, *ROWS, version=version)
    with pytest.raises(ConfigError, match=r"reads versions 7, 8 and 9") as caught:
        read(tmp_path)
    assert expected in str(caught.value)


def test_a_missing_file_is_a_database_that_is_down(tmp_path: Path) -> None:
    write(tmp_path).unlink()
    with pytest.raises(DatabaseError, match="No such file"):
        read(tmp_path)


def test_other_names_of_columns(tmp_path: Path) -> None:
    write(tmp_path, *ROWS, head=HEAD.replace("setid(", "grp(").replace("state(", "st("))
    assert len(read(tmp_path, setid_col="grp", state_col="st").sets) == 2


def test_states_are_written_in_place_and_nothing_else(tmp_path: Path) -> None:
    rows = [*ROWS, "bad line", "9:1:sip\\:127.0.0.1\\:7001::0:1:0::"]
    file = write(tmp_path, *rows)
    file.chmod(0o640)
    write_states(*settings(tmp_path), [(1, "sip:127.0.0.1:7001", 2), (2, "sip:nobody", 1)])
    wanted = [*rows]
    wanted[0] = rows[0].replace(":0:5:", ":2:5:")
    wanted[4] = rows[4].replace("::0:", "::2:")
    assert file.read_text() == "\n".join([HEAD, *wanted, ""])
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["dispatcher", "version"]
    before = file.stat().st_mtime_ns
    write_states(*settings(tmp_path), [(1, "sip:127.0.0.1:7001", 2)])
    assert file.stat().st_mtime_ns == before, "nothing to change, nothing written"


def run(farm: Farm, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, command, "-c", farm.config, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_farm_on_text_files(tmp_path: Path) -> None:
    """It loads, reloads, saves states at the end; `ds-farm check` reads it, too."""
    file = write(tmp_path / "text", *ROWS[:2])
    config = {"dispatcher": {"db_url": f"text://{file.parent}"}}
    with Farm(tmp_path / "farm", [], settings=config) as farm:
        checked = run(farm, "check")
        assert checked.returncode == 0, checked.stderr
        assert f"2 destinations in 1 sets, table version 8, text://{file.parent}" in checked.stdout
        assert run(farm, "mi", "ds_set_state", "p", "1", "sip:127.0.0.1:7001").returncode == 0
        with file.open("a") as added:
            added.write(ROWS[2] + "\n")
        assert run(farm, "reload").stdout.endswith("reloaded: 3 destinations in 2 sets\n")
        farm.stop()
        until(lambda: ":2:5:10:" in file.read_text(), "the state")
    assert file.read_text().split("\n")[2:4] == [ROWS[1], ROWS[2]]
