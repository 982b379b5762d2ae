"""Workers: are there enough of them?"""

from __future__ import annotations

from grafana.model import INSTANCE, ME, RATE, Dashboard, Panel, Query

WORKERS = Dashboard(
    "workers",
    "ds_farm: workers",
    (INSTANCE,),
    (
        Panel(
            "Busy",
            (
                Query(
                    f"sum by (worker) (rate(ds_farm_worker_busy_seconds_total{{{ME}}}{RATE}))",
                    "worker {{worker}}",
                ),
            ),
            "Part of its time that a worker spends with messages. Near 1: one more worker (TTIN), "
            "if a CPU is free.",
            "percentunit",
            width=24,
        ),
        Panel(
            "Messages received",
            (
                Query(
                    "sum by (worker) "
                    f'(rate(ds_farm_worker_messages_total{{{ME},direction="received"}}{RATE}))',
                    "worker {{worker}}",
                ),
            ),
            "Equal for all workers within the noise: the kernel draws one for each datagram.",
            "mps",
        ),
        Panel(
            "Datagrams a read",
            (
                Query(
                    "sum by (worker) "
                    f'(rate(ds_farm_worker_messages_total{{{ME},direction="received"}}{RATE})) '
                    f"/ sum by (worker) (rate(ds_farm_worker_batches_total{{{ME}}}{RATE}))",
                    "worker {{worker}}",
                ),
            ),
            "1 when idle; it grows with the queue in front of the worker, 64 is the most.",
        ),
        Panel(
            "Bytes",
            (
                Query(
                    f"sum by (direction) (rate(ds_farm_worker_bytes_total{{{ME}}}{RATE}))",
                    "{{direction}}",
                ),
            ),
            "Of all workers together.",
            "Bps",
        ),
        Panel(
            "Send errors",
            (
                Query(
                    f"sum by (worker) (rate(ds_farm_worker_send_errors_total{{{ME}}}{RATE}))",
                    "worker {{worker}}",
                ),
            ),
            "Datagrams that the kernel would not send.",
            "mps",
        ),
        Panel(
            "Workers by state",
            (
                Query(f"sum by (state) (ds_farm_workers{{{ME}}})", "{{state}}"),
                Query(f"sum(ds_farm_workers_configured{{{ME}}})", "configured"),
            ),
            "silent: no heartbeat for 5 s. It is killed and replaced after farm.hang_timeout_s.",
        ),
        Panel(
            "Restarts",
            (
                Query(
                    f"sum by (worker) (increase(ds_farm_worker_restarts_total{{{ME}}}{RATE}))",
                    "worker {{worker}}",
                ),
                Query(
                    f"sum(increase(ds_farm_lock_recoveries_total{{{ME}}}{RATE}))",
                    "locks taken over from the dead",
                ),
            ),
            "A worker that ends is replaced at once; one that keeps dying, with growing pauses.",
        ),
    ),
)
