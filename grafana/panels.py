"""What the dashboards show: a table of dashboards, each a table of rows, each a list of panels.

Expressions are PromQL over the metrics of `ds_farm.metrics`.  ``$instance`` is chosen at the top of
each dashboard; a rate is over Grafana's own interval, so that it fits the scrape interval.
`generate.py` makes JSON of this; nothing here knows how Grafana wants it written.
"""

from __future__ import annotations

from dataclasses import dataclass

ME = 'instance=~"$instance"'
SET = f'{ME},partition=~"$partition",set=~"$set"'
RATE = "[$__rate_interval]"


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and the name of its series."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: a time series, or a single number with ``kind="stat"``, or rows of a table."""

    title: str
    queries: tuple[Query, ...]
    about: str
    """Shown at the panel's corner: what to read from it."""

    unit: str = "short"
    kind: str = "timeseries"
    width: int = 12
    """Of 24 columns."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; ``name`` is its file and the end of its identity in Grafana."""

    name: str
    title: str
    variables: tuple[tuple[str, str], ...]
    """(variable, metric and label it is taken from), in the order of their choice."""

    panels: tuple[Panel, ...]


def _stat(title: str, expr: str, about: str, unit: str = "short") -> Panel:
    return Panel(title, (Query(expr),), about, unit, "stat", 4)


INSTANCE = ("instance", "ds_farm_up, instance")

OVERVIEW = Dashboard(
    "overview",
    "ds_farm: overview",
    (INSTANCE,),
    (
        _stat("Farm", f"min(ds_farm_up{{{ME}}})", "1 while the exporter can read the segment."),
        _stat(
            "Workers running",
            f'sum(ds_farm_workers{{{ME},state="running"}})',
            "SIP workers with a fresh heartbeat.",
        ),
        _stat(
            "Requests",
            f"sum(rate(ds_farm_destination_requests_total{{{ME}}}{RATE}))",
            "Forwarded to destinations.",
            "reqps",
        ),
        _stat(
            "Destinations active",
            f'sum(ds_farm_set_destinations{{{ME},state="active"}})',
            "Of all sets and partitions.",
        ),
        _stat(
            "Destinations down",
            f'sum(ds_farm_set_destinations{{{ME},state!="active"}})',
            "Inactive or probing: not selected.",
        ),
        _stat(
            "Table age",
            f"time() - max(ds_farm_config_last_reload_success_timestamp_seconds{{{ME}}})",
            "Since the last table was published.",
            "s",
        ),
        Panel(
            "Requests and responses",
            (
                Query(
                    f"sum by (kind, direction) (rate(ds_farm_worker_messages_total{{{ME}}}{RATE}))",
                    "{{kind}} {{direction}}",
                ),
            ),
            "Received and forwarded. Received above sent for long: answered, dropped or refused.",
            "mps",
        ),
        Panel(
            "Responses of destinations",
            (
                Query(
                    f"sum by (class) (rate(ds_farm_destination_responses_total{{{ME}}}{RATE}))",
                    "{{class}}",
                ),
            ),
            "By class, all destinations.",
            "mps",
        ),
        Panel(
            "Requests by set",
            (
                Query(
                    "sum by (partition, set) "
                    f"(rate(ds_farm_destination_requests_total{{{ME}}}{RATE}))",
                    "{{partition}} {{set}}",
                ),
            ),
            "Forwarded to the destinations of each set.",
            "reqps",
        ),
        Panel(
            "Selections that found nobody",
            (
                Query(
                    "sum by (partition, set) (rate("
                    f'ds_farm_set_selections_total{{{ME},result="no_active"}}{RATE}))',
                    "{{partition}} {{set}}",
                ),
            ),
            "No active destination in the set: these calls were not dispatched.",
            "ops",
        ),
        Panel(
            "Answered by the farm itself",
            (
                Query(
                    f"sum by (class) (rate(ds_farm_worker_replies_total{{{ME}}}{RATE}))",
                    "{{class}}",
                ),
                Query(
                    f"sum(rate(ds_farm_worker_route_errors_total{{{ME}}}{RATE}))",
                    "exceptions of the routing module",
                ),
            ),
            "Replies that no destination sent. Exceptions are answered with 500.",
            "mps",
        ),
        Panel(
            "Malformed and dropped",
            (
                Query(
                    f"sum by (reason) (rate(ds_farm_worker_parse_errors_total{{{ME}}}{RATE})) > 0",
                    "malformed: {{reason}}",
                ),
                Query(
                    f"sum by (reason) (rate(ds_farm_worker_drops_total{{{ME}}}{RATE})) > 0",
                    "dropped: {{reason}}",
                ),
            ),
            "Only reasons that occur. keepalive and own_ack are normal.",
            "mps",
        ),
        Panel(
            "Reloads",
            (
                Query(
                    f"sum by (result) (increase(ds_farm_reloads_total{{{ME}}}{RATE}))",
                    "{{result}}",
                ),
                Query(f"sum(ds_farm_config_discarded_rows{{{ME}}})", "rows skipped"),
            ),
            "Loads of the table, and rows of the current one that could not be used.",
        ),
        Panel(
            "Database and processes",
            (
                Query(f"min(ds_farm_database_up{{{ME}}})", "database up"),
                Query(
                    f"sum by (process) (increase(ds_farm_process_restarts_total{{{ME}}}{RATE}))",
                    "restarts of {{process}}",
                ),
                Query(
                    f"sum(increase(ds_farm_worker_restarts_total{{{ME}}}{RATE}))",
                    "restarts of workers",
                ),
            ),
            "A farm whose database is down serves the table that it has.",
        ),
    ),
)

