"""However the demo ends, nothing that it started is left: Ctrl-C, TERM, SIGKILL, a dead farm."""

from __future__ import annotations

import contextlib
import itertools
import os
import pty
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ds_farm import status
from shm.errors import SegmentError
from tests.support import process
from tests.support.farm import COMMAND
from tests.support.wait import until

_names = itertools.count(1)


class Terminal:
    """A demo on a terminal: keys can be pressed, and what it has shown is kept."""

    def __init__(self, folder: Path) -> None:
        self.farm = f"demo-test-{os.getpid()}-{next(_names)}"
        (folder / "ds_farm.toml").write_text(
            f'[farm]\nname = "{self.farm}"\nsocket = "127.0.0.1:0"\nchildren = 2\n'
            '[dispatcher]\ndb_url = "sqlite:///demo.sqlite"\n'
            '[metrics]\nlisten = "127.0.0.1:0"\n[mi]\nhttp = "127.0.0.1:0"\n'
        )
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "150", "LINES": "50"}
        self.pid, self._screen = pty.fork()
        if not self.pid:
            os.execve(COMMAND, ["ds-farm", "demo", "--dir", str(folder)], environment)
        os.set_blocking(self._screen, False)
        self._shown = b""
        self._exit_code: int | None = None

    def shown(self) -> str:
        """All that was written so far, without control sequences."""
        with contextlib.suppress(OSError):  # nothing new, or the other side is closed
            while data := os.read(self._screen, 65536):
                self._shown += data
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._shown.decode(errors="replace"))

    def press(self, keys: bytes) -> None:
        os.write(self._screen, keys)

    def exit_code(self) -> int | None:
        """None while it runs."""
        if self._exit_code is None:
            self.shown()  # else it might wait for room on the screen
            pid, ended = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._exit_code = os.waitstatus_to_exitcode(ended)
        return self._exit_code

    def wait(self) -> int:
        until(lambda: self.exit_code() is not None, "the end of the demo", 20.0)
        assert self._exit_code is not None
        return self._exit_code

    def supervisor(self) -> int:
        """Pid of the farm's supervisor, 0 if the farm does not run."""
        with contextlib.suppress(SegmentError), status.attach(self.farm) as segment:
            return segment.header.supervisor_pid
        return 0

    def until_calls_flow(self) -> int:
        """Returns the supervisor's pid."""
        until(lambda: re.search(r"[1-9]\d* x 200", self.shown()), "replies on the screen", 20.0)
        pid = self.supervisor()
        assert pid
        return pid

    def close(self) -> None:
        if self.exit_code() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        os.close(self._screen)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.close()


def _assert_nothing_left(terminal: Terminal, supervisor: int) -> None:
    until(lambda: not process.session(supervisor), "the end of the farm's processes", 20.0)
    left = [name for name in os.listdir("/dev/shm") if terminal.farm in name]
    assert not left


@pytest.mark.parametrize("how", ["Ctrl-C", "TERM", "HUP"])
def test_it_ends_cleanly_and_shows_the_shares(terminal: Terminal, how: str) -> None:
    supervisor = terminal.until_calls_flow()
    if how == "Ctrl-C":
        terminal.press(b"\x03")
    else:
        os.kill(terminal.pid, getattr(signal, f"SIG{how}"))
    assert terminal.wait() == 0
    summary = terminal.shown()
    requests = [int(found) for found in re.findall(r"│ +(\d+) │ +[\d.]+% │", summary)[-3:]]
    assert max(requests) - min(requests) <= 1, summary
    *_, (made, answered) = re.findall(r"caller: (\d+) requests, replies: (\d+) x 200", summary)
    assert made == answered, summary
    assert sum(requests) >= int(made)  # more if the caller has repeated some
    assert "Traceback" not in summary
    _assert_nothing_left(terminal, supervisor)


def test_the_farm_does_not_outlive_a_killed_demo(terminal: Terminal) -> None:
    supervisor = terminal.until_calls_flow()
    os.kill(terminal.pid, signal.SIGKILL)
    assert terminal.wait() == -signal.SIGKILL
    _assert_nothing_left(terminal, supervisor)


def test_a_farm_that_dies_is_told_with_its_log(terminal: Terminal) -> None:
    supervisor = terminal.until_calls_flow()
    os.kill(supervisor, signal.SIGINT)
    assert terminal.wait() == 1
    assert "the farm ended with exit code 0" in terminal.shown()
    assert "stopped" in terminal.shown()
    _assert_nothing_left(terminal, supervisor)


def test_ctrl_c_during_the_start(terminal: Terminal) -> None:
    until(terminal.supervisor, "the farm's supervisor", 20.0)
    supervisor = terminal.supervisor()
    terminal.press(b"\x03")
    started = time.monotonic()
    assert terminal.wait() == 0
    assert time.monotonic() - started < 15.0
    _assert_nothing_left(terminal, supervisor)
