"""SIPp as caller and as destination, each a process; results from its own statistics file."""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.net import free_port, own_host, uri_host
from tests.support.peer import Address
from tests.support.process import alive
from tests.support.wait import until

SCENARIOS = Path(__file__).parent.parent / "data" / "sipp"


@dataclass(frozen=True)
class Result:
    """Totals of one SIPp process."""

    calls: int
    successful: int
    failed: int
    retransmissions: int

    @property
    def sent(self) -> int:
        """Requests of a caller of one request a call: it repeats what waits for more than T1."""
        return self.calls + self.retransmissions

    @classmethod
    def read(cls, path: Path) -> Result:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter=";"))
        if not rows:
            return cls(0, 0, 0, 0)
        last = rows[-1]
        return cls(
            calls=int(last["TotalCallCreated"]),
            successful=int(last["SuccessfulCall(C)"]),
            failed=int(last["FailedCall(C)"]),
            retransmissions=int(last["Retransmissions(C)"]),
        )


class Sipp:
    """One running SIPp with a scenario of tests/data/sipp."""

    def __init__(
        self, directory: Path, name: str, scenario: str, host: str, port: int, *arguments: str
    ) -> None:
        program = shutil.which("sipp")
        assert program, "SIPp is missing: `make test` installs it (Debian package sip-tester)"
        directory.mkdir(parents=True, exist_ok=True)
        self.host, self.port = host, port
        self._stat = directory / f"{name}.csv"
        self._errors = directory / f"{name}.errors"
        self._screen = directory / f"{name}.out"
        with self._screen.open("wb") as screen:
            self._process = subprocess.Popen(
                [
                    *(program, *arguments, "-sf", str(SCENARIOS / scenario)),
                    *("-i", uri_host(host), "-p", str(port), "-nostdin"),
                    *("-trace_stat", "-stf", str(self._stat), "-fd", "1"),
                    *("-trace_err", "-error_file", str(self._errors)),
                ],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=screen,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self, timeout_s: float = 60.0) -> Result:
        """Wait for its end and read the totals."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.close()
            raise AssertionError(f"SIPp did not end in {timeout_s:g} s\n{self.report()}") from None
        return Result.read(self._stat)

    def progress(self) -> Result:
        """Totals as of the last second."""
        return until(
            lambda: Result.read(self._stat) if self._stat.exists() else None, "SIPp's statistics"
        )

    def report(self) -> str:
        """What SIPp showed and complained of, for a failing test."""
        text = self._screen.read_text(errors="replace")[-3000:]
        if self._errors.exists():
            text += "\n" + self._errors.read_text(errors="replace")[-3000:]
        return text

    def close(self) -> None:
        """End it, whatever it does."""
        if self.running:
            self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Server(Sipp):
    """SIPp that waits for requests."""

    @property
    def uri(self) -> str:
        return f"sip:{uri_host(self.host)}:{self.port}"

    def stop(self, timeout_s: float = 10.0) -> Result:
        """Let it finish, then read how many requests it has received (``calls``)."""
        if alive(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGUSR1)
        return self.wait(timeout_s)


class Destination(Server):
    """A destination that answers OPTIONS with 200 and counts each request as a call."""

    def __init__(self, directory: Path, name: str = "uas", host: str = "") -> None:
        host = host or own_host()
        super().__init__(
            directory, name, "options_uas.xml", host, free_port(host), "-deadcall_wait", "0"
        )
        until(lambda: _is_bound(self.host, self.port), f"SIPp's socket {self.uri}")


class Caller(Sipp):
    """A caller of OPTIONS with retransmission, all from one source port."""

    def __init__(
        self, directory: Path, to: Address, calls: int, rate: int, name: str = "uac", host: str = ""
    ) -> None:
        host = host or ("::1" if ":" in to[0] else own_host())
        super().__init__(
            directory,
            name,
            "options_uac.xml",
            host,
            free_port(host),
            f"{uri_host(to[0])}:{to[1]}",
            *("-m", str(calls), "-r", str(rate), "-l", str(max(calls, 1))),
        )


class Callee(Server):
    """A destination of calls: answers them, or refuses them with ``status``."""

    def __init__(
        self, directory: Path, name: str, *, status: int = 0, scenario: str = "", host: str = ""
    ) -> None:
        host = host or own_host()
        super().__init__(
            directory,
            name,
            _with_status(directory, "refused_uas.xml", status)
            if status
            else scenario or "call_uas.xml",
            host,
            free_port(host),
        )
        until(lambda: _is_bound(self.host, self.port), f"SIPp's socket {self.uri}")


class Calls(Sipp):
    """A caller that makes ``calls`` by a scenario, ``rate`` a second."""

    def __init__(
        self,
        directory: Path,
        scenario: str,
        to: Address,
        calls: int,
        rate: int,
        *,
        status: int = 0,
        patience_s: float = 0.0,
    ) -> None:
        """``patience_s``: a call that waits longer for a message has failed; 0: it waits on."""
        host = own_host()
        super().__init__(
            directory,
            "caller",
            _with_status(directory, scenario, status) if status else scenario,
            host,
            free_port(host),
            f"{uri_host(to[0])}:{to[1]}",
            *("-m", str(calls), "-r", str(rate), "-l", str(max(calls, 1))),
            *(("-recv_timeout", str(round(1000 * patience_s))) if patience_s else ()),
        )


def variant(directory: Path, name: str, scenario: str, *changes: tuple[str, str]) -> str:
    """A copy of a scenario with texts exchanged, the first of each; for ``scenario`` arguments."""
    text = (SCENARIOS / scenario).read_text()
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after, 1)
    directory.mkdir(parents=True, exist_ok=True)
    copy = directory / name
    copy.write_text(text)
    return str(copy)


def _with_status(directory: Path, scenario: str, status: int) -> str:
    """A copy of the scenario with a number where it says STATUS: SIPp takes no key there."""
    copy = directory / f"{status}_{Path(scenario).name}"
    copy.write_text((SCENARIOS / scenario).read_text().replace("STATUS", str(status)))
    return str(copy)


def _is_bound(host: str, port: int) -> bool:
    """Somebody has this UDP port (proc_net(5): addresses in hexadecimal)."""
    table = Path("/proc/net/udp6" if ":" in host else "/proc/net/udp").read_text()
    return any(line.split()[1].endswith(f":{port:04X}") for line in table.splitlines()[1:])
