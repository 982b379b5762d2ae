"""Prometheus scrapes a farm under traffic: panels and alerts say what the traffic makes true."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from grafana.generate import DASHBOARDS
from tests.support.farm import Farm
from tests.support.peer import Peer
from tests.support.prometheus import Prometheus
from tests.support.sipp import Caller, Destination, Server
from tests.support.wait import until

ALERTS = Path(__file__).parents[2] / "deploy" / "alerts.yml"
RATE = 200
WINDOW = "10s"
VARIABLES = {"$__rate_interval": WINDOW, "$instance": ".*", "$partition": ".*", "$set": ".*"}


def expressions() -> dict[str, str]:
    """Of all panels, by where they are."""
    found = {}
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            for number, query in enumerate(panel.queries):
                expr = query.expr
                for name, value in VARIABLES.items():
                    expr = expr.replace(name, value)
                found[f"{dashboard.name}: {panel.title} ({number})"] = expr
    return found


@pytest.mark.timeout(300)  # it may wait 40 s and six times 20 s
def test_panels_and_alerts_of_a_farm_at_work(tmp_path: Path) -> None:
    # Rules as they ship, but that they need not hold for minutes.
    rules = re.sub(r"for: \S+", "for: 1s", ALERTS.read_text())
    probing = {"ds_ping_interval": 1, "ds_probing_mode": 1, "ds_probing_threshhold": 2}
    with (
        Destination(tmp_path, "good") as good,
        Destination(tmp_path, "failing") as failing,
        Farm(
            tmp_path / "farm",
            [good.uri, failing.uri],
            children=2,
            settings={"dispatcher": probing, "route": {"flags": "f"}},
        ) as farm,
        Caller(tmp_path, farm.sip, 100_000, RATE),
        Prometheus(tmp_path / "prometheus", farm.metrics_address, rules) as prometheus,
    ):
        until(
            lambda: prometheus.query("count_over_time(ds_farm_up[1m]) > 12"), "twelve scrapes", 40.0
        )
        assert prometheus.query('up{job="ds_farm"}')[0][1] == 1
        assert not prometheus.alerts()
        panels = expressions()
        # Some show trouble alone, and there is none yet.
        trouble = {where for where, expr in panels.items() if expr.endswith("> 0")}
        assert trouble < panels.keys()
        empty = {where for where, expr in panels.items() if not prometheus.query(expr)}
        assert empty <= trouble, empty - trouble
        assert all("Round trip" in where for where in trouble - empty)
        with Peer() as peer:
            peer.send(b"OPTIONS nonsense\r\n\r\n", farm.sip)
            malformed = {where for where in trouble if "Malformed" in where}
            until(
                lambda: any(prometheus.query(panels[where]) for where in malformed),
                "the malformed message in its panel",
                20.0,
            )
        ((_, rate),) = prometheus.query(f"sum(rate(ds_farm_destination_requests_total[{WINDOW}]))")
        assert 0.5 * RATE < rate < 1.5 * RATE
        shares = prometheus.query(
            f"sum by (destination) (rate(ds_farm_destination_requests_total[{WINDOW}]))"
        )
        assert {labels["destination"] for labels, _ in shares} == {good.uri, failing.uri}
        assert max(value for _, value in shares) < 1.5 * min(value for _, value in shares)

        # A destination fails: its alert fires, and no other one but what follows from it.
        failing.close()
        down = ("DsFarmDestinationDown", failing.uri)
        until(lambda: down in prometheus.alerts(), "the alert", 20.0)
        assert ("DsFarmDestinationDown", good.uri) not in prometheus.alerts()
        assert ("DsFarmSetDown", "") not in prometheus.alerts()
        # It comes back: the alert is over.
        arguments = ("-deadcall_wait", "0")
        place = failing.host, failing.port
        with Server(tmp_path / "again", "again", "options_uas.xml", *place, *arguments):
            until(lambda: down not in prometheus.alerts(), "the end of the alert", 20.0)
        for name, expr in prometheus.rules().items():
            prometheus.query(expr)  # each is a query that the server takes
            assert name.startswith("DsFarm")
        # A failed reload, and the farm's end.
        farm.database.write_text("no database " * 100)
        farm.signal(signal.SIGHUP)
        until(lambda: ("DsFarmReloadFailed", "") in prometheus.alerts(), "that alert", 20.0)
        farm.stop()
        until(lambda: ("DsFarmDown", "") in prometheus.alerts(), "the last alert", 20.0)
