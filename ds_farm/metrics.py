"""Every metric of the farm: name, help, labels, and how the segment gives its values.

`METRICS` is the list; dashboards and alerts are checked against it.  `collect` turns a segment and
its table into numbers: it only reads, takes no lock, and knows neither HTTP nor a client library.

Cost: the counters of all destinations are read in one go for each worker that has ever started;
rows of workers that have not are never touched (reading would make their pages).  Series exist
with 0 as soon as a table names their destination.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from ds_farm import table_metrics
from ds_farm.dispatch.model import Discard, LoadError
from ds_farm.dispatch.registry import Registry
from ds_farm.dispatch.times import WAIT_BOUNDS_S
from ds_farm.metric import Family, Metric, Sample, histogram
from ds_farm.probe import samples as probe_samples
from ds_farm.sip.names import DROP_LABELS, FAULT_LABELS
from ds_farm.table_metrics import CLASSES, ranks_of, starts_of
from shm.layout import By, Role, Status
from shm.segment import Segment

SILENT_S = 5.0
"""A process that has not beaten for so long is counted as silent."""

WORKER_STATES = ("booting", "running", "silent")
_W = ("worker",)


UP = Metric("ds_farm_up", "1 while the exporter can read the farm's segment.")
BUILD = Metric(
    "ds_farm_build_info",
    "Constant 1: version, Python, compiled core.",
    ("version", "python", "native"),
)
START_TIME = Metric("ds_farm_start_time_seconds", "When the supervisor made the segment.")
GENERATION = Metric("ds_farm_config_generation", "Number of the current table of destinations.")
RELOADS = Metric("ds_farm_reloads_total", "Loads of the table by result.", ("result",))
RELOAD_OK = Metric(
    "ds_farm_config_last_reload_successful", "1 if the last load of the table succeeded."
)
RELOAD_TIME = Metric(
    "ds_farm_config_last_reload_success_timestamp_seconds",
    "When a table was published last.",
)
LOAD_ERRORS = Metric(
    "ds_farm_load_errors_total", "Attempts to load the table that failed.", ("reason",)
)
DISCARDED = Metric(
    "ds_farm_config_discarded_rows",
    "Rows of the database that were left out, by what is wrong with them.",
    ("reason",),
)
DATABASE_UP = Metric("ds_farm_database_up", "1 if the loader reached every database last time.")
FLUSH_DUE = Metric(
    "ds_farm_flush_pending", "Changed states that the last turn of the flusher could not write."
)
FLUSH_LAG = Metric(
    "ds_farm_flush_lag_seconds", "Age of the oldest of these changes; 0: there is none."
)
FLUSH_FAILURES = Metric(
    "ds_farm_flush_failures_total", "Turns of the flusher that could not write all."
)
DNS_NAMES = Metric(
    "ds_farm_dns_names", "Host names of destinations by how the last question ended.", ("result",)
)
DNS_QUESTIONS = Metric("ds_farm_dns_questions_total", "How often a host name was asked for.")
DNS_FAILURES = Metric(
    "ds_farm_dns_failures_total", "Questions for a host name without a usable answer."
)
STEERING = Metric(
    "ds_farm_steering_info",
    "Constant 1: how a datagram gets to a worker: random, handover, ebpf.",
    ("by",),
)
CONFIGURED = Metric(
    "ds_farm_workers_configured",
    "SIP workers that there are to be: farm.children, or what `ds-farm children`, TTIN and TTOU "
    "have made of it.",
)
WORKERS = Metric("ds_farm_workers", "SIP workers by what they do.", ("state",))
RESTARTS = Metric(
    "ds_farm_process_restarts_total",
    "Starts after the first one, beside SIP workers.",
    ("process",),
)
LOCK_RECOVERIES = Metric(
    "ds_farm_lock_recoveries_total", "Locks taken over from a process that died with them."
)
STATE_CHANGES_UNKNOWN = Metric(
    "ds_farm_state_changes_unknown_total",
    "Changes of state that nothing is known of, so there was no event.",
)
EVENTS = Metric("ds_farm_events_total", "Events raised, whoever heard them.")
EVENT_DELIVERIES = Metric(
    "ds_farm_event_deliveries_total",
    "Events for one subscriber each: delivered, or dropped (queue full, not reachable, refused).",
    ("result",),
)
MI_REQUESTS = Metric("ds_farm_mi_requests_total", "Commands of the management interface.")

WORKER_MESSAGES = Metric(
    "ds_farm_worker_messages_total",
    "Well-formed SIP messages received, and messages forwarded.",
    (*_W, "kind", "direction"),
)
WORKER_BYTES = Metric("ds_farm_worker_bytes_total", "Bytes of datagrams.", (*_W, "direction"))
WORKER_PARSE_ERRORS = Metric(
    "ds_farm_worker_parse_errors_total", "Malformed datagrams by first fault.", (*_W, "reason")
)
WORKER_DROPS = Metric(
    "ds_farm_worker_drops_total", "Datagrams dropped without an answer.", (*_W, "reason")
)
WORKER_REPLIES = Metric(
    "ds_farm_worker_replies_total", "Responses that the farm made itself.", (*_W, "class")
)
WORKER_ROUTE_ERRORS = Metric(
    "ds_farm_worker_route_errors_total", "Exceptions in the routing module.", _W
)
WORKER_SEND_ERRORS = Metric(
    "ds_farm_worker_send_errors_total", "Datagrams that the kernel would not send.", _W
)
WORKER_JOINED = Metric(
    "ds_farm_worker_joined_datagrams_total",
    "Datagrams sent behind another one for the same address, in one pass through the kernel.",
    _W,
)
WORKER_UNKNOWN_SETS = Metric(
    "ds_farm_worker_unknown_sets_total", "Selections from a set that the table does not have.", _W
)
WORKER_QUEUE = Metric(
    "ds_farm_worker_queue_bytes", "Datagrams that wait in the kernel for it, as of this second.", _W
)
WORKER_QUEUE_LIMIT = Metric(
    "ds_farm_worker_queue_limit_bytes", "What its queues hold before the kernel drops.", _W
)
WORKER_KERNEL_DROPS = Metric(
    "ds_farm_worker_kernel_drops_total",
    "Datagrams that the kernel had no room for.",
    _W,
)
WORKER_WAIT = Metric(
    "ds_farm_worker_queue_wait_seconds",
    "How long the first datagram of each batch had waited for it in the socket.",
    _W,
    WAIT_BOUNDS_S,
)
WORKER_ABSORBED = Metric(
    "ds_farm_worker_absorbed_acks_total", "ACKs of negative responses of our own.", _W
)
WORKER_REPEATED = Metric(
    "ds_farm_worker_repeated_requests_total",
    "Requests that came again and were absorbed by their transaction.",
    _W,
)
WORKER_TRANSACTIONS = Metric(
    "ds_farm_worker_transactions",
    "Transactions in memory: without a final response, or waiting for what comes late.",
    (*_W, "phase"),
)
WORKER_RETRANSMISSIONS = Metric(
    "ds_farm_worker_retransmissions_total", "Messages that transactions have sent again.", _W
)
WORKER_HANDED_OVER = Metric(
    "ds_farm_worker_handed_over_total", "Messages of another worker's calls, given to it.", _W
)
WORKER_BATCHES = Metric("ds_farm_worker_batches_total", "Reads that brought datagrams.", _W)
WORKER_BUSY = Metric(
    "ds_farm_worker_busy_seconds_total", "Time spent with messages; its rate is the load.", _W
)
WORKER_RESTARTS = Metric("ds_farm_worker_restarts_total", "Starts after the first one.", _W)

METRICS = (
    *(each for each in list(globals().values()) if isinstance(each, Metric)),
    *table_metrics.METRICS,
    *probe_samples.METRICS,
)
"""All metrics in the order of exposition."""


@dataclass(frozen=True, slots=True)
class Build:
    """What does not come from the segment."""

    version: str
    python: str
    native: bool


def collect(segment: Segment, registry: Registry, build: Build, now_ns: int) -> Iterator[Family]:
    """Every metric with its samples now.  ``now_ns`` is CLOCK_MONOTONIC."""
    table = registry.table()
    yield from _farm(segment, build)
    yield from _processes(segment, now_ns)
    yield from _workers(segment)
    yield from table_metrics.of_sets(segment, table, registry)
    yield from table_metrics.of_destinations(segment, table)
    yield from probe_samples.of_farm(segment)
    yield from probe_samples.of_sets(segment, table)


def _farm(segment: Segment, build: Build) -> Iterator[Family]:
    header = segment.header
    yield UP, [((), 1)]
    yield BUILD, [((build.version, build.python, str(build.native).lower()), 1)]
    yield START_TIME, [((), header.created_ns / 1e9)]
    yield GENERATION, [((), header.generation)]
    yield (
        RELOADS,
        [(("success",), header.reloads_ok), (("failure",), header.reloads_failed)],
    )
    yield RELOAD_OK, [((), header.reload_successful)]
    yield RELOAD_TIME, [((), header.last_reload_ns / 1e9)]
    yield LOAD_ERRORS, _by_reason(LoadError, header.words("load_errors"))
    yield DISCARDED, _by_reason(Discard, header.words("discarded"))
    yield DATABASE_UP, [((), header.database_up)]
    yield STEERING, [((By(header.steering).name.lower(),), 1)]
    yield FLUSH_DUE, [((), header.flush_due)]
    oldest_ns = header.flush_oldest_ns
    lag_s = max(0.0, (segment.now_ns() - oldest_ns) / 1e9) if oldest_ns else 0.0
    yield FLUSH_LAG, [((), lag_s)]
    yield FLUSH_FAILURES, [((), header.flush_failures)]
    failing = min(header.dns_failing, header.dns_names)
    yield DNS_NAMES, [(("ok",), header.dns_names - failing), (("failed",), failing)]
    yield DNS_QUESTIONS, [((), header.dns_questions)]
    yield DNS_FAILURES, [((), header.dns_failures)]
    yield LOCK_RECOVERIES, [((), sum(header.words("lock_recoveries")))]
    yield STATE_CHANGES_UNKNOWN, [((), header.changes_unknown)]
    yield EVENTS, [((), header.events_raised)]
    yield (
        EVENT_DELIVERIES,
        [(("delivered",), header.events_delivered), (("dropped",), header.events_dropped)],
    )
    yield MI_REQUESTS, [((), header.mi_requests)]


def _by_reason(reasons: type[IntEnum], counts: Sequence[int]) -> list[Sample]:
    return [((each.name.lower(),), counts[each]) for each in reasons]


def _processes(segment: Segment, now_ns: int) -> Iterator[Family]:
    states = dict.fromkeys(WORKER_STATES, 0)
    for state in worker_states(segment, now_ns):
        states[state] += 1
    restarts: list[Sample] = []
    for index in range(segment.layout.max_processes):
        view = segment.process(index)
        if view.role not in (Role.NONE, Role.WORKER):
            restarts.append(((Role(view.role).name.lower(),), max(0, view.starts - 1)))
    yield CONFIGURED, [((), segment.header.workers)]
    yield WORKERS, [((state,), count) for state, count in states.items()]
    yield RESTARTS, restarts


def worker_states(segment: Segment, now_ns: int) -> Iterator[str]:
    """What each SIP worker does, one of `WORKER_STATES`.  ``now_ns`` is CLOCK_MONOTONIC."""
    for rank in range(segment.layout.max_workers):
        view = segment.process(rank)
        if view.role == Role.WORKER and view.pid:
            if now_ns - view.heartbeat_ns > SILENT_S * 1e9:
                yield "silent"
            else:
                yield "booting" if view.status == Status.BOOTING else "running"


def _workers(segment: Segment) -> Iterator[Family]:
    samples: dict[Metric, list[Sample]] = {
        metric: [] for metric in METRICS if metric.name.startswith("ds_farm_worker_")
    }
    for rank in ranks_of(segment):
        for metric, labels, value in _worker(segment, rank):
            samples[metric].append(((str(rank), *labels), value))
    yield from samples.items()


def _worker(segment: Segment, rank: int) -> Iterator[tuple[Metric, tuple[str, ...], float]]:
    view = segment.worker(rank)
    yield WORKER_MESSAGES, ("request", "received"), view.requests
    yield WORKER_MESSAGES, ("response", "received"), view.responses
    yield WORKER_MESSAGES, ("request", "sent"), view.forwarded_requests
    yield WORKER_MESSAGES, ("response", "sent"), view.forwarded_responses
    yield WORKER_BYTES, ("received",), view.received_bytes
    yield WORKER_BYTES, ("sent",), view.sent_bytes
    yield WORKER_ROUTE_ERRORS, (), view.route_errors
    yield WORKER_SEND_ERRORS, (), view.send_errors
    yield WORKER_JOINED, (), view.joined
    yield WORKER_UNKNOWN_SETS, (), view.unknown_sets
    yield WORKER_QUEUE, (), view.queued_bytes
    yield WORKER_QUEUE_LIMIT, (), view.queue_limit_bytes
    yield WORKER_KERNEL_DROPS, (), view.kernel_drops
    for labels, value in histogram((), WAIT_BOUNDS_S, view.words("waits"), view.wait_ns / 1e9):
        yield WORKER_WAIT, labels, value
    yield WORKER_ABSORBED, (), view.absorbed
    yield WORKER_REPEATED, (), view.repeated
    yield WORKER_TRANSACTIONS, ("open",), view.unfinished
    yield WORKER_TRANSACTIONS, ("over",), max(0, view.transactions - view.unfinished)
    yield WORKER_RETRANSMISSIONS, (), view.retransmissions
    yield WORKER_HANDED_OVER, (), view.handed_over
    yield WORKER_BATCHES, (), view.batches
    yield WORKER_BUSY, (), view.busy_ns / 1e9
    yield WORKER_RESTARTS, (), max(0, starts_of(segment, rank) - 1)
    for label, value in zip(CLASSES, view.words("replies")[1:], strict=False):
        yield WORKER_REPLIES, (label,), value
    malformed, dropped = view.words("malformed"), view.words("dropped")
    for fault, label in FAULT_LABELS.items():
        yield WORKER_PARSE_ERRORS, (label,), malformed[fault]
    for drop, label in DROP_LABELS.items():
        yield WORKER_DROPS, (label,), dropped[drop]
