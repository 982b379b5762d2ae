"""Classes of the histogram and the running mean."""

from __future__ import annotations

import pytest

from ds_farm.metric import histogram
from ds_farm.probe.prober import Result
from ds_farm.probe.rtt import BOUNDS_S, bucket, smooth
from shm._native import FIELDS


@pytest.mark.parametrize(
    ("rtt_s", "upper"),
    [(0, 0.0005), (0.0005, 0.0005), (0.000501, 0.001), (0.3, 0.5), (10.0, 10.0)],
)
def test_a_time_falls_into_the_class_that_ends_at_or_above_it(rtt_s: float, upper: float) -> None:
    assert BOUNDS_S[bucket(round(rtt_s * 1e9))] == upper


def test_the_segment_has_a_word_for_each_class_and_result() -> None:
    assert bucket(10**12) == len(BOUNDS_S)
    assert FIELDS["SetProbes"]["rtt_buckets"][1] == len(BOUNDS_S) + 1
    assert FIELDS["Probe"]["results"][1] > max(Result)


def test_the_mean_follows_slowly() -> None:
    assert smooth(0, 800) == 800
    assert smooth(800, 1_600) == 900
    mean = 800
    for _ in range(60):
        mean = smooth(mean, 8_000)
    assert 7_900 < mean <= 8_000


def test_a_histogram_is_cumulative() -> None:
    assert histogram(("x",), (0.1, 0.5), (2, 0, 1), 3.5) == [
        (("x", "0.1"), 2),
        (("x", "0.5"), 2),
        (("x", "+Inf"), 3),
        (("x", "count"), 3),
        (("x", "sum"), 3.5),
    ]
