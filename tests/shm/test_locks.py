"""Locks outlive their holders: SIGKILL at each point of taking and giving back (shm/locks.py).

A child that dies at a point is one that does by hand what `Lock` does until there.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import posix_ipc
import pytest

from shm import locks
from shm._native import FIELDS
from shm.errors import LockTimeout
from shm.locks import LockId
from shm.segment import Segment, object_name
from tests.support.wait import until

LOCK = LockId.PUBLISH


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "WAIT_S", 0.01)
    monkeypatch.setattr(locks, "ORPHAN_S", 0.1)


@pytest.fixture
def children() -> Iterator[list[int]]:
    """Pids that are ended and reaped afterwards."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _fork(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _semaphore(segment: Segment) -> posix_ipc.Semaphore:
    name = f"{object_name(segment.farm)}.lock{int(LOCK)}"
    return posix_ipc.Semaphore(name, posix_ipc.O_CREAT, initial_value=1)


def _word(segment: Segment) -> int:
    return segment.header.offset("lock_holder", LOCK)


# What a process has done of taking and giving back the lock when it is killed.


def _waited(segment: Segment) -> None:
    _semaphore(segment).acquire()
    _die()


def _holds(segment: Segment) -> None:
    segment.lock(LOCK).acquire()
    _die()


def _cleared(segment: Segment) -> None:
    segment.lock(LOCK).acquire()
    segment.memory.swap(_word(segment), os.getpid(), 0)
    _die()


def _took_over(segment: Segment) -> None:
    """The word without the semaphore, as one has it who took over from a dead holder."""
    _semaphore(segment).acquire()
    segment.memory.store(_word(segment), os.getpid())
    _die()


def _gave_back(segment: Segment) -> None:
    lock = segment.lock(LOCK)
    lock.acquire()
    lock.release()
    _die()


POINTS = {
    "between sem_wait and its pid": (_waited, 1),
    "while it holds": (_holds, 1),
    "between clearing its pid and sem_post": (_cleared, 1),
    "holding what it took over": (_took_over, 1),
    "after giving back": (_gave_back, 0),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_holder_killed(segment: Segment, point: str) -> None:
    die, recoveries = POINTS[point]
    pid = _fork(lambda: die(segment))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    repaired = []
    lock = segment.lock(LOCK)
    lock.acquire(5, lambda: repaired.append(lock.holder))
    assert lock.holder == os.getpid()
    assert repaired == [os.getpid()] * recoveries, "repaired once, with the lock held"
    assert segment.header.words("lock_recoveries")[LOCK] == recoveries
    lock.release()
    assert lock.holder == 0
    assert _semaphore(segment).value == 1, "the count is restored"


def test_a_zombie_is_dead(segment: Segment) -> None:
    pid = _fork(lambda: _holds(segment))
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    lock = segment.lock(LOCK)
    lock.acquire(5)
    lock.release()
    os.waitpid(pid, 0)


def test_a_slow_one_that_was_passed_over_waits_again(segment: Segment, children: list[int]) -> None:
    """Stopped between sem_wait and its pid: another takes the lock, and there are not two."""
    lock = segment.lock(LOCK)

    def slow() -> None:
        _semaphore(segment).acquire()
        os.kill(os.getpid(), signal.SIGSTOP)
        # What acquire does from here on: the swap fails, it waits like everybody.
        if segment.memory.swap(_word(segment), 0, os.getpid()):
            os._exit(7)
        segment.lock(LOCK).acquire(5)
        segment.set(0).add("cursor")
        segment.lock(LOCK).release()
        os._exit(0)

    pid = _fork(slow)
    children.append(pid)
    os.waitpid(pid, os.WUNTRACED)
    lock.acquire(5)
    os.kill(pid, signal.SIGCONT)
    time.sleep(0.05)
    assert segment.set(0).cursor == 0, "it waits"
    lock.release()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    children.remove(pid)
    assert code == 0
    assert segment.set(0).cursor == 1
    assert _semaphore(segment).value == 1


def test_a_living_holder_is_waited_for_and_named(segment: Segment, children: list[int]) -> None:
    def hold() -> None:
        segment.lock(LOCK).acquire()
        signal.pause()

    children.append(_fork(hold))
    lock = segment.lock(LOCK)
    until(lambda: lock.holder == children[0], "the child's hold")
    expected = rf"lock PUBLISH is held by pid {children[0]} for more than 0\.3 s"
    with pytest.raises(LockTimeout, match=expected):
        lock.acquire(0.3)
    assert lock.holder == children[0]
    assert segment.header.words("lock_recoveries")[LOCK] == 0


def test_only_the_holder_gives_back(segment: Segment) -> None:
    lock = segment.lock(LOCK)
    with pytest.raises(RuntimeError, match=f"lock PUBLISH is not held by pid {os.getpid()}"):
        lock.release()
    assert _semaphore(segment).value == 1


def test_an_exception_gives_the_lock_back(segment: Segment) -> None:
    with pytest.raises(ValueError, match="inside"), segment.lock(LOCK):
        raise ValueError("inside")
    assert segment.lock(LOCK).holder == 0
    with segment.lock(LOCK):
        pass


def test_every_lock_has_a_word() -> None:
    assert all(0 <= lock < FIELDS["Header"]["lock_holder"][1] for lock in LockId)


def test_never_two_holders_while_holders_are_killed(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three processes count in two steps under the lock, five more die holding it."""
    # A living one that stalls for ORPHAN_S is passed over, which counts as a recovery, too.
    monkeypatch.setattr(locks, "ORPHAN_S", 2.0)
    view = segment.set(0)

    def work() -> None:
        lock = segment.lock(LOCK)
        while view.cursor < 3000:
            lock.acquire(20)
            if segment.set(3).cursor != 0:
                os._exit(9)  # somebody is inside
            segment.set(3).cursor = os.getpid()
            value = view.cursor
            view.cursor = value + 1
            segment.set(3).cursor = 0
            lock.release()

    def killed() -> None:
        lock = segment.lock(LOCK)
        lock.acquire(20)
        _die()

    pids = [_fork(work) for _ in range(3)]
    for _ in range(5):
        pid = _fork(killed)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert codes == [0, 0, 0]
    assert 3000 <= view.cursor <= 3002
    with segment.lock(LOCK):  # the last one may have died after all others had ended
        assert segment.header.words("lock_recoveries")[LOCK] == 5
