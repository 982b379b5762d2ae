"""The life of a segment: made, attached, found stale, in use, removed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import posix_ipc
import pytest

from shm import segment as segment_module
from shm.errors import SegmentError, SegmentInUse
from shm.layout import LAYOUT_VERSION, MAGIC
from shm.locks import LockId
from shm.segment import (
    HALF_MADE_S,
    PROCESSES_BESIDE_WORKERS,
    Segment,
    object_name,
    remove_leftovers,
    remove_stale,
    start_time,
)
from tests.support.request import drop_segment, new_segment
from tests.support.wait import until

SHM = Path("/dev/shm")


def _path(farm: str) -> Path:
    return SHM / object_name(farm).strip("/")


@pytest.fixture
def farm() -> Iterator[str]:
    name = f"t{os.getpid()}-free"
    yield name
    for path in SHM.glob(f"*ds_farm-{name}*"):
        path.unlink()


def _create(farm: str) -> Segment:
    return Segment.create(farm, max_workers=1, max_sets=2, max_destinations=3)


def _patch(farm: str, field: str, value: int) -> None:
    with _path(farm).open("r+b") as file:
        file.seek(FIELD_OFFSETS[field])
        file.write(value.to_bytes(8, "little"))


FIELD_OFFSETS = {"magic": 0, "layout_version": 8, "total_size": 16, "max_sets": 40}
FIELD_OFFSETS |= {"supervisor_pid": 56, "supervisor_start": 64}


# -- made


def test_the_header_of_a_new_segment(segment: Segment) -> None:
    header, layout = segment.header, segment.layout
    assert (header.magic, header.layout_version) == (MAGIC, LAYOUT_VERSION)
    assert header.total_size == layout.total_size == _path(segment.farm).stat().st_size
    assert header.max_processes == 2 + PROCESSES_BESIDE_WORKERS
    assert (header.max_workers, header.max_sets, header.max_destinations) == (2, 4, 8)
    assert header.supervisor_pid == os.getpid()
    assert header.supervisor_start == start_time(os.getpid())
    assert header.generation == header.sets_used == header.destinations_used == 0
    assert abs(header.created_ns - time.time_ns()) < 60e9


def test_farms_have_secrets_of_their_own(segment: Segment, farm: str) -> None:
    other = _create(farm)
    assert len(segment.secret()) == len(other.secret()) == 16
    assert segment.secret() != other.secret()
    drop_segment(other)


def test_nobody_else_may_read_it(segment: Segment) -> None:
    assert _path(segment.farm).stat().st_mode & 0o007 == 0


def test_children_do_not_inherit_the_file(segment: Segment) -> None:
    assert not os.get_inheritable(segment._fd)


def test_it_is_sparse(segment: Segment) -> None:
    large = new_segment(max_workers=32, max_sets=1024, max_destinations=16384)
    try:
        stat = _path(large.farm).stat()
        assert stat.st_size > 70_000_000
        assert stat.st_blocks * 512 < 4_000_000
        large.reserve_counters(3, 10, 100)
        assert _path(large.farm).stat().st_blocks > stat.st_blocks
    finally:
        drop_segment(large)


def test_no_room_is_an_error_with_numbers(segment: Segment) -> None:
    room = os.statvfs("/dev/shm")
    with pytest.raises(SegmentError, match=r"needs \d+ KiB more in /dev/shm, \d+ KiB are free"):
        segment.reserve(0, room.f_blocks * room.f_frsize + (1 << 50))


def test_the_clock_of_stamps_is_the_real_time(segment: Segment) -> None:
    before = time.time_ns()
    stamp = segment.now_ns()
    assert before <= stamp <= time.time_ns()


# -- attached


def test_attached_views_show_what_is_written(segment: Segment) -> None:
    reader = Segment.attach(segment.farm)
    segment.worker(1).requests = 12
    assert reader.worker(1).requests == 12
    assert reader.secret() == segment.secret()
    reader.close()


def test_a_reader_cannot_write(segment: Segment) -> None:
    reader = Segment.attach(segment.farm)
    with pytest.raises(TypeError, match="mapped read-only"):
        reader.worker(0).requests = 1
    with pytest.raises(TypeError, match="mapped read-only"):
        reader.set(0).add("cursor")
    reader.close()


def test_after_closing_there_is_no_access(segment: Segment) -> None:
    reader = Segment.attach(segment.farm)
    view = reader.worker(0)
    reader.close()
    with pytest.raises(IndexError, match="no word at offset"):
        _ = view.requests


def test_no_such_farm(farm: str) -> None:
    with pytest.raises(SegmentError, match=f"no farm named '{farm}' is running on this host"):
        Segment.attach(farm)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("magic", 0, "is not a complete ds_farm segment"),
        ("magic", MAGIC ^ 1, "is not a complete ds_farm segment"),
        (
            "layout_version",
            LAYOUT_VERSION + 1,
            f"has layout version {LAYOUT_VERSION + 1}, this ds_farm has {LAYOUT_VERSION}",
        ),
        ("total_size", 4096, r"expected \d+ bytes, its header says 4096"),
        ("max_sets", 3, r"expected \d+ bytes, its header says \d+"),
        ("max_sets", 2**60, r"expected \d+ bytes, its header says \d+"),
    ],
)
def test_a_foreign_segment_is_refused(
    segment: Segment, field: str, value: int, complaint: str
) -> None:
    _patch(segment.farm, field, value)
    with pytest.raises(SegmentError, match=complaint):
        Segment.attach(segment.farm)


@pytest.mark.parametrize("size", [0, 100, 4096])
def test_a_cut_off_segment_is_refused(segment: Segment, farm: str, size: int) -> None:
    _path(farm).write_bytes(_path(segment.farm).read_bytes()[:size])
    with pytest.raises(SegmentError, match=r"not a complete|the object has"):
        Segment.attach(farm)


# -- in use, stale


def test_a_living_farm_keeps_its_name(segment: Segment) -> None:
    with pytest.raises(SegmentInUse, match=f"is running, its supervisor has pid {os.getpid()}"):
        _create(segment.farm)
    assert segment.header.magic == MAGIC
    with pytest.raises(SegmentInUse):
        remove_stale(segment.farm)


def _dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_segment_of_a_dead_farm_is_replaced(farm: str) -> None:
    old = _create(farm)
    old.worker(0).requests = 99
    _patch(farm, "supervisor_pid", _dead_pid())
    (SHM / f"ds_farm-{farm}.table4").write_bytes(b"x")
    posix_ipc.Semaphore(f"{object_name(farm)}.lock0", posix_ipc.O_CREAT, initial_value=0).close()
    new = _create(farm)
    assert new.worker(0).requests == 0
    assert not (SHM / f"ds_farm-{farm}.table4").exists()
    with new.lock(LockId.PUBLISH) as lock:
        assert lock.holder == os.getpid(), "the dead farm's semaphore is gone"
    old.close()
    drop_segment(new)


def test_a_recycled_pid_deceives_nobody(farm: str) -> None:
    old = _create(farm)
    old.close()
    _patch(farm, "supervisor_start", start_time(os.getpid()) + 1)
    assert remove_stale(farm)
    assert not _path(farm).exists()


def test_two_starts_over_a_stale_segment(farm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second has already found it stale when the first removes it and makes a new one."""
    _create(farm).close()
    _patch(farm, "supervisor_pid", _dead_pid())
    judge = segment_module._refuse_if_alive
    made: list[Segment] = []

    def overtaken(name: str, fd: int) -> None:
        judge(name, fd)
        if not made:
            _path(farm).unlink()
            made.append(_create(farm))

    with monkeypatch.context() as patched:
        patched.setattr(segment_module, "_refuse_if_alive", overtaken)
        with pytest.raises(SegmentInUse):
            remove_stale(farm)
    assert _path(farm).stat().st_ino == os.fstat(made[0]._fd).st_ino
    drop_segment(made[0])


