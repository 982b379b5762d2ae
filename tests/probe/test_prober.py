"""Non-INVITE client transactions (RFC 3261 17.1.2) with a clock that is set by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.dispatch.state import Event
from ds_farm.probe.prober import EVENTS, F_NS, Ended, Prober, Result
from ds_farm.probe.request import Request

MS = 1_000_000
T0 = 1_000_000 * MS
HERE = ("192.0.2.7", 5060)


def request(name: str = "a", method: bytes = b"OPTIONS") -> Request:
    return Request(name.encode(), b"z9hG4bKp" + name.encode(), method)


def started(prober: Prober, slot: int = 1, name: str = "a", at_ns: int = T0) -> Request:
    made = request(name)
    prober.start(slot, made, HERE, 0, at_ns, at_ns)
    return made


def sent_again(prober: Prober, start_ms: int, end_ms: int) -> list[int]:
    """Milliseconds after T0 at which something is sent again, with a look every millisecond."""
    found = []
    for now in range(start_ms, end_ms + 1):
        again, _ = prober.expire(T0 + now * MS)
        found += [now] * len(again)
    return found


def test_timer_e_doubles_up_to_t2() -> None:
    prober = Prober(())
    started(prober)
    expected = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]
    assert sent_again(prober, 0, 31_999) == expected
    assert prober.is_open(1)


def test_timer_f_ends_it_after_32_seconds() -> None:
    prober = Prober(())
    started(prober)
    sent_again(prober, 0, 31_999)
    assert prober.expire(T0 + F_NS) == ([], [Ended(1, Result.TIMEOUT)])
    assert F_NS == 32_000 * MS
    assert not prober.is_open(1)
    assert prober.next_ns is None


def test_a_probe_has_until_the_next_one_is_due() -> None:
    prober = Prober((), timeout_ns=1_000 * MS)
    started(prober)
    assert sent_again(prober, 0, 999) == [500]
    assert prober.expire(T0 + 1_000 * MS) == ([], [Ended(1, Result.TIMEOUT)])


def test_it_never_has_longer_than_timer_f() -> None:
    prober = Prober((), timeout_ns=3_600_000 * MS)
    started(prober)
    assert prober.expire(T0 + F_NS)[1] == [Ended(1, Result.TIMEOUT)]


def test_a_provisional_reply_slows_timer_e_down() -> None:
    # 17.1.2.2: in Proceeding timer E is set to T2; timer F goes on.
    prober = Prober(())
    made = started(prober)
    assert sent_again(prober, 0, 600) == [500]
    assert prober.reply(made.branch, b"OPTIONS", 100, T0 + 700 * MS) is None
    assert sent_again(prober, 700, 31_999) == list(range(1_500, 32_000, 4_000))
    assert prober.expire(T0 + F_NS)[1] == [Ended(1, Result.TIMEOUT)]


@pytest.mark.parametrize(
    ("status", "codes", "result"),
    [
        (200, (), Result.GOOD),
        (202, (), Result.BAD),  # semantics 5: exactly 200
        (299, (), Result.BAD),
        (302, (), Result.BAD),
        (404, (), Result.BAD),
        (404, (404,), Result.GOOD),
        (501, (501, 403), Result.GOOD),
        (403, (501, 403), Result.GOOD),
        (503, (501, 403), Result.BAD),
        (408, (), Result.BAD),
        (603, (), Result.BAD),
        (699, (), Result.BAD),
    ],
)
def test_what_a_final_reply_means(status: int, codes: tuple[int, ...], result: Result) -> None:
    prober = Prober(codes)
    made = started(prober)
    ended = prober.reply(made.branch, b"OPTIONS", status, T0 + 12 * MS)
    assert ended == Ended(1, result, status, 12 * MS)
    assert prober.expire(T0 + 2 * F_NS) == ([], [])


def test_only_a_good_one_is_a_success() -> None:
    assert {result for result in Result if EVENTS[result] is Event.SUCCEED} == {Result.GOOD}
    assert {EVENTS[result] for result in Result} == {Event.SUCCEED, Event.FAIL}


def test_a_provisional_code_in_the_list_is_no_final_reply() -> None:
    prober = Prober((183,))
    made = started(prober)
    assert prober.reply(made.branch, b"OPTIONS", 183, T0) is None
    assert prober.is_open(1)


def test_a_second_or_late_reply_belongs_to_nothing() -> None:
    prober = Prober(())
    made = started(prober)
    prober.reply(made.branch, b"OPTIONS", 200, T0)
    with pytest.raises(KeyError):
        prober.reply(made.branch, b"OPTIONS", 200, T0)
    late = started(prober, name="late")
    prober.expire(T0 + F_NS)
    with pytest.raises(KeyError):
        prober.reply(late.branch, b"OPTIONS", 200, T0 + F_NS)


@pytest.mark.parametrize(
    ("branch", "method"),
    [
        (b"z9hG4bKpother", b"OPTIONS"),
        (b"z9hG4bKpa", b"INVITE"),
        (b"z9hG4bKpa", b"options"),  # methods are case-sensitive (7.1)
        (b"", b"OPTIONS"),
    ],
)
def test_a_reply_must_match_by_branch_and_cseq_method(branch: bytes, method: bytes) -> None:
    # 17.1.3
    prober = Prober(())
    started(prober)
    with pytest.raises(KeyError):
        prober.reply(branch, method, 200, T0)
    assert prober.is_open(1)


def test_unreachable_ends_all_probes_on_their_way_there() -> None:
    prober = Prober(())
    for slot in (3, 1):
        started(prober, slot, f"probe{slot}")
    prober.start(2, request("elsewhere"), ("192.0.2.8", 5060), 0, T0, T0)
    assert prober.unreachable(HERE) == [Ended(1, Result.REFUSED), Ended(3, Result.REFUSED)]
    assert prober.unreachable(HERE) == []
    assert prober.unreachable(("192.0.2.8", 5061)) == []
    assert prober.is_open(2)


def test_a_successor_goes_on_in_the_rhythm() -> None:
    # Sent first two seconds ago: 0.5 and 1.5 are over, 3.5 is next, the end is where it was.
    prober = Prober(())
    prober.start(1, request(), HERE, 0, T0, T0 + 2_000 * MS)
    assert sent_again(prober, 2_000, 31_999)[:3] == [3_500, 7_500, 11_500]
    assert prober.expire(T0 + F_NS)[1] == [Ended(1, Result.TIMEOUT)]


def test_a_successor_that_comes_too_late_counts_the_failure() -> None:
    prober = Prober((), timeout_ns=1_000 * MS)
    prober.start(1, request(), HERE, 0, T0, T0 + 5_000 * MS)
    assert prober.expire(T0 + 5_000 * MS) == ([], [Ended(1, Result.TIMEOUT)])


def test_a_timer_that_was_held_up_sends_once() -> None:
    prober = Prober(())
    started(prober)
    again, _ = prober.expire(T0 + 9_000 * MS)
    assert len(again) == 1
    assert sent_again(prober, 9_000, 12_000) == [11_500]


def test_a_destination_has_one_probe_at_a_time() -> None:
    prober = Prober(())
    started(prober)
    with pytest.raises(ValueError, match="slot 1"):
        started(prober, name="b")
    assert prober.fail(1, Result.TIMEOUT) == Ended(1, Result.TIMEOUT)
    started(prober, name="b")


def test_forgotten_is_forgotten() -> None:
    prober = Prober(())
    made = started(prober)
    prober.forget(1)
    prober.forget(1)
    assert len(prober) == 0
    assert prober.next_ns is None
    with pytest.raises(KeyError):
        prober.reply(made.branch, b"OPTIONS", 200, T0)


ACTIONS = st.tuples(
    st.sampled_from(["start", "reply", "provisional", "unreachable", "expire", "forget"]),
    st.integers(0, 4),
    st.integers(0, 3_000),
)


@given(st.lists(ACTIONS, max_size=60))
def test_every_probe_ends_exactly_once(actions: list[tuple[str, int, int]]) -> None:
    prober = Prober((), timeout_ns=5_000 * MS)
    now, begun, forgotten = T0, 0, 0
    ended: list[Ended] = []
    for action, slot, wait_ms in actions:
        now += wait_ms * MS
        if action == "start" and not prober.is_open(slot):
            begun += 1
            prober.start(slot, request(f"{slot}"), HERE, 0, now, now)
        elif action in ("reply", "provisional") and prober.is_open(slot):
            status = 200 if action == "reply" else 180
            one = prober.reply(request(f"{slot}").branch, b"OPTIONS", status, now)
            ended += [one] if one else []
        elif action == "unreachable":
            ended += prober.unreachable(HERE)
        elif action == "forget":
            forgotten += prober.is_open(slot)
            prober.forget(slot)
        elif action == "expire":
            ended += prober.expire(now)[1]
    ended += prober.expire(now + F_NS)[1]
    assert len(ended) + forgotten == begun
    assert len(prober) == 0
    assert prober.next_ns is None
