"""The farm against a bare reflector and Debian's kamailio: CPU time for a forwarded OPTIONS, and
for a call.

    python -m benchmarks.farm_bench [--quick] [--only farm*] [--rounds 7]

All contenders run beside each other, all but one of them idle, and are measured in turn, round
after round.  `README.md` has the method and the format of the result.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

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
from benchmarks.contenders import Case, Contender, start
from benchmarks.kamailio import find_kamailio
from benchmarks.machine import Cores, describe, split_cores
from benchmarks.programs import BenchError, Blast, Load, Stage, claim_cores
from benchmarks.ratios import Cost, cost, ratios, typical
from tests.support.net import own_host

MANY = 10_000
QUICK = {"rounds": 1, "seconds": 0.3, "warm_up": 0.1}

# Neighbours in a round are what is compared most.
CASES = (
    Case("reflector"),
    Case("farm"),
    Case("farm", form="script"),
    Case("farm", form="converted"),
    Case("kamailio"),
    Case("farm", destinations=MANY),
    Case("kamailio", destinations=MANY),
    Case("reflector", workers=2),
    Case("farm", workers=2),
    Case("kamailio", workers=2),
    Case("farm", workers=2, destinations=MANY),
    Case("farm", stateful=True),
    Case("kamailio", stateful=True),
    Case("farm", workers=2, stateful=True),
    Case("reflector", method="INVITE"),
    Case("farm", stateful=True, method="INVITE"),
    Case("kamailio", stateful=True, method="INVITE"),
)
RATIO_HEADS = {
    "reflector": "/ reflector",
    "kamailio": "/ kamailio",
    "few": "/ 4 dest.",
    "one_worker": "/ 1 worker",
    "by_hand": "/ by hand",
}

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only these cases; * stands for anything; may be repeated. Cases: "
            + ", ".join(case.name for case in CASES)
            + ".",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="How often each is measured.")] = 9,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=600, help="Measured time of one case in one round.")
    ] = 1.0,
    warm_up: Annotated[
        float, typer.Option(min=0, max=60, help="Seconds of load before it that do not count.")
    ] = 0.2,
    window: Annotated[
        int, typer.Option(min=1, max=30000, help="Requests in flight (closed loop).")
    ] = 128,
    real_time: RealTimeOption = False,
    quick: QuickOption = False,
    json: JsonOption = None,
) -> None:
    """CPU time of a forwarded OPTIONS and its 200, or of a call: farm, bare reflector, kamailio.

    Workers have half of the processor cores, everything else the other half. Each round measures
    every case once; shown are medians of the rounds and of the ratios within a round. Takes
    about (seconds + 0.5) x rounds x cases, and ends all that it has started, also on Ctrl-C.
    """
    if quick:
        rounds, seconds, warm_up = int(QUICK["rounds"]), QUICK["seconds"], QUICK["warm_up"]
    out = console()
    with ended_cleanly(), ExitStack() as stack:
        cases, remarks = _choose(only or [])
        cores = split_cores()
        stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores.load)  # what is started from here on inherits it
        remarks += _remarks_on(cores)
        machine = describe(cores)
        stage = Stage(own_host())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ds-farm-bench-")))
        steps = stack.enter_context(Steps(len(cases) * (rounds + 1)))
        contenders = [_start(case, stage, cores, directory, stack, steps) for case in cases]
        if real_time:
            claim_cores(pid for each in contenders for pid in each.pids)
        loads: dict[Case, list[Load]] = {case: [] for case in cases}
        for number in range(1, rounds + 1):
            for each in contenders:
                steps.begin(f"round {number}: {each.case.name}")
                blast = Blast(
                    stage,
                    each.proxy,
                    each.pids,
                    seconds=seconds,
                    warm_up=warm_up,
                    window=window,
                    method=each.case.method,
                    real_time=real_time,
                )
                load = blast.finish()
                loads[each.case].append(load)
                steps.end(f"round {number}: {_line(each.case, load)}")
    costs = {case: [cost(case, load) for load in each] for case, each in loads.items()}
    remarks += _losses(loads)
    _show(out, costs, cores, remarks)
    settings = {
        "rounds": rounds,
        "seconds": seconds,
        "warm_up": warm_up,
        "window": window,
        "real_time": real_time,
    }
    written = write_result(
        json,
        "farm",
        {
            "machine": machine,
            "settings": settings,
            "remarks": remarks,
            "cases": [_case_result(case, loads[case], costs) for case in costs],
        },
    )
    out.print(f"written to {written}", soft_wrap=True)


def _choose(patterns: Sequence[str]) -> tuple[list[Case], list[str]]:
    """The cases that are wanted and can run, and remarks on those that cannot.  BenchError."""
    for pattern in patterns:
        if not any(fnmatchcase(case.name, pattern) for case in CASES):
            names = ", ".join(case.name for case in CASES)
            raise BenchError(f"--only {pattern}: there is no such case; there are {names}")
    wanted = [
        case
        for case in CASES
        if not patterns or any(fnmatchcase(case.name, pattern) for pattern in patterns)
    ]
    if find_kamailio() is None and any(case.kind == "kamailio" for case in wanted):
        wanted = [case for case in wanted if case.kind != "kamailio"]
        if not wanted:
            raise BenchError("kamailio is not installed: apt-get install kamailio")
        return wanted, ["kamailio is not installed and was left out: apt-get install kamailio"]
    return wanted, []


def _remarks_on(cores: Cores) -> list[str]:
    if set(cores.proxy) & set(cores.load):
        return ["there is one core only: workers and load share it, and rates mean nothing"]
    if len(cores.proxy) < 2:
        return ["two workers share a core: their rate says nothing, their CPU time does"]
    return []


def _start(
    case: Case, stage: Stage, cores: Cores, directory: Path, stack: ExitStack, steps: Steps
) -> Contender:
    steps.begin(f"starting {case.name}")
    contender = start(case, stage, cores, directory, stack)
    steps.end(f"started {case.name}")
    return contender


def _line(case: Case, load: Load) -> str:
    each = cost(case, load)
    return f"{case.name}: {each.cpu_us:.2f} us a transaction, {each.per_second:,.0f}/s"


def _losses(loads: dict[Case, list[Load]]) -> list[str]:
    """What should not be: then the numbers are not to be trusted."""
    return [
        f"{case.name}: {count} of {sum(load.sent for load in each)} requests {what}"
        for case, each in loads.items()
        for what, count in (
            ("lost", sum(load.lost for load in each)),
            ("rejected", sum(load.rejected for load in each)),
        )
        if count
    ]


def _case_result(
    case: Case, loads: Sequence[Load], costs: dict[Case, list[Cost]]
) -> dict[str, object]:
    return {
        "name": case.name,
        **asdict(case),
        "median": _rounded(typical(costs[case])),
        "ratios": {
            name: {
                "to": one.to,
                "median": round(one.median, 4),
                "least": round(one.least, 4),
                "greatest": round(one.greatest, 4),
            }
            for name, one in ratios(case, costs).items()
        },
        "rounds": [
            _rounded(each) | {"load": asdict(load)}
            for each, load in zip(costs[case], loads, strict=True)
        ],
    }


def _rounded(each: Cost) -> dict[str, object]:
    return {key: round(value, 3) for key, value in asdict(each).items()}


def _show(
    out: Console, costs: dict[Case, list[Cost]], cores: Cores, remarks: Sequence[str]
) -> None:
    heads = ("CPU us", "user", "system", "per s", "busy", "load", "p50", "p90", "p99")
    numbers = table("case", *heads)
    compared = table("case", *RATIO_HEADS.values())
    for case, each in costs.items():
        one = typical(each)
        numbers.add_row(
            case.name,
            *(f"{value:.2f}" for value in (one.cpu_us, one.user_us, one.system_us)),
            f"{one.per_second:,.0f}",
            *(f"{value:.0%}" for value in (one.busy, one.load_busy)),
            *(f"{value / 1000:.2f}" for value in (one.p50_us, one.p90_us, one.p99_us)),
        )
        found = ratios(case, costs)
        compared.add_row(
            case.name, *(found[name].text if name in found else "" for name in RATIO_HEADS)
        )
    show(out, f"OPTIONS and its 200, latency in ms; {cores.text}", numbers)
    show(out, "CPU us of a case / that of another: median, least-greatest of the rounds", compared)
    for remark in remarks:
        out.print(f"note: {remark}", soft_wrap=True)


if __name__ == "__main__":
    app()
