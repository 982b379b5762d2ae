"""A network and a /dev/shm of one's own, for what has fixed ports and names."""

from __future__ import annotations

import os

OWN = ["unshare", "--mount", "--net"] if os.getuid() == 0 else ["unshare", "-r", "--mount", "--net"]

PREPARE = """
set -u
mount -t tmpfs tmpfs /dev/shm
ip link set lo up
"""


def alone(script: str) -> list[str]:
    """The command that runs a bash script there."""
    return [*OWN, "bash", "-c", PREPARE + script]
