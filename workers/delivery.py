"""Events on their way: a queue and a thread for each subscriber, so that none waits for another.

A datagram is sent once; a connection that cannot be made is tried again for `RETRY_S`, but what has
been sent is never sent twice.  A queue has `QUEUE` places: what does not fit, or cannot be
delivered, is counted as dropped in the segment.
"""

from __future__ import annotations

import base64
import http.client
import logging
import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from ds_farm.config.addresses import DatagramAddress, Format, Subscriber
from ds_farm.config.opensips import Endpoint
from ds_farm.mi.events import Event, encode_json, encode_line
from shm.layout import HeaderView

logger = logging.getLogger(__name__)

QUEUE = 1000
TIMEOUT_S = 5.0
"""Of one send or one HTTP exchange."""

RETRY_S = 5.0
RETRY_PAUSE_S = 0.25
POLL_S = 0.25
LAST_S = 1.0
"""How long a graceful stop waits for what is queued."""


class Way(Protocol):
    """How an event gets to one subscriber."""

    def connect(self) -> None:
        """Be able to send; may be tried again.  Raises OSError."""

    def send(self, event: Event) -> None:
        """Send it, once.  Raises OSError."""

    def close(self) -> None:
        """Give everything back."""


class _Datagram:
    def __init__(self, address: DatagramAddress, format: Format) -> None:
        self._address = address
        self._encode = encode_line if format == "line" else encode_json
        self._socket: socket.socket | None = None
        self._target: Any = address.path

    def connect(self) -> None:
        family: int = socket.AF_UNIX
        if self._address.udp:
            where = self._address.udp
            found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_DGRAM)
            family, self._target = found[0][0], found[0][4]
        if self._socket is None or self._socket.family != family:
            self.close()
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
            self._socket.settimeout(TIMEOUT_S)
        if family == socket.AF_UNIX:
            self._socket.connect(self._address.path)

    def send(self, event: Event) -> None:
        assert self._socket is not None
        data = self._encode(event)
        if self._address.udp:
            self._socket.sendto(data, self._target)
        else:
            self._socket.send(data)

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None


class _Stream:
    def __init__(self, address: Endpoint) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    def connect(self) -> None:
        """Keep the connection, unless the peer has ended it."""
        if self._socket and select.select([self._socket], [], [], 0)[0]:
            try:
                has_ended = not self._socket.recv(1 << 16)
            except OSError:
                has_ended = True
            if has_ended:
                self.close()
        if self._socket is None:
            where = self._address
            self._socket = socket.create_connection((where.host, where.port), TIMEOUT_S)

    def send(self, event: Event) -> None:
        assert self._socket is not None
        try:
            self._socket.sendall(encode_json(event))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None


class _Webhook:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Content-Type": "application/json", "Connection": "close"}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"

    def connect(self) -> None:
        self._connection.close()
        self._connection.connect()

    def send(self, event: Event) -> None:
        try:
            self._connection.request("POST", self._target, encode_json(event), self._headers)
            status = self._connection.getresponse().status
        except http.client.HTTPException as error:
            raise OSError(f"no HTTP answer: {error!r}") from error
        finally:
            self._connection.close()
        if not 200 <= status < 300:
            raise OSError(f"HTTP status {status}")

    def close(self) -> None:
        self._connection.close()


class _Function:
    """``event_route`` of the routing module."""

    def __init__(self, function: Callable[[Event], object]) -> None:
        self._function = function

    def connect(self) -> None:
        """It is there."""

    def send(self, event: Event) -> None:
        try:
            self._function(event)
        except Exception as error:
            logger.error("event_route failed", exc_info=error)
            raise OSError("event_route failed") from error

    def close(self) -> None:
        """Nothing is held."""


def way_to(subscriber: Subscriber) -> Way:
    """How events get to a subscriber; nothing is opened yet."""
    if subscriber.datagram:
        return _Datagram(subscriber.datagram, subscriber.format)
    return _Stream(subscriber.tcp) if subscriber.tcp else _Webhook(subscriber.url)


def way_to_function(function: Callable[[Event], object]) -> Way:
    """A function is called with each event."""
    return _Function(function)


class Sender(threading.Thread):
    """The queue and the thread of one subscriber."""

    def __init__(self, name: str, way: Way, header: HeaderView) -> None:
        super().__init__(name=f"events to {name}", daemon=True)
        self._to = name
        self._way = way
        self._header = header
        self._queue: queue.Queue[Event] = queue.Queue(QUEUE)
        self.is_wanted = True
        """If not, nothing is tried twice."""

        self.stopping = False

    def put(self, event: Event) -> None:
        """Queue an event, or count it as dropped."""
        self._header.add("events_accepted")
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self._header.add("events_dropped")
            logger.warning("event to %s dropped: %d are waiting", self._to, QUEUE)

    @property
    def is_idle(self) -> bool:
        """Nothing is queued or on its way."""
        return self._queue.unfinished_tasks == 0

    def run(self) -> None:
        while not (self.stopping and self._queue.empty()):
            try:
                event = self._queue.get(timeout=POLL_S)
            except queue.Empty:
                continue
            try:
                self._deliver(event)
            finally:
                self._queue.task_done()
        self._way.close()

    def _deliver(self, event: Event) -> None:
        try:
            self._connect()
            self._way.send(event)
        except (OSError, UnicodeError) as error:
            self._header.add("events_dropped")
            logger.warning("event to %s dropped: %s", self._to, error)
        else:
            self._header.add("events_delivered")

    def _connect(self) -> None:
        until_s = time.monotonic() + RETRY_S
        while True:
            try:
                self._way.connect()
                return
            except OSError:
                if self.stopping or not self.is_wanted or time.monotonic() >= until_s:
                    raise
            time.sleep(RETRY_PAUSE_S)
