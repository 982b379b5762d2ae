"""MI over datagrams, UDP or Unix: one request, one reply (semantics section 6.3)."""

from __future__ import annotations

import logging
import select
import socket
import threading
from typing import Any

from ds_farm.mi import answer
from ds_farm.mi.farm import Farm
from workers.mi_jobs import Jobs

logger = logging.getLogger(__name__)

MOST_BYTES = 1 << 16
POLL_S = 0.25
REPLY_S = 1.0
"""How long a Unix client may leave its queue full."""


class Datagrams(threading.Thread):
    """Reads one socket; the jobs answer."""

    def __init__(self, farm: Farm, bound: socket.socket) -> None:
        super().__init__(name="mi datagram", daemon=True)
        self._farm = farm
        self._socket = bound
        self.jobs = Jobs("MI datagram")
        self.stopping = False

    def run(self) -> None:
        while not self.stopping:
            readable, _, _ = select.select([self._socket], [], [], POLL_S)
            if readable:
                self._read()

    def _read(self) -> None:
        try:
            data, source = self._socket.recvfrom(MOST_BYTES)
        except OSError as error:  # an ICMP message for an earlier reply, or a wrong checksum
            logger.debug("MI datagram: %s", error)
            return
        self.jobs.submit(lambda: self._answer(data, source))

    def _answer(self, data: bytes, source: Any) -> None:
        reply = answer.to_datagram(self._farm, data)
        if reply is None or not source:  # a Unix client without a name of its own
            return
        try:
            _, writable, _ = select.select([], [self._socket], [], REPLY_S)
            if writable:
                self._socket.sendto(reply, socket.MSG_DONTWAIT, source)
        except OSError as error:
            logger.debug("MI reply to %s: %s", source, error)
