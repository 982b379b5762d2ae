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
from tests.support.message import Draft, Sip
from tests.support.peer import Peer
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
        assert kills >= 3, "each rank once"
        assert (result.successful, result.failed) == (CALLS, 0), caller.report() + farm.log()
        nothing_is_left(farm)


def test_a_worker_that_was_killed_while_it_left_holds_up_nobody(tmp_path: Path) -> None:
    """New calls could be its own from before it was taken away; nobody waits for its word."""
    with Peer() as callee, Peer() as caller:
        # Nobody answers: a farm that stops would wait for these calls.
        settings = {"farm": {"stop_timeout_s": 1.0}}
        module = MODULE.format(algorithm=4)
        rows = [f"sip:{callee.sent_by}"]
        with Farm(tmp_path, rows, children=2, module=module, settings=settings) as farm:

            def all_arrive(name: str) -> None:
                """Calls of both workers, sent again as callers do until the callee has them."""
                missing = {f"{number}{name}" for number in range(20)}

                def arrive() -> bool:
                    for key in missing:
                        via = f"SIP/2.0/UDP {caller.sent_by};branch=z9hG4bK{key}"
                        caller.send(Draft(via=via, key=key).bytes(), farm.sip)
                    missing.difference_update(
                        Sip.read(each).one("call-id").decode().partition("@")[0]
                        for each in callee.pending()
                    )
                    return not missing

                until(arrive, f"all calls of {name}", timeout_s=10.0)

            all_arrive("before")
            leaving = farm.child(Role.WORKER, 1)
            farm.signal(signal.SIGTTOU)
            until(lambda: "TTOU: 1 workers" in farm.log(), "one worker less")
            os.kill(leaving.pid, signal.SIGKILL)
            until(lambda: f"worker 1[{leaving.pid}] ended" in farm.log(), "its end seen")
            all_arrive("after")
