"""A scripted SIP peer on UDP: it sends exactly these bytes and shows exactly what arrived."""

from __future__ import annotations

import select
import socket
import time
from types import TracebackType
from typing import Self

from tests.support.net import uri_host

Address = tuple[str, int]


class Peer:
    """One bound UDP socket, IPv4 or IPv6."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((host, port))
        self.host = host
        self.port: int = self.socket.getsockname()[1]

    @property
    def address(self) -> Address:
        return self.host, self.port

    @property
    def sent_by(self) -> str:
        """``host:port`` as a Via or a URI writes it."""
        return f"{uri_host(self.host)}:{self.port}"

    def send(self, datagram: bytes, to: Address) -> None:
        self.socket.sendto(datagram, to)

    def receive(self, timeout_s: float = 5.0) -> bytes:
        """The next datagram; AssertionError if none comes in time."""
        return self.receive_from(timeout_s)[0]

    def receive_from(self, timeout_s: float = 5.0) -> tuple[bytes, Address]:
        """The next datagram and its source; AssertionError if none comes in time."""
        self.socket.settimeout(timeout_s)
        try:
            datagram, source = self.socket.recvfrom(65535)
        except TimeoutError:
            raise AssertionError(
                f"nothing arrived at {self.sent_by} within {timeout_s:g} s"
            ) from None
        return datagram, (source[0], source[1])

    def pending(self) -> list[bytes]:
        """All that has arrived so far, without waiting."""
        found = []
        while select.select([self.socket], [], [], 0)[0]:
            found.append(self.socket.recv(65535))
        return found

    def receive_until(self, last: bytes, timeout_s: float = 5.0) -> list[bytes]:
        """Datagrams that arrive before the first one that contains ``last``, which is left out."""
        found: list[bytes] = []
        deadline = time.monotonic() + timeout_s
        while True:
            datagram = self.receive(max(0.01, deadline - time.monotonic()))
            if last in datagram:
                return found
            found.append(datagram)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
