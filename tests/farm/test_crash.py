"""Done-when 4: SIGKILL to each kind of process in turn under traffic; nothing is lost by it.

500 requests a second with the retransmissions of RFC 3261.  A killed worker takes at most one
batch with it: what it had received and not sent (the caller repeats it), and what it had sent and
not counted.  Sockets, cursor, counters and states are not in any worker, so they go on.
"""

from __future__ import annotations

import signal
from pathlib import Path

from ds_farm.dispatch.model import State
from shm.layout import Role
from tests.support import counts, process
from tests.support.database import Row
from tests.support.farm import Child, Farm
from tests.support.message import Draft, Sip
from tests.support.net import own_host
from tests.support.peer import Peer
from tests.support.sipp import Caller, Destination
from tests.support.wait import until

RATE = 500
CALLS = 5_000
BATCH = 128
"""Datagrams that a worker has in its hands at most: one recvmmsg."""

ROLES = (Role.WORKER, Role.LOADER, Role.TIMER, Role.EXPORTER, Role.CONTROL)


def kill_and_see_it_back(farm: Farm, victim: Child) -> None:
    farm.signal(signal.SIGKILL, victim.pid)
    until(
        lambda: any(
            (child.role, child.rank) == (victim.role, victim.rank)
            and child.pid != victim.pid
            and child.starts > victim.starts
            for child in farm.processes()
        ),
        f"a successor of {victim.role.name} {victim.rank}",
    )


