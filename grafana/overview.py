"""The overview: is the farm well?"""

from __future__ import annotations

from grafana.model import INSTANCE, ME, RATE, Dashboard, Panel, Query, stat

OVERVIEW = Dashboard(
    "overview",
    "ds_farm: overview",
    (INSTANCE,),
    (
        stat("Farm", f"min(ds_farm_up{{{ME}}})", "1 while the exporter can read the segment."),
        stat(
            "Workers running",
            f'sum(ds_farm_workers{{{ME},state="running"}})',
            "SIP workers with a fresh heartbeat.",
        ),
        stat(
            "Requests",
            f"sum(rate(ds_farm_destination_requests_total{{{ME}}}{RATE}))",
            "Forwarded to destinations.",
            "reqps",
        ),
        stat(
            "Destinations active",
            f'sum(ds_farm_set_destinations{{{ME},state="active"}})',
            "Of all sets and partitions.",
        ),
        stat(
            "Destinations down",
            f'sum(ds_farm_set_destinations{{{ME},state!="active"}})',
            "Inactive or probing: not selected.",
        ),
        stat(
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
                    f"ds_farm_set_selection_failures_total{{{ME}}}{RATE}))",
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
            "State changes and events",
            (
                Query(
                    f"sum(increase(ds_farm_destination_state_changes_total{{{ME}}}{RATE}))",
                    "changes of state",
                ),
                Query(
                    f"sum by (result) (increase(ds_farm_event_deliveries_total{{{ME}}}{RATE}))",
                    "events {{result}}",
                ),
            ),
            "A dropped event: its subscriber was too slow or not there.",
        ),
        Panel(
            "Management requests",
            (Query(f"sum(rate(ds_farm_mi_requests_total{{{ME}}}{RATE}))", "requests"),),
            "Of all transports.",
            "reqps",
        ),
        Panel(
            "Reloads",
            (
                Query(
                    f"sum by (result) (increase(ds_farm_reloads_total{{{ME}}}{RATE}))",
                    "{{result}}",
                ),
                Query(
                    f"sum by (reason) (ds_farm_config_discarded_rows{{{ME}}})",
                    "rows left out: {{reason}}",
                ),
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
        Panel(
            "States that wait for the database",
            (
                Query(f"sum(ds_farm_flush_pending{{{ME}}})", "changed states"),
                Query(f"max(ds_farm_flush_lag_seconds{{{ME}}})", "seconds waited"),
                Query(
                    f"sum(increase(ds_farm_flush_failures_total{{{ME}}}{RATE}))", "failed writes"
                ),
            ),
            "With persistent_state = 1: changed states that are not written back yet.",
        ),
        Panel(
            "Names of destinations",
            (
                Query(f"sum by (result) (ds_farm_dns_names{{{ME}}})", "{{result}}"),
                Query(
                    f"sum(increase(ds_farm_dns_failures_total{{{ME}}}{RATE}))", "failed look-ups"
                ),
            ),
            "A name that fails keeps the addresses that it had.",
        ),
    ),
)
