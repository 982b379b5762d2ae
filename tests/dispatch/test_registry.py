"""Slots, states, cursors and counters over reloads (decision 21), through a real segment."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ds_farm.dispatch.model import DestinationSet, Discard, State
from ds_farm.dispatch.registry import REST_NS, Registry
from ds_farm.dispatch.state import Event
from shm.errors import SegmentError
from shm.layout import Role, Status
from shm.locks import LockId
from shm.segment import Segment
from tests.support.request import dest, drop_segment, make_sets, new_segment

A, B, C = "sip:192.0.2.1", "sip:192.0.2.2", "sip:192.0.2.3"


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = new_segment(max_sets=3, max_destinations=6)
    worker = made.process(0)
    worker.role, worker.rank, worker.starts = Role.WORKER, 0, 1
    yield made
    drop_segment(made)


@pytest.fixture
def registry(segment: Segment) -> Registry:
    return Registry(segment)


def _slots(registry: Registry, set_id: int = 1, partition: str = "default") -> list[int]:
    record = registry.table().find(partition, set_id)
    assert record is not None
    return [one.slot for one in record.destinations]


def _set_slot(registry: Registry, set_id: int = 1) -> int:
    record = registry.table().find("default", set_id)
    assert record is not None
    return record.slot


def test_states_of_the_database_count_for_new_ones(registry: Registry) -> None:
    registry.publish(make_sets({1: [dest(A), dest(B, state=State.INACTIVE)]}))
    assert [registry.state(slot) for slot in _slots(registry)] == [State.ACTIVE, State.INACTIVE]


def test_what_stays_keeps_slot_state_failures_cursor_and_counters(registry: Registry) -> None:
    segment = registry.segment
    registry.publish(make_sets({1: [A, B], 2: [A]}))
    a, b = _slots(registry)
    registry.set_state(a, State.INACTIVE)
    registry.apply(b, Event.FAIL, 3)
    registry.apply(b, Event.FAIL, 3)
    cursor = segment.set(_set_slot(registry))
    cursor.cursor = 41
    segment.counters(0, b).requests = 17
    # Another order, another weight, one more: nothing of it touches what was there.
    registry.publish(make_sets({2: [A], 1: [C, dest(B, 9), A]}))
    assert _slots(registry)[1:] == [b, a]
    assert registry.state(a) is State.INACTIVE
    assert registry.failures(b) == 2
    assert segment.set(_set_slot(registry)).cursor == 41
    assert segment.counters(0, b).requests == 17
    assert registry.state(_slots(registry)[0]) is State.ACTIVE


def test_the_same_uri_in_other_sets_and_partitions_is_another_destination(
    registry: Registry,
) -> None:
    sets = make_sets({1: [A], 2: [A]}) + make_sets({1: [A]}, "part2")
    registry.publish(sets)
    slots = [*_slots(registry, 1), *_slots(registry, 2), *_slots(registry, 1, "part2")]
    assert len(set(slots)) == 3
    registry.set_state(slots[2], State.PROBING)
    assert [registry.state(slot) for slot in slots] == [State.ACTIVE, State.ACTIVE, State.PROBING]


def test_duplicates_of_one_uri_are_told_apart_by_their_order(registry: Registry) -> None:
    registry.publish(make_sets({1: [A, A, B]}))
    first, second, _ = _slots(registry)
    assert first != second
    registry.set_state(second, State.INACTIVE)
    registry.publish(make_sets({1: [B, A, A, A]}))
    again = _slots(registry)
    assert again[1:3] == [first, second]
    assert [registry.state(slot) for slot in again[1:]] == [
        State.ACTIVE,
        State.INACTIVE,
        State.ACTIVE,
    ]


def test_removed_and_added_again_begins_anew(registry: Registry) -> None:
    segment = registry.segment
    registry.publish(make_sets({1: [A, B], 2: [C]}))
    a, b = _slots(registry)
    registry.set_state(b, State.INACTIVE)
    segment.counters(0, b).requests = 5
    segment.set(_set_slot(registry, 2)).cursor = 8
    registry.publish(make_sets({1: [A]}))
    registry.publish(make_sets({1: [A, B], 2: [C]}))
    assert _slots(registry)[0] == a
    again = _slots(registry)[1]
    assert registry.state(again) is State.ACTIVE
    assert registry.failures(again) == registry.changes(again) == 0
    assert segment.counters(0, again).requests == 0, "another destination's counters"
    assert segment.set(_set_slot(registry, 2)).cursor == 0


def test_a_slot_rests_before_it_is_given_away(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that began with what was there counts and marks by the slot's number."""
    registry.publish(make_sets({1: [A, B]}))
    gone = _slots(registry)[1]
    registry.publish(make_sets({1: [A]}))
    for uri in (C, B, "sip:192.0.2.80"):
        registry.publish(make_sets({1: [A, uri]}))
        assert gone not in _slots(registry), uri
    now_ns = time.time_ns() + REST_NS
    monkeypatch.setattr(time, "time_ns", lambda: now_ns)
    registry.publish(make_sets({1: [A, C, "sip:192.0.2.80", "sip:192.0.2.81"]}))
    assert gone in _slots(registry)


def test_a_full_segment_gives_away_what_rests_longest(registry: Registry) -> None:
    registry.publish(make_sets({1: [f"sip:192.0.2.{i}" for i in range(6)]}))
    slots = _slots(registry)
    for left in (5, 4):  # one after the other
        registry.publish(make_sets({1: [f"sip:192.0.2.{i}" for i in range(left)]}))
    registry.publish(make_sets({1: [*(f"sip:192.0.2.{i}" for i in range(4)), C]}))
    assert _slots(registry)[4] == slots[5]


