"""What the dispatcher's functions cost in a routing module, spelling by spelling.

    python -m benchmarks.routes_bench [--quick] [--rounds 50]

The installed compiled modules run each line many times inside of a routing function, for one
request, with no socket and no process between.  The ratio is to the simplest call.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from contextlib import ExitStack
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
from benchmarks.machine import describe, split_cores
from benchmarks.timing import compare
from ds_farm.script._request import Request
from tests.support.request import Script

REFERENCE = "r.ds_select_dst(1, 4)"

# `r` is the request, `one` and `four` are texts that are made anew for each call.
STATEMENTS = (
    REFERENCE,
    'r.ds_select_dst("1", "4")',
    "r.ds_select_dst(one(), four())",
    'r.ds_select_dst("1", "4", "f")',
    'r.ds_select_dst("1", "4", "fuD M 5")',
    'r.ds_select_dst("1,2", "4,0", "fuD M 5, fuS M 2")',
    'r.ds_select_dst("default : 1", "4")',
    'r.ds_select_dst("1", "0")',
    'r.ds_select_dst("1", "1", "u")',
    'r.ds_select_dst("1", "6")',
    'r.ds_select_dst("1", "8")',
    'r.ds_select_domain("1", "4")',
    'r.ds_select_dst("1", "4", "f"); r.ds_next_dst()',
    'r.ds_select_dst("1", "4", "fM5")\nwhile r.ds_next_dst(): pass',
    'r.ds_select_dst("1", "4", "f"); r.avp["ds_dst_failover"]',
    'r.ds_select_dst("1", "4"); r.du',
    'r.ds_is_in_list("192.0.2.16", "5060", "1")',
    'r.ds_count("1", "a", "$var(active)")',
    "r.mf_process_maxfwd_header(10)",
    "r.si",
    'r.hdr("User-Agent")',
)
DESTINATIONS = 16
"""In each of the two sets."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    rounds: Annotated[int, typer.Option(min=1, max=10_000, help="Each line once a round.")] = 30,
    calls: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Calls of a line in one round.")
    ] = 5000,
    quick: QuickOption = False,
    json: JsonOption = None,
) -> None:
    """Cost of ds_select_dst and its like in a routing function, by spelling.

    Two sets of 16 destinations, all active. Shown is the time of one line, and its ratio to the
    simplest call, as the median over the rounds with least and greatest.
    """
    if quick:
        rounds, calls = 3, 500
    out = console()
    with ended_cleanly(), ExitStack() as stack:
        sets = {
            number: [f"sip:192.0.2.{number * 16 + i}:5060" for i in range(DESTINATIONS)]
            for number in (1, 2)
        }
        script = stack.enter_context(Script(sets))
        steps = stack.enter_context(Steps(rounds))
        costs = {text: _costs(script, text, calls) for text in STATEMENTS}
        timed = compare(costs, REFERENCE, rounds, steps)
    lines = table("line", "ns", "/ simplest")
    for text, one in timed.items():
        lines.add_row(text.replace("\n", "; "), f"{one.ns:,.0f}", one.ratio_text)
    show(out, "one line of a routing function", lines)
    written = write_result(
        json,
        "routes",
        {
            "machine": describe(split_cores()),
            "settings": {"rounds": rounds, "calls": calls, "destinations": DESTINATIONS},
            "reference": REFERENCE,
            "lines": [{"line": text, **one.result()} for text, one in timed.items()],
        },
    )
    out.print(f"written to {written}", soft_wrap=True)


def _costs(script: Script, statement: str, calls: int) -> Callable[[], float]:
    """A function that runs the statement so often in one request, and returns ns for each."""

    def measure() -> float:
        def route(request: Request) -> float:
            names = {"r": request, "one": _fresh("1"), "four": _fresh("4")}
            timer = timeit.Timer(statement, globals=names)
            return timer.timeit(calls) * 1e9 / calls

        return script.run(route)

    return measure


def _fresh(text: str) -> Callable[[], str]:
    """Makes an equal text that is another object, as text from a message is."""
    raw = (text + " ").encode()
    return lambda: raw.decode()


if __name__ == "__main__":
    app()
