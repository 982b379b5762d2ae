"""The exporter: Prometheus's view of the farm over HTTP, read from the segment.

``/metrics`` in the plain text format is written by `ds_farm.exposition`, which is quick; who takes
OpenMetrics alone, or asks for names (``name[]``), gets prometheus_client's own exposition.
With ``metrics.basic_auth_users`` both ask for a password.
``/healthz`` says that this process serves; ``/readyz`` that the farm can take calls.  It writes
nothing but its own process slot.
"""

from __future__ import annotations

import gzip
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
from ds_farm import exposition, metrics
from ds_farm.dispatch.registry import Registry
from ds_farm.metric import Family, Metric, Sample, samples_of
from shm.segment import Segment
from workers.httpd import answer, serve
from workers.https import Certificates, Passwords
from workers.process import ProcessContext

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


FREE = frozenset({"/healthz", "/readyz"})
"""Who asks whether we live has no password: a load balancer, the kubelet."""

MOST_COMPRESSED = 4 << 20
GZIP_LEVEL = 1


class FarmCollector(Collector):
    """`ds_farm.metrics` in the words of prometheus_client."""

    def __init__(self, segment: Segment, build: metrics.Build) -> None:
        self._segment = segment
        self._registry = Registry(segment)
        self._build = build
        self._guard = threading.Lock()

    def _collect(self) -> Iterable[Family]:
        return metrics.collect(self._segment, self._registry, self._build, time.monotonic_ns())

    def collect(self) -> Iterable[Exposed]:
        with self._guard:  # scrapes at the same moment share the decoded table
            return [exposed(metric, samples_of(rows)) for metric, rows in self._collect()]

    def text(self) -> bytes:
        """The same in the text format."""
        with self._guard:
            return exposition.text(self._collect())

    def describe(self) -> Iterable[Exposed]:
        return [exposed(metric, ()) for metric in metrics.METRICS]


def exposed(metric: Metric, samples: Iterable[Sample]) -> Exposed:
    """A family in the library's words."""
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
    collector = FarmCollector(segment, build)
    registry.register(collector)
    expose = make_wsgi_app(registry)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "GET":
            return answer(
                start_response,
                "405 Method Not Allowed",
                b"GET only\n",
                headers=[("Allow", "GET, HEAD")],
            )
        match environ.get("PATH_INFO", "/"):
            case "/metrics" if _wants_text(environ):
                return _plain(environ, start_response, collector.text())
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


def _wants_text(environ: WSGIEnvironment) -> bool:
    """It takes the plain format, as every Prometheus does, and wants all of it."""
    accepted = environ.get("HTTP_ACCEPT") or "*/*"
    takes_it = "text/plain" in accepted or "*/*" in accepted
    return takes_it and not environ.get("QUERY_STRING")


def _plain(environ: WSGIEnvironment, start_response: StartResponse, body: bytes) -> list[bytes]:
    headers = [("Content-Type", exposition.CONTENT_TYPE)]
    # Compressing what is long takes longer than sending it, on the way that a scrape goes.
    if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "") and len(body) <= MOST_COMPRESSED:
        body = gzip.compress(body, GZIP_LEVEL)
        headers.append(("Content-Encoding", "gzip"))
    start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
    return [body]


def main(context: ProcessContext) -> None:
    """Entry of the process table."""
    build = metrics.Build(
        version=ds_farm.__version__,
        python=platform.python_version(),
        native=is_native(),
    )
    settings = context.config.metrics
    passwords = Passwords(settings.basic_auth_users, "ds_farm metrics", FREE)
    app = passwords.protect(application(context.segment, build))
    serve(context, app, Certificates.of(settings))
