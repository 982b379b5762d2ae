"""`ds-farm reload`: a running farm reads its database again."""

from __future__ import annotations

import socket
from pathlib import Path

from ds_farm.dispatch.model import State
from tests.support import counts
from tests.support.command import ds_farm
from tests.support.database import Row
from tests.support.farm import Farm
from tests.support.net import free_port

FIRST, SECOND, THIRD = (f"sip:127.0.0.1:{port}" for port in (7001, 7002, 7003))


def test_it_shows_what_changed_and_keeps_states_unless_fresh(tmp_path: Path) -> None:
    with Farm(tmp_path, [FIRST, SECOND]) as farm:
        farm.store([Row(FIRST, state=1), Row(THIRD, setid=2)])
        done = ds_farm("reload", "-c", farm.config, cwd=tmp_path)
        assert done.returncode == 0, done
        assert done.stdout.splitlines() == [
            f"+ partition default, set 2: {THIRD}",
            f"- partition default, set 1: {SECOND}",
            "reloaded: 2 destinations in 2 sets",
        ]
        assert counts.of(farm).states[FIRST] is State.ACTIVE
        fresh = ds_farm("reload", "--fresh", "-c", farm.config, cwd=tmp_path)
        assert fresh.returncode == 0, fresh
        assert counts.of(farm).states[FIRST] is State.INACTIVE


def test_what_cannot_be_reloaded_is_refused(tmp_path: Path) -> None:
    with Farm(tmp_path, [FIRST]) as farm:
        other = ds_farm("reload", "--partition", "other", "-c", farm.config, cwd=tmp_path)
        assert other.returncode == 1
        assert "ds_reload" in other.stderr


def test_no_farm_is_not_reachable(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port('127.0.0.1', socket.SOCK_STREAM)}/mi"
    done = ds_farm("reload", "--url", url, cwd=tmp_path)
    assert done.returncode == 3
    assert url in done.stderr
