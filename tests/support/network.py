"""A network that is simulated: no sockets, a clock that jumps, loss and delay by seed.

Nodes have addresses and ``receive(data, source)``; `Network.send` brings datagrams to them, late,
twice or never.  The caller and the destinations are user agents as RFC 3261 section 17 draws them:
they retransmit, acknowledge and give up.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

MS = 1_000_000
T1 = 500 * MS
T2 = 4000 * MS
Address = tuple[str, int]


@dataclass(slots=True)
class Weather:
    """What the network does to datagrams: probabilities, and the longest delay."""

    loss: float = 0.0
    twice: float = 0.0
    delay_ms: float = 30.0


class Simulation:
    """Events in the order of their time; everything random comes from one seed."""

    def __init__(self, seed: int, weather: Weather) -> None:
        self.random = random.Random(seed)
        self.weather = weather
        self.now = 1_000 * MS
        self.nodes: dict[Address, Callable[[bytes, Address], None]] = {}
        self.lost: Counter[Address] = Counter()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._number = itertools.count()

    def at(self, delay_ns: int, action: Callable[[], None]) -> None:
        """Run ``action`` after so much time."""
        heapq.heappush(self._events, (self.now + delay_ns, next(self._number), action))

    def send(self, data: bytes, source: Address, target: Address) -> None:
        """A datagram on its way."""
        weather, dice = self.weather, self.random
        if target not in self.nodes:
            self.lost[target] += 1
            return
        for _ in range(1 + (dice.random() < weather.twice)):
            if dice.random() >= weather.loss:
                delay = int(dice.uniform(0.2, weather.delay_ms) * MS)
                self.at(delay, lambda: self.nodes[target](data, source))

    def run(self) -> None:
        """Until nothing is left to happen."""
        while self._events:
            self.now, _, action = heapq.heappop(self._events)
            action()


def header(data: bytes, name: bytes) -> bytes:
    """Value of the first header of that name."""
    start = data.index(b"\r\n" + name + b": ") + len(name) + 4
    return data[start : data.index(b"\r\n", start)]


def branch(data: bytes) -> bytes:
    """Branch of the topmost Via."""
    return header(data, b"Via").partition(b";branch=")[2].partition(b";")[0]


def status(data: bytes) -> int:
    """Status code of a response."""
    return int(data[8:11])


@dataclass(slots=True)
class Sender:
    """A client transaction: sends until `stop`, with the intervals of timer A or E."""

    simulation: Simulation
    data: bytes
    source: Address
    target: Address
    longest: int
    is_running: bool = True
    sent: int = 0

    def start(self, interval: int = T1) -> None:
        if not self.is_running:
            return
        self.simulation.send(self.data, self.source, self.target)
        self.sent += 1
        self.simulation.at(interval, lambda: self.start(min(2 * interval, self.longest)))

    def stop(self) -> None:
        self.is_running = False


@dataclass(slots=True)
class Call:
    """One call as its caller sees it."""

    number: int
    method: bytes
    finals: list[int] = field(default_factory=list)
    """Final responses, repeated ones once."""

    provisional: list[int] = field(default_factory=list)
    cancelled_ns: int = 0
    has_given_up: bool = False
    tags: set[bytes] = field(default_factory=set)


class Caller:
    """Makes calls to one proxy and keeps what came of each."""

    def __init__(self, simulation: Simulation, address: Address, proxy: Address) -> None:
        self.simulation, self.address, self.proxy = simulation, address, proxy
        self.calls: dict[bytes, Call] = {}
        self._senders: dict[tuple[bytes, bytes], Sender] = {}
        self.to_cancel: dict[bytes, float] = {}
        simulation.nodes[address] = self.receive

    def start(self, number: int, method: bytes, cancel_after_ms: float = 0) -> None:
        """One more call; it is cancelled so long after its first provisional response."""
        call_id = b"call-%d" % number
        self.calls[call_id] = Call(number, method)
        if cancel_after_ms:
            self.to_cancel[call_id] = cancel_after_ms
        self._send(method, call_id, b"z9hG4bK-%d" % number)

    def _send(self, method: bytes, call_id: bytes, via_branch: bytes, to_tag: bytes = b"") -> None:
        data = (
            b"%s sip:destination@example.com SIP/2.0\r\n"
            b"Via: SIP/2.0/UDP %s:%d;branch=%s\r\n"
            b"Max-Forwards: 70\r\nFrom: <sip:caller@example.com>;tag=f\r\n"
            b"To: <sip:destination@example.com>%s\r\nCall-ID: %s\r\nCSeq: 1 %s\r\n"
            b"Content-Length: 0\r\n\r\n"
            % (
                method,
                self.address[0].encode(),
                self.address[1],
                via_branch,
                b";tag=" + to_tag if to_tag else b"",
                call_id,
                method,
            )
        )
        if method == b"ACK":
            self.simulation.send(data, self.address, self.proxy)
            return
        longest = 64 * T1 if method == b"INVITE" else T2
        sender = Sender(self.simulation, data, self.address, self.proxy, longest)
        self._senders[call_id, method] = sender
        sender.start()
        self.simulation.at(64 * T1, lambda: self._give_up(call_id, method))

    def _give_up(self, call_id: bytes, method: bytes) -> None:
        """Timers B and F."""
        call = self.calls[call_id]
        self._senders[call_id, method].stop()
        waits = method == b"INVITE" and call.provisional
        if method == call.method and not call.finals and not waits:
            call.has_given_up = True

    def _cancel(self, call_id: bytes) -> None:
        call = self.calls[call_id]
        if not call.finals and not call.cancelled_ns:
            call.cancelled_ns = self.simulation.now
            self._send(b"CANCEL", call_id, b"z9hG4bK-%d" % call.number)

    def receive(self, data: bytes, source: Address) -> None:
        call_id, method = header(data, b"Call-ID"), header(data, b"CSeq").split()[1]
        call, code = self.calls[call_id], status(data)
        sender = self._senders.get((call_id, method))
        if sender and (code >= 200 or method == b"INVITE"):
            sender.stop()
        if method != call.method:
            return
        if code < 200:
            call.provisional.append(code)
            after_ms = self.to_cancel.pop(call_id, 0)
            if after_ms:
                self.simulation.at(int(after_ms * MS), lambda: self._cancel(call_id))
            return
        tag = header(data, b"To").partition(b";tag=")[2]
        if tag not in call.tags or code not in call.finals:
            call.tags.add(tag)
            call.finals.append(code)
        if method == b"INVITE" and code >= 300:
            self._send(b"ACK", call_id, b"z9hG4bK-%d" % call.number, tag)
        elif method == b"INVITE":
            # The ACK of a 2xx has a branch of its own and goes where Contact says (13.2.2.4).
            contact = header(data, b"Contact")
            host, _, port = contact.strip(b"<>").removeprefix(b"sip:").partition(b":")
            proxy, self.proxy = self.proxy, (host.decode(), int(port))
            self._send(b"ACK", call_id, b"z9hG4bK-ack-%d" % call.number, tag)
            self.proxy = proxy


@dataclass(slots=True)
class Leg:
    """A request as a destination sees it."""

    request: bytes
    source: Address
    last: bytes = b""
    final: int = 0
    final_ns: int = 0
    is_acknowledged: bool = False


class Destination:
    """Answers as ``behave(request) -> [(after_ms, status), ...]`` says; () is silence."""

    def __init__(
        self,
        simulation: Simulation,
        address: Address,
        behave: Callable[[bytes], list[tuple[float, int]]],
    ) -> None:
        self.simulation, self.address, self.behave = simulation, address, behave
        self.legs: dict[bytes, Leg] = {}
        self._calls: dict[bytes, list[Leg]] = {}
        simulation.nodes[address] = self.receive

    def receive(self, data: bytes, source: Address) -> None:
        method, key = data.split(b" ", 1)[0], branch(data)
        if method == b"ACK":
            for leg in self._calls.get(header(data, b"Call-ID"), ()):
                leg.is_acknowledged |= leg.final > 0
            return
        known = self.legs.get(key)
        if method == b"CANCEL":
            if known is None:
                self._answer(Leg(data, source), 481)
                return
            self._answer(Leg(data, source), 200)
            if not known.final and self.behave(known.request):
                self._finish(known, 487)
            return
        if known is not None:
            if known.last:
                self.simulation.send(known.last, self.address, known.source)
            return
        leg = self.legs[key] = Leg(data, source)
        self._calls.setdefault(header(data, b"Call-ID"), []).append(leg)
        for after_ms, code in self.behave(data):
            self.simulation.at(int(after_ms * MS), partial(self._step, leg, code))

    def _step(self, leg: Leg, code: int) -> None:
        if leg.final:
            return
        if code < 200:
            self._answer(leg, code)
        else:
            self._finish(leg, code)

    def _finish(self, leg: Leg, code: int) -> None:
        leg.final, leg.final_ns = code, self.simulation.now
        self._answer(leg, code)
        if leg.request.startswith(b"INVITE"):
            self._repeat(leg, T1, self.simulation.now + 64 * T1)

    def _repeat(self, leg: Leg, interval: int, until: int) -> None:
        """Timer G, and the UAS core's retransmission of a 2xx (13.3.1.4)."""

        def again() -> None:
            if not leg.is_acknowledged and self.simulation.now < until:
                self.simulation.send(leg.last, self.address, leg.source)
                self._repeat(leg, min(2 * interval, T2), until)

        self.simulation.at(interval, again)

    def _answer(self, leg: Leg, code: int) -> None:
        lines = leg.request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        kept = [each for each in lines if not each.startswith((b"Max-Forwards", b"Content"))]
        tag = b";tag=%s-%d" % (branch(leg.request)[-8:], self.address[1])
        kept = [
            each + tag if each.startswith(b"To:") and code > 100 and b"tag=" not in each else each
            for each in kept
        ]
        contact = b"Contact: <sip:%s:%d>" % (self.address[0].encode(), self.address[1])
        leg.last = b"\r\n".join(
            [b"SIP/2.0 %d Because" % code, *kept, contact, b"Content-Length: 0", b"", b""]
        )
        self.simulation.send(leg.last, self.address, leg.source)