def test_any_process_may_die_under_traffic(tmp_path: Path, destinations: list[Destination]) -> None:
    down = "sip:127.0.0.1:9"
    rows = [*(Row(each.uri) for each in destinations), Row(down, state=1)]
    with Farm(tmp_path, rows, children=3) as farm:
        assert {child.role for child in farm.processes()} == set(ROLES)
        with counts.Watcher(farm) as watcher, Caller(tmp_path, farm.sip, CALLS, RATE) as caller:
            killed = 0
            for role in ROLES:
                ranks = range(farm.children) if role is Role.WORKER else (0,)
                for rank in ranks:
                    counts.wait_for_traffic(farm, RATE // 5)
                    kill_and_see_it_back(farm, farm.child(role, rank))
                    killed += role is Role.WORKER
            assert caller.running, "the calls were over before the last kill"
            result = caller.wait()
        assert (result.successful, result.failed) == (CALLS, 0), caller.report()
        assert watcher.readings > 50
        assert watcher.went_back == []
        assert farm.running

        # Traffic has passed through every successor, and the supervisor has no more children
        # than before.
        assert len(farm.processes()) == farm.children + len(ROLES) - 1
        now = counts.of(farm)
        assert now.states == {each.uri: State.ACTIVE for each in destinations} | {
            down: State.INACTIVE
        }
        assert now.requests[down] == 0
        for each in destinations:
            assert abs(now.requests[each.uri] - each.stop().calls) <= BATCH * killed

        # The cursor counts every selection, so the shares of selections stay exact: only what was
        # selected and not counted by a killed worker is missing.
        selected = [now.selected[each.uri] for each in destinations]
        assert max(selected) - min(selected) <= BATCH * killed + 1
        assert now.cursors[1] >= sum(selected)


def _all_new(farm: Farm, before: set[int]) -> bool:
    now = {worker.pid for worker in farm.workers()}
    return len(now) == len(before) and not now & before


def test_all_workers_at_once(tmp_path: Path, destinations: list[Destination]) -> None:
    rows = [each.uri for each in destinations]
    with Farm(tmp_path, rows) as farm, Caller(tmp_path, farm.sip, 2_000, RATE) as caller:
        counts.wait_for_traffic(farm, 100)
        before = {worker.pid for worker in farm.workers()}
        for pid in before:
            farm.signal(signal.SIGKILL, pid)
        until(lambda: _all_new(farm, before), "a successor for each")
        result = caller.wait()
        assert (result.successful, result.failed) == (2_000, 0), caller.report()


def test_what_waits_in_a_socket_survives_its_worker(tmp_path: Path) -> None:
    """The supervisor holds the sockets: a dead worker's queue waits for its successor, and nobody
    has to repeat anything."""
    with (
        Peer(own_host()) as caller,
        Peer(own_host()) as destination,
        Farm(tmp_path, [f"sip:{destination.sent_by}"]) as farm,
    ):
        before = {worker.pid for worker in farm.workers()}
        for pid in before:
            process.hold(pid)
        sent = [f"q{number}" for number in range(100)]
        for key in sent:
            via = f"SIP/2.0/UDP {caller.sent_by};branch=z9hG4bK{key}"
            caller.send(Draft(via=via, key=key).bytes(), farm.sip)
        for pid in before:
            farm.signal(signal.SIGKILL, pid)
        arrived = [Sip.read(destination.receive()).one("call-id") for _ in sent]
        assert sorted(arrived) == sorted(f"{key}@example.net".encode() for key in sent)


def test_workers_that_die_with_their_hands_full(
    tmp_path: Path, destinations: list[Destination]
) -> None:
    """SIGKILL in the middle of batches: a worker takes at most one batch with it, sent and not
    counted or counted and not sent, and the callers' retransmissions make up for that."""
    kills, rate, calls = 8, 2_500, 25_000
    with (
        Farm(tmp_path, [each.uri for each in destinations], children=2) as farm,
        counts.Watcher(farm) as watcher,
        Caller(tmp_path, farm.sip, calls, rate) as caller,
    ):
        for number in range(kills):
            counts.wait_for_traffic(farm, rate // 5)
            kill_and_see_it_back(farm, farm.child(Role.WORKER, number % farm.children))
        assert caller.running, "the calls were over before the last kill"
        result = caller.wait()
        assert (result.successful, result.failed) == (calls, 0), caller.report()
        assert watcher.went_back == []
        now = counts.of(farm)
        for each in destinations:
            assert abs(now.requests[each.uri] - each.stop().calls) <= BATCH * kills
        assert now.cursors[1] >= calls


def test_a_worker_that_hangs_is_replaced(tmp_path: Path, destinations: list[Destination]) -> None:
    rows = [each.uri for each in destinations]
    settings = {"farm": {"hang_timeout_s": 2.0}}
    with (
        Farm(tmp_path, rows, settings=settings) as farm,
        Caller(tmp_path, farm.sip, 3_000, RATE) as caller,
    ):
        counts.wait_for_traffic(farm, 100)
        victim = farm.child(Role.WORKER, 1)
        process.hold(victim.pid)
        until(lambda: farm.child(Role.WORKER, 1).pid != victim.pid, "the successor", timeout_s=10.0)
        result = caller.wait()
        assert (result.successful, result.failed) == (3_000, 0), caller.report()


def test_the_children_end_with_their_supervisor(tmp_path: Path) -> None:
    farm = Farm(tmp_path, ["sip:127.0.0.1:9"])
    with farm:
        children = [child.pid for child in farm.processes()]
        assert len(children) == farm.children + len(ROLES) - 1
        farm.signal(signal.SIGKILL)
        assert farm.wait() == -signal.SIGKILL
        until(lambda: not farm.session(), "end of all children")
        # What it has left in /dev/shm does not hinder the next start.
        assert farm.shared_objects()
        farm.start()
        assert not {child.pid for child in farm.processes()} & set(children)


def test_a_farm_that_was_killed_whole_starts_again(
    tmp_path: Path, destinations: list[Destination]
) -> None:
    rows = [each.uri for each in destinations]
    with Farm(tmp_path, rows) as farm:
        for number in range(2):
            with Caller(tmp_path, farm.sip, 300, RATE, name=f"caller{number}") as caller:
                result = caller.wait()
                assert (result.successful, result.failed) == (300, 0), caller.report()
            assert counts.of(farm).received >= 300
            farm.kill_all()
            assert farm.shared_objects(), "killed, so nobody has cleared up"
            farm.start()
            assert counts.of(farm).received == 0
