"""Telling the service manager how the farm is: the sd_notify protocol (sd_notify(3)).

One datagram of ``NAME=value`` lines to the socket in ``NOTIFY_SOCKET``; without it nothing happens.
A manager that cannot be reached is no reason to stop a farm: errors are ignored.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping


class Notifier:
    """Sends states, and the watchdog's sign of life at half of its interval.

    Takes its variables out of ``environment``, so that no child speaks for the farm.
    """

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        path = environment.pop("NOTIFY_SOCKET", "")
        # sd_notify(3): a leading @ stands for the zero byte of an abstract socket.
        self._address = "\0" + path[1:] if path.startswith("@") else path
        watchdog_us = environment.pop("WATCHDOG_USEC", "")
        watchdog_pid = environment.pop("WATCHDOG_PID", "") or str(os.getpid())
        is_ours = watchdog_us.isdigit() and watchdog_pid == str(os.getpid())
        self.watchdog_interval_s = int(watchdog_us) / 2e6 if is_ours and self._address else 0.0
        self._watchdog_due_s = 0.0

    def send(self, *lines: str) -> None:
        """One message, e.g. ``send("READY=1", "STATUS=4 workers")``."""
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as made,
        ):
            made.sendto("\n".join(lines).encode(), self._address)

    def reloading(self) -> None:
        """A reload begins; ``send("READY=1")`` says that it is over (Type=notify-reload)."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def watchdog(self, now_s: float) -> None:
        """Call at least every `watchdog_interval_s`; sends when it is time."""
        if self.watchdog_interval_s and now_s >= self._watchdog_due_s:
            self._watchdog_due_s = now_s + self.watchdog_interval_s
            self.send("WATCHDOG=1")
