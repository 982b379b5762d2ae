"""`ds-farm init`: files to start with, and nothing that exists is lost."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command import ds_farm


def _insert(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "ds_farm.sqlite")) as database, database:
        database.execute("INSERT INTO dispatcher (setid, destination) VALUES (1, 'sip:192.0.2.1')")


def test_it_makes_what_check_accepts(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    made = ds_farm("init", folder, cwd=tmp_path)
    assert made.returncode == 0, made
    assert {path.name for path in folder.iterdir()} == {
        "ds_farm.toml",
        "routes.py",
        "ds_farm.sqlite",
    }
    for name in ("ds_farm.toml", "routes.py", "ds_farm.sqlite", "ds-farm run"):
        assert name in made.stdout
    _insert(folder)
    found = ds_farm("check", cwd=folder)
    assert found.returncode == 0, found
    assert "1 destinations in 1 sets" in found.stdout


@pytest.mark.parametrize("name", [b"what? 50% #1", b"gr\xfcn", b"%3F"])
def test_name_of_the_folder_is_of_no_matter(tmp_path: Path, name: bytes) -> None:
    folder = tmp_path / os.fsdecode(name)
    made = ds_farm("init", folder, cwd=tmp_path)
    assert made.returncode == 0, made
    assert (folder / "ds_farm.sqlite").exists()
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    _insert(folder)
    found = ds_farm("check", "-c", folder / "ds_farm.toml", cwd=tmp_path)
    assert found.returncode == 0, found
    assert str(folder / "ds_farm.sqlite") in found.stdout


def test_what_exists_is_kept_without_force(tmp_path: Path) -> None:
    ds_farm("init", cwd=tmp_path)
    _insert(tmp_path)
    changed = '[farm]\nname = "mine"\n[dispatcher]\ndb_url = "sqlite:///ds_farm.sqlite"\n'
    (tmp_path / "ds_farm.toml").write_text(changed)
    (tmp_path / "routes.py").unlink()
    again = ds_farm("init", cwd=tmp_path)
    assert again.returncode == 0, again
    assert "kept     ds_farm.toml" in again.stdout
    assert "wrote    routes.py" in again.stdout
    assert (tmp_path / "ds_farm.toml").read_text() == changed


def test_force_replaces_files_but_never_rows(tmp_path: Path) -> None:
    ds_farm("init", cwd=tmp_path)
    _insert(tmp_path)
    (tmp_path / "routes.py").write_text("# mine")
    forced = ds_farm("init", "--force", cwd=tmp_path)
    assert forced.returncode == 0, forced
    assert "replaced routes.py" in forced.stdout
    assert "def request_route" in (tmp_path / "routes.py").read_text()
    assert "1 destinations in 1 sets" in ds_farm("check", cwd=tmp_path).stdout


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = ds_farm("init", tmp_path / "file" / "sub", cwd=tmp_path)
    assert found.returncode == 1
    assert "Not a directory" in found.stderr
    assert "Traceback" not in found.stderr
