"""The user's routing module in a running farm: what it can do, and what its mistakes cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.database import Row
from tests.support.farm import Farm
from tests.support.message import Draft, Sip
from tests.support.net import own_host
from tests.support.peer import Peer
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
    path = scene.farm.directory / "routes.py"
    try:
        path.write_text("def request_route(request:\n")
        assert scene.answer(scene.draft("refuse")).status == 404
    finally:
        path.write_text(MODULE)


def _route_errors(farm: Farm) -> int:
    segment = farm.segment()
    try:
        return segment.worker(0).route_errors
    finally:
        segment.close()
