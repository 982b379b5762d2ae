"""Datagrams that leave the farm together (UDP_SEGMENT): peers see each as it was, in order."""

from __future__ import annotations

import random
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.farm.trains import MODULE, SCENES, SPREAD, One, burst, counted, joined
from tests.support.alone import alone
from tests.support.database import Row
from tests.support.farm import Farm, Settings
from tests.support.message import Sip
from tests.support.peer import Peer
from workers.sockets import is_captured

ROOT = Path(__file__).parents[2]
BURST = 100
BODIES = (0, 0, 0, 0, 300, 299, 900, 900, 1100, 1101, 4000)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("udp_segmentation", ["always", "never"])
def test_a_burst_arrives_as_it_was(tmp_path: Path, host: str, udp_segmentation: str) -> None:
    draw = random.Random(f"{host}{udp_segmentation}")
    sent = [One(draw.choice((1, 2, 3)), draw.choice(BODIES)) for _ in range(BURST)]
    settings = {"farm": {"udp_segmentation": udp_segmentation}}
    with Peer(host) as one, Peer(host) as two, Peer(host) as three, Peer(host) as caller:
        callees = (one, two, three)
        rows = [Row(f"sip:{each.sent_by}", setid=i) for i, each in enumerate(callees, 1)]
        with Farm(
            tmp_path, rows, children=1, module=MODULE, settings=settings, listen_ipv6=True
        ) as farm:
            burst(farm, caller, sent, "burst")
            together = 0
            for setid, callee in enumerate(callees, 1):
                wanted = [(i, each) for i, each in enumerate(sent) if each.setid == setid]
                arrived = [callee.receive() for _ in wanted]
                read = [Sip.read(each) for each in arrived]
                numbers = [each.one("call-id")[:3] for each in read]
                assert numbers == [b"%03d" % i for i, _ in wanted]
                assert [each.body for each in read] == [b"x" * each.body for _, each in wanted]
                together += joined([len(each) for each in arrived])
            assert together > BURST // 10
            assert counted(farm) == [together if udp_segmentation == "always" else 0, 0]
            assert all(callee.pending() == [] for callee in callees)


def test_responses_too(tmp_path: Path) -> None:
    """Of the farm's own making: they go to one caller, so nearly all go together."""
    settings = {"farm": {"udp_segmentation": "always"}}
    with (
        Peer() as caller,
        Farm(tmp_path, [], children=1, module=REFUSE, settings=settings) as farm,
    ):
        burst(farm, caller, [One(1)] * BURST, "refused")
        arrived = [caller.receive() for _ in range(BURST)]
        assert [Sip.read(each).one("call-id")[:3] for each in arrived] == [
            b"%03d" % i for i in range(BURST)
        ]
        # 64 is the most that the kernel takes in one.
        assert {len(each) for each in arrived} == {len(arrived[0])}
        assert counted(farm) == [BURST - 2, 0]


FAILOVER = """
def request_route(request):
    request.t_on_failure("next")
    if request.ds_select_dst("1", "8", "f"):
        request.t_relay()

def failure_route_next(request):
    if request.ds_next_dst():
        request.t_relay()
"""


def test_one_refusal_speaks_for_its_train(tmp_path: Path) -> None:
    """Of a train ICMP answers the first datagram alone; no other is sent again in this time."""
    settings: Settings = {
        # Nobody answers: a farm that stops would wait for these calls.
        "farm": {"udp_segmentation": "always", "stop_timeout_s": 1.0},
        "tm": {"T1_timer": 10000},
    }
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed,
        Peer() as callee,
        Peer() as caller,
    ):
        closed.bind(("127.0.0.1", 0))
        closed.connect((callee.host, 9))  # to everybody else nobody listens there
        dead = f"sip:127.0.0.1:{closed.getsockname()[1]}"
        rows = [Row(dead, priority=9), Row(f"sip:{callee.sent_by}")]
        with Farm(tmp_path, rows, children=1, module=FAILOVER, settings=settings) as farm:
            burst(farm, caller, [One(1)] * BURST, "refused")
            arrived = [Sip.read(callee.receive()).one("call-id")[:3] for _ in range(BURST)]
            assert sorted(arrived) == [b"%03d" % i for i in range(BURST)]
            assert counted(farm)[0] > BURST // 2
            assert farm.metrics().total("ds_farm_worker_retransmissions_total") == 0


REFUSE = """
def request_route(request):
    request.send_reply(404, "Nobody here")
"""


@pytest.mark.parametrize("scene", list(SCENES))
def test_where_they_cannot_or_should_not(tmp_path: Path, scene: str) -> None:
    """In a network of its own: takes root, or user namespaces."""
    command = [sys.executable, "-m", "tests.farm.trains", str(tmp_path), scene]
    done = subprocess.run(
        alone(f"{SPREAD} exec {shlex.join(command)}", must=True),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60.0,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("table", "captured"),
    [
        ("", False),
        ("sk RefCnt Type Proto  Iface R Rmem   User   Inode\n", False),
        ("head\n000000000e316209 3      3    0003   0     1 214616 0      1418996\n", True),
        ("head\n000000000e316209 3      3    0003   0     0 0      0      1418996\n", False),
        ("head\n000000000e316209 3      3    88cc   2     1 0      0      1418996\n", False),
        ("head\na 3 3 88cc 2 1 0 0 1\nb 3 3 0800 2 1 0 0 2\n", True),
        ("head\nshort\n\n", False),
    ],
)
def test_who_captures(tmp_path: Path, table: str, captured: bool) -> None:
    path = tmp_path / "packet"
    path.write_text(table)
    assert is_captured(path) is captured
    assert not is_captured(tmp_path / "none")
