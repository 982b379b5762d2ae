"""persistent_state: states that changed are in the database after the farm's end."""

from __future__ import annotations

from pathlib import Path

from tests.support import database, process
from tests.support.command import ds_farm
from tests.support.database import Row
from tests.support.farm import Farm

URIS = [f"sip:127.0.0.1:{port}" for port in (7001, 7002, 7003)]


def test_changed_states_are_saved_at_the_end(tmp_path: Path) -> None:
    with Farm(tmp_path, [Row(URIS[0]), Row(URIS[1]), Row(URIS[2], state=1)]) as farm:
        for letter, uri in (("i", URIS[0]), ("p", URIS[1])):
            done = ds_farm("mi", "ds_set_state", letter, "1", uri, "-c", farm.config, cwd=tmp_path)
            assert done.returncode == 0, done
        farm.stop()
        assert database.states(farm.database) == {URIS[0]: 1, URIS[1]: 2, URIS[2]: 1}


def test_states_that_cannot_be_saved_at_the_end_are_told(tmp_path: Path) -> None:
    with Farm(tmp_path, URIS, children=1) as farm:
        done = ds_farm("mi", "ds_set_state", "i", "1", URIS[0], "-c", farm.config, cwd=tmp_path)
        assert done.returncode == 0, done
        farm.database.unlink()
        farm.stop()
        assert "the last states (1) are not saved: " in farm.log()
        assert "they will be" not in farm.log()


def test_worker_that_is_late_costs_no_state(tmp_path: Path) -> None:
    """The stop goes on without it: the loader is not killed along with it."""
    quick = {"farm": {"stop_timeout_s": 0.5}}
    with Farm(tmp_path, URIS, children=1, settings=quick) as farm:
        done = ds_farm("mi", "ds_set_state", "i", "1", URIS[0], "-c", farm.config, cwd=tmp_path)
        assert done.returncode == 0, done
        process.hold(farm.workers()[0].pid)
        farm.stop()
        assert database.states(farm.database) == {URIS[0]: 1, URIS[1]: 0, URIS[2]: 0}
        assert "killed: worker 0\n" in farm.log()
