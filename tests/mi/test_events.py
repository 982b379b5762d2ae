"""E_DISPATCHER_STATUS on the wire (semantics section 7, decision 20), and who gets it."""

from __future__ import annotations

import pytest

from ds_farm.config.addresses import parse_subscriber
from ds_farm.dispatch.model import State
from ds_farm.dispatch.state import Reason
from ds_farm.mi.events import DISPATCHER_STATUS, Event, encode_json, encode_line, state_changed
from ds_farm.mi.subscriptions import MOST, Subscription, Subscriptions, TooManyError

URI = "sip:127.0.0.1:7000"


def test_format_of_4_0() -> None:
    event = state_changed("p3", 1, URI, State.INACTIVE, Reason.MI)
    assert encode_json(event) == (
        b'{"jsonrpc":"2.0","method":"E_DISPATCHER_STATUS","params":{"partition":"p3","group":1,'
        b'"address":"sip:127.0.0.1:7000","status":"inactive","state":"inactive",'
        b'"reason":"MI command"}}'
    )


def test_format_of_2_1() -> None:
    event = state_changed("default", 1, URI, State.ACTIVE, Reason.GOOD_REPLY)
    assert encode_line(event) == (
        b"E_DISPATCHER_STATUS\npartition::default\ngroup::1\naddress::sip:127.0.0.1:7000\n"
        b"status::active\nstate::active\nreason::200 OK probing reply\n\n"
    )


def test_value_with_a_newline_is_quoted() -> None:
    assert encode_line(Event("E", {"a": "b\nc"})) == b'E\na::"b\nc"\n\n'


def test_decision_20_probing_reports_inactive() -> None:
    event = state_changed("default", 1, URI, State.PROBING, Reason.BAD_REPLY)
    assert isinstance(event.params, dict)
    assert (event.params["status"], event.params["state"]) == ("inactive", "probing")


SUBSCRIBER = parse_subscriber("udp:127.0.0.1:8081")
FIXED = Subscription(DISPATCHER_STATUS, parse_subscriber("unix:/run/fixed"))


def test_subscription_expires_unless_it_is_renewed() -> None:
    made = Subscriptions([FIXED])
    made.add(DISPATCHER_STATUS, SUBSCRIBER, 10, 100.0)
    assert [one.subscriber for one in made.current(109.0)] == [FIXED.subscriber, SUBSCRIBER]
    made.add(DISPATCHER_STATUS, SUBSCRIBER, 10, 109.0)
    assert len(made.current(118.0)) == 2
    assert made.current(119.0) == [FIXED]


def test_subscription_is_one_whoever_asks_again() -> None:
    made = Subscriptions([FIXED])
    made.add(DISPATCHER_STATUS, FIXED.subscriber, 10, 100.0)
    assert made.current(101.0) == [FIXED]


def test_subscriptions_outlive_their_process() -> None:
    saved: list[bytes] = []
    made, after = Subscriptions(save=saved.append), Subscriptions()
    made.add(DISPATCHER_STATUS, SUBSCRIBER, 10, 100.0)
    after.load(saved[-1])
    assert after.current(105.0) == made.current(105.0)
    made.remove(DISPATCHER_STATUS, SUBSCRIBER)
    after.load(saved[-1])
    assert after.current(105.0) == []
    with pytest.raises(ValueError, match="no list of subscriptions"):
        after.load(b'[["E","udp:nowhere"]]')


def test_their_number_is_bounded() -> None:
    made = Subscriptions()
    for port in range(1, MOST + 1):
        made.add(DISPATCHER_STATUS, parse_subscriber(f"udp:127.0.0.1:{port}"), 10, 100.0)
    with pytest.raises(TooManyError):
        made.add(DISPATCHER_STATUS, parse_subscriber("udp:127.0.0.1:9999"), 10, 100.0)
    made.add(DISPATCHER_STATUS, parse_subscriber("udp:127.0.0.1:1"), 10, 101.0)


@pytest.mark.parametrize(
    "text",
    [
        *("udp:127.0.0.1:8081", "udp:[::1]:8081", "unix:/run/x", "line:udp:127.0.0.1:8081"),
        *("line:unix:/run/x", "tcp:127.0.0.1:8090", "http://h:1/p?q=1", "https://h/p"),
    ],
)
def test_subscriber_texts(text: str) -> None:
    assert str(parse_subscriber(text)) == parse_subscriber(text).text == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://u:secret@h:1/p?q=a@b", "http://u:***@h:1/p?q=a@b"),
        ("https://u:se:cr@et@h/", "https://u:***@h/"),
        ("http://u@h/", "http://u@h/"),
        ("http://h/a:b@c", "http://h/a:b@c"),
    ],
)
def test_password_of_a_subscriber_is_not_shown(text: str, shown: str) -> None:
    subscriber = parse_subscriber(text)
    assert (str(subscriber), subscriber.text) == (shown, text)
    saved: list[bytes] = []
    made, after = Subscriptions(save=saved.append), Subscriptions()
    made.add(DISPATCHER_STATUS, subscriber, 10, 100.0)
    after.load(saved[-1])
    assert after.current(105.0)[0].subscriber == subscriber
    with pytest.raises(ValueError, match="expected a URL") as caught:
        parse_subscriber("http://u:secret@h:99999/")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "udp:", "udp:127.0.0.1", "udp:127.0.0.1:0", "unix:relative", "x", "tcp:1.2.3.4"),
        *("line:http://h/", "http://", "http://h:99999/", "http://h /", "unix:/" + "x" * 200),
    ],
)
def test_subscriber_texts_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|cannot|not in|at most|is no|neither"):
        parse_subscriber(text)
