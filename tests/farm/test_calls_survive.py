"""Calls under way while workers come, go and die."""

from __future__ import annotations

import itertools
import os
import signal
import time
from pathlib import Path

from shm.layout import Role
from tests.farm.test_calls import MODULE, nothing_is_left
from tests.support.farm import Farm
from tests.support.sipp import Callee, Calls
from tests.support.wait import until

CALLS = 600
RATE = 60


def pause(caller: Calls, seconds: float) -> None:
    """Wait so long, or until the caller has ended."""
    end_s = time.monotonic() + seconds
    until(lambda: time.monotonic() > end_s or not caller.running, "a pause")


def test_tuning_the_number_of_workers_loses_no_call(tmp_path: Path) -> None:
    """2 to 5 workers and back, every half second one more or less."""
    with (
        Callee(tmp_path, "callee") as callee,
        Farm(tmp_path, [callee.uri], children=2, module=MODULE.format(algorithm=4)) as farm,
        Calls(tmp_path, "call_uac.xml", farm.sip, CALLS, RATE) as caller,
    ):
        steps = itertools.cycle([signal.SIGTTIN] * 3 + [signal.SIGTTOU] * 3)
        changes = 0
        while caller.running:
            farm.signal(next(steps))
            changes += 1
            pause(caller, 0.5)
        result = caller.wait()
        assert changes > 10
        assert (result.successful, result.failed) == (CALLS, 0), caller.report() + farm.log()
        nothing_is_left(farm)


def test_a_killed_worker_costs_a_retransmission(tmp_path: Path) -> None:
    """A worker that is killed loses its transactions; retransmissions make them again."""
    with (
        Callee(tmp_path, "callee") as callee,
        Farm(tmp_path, [callee.uri], children=3, module=MODULE.format(algorithm=4)) as farm,
        Calls(tmp_path, "call_uac.xml", farm.sip, CALLS, RATE) as caller,
    ):
        ranks = itertools.cycle(range(3))
        kills = 0
        while caller.running:
            os.kill(farm.child(Role.WORKER, next(ranks)).pid, signal.SIGKILL)
            kills += 1
            pause(caller, 1.0)
            until(lambda: len(farm.workers()) == 3, "three workers again")
        result = caller.wait()
        assert kills > 5
        assert (result.successful, result.failed) == (CALLS, 0), caller.report() + farm.log()
        nothing_is_left(farm)
