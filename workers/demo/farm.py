"""The demo's farm: `ds-farm run` as a child process that never outlives the demo.

It runs as installed, with the addresses of its configuration where they are free and free ones
where they are not.  It says that it is ready by sd_notify, as it would to a service manager.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ds_farm.config import Config
from ds_farm.errors import FarmError
from shm.errors import SegmentError
from shm.segment import Segment

READY_TIMEOUT_S = 20.0
STOP_MARGIN_S = 10.0
LOG_LINES_SHOWN = 20
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class FarmFailed(FarmError):
    """The farm did not start or ended early; the text has its last log lines."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a running farm is: one or more SIP addresses, and its HTTP services."""

    text: str
    """As the farm's own ready line has it."""

    sip: tuple[str, int]


class DemoFarm:
    """Start, wait until it is ready, stop."""

    def __init__(self, config: Config, avoid_configured: bool = False) -> None:
        """Start it.  ``avoid_configured`` takes another name and free ports in any case."""
        self.settings = _settings(config, avoid_configured)
        self.name = self.settings.get("farm.name", config.farm.name)
        self._stop_timeout_s = config.farm.stop_timeout_s + STOP_MARGIN_S
        self._log = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - `close` closes it
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind("")  # unix(7): a free abstract address
        self._notify.settimeout(0.1)
        self._process = self._start(config.path)

    def _start(self, path: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "ds_farm", "run", "-c", str(path)]
        for key, value in self.settings.items():
            command += ["--set", f"{key}={value}"]
        notify = "@" + self._notify.getsockname()[1:].decode()
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "NOTIFY_SOCKET": notify},
            start_new_session=True,  # Ctrl-C is for the demo, which then stops the farm
            preexec_fn=_die_with_parent,
        )

    def wait_ready(self) -> Places:
        """Until the farm serves calls.  Raises FarmFailed."""
        until_s = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < until_s:
            with contextlib.suppress(TimeoutError):
                lines = self._notify.recv(4096).decode().split("\n")
                if "READY=1" in lines:
                    return _places("\n".join(lines))
            if self._process.poll() is not None:
                raise self.failure("the farm did not start")
        raise self.failure(f"the farm was not ready after {READY_TIMEOUT_S:g} s")

    def check(self) -> None:
        """Raises FarmFailed if it has ended."""
        if self._process.poll() is not None:
            raise self.failure(f"the farm ended with exit code {self._process.returncode}")

    def failure(self, text: str) -> FarmFailed:
        """An error with the last lines of the farm's log."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        return FarmFailed("\n".join([text, *(f"  {line}" for line in lines)]))

    def close(self) -> None:
        """Graceful stop, then SIGKILL.  Can be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(self._stop_timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._notify.close()
        self._log.close()


def _die_with_parent() -> None:
    # TERM, not KILL: the supervisor then takes its children and the segment away with it.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _settings(config: Config, avoid_configured: bool) -> dict[str, str]:
    """What the farm is told besides its file: other names and ports where those are taken."""
    settings = {"log.level": "info", "log.format": "text"}
    if avoid_configured or _is_running(config.farm.name):
        settings["farm.name"] = f"{config.farm.name[:40]}-demo-{os.getpid()}"
    sip = [(spec.host, spec.port) for spec in config.farm.socket]
    if avoid_configured or any(_is_taken(socket.SOCK_DGRAM, *each) for each in sip):
        settings["farm.socket"] = '["udp:127.0.0.1:0"]'
    for key, where in (("metrics.listen", config.metrics.listen), ("mi.http", config.mi.http)):
        if where and (avoid_configured or _is_taken(socket.SOCK_STREAM, where.host, where.port)):
            settings[key] = "127.0.0.1:0"
    return settings


def _is_running(name: str) -> bool:
    try:
        segment = Segment.attach(name)
    except SegmentError:
        return False
    segment.close()
    return True


def _is_taken(kind: socket.SocketKind, host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def _places(status: str) -> Places:
    match = re.search(r"workers on (.*)", status)
    sip = re.search(r"udp:(?:\[(.+?)\]|([^:\s]+)):(\d+)", status)
    if not match or not sip:
        raise FarmFailed(f"the farm does not say where it listens: {status!r}")
    return Places(match[1], (sip[1] or sip[2], int(sip[3])))
