"""What a scrape of 10,000 destinations takes, and whether the SIP workers feel it.

    python -m benchmarks.scrape_bench [--destinations 10000] [--workers 8] [--rate 1000]

An open loop of requests runs through a farm twice: undisturbed, and while /metrics is read each
second.  Shown are the time of a scrape and the workers' CPU time for a request in either part.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

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
from benchmarks.contenders import ROUTES
from benchmarks.machine import describe, split_cores
from benchmarks.programs import BenchError, Blast, Stage
from tests.support.farm import Farm
from tests.support.metrics import fetch
from tests.support.net import own_host

EVERY_S = 1.0
SCRAPE_TIMEOUT_S = 60.0
QUICK = {"destinations": 200, "workers": 2, "rate": 200, "seconds": 1.0, "rounds": 1}

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class Part:
    """One run of the load."""

    scraped: bool
    cpu_us: float
    """Of all workers, for a request and its response."""

    requests: int
    lost: int
    scrapes_s: tuple[float, ...]
    bytes: int


@app.command()
def main(
    destinations: Annotated[int, typer.Option(min=1, max=100_000)] = 10_000,
    workers: Annotated[int, typer.Option(min=1, max=32)] = 8,
    rate: Annotated[int, typer.Option(min=1, help="Requests a second.")] = 1000,
    seconds: Annotated[float, typer.Option(min=0.5, help="Of each part.")] = 5.0,
    rounds: Annotated[int, typer.Option(min=1, help="Pairs of parts.")] = 5,
    quick: QuickOption = False,
    json: JsonOption = None,
) -> None:
    """Time of a scrape, and the workers' CPU time with and without scrapes each second."""
    if quick:
        destinations, workers, rate = (int(QUICK[k]) for k in ("destinations", "workers", "rate"))
        seconds, rounds = QUICK["seconds"], int(QUICK["rounds"])
    out = console()
    with ended_cleanly(), ExitStack() as stack:
        stage = Stage(own_host())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ds-farm-bench-")))
        steps = stack.enter_context(Steps(2 * rounds + 1))
        steps.begin("starting")
        farm = Farm(
            directory,
            stage.uris(destinations),
            children=workers,
            module=ROUTES,
            name=f"bench-{os.getpid()}-scrape",
        )
        try:
            stack.enter_context(farm)
        except AssertionError as error:
            raise BenchError(str(error)) from None
        steps.end("started")
        parts: list[Part] = []
        for number in range(rounds):
            for scraped in (False, True):
                steps.begin(f"round {number + 1}, {'scraped' if scraped else 'undisturbed'}")
                parts.append(_part(farm, stage, rate, seconds, scraped))
                steps.end(f"round {number + 1}: {parts[-1].cpu_us:.1f} us a request")
    quiet = [part.cpu_us for part in parts if not part.scraped]
    busy = [part.cpu_us for part in parts if part.scraped]
    ratios = [mine / its for mine, its in zip(busy, quiet, strict=True)]
    scrapes = [each for part in parts for each in part.scrapes_s]
    made = table("what", "median", "least", "greatest")
    made.add_row("a scrape, s", *(f"{f(scrapes):.2f}" for f in (median, min, max)))
    for name, values in (("CPU us, undisturbed", quiet), ("CPU us, scraped", busy)):
        made.add_row(name, *(f"{f(values):.1f}" for f in (median, min, max)))
    made.add_row("scraped / undisturbed", *(f"{f(ratios):.2f}" for f in (median, min, max)))
    size = max(part.bytes for part in parts)
    show(
        out,
        f"{destinations:,} destinations, {workers} workers, {rate:,} requests a second, "
        f"{size / 1e6:.1f} MB a scrape",
        made,
    )
    lost = sum(part.lost for part in parts)
    if lost:
        out.print(f"note: {lost} requests lost", soft_wrap=True)
    written = write_result(
        json,
        "scrape",
        {
            "machine": describe(split_cores()),
            "settings": {
                "destinations": destinations,
                "workers": workers,
                "rate": rate,
                "seconds": seconds,
            },
            "parts": [asdict(part) for part in parts],
            "ratio": round(median(ratios), 4),
        },
    )
    out.print(f"written to {written}", soft_wrap=True)


def _part(farm: Farm, stage: Stage, rate: int, seconds: float, scraped: bool) -> Part:
    pids = tuple(child.pid for child in farm.workers())
    blast = Blast(stage, farm.sip, pids, seconds=seconds, warm_up=0.3, rate=rate)
    scrapes: list[float] = []
    size = 0
    end_s = time.monotonic() + seconds + 0.3
    try:
        while scraped and time.monotonic() + EVERY_S / 2 < end_s:
            begin_s = time.monotonic()
            size = len(fetch(farm.metrics_address, timeout_s=SCRAPE_TIMEOUT_S))
            scrapes.append(time.monotonic() - begin_s)
            time.sleep(max(0.0, EVERY_S - scrapes[-1]))
        load = blast.finish()
    except BaseException:
        blast.close()
        raise
    return Part(scraped, load.cpu.ns / 1000 / load.done, load.sent, load.lost, tuple(scrapes), size)


if __name__ == "__main__":
    app()
