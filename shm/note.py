"""Notes: a few bytes with a name beside the segment, from a process to its successor.

A note is replaced as a whole and goes with the farm.  What it says is its writer's affair.
"""

from __future__ import annotations

import contextlib
import os

from shm.segment import object_name

MOST_BYTES = 1 << 20


def write(farm: str, name: str, data: bytes) -> None:
    """Replace a note.  Raises OSError."""
    path = _path(farm, name)
    fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
    os.rename(f"{path}.new", path)


def read(farm: str, name: str) -> bytes:
    """What was written last, b"" if nothing was or it cannot be read."""
    with contextlib.suppress(OSError), open(_path(farm, name), "rb") as file:
        return file.read(MOST_BYTES)
    return b""


def _path(farm: str, name: str) -> str:
    return f"/dev/shm{object_name(farm)}.{name}"
