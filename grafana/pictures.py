"""Pictures of a dashboard's panels, drawn from what a Prometheus has seen: for documents.

    pip install --group pictures
    python -m grafana.pictures http://127.0.0.1:9090 docs/pictures --minutes 10

Grafana draws them better; this needs nothing but a Prometheus and matplotlib.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from grafana.generate import DASHBOARDS
from grafana.model import Panel, Query

COLUMNS = 2
POINTS = 240
MOST_SERIES = 10
UNITS = {"s": "seconds", "percentunit": "share", "reqps": "a second", "mps": "a second"}
UNITS |= {"ops": "a second", "Bps": "bytes a second"}


def ask(server: str, query: Query, start_s: float, end_s: float, window: str) -> list[Any]:
    """A query's series over the time, as Prometheus answers them (``query_range``)."""
    expr = query.expr.replace("$__rate_interval", window)
    expr = re.sub(r"\$(instance|partition|set)\b", ".*", expr)
    parameters = urllib.parse.urlencode(
        {"query": expr, "start": start_s, "end": end_s, "step": (end_s - start_s) / POINTS}
    )
    with urllib.request.urlopen(f"{server}/api/v1/query_range?{parameters}", timeout=30) as answer:
        found: list[Any] = json.load(answer)["data"]["result"]
    return found


def legend(query: Query, labels: dict[str, str]) -> str:
    """The name of a series, as Grafana makes it."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), query.legend)


def draw(axes: Any, panel: Panel, server: str, span: tuple[float, float], window: str) -> None:
    """One panel as lines over time."""
    count = 0
    for query in panel.queries:
        for series in ask(server, query, *span, window)[:MOST_SERIES]:
            points = [(float(at), float(value)) for at, value in series["values"]]
            axes.plot(
                [(at - span[0]) / 60 for at, _ in points],
                [value if math.isfinite(value) else math.nan for _, value in points],
                label=legend(query, series["metric"]),
                linewidth=1.2,
            )
            count += 1
    axes.set_title(panel.title, fontsize=10, loc="left")
    axes.set_ylabel(UNITS.get(panel.unit, ""), fontsize=8)
    axes.set_xlabel("minutes", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, alpha=0.3)
    axes.set_ylim(bottom=0)
    if count:
        axes.legend(fontsize=7, loc="best")


def picture(panels: Sequence[Panel], server: str, minutes: float, window: str) -> Figure:
    """Panels side by side, two in a line."""
    lines = math.ceil(len(panels) / COLUMNS)
    figure = Figure(figsize=(11, 2.6 * lines), layout="constrained")
    now_s = time.time()
    places = figure.subplots(lines, COLUMNS, squeeze=False).flat
    for place, panel in zip(places, panels, strict=False):
        draw(place, panel, server, (now_s - minutes * 60, now_s), window)
    for place in list(figure.axes)[len(panels) :]:
        place.remove()
    return figure


def main() -> None:
    """Write NAME.svg for each dashboard, or for the panels that are named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("server", help="of Prometheus, such as http://127.0.0.1:9090")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--minutes", type=float, default=10.0, help="how far back")
    parser.add_argument("--window", default="15s", help="of a rate")
    parser.add_argument("--panel", action="append", help="titles of the panels; all if none")
    options = parser.parse_args()
    mpl.rcParams["svg.hashsalt"] = "ds_farm"  # the same data, the same file
    options.folder.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        panels = [
            panel
            for panel in dashboard.panels
            if panel.kind in ("timeseries", "state-timeline")
            and (not options.panel or panel.title in options.panel)
        ]
        if panels:
            figure = picture(panels, options.server, options.minutes, options.window)
            figure.savefig(options.folder / f"{dashboard.name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
