"""The exporter: Prometheus's view of the farm over HTTP, read from the segment.

``/metrics`` is prometheus_client's own exposition (text or OpenMetrics, gzip, ``name[]``);
``/healthz`` says that this process serves; ``/readyz`` that the farm can take calls.  It writes
nothing but its own process slot.
"""

from __future__ import annotations

import importlib.util
import platform
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.metrics_core import Metric as Exposed
from prometheus_client.registry import Collector

import ds_farm
from ds_farm import metrics
from ds_farm.dispatch.registry import Registry
from ds_farm.metric import Metric, Sample
from shm.segment import Segment
from workers.httpd import answer, serve
from workers.process import ProcessContext

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class FarmCollector(Collector):
    """`ds_farm.metrics` in the words of prometheus_client."""

    def __init__(self, segment: Segment, build: metrics.Build) -> None:
        self._segment = segment
        self._registry = Registry(segment)
        self._build = build
        self._guard = threading.Lock()

    def collect(self) -> Iterable[Exposed]:
        with self._guard:  # scrapes at the same moment share the decoded table
            found = metrics.collect(self._segment, self._registry, self._build, time.monotonic_ns())
            return [_exposed(metric, samples) for metric, samples in found]

    def describe(self) -> Iterable[Exposed]:
        return [_exposed(metric, ()) for metric in metrics.METRICS]


def _exposed(metric: Metric, samples: Iterable[Sample]) -> Exposed:
    exposed = Exposed(metric.name.removesuffix("_total"), metric.help, metric.kind)
    if metric.kind == "histogram":
        for (*values, part), value in samples:
            labels = dict(zip(metric.labels, values, strict=True))
            if part in ("count", "sum"):
                exposed.add_sample(f"{metric.name}_{part}", labels, value)
            else:
                exposed.add_sample(f"{metric.name}_bucket", labels | {"le": part}, value)
        return exposed
    for each, value in samples:
        exposed.add_sample(metric.name, dict(zip(metric.labels, each, strict=True)), value)
    return exposed


def is_native() -> bool:
    """The path of a message is compiled."""
    found = importlib.util.find_spec("ds_farm.sip._scan")
    return found is not None and bool(found.origin) and str(found.origin).endswith(".so")


def not_ready(segment: Segment, now_ns: int) -> str:
    """Why the farm cannot take calls, "" if it can."""
    if not segment.header.generation:
        return "there is no table of destinations yet"
    if "running" not in metrics.worker_states(segment, now_ns):
        return "no SIP worker is running"
    return ""


def application(segment: Segment, build: metrics.Build) -> WSGIApplication:
    """The paths that the exporter serves."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FarmCollector(segment, build))
    expose = make_wsgi_app(registry)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "GET":
            return answer(start_response, "405 Method Not Allowed", b"GET only\n")
        match environ.get("PATH_INFO", "/"):
            case "/metrics":
                exposed: Iterable[bytes] = expose(environ, start_response)
                return exposed
            case "/healthz":
                return answer(start_response, "200 OK", b"ok\n")
            case "/readyz":
                reason = not_ready(segment, time.monotonic_ns())
                status = "503 Service Unavailable" if reason else "200 OK"
                return answer(start_response, status, f"{reason or 'ready'}\n".encode())
            case "/":
                return answer(start_response, "200 OK", b"/metrics /healthz /readyz\n")
        return answer(start_response, "404 Not Found", b"not here\n")

    return app


def main(context: ProcessContext) -> None:
    """Entry of the process table."""
    build = metrics.Build(
        version=ds_farm.__version__,
        python=platform.python_version(),
        native=is_native(),
        workers_configured=context.config.farm.children,
    )
    serve(context, application(context.segment, build))