def test_a_slot_given_to_another_destination_is_cleaned(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ds_farm.dispatch.registry.REST_NS", 0)
    segment = registry.segment
    registry.publish(make_sets({1: [A]}))
    (slot,) = _slots(registry)
    registry.set_state(slot, State.PROBING)
    counters = segment.counters(0, slot)
    counters.requests, counters.selected, counters.failures = 3, 4, 5
    segment.probe(slot).status = 503
    registry.publish(make_sets({1: [B]}))
    registry.publish(make_sets({1: [B, C]}))
    assert slot in _slots(registry)
    assert (counters.requests, counters.selected, counters.failures) == (0, 0, 0)
    assert segment.probe(slot).status == 0
    assert registry.state(slot) is State.ACTIVE


def test_inherit_state_0_takes_the_database_s(registry: Registry) -> None:
    registry.publish(make_sets({1: [A, B, C]}))
    a, b, c = _slots(registry)
    registry.set_state(a, State.INACTIVE)
    rows = [dest(A), dest(B, state=State.PROBING), dest(C)]
    registry.publish(make_sets({1: rows}), fresh={"default"})
    assert [registry.state(slot) for slot in (a, b, c)] == [
        State.ACTIVE,
        State.PROBING,
        State.ACTIVE,
    ]
    assert registry.changes(c) == 0, "nothing has changed there"


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ({1: [A, B], 2: [f"sip:192.0.2.{i}" for i in range(9)]}, "more than 6 destinations"),
        ({i: [A] for i in range(4)}, "more than 3 sets"),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(
    registry: Registry, sets: dict[int, list[str]], expected: str
) -> None:
    registry.publish(make_sets({1: [dest(A, state=State.INACTIVE), dest(B)]}))
    slots, number = _slots(registry), registry.segment.header.generation
    with pytest.raises(SegmentError, match=expected) as caught:
        registry.publish(make_sets(sets), fresh={"default"})
    assert "max_" in str(caught.value)
    assert registry.segment.header.generation == number
    assert _slots(registry) == slots
    assert [registry.state(slot) for slot in slots] == [State.INACTIVE, State.ACTIVE]
    assert registry.segment.lock(LockId.PUBLISH).holder == 0


def test_a_full_segment_can_be_reloaded(registry: Registry) -> None:
    rows = [f"sip:192.0.2.{i}" for i in range(6)]
    registry.publish(make_sets({1: rows}))
    registry.publish(make_sets({1: rows[::-1]}))
    # All slots change hands at once: the ones of the old table are free only afterwards.
    with pytest.raises(SegmentError, match="more than 6 destinations"):
        registry.publish(make_sets({1: [f"sip:192.0.2.{i}" for i in range(100, 106)]}))
    registry.publish([])
    registry.publish(make_sets({1: [f"sip:192.0.2.{i}" for i in range(100, 106)]}))


def test_an_empty_table_and_an_empty_set(registry: Registry) -> None:
    registry.publish([])
    assert registry.table().sets == ()
    registry.publish([DestinationSet("default", 1, ())])
    assert _slots(registry) == []


def test_a_change_is_seen_by_version_number_and_time(registry: Registry) -> None:
    segment = registry.segment
    registry.publish(make_sets({1: [A, B]}))
    a, _ = _slots(registry)
    view = segment.set(_set_slot(registry))
    version = view.state_version
    assert registry.set_state(a, State.INACTIVE)
    assert view.state_version == version + 1
    assert registry.changes(a) == 1
    stamped = segment.destination(a).changed_ns
    assert not registry.set_state(a, State.INACTIVE), "no real change"
    assert not registry.apply(a, Event.SUCCEED, 3)
    assert (view.state_version, registry.changes(a)) == (version + 1, 1)
    assert segment.destination(a).changed_ns == stamped


def test_announce_bumps_every_set_in_use(registry: Registry) -> None:
    registry.publish(make_sets({1: [A], 2: [B]}))
    views = [registry.segment.set(slot) for slot in range(3)]
    before = [view.state_version for view in views]
    registry.announce()
    assert [view.state_version - old for view, old in zip(views, before, strict=True)] == [1, 1, 0]


def test_another_process_s_registry_sees_table_and_states(registry: Registry) -> None:
    segment = registry.segment
    other_segment = Segment.attach(segment.farm, writable=True)
    other = Registry(other_segment)
    assert other.table().sets == ()
    registry.publish(make_sets({1: [A]}), discarded=[Discard.STATE, Discard.LINE, Discard.STATE])
    assert other.table() == registry.table()
    other.set_state(_slots(other)[0], State.PROBING)
    assert registry.state(_slots(registry)[0]) is State.PROBING
    discarded = segment.header.words("discarded")
    assert (sum(discarded), discarded[Discard.STATE], discarded[Discard.LINE]) == (3, 2, 1)
    registry.publish(make_sets({1: [A]}))
    assert segment.header.words("discarded") == discarded, "new addresses: the rows are the same"
    registry.publish(make_sets({1: [A]}), discarded=())
    assert sum(segment.header.words("discarded")) == 0
    other_segment.close()


def test_old_tables_go_when_nobody_works_with_them(registry: Registry) -> None:
    segment = registry.segment
    for _ in range(3):
        registry.publish(make_sets({1: [A]}))
    worker = segment.process(0)
    worker.pid, worker.status, worker.generation = 1, Status.READY, 2
    assert registry.collect() == [1]
    worker.generation = 3
    assert registry.collect() == [2]
    assert registry.collect() == []
