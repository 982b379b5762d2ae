"""Calls for a long time: workers that are killed and tuned, memory that must not grow.

    python -m benchmarks.calls_bench survive [--minutes 5] [--rate 300]
    python -m benchmarks.calls_bench endure [--minutes 60]

``survive`` kills a worker every five seconds and tunes their number from two to six and back, while
SIPp makes calls with a dialog each.  ``endure`` mixes calls that are answered, cancelled, refused
and OPTIONS, with reloads and state changes, and holds the farm's counters against SIPp's.
"""

from __future__ import annotations

import itertools
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.command import (
    JsonOption,
    QuickOption,
    Steps,
    console,
    ended_cleanly,
    show,
    table,
    write_result,
)
from benchmarks.machine import describe, split_cores
from benchmarks.programs import BenchError
from shm.layout import Role
from tests.support.database import Row
from tests.support.farm import Farm
from tests.support.metrics import Metrics
from tests.support.sipp import Callee, Caller, Calls, Destination, Result, Server, variant

ROUTES = """
def request_route(request):
    if not request.mf_process_maxfwd_header(10):
        request.send_reply(483, "Too Many Hops")
    elif request.has_totag():
        if request.loose_route():
            request.t_relay()
        else:
            request.send_reply(404, "Not here")
    else:
        kind = request.ru.partition(":")[2].partition("@")[0]
        if request.method == "INVITE":
            request.record_route()
        if request.ds_select_dst({"ringing": 2, "busy": 3, "options": 4}.get(kind, 1), 4, "f"):
            request.t_relay()
        else:
            request.send_reply(503, "Service Unavailable")
"""

FEWEST, MOST = 2, 6
KILL_EVERY_S = 5.0
TUNE_EVERY_S = 7.0
RELOAD_EVERY_S = 31.0
SAMPLE_EVERY_S = 5.0
PATIENCE_S = 40.0
"""Longer than 64 * T1: nothing comes after that."""

END_S = 90.0
"""After the last call has begun, for retransmissions to end."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)
Minutes = Annotated[float, typer.Option(min=0.05, max=1440, help="How long calls are made.")]


@dataclass(frozen=True, slots=True)
class Load:
    """SIPp's side of one kind of calls."""

    kind: str
    made: int
    successful: int
    failed: int
    retransmissions: int

    @classmethod
    def of(cls, kind: str, result: Result) -> Load:
        return cls(kind, result.calls, result.successful, result.failed, result.retransmissions)


class Every:
    """Does something again and again; nothing while it is not due."""

    def __init__(self, seconds: float, work: Callable[[], object]) -> None:
        self._seconds = seconds
        self._work = work
        self._due_s = time.monotonic() + seconds
        self.times = 0

    def turn(self) -> None:
        if time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + self._seconds
            self._work()
            self.times += 1


@app.command()
def survive(
    minutes: Minutes = 5.0,
    rate: Annotated[int, typer.Option(min=1, max=5000, help="Calls a second.")] = 300,
    quick: QuickOption = False,
    json: JsonOption = None,
) -> None:
    """Kill a worker every five seconds, tune their number from 2 to 6 and back, lose no call."""
    kill_every, tune_every = KILL_EVERY_S, TUNE_EVERY_S
    if quick:
        minutes, rate, kill_every, tune_every = 0.1, 50, 1.0, 0.7
    out = console()
    with ended_cleanly(), ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ds-farm-bench-")))
        # A callee stays for a while, so that it can answer a BYE again (17.2.2, timer J).
        waits = ("</scenario>", '  <timewait milliseconds="8000"/>\n</scenario>')
        scenario = variant(directory, "callee.xml", "dialog_uas.xml", waits)
        callees = [
            stack.enter_context(Callee(directory, f"callee{i}", scenario=scenario))
            for i in range(3)
        ]
        farm = stack.enter_context(
            _farm(directory, [Row(each.uri) for each in callees], FEWEST, "survive")
        )
        calls = round(minutes * 60 * rate)
        caller = stack.enter_context(
            Calls(directory, "dialog_uac.xml", farm.sip, calls, rate, patience_s=PATIENCE_S)
        )
        kills = Every(kill_every, lambda: _kill(farm))
        signals = _tunings()
        tunes = Every(tune_every, lambda: farm.signal(next(signals)))
        _watch(stack, [caller], minutes, [kills, tunes])
        load = Load.of("dialog", caller.wait(END_S))
        report = caller.report() if load.failed else ""
        metrics = farm.metrics()
        open_calls = _until_none_is_open(farm)
        heard = sum(callee.stop(30.0).successful for callee in callees)
    made = table("calls", "number")
    made.add_row("made", f"{load.made:,}")
    made.add_row("successful", f"{load.successful:,}")
    made.add_row("failed", f"{load.failed:,}")
    made.add_row("retransmissions of the caller", f"{load.retransmissions:,}")
    made.add_row("workers killed", str(kills.times))
    made.add_row("changes of their number", str(tunes.times))
    made.add_row("ended well at a callee", f"{heard:,}")
    made.add_row("transactions open at the end", f"{open_calls:g}")
    show(out, f"{rate} calls a second for {minutes:g} minutes, INVITE, re-INVITE and BYE", made)
    if report:
        out.print(report, markup=False)
    _finish(
        out,
        json,
        "survive",
        {
            "settings": {"minutes": minutes, "rate": rate, "kill_every_s": kill_every},
            "load": asdict(load),
            "kills": kills.times,
            "tunings": tunes.times,
            "open": open_calls,
            "retransmissions": metrics.total("ds_farm_worker_retransmissions_total"),
        },
    )


