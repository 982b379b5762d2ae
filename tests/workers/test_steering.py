"""Steering by eBPF: the kernel and the workers agree on who owns a call.  Takes root."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ds_farm.proxy.owner import CALL_ID_BYTES, hash_key
from tests.farm.test_calls import MODULE
from tests.support import counts
from tests.support.command import ds_farm
from tests.support.farm import Farm
from tests.support.net import own_host
from tests.support.sipp import Callee, Calls
from workers.steering import Steering

RANKS = 4
SEED, FACTOR = hash_key(b"sixteen byte key")
HEAD = b"INVITE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n"
TAIL = b"\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"


def owner(call_id: bytes, workers: int) -> int:
    """As owner.py says in words."""
    found = SEED
    for byte in call_id[:CALL_ID_BYTES]:
        found = (found ^ byte) * FACTOR % 2**64
    return (found >> 32) % workers


class Group:
    """Sockets of one address, and a sender."""

    def __init__(self, host: str, ranks: int = RANKS) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.host, self.port = host, 0
        self._family = family
        self.sockets: list[socket.socket] = []
        for _ in range(ranks):
            self.grow()
        self._sender = socket.socket(family, socket.SOCK_DGRAM)

    def grow(self) -> None:
        one = socket.socket(self._family, socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind((self.host, self.port))
        self.port = one.getsockname()[1]
        self.sockets.append(one)

    def rank(self, datagram: bytes) -> int:
        """Which socket gets it."""
        self._sender.sendto(datagram, (self.host, self.port))
        ready, _, _ = select.select(self.sockets, [], [], 5.0)
        assert len(ready) == 1
        ready[0].recv(65535)
        return self.sockets.index(ready[0])

    def close(self) -> None:
        for each in (*self.sockets, self._sender):
            each.close()


@pytest.fixture(params=["127.0.0.1", "::1"])
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    made = Group(request.param)
    yield made
    made.close()


@pytest.fixture
def steering(group: Group) -> Iterator[Steering]:
    made = Steering(group.sockets, 8, SEED, FACTOR)
    made.spread(group.sockets, range(RANKS), RANKS)
    yield made
    made.close()


NAMES = (b"Call-ID: ", b"i:", b"CALL-ID :\t", b"call-id:  ", b"I:")


@pytest.mark.parametrize("name", NAMES)
def test_kernel_finds_the_owner(group: Group, steering: Steering, name: bytes) -> None:
    for number in range(60):
        call_id = os.urandom(1 + number).hex().encode() + b"@192.0.2.1"
        padding = b"X-Padding: " + b"p" * (20 * number) + b"\r\n"
        data = HEAD + padding + name + call_id + TAIL
        assert group.rank(data) == owner(call_id, RANKS), data


def test_responses_too(group: Group, steering: Steering) -> None:
    for number in range(40):
        call_id = b"call-%d" % number
        data = b"SIP/2.0 200 OK\r\nVia: x\r\nTo: <sip:a>;tag=b\r\nCall-ID: " + call_id + TAIL
        assert group.rank(data) == owner(call_id, RANKS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\r\n\r\n",
        b"nothing of the kind",
        b"Call-ID",
        HEAD + b"Call-ID",
        HEAD + b"Call-ID:",
        HEAD + b"Call-ID:" + b" " * 40,
        b"\xff" * 3000,
        HEAD + b"p" * 1500 + b"\r\nCall-ID: late" + TAIL,
        b"\ni:" * 400,
        HEAD + b"i : not found with a space" + TAIL,
    ],
)
def test_anything_else_gets_to_somebody(group: Group, steering: Steering, data: bytes) -> None:
    for _ in range(5):
        assert 0 <= group.rank(data) < RANKS


def test_without_a_call_id_everybody_gets_some(group: Group, steering: Steering) -> None:
    seen = Counter(group.rank(b"no call at all") for _ in range(200))
    assert seen.keys() == set(range(RANKS))


def test_more_and_fewer_workers(group: Group, steering: Steering) -> None:
    group.grow()
    for workers in (5, 2, 1, 5):
        steering.spread(group.sockets, range(workers), workers)
        for number in range(40):
            call_id = b"call-%d" % number
            data = HEAD + b"Call-ID: " + call_id + TAIL
            assert group.rank(data) == owner(call_id, workers)


def test_who_is_not_there_has_others_take_its_calls(group: Group, steering: Steering) -> None:
    steering.spread(group.sockets, [0, 2, 3], RANKS)
    for number in range(60):
        call_id = b"call-%d" % number
        rank = group.rank(HEAD + b"Call-ID: " + call_id + TAIL)
        assert rank != 1
        if owner(call_id, RANKS) != 1:
            assert rank == owner(call_id, RANKS)


def test_program_stays_when_its_descriptors_are_gone(group: Group, steering: Steering) -> None:
    steering.close()
    assert group.rank(HEAD + b"Call-ID: x" + TAIL) == owner(b"x", RANKS)


def test_no_descriptor_is_left(group: Group) -> None:
    before = set(os.listdir("/proc/self/fd"))
    Steering(group.sockets, 8, SEED, FACTOR).close()
    assert set(os.listdir("/proc/self/fd")) == before


UNPRIVILEGED = """
import os, socket, sys
sys.path.insert(0, {root!r})
from workers.steering import Steering, SteeringError
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
one.bind(("127.0.0.1", 0))
os.setuid(65534)
try:
    Steering([one], 8, 1, 3)
except SteeringError as error:
    print(error)
"""


def test_without_the_right_to_it_the_reason_is_said() -> None:
    text = UNPRIVILEGED.format(root=str(Path(__file__).parents[2]))
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=30)
    assert "bpf(2): Operation not permitted" in done.stdout, done


@pytest.mark.parametrize(("how", "handed"), [("ebpf", False), ("handover", True)])
def test_a_farm_says_how_calls_get_to_their_owners(tmp_path: Path, how: str, handed: bool) -> None:
    with Callee(tmp_path, "callee") as callee:
        farm = Farm(
            tmp_path,
            [callee.uri],
            children=4,
            module=MODULE.format(algorithm=4),
            settings={"tm": {"steering": how}},
        )
        with farm, Calls(tmp_path, "call_uac.xml", farm.sip, 60, 200) as caller:
            assert caller.wait().failed == 0, caller.report() + farm.log()
            metrics = farm.metrics()
            assert [s.labels for s in metrics.select("ds_farm_steering_info")] == [{"by": how}]
            assert (metrics.total("ds_farm_worker_handed_over_total") > 0) == handed
            words = "eBPF" if how == "ebpf" else "hand over to each other"
            assert words in farm.log()
            assert sum(1 for requests in farm.worker_requests() if requests) == 4
            assert sum(counts.of(farm).requests.values()) == 60


def test_a_stateless_farm_draws_at_random(tmp_path: Path) -> None:
    with Farm(tmp_path, [f"sip:{own_host()}:5070"]) as farm:
        found = farm.metrics().select("ds_farm_steering_info")
        assert [sample.labels for sample in found] == [{"by": "random"}]


def test_steering_that_cannot_be_had_is_refused(tmp_path: Path) -> None:
    farm = Farm(tmp_path, [], settings={"tm": {"steering": "nonsense"}})
    done = ds_farm("check", "-c", farm.config, cwd=tmp_path)
    assert done.returncode != 0
    assert "tm.steering" in done.stdout + done.stderr
