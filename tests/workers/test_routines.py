"""When startup and timer routes run, with a clock set by hand."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from ds_farm.script.background import Background, Surroundings, TimerRoute
from tests.support.request import Script
from workers.process import ProcessContext
from workers.routines import Routines

S = 1_000_000_000


@pytest.fixture
def surroundings() -> Iterator[Surroundings]:
    with Script({}) as script:
        yield Surroundings(script.registry)


def _counting(request: Background) -> None:
    request.update_stat("runs")


def _raising(request: Background) -> None:
    request.update_stat("raised")
    raise ValueError("no such thing")


def _context(starts: int) -> ProcessContext:
    return cast(ProcessContext, SimpleNamespace(view=SimpleNamespace(starts=starts)))


def test_each_runs_when_its_interval_is_over(surroundings: Surroundings) -> None:
    timers = (TimerRoute("often", 0.5, _counting), TimerRoute("seldom", 2.0, _raising))
    routines = Routines(surroundings, timers, None, 10 * S)
    assert routines.next_ns == 10.5 * S
    stat, seen = surroundings.stat, []
    for tick in range(100, 141):
        routines.turn(tick * S // 10)
        seen.append((stat.get("runs", 0), stat.get("raised", 0)))
    assert [runs for runs, _ in seen] == [tick // 5 for tick in range(41)]
    assert [raised for _, raised in seen] == [tick // 20 for tick in range(41)]


def test_what_was_missed_is_not_made_up_for(surroundings: Surroundings) -> None:
    routines = Routines(surroundings, (TimerRoute("x", 1.0, _counting),), None, 0)
    routines.turn(int(7.5 * S))
    assert surroundings.stat == {"runs": 1}
    assert routines.next_ns == 8 * S, "the rhythm is kept"


def test_one_that_raises_holds_up_nobody(
    surroundings: Surroundings, caplog: pytest.LogCaptureFixture
) -> None:
    timers = (TimerRoute("bad", 1.0, _raising), TimerRoute("good", 1.0, _counting))
    routines = Routines(surroundings, timers, _raising, 0)
    with caplog.at_level(logging.ERROR):
        routines.start(_context(starts=1))
        routines.turn(S)
    assert surroundings.stat == {"raised": 2, "runs": 1}
    assert [record.getMessage() for record in caplog.records] == [
        "startup_route failed",
        "timer_route_bad failed",
    ]


def test_a_successor_does_not_start_up_again(surroundings: Surroundings) -> None:
    routines = Routines(surroundings, (), _counting, 0)
    routines.start(_context(starts=2))
    assert surroundings.stat == {}
    routines.start(_context(starts=1))
    assert surroundings.stat == {"runs": 1}
    assert routines.next_ns is None
