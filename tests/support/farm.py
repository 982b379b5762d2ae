"""A farm as its operator has it: the installed command, a configuration file, a database.

A `Farm` is started in a session of its own on a loopback address of its own, is watched through
what everybody may read (log, segment, /metrics), and leaves nothing behind: `close` ends every
process and fails if any of them, or anything in /dev/shm, had to be cleared away.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from shm.layout import Role
from shm.segment import Segment
from tests.support import database, process
from tests.support.database import Row
from tests.support.metrics import Metrics, scrape
from tests.support.net import free_port, own_host, uri_host
from tests.support.peer import Address
from tests.support.wait import until

COMMAND = Path(sys.executable).parent / "ds-farm"
READY_S = 20.0

Value = str | int | float | bool | list[str]
Settings = Mapping[str, Mapping[str, Value]]

STEERING = ""
"""[tm] steering of the farms to come, "" for the default; set by a fixture."""

_names = itertools.count(1)
OPEN: weakref.WeakSet[Farm] = weakref.WeakSet()
"""Farms that have not been closed; conftest shows their logs when a test fails."""


@dataclass(frozen=True)
class Child:
    """A process of the farm, as its slot in the segment says."""

    pid: int
    role: Role
    rank: int
    starts: int


class Farm:
    """One farm; made stopped.  `start` and `close`, or a with statement."""

    def __init__(
        self,
        directory: Path,
        rows: Iterable[Row | str],
        *,
        children: int = 2,
        module: str = "",
        settings: Settings | None = None,
        listen_ipv6: bool = False,
        name: str = "",
        script: Path | None = None,
    ) -> None:
        """``rows`` are destinations (a bare URI is one of set 1); ``module`` is the text of a
        routing module; ``settings`` goes over the defaults, section by section; it listens on
        `sip`, with ``listen_ipv6`` on `sip6` as well.

        ``script`` is an OpenSIPS script that stands in place of the configuration, or the
        configuration that one was converted to: what differs for a test is given with ``--set``."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.name = name or f"test-{os.getpid()}-{next(_names):04d}"
        host = own_host()
        self.sip: Address = host, free_port(host)
        self.sip6: Address = "::1", free_port("::1")
        self.metrics_address: Address = host, free_port(host, socket.SOCK_STREAM)
        self.mi_address: Address = host, free_port(host, socket.SOCK_STREAM)
        self.database = directory / "farm.sqlite"
        self.config = directory / "ds_farm.toml"
        self.log_path = directory / "farm.log"
        self.children = children
        self._process: subprocess.Popen[bytes] | None = None
        self.store(rows)
        sections: dict[str, dict[str, Value]] = {
            "farm": {
                "name": self.name,
                "children": children,
                "socket": [
                    f"udp:{uri_host(host)}:{port}"
                    for host, port in ((self.sip, self.sip6) if listen_ipv6 else (self.sip,))
                ],
            },
            "dispatcher": {"db_url": f"sqlite:///{self.database}"},
            "metrics": {"listen": f"{uri_host(host)}:{self.metrics_address[1]}"},
            "mi": {"http": f"{uri_host(host)}:{self.mi_address[1]}"},
        }
        if module:
            (directory / "routes.py").write_text(module)
            sections["farm"]["route_module"] = "routes.py"
        if STEERING:
            sections["tm"] = {"steering": STEERING}
        for section, values in (settings or {}).items():
            sections.setdefault(section, {}).update(values)
        self._arguments: list[str] = []
        if script is not None:
            self.config = script
            for section, values in sections.items():
                for key, value in values.items():
                    self._arguments += ["--set", f"{section}.{key}={json.dumps(value)}"]
        else:
            self.config.write_text(_toml(sections))
        OPEN.add(self)

    # -- life

    def start(self) -> Self:
        """Start it and wait until it says that it is ready."""
        self.launch()
        until(self._is_ready, f"farm {self.name} ready", READY_S)
        return self

    def launch(self) -> None:
        """Start it and wait for nothing."""
        assert self._process is None or self._process.poll() is not None, "it runs already"
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [str(COMMAND), "run", "-f", str(self.config), *self._arguments],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _is_ready(self) -> bool:
        if self._popen.poll() is not None:
            raise AssertionError(f"the farm ended with {self._popen.returncode}\n{self.log()}")
        return "ready: " in self.log()

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 20.0) -> int:
        """Send a signal to the supervisor and wait for its end; returns its exit code."""
        self.signal(number)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 20.0) -> int:
        """Wait until the supervisor has ended; returns its exit code."""
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"farm {self.name} did not end in {timeout_s:g} s") from None

    def reload(self, rows: Iterable[Row | str], timeout_s: float = 10.0) -> None:
        """Replace the rows and have every worker use them (HUP)."""
        served, before = self._served(), self.reloads()
        self.store(rows)
        self.signal(signal.SIGHUP)
        # A reload that is made up for counts as one, too, and may have read the old rows.
        until(lambda: self._served() > served, f"a reload of farm {self.name}", timeout_s)
        until(lambda: self.reloads()[0] > before[0], "its success", timeout_s)
        until(self._all_have_the_table, f"the new table in all workers of {self.name}", timeout_s)

    def _served(self) -> int:
        """Number of the last request for a reload that was served, well or not."""
        with self.segment() as segment:
            return segment.header.reload_served

    def reloads(self) -> tuple[int, int]:
        """Reloads that went well, and that failed."""
        with self.segment() as segment:
            return segment.header.reloads_ok, segment.header.reloads_failed

    def _all_have_the_table(self) -> bool:
        with self.segment() as segment:
            slots = [segment.process(i) for i in range(segment.header.max_processes)]
            generation = segment.header.generation
            return all(
                slot.generation == generation
                for slot in slots
                if slot.role == Role.WORKER and process.alive(slot.pid)
            )

    def signal(self, number: signal.Signals, pid: int = 0) -> None:
        """To the supervisor, or to another process of the farm."""
        os.kill(pid or self.pid, number)

    def kill_all(self) -> None:
        """SIGKILL to every process at once, as when a machine's memory is gone."""
        process.kill_session(self.pid)
        self._popen.wait()

    def close(self) -> None:
        """End everything that is left.  AssertionError if a stopped farm left something."""
        OPEN.discard(self)
        if self._process is None:
            return
        was_running = self._process.poll() is None
        if was_running:
            self._process.terminate()
            try:
                self._process.wait(15.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        strays, left = self._clear()
        assert not strays, f"processes left behind by farm {self.name}: {strays}"
        assert not left, f"left in /dev/shm by farm {self.name}: {left}"

    def _clear(self) -> tuple[dict[int, str], list[str]]:
        """Remove every trace of it; what there was: processes by title, names in /dev/shm."""
        strays = {pid: process.title(pid) for pid in self.session()}
        process.kill_session(self.pid)
        self._popen.wait()
        left = self.shared_objects()
        for path in left:
            path.unlink(missing_ok=True)
        return strays, [path.name for path in left]

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self._clear()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except AssertionError:
            if error is None:
                raise

    # -- what can be seen of it

    def session(self) -> list[int]:
        """Every living process that it has started, however deep, and itself."""
        return process.session(self.pid)

    @property
    def _popen(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the farm was not started"
        return self._process

    @property
    def pid(self) -> int:
        """The supervisor."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def log(self) -> str:
        """What it has logged since its last start."""
        return self.log_path.read_bytes()[self._log_start :].decode(errors="replace")

    def segment(self) -> Segment:
        """The segment, attached for reading; the caller closes it."""
        return Segment.attach(self.name)

    def processes(self) -> list[Child]:
        """The children that the segment knows and that live."""
        with self.segment() as segment:
            slots = [segment.process(i) for i in range(segment.header.max_processes)]
            return [
                Child(slot.pid, Role(slot.role), slot.rank, slot.starts)
                for slot in slots
                if slot.pid and process.alive(slot.pid)
            ]

    def child(self, role: Role, rank: int = 0) -> Child:
        """The living process of a role; waits for it."""
        return until(
            lambda: next((c for c in self.processes() if (c.role, c.rank) == (role, rank)), None),
            f"a living {role.name} {rank} of farm {self.name}",
        )

    def workers(self) -> list[Child]:
        """SIP workers by rank."""
        found = [child for child in self.processes() if child.role is Role.WORKER]
        return sorted(found, key=lambda child: child.rank)

    def worker_requests(self) -> list[int]:
        """Requests that each worker rank has received."""
        with self.segment() as segment:
            return [segment.worker(i).requests for i in range(segment.header.max_workers)]

    def metrics(self) -> Metrics:
        """What Prometheus would read now."""
        return scrape(self.metrics_address)

    def shared_objects(self) -> list[Path]:
        """What /dev/shm holds of it: segment, tables, semaphores."""
        return [path for path in Path("/dev/shm").iterdir() if self.name in path.name]

    def store(self, rows: Iterable[Row | str]) -> None:
        """Replace the rows of its database; it reads them at the next reload."""
        database.write(self.database, [Row(row) if isinstance(row, str) else row for row in rows])


def _toml(sections: Settings) -> str:
    """Sections of plain values as TOML; JSON's strings, numbers, booleans and lists are TOML's."""
    return (
        "\n\n".join(
            "\n".join(
                [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
            )
            for name, keys in sections.items()
        )
        + "\n"
    )
