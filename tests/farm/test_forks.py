"""A batch of requests that go to many places at once: more datagrams than leave in one go."""

from __future__ import annotations

from pathlib import Path

from tests.farm.trains import One, burst
from tests.support.database import Row
from tests.support.farm import Farm
from tests.support.peer import Peer
from tests.support.wait import until

BRANCHES = 8
CALLS = 120
SETTINGS = {"farm": {"stop_timeout_s": 1.0}}
"""Nobody answers: a farm that stops would wait for these calls."""

MODULE = f"""
def request_route(request):
    for _ in range({BRANCHES - 1}):
        request.ds_select_dst("1", "4")
        request.append_branch()
    request.ds_select_dst("1", "4")
    request.t_relay()
"""


def test_every_branch_of_a_batch_is_sent(tmp_path: Path) -> None:
    with Peer() as callee, Peer() as caller:
        uri = f"sip:{callee.sent_by}"
        with Farm(tmp_path, [Row(uri)], children=1, module=MODULE, settings=SETTINGS) as farm:
            burst(farm, caller, [One(1)] * CALLS, "fork")
            until(
                lambda: (
                    farm.metrics().total("ds_farm_destination_requests_total", destination=uri)
                    == CALLS * BRANCHES
                ),
                "all branches of all calls",
            )
            metrics = farm.metrics()
            assert metrics.total("ds_farm_worker_transactions", phase="open") == CALLS
            assert metrics.total("ds_farm_worker_drops_total") == 0
