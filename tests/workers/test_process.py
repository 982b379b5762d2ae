"""What a child is after its fork: user, signals, ties, sockets."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import signal
from pathlib import Path
from unittest.mock import Mock

import pytest

from ds_farm.errors import ConfigError
from shm.layout import Role, Status
from tests.support import process
from tests.support.wait import until
from tests.workers.stage import Stage
from workers.account import drop_privileges, give


def status(pid: int, key: str) -> list[str]:
    """A line of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1:] for line in lines if line.startswith(f"{key}:"))


def mask(pid: int, key: str) -> set[int]:
    """A signal mask of /proc/PID/status as numbers."""
    bits = int(status(pid, key)[0], 16)
    return {number for number in range(1, 65) if bits >> (number - 1) & 1}


def test_signals_are_unblocked_and_where_they_should_go(tmp_path: Path) -> None:
    with Stage(tmp_path) as farm:
        for role, reloads in ((Role.WORKER, False), (Role.LOADER, True)):
            pid = farm.pid(role)
            assert mask(pid, "SigBlk") == set()
            caught, ignored = mask(pid, "SigCgt"), mask(pid, "SigIgn")
            assert {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT} <= caught
            assert {signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2} <= ignored
            stays = role is Role.WORKER  # USR1: TTIN found it while it was about to leave
            assert (signal.SIGUSR1 in caught, signal.SIGUSR1 in ignored) == (stays, not stays)
            assert (signal.SIGHUP in caught, signal.SIGHUP in ignored) == (reloads, not reloads)


def test_worker_has_the_sockets_of_its_rank_only(tmp_path: Path) -> None:
    sockets = ["udp:127.0.0.1:0", "udp:[::1]:0"]
    with Stage(tmp_path, children=4, socket=sockets) as farm:
        # One for each address, and the one between workers.
        for role, count in ((Role.WORKER, 3), (Role.LOADER, 0)):
            fds = Path(f"/proc/{farm.pid(role)}/fd")
            held = [os.readlink(fd) for fd in fds.iterdir()]
            assert sum(each.startswith("socket:") for each in held) == count


def test_slot_of_a_process_that_left_is_free(tmp_path: Path) -> None:
    with Stage(tmp_path) as farm:
        segment = farm.segment()
        assert segment.process(1).status == Status.READY
        farm.signal(signal.SIGTTOU)
        until(lambda: not segment.process(1).pid, "a free slot")
        assert segment.process(1).status == Status.EMPTY
        segment.close()


def test_worker_told_by_an_operator_to_end_is_replaced(tmp_path: Path) -> None:
    with Stage(tmp_path) as farm:
        os.kill(farm.pid(Role.WORKER, 1), signal.SIGTERM)
        until(lambda: farm.starts(1) == 2, "its successor")
        assert "exit code 0" in farm.log()


def test_children_drop_privileges_and_still_die_with_the_supervisor(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    tmp_path.chmod(0o755)
    with Stage(tmp_path, "deaf", user="nobody") as farm:
        children = [pid for pid in process.session(farm.popen.pid) if pid != farm.popen.pid]
        assert len(children) == 4
        for pid in children:
            assert status(pid, "Uid") == [str(nobody.pw_uid)] * 4
            assert status(pid, "Gid") == [str(nobody.pw_gid)] * 4
            assert str(os.getgid()) not in status(pid, "Groups") or not nobody.pw_gid
        assert status(farm.popen.pid, "Uid")[0] == str(os.getuid())
        farm.signal(signal.SIGHUP)  # publishes as nobody
        segment = farm.segment()
        until(lambda: segment.header.generation == 2, "a second table")
        segment.close()
        farm.popen.kill()
        until(lambda: not any(map(process.alive, children)), "the end of all children")
        for path in Path("/dev/shm").glob(f"*{farm.name}*"):
            path.unlink()


@pytest.mark.parametrize(
    ("farm", "reason"),
    [
        ({"user": "no-such-user"}, "farm.user: there is no user 'no-such-user'"),
        ({"group": "no-such-group"}, "farm.group: there is no group 'no-such-group'"),
    ],
)
def test_unknown_user_or_group_stops_the_farm(
    tmp_path: Path, farm: dict[str, str], reason: str
) -> None:
    made = Stage(tmp_path, **farm).launch()
    assert made.wait() == 1
    assert reason in made.log()
    made.__exit__(None, None, None)


def test_user_need_not_be_able_to_read_the_program(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "hidden_worker.py").write_text("from tests.workers.scenes import worker as main\n")
    hidden.chmod(0o700)
    farm = Stage(tmp_path, "hidden", user="nobody")
    farm.environment = {"PYTHONPATH": str(hidden)}
    with farm:
        assert farm.ranks(1)


def test_segment_belongs_to_user_and_group(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with Stage(tmp_path, user="nobody", group="daemon") as farm:
        stat = Path(f"/dev/shm/ds_farm-{farm.name}").stat()
        assert stat.st_uid == pwd.getpwnam("nobody").pw_uid
        assert stat.st_gid == grp.getgrnam("daemon").gr_gid


def test_who_may_not_change_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = Mock(side_effect=PermissionError(errno.EPERM, "Operation not permitted"))
    for function in ("chown", "initgroups"):
        monkeypatch.setattr(os, function, refuse)
    reason = "only root can change to nobody: Operation not permitted"
    with pytest.raises(ConfigError, match=reason):
        give("/dev/shm/x", "nobody", None)
    with pytest.raises(ConfigError, match=reason):
        drop_privileges("nobody", None)


def test_start_without_descriptors_says_so(tmp_path: Path) -> None:
    farm = Stage(tmp_path, "no_descriptors").launch()
    assert farm.wait() == 1
    assert "cannot start: " in farm.log()
    assert "Too many open files" in farm.log()
    assert "Traceback" not in farm.log()
    farm.__exit__(None, None, None)


def test_nothing_to_drop_is_no_change() -> None:
    before = os.getresuid(), os.getresgid(), os.getgroups()
    drop_privileges(None, None)
    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before


def test_unknown_name_changes_nothing() -> None:
    with pytest.raises(ConfigError, match="no-such-user"):
        drop_privileges("no-such-user", None)
