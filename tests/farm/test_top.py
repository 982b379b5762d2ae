"""`ds-farm top` in a terminal of 80 and of 200 columns, with and without colours, and in a pipe."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyte
import pytest

from ds_farm.dispatch.model import State
from tests.farm.probes import set_state
from tests.support.command import ds_farm
from tests.support.database import Row
from tests.support.farm import COMMAND, Farm
from tests.support.sipp import Caller, Destination
from tests.support.wait import until

DOWN = "sip:[2001:db8:1234:5678:9abc:def0:1234:5678]:5060;transport=udp"
"""Longer than there is room for in 80 columns."""

DOWN_BEGINS = DOWN[:25]
COLOUR = re.compile(rb"\x1b\[[0-9;]*3[0-7]m")


@dataclass(frozen=True)
class Scene:
    farm: Farm
    uris: list[str]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two workers with steady traffic; two destinations that answer and one that is inactive."""
    directory = tmp_path_factory.mktemp("top")
    with Destination(directory, "one") as one, Destination(directory, "two") as two:
        uris = [one.uri, two.uri]
        rows = [*(Row(uri) for uri in uris), Row(DOWN)]
        with Farm(directory, [], children=2) as farm:
            farm.reload(rows)
            set_state(farm, DOWN, State.INACTIVE)
            with Caller(directory, farm.sip, 100_000, 200):
                yield Scene(farm, uris)


class Terminal:
    """A terminal of that size with `ds-farm top` in it."""

    def __init__(self, farm: Farm, columns: int, lines: int, **environment: str) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
        self._process = subprocess.Popen(
            [COMMAND, "top", "-c", farm.config, "--interval", "0.3"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=kept | {"TERM": "xterm-256color"} | environment,
            start_new_session=True,
        )
        os.close(slave)

    def _read(self) -> None:
        while select.select([self._master], [], [], 0.05)[0]:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return
            if not data:
                return
            self.raw += data
            self._stream.feed(data)

    def text(self) -> str:
        """What is on it now."""
        self._read()
        return "\n".join(line.rstrip() for line in self.screen.display)

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        os.killpg(self._process.pid, signal.SIGINT)
        end_s = time.monotonic() + 10.0
        while self._process.poll() is None and time.monotonic() < end_s:
            self._read()
        return self._process.wait(1.0)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            os.close(self._master)


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("no_color", ["", "1"], ids=["colours", "no colours"])
def test_in_a_terminal(scene: Scene, columns: int, no_color: str) -> None:
    environment = {"NO_COLOR": no_color} if no_color else {}
    terminal = Terminal(scene.farm, columns, 30, **environment)
    try:
        rate = re.compile(rf"{re.escape(scene.uris[0])}\s+active\s+[1-9]")
        text = until(
            lambda: text if rate.search(text := terminal.text()) else "",
            "a destination with its rate",
            15.0,
        )
        assert f"farm {scene.farm.name}" in text or columns == 80
        assert re.search(r"^\s*0\s+(\d+\s+)?\d+%", text, re.MULTILINE), text
        assert re.search(r"^\s*1\s+(\d+\s+)?\d+%", text, re.MULTILINE), text
        # The inactive one comes first: it needs a look.
        assert text.index(DOWN_BEGINS) < text.index(scene.uris[0])
        assert re.search(rf"{re.escape(DOWN_BEGINS)}\S+\s+inactive\s+0\s+0%", text), text
        assert (DOWN in text) == (columns == 200)
        shares = [int(each) for each in re.findall(r"active\s+\d+\s+(\d+)%", text)]
        assert 98 <= sum(shares) <= 102, text
        assert ("partition" in text) == (columns == 200)
        assert bool(COLOUR.search(terminal.raw)) == (not no_color)
        assert terminal.interrupt() == 0
    finally:
        terminal.close()


def test_low_terminal_says_what_it_leaves_out(tmp_path: Path) -> None:
    rows = [f"sip:127.0.0.1:{7000 + number}" for number in range(20)]
    with Farm(tmp_path, rows) as farm:
        terminal = Terminal(farm, 100, 13)
        try:
            left_out = re.compile(r"\.\.\. and (\d+) more destinations")
            text = until(
                lambda: text if left_out.search(text := terminal.text()) else "",
                "the screen",
                15.0,
            )
            (found,) = left_out.findall(text)
            assert sum(row in text for row in rows) == 20 - int(found) > 0, text
            # The screen would scroll if one line too many was written.
            assert f"farm {farm.name}" in text.splitlines()[0], text
        finally:
            terminal.close()


def test_in_a_pipe_it_prints_one_screen(scene: Scene) -> None:
    done = ds_farm("top", "-c", scene.farm.config, "--interval", "0.5", cwd=scene.farm.directory)
    assert done.returncode == 0, done
    assert scene.uris[0] in done.stdout
    assert "2 workers" in done.stdout
    assert "\x1b" not in done.stdout
    twice = ds_farm(
        *("top", "-c", scene.farm.config, "--interval", "0.2", "--count", "2"),
        cwd=scene.farm.directory,
    )
    assert twice.stdout.count("2 workers") == 2


def test_no_such_farm(tmp_path: Path) -> None:
    done = ds_farm("top", "-n", "no-such-farm", cwd=tmp_path)
    assert done.returncode == 3
    assert "no-such-farm" in done.stderr
