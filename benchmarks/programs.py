"""The C programs of this folder: compiled when they are needed, and run for one measurement.

`sipblast.c` says what its numbers mean; `Load` has them by the same names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.machine import before_others

SOURCES = Path(__file__).parent
BUILT = SOURCES.parent / "build" / "benchmarks"
FLAGS = ("-O2", "-Wall", "-Wextra", "-pthread")
END_MARGIN_S = 30.0
"""A generator that has not ended so long after its time hangs."""


class BenchError(Exception):
    """A measurement cannot be made; the text says why and what to do."""


def program(name: str) -> Path:
    """The program made of NAME.c, compiled unless it is newer than the sources.  BenchError."""
    return _compiled(name, name)


def library(name: str) -> Path:
    """The shared library made of NAME.c, likewise."""
    return _compiled(name, f"{name}.so", "-shared", "-fPIC")


def _compiled(name: str, output: str, *flags: str) -> Path:
    built = BUILT / output
    sources = [SOURCES / f"{name}.c", *SOURCES.glob("*.h")]
    if built.exists() and built.stat().st_mtime > max(each.stat().st_mtime for each in sources):
        return built
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise BenchError("no C compiler: install gcc ('make bench' does it where it may)")
    BUILT.mkdir(parents=True, exist_ok=True)
    fresh = BUILT / f"{output}.{os.getpid()}"
    command = [compiler, *FLAGS, *flags, "-o", str(fresh), str(sources[0])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{sources[0].name} cannot be compiled:\n{done.stderr.strip()}")
    fresh.replace(built)
    return built


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU time of the measured processes together, in the measured time."""

    ns: int
    user_ticks: int
    system_ticks: int

    @property
    def user_share(self) -> float:
        """0 to 1: the kernel's division of the time, exact to a tick of 10 ms."""
        ticks = self.user_ticks + self.system_ticks
        return self.user_ticks / ticks if ticks else 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of sipblast has counted."""

    seconds: float
    sent: int
    answered: int
    rejected: int
    lost: int
    done: int
    per_second: float
    p50_us: int
    p90_us: int
    p99_us: int
    p999_us: int
    max_us: int
    destinations: tuple[int, ...]
    own_ns: int
    cpu: Cpu

    @classmethod
    def read(cls, text: str) -> Self:
        """From sipblast's line of JSON."""
        values: dict[str, Any] = json.loads(text)
        del values["method"]
        each = values.pop("cpu")
        sums = {key: sum(one[key] for one in each) for key in ("ns", "user_ticks", "system_ticks")}
        destinations = tuple(values.pop("destinations"))
        return cls(**values, destinations=destinations, cpu=Cpu(**sums))


@dataclass(frozen=True, slots=True)
class Stage:
    """Where caller and destinations are: one loopback host, whose ports nobody else has."""

    host: str
    destinations: int = 4
    first_port: int = 7001
    caller_port: int = 6000

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Of the destinations."""
        return [(self.host, self.first_port + i) for i in range(self.destinations)]

    def uris(self, count: int) -> list[str]:
        """``count`` different SIP URIs that lead to the destinations in turn."""
        if count <= self.destinations:
            return [f"sip:{host}:{port}" for host, port in self.addresses[:count]]
        places = [f"{host}:{port}" for host, port in self.addresses]
        return [f"sip:d{i:05d}@{places[i % len(places)]}" for i in range(count)]


def claim_cores(pids: Iterable[int]) -> None:
    """For `--real-time`: these run before every ordinary process.  BenchError if they may not."""
    if not before_others(pids):
        raise BenchError("--real-time is not permitted here: it takes root or CAP_SYS_NICE")


class Blast:
    """One run of the generator against a proxy; `finish` waits for its counts."""

    def __init__(
        self,
        stage: Stage,
        proxy: tuple[str, int],
        pids: tuple[int, ...],
        *,
        seconds: float,
        warm_up: float = 0.0,
        window: int = 128,
        rate: int = 0,
        method: str = "OPTIONS",
        trace: Path | None = None,
        real_time: bool = False,
    ) -> None:
        """Start it.  ``rate`` requests a second make an open loop, else ``window`` calls are in
        flight; ``trace`` gets a line for each call; ``real_time`` runs it before every ordinary
        process (SCHED_FIFO), if that is permitted."""
        arguments = {
            "-t": f"{proxy[0]}:{proxy[1]}",
            "-d": f"{stage.host}:{stage.first_port}",
            "-c": f"{stage.host}:{stage.caller_port}",
            "-n": str(stage.destinations),
            "-m": method,
            "-W": f"{warm_up:g}",
            "-s": f"{seconds:g}",
            **({"-R": str(rate)} if rate else {"-w": str(window)}),
            **({"-p": ",".join(map(str, pids))} if pids else {}),
            **({"-o": str(trace)} if trace else {}),
        }
        command = [str(program("sipblast")), *(word for pair in arguments.items() for word in pair)]
        self._timeout_s = warm_up + seconds + END_MARGIN_S
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.is_real_time = real_time and before_others([self._process.pid])

    def finish(self) -> Load:
        """Wait for the end.  BenchError if it has measured nothing."""
        try:
            out, complaint = self._process.communicate(timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            raise BenchError(f"sipblast hangs: not over after {self._timeout_s:g} s") from None
        finally:
            self.close()
        if self._process.returncode or not out:
            text = complaint.strip() or "not one call was completed in the measured time"
            raise BenchError(f"sipblast: {text}")
        return Load.read(out)

    def stop(self) -> Load:
        """End the measured time now, and `finish`."""
        self._process.terminate()
        return self.finish()

    def close(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.wait()
