"""The user's routing module in a running farm: what it can do, and what its mistakes cost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.farm.test_events import mi
from tests.support.database import Row
from tests.support.farm import Farm
from tests.support.message import Draft, Sip
from tests.support.net import own_host
from tests.support.peer import Peer
from tests.support.uas import Uas, answering
from tests.support.wait import until

MODULE = """
def request_route(request):
    if not request.mf_process_maxfwd_header(10):
        request.send_reply(483, "Too Many Hops")
        return
    user = request.ru.partition(":")[2].partition("@")[0]
    if user == "divide":
        return 1 / 0
    if user == "refuse":
        request.send_reply(404, "Nobody of that name")
        return
    if user == "silence":
        return
    if user == "loop":
        request.ds_select_dst("2", "4")
        request.forward()
        return
    if not request.ds_select_dst("1", "4"):
        request.send_reply(500, "Unable to route")
        return
    request.forward()
"""

LEAVING = """
import sys

TIMER_ROUTES = {"leave": 0.1}


def request_route(request):
    if request.ru.startswith("sip:exit@"):
        exit()
    request.t_on_reply("leave")
    request.t_on_failure("leave")
    request.ds_select_dst("1", "4")
    request.t_relay()


def leave(request):
    sys.exit("on my way")


onreply_route_leave = failure_route_leave = timer_route_leave = leave
startup_route = local_route = event_route = leave
"""

FORKING = """
import os

os.fork()


def request_route(request):
    os.fork()
    request.send_reply(404, "Nobody")
