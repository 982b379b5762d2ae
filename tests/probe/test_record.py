"""What the segment keeps of probes, for a successor of the timer and for metrics."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ds_farm.dispatch.registry import Registry
from ds_farm.probe.prober import Ended, Result
from ds_farm.probe.record import Records
from ds_farm.probe.request import Probe
from ds_farm.probe.rtt import bucket
from shm.segment import Segment
from tests.support.request import Rows, drop_segment, make_sets, new_segment

MS = 1_000_000
GOOD, BAD, TIMEOUT = Result.GOOD, Result.BAD, Result.TIMEOUT


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = new_segment()
    publish(made, ["sip:192.0.2.1", "sip:192.0.2.2"])
    yield made
    drop_segment(made)


def publish(segment: Segment, rows: Rows) -> None:
    Registry(segment).publish(make_sets({1: rows}))


def test_nothing_is_known_of_one_that_was_never_probed(segment: Segment) -> None:
    records = Records(segment)
    assert records.last(1) is None
    assert not records.is_open(1)


def test_a_successor_finds_the_open_probe(segment: Segment) -> None:
    assert Records(segment).begin(1, 5 * MS) == Probe(1, 1, 5 * MS)
    successor = Records(segment)
    assert successor.last(1) == Probe(1, 1, 5 * MS)
    assert successor.is_open(1)
    assert not successor.is_open(0)
    successor.end(0, Ended(1, TIMEOUT))
    assert not successor.is_open(1)
    assert successor.begin(1, 9 * MS) == Probe(1, 2, 9 * MS)


def test_ends_are_counted_by_result(segment: Segment) -> None:
    records = Records(segment)
    for result, status, rtt_ns in (
        (GOOD, 200, 8 * MS),
        (BAD, 503, 16 * MS),
        (TIMEOUT, 0, 0),
        (Result.REFUSED, 0, 0),
        (Result.UNSENT, 0, 0),
        (Result.UNSENT, 0, 0),
    ):
        records.begin(1, MS)
        records.end(0, Ended(1, result, status, rtt_ns))
    records.sent_again(1)
    view = segment.probe(1)
    assert view.words("results") == [1, 1, 1, 1, 2, 0]
    assert (view.number, view.retransmissions) == (6, 1)
    # Only replies have a status and a time; the mean is 8 + (16 - 8) / 8.
    assert (view.status, view.rtt_ns, view.rtt_smoothed_ns) == (503, 16 * MS, 9 * MS)
    answers = segment.set_probes(0)
    counts = answers.words("rtt_buckets")
    assert sum(counts) == 2
    assert counts[bucket(8 * MS)] == counts[bucket(16 * MS)] == 1
    assert answers.rtt_sum_ns == 24 * MS
    assert segment.probe(0).words("results") == [0] * 6


def test_a_reload_keeps_what_stays_and_clears_what_is_given_away(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ds_farm.dispatch.registry.REST_NS", 0)
    records = Records(segment)
    for slot in (0, 1):
        records.begin(slot, MS)
        records.end(0, Ended(slot, GOOD, 200, MS))
    publish(segment, ["sip:192.0.2.1"])
    publish(segment, ["sip:192.0.2.1", "sip:192.0.2.3"])
    assert segment.probe(0).words("results")[GOOD] == 1
    assert segment.probe(1).words("results")[GOOD] == 0
    assert records.last(1) is None
