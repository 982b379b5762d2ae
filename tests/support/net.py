"""Loopback addresses and ports that nobody else uses."""

from __future__ import annotations

import itertools
import os
import socket

_hosts = itertools.count(1)


def own_host() -> str:
    """An address in 127.0.0.0/8 for one owner alone: fixed ports such as 5060 are free there.

    Made of the process number and a count, so that test runs beside each other do not meet.
    """
    pid, count = os.getpid(), next(_hosts)
    return f"127.{64 + pid // 250 % 64}.{1 + pid % 250}.{1 + count % 250}"


def free_port(host: str, kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A port that was free a moment ago."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def uri_host(host: str) -> str:
    """A literal address as URIs and Via write it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host
