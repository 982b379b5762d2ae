"""A network and a /dev/shm of one's own, for what has fixed ports and names.

Where the kernel gives none (a container without CAP_SYS_ADMIN) the machine's own have to do, must
be free, and are lent to one test at a time.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache

OWN = ["unshare", "--mount", "--net"] if os.getuid() == 0 else ["unshare", "-r", "--mount", "--net"]

IN_TURN = ["flock", "/tmp/ds_farm-alone.lock"]

PREPARE = """
mount -t tmpfs tmpfs /dev/shm
ip link set lo up
"""


@cache
def _is_given() -> bool:
    done = subprocess.run([*OWN, "bash", "-c", f"set -e\n{PREPARE}"], capture_output=True)
    return done.returncode == 0


def alone(script: str, *, must: bool = False) -> list[str]:
    """The command that runs a bash script there; one that changes the network ``must``."""
    own, prepare = (OWN, PREPARE) if must or _is_given() else (IN_TURN, "")
    return [*own, "bash", "-c", f"set -u\n{prepare}{script}"]
