"""What waits for a worker in the kernel: how long, how much, and what the kernel had to drop."""

from __future__ import annotations

import signal
from pathlib import Path

from shm.layout import Role
from tests.support import process
from tests.support.farm import Farm
from tests.support.message import Draft
from tests.support.peer import Peer
from tests.support.wait import until


def test_a_worker_that_falls_behind_shows_it(tmp_path: Path) -> None:
    settings = {"farm": {"receive_buffer_bytes": 65536, "hang_timeout_s": 60.0}}
    with (
        Peer() as callee,
        Farm(tmp_path, [f"sip:{callee.sent_by}"], children=1, settings=settings) as farm,
        Peer() as caller,
    ):
        before = farm.metrics()
        assert before.total("ds_farm_worker_kernel_drops_total") == 0
        assert before.total("ds_farm_worker_queue_limit_bytes") >= 65536
        worker = farm.child(Role.WORKER)
        process.hold(worker.pid)
        try:
            for number in range(2000):
                via = f"SIP/2.0/UDP {caller.sent_by};branch=z9hG4bK{number}"
                caller.send(Draft(via=via, key=str(number)).bytes(), farm.sip)
        finally:
            farm.signal(signal.SIGCONT, worker.pid)
        until(
            lambda: farm.metrics().total("ds_farm_worker_kernel_drops_total") > 0,
            "datagrams dropped by the kernel",
        )
        after = farm.metrics()
        drops = after.total("ds_farm_worker_kernel_drops_total")
        received = after.total(
            "ds_farm_worker_messages_total", kind="request", direction="received"
        )
        assert drops + received == 2000
        name = "ds_farm_worker_queue_wait_seconds"
        assert after.total(f"{name}_count") == after.total("ds_farm_worker_batches_total") > 0
        assert after.total(f"{name}_sum") > 0
        assert after.total(f"{name}_bucket", le="+Inf") == after.total(f"{name}_count")
        until(
            lambda: farm.metrics().total("ds_farm_worker_queue_bytes") == 0, "an empty queue again"
        )
