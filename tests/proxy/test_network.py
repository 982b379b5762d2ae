"""Calls through the core in a simulated network: whatever is lost, late, twice or out of order,
each call ends as RFC 3261 allows, and nothing is left behind.

``DS_FARM_CALLS`` sets how many calls each weather sees (100000 for a long run).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from ds_farm.dispatch._live import LiveTable
from ds_farm.dispatch.registry import Registry
from ds_farm.proxy._core import Core
from ds_farm.proxy._relay import Relay, Timers
from ds_farm.proxy._wire import Network, Outbox
from ds_farm.script._request import Request
from ds_farm.script.module import builtin_routes
from ds_farm.script.settings import ScriptSettings
from shm.generation import Generations
from shm.segment import Segment
from tests.support import network
from tests.support.network import MS, Caller, Simulation, Weather
from tests.support.request import drop_segment, make_sets, new_segment

CALLS = int(os.environ.get("DS_FARM_CALLS", "2000"))
PROXY = ("127.0.0.1", 5060)
CALLER = ("127.0.0.1", 6000)
PORTS = (7001, 7002, 7003)
LONGEST_NS = 30 * MS
"""Delay of a datagram in calm weather."""

GONE = 7003
"""Nobody listens there."""

BEHAVIOURS: tuple[list[tuple[float, int]], ...] = (
    [(20, 200)],
    [(10, 180), (300, 200)],
    [(5, 100), (10, 183), (2500, 200)],
    [(10, 180), (400, 486)],
    [(15, 503)],
    [(15, 500)],
    [(10, 404)],
    [(10, 603)],
    [(10, 180), (30_000, 200)],
    [],
)
FAILOVER = "408|5[0-9][0-9]"


def steps_of(number: int, port: int, method: bytes) -> list[tuple[float, int]]:
    """What the destination does with that call: the same for every retransmission."""
    steps = BEHAVIOURS[(number * 7919 + port * 104729) // 13 % len(BEHAVIOURS)]
    if method == b"INVITE":
        return steps
    return [each for each in steps if each[1] >= 200 and each[0] < 1000]


@dataclass
class Farm:
    """One worker's core as a node of the simulation."""

    simulation: Simulation
    core: Core[Request]
    relay: Relay
    segment: Segment
    busy: bool = True

    def receive(self, data: bytes, source: network.Address) -> None:
        self._send(self.core.handle(data, *source, 0, self.simulation.now))

    def tick(self) -> None:
        self._send(self.core.pass_time(self.simulation.now))
        if self.busy or len(self.relay):
            self.simulation.at(10 * MS, self.tick)

    def _send(self, datagrams: list[tuple[bytes, str, int, int]]) -> None:
        for data, ip, port, _ in datagrams:
            self.simulation.send(data, PROXY, (ip, port))


@pytest.fixture
def make_farm() -> Iterator[Callable[[Simulation], Farm]]:
    segment = new_segment(max_workers=1, max_sets=1, max_destinations=8)
    errors: list[BaseException] = []

    def make(simulation: Simulation) -> Farm:
        segment.reserve_counters(0, 1, 8)
        Registry(segment).publish(make_sets({1: [f"sip:127.0.0.1:{port}" for port in PORTS]}))
        current = Generations(segment).current()
        assert current is not None
        table = LiveTable(segment, current[0], bytes(current[1]), 0)
        net, out = Network([(*PROXY, *PROXY)]), Outbox()
        relay = Relay(net, out, Timers(fr_timeout_ms=2000), segment, 0, simulation.now)
        routes = builtin_routes("1", "4", "f", FAILOVER)

        def make_request() -> Request:
            request = Request(
                net,
                out,
                segment,
                0,
                ScriptSettings(),
                lambda slot, event: None,
                lambda text: errors.append(ValueError(text)),
                1,
                relay,
                errors.append,
                routes.named,
            )
            request.use_table(table)
            return request

        core = Core(net, out, make_request, routes.request_route, errors.append, segment, 0, relay)
        farm = Farm(simulation, core, relay, segment)
        simulation.nodes[PROXY] = farm.receive
        return farm

    yield make
    drop_segment(segment)
    assert not errors


@dataclass
class Outcome:
    """What came of a run."""

    farm: Farm
    caller: Caller
    legs: dict[bytes, list[tuple[int, network.Leg]]]
    """Call-ID -> ports and legs, in the order of their branches."""


def index(leg: network.Leg) -> int:
    """Which branch of its transaction a leg is: the last part of our Via's branch."""
    return int(network.branch(leg.request).rpartition(b".")[2], 16)


