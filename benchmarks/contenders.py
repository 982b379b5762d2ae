"""Who is measured: a bare reflector, the installed farm, Debian's kamailio.

Each is started once, stays idle while another one is measured, and is ended by the stack that it
was put on.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kamailio import Kamailio
from benchmarks.machine import Cores, pin_workers
from benchmarks.programs import BenchError, Stage, program
from tests.support.farm import COMMAND, Farm
from tests.support.net import free_port

ROUTES = '''"""What the bench routes with: Max-Forwards, round robin over set 1, forward."""


def request_route(request):
    if not request.mf_process_maxfwd_header(10):
        request.send_reply(483, "Too Many Hops")
    elif not request.ds_select_dst("1", "4"):
        request.send_reply(503, "Service Unavailable")
    else:
        request.forward()
'''


SCRIPT = """\
# The same for opensips.cfg.
socket=udp:127.0.0.1:5060
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "maxfwd.so"
loadmodule "dispatcher.so"
modparam("dispatcher", "db_url", "sqlite:///farm.sqlite")
route {
	if (!mf_process_maxfwd_header(10)) {
		sl_send_reply(483, "Too Many Hops");
	} else if (!ds_select_dst("1", "4")) {
		sl_send_reply(503, "Service Unavailable");
	} else {
		forward();
	}
}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table."""

    kind: str
    """reflector, farm or kamailio."""

    workers: int = 1
    destinations: int = 4
    stateful: bool = False
    method: str = "OPTIONS"
    """INVITE: a call with ACK and BYE."""

    form: str = ""
    """Of the routing: "script" for an opensips.cfg, "converted" for what convert makes of it."""

    @property
    def name(self) -> str:
        """As `--only` has it: farm, farm-10k, farm-2w, farm-10k-2w, farm-tm, farm-tm-invite."""
        parts = [self.kind, self.form] if self.form else [self.kind]
        if self.stateful:
            parts.append("tm")
        if self.method != "OPTIONS":
            parts.append(self.method.lower())
        if self.destinations != 4:
            parts.append(f"{self.destinations // 1000}k")
        if self.workers != 1:
            parts.append(f"{self.workers}w")
        return "-".join(parts)


@dataclass(frozen=True, slots=True)
class Contender:
    """A case that runs."""

    case: Case
    proxy: tuple[str, int]
    pids: tuple[int, ...]
    """The workers: their CPU time is what counts."""


def start(case: Case, stage: Stage, cores: Cores, directory: Path, stack: ExitStack) -> Contender:
    """Start a case with its workers pinned; ``stack`` ends it.  BenchError."""
    contender = _STARTERS[case.kind](case, stage, directory / case.name, stack)
    pin_workers(contender.pids, cores)
    return contender


def _start_reflector(case: Case, stage: Stage, _directory: Path, stack: ExitStack) -> Contender:
    proxy = stage.host, free_port(stage.host)
    process = subprocess.Popen(
        [
            str(program("reflector")),
            *("-l", f"{proxy[0]}:{proxy[1]}", "-d", f"{stage.host}:{stage.first_port}"),
            *("-n", str(stage.destinations), "-j", str(case.workers)),
        ],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    stack.callback(_end, process)
    assert process.stdout is not None
    pids = tuple(map(int, process.stdout.readline().split()))
    if len(pids) != case.workers:
        raise BenchError("the reflector did not start; its reason is above")
    return Contender(case, proxy, pids)


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def _start_farm(case: Case, stage: Stage, directory: Path, stack: ExitStack) -> Contender:
    routes = ROUTES.replace("forward()", "t_relay()") if case.stateful else ROUTES
    farm = Farm(
        directory,
        stage.uris(case.destinations),
        children=case.workers,
        module="" if case.form else routes,
        name=f"bench-{os.getpid()}-{case.name}",
        script=_script(directory, case.form) if case.form else None,
    )
    try:
        stack.enter_context(farm)
    except AssertionError as error:
        raise BenchError(str(error)) from None
    return Contender(case, farm.sip, tuple(child.pid for child in farm.workers()))


def _script(directory: Path, form: str) -> Path:
    """The script, or the configuration that the installed command makes of it."""
    directory.mkdir(parents=True, exist_ok=True)
    script = directory / "opensips.cfg"
    script.write_text(SCRIPT)
    if form == "script":
        return script
    subprocess.run([COMMAND, "convert", script, "-o", directory], check=True, capture_output=True)
    return directory / "ds_farm.toml"


def _start_kamailio(case: Case, stage: Stage, directory: Path, stack: ExitStack) -> Contender:
    proxy = stage.host, free_port(stage.host)
    kamailio = Kamailio(
        directory,
        proxy,
        stage.uris(case.destinations),
        case.workers,
        stateful=case.stateful,
    )
    stack.callback(kamailio.close)
    return Contender(case, proxy, kamailio.receivers)


_STARTERS: dict[str, Callable[[Case, Stage, Path, ExitStack], Contender]] = {
    "reflector": _start_reflector,
    "farm": _start_farm,
    "kamailio": _start_kamailio,
}
