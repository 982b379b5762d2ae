"""FIFO and datagram sockets of the management interface: bound by the supervisor, kept by it.

They belong to the user that the children become, with the mode that is configured.  What a dead
farm has left at a path is recognised by that nobody reads it, and replaced; what somebody else uses
is an error.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ds_farm.config.addresses import DatagramAddress
from workers.account import ids
from workers.sockets import LINGER_S, ListenError, bound_address, open_datagram

if TYPE_CHECKING:
    from ds_farm.config import Config


@dataclass(slots=True)
class Places:
    """What there is, each for control alone."""

    fifo: Path | None = None
    fifo_fd: int = -1
    """Open for reading and writing: no end of file when a client goes, no error when none is."""

    datagrams: list[socket.socket] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    """Of the FIFO and the Unix sockets."""

    def close(self) -> None:
        """Close them here; other processes keep theirs."""
        if self.fifo_fd >= 0:
            os.close(self.fifo_fd)
            self.fifo_fd = -1
        for made in self.datagrams:
            made.close()

    def remove(self) -> None:
        """Close them and take their names away; the end of the farm."""
        self.close()
        for path in self.paths:
            with contextlib.suppress(OSError):
                path.unlink()

    def __str__(self) -> str:
        shown = [f"MI fifo {self.fifo}"] if self.fifo else []
        for made in self.datagrams:
            if made.family == socket.AF_UNIX:
                shown.append(f"MI unix {made.getsockname()}")
            else:
                shown.append(f"MI datagram {bound_address(made)}")
        return ", ".join(shown)


def open_places(config: Config) -> Places:
    """Make all that ``[mi]`` asks for.  Raises ListenError, and leaves nothing behind then."""
    places = Places()
    owner, mode = ids(config.farm.user, config.farm.group), int(config.mi.mode, 8)
    try:
        if config.mi.fifo:
            path = config.path.parent / config.mi.fifo
            places.fifo, places.fifo_fd = path, make_fifo(path, mode, owner)
            places.paths.append(path)
        for address in config.mi.datagram:
            places.datagrams.append(_open(address, mode, owner, places))
    except BaseException:
        places.remove()
        raise
    return places


def make_fifo(path: Path, mode: int, owner: tuple[int, int] = (-1, -1)) -> int:
    """Make a FIFO and open it.  Raises ListenError."""
    _make_way(path, "mi.fifo", stat.S_ISFIFO, "FIFO", _is_read)
    try:
        os.mkfifo(path, 0o600)
        os.chown(path, *owner)
        os.chmod(path, mode)
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise ListenError(f"mi.fifo: cannot make {path}: {error.strerror}") from error


def _open(
    address: DatagramAddress, mode: int, owner: tuple[int, int], places: Places
) -> socket.socket:
    if address.udp:
        return open_datagram(address.udp)
    path = Path(address.path)
    _make_way(path, "mi.datagram", stat.S_ISSOCK, "socket", _is_bound)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    before = os.umask(0o177)
    try:
        made.bind(address.path)
        places.paths.append(path)
        os.chown(path, *owner)
        os.chmod(path, mode)
    except OSError as error:
        made.close()
        raise ListenError(f"mi.datagram: cannot make {path}: {error.strerror}") from error
    finally:
        os.umask(before)
    made.setblocking(False)
    return made


def _make_way(
    path: Path,
    key: str,
    is_kind: Callable[[int], bool],
    kind: str,
    is_used: Callable[[Path], bool],
) -> None:
    """Remove what a dead farm has left; its last children get a moment to go."""
    until_s = time.monotonic() + LINGER_S
    while True:
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            return
        except OSError as error:
            raise ListenError(f"{key}: cannot make {path}: {error.strerror}") from error
        if not is_kind(mode):
            raise ListenError(f"{key}: cannot make {path}: something that is no {kind} is there")
        try:
            if not is_used(path):
                path.unlink()
                return
        except OSError as error:
            raise ListenError(f"{key}: cannot replace {path}: {error.strerror}") from error
        if time.monotonic() >= until_s:
            raise ListenError(
                f"{key}: cannot make {path}: another process uses the {kind} that is there"
            )
        time.sleep(0.02)


def _is_read(path: Path) -> bool:
    """fifo(7): opening for writing fails with ENXIO while nobody has it open for reading."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW))
    except OSError as error:
        if error.errno == errno.ENXIO:
            return False
        raise
    return True


def _is_bound(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(str(path))
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                return False
            if error.errno == errno.EPROTOTYPE:
                return True
            raise
    return True
