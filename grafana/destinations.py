"""Destinations: who gets how much, answers how, and is in which state?"""

from __future__ import annotations

from grafana.model import INSTANCE, ME, RATE, SET, Dashboard, Panel, Query

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
            "Time to the first response",
            (
                Query(
                    "histogram_quantile(0.5, sum by (destination, le) (rate("
                    f"ds_farm_destination_first_response_seconds_bucket{{{SET}}}{RATE})))",
                    "{{destination}} median",
                ),
                Query(
                    "histogram_quantile(0.99, sum by (destination, le) (rate("
                    f"ds_farm_destination_first_response_seconds_bucket{{{SET}}}{RATE})))",
                    "{{destination}} 99 %",
                ),
            ),
            "With transactions: from the request's first sending to any response.",
            "s",
        ),
        Panel(
            "Time to the final response",
            (
                Query(
                    "histogram_quantile(0.5, sum by (destination, le) (rate("
                    f"ds_farm_destination_final_response_seconds_bucket{{{SET}}}{RATE})))",
                    "{{destination}} median",
                ),
                Query(
                    "histogram_quantile(0.99, sum by (destination, le) (rate("
                    f"ds_farm_destination_final_response_seconds_bucket{{{SET}}}{RATE})))",
                    "{{destination}} 99 %",
                ),
            ),
            "With transactions; of a call it is the time until somebody answers.",
            "s",
        ),
        Panel(
            "Transactions in flight",
            (
                Query(
                    f"sum by (destination) (ds_farm_destination_transactions{{{SET}}})",
                    "{{destination}}",
                ),
            ),
            "Requests that wait for a final response.",
        ),
        Panel(
            "Timeouts and failovers",
            (
                Query(
                    "sum by (destination) "
                    f"(rate(ds_farm_destination_timeouts_total{{{SET}}}{RATE})) > 0",
                    "{{destination}} timed out",
                ),
                Query(
                    "sum by (destination) "
                    f"(rate(ds_farm_destination_failovers_away_total{{{SET}}}{RATE})) > 0",
                    "away from {{destination}}",
                ),
                Query(
                    "sum by (destination) "
                    f"(rate(ds_farm_destination_failovers_total{{{SET}}}{RATE})) > 0",
                    "to {{destination}}",
                ),
            ),
            "No final response within fr_timeout; calls that went on to another destination.",
            "ops",
        ),
        Panel(
            "First choice",
            (
                Query(
                    "sum by (destination) "
                    f"(rate(ds_farm_destination_selected_total{{{SET}}}{RATE}))",
                    "{{destination}}",
                ),
            ),
            "Selections that had this destination first (first_hit_counter of ds_list).",
            "ops",
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
            "Probes by result",
            (
                Query(
                    "sum by (result) "
                    f"(rate(ds_farm_destination_probe_results_total{{{SET}}}{RATE}))",
                    "{{result}}",
                ),
            ),
            "Ended probes: good, bad (another reply), timeout, refused (ICMP), unsent.",
            "ops",
        ),
        Panel(
            "Round trip of probes by destination",
            (
                Query(
                    "max by (destination) "
                    f"(ds_farm_destination_probe_rtt_smoothed_seconds{{{SET}}}) > 0",
                    "{{destination}}",
                ),
            ),
            "Running mean, from the first transmission to the final reply.",
            "s",
        ),
        Panel(
            "Round trip of probes by set",
            (
                Query(
                    "histogram_quantile(0.5, sum by (partition, set, le) "
                    f"(rate(ds_farm_set_probe_rtt_seconds_bucket{{{SET}}}{RATE})))",
                    "{{partition}} {{set}} median",
                ),
                Query(
                    "histogram_quantile(0.99, sum by (partition, set, le) "
                    f"(rate(ds_farm_set_probe_rtt_seconds_bucket{{{SET}}}{RATE})))",
                    "{{partition}} {{set}} 99 %",
                ),
            ),
            "Of all destinations of a set.",
            "s",
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
