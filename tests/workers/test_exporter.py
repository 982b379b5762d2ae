"""/metrics of a running farm, as Prometheus, probes and rude clients meet it."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ds_farm.metric import Metric
from ds_farm.metrics import METRICS
from shm.layout import Role
from shm.segment import Segment
from tests.support import database, process
from tests.support.metrics import scrape
from tests.support.net import free_port, own_host
from tests.support.wait import until
from tests.workers.conftest import ROWS
from tests.workers.stage import Stage


def address(farm: Stage) -> tuple[str, int]:
    host, _, port = farm.url("metrics").removeprefix("http://").rpartition(":")
    return host, int(port)


def sample_names(metric: Metric) -> Iterator[tuple[str, set[str]]]:
    """Names and labels of a metric's samples; a histogram has three (exposition format 0.0.4)."""
    if metric.kind != "histogram":
        yield metric.name, set(metric.labels)
        return
    yield f"{metric.name}_bucket", {*metric.labels, "le"}
    yield f"{metric.name}_sum", set(metric.labels)
    yield f"{metric.name}_count", set(metric.labels)


def get(farm: Stage, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(farm.url("metrics") + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5.0) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_promtool_has_no_complaint(farm: Stage) -> None:
    assert shutil.which("promtool"), "promtool is needed: Debian package prometheus"
    _, _, text = get(farm, "/metrics")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_every_metric_is_there_from_the_load_on(farm: Stage) -> None:
    samples = scrape(address(farm)).samples
    # Ranks of workers get their series when they start.
    until(lambda: scrape(address(farm)).total("ds_farm_workers", state="running") == 2, "workers")
    samples = scrape(address(farm)).samples
    expected = {name: labels for metric in METRICS for name, labels in sample_names(metric)}
    assert expected.keys() == {sample.name for sample in samples}
    for sample in samples:
        assert set(sample.labels) == expected[sample.name]


def test_destinations_have_all_series_with_zero(farm: Stage) -> None:
    metrics = scrape(address(farm))
    labels = {"partition": "default", "set": "1", "destination": "sip:127.0.0.1:7001"}
    assert metrics.total("ds_farm_destination_requests_total", **labels) == 0
    assert metrics.by("class", "ds_farm_destination_responses_total", **labels) == dict.fromkeys(
        ("1xx", "2xx", "3xx", "4xx", "5xx", "6xx"), 0
    )
    assert metrics.by("state", "ds_farm_destination_state", **labels) == {
        "active": 1,
        "inactive": 0,
        "probing": 0,
    }
    inactive = metrics.by("state", "ds_farm_destination_state", destination="sip:127.0.0.1:7003")
    assert inactive == {"active": 0, "inactive": 1, "probing": 0}
    assert metrics.by("state", "ds_farm_set_destinations", set="1")["active"] == 2


def test_counters_of_all_workers_are_summed(farm: Stage) -> None:
    segment = Segment.attach(farm.name, writable=True)
    for rank in (0, 1):
        segment.reserve_counters(rank, segment.header.sets_used, segment.header.destinations_used)
        counters = segment.counters(rank, 1)
        counters.requests = 10 + rank
        segment.memory.store(counters.offset("responses", 4), 3)
        chosen = segment.set_counters(rank, 0)
        segment.memory.store(chosen.offset("selections", 4), 5)
        segment.memory.store(chosen.offset("selections", 10), 1)
        chosen.failures = 3
        segment.worker(rank).unknown_sets = 7
        segment.worker(rank).busy_ns = 1_500_000_000
    segment.close()
    metrics = scrape(address(farm))
    second = {"destination": "sip:127.0.0.1:7002"}
    assert metrics.total("ds_farm_destination_requests_total", **second) == 21
    assert metrics.total("ds_farm_destination_requests_total") == 21
    classes = metrics.by("class", "ds_farm_destination_responses_total", **second)
    assert classes["4xx"] == 6
    assert sum(classes.values()) == 6
    by_algorithm = metrics.by("algorithm", "ds_farm_set_selections_total", set="1")
    assert by_algorithm == {**dict.fromkeys("012356789", 0), "4": 10, "X": 2}
    assert metrics.total("ds_farm_set_selection_failures_total", set="1") == 6
    assert metrics.by("worker", "ds_farm_worker_unknown_sets_total") == {"0": 7, "1": 7}
    assert metrics.by("worker", "ds_farm_worker_busy_seconds_total") == {"0": 1.5, "1": 1.5}


def test_destination_that_stands_twice_is_one_series(farm: Stage, tmp_path: Path) -> None:
    database.write(tmp_path / "db", [ROWS[0], ROWS[0]])
    farm.signal(signal.SIGHUP)
    farm.wait_log("table 2: ")
    metrics = scrape(address(farm))
    assert len(metrics.select("ds_farm_destination_requests_total")) == 1
    assert metrics.total("ds_farm_set_destinations", state="active") == 2


def test_label_values_are_quoted(real: Stage, tmp_path: Path) -> None:
    name = 'odd"\\name'
    real.config["dispatcher"]["partition"] = [f"{name} : db_url=sqlite:///{tmp_path / 'db'}"]
    with real:
        metrics = scrape(address(real))
    assert len(metrics.select("ds_farm_destination_weight", partition=name)) == 3


def test_restarts_are_counted(farm: Stage) -> None:
    os.kill(farm.pid(Role.WORKER, 1), signal.SIGKILL)
    until(lambda: farm.starts(1) == 2, "its successor")
    metrics = scrape(address(farm))
    assert metrics.by("worker", "ds_farm_worker_restarts_total") == {"0": 0, "1": 1}


def test_openmetrics_for_those_who_ask(farm: Stage) -> None:
    _, headers, body = get(farm, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert len(list(text_string_to_metric_families(body.decode()))) == len(METRICS)  # type: ignore[no-untyped-call]
    assert body.endswith(b"# EOF\n")


def test_gzip_and_name_filter(farm: Stage) -> None:
    path = "/metrics?name[]=ds_farm_up&name[]=ds_farm_reloads_total"
    _, headers, body = get(farm, path, **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    names = {
        line.split()[2] for line in gzip.decompress(body).decode().splitlines() if "TYPE" in line
    }
    assert names == {"ds_farm_up", "ds_farm_reloads_total"}


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/healthz", 200, b"ok\n"),
        ("/readyz", 200, b"ready\n"),
        ("/", 200, b"/metrics /healthz /readyz\n"),
        ("/other", 404, b"not here\n"),
    ],
)
def test_other_paths(farm: Stage, path: str, status: int, body: bytes) -> None:
    found, _, text = get(farm, path)
    assert (found, text) == (status, body)


def test_other_methods(farm: Stage) -> None:
    def ask(line: bytes) -> list[bytes]:
        with socket.create_connection(address(farm), 5.0) as made:
            made.sendall(line + b" HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: made.recv(1000), b"")).split(b"\r\n\r\n")

    head, body = ask(b"HEAD /healthz")
    assert head.startswith(b"HTTP/1.0 200 ")
    assert b"\r\nContent-Length: 3" in head
    assert body == b""
    assert ask(b"HEAD /metrics")[1:] == [b""]
    head, body = ask(b"POST /healthz")
    assert head.startswith(b"HTTP/1.0 405 ")
    assert b"\r\nAllow: GET, HEAD" in head
    assert body == b"GET only\n"


def test_not_ready_without_a_table(real: Stage, tmp_path: Path) -> None:
    (tmp_path / "db").rename(tmp_path / "away")
    host = own_host()
    port = free_port(host, socket.SOCK_STREAM)
    real.config["metrics"] = {"listen": f"{host}:{port}"}
    real.launch()
    real.wait_log("not ready, next try")

    def ready() -> tuple[int, bytes]:
        with socket.create_connection((host, port), 5.0) as made:
            made.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
            head, _, body = b"".join(iter(lambda: made.recv(1000), b"")).partition(b"\r\n\r\n")
            return int(head.split()[1]), body

    assert ready() == (503, b"there is no table of destinations yet\n")
    assert scrape((host, port)).total("ds_farm_config_generation") == 0
    (tmp_path / "away").rename(tmp_path / "db")
    until(lambda: ready() == (200, b"ready\n"), "readiness")
    real.signal(signal.SIGTERM)
    assert real.wait() == 0
    real.__exit__(None, None, None)


def test_silent_and_rude_clients_hold_nobody_up(farm: Stage) -> None:
    silent = [socket.create_connection(address(farm), 10.0) for _ in range(20)]
    for number, each in enumerate(silent):
        each.sendall(
            (b"", b"GET /metrics HT", b"\x00\xff" * 1000, b"POST / HTTP/1.1\r\n")[number % 4]
        )
    assert get(farm, "/healthz")[0] == 200
    assert get(farm, "/metrics")[0] == 200
    for each in silent:
        each.close()


def test_a_crowd_that_asks_nothing_shuts_nobody_out(farm: Stage) -> None:
    crowd = [socket.create_connection(address(farm), 10.0) for _ in range(80)]
    assert get(farm, "/healthz")[0] == 200
    farm.wait_log("more than 64 HTTP clients at once")
    for each in crowd:
        each.close()


def test_who_asks_nothing_is_let_go(farm: Stage) -> None:
    with socket.create_connection(address(farm), 10.0) as made:
        made.sendall(b"GET /healthz HTTP/1.0\r\n")
        assert made.recv(100) == b""


def test_scrape_during_its_replacement_waits_and_is_answered(farm: Stage) -> None:
    exporter = farm.pid(Role.EXPORTER)
    process.hold(exporter)
    with socket.create_connection(address(farm), 10.0) as made:
        made.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        os.kill(exporter, signal.SIGKILL)
        assert made.recv(100).startswith(b"HTTP/1.0 200")


def test_port_in_use_is_a_clear_error(real: Stage) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        real.config["metrics"] = {"listen": f"127.0.0.1:{port}"}
        assert real.launch().wait() == 1
    assert f"cannot listen on tcp:127.0.0.1:{port}: Address already in use" in real.log()
    real.__exit__(None, None, None)


def test_switched_off_it_does_not_run(real: Stage) -> None:
    real.config["metrics"] = {"listen": ""}
    with real:
        assert not real.pid(Role.EXPORTER)
        assert "metrics http" not in real.log()


PROMETHEUS_ASKS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


def test_prometheus_gets_the_quick_format(farm: Stage) -> None:
    """It takes both, and reads the same in either."""
    _, headers, body = get(farm, "/metrics", Accept=PROMETHEUS_ASKS)
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    _, _, other = get(farm, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    names = {line.split("{")[0].split()[0] for line in body.decode().splitlines() if line[0] != "#"}
    others = {
        line.split("{")[0].split()[0] for line in other.decode().splitlines() if line[0] != "#"
    }
    assert names == others


def test_short_expositions_are_compressed_for_who_wants_it(farm: Stage) -> None:
    _, headers, body = get(farm, "/metrics", **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert b"ds_farm_up 1\n" in gzip.decompress(body)
