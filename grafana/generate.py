"""Writes grafana/dashboards/*.json from the modules beside it: ``python -m grafana.generate``.

tests/test_grafana.py holds code and files in step.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grafana.destinations import DESTINATIONS
from grafana.model import Dashboard, Panel
from grafana.overview import OVERVIEW
from grafana.workers import WORKERS

DASHBOARDS = (OVERVIEW, DESTINATIONS, WORKERS)
"""All dashboards."""

FOLDER = Path(__file__).parent / "dashboards"
SCHEMA_VERSION = 39
"""Of Grafana 11; newer ones bring a dashboard up to their own."""

COLUMNS = 24
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_HEIGHTS = {"stat": 4}
_HEIGHT = 8

_STATES = {
    "0": {"text": "active", "color": "green", "index": 0},
    "1": {"text": "inactive", "color": "red", "index": 1},
    "2": {"text": "probing", "color": "yellow", "index": 2},
}


def dashboard_json(dashboard: Dashboard) -> str:
    """A dashboard as Grafana imports it."""
    model = {
        "uid": f"ds-farm-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["ds_farm", "sip"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": list(_variables(dashboard))},
        "panels": list(_panels(dashboard.panels)),
    }
    return json.dumps(model, indent=2) + "\n"


def _variables(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    for name, values in dashboard.variables:
        yield {
            "name": name,
            "type": "query",
            "datasource": _DATASOURCE,
            "query": {"query": f"label_values({values})", "refId": name},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }


def _panels(panels: tuple[Panel, ...]) -> Iterator[dict[str, Any]]:
    x = y = height = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > COLUMNS:
            x, y, height = 0, y + height, 0
        own = _HEIGHTS.get(panel.kind, _HEIGHT)
        yield _panel(number, panel) | {
            "gridPos": {"x": x, "y": y, "w": panel.width, "h": own},
        }
        x, height = x + panel.width, max(height, own)


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    is_table = panel.kind == "table"
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.kind == "state-timeline":
        defaults["mappings"] = [{"type": "value", "options": _STATES}]
    made: dict[str, Any] = {
        "id": number,
        "title": panel.title,
        "description": panel.about,
        "type": panel.kind,
        "datasource": _DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
            }
            | ({"instant": True, "format": "table"} if is_table else {})
            for index, query in enumerate(panel.queries)
        ],
    }
    if is_table:
        made["transformations"] = [
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True},
                    "renameByName": {
                        "Value #A": "weight",
                        "Value #B": "priority",
                        "Value #C": "addresses",
                    },
                },
            },
        ]
    return made


def main() -> int:
    """Write every dashboard."""
    FOLDER.mkdir(exist_ok=True)
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.name}.json").write_text(dashboard_json(dashboard), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
