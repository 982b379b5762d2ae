"""ds_probing_mode 0, probe_mode, sockets, reloads; and a timer that is killed again and again."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from ds_farm.dispatch.model import State
from ds_farm.probe.prober import Result
from ds_farm.probe.schedule import phase_ns
from shm.layout import Role
from tests.farm.probes import seen, set_state
from tests.support import process
from tests.support.database import Row
from tests.support.farm import Farm
from tests.support.message import Sip
from tests.support.net import free_port, own_host
from tests.support.peer import Address
from tests.support.uas import Uas, after, answering, silent
from tests.support.wait import until

ACTIVE, PROBING = State.ACTIVE, State.PROBING
OK = answering("200 OK")


@dataclass(frozen=True)
class Scene:
    farm: Farm
    uas: dict[str, Uas]
    sockets: list[Address]

    def state(self, name: str) -> State:
        return seen(self.farm)[self.uas[name].uri].state

    def sent(self, name: str) -> int:
        return seen(self.farm)[self.uas[name].uri].sent


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    names = ("active", "asked for", "probing", "lost", "given up", "own socket", "new")
    with ExitStack() as stack:
        uas = {name: stack.enter_context(Uas(OK)) for name in names}
        uas["lost"].script = uas["given up"].script = silent
        hosts = [own_host() for _ in range(3)]
        sockets = [(host, free_port(host)) for host in hosts]
        farm = Farm(tmp_path_factory.mktemp("modes"), [], settings={
            "farm": {"socket": [f"udp:{host}:{port}" for host, port in sockets]},
            "dispatcher": {
                "ds_ping_interval": 1,
                "ds_probing_sock": described(sockets[1]),
            },
        })  # fmt: skip
        farm.store(rows(uas, sockets))
        yield Scene(stack.enter_context(farm), uas, sockets)


def described(socket: Address) -> str:
    return f"udp:{socket[0]}:{socket[1]}"


def rows(uas: dict[str, Uas], sockets: list[Address]) -> list[Row]:
    return [
        Row(uas["active"].uri),
        Row(uas["asked for"].uri, probe_mode=1),
        Row(uas["probing"].uri, state=2),
        Row(uas["lost"].uri, state=2),
        Row(uas["given up"].uri, state=2),
        Row(uas["own socket"].uri, state=2, socket=described(sockets[2])),
    ]


def test_mode_0_probes_those_in_probing_alone(scene: Scene) -> None:
    until(lambda: scene.state("probing") is ACTIVE, "a good reply makes it active")
    sent = scene.sent("probing")
    until(lambda: scene.sent("lost") >= 3, "one that stays probing is probed again and again")
    assert scene.sent("probing") == sent
    assert scene.state("lost") is PROBING
    assert scene.uas["active"].arrivals == []


def test_probe_mode_1_of_a_row_is_probed_while_active(scene: Scene) -> None:
    until(lambda: len(scene.uas["asked for"].requests()) >= 2, "probes of an active one")
    assert scene.state("asked for") is ACTIVE


def test_in_mode_0_a_bad_result_changes_nothing(scene: Scene) -> None:
    # Semantics 5: an operator says active while a probe is on its way to nowhere.
    uas = scene.uas["given up"]
    count = len(uas.requests())
    until(lambda: len(uas.requests()) > count, "a probe is under way")
    timeouts = seen(scene.farm)[uas.uri].results.get(Result.TIMEOUT, 0)
    set_state(scene.farm, uas.uri, ACTIVE)
    until(
        lambda: seen(scene.farm)[uas.uri].results.get(Result.TIMEOUT, 0) > timeouts,
        "the probe has timed out",
    )
    found = seen(scene.farm)[uas.uri]
    assert (found.state, found.failures) == (ACTIVE, 0)


def test_ds_probing_sock_sends_and_a_socket_of_its_own_comes_first(scene: Scene) -> None:
    uas = [scene.uas[name] for name in ("own socket", "asked for")]
    until(lambda: all(each.arrivals for each in uas), "both probes have come")
    assert scene.uas["own socket"].arrivals[0].source == scene.sockets[2]
    assert scene.uas["asked for"].arrivals[0].source == scene.sockets[1]


def test_a_reload_brings_new_ones_and_takes_old_ones_away(scene: Scene) -> None:
    new = Row(scene.uas["new"].uri, probe_mode=1)
    kept = [
        row for row in rows(scene.uas, scene.sockets) if row.destination != scene.uas["lost"].uri
    ]
    scene.farm.reload([*kept, new])
    until(lambda: scene.uas["new"].arrivals, "the new one is probed")
    gone = len(scene.uas["lost"].requests())
    asked = len(scene.uas["asked for"].requests())
    until(lambda: len(scene.uas["asked for"].requests()) >= asked + 2, "two more intervals")
    assert len(scene.uas["lost"].requests()) == gone


INTERVAL_S = 1
LATE_S = 0.2
"""How much later than it was sent a probe may arrive."""


def periods(moments: Iterable[float], slot: int) -> list[int]:
    """Which of a destination's intervals each probe belongs to.

    One that arrives just after a moment may have been made good for just before it.
    """
    found: list[int] = []
    was_just_after = False
    for at_s in moments:
        since_s = at_s - phase_ns(slot, INTERVAL_S * 10**9) / 1e9
        number = int(since_s // INTERVAL_S)
        if found[-1:] == [number] and was_just_after:
            found[-1] -= 1
        was_just_after = since_s % INTERVAL_S < LATE_S
        found.append(number)
    return found


def test_a_killed_timer_doubles_no_probe_and_loses_no_failure(tmp_path: Path) -> None:
    with ExitStack() as stack:
        answers = stack.enter_context(Uas(OK))
        never = stack.enter_context(Uas(silent))
        uris = [f"sip:{i}@{uas.peer.sent_by}" for uas in (answers, never) for i in range(10)]
        settings = {
            "dispatcher": {
                "ds_ping_interval": INTERVAL_S,
                "ds_probing_mode": 1,
                "ds_probing_threshold": 1_000,
            }
        }
        farm = stack.enter_context(Farm(tmp_path, uris, settings=settings))
        until(lambda: all(one.sent for one in seen(farm).values()), "all were probed once")
        pauses_s = 0.05, 0.4, 0.75, 0.2  # at different moments of the interval
        for pause_s in pauses_s:
            timer = farm.child(Role.TIMER).pid
            farm.signal(signal.SIGKILL, timer)
            until(lambda old=timer: farm.child(Role.TIMER).pid != old, "a successor")  # type: ignore[misc]
            time.sleep(pause_s)
        before = seen(farm)
        until(
            lambda: all(one.sent > before[uri].sent + 1 for uri, one in seen(farm).items()),
            "two more probes of each",
        )
        found = seen(farm)
    for uri, one in found.items():
        still_open = one.sent - sum(one.results.values())
        assert still_open in (0, 1), f"{uri}: at most the last probe is open, {one}"
        if f"@{never.peer.sent_by}" in uri:
            assert one.results == {Result.TIMEOUT: one.sent - still_open}
            assert one.failures == one.sent - still_open, "every failure is counted once"
        else:
            assert one.results == {Result.GOOD: one.sent - still_open}
    moments: dict[str, list[float]] = {uri: [] for uri in uris}
    for uas in (answers, never):
        for arrivals in uas.requests().values():
            assert len({arrival.data for arrival in arrivals}) == 1, "retransmissions are equal"
            moments[arrivals[0].data.split(b" ")[1].decode()].append(arrivals[0].at_s)
    for uri, times in moments.items():
        numbers = periods(times, found[uri].slot)
        assert numbers == sorted(set(numbers)), f"{uri}: {times}"
        if f"@{never.peer.sent_by}" not in uri:
            # A successor makes good for what has just passed; one that is slow comes to the next.
            left_out = numbers[-1] - numbers[0] + 1 - len(numbers)
            assert left_out <= len(pauses_s), f"{uri}: {times}"


def test_a_probe_that_left_late_has_its_interval(tmp_path: Path) -> None:
    """The timer is stopped over a moment of its destination, and goes on just before the next."""
    settings = {
        "dispatcher": {"ds_ping_interval": 2, "ds_probing_mode": 1, "ds_probing_threshold": 1}
    }
    with Uas(after(0.7)) as uas, Farm(tmp_path, [uas.uri], settings=settings) as farm:
        until(lambda: seen(farm)[uas.uri].results, "a probe has ended")
        timer = farm.child(Role.TIMER).pid
        process.hold(timer)
        before = seen(farm)[uas.uri]
        passed_s = (time.monotonic() - phase_ns(before.slot, 2 * 10**9) / 1e9) % 2
        late_s = time.monotonic() - passed_s + 2 + 1.6
        until(lambda: time.monotonic() >= late_s, "1.6 s after the moment")
        farm.signal(signal.SIGCONT, timer)
        until(lambda: sum(seen(farm)[uas.uri].results.values()) >= 3, "two more probes")
        assert set(seen(farm)[uas.uri].results) == {Result.GOOD}


def test_a_thousand_destinations_are_spread(tmp_path: Path) -> None:
    """Not a burst: every second of the interval has its part.  How even it is, and what it costs,
    is no test's to say but of `python -m benchmarks.probe_bench`."""
    interval_s, count = 5, 1_000
    with Uas(OK) as uas:
        uris = [f"sip:{i}@{uas.peer.sent_by}" for i in range(count)]
        settings = {"dispatcher": {"ds_ping_interval": interval_s, "ds_probing_mode": 1}}
        with Farm(tmp_path, uris, settings=settings) as farm:
            until(lambda: sum(one.sent > 0 for one in seen(farm).values()) == count, "all of them")

            def in_each_second() -> list[int]:
                """Of the last interval."""
                sent = [one.sent_s for one in seen(farm).values()]
                ages = [int(max(sent) - at_s) for at_s in sent]
                return [ages.count(second) for second in range(interval_s)]

            # What a hold-up has delayed comes at twice the pace: then the next round is looked at.
            until(
                lambda: all(count // 20 < probes < count // 2 for probes in in_each_second()),
                "a round in which each second has its part",
                40.0,
            )


LOCAL_ROUTE = """
def request_route(request):
    request.forward()


def local_route(request):
    if "dropped" in request.ru:
        request.drop()
    elif "broken" in request.ru:
        raise ValueError(request.ru)
    elif request.is_method("OPTIONS"):
        assert not request.append_hf("Via: SIP/2.0/UDP x\\r\\n")
        assert not request.append_hf("no header\\r\\n")
        request.append_hf(f"X-Farm: {request.ru}\\r\\nX-From: {request.fu}\\r\\n")
"""


def test_local_route_sees_each_probe(tmp_path: Path) -> None:
    """It adds headers, or keeps a probe back; one that raises changes nothing."""
    with Uas(OK) as plain, Uas(OK) as dropped, Uas(OK) as broken:
        rows = [
            Row(plain.uri),
            Row(f"sip:dropped@{dropped.peer.sent_by}"),
            Row(f"sip:broken@{broken.peer.sent_by}"),
        ]
        settings = {"dispatcher": {"ds_ping_interval": 1, "ds_probing_mode": 1}}
        with Farm(tmp_path, rows, module=LOCAL_ROUTE, settings=settings) as farm:
            until(
                lambda: seen(farm)[rows[1].destination].state is PROBING, "three that were not sent"
            )
            until(lambda: plain.requests() and broken.requests(), "probes")
            (arrivals, *_) = plain.requests().values()
            message = Sip.read(arrivals[0].data)
            assert message.one("x-farm") == plain.uri.encode()
            assert message.one("x-from") == b"sip:dispatcher@localhost"
            assert message.one("content-length") == b"0"
            (arrivals, *_) = broken.requests().values()
            assert not Sip.read(arrivals[0].data).all("x-farm")
            assert "ValueError: sip:broken" in farm.log()
            assert not dropped.requests()
            assert seen(farm)[plain.uri].state is seen(farm)[rows[2].destination].state is ACTIVE
