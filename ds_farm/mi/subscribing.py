"""event_subscribe, events_list, subscribers_list, raise_event, as of OpenSIPS 4.0."""

from __future__ import annotations

import json
import time

from ds_farm.config.addresses import Format, Subscriber, parse_subscriber
from ds_farm.mi.events import EVENTS, Event
from ds_farm.mi.farm import Farm
from ds_farm.mi.jsonrpc import INVALID_PARAMS, Json, MiError
from ds_farm.mi.subscriptions import DEFAULT_EXPIRE_S, Subscription, TooManyError

MOST_EXPIRE_S = 10 * 365 * 86400


def event_subscribe(
    farm: Farm, event: str, socket: str, expire: int = DEFAULT_EXPIRE_S, format: Format = "json"
) -> Json:
    """Send an event to a socket for ``expire`` seconds; 0 ends it.

    ``format`` is that of a datagram socket which names none: the dialect of who subscribes.
    """
    _check_event(event)
    if expire < 0:
        raise MiError(INVALID_PARAMS, "Invalid params", "Negative expire value")
    subscriber = _parse(socket, format)
    if not expire:
        farm.subscriptions.remove(event, subscriber)
        return "OK"
    try:
        farm.subscriptions.add(event, subscriber, min(expire, MOST_EXPIRE_S), time.monotonic())
    except TooManyError:
        raise MiError(500, "Too many subscribers") from None
    return "OK"


def events_list(farm: Farm) -> Json:
    """What can be subscribed to."""
    return {"Events": [{"name": name, "id": index} for index, name in enumerate(EVENTS)]}


def subscribers_list(farm: Farm, event: str = "", socket: str = "") -> Json:
    """Subscribers of all events, of one, or one subscriber."""
    now_s = time.monotonic()
    current = farm.subscriptions.current(now_s)
    if not event:
        shown = [_show(name, current, now_s) for name in EVENTS]
        return {"Events": [one for one in shown if one["subscribers"]]}
    _check_event(event)
    if not socket:
        return {"Event": _show(event, current, now_s)}
    wanted = _parse(socket, "json"), _parse(socket, "line")
    for one in current:
        if one.event == event and one.subscriber in wanted:
            shown_one = _show_subscriber(one, now_s)
            return {"Event": {"name": event, "id": EVENTS.index(event), "Subscriber": shown_one}}
    raise MiError(404, "Subscriber does not exist")


def raise_event(farm: Farm, event: str, params: Json = ()) -> Json:
    """Send an event with these parameters to its subscribers, to see whether they hear it."""
    _check_event(event)
    if isinstance(params, str):
        try:
            params = json.loads(params)
        except (ValueError, RecursionError):
            params = [params]
    if not isinstance(params, (dict, list, tuple)):
        params = [params]
    try:
        json.dumps(params, allow_nan=False)  # 1e999 is JSON, but cannot be written as such
    except (ValueError, RecursionError):
        data = "Bad type for parameter 'params'"
        raise MiError(INVALID_PARAMS, "Invalid params", data) from None
    farm.raise_event(Event(event, params))
    return "OK"


def _check_event(name: str) -> None:
    if name not in EVENTS:
        raise MiError(404, "Event not published")


def _parse(socket: str, format: Format) -> Subscriber:
    try:
        return parse_subscriber(socket, format)
    except ValueError as error:
        raise MiError(400, "Bad parameter value", str(error)) from None


def _show(name: str, current: list[Subscription], now_s: float) -> dict[str, Json]:
    subscribers = [_show_subscriber(one, now_s) for one in current if one.event == name]
    return {"name": name, "id": EVENTS.index(name), "subscribers": subscribers}


def _show_subscriber(one: Subscription, now_s: float) -> dict[str, Json]:
    shown: dict[str, Json] = {"socket": str(one.subscriber)}
    if not one.expire_s:
        return shown | {"expire": "never"}
    return shown | {"expire": one.expire_s, "ttl": max(0, int(one.until_s - now_s))}
