"""Loading a routing module in a process of its own: it may end, crash or hang the one it is in."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from pathlib import Path
from typing import NoReturn

from ds_farm.errors import ConfigError

_LOADED = b"loaded"


def load_apart(path: Path, text: str | None, timeout_s: float) -> str:
    """What is wrong with a routing module, "" for nothing."""
    read, written = os.pipe()
    pid = os.fork()
    if not pid:
        _load(path, text, written)
    os.close(written)
    try:
        readable, _, _ = select.select([read], [], [], timeout_s)
        heard = os.read(read, select.PIPE_BUF) if readable else b""
    finally:
        os.close(read)
    if not readable:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if heard:
        return "" if heard == _LOADED else heard.decode(errors="replace")
    if not readable:
        return f"{path}: the module is not loaded after {timeout_s:g} s (farm.hang_timeout_s)"
    how = f"signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"exit code {code}"
    return f"{path}: the module ends the process when it is loaded ({how})"


def _load(path: Path, text: str | None, written: int) -> NoReturn:
    from ds_farm.script.module import load_routes  # noqa: PLC0415 - compiled core, this case only

    word = b""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            load_routes(path, text)
        word = _LOADED
    except ConfigError as error:
        word = str(error).encode()[: select.PIPE_BUF]
    finally:
        # The caller's code must not go on here, whatever the module has done.
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os.write(written, word)
        os._exit(0)
