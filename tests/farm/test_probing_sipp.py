"""SIPp as what is probed: destinations that stop and come back, refuse, are slow, answer twice."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from ds_farm.dispatch.model import State
from ds_farm.probe.prober import Result
from tests.farm.probes import Probed, seen, set_state
from tests.support.database import Row
from tests.support.farm import Farm
from tests.support.net import free_port, own_host
from tests.support.sipp import SCENARIOS, Server, variant
from tests.support.wait import until

ANSWER = (SCENARIOS / "options_uas.xml").read_text()
SEND = ANSWER[ANSWER.index("  <send>") : ANSWER.index("</scenario>")]

SCENES = {
    "good": ("SIP/2.0 200 OK", "SIP/2.0 200 OK"),
    "404": ("SIP/2.0 200 OK", "SIP/2.0 404 Not Found"),
    "503": ("SIP/2.0 200 OK", "SIP/2.0 503 Service Unavailable"),
    "slow": ("  <send>", '  <pause milliseconds="700"/>\n  <send>'),
    "twice": ("</scenario>", f"{SEND}</scenario>"),
    "held": ("SIP/2.0 200 OK", "SIP/2.0 200 OK"),
}
"""What each does: a text of the ordinary scenario, and what stands there instead."""

EXPECTED = {
    "good": (State.ACTIVE, Result.GOOD),
    "404": (State.PROBING, Result.BAD),
    "503": (State.PROBING, Result.BAD),
    "slow": (State.ACTIVE, Result.GOOD),
    "twice": (State.ACTIVE, Result.GOOD),
    "held": (State.INACTIVE, Result.GOOD),
}


def test_states_that_follow_and_a_destination_that_goes_and_comes(tmp_path: Path) -> None:
    with ExitStack() as stack:

        def start(name: str, host: str, port: int) -> Server:
            scenario = variant(tmp_path / name, f"{name}.xml", "options_uas.xml", SCENES[name])
            arguments = ("-deadcall_wait", "0")
            return stack.enter_context(
                Server(tmp_path / name, name, scenario, host, port, *arguments)
            )

        servers = {}
        for name in SCENES:
            host = own_host()
            servers[name] = start(name, host, free_port(host))
        rows = [Row(server.uri) for server in servers.values()]
        settings = {"ds_ping_interval": 2, "ds_probing_mode": 1, "ds_probing_threshhold": 2}
        farm = stack.enter_context(Farm(tmp_path, [], settings={"dispatcher": settings}))
        set_later = servers["held"].uri
        farm.reload(rows)
        set_state(farm, set_later, State.INACTIVE)

        def now(name: str) -> Probed:
            return seen(farm)[servers[name].uri]

        def is_as_expected(name: str) -> bool:
            state, result = EXPECTED[name]
            found = now(name)
            # An operator's "inactive" is not probed: it holds (decision 18).
            return found.state is state and (name == "held" or found.results.get(result, 0) >= 2)

        for name in SCENES:
            until(partial(is_as_expected, name), f"{name} as expected", 20.0)
        assert now("slow").rtt_s >= 0.7
        assert now("404").status == 404
        assert now("503").status == 503

        gone = servers["good"]
        gone.close()
        until(lambda: now("good").state is State.PROBING, "the loss noticed", 20.0)
        assert now("good").results.get(Result.REFUSED, 0) >= 1
        states = farm.metrics().select("ds_farm_destination_state", destination=gone.uri)
        assert {s.labels["state"] for s in states if s.value == 1} == {"probing"}
        start("good", gone.host, gone.port)
        until(lambda: now("good").state is State.ACTIVE, "its return noticed", 20.0)
        assert now("held").state is State.INACTIVE
