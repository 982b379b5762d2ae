"""Starting a scene of `scenes.py` as a real farm, and asking its workers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from shm.layout import Role
from shm.segment import Segment
from tests.support import process
from tests.support.wait import until

ROOT = Path(__file__).parents[2]


class Stage:
    """One farm of trivial processes in a session of its own; leaves nothing behind."""

    def __init__(self, directory: Path, scene: str = "plain", **farm: object) -> None:
        self.name = f"stage-{os.getpid()}-{directory.name}"[:64]
        self.scene = scene
        self.log_path = directory / "log"
        self.environment: dict[str, str] = {}
        self.config: dict[str, dict[str, object]] = {
            "farm": {"name": self.name, "children": 2, "socket": ["udp:127.0.0.1:0"], **farm},
            "metrics": {"listen": ""},
            "mi": {"http": ""},
        }

    def launch(self) -> Self:
        """Start it and wait for nothing."""
        with self.log_path.open("wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "tests.workers.scenes", self.scene],
                cwd=ROOT,
                env=os.environ | self.environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert self.popen.stdin
        self.popen.stdin.write(json.dumps(self.config).encode())
        self.popen.stdin.close()
        return self

    def __enter__(self) -> Self:
        self.launch()
        self.wait_log("ready: ")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(10.0)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        strays = process.kill_session(self.popen.pid)
        left = [path for path in Path("/dev/shm").iterdir() if self.name in path.name]
        for path in left:
            path.unlink()
        if error is None:
            assert not strays, f"left running: {strays}\n{self.log()}"
            assert not left, f"left in /dev/shm: {left}"
        else:
            print(self.log())

    def log(self) -> str:
        return self.log_path.read_text()

    def wait_log(self, text: str, timeout_s: float = 10.0) -> None:
        """Wait until the log has this text."""
        try:
            until(lambda: text in self.log(), f"{text!r} in the log", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def wait(self, timeout_s: float = 10.0) -> int:
        """Exit code of the supervisor."""
        return self.popen.wait(timeout_s)

    @property
    def address(self) -> tuple[str, int]:
        """Its SIP address, from the ready line."""
        found = re.search(r"ready: .*udp:([0-9.]+):(\d+)", self.log())
        assert found, self.log()
        return found[1], int(found[2])

    def pid(self, role: Role, rank: int = 0) -> int:
        """Of the living process of a role, 0 if there is none."""
        with Segment.attach(self.name) as segment:
            for index in range(segment.layout.max_processes):
                slot = segment.process(index)
                if (slot.role, slot.rank) == (role, rank) and process.alive(slot.pid):
                    return slot.pid
            return 0

    def starts(self, rank: int) -> int:
        """How often a worker of this rank has started."""
        with Segment.attach(self.name) as segment:
            return segment.process(rank).starts

    def url(self, name: str) -> str:
        """Of an HTTP service, from the ready line: ``metrics`` or ``MI``."""
        found = re.search(rf"{name} (http://\S+?)(/metrics|/mi)\b", self.log())
        assert found, self.log()
        return found[1]

    def segment(self) -> Segment:
        """For reading; the caller closes it."""
        return Segment.attach(self.name)

    def ranks(self, count: int) -> Counter[int]:
        """Ask ``count`` times from one source port; how often each rank answered."""
        answers: Counter[int] = Counter()
        with caller() as made:
            for _ in range(count):
                made.sendto(b"who", self.address)
                answers[int(made.recv(100).split()[0])] += 1
        return answers


def caller() -> socket.socket:
    """A UDP socket that does not wait for ever."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(5.0)
    return made
