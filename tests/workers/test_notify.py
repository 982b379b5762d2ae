"""The sd_notify protocol, against a socket in the service manager's place."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from workers.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[socket.socket]:
    name = f"{tmp_path}/notify" if request.param == "path" else f"\0ds-farm-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(name)
        made.settimeout(2.0)
        yield made


def address(manager: socket.socket) -> str:
    """As systemd writes it into the environment."""
    name = manager.getsockname()
    return "@" + name[1:].decode() if isinstance(name, bytes) else str(name)


def test_lines_arrive_as_one_datagram(manager: socket.socket) -> None:
    Notifier({"NOTIFY_SOCKET": address(manager)}).send("READY=1", "STATUS=4 workers")
    assert manager.recv(100) == b"READY=1\nSTATUS=4 workers"


def test_variables_are_not_left_for_children(manager: socket.socket) -> None:
    environment = {
        "NOTIFY_SOCKET": address(manager),
        "WATCHDOG_USEC": "2000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    notifier = Notifier(environment)
    assert environment == {"HOME": "/"}
    assert notifier.watchdog_interval_s == 1.0


def test_watchdog_is_sent_at_half_of_its_time(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address(manager), "WATCHDOG_USEC": "2000000"})
    for now_s in (100.0, 100.5, 100.9, 101.0, 101.5, 102.0):
        notifier.watchdog(now_s)
    manager.setblocking(False)
    sent = 0
    while True:
        try:
            assert manager.recv(100) == b"WATCHDOG=1"
        except BlockingIOError:
            break
        sent += 1
    assert sent == 3


def test_watchdog_of_another_process_is_not_ours(manager: socket.socket) -> None:
    environment = {
        "NOTIFY_SOCKET": address(manager),
        "WATCHDOG_USEC": "2000000",
        "WATCHDOG_PID": "1",
    }
    assert Notifier(environment).watchdog_interval_s == 0.0


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_manager_that_is_not_there_is_no_error(environment: dict[str, str]) -> None:
    Notifier(environment).send("READY=1")