"""


@dataclass
class Scene:
    farm: Farm
    caller: Peer
    destination: Peer
    count: int = 0

    def draft(self, user: str, method: str = "OPTIONS") -> Draft:
        self.count += 1
        key = f"r{self.count}"
        via = f"SIP/2.0/UDP {self.caller.sent_by};branch=z9hG4bK{key}"
        return Draft(method, f"sip:{user}@example.com", via=via, key=key)

    def answer(self, draft: Draft) -> Sip:
        self.caller.send(draft.bytes(), self.farm.sip)
        return Sip.read(self.caller.receive())


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Peer(own_host()) as caller, Peer(own_host()) as destination:
        directory = tmp_path_factory.mktemp("routing")
        farm = Farm(directory, [f"sip:{destination.sent_by}"], children=1, module=MODULE)
        host, port = farm.sip
        farm.store([Row(f"sip:{destination.sent_by}"), Row(f"sip:{host}:{port}", setid=2)])
        with farm:
            yield Scene(farm, caller, destination)


def test_the_module_routes(scene: Scene) -> None:
    scene.caller.send(scene.draft("anybody").bytes(), scene.farm.sip)
    arrived = Sip.read(scene.destination.receive())
    assert arrived.one("max-forwards") == b"69"


def test_the_module_adds_its_own_max_forwards(scene: Scene) -> None:
    """OpenSIPS: mf_process_maxfwd_header adds the header with its argument."""
    draft = scene.draft("anybody").remove("Max-Forwards")
    scene.caller.send(draft.bytes(), scene.farm.sip)
    assert Sip.read(scene.destination.receive()).one("max-forwards") == b"10"


def test_the_module_answers(scene: Scene) -> None:
    answer = scene.answer(scene.draft("refuse"))
    assert answer.start_line == b"SIP/2.0 404 Nobody of that name"
    answer = scene.answer(scene.draft("anybody").set("Max-Forwards", "0"))
    assert answer.start_line == b"SIP/2.0 483 Too Many Hops"


def test_a_function_that_does_nothing_drops(scene: Scene) -> None:
    scene.caller.send(scene.draft("silence").bytes(), scene.farm.sip)
    assert scene.answer(scene.draft("refuse")).status == 404, "the next one is answered"
    assert scene.caller.pending() == []
    assert scene.destination.pending() == []


def test_an_exception_answers_500_and_costs_the_worker_nothing(scene: Scene) -> None:
    farm = scene.farm
    pid = farm.workers()[0].pid
    before = _route_errors(farm)
    for _ in range(5):
        assert scene.answer(scene.draft("divide")).status == 500
    assert _route_errors(farm) == before + 5
    until(lambda: "ZeroDivisionError" in farm.log(), "the traceback in the log")
    log = farm.log()
    assert "Traceback" in log
    assert 'routes.py", line' in log
    assert "return 1 / 0" in log
    assert farm.workers()[0].pid == pid
    assert farm.metrics().total("ds_farm_worker_route_errors_total") == before + 5
    scene.caller.send(scene.draft("anybody").bytes(), farm.sip)
    scene.destination.receive()


def test_exit_in_a_route_ends_no_process(tmp_path: Path) -> None:
    """It is what a script has to end a route."""
    settings = {"dispatcher": {"ds_ping_interval": 1, "ds_probing_mode": 1}}
    with Uas(answering("500 No")) as uas, Peer(own_host()) as caller:
        farm = Farm(tmp_path, [uas.uri], children=1, module=LEAVING, settings=settings)
        with farm:
            scene = Scene(farm, caller, caller)
            before = farm.processes()
            assert scene.answer(scene.draft("exit")).status == 500
            assert _route_errors(farm) == 1
            assert scene.answer(scene.draft("anybody")).status == 500
            assert _route_errors(farm) == 3, "the reply route and the failure route"
            for _ in range(2):
                assert mi(farm, "raise_event", "E_DISPATCHER_STATUS", {"address": "x"}) == "OK"
            until(lambda: farm.log().count("event_route failed") >= 2, "both events")
            for name in ("startup_route", "timer_route_leave", "local_route"):
                until(lambda: f"{name} failed" in farm.log(), f"the end of {name}")  # noqa: B023
            assert "SystemExit: on my way" in farm.log()
            assert farm.processes() == before


def test_copies_that_a_module_forks_do_not_stay(tmp_path: Path) -> None:
    with Peer(own_host()) as caller, Peer(own_host()) as callee:
        farm = Farm(tmp_path, [f"sip:{callee.sent_by}"], children=1, module=FORKING)
        with farm:
            scene = Scene(farm, caller, callee)
            before = farm.processes()
            known = {farm.pid, *(child.pid for child in before)}
            until(lambda: set(farm.session()) == known, "the end of those forked while it loads")
            assert scene.answer(scene.draft("anybody")).status == 404
            until(lambda: set(farm.session()) == known, "the end of those forked by the route")
            assert farm.processes() == before, "their slots are theirs"


def test_an_exception_with_an_ack_is_silent(scene: Scene) -> None:
    before = _route_errors(scene.farm)
    scene.caller.send(scene.draft("divide", "ACK").bytes(), scene.farm.sip)
    assert scene.answer(scene.draft("refuse")).status == 404
    assert scene.caller.pending() == []
    assert _route_errors(scene.farm) == before + 1


def test_a_farm_that_forwards_to_itself_ends_the_loop(scene: Scene) -> None:
    """RFC 3261 16.3 step 4; the 482 comes back through the farm's own Via."""
    answer = scene.answer(scene.draft("loop"))
    assert answer.status == 482
    assert len(answer.vias) == 1


def test_a_half_written_module_cannot_hurt_a_running_farm(scene: Scene) -> None:
    """The file is read at the start of the farm: a half-written one can't hurt a running farm."""
    path, old = scene.farm.directory / "routes.py", scene.farm.workers()[0]
    try:
        path.write_text("def request_route(request:\n")
        assert scene.answer(scene.draft("refuse")).status == 404
        scene.farm.signal(signal.SIGKILL, old.pid)
        new = until(lambda: [w for w in scene.farm.workers() if w.pid != old.pid], "the successor")
        assert scene.answer(scene.draft("refuse")).status == 404
        assert scene.farm.workers() == new
    finally:
        path.write_text(MODULE)


def _route_errors(farm: Farm) -> int:
    with farm.segment() as segment:
        return segment.worker(0).route_errors
