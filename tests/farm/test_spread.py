"""Done-when 2 of the farm: SIPp, one source port, four workers, exact shares.

Round robin is exact across all workers together; which worker has a request is drawn at random
by the kernel, so each worker's number is binomial and is held against five sigma.
"""

from __future__ import annotations

import math
from pathlib import Path

from tests.support import counts
from tests.support.database import Row
from tests.support.farm import Farm
from tests.support.sipp import Caller, Destination
from tests.support.wait import until

CALLS = 10_000
RATE = 2_000
WORKERS = 4
SIGMAS = 5
"""Of a binomial: a true draw fails one run in 440,000 (four workers)."""


def call(farm: Farm, directory: Path, calls: int, name: str) -> int:
    """Have SIPp make that many calls; none may fail.  Returns the requests it sent in all."""
    with Caller(directory, farm.sip, calls, RATE, name=name) as caller:
        result = caller.wait()
        assert (result.successful, result.failed) == (calls, 0), caller.report()
        return result.sent


def counted(farm: Farm, sent: int) -> dict[str, int]:
    """Requests by destination, once all that were sent are answered: a repeated one may wait
    in a worker's queue when its call is over."""
    until(lambda: sum(counts.of(farm).responses.values()) == sent, "all counted")
    return counts.of(farm).requests


def test_three_destinations_four_workers_one_source_port(
    tmp_path: Path, destinations: list[Destination]
) -> None:
    rows = [Row(each.uri) for each in destinations]
    with Farm(tmp_path, rows, children=WORKERS) as farm:
        sent = call(farm, tmp_path, CALLS, "equal")
        shares = counted(farm, sent)
        assert set(shares) == {each.uri for each in destinations}
        assert max(shares.values()) - min(shares.values()) <= 1, shares

        by_worker = farm.worker_requests()[:WORKERS]
        assert sum(by_worker) == sent
        sigma = math.sqrt(sent * (1 / WORKERS) * (1 - 1 / WORKERS))
        for requests in by_worker:
            assert abs(requests - sent / WORKERS) < SIGMAS * sigma, by_worker

        # The same with weights: any six in a row are three, two, one.
        weights = (3, 2, 1)
        generation = _generation(farm)
        farm.reload(
            [Row(each.uri, weight=w) for each, w in zip(destinations, weights, strict=True)]
        )
        assert _generation(farm) > generation
        before = counts.of(farm).requests
        sent = call(farm, tmp_path, 6_000, "weighted")
        after = counted(farm, sum(before.values()) + sent)
        gained = [after[each.uri] - before[each.uri] for each in destinations]
        for gain, weight in zip(gained, weights, strict=True):
            assert abs(gain - sent * weight / sum(weights)) <= (0 if sent == 6_000 else 1.5), gained

        # SIPp at the destinations has seen just what the farm has counted.
        for each in destinations:
            assert each.stop().calls == after[each.uri]


def test_a_trunk_reaches_every_worker_on_every_socket(
    tmp_path: Path, destinations: list[Destination]
) -> None:
    """Plain SO_REUSEPORT would give all of one source to one worker; IPv4 and IPv6 alike."""
    farm = Farm(tmp_path, [destinations[0].uri], children=WORKERS, listen_ipv6=True)
    with farm:
        calls = 400
        for number, address in enumerate((farm.sip, farm.sip6)):
            before = farm.worker_requests()[:WORKERS]
            with Caller(tmp_path, address, calls, RATE, name=f"trunk{number}") as caller:
                result = caller.wait()
                assert (result.successful, result.failed) == (calls, 0), caller.report()
            gained = [b - a for a, b in zip(before, farm.worker_requests(), strict=False)]
            # Five sigma of 400 draws at a quarter is 43 beside 100.
            assert min(gained) > 56, gained


def test_destinations_of_either_family(tmp_path: Path) -> None:
    """An IPv4 caller's requests reach IPv6 destinations and come back, and the other way round."""
    with (
        Destination(tmp_path, "four") as four,
        Destination(tmp_path, "six", host="::1") as six,
        Farm(tmp_path, [four.uri, six.uri], listen_ipv6=True) as farm,
    ):
        sent = 0
        for number, address in enumerate((farm.sip, farm.sip6)):
            with Caller(tmp_path, address, 100, 500, name=f"caller{number}") as caller:
                result = caller.wait()
                assert (result.successful, result.failed) == (100, 0), caller.report()
                sent += result.sent
        until(lambda: sum(counts.of(farm).responses.values()) == sent, "all responses counted")
        shares = four.stop().calls, six.stop().calls
        assert sum(shares) == sent
        assert abs(shares[0] - shares[1]) <= 1, shares


def _generation(farm: Farm) -> int:
    with farm.segment() as segment:
        return segment.header.generation
