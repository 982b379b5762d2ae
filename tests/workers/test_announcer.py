"""The announcer on a segment of its own, where it is overtaken by what it reads."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ds_farm.dispatch.journal import Change
from ds_farm.dispatch.model import Destination, DestinationSet, State
from ds_farm.dispatch.registry import Registry
from ds_farm.dispatch.state import Reason
from ds_farm.mi.events import Event, state_changed
from ds_farm.mi.subscriptions import Subscriptions
from shm.segment import Segment, remove_leftovers
from tests.support.wait import until
from workers.announcer import Announcer

OLD, NEW = Destination("sip:127.0.0.1:7001"), Destination("sip:127.0.0.1:7002")


@pytest.fixture
def segment() -> Iterator[Segment]:
    name = f"test-announcer-{os.getpid()}"
    made = Segment.create(name, max_workers=1, max_sets=4, max_destinations=8)
    yield made
    made.unlink()
    remove_leftovers(name)
    made.close()


def test_change_of_a_destination_that_is_newer_than_its_table(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table comes, and a change in it, between its looks at the table and at the journal."""
    registry, heard = Registry(segment), list[Event]()
    registry.publish([DestinationSet("default", 1, (OLD,))])
    announcer = Announcer(segment, Subscriptions(), heard.append)
    announcer.turn(1.0)
    read = announcer._journal.read

    def read_late(now_ns: int) -> Iterator[Change]:
        registry.publish([DestinationSet("default", 1, (OLD, NEW))])
        registry.set_state(1, State.INACTIVE, reason=Reason.MI)
        return iter(read(now_ns))

    with monkeypatch.context() as patch:
        patch.setattr(announcer._journal, "read", read_late)
        announcer.turn(2.0)
    announcer.start()
    until(lambda: heard or segment.header.changes_unknown, "the event")
    announcer.finish()
    assert heard == [state_changed("default", 1, NEW.uri, State.INACTIVE, Reason.MI)]
