"""Bursts through a farm, and what becomes of datagrams that leave it together; as a script, in a
network of its own that does not let all of them (test_trains.py runs it)."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shm.layout import Role
from tests.support import process
from tests.support.database import Row
from tests.support.farm import Farm
from tests.support.message import Draft, Sip
from tests.support.net import uri_host
from tests.support.peer import Peer
from tests.support.wait import until

MODULE = """
def request_route(request):
    setid = request.ru.partition(":")[2].partition("@")[0]
    if request.ds_select_dst(setid, "4"):
        request.forward()
"""
"""The user part of the Request-URI is the set."""

ETHERNET = 1452
"""Longest datagram of a train, until something says that it must be less."""

COUNTERS = ("joined_datagrams", "send_errors")
SPREAD = "ip route add unreachable 192.0.2.0/24; ip link set lo mtu 1280;"
"""Datagrams of more than 1,252 bytes are fragmented; 192.0.2.1 cannot be reached."""


@dataclass(frozen=True)
class One:
    """A datagram of a burst: to this set, with a body of so many bytes."""

    setid: int
    body: int = 0


def burst(farm: Farm, caller: Peer, datagrams: Sequence[One], name: str) -> None:
    """Have the farm's only worker find all of them at once.  Call-IDs begin with their number."""
    to = farm.sip6 if ":" in caller.host else farm.sip
    worker = farm.child(Role.WORKER).pid
    process.hold(worker)
    try:
        for number, one in enumerate(datagrams):
            draft = Draft(
                uri=f"sip:{one.setid}@{uri_host(to[0])}:{to[1]}",
                via=f"SIP/2.0/UDP {caller.sent_by};branch=z9hG4bK{name}{number:03}",
                key=f"{number:03}{name}",
                body=b"x" * one.body,
            )
            caller.send(draft.bytes(), to)
    finally:
        farm.signal(signal.SIGCONT, worker)


def joined(lengths: Sequence[int], longest: int = ETHERNET) -> int:
    """How many of the datagrams to one address leave behind another one, by the kernel's rule: in
    a train all are of one length, but the last may be shorter."""
    count, head, is_closed = 0, 0, True
    for length in lengths:
        if not is_closed and head <= longest and length <= head:
            count += 1
            is_closed = length < head
        else:
            head, is_closed = length, False
    return count


def counted(farm: Farm) -> list[int]:
    """Datagrams that left together, and that could not be sent, once its only worker has done with
    those that it has: a callee may have one before the worker has counted it."""
    worker = farm.child(Role.WORKER).pid
    until(lambda: process.is_asleep(worker), "a worker that has done")
    metrics = farm.metrics()
    return [int(metrics.total(f"ds_farm_worker_{name}_total")) for name in COUNTERS]


def too_long_for_the_way(farm: Farm, caller: Peer, callee: Peer) -> None:
    before = counted(farm)
    for body, together in ((950, 0), (950, 0), (300, 4)):
        burst(farm, caller, [One(1, body)] * 5, f"long{body}")
        datagrams = [callee.receive() for _ in range(5)]
        assert together or {len(each) for each in datagrams} <= set(range(1253, ETHERNET + 1))
        arrived = [Sip.read(each) for each in datagrams]
        assert [each.one("call-id")[:3] for each in arrived] == [b"%03d" % i for i in range(5)]
        assert {each.body for each in arrived} == {b"x" * body}
        now = counted(farm)
        assert (now[0] - before[0], now[1] - before[1]) == (together, 0), (body, before, now)
        before = now


def out_of_reach(farm: Farm, caller: Peer, callee: Peer) -> None:
    before = counted(farm)
    burst(farm, caller, [One(1), One(2), One(2), One(1), One(2), One(1)], "reach")
    arrived = [Sip.read(callee.receive()).one("call-id")[:3] for _ in range(3)]
    assert arrived == [b"000", b"003", b"005"]
    assert counted(farm)[1] == before[1] + 3
    failed = farm.metrics().total("ds_farm_destination_failures_total", destination=UNREACHABLE)
    assert failed == 3
    burst(farm, caller, [One(1), One(1)], "again")  # and those that can be go on together
    for _ in range(2):
        callee.receive()
    assert counted(farm)[0] == before[0] + 3


def somebody_looks(farm: Farm, caller: Peer, callee: Peer) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)):
        until(lambda: "packets are captured" in farm.log(), "a worker that has noticed")
        before = counted(farm)
        burst(farm, caller, [One(1)] * 5, "seen")
        for _ in range(5):
            callee.receive()
        assert counted(farm) == before
    until(lambda: "no longer captured" in farm.log(), "a worker that has noticed the end")
    burst(farm, caller, [One(1)] * 5, "unseen")
    for _ in range(5):
        callee.receive()
    assert counted(farm) == [before[0] + 4, before[1]]


UNREACHABLE = "sip:192.0.2.1"
SCENES: dict[str, Callable[[Farm, Peer, Peer], None]] = {
    scene.__name__: scene for scene in (too_long_for_the_way, out_of_reach, somebody_looks)
}


def main(directory: Path, scene: str) -> None:
    with (
        Peer() as callee,
        Peer() as caller,
        Farm(
            directory,
            [Row(f"sip:{callee.sent_by}"), Row(UNREACHABLE, setid=2)],
            children=1,
            module=MODULE,
        ) as farm,
    ):
        try:
            SCENES[scene](farm, caller, callee)
        except BaseException:
            print(farm.log())
            raise


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
