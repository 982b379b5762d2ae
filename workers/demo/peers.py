"""The demo's SIP peers: destinations that answer 200, and a caller with one source port.

Small on purpose: they speak just enough SIP (OPTIONS over UDP, RFC 3261 11 and 17.1.2) to show the
farm at work.  Each runs in a thread of the demo's process; `close` ends it.
"""

from __future__ import annotations

import itertools
import secrets
import selectors
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass

T1_S = 0.5
"""RFC 3261 17.1.1.1; timer E doubles it up to `T2_S`."""

T2_S = 4.0
GIVE_UP_S = 4.0
"""Without a reply for so long a request counts as unanswered; RFC 3261's timer F would be 32 s."""

DATAGRAM_BYTES = 65535
_COPIED = (b"via", b"v", b"from", b"f", b"call-id", b"i", b"cseq")
"""Header fields that a response takes over from its request as they are (RFC 3261 8.2.6.2)."""


def answer(request: bytes, tag: bytes) -> bytes:
    """200 to a request, b"" to what is none."""
    head, _, _ = request.partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    if not start.endswith(b" SIP/2.0") or start.startswith(b"ACK "):
        return b""
    kept = [b"SIP/2.0 200 OK"]
    for line in lines:
        name = line.partition(b":")[0].strip().lower()
        if name in _COPIED:
            kept.append(line)
        elif name in (b"to", b"t"):
            kept.append(line if b";tag=" in line else line + b";tag=" + tag)
    return b"\r\n".join([*kept, b"Content-Length: 0", b"", b""])


class _Peer:
    """A socket and the thread that works on it."""

    def __init__(self, family: socket.AddressFamily, address: tuple[str, int]) -> None:
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self.socket.bind(address)
        except OSError:
            self.socket.close()
            raise
        self.socket.setblocking(False)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread and close the socket."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.socket.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            while not self._stopping.is_set():
                selector.select(self._turn(time.monotonic()))
                while (datagram := self._receive()) is not None:
                    self._take(*datagram, time.monotonic())

    def _receive(self) -> tuple[bytes, tuple[str, int]] | None:
        try:
            return self.socket.recvfrom(DATAGRAM_BYTES)
        except BlockingIOError:
            return None
        except ConnectionRefusedError:  # ICMP: the farm is not there (any more)
            return b"", ("", 0)

    def _turn(self, now_s: float) -> float:
        """Do what is due; returns how long to sleep at most."""
        raise NotImplementedError

    def _take(self, data: bytes, source: tuple[str, int], now_s: float) -> None:
        raise NotImplementedError


class Destination(_Peer):
    """A user agent server that answers every request with 200."""

    def __init__(self, family: socket.AddressFamily, address: tuple[str, int]) -> None:
        super().__init__(family, address)
        self._tag = secrets.token_hex(4).encode()

    def _turn(self, now_s: float) -> float:
        return 0.1

    def _take(self, data: bytes, source: tuple[str, int], now_s: float) -> None:
        if reply := answer(data, self._tag):
            self.socket.sendto(reply, source)


@dataclass(slots=True)
class _Waiting:
    """A request without a final reply."""

    message: bytes
    sent_s: float
    again_s: float
    interval_s: float = T1_S


class Caller(_Peer):
    """A user agent client that sends OPTIONS at a steady rate, each with a Call-ID of its own."""

    def __init__(
        self,
        family: socket.AddressFamily,
        address: tuple[str, int],
        target: tuple[str, int],
        rate: int,
    ) -> None:
        super().__init__(family, address)
        self._target = target
        self._rate = rate
        self._numbers = itertools.count(1)
        self._waiting: dict[bytes, _Waiting] = {}
        self._next_s = 0.0
        self._is_sending = True
        self._salt = secrets.token_hex(4)
        host, port = self.socket.getsockname()[:2]
        self._here = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.sent = 0
        self.replies: Counter[int] = Counter()
        """Final replies by status code."""

        self.unanswered = 0

    @property
    def here(self) -> str:
        """Its address as ``host:port``."""
        return self._here

    def finish(self, timeout_s: float = GIVE_UP_S + 1) -> None:
        """Send no new request and wait until each has its reply or counts as unanswered."""
        self._is_sending = False
        until_s = time.monotonic() + timeout_s
        while self._waiting and time.monotonic() < until_s:
            time.sleep(0.02)
        self.close()
        self.unanswered += len(self._waiting)

    def _turn(self, now_s: float) -> float:
        self._next_s = self._next_s or now_s
        while self._is_sending and self._next_s <= now_s:
            self._next_s += 1 / self._rate
            self._send(*self._request(next(self._numbers)), now_s)
        for branch, waiting in list(self._waiting.items()):
            if now_s - waiting.sent_s > GIVE_UP_S:
                del self._waiting[branch]
                self.unanswered += 1
            elif waiting.again_s <= now_s:
                waiting.interval_s = min(2 * waiting.interval_s, T2_S)
                waiting.again_s = now_s + waiting.interval_s
                self.socket.sendto(waiting.message, self._target)
        return max(0.0, min(0.05, self._next_s - now_s)) if self._is_sending else 0.05

    def _take(self, data: bytes, source: tuple[str, int], now_s: float) -> None:
        status = data[8:11]
        if not data.startswith(b"SIP/2.0 ") or not status.isdigit() or status < b"200":
            return
        _, _, rest = data.partition(b"branch=")
        branch = rest[: len(self._branch(0))]
        if self._waiting.pop(branch, None):
            self.replies[int(status)] += 1

    def _send(self, branch: bytes, message: bytes, now_s: float) -> None:
        self._waiting[branch] = _Waiting(message, now_s, now_s + T1_S)
        self.sent += 1
        self.socket.sendto(message, self._target)

    def _branch(self, number: int) -> bytes:
        return f"z9hG4bK{self._salt}{number:010d}".encode()

    def _request(self, number: int) -> tuple[bytes, bytes]:
        """(branch, message)."""
        branch = self._branch(number)
        lines = (
            "OPTIONS sip:service@demo.invalid SIP/2.0",
            f"Via: SIP/2.0/UDP {self._here};branch={branch.decode()};rport",
            "Max-Forwards: 70",
            f"From: <sip:caller@demo.invalid>;tag={self._salt}{number}",
            "To: <sip:service@demo.invalid>",
            f"Call-ID: {number}-{self._salt}@demo.invalid",
            f"CSeq: {number} OPTIONS",
            f"Contact: <sip:caller@{self._here}>",
            "Content-Length: 0",
        )
        return branch, "\r\n".join((*lines, "", "")).encode()
