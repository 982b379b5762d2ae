"""The machine under the measurement: its processors, who runs on which, and what it is."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ds_farm import __version__

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Cores:
    """The processors that this process may use, in two parts."""

    proxy: tuple[int, ...]
    """For the workers under test, one each as far as they go."""

    load: tuple[int, ...]
    """For everything else: generator, a farm's other processes, the bench itself."""

    @property
    def text(self) -> str:
        """For people."""
        proxy, load = (",".join(map(str, each)) for each in (self.proxy, self.load))
        return f"workers on core {proxy}, everything else on core {load}"


def split_cores() -> Cores:
    """The lower half for workers, the rest for the load; a single core has to serve both."""
    cores = sorted(os.sched_getaffinity(0))
    half = len(cores) // 2
    return Cores(tuple(cores[:half] or cores), tuple(cores[half:]))


def pin_workers(pids: Iterable[int], cores: Cores) -> None:
    """A core for each worker; the cores are shared if there are fewer."""
    for i, pid in enumerate(pids):
        os.sched_setaffinity(pid, {cores.proxy[i % len(cores.proxy)]})


def before_others(pids: Iterable[int]) -> bool:
    """Have these run before every ordinary process (SCHED_FIFO); False if that is not permitted."""
    try:
        for pid in pids:
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    return True


def describe(cores: Cores) -> dict[str, object]:
    """What a reader of the numbers wants to know: the ``machine`` of every result file."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cores_of_workers": list(cores.proxy),
        "cores_of_load": list(cores.load),
        "load_average": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "ds_farm": __version__,
        "commit": _output("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _output(*command: str) -> str:
    """What a command prints; empty if it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
