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
        ),
        Panel(
            "How long messages wait",
            (
                Query(
                    "histogram_quantile(0.5, sum by (le) "
                    f"(rate(ds_farm_worker_queue_wait_seconds_bucket{{{ME}}}{RATE})))",
                    "median",
                ),
                Query(
                    "histogram_quantile(0.99, sum by (le) "
                    f"(rate(ds_farm_worker_queue_wait_seconds_bucket{{{ME}}}{RATE})))",
                    "99 %",
                ),
            ),
            "From the kernel's receipt to the worker's read. 99 % above 10 ms: one more worker, or "
            "the host is too small.",
            "s",
        ),
        Panel(
            "Workers that the load needs",
            (
                Query(
                    f"ceil(sum(rate(ds_farm_worker_busy_seconds_total{{{ME}}}{RATE})) / 0.6)",
                    "needed",
                ),
                Query(f'sum(ds_farm_workers{{{ME},state="running"}})', "running"),
            ),
            "So many that each is busy for 60 % of its time; no more than the host has CPUs help.",
        ),
        Panel(
            "Queues of the sockets",
            (
                Query(
                    f"max by (worker) (ds_farm_worker_queue_bytes{{{ME}}} "
                    f"/ ds_farm_worker_queue_limit_bytes{{{ME}}})",
                    "worker {{worker}}",
                ),
            ),
            "Filled part of the receive buffer. Full: the kernel drops.",
            "percentunit",
        ),
        Panel(
            "Drops of the kernel",
            (
                Query(
                    f"sum by (worker) (rate(ds_farm_worker_kernel_drops_total{{{ME}}}{RATE}))",
                    "worker {{worker}}",
                ),
            ),
            "Datagrams for which a worker's queue had no room: more workers, or a larger buffer.",
            "mps",
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
            "1 when idle; it grows with the queue in front of the worker, 128 is the most.",
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
            "Transactions in memory",
            (
                Query(
                    f"sum by (phase) (ds_farm_worker_transactions{{{ME}}})",
                    "{{phase}}",
                ),
            ),
            "Open ones wait for a final response; the others stay for what comes late.",
        ),
        Panel(
            "Retransmissions and hand-overs",
            (
                Query(
                    f"sum(rate(ds_farm_worker_repeated_requests_total{{{ME}}}{RATE}))",
                    "repeated requests absorbed",
                ),
                Query(
                    f"sum(rate(ds_farm_worker_retransmissions_total{{{ME}}}{RATE}))",
                    "sent again",
                ),
                Query(
                    f"sum(rate(ds_farm_worker_handed_over_total{{{ME}}}{RATE}))",
                    "handed over to a call's owner",
                ),
            ),
            "Sent again: a destination or a caller is late. Handed over: steering is off, or the "
            "number of workers has changed.",
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
