"""What probing costs, and how evenly it goes.

    python -m benchmarks.probe_bench [--quick] [--destinations 1000] [--interval 5]

Every destination is probed once in each interval and answers.  Looked at from outside: when each
was probed last (the segment says), and the CPU time of the timer process.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.command import JsonOption, QuickOption, console, ended_cleanly, table, write_result
from benchmarks.machine import describe, split_cores
from shm.layout import Role
from tests.farm.probes import seen
from tests.support import process
from tests.support.farm import Farm
from tests.support.uas import Uas, answering
from tests.support.wait import until

GOALS = "goals: seconds differ by less than 20 %, below 3 % of a core (1,000 destinations, 5 s)"

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    destinations: Annotated[
        int, typer.Option(min=10, max=16384, help="All of them answer.")
    ] = 1000,
    interval: Annotated[int, typer.Option(min=1, max=60, help="ds_ping_interval, seconds.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Intervals that are looked at.")] = 3,
    quick: QuickOption = False,
    json: JsonOption = None,
) -> None:
    """How evenly a farm probes its destinations, and what that costs its timer."""
    if quick:
        destinations, interval, rounds = 200, 2, 1
    out = console()
    with (
        ended_cleanly(),
        tempfile.TemporaryDirectory() as directory,
        Uas(answering("200 OK")) as uas,
    ):
        uris = [f"sip:{i}@{uas.peer.sent_by}" for i in range(destinations)]
        settings = {"dispatcher": {"ds_ping_interval": interval, "ds_probing_mode": 1}}
        with Farm(Path(directory), uris, settings=settings) as farm:
            pid = farm.child(Role.TIMER).pid
            until(lambda: all(one.sent for one in seen(farm).values()), "a probe of each", 90)
            lines = [_look(farm, pid, interval) for _ in range(rounds)]
    shown = table("interval", "probes each second", "least / most", "timer, % of a core")
    for number, (counts, share) in enumerate(lines, start=1):
        even = f"{min(counts) / max(counts):.2f}"
        shown.add_row(str(number), " ".join(map(str, counts)), even, f"{100 * share:.1f}")
    out.print(shown)
    out.print(GOALS, soft_wrap=True)
    result = {
        "machine": describe(split_cores()),
        "settings": {"destinations": destinations, "interval": interval, "rounds": rounds},
        "rounds": [{"probes": counts, "cpu_share": share} for counts, share in lines],
    }
    out.print(f"written to {write_result(json, 'probe', result)}")


def _look(farm: Farm, pid: int, interval: int) -> tuple[list[int], float]:
    """Probes of each second of the last interval, and the timer's part of a core meanwhile."""
    start_s, cpu_s = time.monotonic(), process.cpu_s(pid)
    time.sleep(interval + 0.3)
    passed_s, cpu_s = time.monotonic() - start_s, process.cpu_s(pid) - cpu_s
    sent = [one.sent_s for one in seen(farm).values()]
    end_s = start_s + passed_s - 0.05
    seconds = Counter(int(end_s - at_s) for at_s in sent if 0 <= end_s - at_s < interval)
    return [seconds[i] for i in reversed(range(interval))], cpu_s / passed_s


if __name__ == "__main__":
    app()