def test_who_judges_a_stale_segment_has_it_alone(farm: str) -> None:
    _create(farm).close()
    _patch(farm, "supervisor_pid", _dead_pid())
    with _path(farm).open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(remove_stale, farm)
            until(lambda: "WAITING" in _locks(os.fstat(other.fileno()).st_ino), "it waits")
            assert not second.done()
            assert _path(farm).exists()
            fcntl.flock(other, fcntl.LOCK_UN)
            assert second.result()


def _locks(inode: int) -> str:
    """Of /proc/locks; those that wait have an arrow."""
    lines = Path("/proc/locks").read_text().splitlines()
    return "\n".join(line.replace("->", "WAITING") for line in lines if f":{inode} " in line)


def test_something_else_under_the_name_is_an_error_that_says_so(farm: str) -> None:
    _path(farm).mkdir()
    try:
        with pytest.raises(SegmentError, match=f"cannot make {_path(farm)}: Is a directory"):
            _create(farm)
    finally:
        _path(farm).rmdir()


def test_half_made_segments(farm: str) -> None:
    path = _path(farm)
    path.write_bytes(bytes(4096))
    with pytest.raises(SegmentInUse, match="is just starting"):
        _create(farm)
    long_ago = time.time() - HALF_MADE_S - 1
    os.utime(path, (long_ago, long_ago))
    made = _create(farm)
    assert made.header.magic == MAGIC
    drop_segment(made)


def test_garbage_under_the_name_does_not_prevent_a_start(farm: str) -> None:
    path = _path(farm)
    path.write_bytes(b"not a segment")
    os.utime(path, (1, 1))
    drop_segment(_create(farm))


def test_leftovers_without_a_segment(farm: str) -> None:
    assert not remove_stale(farm)
    names = [f"ds_farm-{farm}.table1", f"sem.ds_farm-{farm}.lock0"]
    for name in names:
        (SHM / name).write_bytes(b"")
    beside = SHM / f"ds_farm-{farm}2.table1"
    beside.write_bytes(b"")
    assert remove_leftovers(farm)
    assert not any((SHM / name).exists() for name in names)
    assert beside.exists(), "another farm's"
    assert not remove_leftovers(farm)


def test_two_farms_do_not_see_each_other(segment: Segment, farm: str) -> None:
    """Other objects, other locks."""
    other = _create(farm)
    segment.set(0).cursor = 5
    assert other.set(0).cursor == 0
    with segment.lock(LockId.PUBLISH), other.lock(LockId.PUBLISH):
        assert other.lock(LockId.PUBLISH).holder == os.getpid()
    drop_segment(other)


def test_unlinking_leaves_mappings_alone(segment: Segment) -> None:
    segment.unlink()
    segment.unlink()
    segment.worker(0).requests = 3
    assert segment.worker(0).requests == 3


def test_start_times() -> None:
    assert start_time(os.getpid()) > 0
    assert start_time(_dead_pid()) == 0
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=-1)
    assert child.stdin is not None
    assert start_time(child.pid) >= start_time(os.getpid())
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    assert start_time(child.pid) == 0
    child.stdin.close()
    child.wait()
