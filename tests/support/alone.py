"""A network and a /dev/shm of one's own, for what has fixed ports and names.

Where the kernel gives none (a container without CAP_SYS_ADMIN) the machine's own have to do, and
must be free.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache

OWN = ["unshare", "--mount", "--net"] if os.getuid() == 0 else ["unshare", "-r", "--mount", "--net"]

PREPARE = """
mount -t tmpfs tmpfs /dev/shm
ip link set lo up
"""


@cache
def _is_given() -> bool:
    done = subprocess.run([*OWN, "bash", "-c", f"set -e\n{PREPARE}"], capture_output=True)
    return done.returncode == 0


def alone(script: str) -> list[str]:
    """The command that runs a bash script there."""
    own, prepare = (OWN, PREPARE) if _is_given() else ([], "")
    return [*own, "bash", "-c", f"set -u\n{prepare}{script}"]
