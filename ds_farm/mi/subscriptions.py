"""Who gets which event, and for how long.

Those of the configuration stay; those by MI expire, and are handed to control's successor as bytes.
Threads of several transports use it at once.  Times are CLOCK_MONOTONIC: one for all processes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ds_farm.config.addresses import Subscriber, parse_subscriber

MOST = 64
"""Subscriptions by MI; each has a thread and a queue."""

DEFAULT_EXPIRE_S = 3600


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscriber of one event."""

    event: str
    subscriber: Subscriber
    expire_s: int = 0
    """0: for ever."""

    until_s: float = 0.0


class TooManyError(Exception):
    """There is no room for one more."""


class Subscriptions:
    """All of a farm."""

    def __init__(
        self,
        fixed: Iterable[Subscription] = (),
        save: Callable[[bytes], None] = lambda data: None,
    ) -> None:
        """``save`` gets what `load` takes after each change, before its requester hears of it."""
        self._fixed = tuple(fixed)
        self._save = save
        self._by_mi: dict[tuple[str, Subscriber], Subscription] = {}
        self._guard = threading.Lock()

    def add(self, event: str, subscriber: Subscriber, expire_s: int, now_s: float) -> None:
        """Subscribe, or make the time new.  Raises TooManyError."""
        key = event, subscriber
        with self._guard:
            self._forget_expired(now_s)
            if key not in self._by_mi and len(self._by_mi) >= MOST:
                raise TooManyError
            self._by_mi[key] = Subscription(event, subscriber, expire_s, now_s + expire_s)
            self._save(self._dump())

    def remove(self, event: str, subscriber: Subscriber) -> None:
        """End a subscription by MI, if there is one."""
        with self._guard:
            if self._by_mi.pop((event, subscriber), None):
                self._save(self._dump())

    def current(self, now_s: float) -> list[Subscription]:
        """Those that have not expired, the configuration's first."""
        with self._guard:
            self._forget_expired(now_s)
            known = {(one.event, one.subscriber) for one in self._fixed}
            return [*self._fixed, *(one for key, one in self._by_mi.items() if key not in known)]

    def _forget_expired(self, now_s: float) -> None:
        for key in [key for key, one in self._by_mi.items() if now_s >= one.until_s]:
            del self._by_mi[key]

    def _dump(self) -> bytes:
        """Those by MI; the caller has the guard."""
        rows = [
            [one.event, one.subscriber.text, one.expire_s, one.until_s]
            for one in self._by_mi.values()
        ]
        return json.dumps(rows).encode()

    def load(self, data: bytes) -> None:
        """What a predecessor has saved; ValueError if it is something else."""
        try:
            found = {}
            for event, text, expire_s, until_s in json.loads(data):
                subscriber = parse_subscriber(text)
                one = Subscription(str(event), subscriber, int(expire_s), float(until_s))
                found[one.event, subscriber] = one
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"no list of subscriptions: {error}") from error
        with self._guard:
            self._by_mi = found