def run(make_farm: Callable[[Simulation], Farm], weather: Weather, cancels: bool) -> Outcome:
    """All calls, 100 a second, until the last timer has ended."""
    simulation = Simulation(20261123, weather)
    farm = make_farm(simulation)
    caller = Caller(simulation, CALLER, PROXY)

    def make_destination(port: int) -> network.Destination:
        def behave(request: bytes) -> list[tuple[float, int]]:
            number = int(network.header(request, b"Call-ID").removeprefix(b"call-"))
            return steps_of(number, port, request.split(b" ", 1)[0])

        return network.Destination(simulation, ("127.0.0.1", port), behave)

    destinations = [make_destination(port) for port in PORTS if port != GONE]
    for number in range(CALLS):
        method = b"OPTIONS" if number % 4 == 3 else b"INVITE"
        cancel = simulation.random.uniform(1, 500) if cancels and number % 5 == 0 else 0
        simulation.at(
            number * 10 * MS,
            lambda number=number, method=method, cancel=cancel: caller.start(  # type: ignore[misc]
                number, method, cancel
            ),
        )

    def stop() -> None:
        farm.busy = False

    simulation.at(CALLS * 10 * MS + 1000 * MS, stop)
    simulation.at(0, farm.tick)
    simulation.run()
    legs: dict[bytes, list[tuple[int, network.Leg]]] = {each: [] for each in caller.calls}
    for destination in destinations:
        for leg in destination.legs.values():
            legs[network.header(leg.request, b"Call-ID")].append((destination.address[1], leg))
    for found in legs.values():
        found.sort(key=lambda each: index(each[1]))
    return Outcome(farm, caller, legs)


WEATHERS = {
    "calm": Weather(),
    "rain": Weather(loss=0.05, twice=0.05, delay_ms=200),
    "storm": Weather(loss=0.3, twice=0.2, delay_ms=1500),
}


@pytest.mark.parametrize("cancels", [False, True], ids=["", "cancelled"])
@pytest.mark.parametrize("weather", WEATHERS)
def test_every_call_ends(
    make_farm: Callable[[Simulation], Farm], weather: str, cancels: bool
) -> None:
    outcome = run(make_farm, WEATHERS[weather], cancels)
    relay = outcome.farm.relay
    assert (len(relay), relay.timers(), relay.unfinished) == (0, 0, 0)
    counters = [outcome.farm.segment.counters(0, slot) for slot in range(len(PORTS))]
    assert sum(view.open for view in counters) == 0
    assert any(sum(view.words("first_response")) for view in counters)
    for view in counters:
        assert sum(view.words("final_response")) <= sum(view.words("first_response"))
        assert sum(view.words("first_response")) <= view.requests
    unheard = late = 0
    for call_id, call in outcome.caller.calls.items():
        legs = outcome.legs[call_id]
        failures = [code for code in call.finals if code >= 300]
        successes = [code for code in call.finals if code < 300]
        # 17.1.1.2: a caller gets a final response, or has never heard of anybody.
        if weather == "storm" and call.provisional and not call.finals:
            unheard += 1  # every retransmission of it was lost
        else:
            assert call.finals or call.has_given_up, call
        # 16.7: one final response that is not a 2xx.  One that comes after the transaction has
        # ended is forwarded all the same (16.7, "as a stateless proxy").
        late += len(failures) > 1
        if call.method == b"INVITE":
            answered = [leg for _, leg in legs if leg.final == 200]
            assert len(successes) <= len(answered), call
            # 16.7 step 5: every 2xx goes to the caller, and its ACK to the callee.
            assert all(successes for leg in answered if leg.is_acknowledged), call
            if weather == "calm":
                assert all(leg.is_acknowledged for _, leg in legs if leg.final), (call, legs)
        if weather == "calm" and call.cancelled_ns:
            # 16.10: who has not answered yet gets the CANCEL, and the caller an answer by that.
            assert call.finals[0] == 487 or all(
                leg.final_ns < call.cancelled_ns + 4 * LONGEST_NS for _, leg in legs
            ), (call, legs)
        if weather == "calm" and not cancels:
            assert call.finals == [expected(call, legs)], (call, legs)
    assert unheard <= CALLS // 500
    assert late <= (CALLS // 2000 if weather == "storm" else 0)


def expected(call: network.Call, legs: list[tuple[int, network.Leg]]) -> int:
    """The answer to a call when nothing is lost: a walk over what its destinations do."""
    port, leg = legs[0]
    start = PORTS.index(port) - index(leg)
    results = []
    for position in range(start, start + len(PORTS)):
        port = PORTS[position % len(PORTS)]
        steps = steps_of(call.number, port, call.method) if port != GONE else []
        results.append(steps[-1][1] if steps else 408)
        if not re.fullmatch(FAILOVER, str(results[-1])):
            break
    if results[-1] == 200:
        return 200
    # 16.7 step 6: a 6xx first, else the lowest class; rather a real answer than our own 408.
    best = min(results, key=lambda code: (0 if code >= 600 else code // 100, code == 408))
    return 500 if best == 503 else best