@app.command()
def endure(minutes: Minutes = 60.0, quick: QuickOption = False, json: JsonOption = None) -> None:
    """Mixed calls for an hour: memory stays flat, nothing stays open, all counters add up."""
    sample_every, reload_every = SAMPLE_EVERY_S, RELOAD_EVERY_S
    if quick:
        minutes, sample_every, reload_every = 0.1, 0.5, 1.5
    out = console()
    with ended_cleanly(), ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ds-farm-bench-")))
        servers: dict[str, Server] = {
            "dialog": Callee(directory, "dialog_uas", scenario="dialog_uas.xml"),
            "ringing": Callee(directory, "ringing_uas", scenario="cancel_uas.xml"),
            "busy": Callee(directory, "busy_uas", status=486),
            "options": Destination(directory, "options_uas"),
        }
        for server in servers.values():
            stack.enter_context(server)
        rows = [Row(one.uri, setid=i) for i, one in enumerate(servers.values(), 1)]
        farm = stack.enter_context(_farm(directory, rows, 2, "endure"))
        callers = _mix(stack, directory, farm, minutes)
        memory: dict[int, list[int]] = {}
        work = [
            Every(sample_every, lambda: _sample(farm, memory)),
            Every(reload_every, lambda: farm.signal(signal.SIGHUP)),
        ]
        _watch(stack, list(callers.values()), minutes, work)
        loads = {kind: Load.of(kind, one.wait(END_S)) for kind, one in callers.items()}
        open_calls = _until_none_is_open(farm)
        metrics = farm.metrics()
        reloads = farm.reloads()
        heard = {kind: server.stop().calls for kind, server in servers.items()}
    sums = _requests(metrics, {server.uri: kind for kind, server in servers.items()})
    counted = table("calls", "made", "failed", "counted by the farm", "heard by the callee")
    for kind, load in loads.items():
        counted.add_row(
            kind, f"{load.made:,}", f"{load.failed:,}", f"{sums[kind]:,}", f"{heard[kind]:,}"
        )
    show(out, f"{minutes:g} minutes, {reloads[0]} reloads, {open_calls:g} left open", counted)
    grown = table("process", "KiB at first", "KiB at last", "grown")
    growth: dict[str, list[int]] = {}
    for name, values in _by_title(memory).items():
        part = max(1, len(values) // 5)
        # What is allocated in the first fifth of the time is what it takes to run at all.
        first, last = round(median(values[part : 2 * part])), round(median(values[-part:]))
        growth[name] = [first, last]
        grown.add_row(name, f"{first:,}", f"{last:,}", f"{last - first:+,}")
    show(out, "unique memory, second and last fifth of the time", grown)
    _finish(
        out,
        json,
        "endure",
        {
            "settings": {"minutes": minutes},
            "loads": [asdict(load) for load in loads.values()],
            "counted": sums,
            "heard": heard,
            "open": open_calls,
            "reloads": reloads[0],
            "memory_kib": growth,
        },
    )


def _farm(directory: Path, rows: list[Row], children: int, name: str) -> Farm:
    farm = Farm(
        directory / "farm",
        [],
        children=children,
        module=ROUTES,
        name=f"bench-{os.getpid()}-{name}",
    )
    farm.store(rows)
    return farm


def _mix(
    stack: ExitStack, directory: Path, farm: Farm, minutes: float
) -> dict[str, Calls | Caller]:
    """A caller of each kind."""

    def calls(kind: str, scenario: str, rate: int, status: int = 0) -> Calls:
        own = directory / kind
        named = variant(own, scenario, scenario)
        text = Path(named).read_text().replace("sip:service@", f"sip:{kind}@")
        Path(named).write_text(text.replace("STATUS", str(status)))
        return Calls(own, named, farm.sip, round(60 * minutes * rate), rate)

    made: dict[str, Calls | Caller] = {
        "dialog": calls("dialog", "dialog_uac.xml", 25),
        "ringing": calls("ringing", "cancel_uac.xml", 10),
        "busy": calls("busy", "refused_uac.xml", 10, 486),
    }
    # OPTIONS of the caller that the tests have: its Request-URI has the user "options".
    made["options"] = _options(directory, farm, minutes)
    for one in made.values():
        stack.enter_context(one)
    return made


def _options(directory: Path, farm: Farm, minutes: float) -> Calls:
    own = directory / "options"
    named = variant(own, "options_uac.xml", "options_uac.xml")
    text = Path(named).read_text()
    start = text.index("OPTIONS sip:")
    end = text.index(" SIP/2.0", start)
    changed = text[:start] + "OPTIONS sip:options@[remote_ip]:[remote_port]" + text[end:]
    Path(named).write_text(changed)
    return Calls(own, named, farm.sip, round(60 * minutes * 60), 60)


def _watch(
    stack: ExitStack, callers: list[Calls | Caller], minutes: float, work: list[Every]
) -> None:
    """Until every caller has ended; BenchError if one takes much longer than it should."""
    end_s = time.monotonic() + 60 * minutes + END_S
    whole = max(1, round(minutes))
    steps = stack.enter_context(Steps(whole))
    minute = Every(60.0, lambda: steps.end("a minute"))
    while any(caller.running for caller in callers):
        for each in (*work, minute):
            each.turn()
        time.sleep(0.05)
        if time.monotonic() > end_s:
            raise BenchError("SIPp does not come to an end")


_ranks = itertools.count()


def _kill(farm: Farm) -> None:
    """SIGKILL for the next of the workers that there are."""
    workers = farm.workers()
    if workers:
        os.kill(workers[next(_ranks) % len(workers)].pid, signal.SIGKILL)


def _tunings() -> Iterator[signal.Signals]:
    """From FEWEST workers to MOST and back, for ever."""
    steps = MOST - FEWEST
    return itertools.cycle([signal.SIGTTIN] * steps + [signal.SIGTTOU] * steps)


def _until_none_is_open(farm: Farm) -> float:
    """Transactions without a final response, once they had the time to end."""
    end_s = time.monotonic() + END_S
    while True:
        found = farm.metrics().total("ds_farm_worker_transactions", phase="open")
        if not found or time.monotonic() > end_s:
            return found
        time.sleep(0.2)


def _requests(metrics: Metrics, kinds: dict[str, str]) -> dict[str, int]:
    found = metrics.by("destination", "ds_farm_destination_requests_total")
    return {kind: round(found[uri]) for uri, kind in kinds.items()}


def _sample(farm: Farm, memory: dict[int, list[int]]) -> None:
    """Unique memory of each process now, in KiB."""
    for child in farm.processes():
        try:
            text = Path(f"/proc/{child.pid}/smaps_rollup").read_text()
        except OSError:
            continue
        private = sum(
            int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_")
        )
        memory.setdefault(child.pid, []).append(private)
        _names[child.pid] = (
            f"worker {child.rank}" if child.role is Role.WORKER else child.role.name.lower()
        )


_names: dict[int, str] = {}


def _by_title(memory: dict[int, list[int]]) -> dict[str, list[int]]:
    return {_names[pid]: values for pid, values in memory.items()}


def _finish(out: Console, path: Path | None, name: str, result: dict[str, object]) -> None:
    written = write_result(path, name, {"machine": describe(split_cores()), **result})
    out.print(f"written to {written}", soft_wrap=True)


if __name__ == "__main__":
    app()
