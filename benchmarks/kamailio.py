"""Debian's kamailio, configured to do what the farm does (`kamailio.cfg`)."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.programs import BenchError
from tests.support.wait import until

TEMPLATE = Path(__file__).with_name("kamailio.cfg")
MODULES = ("/usr/lib/*/kamailio/modules", "/usr/lib*/kamailio/modules")
READY_S = 15.0
STOP_S = 10.0
SHARED_MB = "1024"


def find_kamailio() -> str | None:
    """Its program with modules and kamcmd, None if any of them is missing."""
    wanted = ("kamailio", "kamcmd")
    path = "/usr/sbin:/usr/local/sbin:/usr/bin"
    found = [shutil.which(name) or shutil.which(name, path=path) for name in wanted]
    return found[0] if all(found) and _modules() else None


def _modules() -> Path | None:
    return next((path for pattern in MODULES for path in Path("/").glob(pattern[1:])), None)


class Kamailio:
    """A running kamailio.  BenchError with its own words if it does not start."""

    def __init__(
        self,
        directory: Path,
        proxy: tuple[str, int],
        uris: Sequence[str],
        children: int,
        *,
        stateful: bool = False,
    ) -> None:
        binary, modules = find_kamailio(), _modules()
        if binary is None or modules is None:
            raise BenchError("kamailio is not installed")
        directory.mkdir(parents=True, exist_ok=True)
        self._control = directory / "ctl"
        self._log = directory / "kamailio.log"
        (directory / "dispatcher.list").write_text("".join(f"1 {uri}\n" for uri in uris))
        names = {
            "CHILDREN": str(children),
            "HOST": proxy[0],
            "PORT": str(proxy[1]),
            "MODULES": str(modules),
            "DIRECTORY": str(directory),
            "TM": 'loadmodule "tm.so"' if stateful else "",
            "SEND": "t_relay" if stateful else "forward",
        }
        config = directory / "kamailio.cfg"
        config.write_text(re.sub(r"@([A-Z]+)@", lambda at: names[at[1]], TEMPLATE.read_text()))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(binary, "-f", str(config), "-DD", "-E", "-Y", str(directory)),
                    # Its transactions stay for seconds: with the default it runs out of memory.
                    *(("-m", SHARED_MB) if stateful else ()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._command = str(Path(binary).with_name("kamcmd"))
        try:
            self.receivers = until(lambda: self._receivers(children), "kamailio is ready", READY_S)
        except AssertionError as error:
            self.close()
            raise BenchError(str(error)) from None
        except BaseException:
            self.close()
            raise

    def _receivers(self, children: int) -> tuple[int, ...]:
        """Process numbers of its SIP receivers, once all are there."""
        if self._process.poll() is not None:
            tail = self._log.read_text(errors="replace").splitlines()[-10:]
            raise BenchError("\n".join(["kamailio ended at its start:", *tail]))
        if not self._control.exists():
            return ()
        listing = subprocess.run(
            [self._command, "-s", f"unix:{self._control}", "core.psx"],
            capture_output=True,
            text=True,
            timeout=10,
        ).stdout
        found = re.findall(r"PID:\s*(\d+)\s+DSC:\s*udp receiver", listing)
        return tuple(map(int, found)) if len(found) == children else ()

    def close(self) -> None:
        """End it and its children."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
