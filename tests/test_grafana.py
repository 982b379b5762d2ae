"""Dashboards: files are what the code makes, expressions are PromQL over metrics that exist."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ds_farm.metrics import METRICS
from grafana.generate import DASHBOARDS, FOLDER, dashboard_json
from grafana.model import Dashboard

OF_PROMETHEUS = {"instance", "job"}
"""Labels that the scrape adds."""

OF_HISTOGRAMS = {"le"}
PARTS = ("_bucket", "_count", "_sum")
"""Ends of the names of a histogram's series."""

VARIABLES = {"$__rate_interval": "5m", "$instance": ".*", "$partition": ".*", "$set": ".*"}
BY_NAME = {metric.name: metric for metric in METRICS if metric.kind != "histogram"}
BY_NAME |= {
    f"{metric.name}{part}": metric
    for metric in METRICS
    if metric.kind == "histogram"
    for part in PARTS
}


def _expressions() -> Iterator[tuple[str, str]]:
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            for query in panel.queries:
                yield f"{dashboard.name}: {panel.title}", query.expr


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.name)
def test_the_file_is_in_step(dashboard: Dashboard) -> None:
    written = (FOLDER / f"{dashboard.name}.json").read_text(encoding="utf-8")
    assert written == dashboard_json(dashboard), "run `make docs`"


def test_every_file_has_its_code() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {one.name for one in DASHBOARDS}


def test_identities_and_places() -> None:
    models = [json.loads(dashboard_json(one)) for one in DASHBOARDS]
    assert len({model["uid"] for model in models}) == len(models)
    for model in models:
        cells = [
            (place["x"] + dx, place["y"] + dy)
            for place in (panel["gridPos"] for panel in model["panels"])
            for dx in range(place["w"])
            for dy in range(place["h"])
        ]
        assert len(set(cells)) == len(cells), "panels lie upon each other"
        assert max(x for x, _ in cells) < 24
        assert all(panel["description"] for panel in model["panels"])


@pytest.mark.parametrize(("where", "expr"), list(_expressions()))
def test_names_and_labels_exist(where: str, expr: str) -> None:
    names = set(re.findall(r"\bds_farm_\w+", expr))
    assert names, f"{where} shows nothing of ours"
    assert names <= BY_NAME.keys(), where
    labels = (OF_PROMETHEUS | OF_HISTOGRAMS).union(*(BY_NAME[name].labels for name in names))
    grouped = re.findall(r"\b(?:by|on|ignoring|group_left|without) \(([^()]*)\)", expr)
    used = {label.strip() for group in grouped for label in group.split(",") if label.strip()}
    used |= set(re.findall(r"(\w+)(?:=~|!=|!~|=)\"", expr))
    assert used <= labels, where


def test_variables_are_taken_from_metrics_that_exist() -> None:
    for dashboard in DASHBOARDS:
        for _, values in dashboard.variables:
            name, label = re.split(r"[{,]", values)[0], values.rpartition(",")[2].strip()
            assert label in OF_PROMETHEUS.union(BY_NAME[name].labels), values


def test_legends_use_labels_that_the_result_has() -> None:
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            for query in panel.queries:
                wanted = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
                by = re.findall(r"\bby \(([^()]*)\)", query.expr)
                has = {label.strip() for group in by for label in group.split(",")}
                names = re.findall(r"\bds_farm_\w+", query.expr)
                has = has or set().union(*(BY_NAME[name].labels for name in names))
                assert wanted <= has, f"{dashboard.name}: {panel.title}"


def test_prometheus_parses_every_expression(tmp_path: Path) -> None:
    rules = []
    for number, (_, expr) in enumerate(_expressions()):
        for name, value in VARIABLES.items():
            expr = expr.replace(name, value)
        assert "$" not in expr
        rules.append({"record": f"panel:{number}", "expr": expr})
    file = tmp_path / "rules.yaml"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(rules)} rules found" in done.stdout


VALUES = {
    "class": ("1xx", "2xx", "4xx", "5xx"),
    "direction": ("received", "sent"),
    "instance": ("127.0.0.1:9464",),
    "kind": ("request", "response"),
    "le": ("0.001", "0.1", "+Inf"),
    "result": ("ok", "no_active", "success", "failure", "good", "timeout"),
    "set": ("1", "2"),
    "state": ("active", "inactive", "probing", "booting", "running", "silent"),
    "worker": ("0", "1"),
}


def test_every_panel_has_data_where_every_metric_has(tmp_path: Path) -> None:
    """Joins that match nothing, or match several, show only when they are evaluated."""
    series = []
    for name, metric in BY_NAME.items():
        names = ("instance", *metric.labels, *(("le",) if name.endswith("_bucket") else ()))
        for values in itertools.product(*(VALUES.get(name, ("x",)) for name in names)):
            labels = ",".join(f'{n}="{v}"' for n, v in zip(names, values, strict=True))
            series.append(
                {
                    "series": f"{name}{{{labels}}}",
                    "values": "1x120" if metric.kind == "gauge" else "1+10x120",
                }
            )
    tests = []
    for _, expr in _expressions():
        for name, value in VARIABLES.items():
            expr = expr.replace(name, value)
        tests.append(
            {
                "expr": f"count({expr}) > bool 0",
                "eval_time": "20m",
                "exp_samples": [{"labels": "{}", "value": 1}],
            }
        )
    file = tmp_path / "test.yaml"
    file.write_text(
        json.dumps(
            {
                "evaluation_interval": "15s",
                "tests": [{"interval": "15s", "input_series": series, "promql_expr_test": tests}],
            }
        )
    )
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
