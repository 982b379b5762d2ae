"""TTIN and TTOU: one worker more or less while calls flow, and none of them fails."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from tests.support import counts
from tests.support.command import ds_farm
from tests.support.farm import Farm
from tests.support.sipp import Caller, Destination
from tests.support.wait import until

RATE = 500
CALLS = 8_000


STEPS = (
    (3, signal.SIGTTIN),
    (4, signal.SIGTTIN),
    (3, signal.SIGTTOU),
    (2, signal.SIGTTOU),
    (1, signal.SIGTTOU),
    (2, signal.SIGTTIN),
)


def ranks(farm: Farm) -> list[int]:
    return [worker.rank for worker in farm.workers()]


def traffic(farm: Farm, requests: int) -> list[int]:
    """Wait for that many more requests; what each rank has had of them."""
    before = farm.worker_requests()
    until(lambda: sum(farm.worker_requests()) >= sum(before) + requests, "traffic")
    return [now - then for then, now in zip(before, farm.worker_requests(), strict=True)]


def wait_for_workers(farm: Farm, wanted: int) -> None:
    """Until just these are there, and requests come to no others."""
    until(lambda: ranks(farm) == list(range(wanted)), f"{wanted} workers")
    until(lambda: not any(traffic(farm, 50)[wanted:]), "no traffic for the others")


def test_more_and_fewer_workers_under_traffic(
    tmp_path: Path, destinations: list[Destination]
) -> None:
    rows = [each.uri for each in destinations]
    with (
        Farm(tmp_path, rows, children=2) as farm,
        counts.Watcher(farm) as watcher,
        Caller(tmp_path, farm.sip, CALLS, RATE) as caller,
    ):
        first = [worker.pid for worker in farm.workers()]
        traffic(farm, 100)
        for wanted, number in STEPS:
            farm.signal(number)
            wait_for_workers(farm, wanted)
            # A new worker has its slot before it reads: the others may get to any number first.
            until(lambda: all(traffic(farm, 50)[:wanted]), f"requests at each of {wanted}")  # noqa: B023
        assert caller.running, "the calls were over before the last signal"
        result = caller.wait()
        assert (result.successful, result.failed) == (CALLS, 0), caller.report()
        assert watcher.went_back == []
        assert farm.workers()[0].pid == first[0], "the first worker was never touched"
        now = counts.of(farm)
        assert max(now.requests.values()) - min(now.requests.values()) <= 1, now.requests
        for each in destinations:
            assert each.stop().calls == now.requests[each.uri]


def test_the_number_of_workers_has_limits(tmp_path: Path) -> None:
    settings = {"farm": {"max_children": 2}}
    with Farm(tmp_path, ["sip:127.0.0.1:9"], children=2, settings=settings) as farm:
        farm.signal(signal.SIGTTIN)
        until(lambda: "farm.max_children = 2 is reached" in farm.log(), "a word that it is enough")
        assert ranks(farm) == [0, 1]
        farm.signal(signal.SIGTTOU)
        until(lambda: ranks(farm) == [0], "one worker")
        farm.signal(signal.SIGTTOU)
        until(lambda: "TTOU: one worker is the least" in farm.log(), "a word that one is the least")
        assert ranks(farm) == [0]


def children_command(farm: Farm, *arguments: str) -> subprocess.CompletedProcess[str]:
    return ds_farm("children", *arguments, "-c", farm.config, cwd=farm.directory)


def test_ds_farm_children_sets_their_number(tmp_path: Path) -> None:
    with Farm(tmp_path, [], children=2, settings={"farm": {"max_children": 5}}) as farm:
        assert children_command(farm).stdout == "2 workers, configured 2, at most 5\n"
        for wanted, said in ((5, "2 -> 5 workers\n"), (5, "5 -> 5"), (1, "5 -> 1"), (3, "1 -> 3")):
            done = children_command(farm, str(wanted))
            assert done.returncode == 0, done
            assert done.stdout.startswith(said)
            wait_for_ranks(farm, wanted)
            assert farm.metrics().total("ds_farm_workers_configured") == wanted
        assert children_command(farm).stdout == "3 workers, configured 2, at most 5\n"
        for count in ("6", "0", "-1", "many"):
            done = children_command(farm, count)
            assert done.returncode in (1, 2)
            assert "Traceback" not in done.stderr
        assert "1 to 5 workers" in children_command(farm, "6").stderr
        assert ranks(farm) == [0, 1, 2]


def wait_for_ranks(farm: Farm, wanted: int) -> None:
    until(lambda: ranks(farm) == list(range(wanted)), f"{wanted} workers")
