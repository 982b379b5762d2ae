"""What a reload does to calls under way: none may be lost, none may wait for it.

    python -m benchmarks.reload_bench [--quick] [--reloads 20] [--workers 2]

A farm serves an open loop of requests while its whole table is replaced again and again (HUP).
The latencies of the time from each HUP until all workers use the new table are held against those
of an equally long time just before it.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Self

import typer
from rich.console import Console

from benchmarks.command import (
    JsonOption,
    QuickOption,
    RealTimeOption,
    Steps,
    console,
    ended_cleanly,
    show,
    table,
    write_result,
)
from benchmarks.contenders import ROUTES
from benchmarks.machine import Cores, describe, pin_workers, split_cores
from benchmarks.programs import BenchError, Blast, Load, Stage, claim_cores
from shm.layout import Role
from tests.support.database import Row
from tests.support.farm import Farm
from tests.support.net import own_host

GOAL_MS = 5.0
"""No message may be later than this because of a reload of 10,000 destinations."""

SETTLE_S = 0.3
"""After the database was written, before the quiet time begins."""

QUIET_S = 1.0
"""At least so long between a writing of the database and the HUP."""

AFTER_S = 0.05
"""What is late in the moment when the last worker takes the table comes out a little after it."""

POLL_S = 0.002
RELOAD_TIMEOUT_S = 30.0
LIMIT_S = 3600.0
"""The longest that the generator runs; a thousand reloads take half of it."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class Times:
    """One reload, in nanoseconds of CLOCK_MONOTONIC."""

    hup: int
    in_use: int
    """All workers have the new table."""

    @property
    def ms(self) -> float:
        """From the signal to the table."""
        return (self.in_use - self.hup) / 1e6

    @property
    def reload(self) -> tuple[int, int]:
        """The window of requests that the reload may have delayed."""
        return self.hup, self.in_use + int(AFTER_S * 1e9)

    @property
    def quiet(self) -> tuple[int, int]:
        """As long, and just before it."""
        begin, end = self.reload
        length = min(end - begin, int((QUIET_S - SETTLE_S) * 1e9))
        return begin - length, begin


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of the requests that were sent in one or several windows."""

    requests: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


def latencies(values_us: Sequence[int]) -> Latencies:
    """Of at least one request, in microseconds."""
    ordered = sorted(values_us)

    def at(share: float) -> float:
        return ordered[int((len(ordered) - 1) * share)] / 1000

    return Latencies(len(ordered), at(0.5), at(0.99), at(0.999), at(1))


@dataclass(frozen=True, slots=True)
class _Cycle:
    """A reload and the quiet time before it: latencies of the requests sent then."""

    times: Times
    quiet_us: Sequence[int]
    reload_us: Sequence[int]

    @classmethod
    def of(cls, times: Times, calls: Sequence[tuple[int, int]]) -> Self:
        """``calls`` are times of sending and latencies, by time.  BenchError if there are none."""

        def sent_in(window: tuple[int, int]) -> list[int]:
            begin, end = (bisect_left(calls, (at, 0)) for at in window)
            return [us for _, us in calls[begin:end]]

        quiet_us, reload_us = sent_in(times.quiet), sent_in(times.reload)
        if not quiet_us or not reload_us:
            raise BenchError("no request was answered around a reload: is the rate too low?")
        return cls(times, quiet_us, reload_us)

    @property
    def added_ms(self) -> float:
        """How much later the latest message of the reload was than the latest of the quiet time."""
        return (max(self.reload_us) - max(self.quiet_us)) / 1000


@app.command()
def main(
    destinations: Annotated[
        int, typer.Option(min=1, max=16384, help="In the one set of the table.")
    ] = 10_000,
    rate: Annotated[int, typer.Option(min=100, max=50_000, help="Requests a second.")] = 2000,
    reloads: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 10,
    workers: Annotated[int, typer.Option(min=1, max=16, help="SIP workers of the farm.")] = 1,
    real_time: RealTimeOption = False,
    quick: QuickOption = False,
    json: JsonOption = None,
) -> None:
    """What reloads of 10,000 destinations do to 2,000 requests a second.

    Every row changes with every reload. Takes about 1.6 s for each reload, and ends all that it
    has started, also on Ctrl-C. The generator runs before ordinary processes where that is
    permitted (root), so that its own delays are not taken for the farm's.
    """
    reloads = 2 if quick else reloads
    out = console()
    with ended_cleanly(), ExitStack() as stack:
        cores = split_cores()
        stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores.load)
        machine = describe(cores)
        steps = stack.enter_context(Steps(reloads + 1))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ds-farm-bench-")))
        stage = Stage(own_host())
        steps.begin("starting the farm")
        farm = _start(directory / "farm", stage, destinations, workers, cores, stack)
        steps.end("started the farm")
        trace = directory / "trace"
        pids = tuple(child.pid for child in farm.workers())
        if real_time:
            claim_cores(pids)
        # It is ended as soon as the last reload is over: the time given is a limit.
        limit_s = min(LIMIT_S, 5 + reloads * (QUIET_S + RELOAD_TIMEOUT_S))
        blast = Blast(
            stage, farm.sip, pids, seconds=limit_s, rate=rate, trace=trace, real_time=True
        )
        stack.callback(blast.close)
        times = []
        for number in range(1, reloads + 1):
            steps.begin(f"reload {number}")
            times.append(_reload(farm, _rows(stage.uris(destinations), number)))
            steps.end(f"reload {number}: {times[-1].ms:.0f} ms")
        load = blast.stop()
        calls = _read_trace(trace)
    cycles = [_Cycle.of(each, calls) for each in times]
    result = _result(cycles, load)
    remarks = [] if blast.is_real_time else ["the generator had no priority: not permitted here"]
    _show(out, cycles, result, cores, remarks)
    settings = {
        "destinations": destinations,
        "rate": rate,
        "reloads": reloads,
        "workers": workers,
        "real_time": real_time,
        "goal_ms": GOAL_MS,
    }
    written = write_result(
        json,
        "reload",
        {"machine": machine, "settings": settings, "remarks": remarks, **result},
    )
    out.print(f"written to {written}", soft_wrap=True)


def _rows(uris: Sequence[str], number: int) -> list[Row]:
    """A table in which every row differs from that of the last reload."""
    return [Row(uri, attrs=f"reload={number}") for uri in uris]


def _start(
    directory: Path,
    stage: Stage,
    destinations: int,
    workers: int,
    cores: Cores,
    stack: ExitStack,
) -> Farm:
    farm = Farm(
        directory,
        _rows(stage.uris(destinations), 0),
        children=workers,
        module=ROUTES,
        name=f"bench-{os.getpid()}-reload",
    )
    try:
        stack.enter_context(farm)
    except AssertionError as error:
        raise BenchError(str(error)) from None
    pin_workers((child.pid for child in farm.workers()), cores)
    return farm


def _reload(farm: Farm, rows: Sequence[Row]) -> Times:
    """Change the database, be quiet, send HUP, wait for the workers.  BenchError."""
    farm.store(rows)
    time.sleep(QUIET_S)
    with farm.segment() as segment:
        header = segment.header
        slots = [segment.process(i) for i in range(header.max_processes)]
        workers = [slot for slot in slots if slot.role == Role.WORKER and slot.pid]
        before, failed = header.generation, header.reloads_failed
        hup = time.monotonic_ns()
        farm.signal(signal.SIGHUP)
        while header.generation == before or any(
            slot.generation != header.generation for slot in workers
        ):
            if header.reloads_failed > failed or not farm.running:
                raise BenchError(f"the reload failed:\n{farm.log()[-2000:]}")
            if time.monotonic_ns() - hup > RELOAD_TIMEOUT_S * 1e9:
                raise BenchError(f"the reload was not over after {RELOAD_TIMEOUT_S:g} s")
            time.sleep(POLL_S)
        times = Times(hup, time.monotonic_ns())
    time.sleep(AFTER_S)
    return times


def _result(cycles: Sequence[_Cycle], load: Load) -> dict[str, object]:
    """The measured part of the result file."""
    added = [each.added_ms for each in cycles]
    return {
        "requests": {
            key: getattr(load, key) for key in ("sent", "answered", "rejected", "lost", "done")
        },
        "quiet": asdict(latencies([us for each in cycles for us in each.quiet_us])),
        "reload": asdict(latencies([us for each in cycles for us in each.reload_us])),
        "added_ms": {
            "median": round(median(added), 3),
            "least": round(min(added), 3),
            "greatest": round(max(added), 3),
        },
        "cycles": [
            {
                "reload_ms": round(each.times.ms, 3),
                "quiet": asdict(latencies(each.quiet_us)),
                "reload": asdict(latencies(each.reload_us)),
                "added_ms": round(each.added_ms, 3),
            }
            for each in cycles
        ],
    }


def _read_trace(path: Path) -> list[tuple[int, int]]:
    """When each call was sent (ns) and its latency (us), by time."""
    with path.open() as lines:
        pairs = (line.split() for line in lines)
        return sorted((int(when), int(us)) for when, us in pairs)


def _show(
    out: Console,
    cycles: Sequence[_Cycle],
    result: Mapping[str, Any],
    cores: Cores,
    remarks: Sequence[str],
) -> None:
    heads = ("number", "p50", "p99", "p99.9", "max")
    numbers = table("requests sent", *heads)
    for name, key in (("just before a HUP", "quiet"), ("from HUP to new table", "reload")):
        one = result[key]
        numbers.add_row(
            name,
            f"{one['requests']:,}",
            *(f"{one[at]:.2f}" for at in ("p50_ms", "p99_ms", "p999_ms", "max_ms")),
        )
    show(out, f"latency in ms; {cores.text}", numbers)
    requests, added = result["requests"], result["added_ms"]
    out.print(
        f"requests: {requests['sent']:,} sent, {requests['answered']:,} answered, "
        f"{requests['rejected']} rejected, {requests['lost']} lost"
    )
    out.print(
        f"a reload took {median(each.times.ms for each in cycles):.0f} ms; it added to the latest "
        f"message {added['median']:.2f} ms (median of {len(cycles)}; {added['least']:.2f} to "
        f"{added['greatest']:.2f}); goal {GOAL_MS:g} ms",
        soft_wrap=True,
    )
    for remark in remarks:
        out.print(f"note: {remark}", soft_wrap=True)


if __name__ == "__main__":
    app()
