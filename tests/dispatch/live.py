"""A compiled set over a segment, made without a table object or a loader."""

from __future__ import annotations

from ds_farm.dispatch._live import LiveSet, LiveTable
from ds_farm.dispatch.model import Destination, DestinationSet, State
from ds_farm.dispatch.state import pack
from ds_farm.dispatch.table import encode
from shm.segment import Segment
from tests.dispatch.model import Member
from tests.support.request import dest


def live_set(segment: Segment, members: list[Member]) -> LiveSet:
    """Set 1 in the first slots of the segment: destinations 192.0.2.x as the members say."""
    return live_rows(
        segment,
        tuple(
            dest(
                f"sip:192.0.2.{i % 250}:{6000 + i}",
                member.weight,
                state=State.ACTIVE if member.active else State(1 + i % 2),
            )
            for i, member in enumerate(members)
        ),
    )


def live_rows(segment: Segment, rows: tuple[Destination, ...]) -> LiveSet:
    """The same of rows; the cursor begins at 0."""
    for slot, row in enumerate(rows):
        segment.destination(slot).word = pack(row.state, 0, 0)
    segment.set(0).cursor = 0
    segment.set(0).add("state_version")
    return bind(segment, rows, 0)


def bind(segment: Segment, rows: tuple[Destination, ...], rank: int) -> LiveSet:
    """The same for the worker of a rank, over the slots as they are."""
    data = encode([(DestinationSet("default", 1, rows), 0, range(len(rows)))])
    found = LiveTable(segment, 1, data, rank).find("default", 1)
    assert found is not None
    return found


def set_active(segment: Segment, members: list[Member], index: int, active: bool) -> None:
    """A state change of one member, in the model and in the segment."""
    members[index].active = active
    segment.destination(index).word = pack(State.ACTIVE if active else State.PROBING, 0, 0)
    segment.set(0).add("state_version")
