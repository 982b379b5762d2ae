"""Processes as /proc shows them, and the end of a whole session of them."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from tests.support.wait import until


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on (proc(5), field 3), none if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def alive(pid: int) -> bool:
    """There is such a process and it is no zombie."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def hold(pid: int) -> None:
    """SIGSTOP, and wait until every thread stands still.

    The signal is only pending when kill(2) returns: until one thread has taken it the others may
    still accept a connection or read a datagram.
    """
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    until(
        lambda: all(_stat(int(task.name))[:1] == ["T"] for task in tasks.iterdir()),
        f"process {pid} standing still",
    )


def is_asleep(pid: int) -> bool:
    """Whether it waits for something to do."""
    return _stat(pid)[0] == "S"


def session(leader: int) -> list[int]:
    """Living processes of the session that ``leader`` started, itself included."""
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [
        pid
        for pid in pids
        if (fields := _stat(pid)) and fields[0] not in "ZX" and int(fields[3]) == leader
    ]


def title(pid: int) -> str:
    """The command line, which is the process title where one is set; empty if it is gone."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return raw.replace(b"\0", b" ").decode().strip()


def kill_session(leader: int) -> list[int]:
    """SIGKILL to all that is left of a session; returns what there was."""
    left = session(leader)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not session(leader), f"end of session {leader}")
    return left


def cpu_s(pid: int) -> float:
    """Time that a process has run on a CPU (/proc/PID/schedstat, nanoseconds)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
