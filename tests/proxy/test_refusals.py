"""One refusal by ICMP speaks for all that went to the same address at that moment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ds_farm.script._request import Request
from tests.proxy.stage import hosts, requests, upstream
from tests.support.message import reply
from tests.support.request import Script, Sent

DEAD, ALIVE = "sip:192.0.2.1", "sip:192.0.2.2"
MS = 1_000_000


@pytest.fixture
def script() -> Iterator[Script]:
    with Script({1: [DEAD, ALIVE], 2: [ALIVE]}, routes={}) as made:
        yield made


def call(script: Script, set_id: int = 1, at_ms: int = 0) -> Sent:
    """The request that a call makes go out."""

    def relay(request: Request) -> None:
        request.ds_select_dst(str(set_id), "8")
        request.t_relay()

    script.core.pass_time(at_ms * MS)
    (sent,) = requests(script.route(relay, script.message("INVITE"))[1])
    return sent


def test_all_that_left_together_are_refused_by_one_message(script: Script) -> None:
    calls = [call(script) for _ in range(20)]
    middle = calls[10]
    assert len(upstream(script.core.refuse(middle[0], middle[1], middle[2]))) == 1
    answers = upstream(script.core.pass_time(20 * MS))
    assert [each.start_line for each in answers] == [b"SIP/2.0 500 Server Failure"] * 19
    counters = script.segment.counters(0, script.slot(DEAD))
    assert (counters.open, counters.timeouts) == (0, 0), "silence is something else"


def test_other_moments_other_addresses_and_answered_ones_are_not(script: Script) -> None:
    early = call(script)
    other = call(script, 2, 450)
    answered, refused = (call(script, 1, 450) for _ in range(2))
    near = call(script, 1, 500)
    script.handle(reply(answered[0], "100 Trying"), (answered[1], answered[2]))
    assert hosts([early, other, answered, refused, near]) == [
        "192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.1", "192.0.2.1",
    ]  # fmt: skip
    script.core.refuse(refused[0], refused[1], refused[2], 510 * MS)
    assert len(upstream(script.core.pass_time(530 * MS))) == 1, "the near one"
    for sent in (early, other, answered):
        (answer,) = upstream(script.handle(reply(sent[0], "200 OK"), (sent[1], sent[2])))
        assert answer.start_line == b"SIP/2.0 200 OK"
