"""What becomes of destinations that answer probes well, badly, oddly or not at all.

One farm probes all of them each second: mode 1, two failures in a row make probing.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from ds_farm.dispatch.model import State
from ds_farm.probe.prober import Result
from shm.layout import Role
from tests.farm.probes import Probed, seen, set_state
from tests.support.database import Row
from tests.support.farm import Farm
from tests.support.message import Sip, parameter, reply
from tests.support.net import own_host, refusing
from tests.support.peer import Peer
from tests.support.uas import Answers, Uas, after, answering, silent
from tests.support.wait import until

GOOD, BAD, TIMEOUT = Result.GOOD, Result.BAD, Result.TIMEOUT
REFUSED, UNSENT = Result.REFUSED, Result.UNSENT
ACTIVE, INACTIVE, PROBING = State.ACTIVE, State.INACTIVE, State.PROBING


def without_cseq(request: bytes) -> Answers:
    return [(0.0, re.sub(rb"CSeq: [^\r]*\r\n", b"", reply(request)))]


def with_foreign_branch(request: bytes) -> Answers:
    return [
        (0.0, re.sub(rb"(branch=z9hG4bKp)[0-9a-f]+", rb"\g<1>0123456789abcdef", reply(request)))
    ]


def with_other_method(request: bytes) -> Answers:
    return [(0.0, reply(request).replace(b"1 OPTIONS", b"1 INVITE"))]


def with_second_via(request: bytes) -> Answers:
    head, _, rest = reply(request).partition(b"\r\n")
    via = b"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKother\r\n"
    at = rest.index(b"From:")
    return [(0.0, head + b"\r\n" + rest[:at] + via + rest[at:])]


SCRIPTS = {
    "good": answering("200 OK"),
    "stops": answering("200 OK"),
    "503": answering("503 Service Unavailable"),
    "404": answering("404 Not Found"),
    "501": answering("501 Not Implemented"),
    "202": answering("202 Accepted"),
    "provisional": answering("100 Trying", "180 Ringing", "200 OK"),
    "only provisional": answering("100 Trying"),
    "twice": answering("200 OK", "200 OK"),
    # The second answer comes a little later: two at once may overtake each other in two workers.
    "changes its mind": lambda request: [
        *answering("200 OK")(request),
        *after(0.2, "503 Service Unavailable")(request),
    ],
    "other port": answering("200 OK"),
    "broken": without_cseq,
    "foreign branch": with_foreign_branch,
    "other method": with_other_method,
    "second via": with_second_via,
    "held": answering("200 OK"),
    "held slow": after(0.6),
    "inactive": answering("200 OK"),
}


@dataclass(frozen=True)
class Scene:
    """The farm, and its destinations by what they do."""

    farm: Farm
    uas: dict[str, Uas]
    refused: dict[str, str]
    unknown: str
    subscriber: socket.socket
    """What the farm sends its events to."""

    heard: dict[str, list[str]]
    """Events so far: URI -> states."""

    def events(self) -> dict[str, list[str]]:
        """All events that have come: the states of each destination, in order."""
        with contextlib.suppress(BlockingIOError):
            while True:
                found = json.loads(self.subscriber.recv(65536))["params"]
                self.heard.setdefault(found["address"], []).append(found["state"])
        return self.heard

    def now(self, name: str) -> Probed:
        return seen(self.farm)[self.uri(name)]

    def uri(self, name: str) -> str:
        return self.uas[name].uri if name in self.uas else self.refused[name]

    def wait(self, name: str, state: State, ended: int = 2) -> Probed:
        """Until so many probes of a destination have ended, which must leave it in ``state``."""
        until(
            lambda: sum(self.now(name).results.values()) >= ended,
            f"{ended} probes of {name!r}",
        )
        found = self.now(name)
        assert found.state is state, (name, found)
        return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with ExitStack() as stack:
        uas = {name: stack.enter_context(Uas(script)) for name, script in SCRIPTS.items()}
        uas["ipv6"] = stack.enter_context(Uas(answering("200 OK"), "::1"))
        uas["other port"].answers_from = stack.enter_context(Peer())
        refused = {
            "refused": f"sip:{stack.enter_context(refusing('127.0.0.1'))}",
            "refused over IPv6": f"sip:{stack.enter_context(refusing('::1'))}",
        }
        unknown = "sip:no-such-host.invalid"
        rows = [Row(each.uri, state=int(name == "inactive")) for name, each in uas.items()] + [
            *map(Row, refused.values()),
            Row(unknown),
        ]
        subscriber = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        subscriber.bind(("127.0.0.1", 0))
        subscriber.setblocking(False)
        farm = Farm(
            tmp_path_factory.mktemp("probing"),
            rows,
            listen_ipv6=True,
            settings={
                "dispatcher": {
                    "ds_ping_interval": 1,
                    "ds_ping_from": "sip:prober@example.net",
                    "ds_probing_mode": 1,
                    "ds_probing_threshold": 2,
                    "options_reply_codes": "501, 403",
                },
                "events": {"subscribers": [f"udp:127.0.0.1:{subscriber.getsockname()[1]}"]},
            },
        )
        yield Scene(stack.enter_context(farm), uas, refused, unknown, subscriber, {})


def test_good(scene: Scene) -> None:
    found = scene.wait("good", ACTIVE)
    assert set(found.results) == {GOOD}
    assert (found.status, found.failures) == (200, 0)
    assert 0 < found.rtt_s < 1.0


def test_it_asks_from_the_address_that_calls_come_from(scene: Scene) -> None:
    scene.wait("good", ACTIVE, 1)
    arrival = scene.uas["good"].arrivals[0]
    assert arrival.source == scene.farm.sip
    host, port = scene.farm.sip
    request = Sip.read(arrival.data)
    assert request.start_line == f"OPTIONS {scene.uri('good')} SIP/2.0".encode()
    assert request.one("Via").startswith(f"SIP/2.0/UDP {host}:{port};branch=z9hG4bKp".encode())
    assert parameter(request.one("Via"), "rport") == b""
    assert request.one("From").startswith(b"<sip:prober@example.net>;tag=")
    assert request.one("To") == f"<{scene.uri('good')}>".encode()
    assert request.one("Max-Forwards") == b"70"


def test_ipv6(scene: Scene) -> None:
    scene.wait("ipv6", ACTIVE)
    assert scene.uas["ipv6"].arrivals[0].source == scene.farm.sip6


@pytest.mark.parametrize(("name", "status"), [("503", 503), ("404", 404), ("202", 202)])
def test_a_bad_reply_fails(scene: Scene, name: str, status: int) -> None:
    found = scene.wait(name, PROBING)
    assert set(found.results) == {BAD}
    assert (found.status, found.failures) == (status, 2)


def test_a_listed_code_is_good(scene: Scene) -> None:
    found = scene.wait("501", ACTIVE)
    assert set(found.results) == {GOOD}
    assert found.status == 501


def test_a_provisional_reply_ends_nothing(scene: Scene) -> None:
    assert set(scene.wait("provisional", ACTIVE).results) == {GOOD}
    assert set(scene.wait("only provisional", PROBING).results) == {TIMEOUT}


def test_slow(tmp_path: Path) -> None:
    # 0.7 s: after one retransmission (T1), long before the next probe.
    with ExitStack() as stack:
        uas = stack.enter_context(Uas(after(0.7)))
        settings = {"dispatcher": {"ds_ping_interval": 3, "ds_probing_mode": 1}}
        farm = stack.enter_context(Farm(tmp_path, [Row(uas.uri)], settings=settings))
        until(lambda: seen(farm)[uas.uri].results.get(GOOD, 0) >= 1, "a good probe")
        found = seen(farm)[uas.uri]
        assert set(found.results) == {GOOD}
        assert found.state is ACTIVE
        assert found.retransmissions >= 1
        assert found.rtt_s >= 0.69
        metrics = farm.metrics()
        assert metrics.total("ds_farm_set_probe_rtt_seconds_sum", set="1") >= 0.69
        histogram = metrics.by("le", "ds_farm_set_probe_rtt_seconds_bucket", set="1")
        assert histogram["0.5"] == 0 < histogram["+Inf"], "slow ones are in a class of their own"
        first, *_ = uas.requests().values()
        assert len(first) == 2
        assert first[0].data == first[1].data
        # T1, as a thread among others sees it; the next one would come 1 s later.
        assert 0.35 < first[1].at_s - first[0].at_s < 1.0


def ignored(farm: Farm) -> int:
    with farm.segment() as segment:
        return segment.header.probe_replies_ignored


@pytest.mark.parametrize("name", ["twice", "changes its mind"])
def test_the_first_final_reply_counts(scene: Scene, name: str) -> None:
    before = ignored(scene.farm)
    done = sum(scene.now(name).results.values())
    found = scene.wait(name, ACTIVE, done + 2)
    assert set(found.results) == {GOOD}
    until(lambda: ignored(scene.farm) >= before + 2, "ignored replies are counted")


def test_a_reply_from_another_port_counts(scene: Scene) -> None:
    # 17.1.3: by branch and CSeq method, not by where it comes from.
    assert set(scene.wait("other port", ACTIVE).results) == {GOOD}


@pytest.mark.parametrize("name", ["broken", "foreign branch", "other method", "second via"])
def test_what_is_no_reply_to_it_fails(scene: Scene, name: str) -> None:
    found = scene.wait(name, PROBING)
    assert set(found.results) == {TIMEOUT}
    assert found.status == 0
    bad = scene.farm.metrics().total("ds_farm_worker_drops_total", reason="bad_response")
    assert bad > 0


@pytest.mark.parametrize("name", ["refused", "refused over IPv6"])
def test_refused_counts_at_once(scene: Scene, name: str) -> None:
    # Decision 18 and RFC 3261 18.4: no waiting for timer F, nothing is sent again.
    found = scene.wait(name, PROBING)
    assert set(found.results) == {REFUSED}
    assert found.retransmissions == 0


def test_a_probe_that_cannot_be_sent_fails(scene: Scene) -> None:
    until(lambda: seen(scene.farm)[scene.unknown].state is PROBING, "an unknown host is probing")
    assert set(seen(scene.farm)[scene.unknown].results) == {UNSENT}


def test_inactive_is_never_probed(scene: Scene) -> None:
    scene.wait("good", ACTIVE, 3)
    found = scene.now("inactive")
    assert (found.state, found.sent) == (INACTIVE, 0)
    assert scene.uas["inactive"].arrivals == []


def test_it_stops_and_comes_back(scene: Scene) -> None:
    uas = scene.uas["stops"]
    scene.wait("stops", ACTIVE, 1)
    uas.script = silent
    until(lambda: scene.now("stops").state is PROBING, "silent: probing")
    # State, line and count come one after the other.
    until(lambda: scene.now("stops").results.get(TIMEOUT, 0) >= 2, "two timeouts counted")
    uas.script = answering("200 OK")
    until(lambda: scene.now("stops").state is ACTIVE, "answers again: active")
    until(lambda: scene.now("stops").failures == 0, "its failures forgotten")
    probing = rf"timer\[\d+\] {re.escape(uas.uri)} is probing now: probe timeout"
    until(lambda: re.search(probing, scene.farm.log()), "the line of its end")
    active = f"{uas.uri} is active now: probe good 200"
    until(lambda: active in scene.farm.log(), "the line of its return")
    until(lambda: scene.events().get(uas.uri) == ["probing", "active"], "its events")


def test_an_operators_inactive_holds(scene: Scene) -> None:
    uri = scene.uri("held")
    scene.wait("held", ACTIVE, 1)
    set_state(scene.farm, uri, INACTIVE)
    sent = scene.now("held").sent
    good = sum(scene.now("good").results.values())
    scene.wait("good", ACTIVE, good + 2)
    found = scene.now("held")
    assert (found.state, found.failures) == (INACTIVE, 0)
    assert found.sent <= sent + 1  # one may just have left
    set_state(scene.farm, uri, ACTIVE)
    until(lambda: scene.now("held").sent > found.sent, "active again: probed again")
    until(lambda: scene.events().get(uri) == ["inactive", "active"], "its events")


def test_a_late_good_reply_does_not_end_inactive(scene: Scene) -> None:
    # Decision 16: the probe is under way when the operator says inactive.
    uas = scene.uas["held slow"]
    count = len(uas.requests())
    until(lambda: len(uas.requests()) > count, "a probe is under way")
    good = scene.now("held slow").results.get(GOOD, 0)
    set_state(scene.farm, uas.uri, INACTIVE)
    until(lambda: scene.now("held slow").results.get(GOOD, 0) > good, "its reply has come")
    assert scene.now("held slow").state is INACTIVE


FAILING = {
    "503": "bad",
    "404": "bad",
    "202": "bad",
    "only provisional": "timeout",
    "broken": "timeout",
    "foreign branch": "timeout",
    "other method": "timeout",
    "second via": "timeout",
    "refused": "refused",
    "refused over IPv6": "refused",
}
STEADY = ("good", "501", "provisional", "twice", "changes its mind", "other port", "ipv6")


@pytest.mark.parametrize("name", FAILING)
def test_each_failure_has_its_event_and_its_metric(scene: Scene, name: str) -> None:
    uri = scene.uri(name)
    until(lambda: scene.now(name).state is PROBING, "probing")
    until(lambda: scene.events().get(uri) == ["probing"], f"one event: {scene.events().get(uri)}")
    metrics = scene.farm.metrics()
    results = metrics.by("result", "ds_farm_destination_probe_results_total", destination=uri)
    assert results[FAILING[name]] >= 2
    assert sum(results.values()) == results[FAILING[name]]
    assert metrics.total("ds_farm_destination_state_changes_total", destination=uri) == 1


@pytest.mark.parametrize("name", STEADY)
def test_who_answers_well_makes_no_event(scene: Scene, name: str) -> None:
    scene.wait(name, ACTIVE, 3)
    assert scene.uri(name) not in scene.events()
    metrics = scene.farm.metrics()
    results = metrics.by(
        "result", "ds_farm_destination_probe_results_total", destination=scene.uri(name)
    )
    assert results["good"] == sum(results.values()) >= 3


def test_metrics(scene: Scene) -> None:
    scene.wait("good", ACTIVE)
    scene.wait("503", PROBING)
    metrics = scene.farm.metrics()

    def value(name: str, uri: str, **labels: str) -> float:
        return metrics.total(f"ds_farm_destination_{name}", destination=scene.uri(uri), **labels)

    assert value("probe_results_total", "good", result="good") >= 2
    assert value("probe_results_total", "good", result="timeout") == 0
    assert value("probe_results_total", "503", result="bad") >= 2
    assert value("probe_results_total", "refused", result="refused") >= 1
    assert value("probe_results_total", "broken", result="timeout") >= 1
    assert value("probes_total", "good") >= 2
    assert value("probe_retransmissions_total", "broken") >= 1
    assert value("probe_status", "503") == 503
    assert 0 < value("probe_rtt_seconds", "good") < 1.0
    assert 0 < value("probe_rtt_smoothed_seconds", "good") < 1.0
    assert value("state", "503", state="probing") == 1
    histogram = metrics.by("le", "ds_farm_set_probe_rtt_seconds_bucket", set="1")
    assert list(histogram.values()) == sorted(histogram.values())
    assert histogram["+Inf"] == metrics.total("ds_farm_set_probe_rtt_seconds_count", set="1")


def test_calls_go_on_beside_it(scene: Scene) -> None:
    # A caller's branch may look like a probe's: ours is on top of it.
    with Peer(own_host()) as caller:
        request = (
            f"OPTIONS sip:x@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {caller.sent_by}"
            f";branch=z9hG4bKp0123456789abcdef\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\n"
            f"To: <sip:x@example.com>\r\nCall-ID: normal\r\nCSeq: 1 OPTIONS\r\n"
            f"Content-Length: 0\r\n\r\n"
        ).encode()
        for _ in range(20):
            caller.send(request, scene.farm.sip)
        assert Sip.read(caller.receive()).one("Call-ID") == b"normal"
    assert scene.farm.child(Role.TIMER).starts == 1
