"""Loopback addresses and ports that nobody else uses."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_hosts = itertools.count(1)
_given: set[tuple[str, int]] = set()


def own_host() -> str:
    """An address in 127.0.0.0/8 for one owner alone: fixed ports such as 5060 are free there.

    Made of the process number and a count, so that test runs beside each other do not meet.
    """
    pid, count = os.getpid(), next(_hosts)
    return f"127.{64 + pid // 250 % 64}.{1 + pid % 250}.{1 + count % 250}"


def free_port(host: str, kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A port that was free a moment ago, and that this process was not given before."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        with socket.socket(family, kind) as probe:
            probe.bind((host, 0))
            port: int = probe.getsockname()[1]
        if (host, port) not in _given:
            _given.add((host, port))
            return port


@contextmanager
def refusing(host: str) -> Iterator[str]:
    """``host:port`` of a port that answers every datagram by ICMP, and that nobody else can get:
    its socket is connected to the discard port, and the kernel refuses all others."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as taken:
        taken.bind((host, 0))
        taken.connect((host, 9))
        yield f"{uri_host(host)}:{taken.getsockname()[1]}"


def uri_host(host: str) -> str:
    """A literal address as URIs and Via write it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host
