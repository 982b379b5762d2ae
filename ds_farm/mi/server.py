"""What operators expect of any server: version, uptime, ps, statistics, log_level, kill.

Results as of OpenSIPS 4.0.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import ds_farm
from ds_farm.mi import statistics
from ds_farm.mi.farm import Farm
from ds_farm.mi.jsonrpc import INVALID_PARAMS, Json, MiError
from shm.layout import Role
from shm.segment import Segment

LOG_LEVELS = {
    -3: logging.CRITICAL,
    -2: logging.CRITICAL,
    -1: logging.ERROR,
    1: logging.WARNING,
    2: logging.INFO,
    3: logging.INFO,
    4: logging.DEBUG,
}
"""OpenSIPS's levels (alert, critical, error, warning, notice, info, debug) as the stdlib's."""

_SHOWN_LEVELS = {logging.CRITICAL: -2, logging.ERROR: -1, logging.WARNING: 1, logging.INFO: 3}
_SHOWN_LEVELS |= {logging.DEBUG: 4}


def version(farm: Farm) -> Json:
    """Product and version."""
    return {"Server": f"ds_farm ({ds_farm.__version__})"}


def uptime(farm: Farm) -> Json:
    """Since when the farm runs, local time."""
    now_s, since_s = farm.now_s(), farm.segment.header.created_ns / 1e9
    return {
        "Now": time.ctime(now_s),
        "Up since": time.ctime(since_s),
        "Up time": f"{int(now_s - since_s)} [sec]",
    }


def ps(farm: Farm) -> Json:
    """The farm's processes."""
    rows = [(farm.segment.header.supervisor_pid, "supervisor"), *_processes(farm.segment)]
    return {
        "Processes": [
            {"ID": index, "PID": pid, "Type": kind} for index, (pid, kind) in enumerate(rows)
        ]
    }


def _processes(segment: Segment) -> Iterator[tuple[int, str]]:
    for index in range(segment.layout.max_processes):
        view = segment.process(index)
        if view.pid:
            role = Role(view.role)
            name = role.name.lower()
            yield view.pid, f"{name} {view.rank}" if role is Role.WORKER else name


def log_level(farm: Farm, level: int | None = None) -> Json:
    """Level of the log of every process: show it, or change it until the next start."""
    if level is None:
        shown = _SHOWN_LEVELS[farm.segment.header.log_level or _configured_level(farm)]
        return {
            "Processes": [
                {"PID": row["PID"], "Log level": shown, "Type": row["Type"]}
                for row in ps(farm)["Processes"]
            ]
        }
    chosen = LOG_LEVELS.get(level)
    if chosen is None:
        raise MiError(INVALID_PARAMS, "Invalid params", "Bad type for parameter 'level'")
    farm.segment.header.log_level = chosen
    return {"New global log level": level}


def _configured_level(farm: Farm) -> int:
    return logging.getLevelNamesMapping()[farm.config.log.level.upper().replace("NOTICE", "INFO")]


def children(farm: Farm, count: int | None = None) -> Json:
    """How many SIP workers there are; or have that many, which takes the supervisor a moment."""
    header = farm.segment.header
    if count is None:
        return {
            "Workers": header.workers,
            "Asked": header.children_asked or header.workers,
            "Configured": farm.config.farm.children,
            "Most": farm.config.farm.max_children,
        }
    most = farm.config.farm.max_children
    if not 1 <= count <= most:
        raise MiError(INVALID_PARAMS, "Invalid params", f"1 to {most} workers (farm.max_children)")
    header.children_asked = count
    return "OK"


def kill(farm: Farm) -> Json:
    """Stop the farm gracefully: the supervisor does it within a second."""
    farm.segment.header.add("stop_requests")
    return "OK"


# -- statistics -----------------------------------------------------------------------------


def get_statistics(farm: Farm, statistics: list[str]) -> Json:
    """Values by ``all``, ``group:`` or name."""
    return _values(farm, _select(statistics))


def list_statistics(farm: Farm, statistics: list[str] | None = None) -> Json:
    """What statistics there are, and which of them only grow."""
    return {
        one.full_name: "incremental" if one.is_counter else "non-incremental"
        for one in _select(statistics or ["all"])
    }


def reset_statistics(farm: Farm, statistics: list[str]) -> Json:
    """Counters from 0; what is no counter stays."""
    for one in _select(statistics):
        if one.is_counter:
            farm.bases.reset(one, one.read(farm.segment, farm.registry))
    return "OK"


def _select(names: list[str]) -> list[statistics.Statistic]:
    try:
        return statistics.select(names)
    except KeyError:
        raise MiError(404, "Statistics Not Found") from None


def _values(farm: Farm, chosen: list[statistics.Statistic]) -> Json:
    return statistics.values(farm.segment, farm.registry, farm.bases, chosen)
