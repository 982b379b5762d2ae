"""Changes of state reach the reader once, in order, whoever dies in between (decision 20)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ds_farm.dispatch import journal
from ds_farm.dispatch.journal import PATIENCE_NS, SCAN_NS, Change, Journal
from ds_farm.dispatch.model import Destination, DestinationSet, State
from ds_farm.dispatch.registry import Registry
from ds_farm.dispatch.state import Event, Reason, decide, pack, unpack
from shm.layout import CHANGES
from shm.segment import Segment, remove_leftovers

A, INACTIVE, P = State.ACTIVE, State.INACTIVE, State.PROBING


@pytest.fixture
def registry() -> Iterator[Registry]:
    name = f"test-journal-{os.getpid()}"
    segment = Segment.create(name, max_workers=1, max_sets=4, max_destinations=8)
    made = Registry(segment)
    made.publish([DestinationSet("default", 1, (Destination("sip:a"), Destination("sip:b")))])
    yield made
    segment.unlink()
    remove_leftovers(name)
    segment.close()


def shown(changes: Iterator[Change]) -> list[tuple[int, State, Reason]]:
    return [(one.slot, one.after, one.reason) for one in changes]


def change_and_die(registry: Registry, slot: int, event: Event) -> int:
    """What a process does that is killed right after the compare-and-swap; the change number."""
    view = registry.segment.destination(slot)
    state, failures, changes = unpack(view.word)
    after, count = decide(state, failures, event, 1)
    view.word = pack(after, count, changes + 1)
    return changes + 1


def test_every_change_is_read_once_in_order(registry: Registry) -> None:
    reader = Journal(registry.segment)
    registry.set_state(0, INACTIVE, reason=Reason.MI)
    registry.set_state(0, INACTIVE, reason=Reason.MI)  # no change
    registry.set_state(1, P, reason=Reason.MI)
    registry.apply(1, Event.SUCCEED, reason=Reason.GOOD_REPLY)
    registry.set_state(0, A, reason=Reason.SCRIPT)
    assert shown(reader.read(1)) == [
        (0, INACTIVE, Reason.MI),
        (1, P, Reason.MI),
        (1, A, Reason.GOOD_REPLY),
        (0, A, Reason.SCRIPT),
    ]
    assert shown(reader.read(2)) == []
    assert shown(Journal(registry.segment).read(10**12)) == []


def test_change_of_a_process_that_died_right_after_it(registry: Registry) -> None:
    reader = Journal(registry.segment)
    change_and_die(registry, 0, Event.DEACTIVATE)
    assert shown(reader.read(1)) == []  # its record may still come
    late = 2 + SCAN_NS + PATIENCE_NS
    assert shown(reader.read(late)) == [(0, INACTIVE, Reason.UNKNOWN)]
    assert shown(reader.read(late + SCAN_NS + PATIENCE_NS)) == []


def test_record_that_is_missing_between_others_follows_from_them(registry: Registry) -> None:
    reader = Journal(registry.segment)
    registry.set_state(0, INACTIVE, reason=Reason.MI)
    change_and_die(registry, 0, Event.PROBE)
    registry.set_state(0, A, reason=Reason.MI)
    assert shown(reader.read(1)) == [(0, INACTIVE, Reason.MI)]
    assert shown(reader.read(2 + PATIENCE_NS)) == [(0, P, Reason.UNKNOWN), (0, A, Reason.MI)]
    assert registry.segment.header.changes_unknown == 0


def test_record_that_comes_late_is_waited_for(registry: Registry) -> None:
    reader = Journal(registry.segment)
    number = change_and_die(registry, 0, Event.DEACTIVATE)
    registry.set_state(0, A, reason=Reason.MI)
    assert shown(reader.read(1)) == []
    journal.record(registry.segment, 0, number, A, INACTIVE, Reason.SCRIPT)
    assert shown(reader.read(2)) == [(0, INACTIVE, Reason.SCRIPT), (0, A, Reason.MI)]


def test_record_that_is_never_completed_does_not_hold_up_the_rest(registry: Registry) -> None:
    reader = Journal(registry.segment)
    registry.segment.header.add("changes_logged")  # a ticket taken, and then killed
    registry.set_state(1, P, reason=Reason.MI)
    assert shown(reader.read(1)) == []
    assert shown(reader.read(2 + PATIENCE_NS)) == [(1, P, Reason.MI)]


def test_two_missing_records_are_counted_as_unknown(registry: Registry) -> None:
    reader = Journal(registry.segment)
    change_and_die(registry, 0, Event.DEACTIVATE)
    change_and_die(registry, 0, Event.PROBE)
    list(reader.read(1))
    assert shown(reader.read(2 + PATIENCE_NS)) == [(0, P, Reason.UNKNOWN)]
    assert registry.segment.header.changes_unknown == 1


def test_successor_of_a_reader_goes_on_where_it_was(registry: Registry) -> None:
    first = Journal(registry.segment)
    registry.set_state(0, INACTIVE, reason=Reason.MI)
    registry.set_state(0, P, reason=Reason.MI)
    reading = first.read(1)
    assert next(reading).after is INACTIVE  # and then it is killed
    reading.close()
    assert shown(Journal(registry.segment).read(2)) == [(0, P, Reason.MI)]


def test_ring_that_went_round_loses_no_destination_s_last_state(registry: Registry) -> None:
    reader = Journal(registry.segment)
    registry.set_state(0, INACTIVE, reason=Reason.MI)
    for turn in range(CHANGES):
        registry.set_state(1, (P, A)[turn % 2], reason=Reason.MI)
    late = 2 + PATIENCE_NS + SCAN_NS
    found = shown(reader.read(1)) + shown(reader.read(late))
    assert (0, INACTIVE, Reason.UNKNOWN) in found
    assert len(found) == CHANGES + 1


def test_slot_that_is_given_away_brings_no_late_change(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ds_farm.dispatch.registry.REST_NS", 0)
    reader = Journal(registry.segment)
    registry.set_state(0, INACTIVE, reason=Reason.MI)
    one = [DestinationSet("default", 1, (Destination("sip:b"),))]
    registry.publish(one)
    registry.publish([DestinationSet("default", 1, (Destination("sip:b"), Destination("sip:c")))])
    assert registry.changes(0) == 0
    assert shown(reader.read(1)) == []
    assert registry.segment.header.changes_unknown == 1
    registry.set_state(0, P, reason=Reason.MI)
    assert shown(reader.read(2)) == [(0, P, Reason.MI)]


def test_reload_that_takes_the_database_s_states_changes_them(registry: Registry) -> None:
    reader = Journal(registry.segment)
    sets = [
        DestinationSet("default", 1, (Destination("sip:a", state=INACTIVE), Destination("sip:b")))
    ]
    registry.publish(sets, fresh={"default"})
    assert shown(reader.read(1)) == [(0, INACTIVE, Reason.RELOAD)]
