"""Tables beside the segment: published by a number, removed when nobody works with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shm.errors import SegmentError
from shm.generation import Generations
from shm.layout import Status
from shm.locks import LockId
from shm.segment import Segment, object_name


def _publish(segment: Segment, table: bytes) -> int:
    with segment.lock(LockId.PUBLISH):
        return Generations(segment).publish(table)


def _current(segment: Segment) -> tuple[int, bytes] | None:
    current = Generations(segment).current()
    if current is None:
        return None
    number, data = current
    with data:
        return number, data[:]


def _path(segment: Segment, number: int) -> Path:
    return Path("/dev/shm") / f"{object_name(segment.farm).strip('/')}.table{number}"


def _reader(segment: Segment, index: int, generation: int, status: Status = Status.READY) -> None:
    view = segment.process(index)
    view.pid, view.status, view.generation = 1000 + index, status, generation


def test_before_the_first_table_there_is_none(segment: Segment) -> None:
    assert _current(segment) is None
    assert Generations(segment).collect() == []


def test_numbers_rise_and_the_newest_is_current(segment: Segment) -> None:
    assert [_publish(segment, b"one"), _publish(segment, b"two, longer")] == [1, 2]
    assert _current(segment) == (2, b"two, longer")
    assert segment.header.generation == 2


def test_publishing_needs_the_lock(segment: Segment) -> None:
    with pytest.raises(RuntimeError, match="publish needs the PUBLISH lock"):
        Generations(segment).publish(b"x")
    assert _current(segment) is None


def test_readers_by_another_mapping(segment: Segment) -> None:
    reader = Segment.attach(segment.farm)
    _publish(segment, b"table")
    assert _current(reader) == (1, b"table")
    reader.close()


def test_nobody_else_may_read_a_table(segment: Segment) -> None:
    _publish(segment, b"attrs may be secret")
    assert _path(segment, 1).stat().st_mode & 0o007 == 0


def test_a_table_of_a_dead_loader_is_replaced(segment: Segment) -> None:
    """It had written the object and not yet told anybody."""
    _path(segment, 1).write_bytes(b"half of a tab")
    assert _publish(segment, b"whole") == 1
    assert _current(segment) == (1, b"whole")


def test_no_room_changes_nothing(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    _publish(segment, b"one")

    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    expected = "no room in /dev/shm for a table of 2 KiB: No space left"
    with pytest.raises(SegmentError, match=expected):
        _publish(segment, bytes(2048))
    assert _current(segment) == (1, b"one")
    assert not _path(segment, 2).exists()
    assert segment.lock(LockId.PUBLISH).holder == 0


def test_tables_go_when_all_readers_have_moved_on(segment: Segment) -> None:
    for number in range(1, 5):
        _publish(segment, b"%d" % number)
    _reader(segment, 0, 2)
    _reader(segment, 5, 4)
    assert Generations(segment).collect() == [1]
    assert [_path(segment, number).exists() for number in (1, 2, 3, 4)] == [False, True, True, True]
    _reader(segment, 0, 4)
    assert Generations(segment).collect() == [2, 3]
    assert Generations(segment).collect() == []
    assert _current(segment) == (4, b"4")


@pytest.mark.parametrize(
    ("pid", "status", "generation", "kept"),
    [
        (1, Status.READY, 1, True),
        (1, Status.STOPPING, 1, True),
        (1, Status.BOOTING, 1, False),
        (0, Status.READY, 1, False),
        (1, Status.READY, 0, False),
    ],
)
def test_who_keeps_a_table(
    segment: Segment, pid: int, status: Status, generation: int, kept: bool
) -> None:
    _publish(segment, b"1")
    _publish(segment, b"2")
    _reader(segment, 0, generation, status)
    segment.process(0).pid = pid
    Generations(segment).collect()
    assert _path(segment, 1).exists() == kept


def test_a_mapping_outlives_the_name(segment: Segment) -> None:
    _publish(segment, b"kept")
    current = Generations(segment).current()
    assert current is not None
    _publish(segment, b"next")
    assert Generations(segment).collect() == [1]
    with current[1] as data:
        assert data[:] == b"kept"


def test_a_reader_overtaken_takes_the_newer_one(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading the number and opening the object that table has gone."""
    _publish(segment, b"1")
    opened = os.open
    moved: list[bool] = []

    def slow(path: str, flags: int) -> int:
        if path.endswith(".table1") and not moved:
            moved.append(True)
            _publish(segment, b"2")
            Generations(segment).collect()
        return opened(path, flags)

    monkeypatch.setattr("shm.generation.os.open", slow)
    assert _current(segment) == (2, b"2")


def test_a_table_removed_by_hand_is_named(segment: Segment) -> None:
    _publish(segment, b"1")
    _path(segment, 1).unlink()
    with pytest.raises(SegmentError, match="table 1 has been removed"):
        _current(segment)


def test_only_tables_of_this_farm_are_collected(segment: Segment) -> None:
    _publish(segment, b"1")
    _publish(segment, b"2")
    beside = Path(f"{_path(segment, 1)}x")
    other = Path("/dev/shm") / f"ds_farm-{segment.farm}x.table1"
    for path in (beside, other):
        path.write_bytes(b"")
    try:
        assert Generations(segment).collect() == [1]
        assert beside.exists()
        assert other.exists()
    finally:
        beside.unlink()
        other.unlink()
