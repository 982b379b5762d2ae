"""What operators see of a running farm: /metrics that add up, `ds-farm list`."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import counts
from tests.support.database import Row
from tests.support.farm import COMMAND, Farm
from tests.support.message import Draft
from tests.support.metrics import Metrics, fetch
from tests.support.net import own_host
from tests.support.peer import Peer
from tests.support.sipp import Caller, Destination
from tests.support.wait import until

CALLS = 600
DOWN = "sip:127.0.0.1:9"


@dataclass(frozen=True)
class Scene:
    farm: Farm
    uris: list[str]
    sent: int
    """Good requests, those included that SIPp has repeated."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A farm that has handled 600 good requests, two bad ones and a refused one."""
    directory = tmp_path_factory.mktemp("observation")
    with Destination(directory, "one") as one, Destination(directory, "two") as two:
        uris = [one.uri, two.uri]
        rows = [Row(one.uri, description="first"), Row(two.uri), Row(DOWN, state=1),
                Row("sip:127.0.0.1:10", setid=7, state=2)]  # fmt: skip
        with Farm(directory, rows, children=2) as farm:
            with Caller(directory, farm.sip, CALLS, 1_000) as caller:
                result = caller.wait()
                assert result.successful == CALLS
            with Peer(own_host()) as peer:
                for text in (b"garbage", b"OPTIONS sip:a SIP/2.0\r\n\r\n"):
                    peer.send(text, farm.sip)
                via = f"SIP/2.0/UDP {peer.sent_by};branch=z9hG4bKx"
                refused = Draft(via=via, key="x").set("Max-Forwards", "0")
                peer.send(refused.bytes(), farm.sip)
                peer.receive()
            until(lambda: sum(counts.of(farm).responses.values()) == result.sent, "all counted")
            # Another worker than the one that has refused may have these.
            until(
                lambda: farm.metrics().total("ds_farm_worker_parse_errors_total") == 2,
                "both bad ones counted",
            )
            yield Scene(farm, uris, result.sent)


@pytest.fixture(scope="module")
def metrics(scene: Scene) -> Metrics:
    return scene.farm.metrics()


def test_requests_and_responses_of_destinations_add_up(scene: Scene, metrics: Metrics) -> None:
    requests = metrics.by("destination", "ds_farm_destination_requests_total")
    first, second = (requests.pop(uri) for uri in scene.uris)
    assert first + second == scene.sent
    assert abs(first - second) <= 1
    assert not any(requests.values())
    for uri, share in zip(scene.uris, (first, second), strict=True):
        name = "ds_farm_destination_responses_total"
        assert metrics.total(name, destination=uri) == share
        assert metrics.by("class", name, destination=uri)["2xx"] == share
    assert metrics.total("ds_farm_destination_failures_total") == 0


def test_the_state_of_each_destination_is_one_of_three(scene: Scene, metrics: Metrics) -> None:
    def state(uri: str) -> str:
        states = metrics.by("state", "ds_farm_destination_state", destination=uri)
        assert set(states) == {"active", "inactive", "probing"}
        (found,) = (name for name, value in states.items() if value == 1)
        return found

    assert [state(uri) for uri in scene.uris] == ["active", "active"]
    assert state(DOWN) == "inactive"
    assert state("sip:127.0.0.1:10") == "probing"


def test_messages_of_workers_add_up(scene: Scene, metrics: Metrics) -> None:
    name = "ds_farm_worker_messages_total"
    received = metrics.by("worker", name, kind="request", direction="received")
    assert set(received) == {"0", "1"}
    assert sum(received.values()) == scene.sent + 1
    assert metrics.total(name, kind="request", direction="sent") == scene.sent
    for direction in ("received", "sent"):
        assert metrics.total(name, kind="response", direction=direction) == scene.sent
    assert metrics.total("ds_farm_worker_parse_errors_total") == 2
    assert metrics.total("ds_farm_worker_replies_total", **{"class": "4xx"}) == 1


def test_prometheus_likes_it(scene: Scene) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing: `make test` installs it (Debian package prometheus)"
    run = subprocess.run(
        [promtool, "check", "metrics"],
        input=fetch(scene.farm.metrics_address),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_list_shows_sets_and_states(scene: Scene) -> None:
    run = subprocess.run(
        [COMMAND, "list", "-c", scene.farm.config], capture_output=True, text=True, timeout=30,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    for uri, state in ((scene.uris[0], "active"), (DOWN, "inactive"),
                       ("sip:127.0.0.1:10", "probing")):  # fmt: skip
        (line,) = (line for line in run.stdout.splitlines() if f"{uri} " in f"{line} ")
        assert state in line.lower(), line


def test_list_of_no_farm_is_exit_code_3(tmp_path: Path) -> None:
    farm = Farm(tmp_path, [DOWN])
    run = subprocess.run(
        [COMMAND, "list", "-c", farm.config], capture_output=True, text=True, timeout=30
    )
    assert run.returncode == 3
    assert farm.name in run.stderr
    assert "Traceback" not in run.stderr


def test_mi_answers_json_rpc(scene: Scene) -> None:
    host, port = scene.farm.mi_address
    call = urllib.request.Request(
        f"http://{host}:{port}/mi",
        data=json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ds_list"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(call, timeout=10) as response:
        answer = json.load(response)
    assert answer["id"] == 1
    text = json.dumps(answer)
    assert all(uri in text for uri in [*scene.uris, DOWN])
