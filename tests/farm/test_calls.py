"""Calls through a stateful farm: SIPp as caller and callees, real processes, one worker and four,
steered by the kernel or handing over.

The farm has the built-in route with flag f, or a module with t_relay(); the callees that fail are
silent, refuse by ICMP, or answer badly.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import counts
from tests.support.farm import Farm
from tests.support.net import own_host, refusing
from tests.support.peer import Peer
from tests.support.sipp import Callee, Calls
from tests.support.wait import until

CALLS = 60
RATE = 100

MODULE = """
def request_route(request):
    if not request.mf_process_maxfwd_header(10):
        request.send_reply(483, "Too Many Hops")
    elif request.has_totag():
        request.t_relay()
    elif request.ds_select_dst("1", "{algorithm}", "f"):
        request.t_on_failure("next")
        request.t_relay()
    else:
        request.send_reply(500, "Unable to route")


def failure_route_next(request):
    if request.t_was_cancelled() or not request.t_check_status("408|5[0-9][0-9]"):
        return
    request.ds_mark_dst("p")
    if request.ds_next_dst():
        request.t_on_failure("next")
        request.t_relay()
"""

QUICK = {"tm": {"fr_timeout": 0.7}}


def nothing_is_left(farm: Farm) -> None:
    """Every transaction got a final response; what remains waits for late messages."""
    with farm.segment() as segment:
        ranks = range(segment.header.max_workers)  # there may have been more than there are
        until(
            lambda: not any(segment.worker(rank).unfinished for rank in ranks),
            "no transaction without a final response",
        )


def test_plain_calls(tmp_path: Path, stack: ExitStack, children: int) -> None:
    callees = [stack.enter_context(Callee(tmp_path, f"callee{i}")) for i in range(3)]
    module = MODULE.format(algorithm=4)
    farm = Farm(tmp_path, [each.uri for each in callees], children=children, module=module)
    with farm, Calls(tmp_path, "call_uac.xml", farm.sip, CALLS, RATE) as caller:
        result = caller.wait()
        assert (result.successful, result.failed) == (CALLS, 0), caller.report() + farm.log()
        nothing_is_left(farm)
        shares = counts.of(farm).requests
        assert max(shares.values()) - min(shares.values()) <= 1, shares
        assert sum(each.stop().successful for each in callees) == CALLS


def test_a_busy_callee_is_the_answer(tmp_path: Path, stack: ExitStack, children: int) -> None:
    callee = stack.enter_context(Callee(tmp_path, "busy", status=486))
    farm = Farm(tmp_path, [callee.uri], children=children, module=MODULE.format(algorithm=4))
    with farm, Calls(tmp_path, "refused_uac.xml", farm.sip, CALLS, RATE, status=486) as caller:
        result = caller.wait()
        assert (result.successful, result.failed) == (CALLS, 0), caller.report() + farm.log()
        nothing_is_left(farm)
        assert callee.stop().successful == CALLS  # each with its ACK


def test_cancel(tmp_path: Path, stack: ExitStack, children: int) -> None:
    callee = stack.enter_context(Callee(tmp_path, "ringing", scenario="cancel_uas.xml"))
    farm = Farm(tmp_path, [callee.uri], children=children, module=MODULE.format(algorithm=4))
    with farm, Calls(tmp_path, "cancel_uac.xml", farm.sip, CALLS, RATE) as caller:
        result = caller.wait()
        assert (result.successful, result.failed) == (CALLS, 0), caller.report() + farm.log()
        nothing_is_left(farm)
        assert callee.stop().successful == CALLS


@pytest.mark.parametrize("trouble", ["silent", "refused", "503"])
def test_failover(tmp_path: Path, stack: ExitStack, children: int, trouble: str) -> None:
    """The first destination fails, the caller sees one clean call by the second."""
    if trouble == "503":
        bad = stack.enter_context(Callee(tmp_path, "bad", status=503)).uri
    elif trouble == "silent":
        bad = f"sip:{stack.enter_context(Peer()).sent_by}"
    else:
        bad = f"sip:{stack.enter_context(refusing(own_host()))}"
    good = stack.enter_context(Callee(tmp_path, "good"))
    farm = Farm(
        tmp_path,
        [bad, good.uri],
        children=children,
        module=MODULE.format(algorithm=8).replace('request.ds_mark_dst("p")', "pass"),
        settings=QUICK,
    )
    with farm, Calls(tmp_path, "call_uac.xml", farm.sip, CALLS, RATE) as caller:
        result = caller.wait()
        assert (result.successful, result.failed) == (CALLS, 0), caller.report() + farm.log()
        nothing_is_left(farm)
        seen = counts.of(farm)
        assert seen.requests[bad] == CALLS
        assert seen.requests[good.uri] == CALLS
        if trouble == "refused":
            # What ICMP says counts at once: else each call had sent again after T1.  A reply of
            # SIPp's that is late has some send again all the same.
            assert farm.metrics().total("ds_farm_worker_retransmissions_total") < CALLS // 2


def test_all_down(tmp_path: Path, stack: ExitStack, children: int) -> None:
    """The best of what was answered goes to the caller: 500 for 503s."""
    bad = [stack.enter_context(Callee(tmp_path, f"bad{i}", status=503)) for i in range(2)]
    farm = Farm(
        tmp_path,
        [each.uri for each in bad],
        children=children,
        settings={"route": {"set": "1", "algorithm": "4", "flags": "f"}},
    )
    with farm, Calls(tmp_path, "refused_uac.xml", farm.sip, 1, 1, status=500) as caller:
        result = caller.wait()
        assert (result.successful, result.failed) == (1, 0), caller.report() + farm.log()
        nothing_is_left(farm)