DESTINATIONS = Dashboard(
    "destinations",
    "ds_farm: destinations",
    (
        INSTANCE,
        ("partition", f"ds_farm_set_cursor{{{ME}}}, partition"),
        ("set", f'ds_farm_set_cursor{{{ME},partition=~"$partition"}}, set'),
    ),
    (
        Panel(
            "State",
            (
                Query(
                    f'ds_farm_destination_state{{{SET},state="inactive"}} '
                    f'+ ignoring(state) 2 * ds_farm_destination_state{{{SET},state="probing"}}',
                    "{{destination}}",
                ),
            ),
            "0 active, 1 inactive, 2 probing.",
            kind="state-timeline",
            width=24,
        ),
        Panel(
            "Requests",
            (
                Query(
                    "sum by (destination) "
                    f"(rate(ds_farm_destination_requests_total{{{SET}}}{RATE}))",
                    "{{destination}}",
                ),
            ),
            "Forwarded to each destination.",
            "reqps",
        ),
        Panel(
            "Share of the set",
            (
                Query(
                    "sum by (partition, set, destination) "
                    f"(rate(ds_farm_destination_requests_total{{{SET}}}{RATE})) "
                    "/ on (partition, set) group_left () sum by (partition, set) "
                    f"(rate(ds_farm_destination_requests_total{{{SET}}}{RATE}))",
                    "{{destination}}",
                ),
            ),
            "Of the set's requests. Round robin with equal weights gives equal shares.",
            "percentunit",
        ),
        Panel(
            "Responses that are no success",
            (
                Query(
                    "sum by (destination, class) (rate("
                    f'ds_farm_destination_responses_total{{{SET},class=~"[3-6]xx"}}{RATE})) > 0',
                    "{{destination}} {{class}}",
                ),
            ),
            "3xx to 6xx by destination.",
            "mps",
        ),
        Panel(
            "Requests without a final response",
            (
                Query(
                    "sum by (destination) "
                    f"(rate(ds_farm_destination_requests_total{{{SET}}}{RATE})) "
                    "- sum by (destination) (rate("
                    f'ds_farm_destination_responses_total{{{SET},class!="1xx"}}{RATE}))',
                    "{{destination}}",
                ),
            ),
            "Requests less final responses: ACKs, retransmissions, and what was not answered.",
            "reqps",
        ),
        Panel(
            "Could not be sent",
            (
                Query(
                    "sum by (destination) "
                    f"(rate(ds_farm_destination_failures_total{{{SET}}}{RATE})) > 0",
                    "{{destination}}",
                ),
            ),
            "Datagrams that the kernel refused: no route to the address, too long.",
            "mps",
        ),
        Panel(
            "Failures towards probing",
            (
                Query(
                    f"max by (destination) (ds_farm_destination_consecutive_failures{{{SET}}}) > 0",
                    "{{destination}}",
                ),
            ),
            "In a row; at ds_probing_threshhold the destination is probing.",
        ),
        Panel(
            "Destinations",
            (
                Query(
                    f"max by (partition, set, destination) (ds_farm_destination_weight{{{SET}}})"
                ),
                Query(
                    f"max by (partition, set, destination) (ds_farm_destination_priority{{{SET}}})"
                ),
                Query(
                    f"max by (partition, set, destination) (ds_farm_destination_addresses{{{SET}}})"
                ),
            ),
            "Weight, priority, and how many addresses the name has; 0: it does not resolve.",
            kind="table",
            width=24,
        ),
    ),
)

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

DASHBOARDS = (OVERVIEW, DESTINATIONS, WORKERS)
"""All dashboards."""
