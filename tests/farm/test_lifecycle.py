"""Start and stop as an operator sees them: exit codes, names, refusals with their reason."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

import pytest

from shm.layout import Role
from tests.support import counts, database, process
from tests.support.farm import COMMAND, Farm
from tests.support.metrics import fetch
from tests.support.sipp import Caller, Destination
from tests.support.wait import until

NOBODY = "sip:127.0.0.1:9"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_clean(tmp_path: Path, number: signal.Signals) -> None:
    with Farm(tmp_path, [NOBODY]) as farm:
        leader = farm.pid
        assert farm.stop(number, timeout_s=5.0) == 0
        assert process.session(leader) == []
        assert farm.shared_objects() == []
        assert "Traceback" not in farm.log()


def test_a_graceful_stop_finishes_what_is_queued(
    tmp_path: Path, destinations: list[Destination]
) -> None:
    """All that had reached the farm before TERM is forwarded: held workers have full queues."""
    with Farm(tmp_path, [each.uri for each in destinations]) as farm:
        workers = farm.workers()
        for worker in workers:
            process.hold(worker.pid)
        with Caller(tmp_path, farm.sip, 100, 2_000) as caller:
            until(lambda: _queued(farm) > 0, "datagrams in the queues")
            until(lambda: _sent(caller) == 100, "all calls begun")
            farm.signal(signal.SIGTERM)
            for worker in workers:
                farm.signal(signal.SIGCONT, worker.pid)
            assert farm.wait() == 0
            total = sum(each.stop().calls for each in destinations)
            assert total >= 100
            caller.close()


def _queued(farm: Farm) -> int:
    """Bytes that wait in the farm's SIP sockets (proc(5), net/udp)."""
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    port = f":{farm.sip[1]:04X}"
    return sum(
        int(line.split()[4].partition(":")[2], 16)
        for line in lines
        if line.split()[1].endswith(port)
    )


def _sent(caller: Caller) -> int:
    return caller.progress().calls


def test_a_ready_farm_says_where_it_is(tmp_path: Path) -> None:
    with Farm(tmp_path, [NOBODY], children=3) as farm:
        ready = next(line for line in farm.log().splitlines() if "ready: " in line)
        assert "3 workers" in ready
        for host, port in (farm.sip, farm.metrics_address, farm.mi_address):
            assert f"{host}:{port}" in ready
        assert fetch(farm.metrics_address, "/readyz")
        assert fetch(farm.metrics_address, "/healthz")
        titles = {child.role: process.title(child.pid) for child in farm.processes()}
        for role, title in titles.items():
            assert role.name.lower() in title, titles


def test_two_farms_live_beside_each_other(tmp_path: Path, destinations: list[Destination]) -> None:
    first, second, _ = destinations
    with Farm(tmp_path / "a", [first.uri]) as a, Farm(tmp_path / "b", [second.uri]) as b:
        sent = [_call(tmp_path, farm, f"caller{number}") for number, farm in enumerate((a, b))]
        assert a.stop() == 0
        sent[1] += _call(tmp_path, b, "again")
        assert [first.stop().calls, second.stop().calls] == sent


def _call(directory: Path, farm: Farm, name: str) -> int:
    """Make 50 calls and wait until the farm is done with them; the requests that were sent."""
    before = sum(counts.of(farm).responses.values())
    with Caller(directory, farm.sip, 50, 500, name=name) as caller:
        result = caller.wait()
        assert result.successful == 50, caller.report()
    until(
        lambda: sum(counts.of(farm).responses.values()) == before + result.sent,
        "all responses counted",
    )
    return result.sent


def refusal(farm: Farm) -> str:
    """Start a farm that must not start; what it said."""
    try:
        farm.launch()
        assert farm.wait() == 1, farm.log()
        log = farm.log()
        assert "Traceback" not in log
        return log
    finally:
        farm.close()


def test_a_second_farm_of_a_name_is_refused(tmp_path: Path) -> None:
    with Farm(tmp_path / "first", [NOBODY]) as first:
        pids = {child.pid for child in first.processes()}
        second = Farm(tmp_path / "second", [NOBODY], name=first.name)
        second.launch()
        assert second.wait() == 1
        assert first.name in second.log()
        assert str(first.pid) in second.log()
        assert {child.pid for child in first.processes()} == pids
        assert first.stop() == 0


def test_a_taken_address_is_refused(tmp_path: Path) -> None:
    farm = Farm(tmp_path, [NOBODY])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(farm.sip)
        assert f"{farm.sip[0]}:{farm.sip[1]}" in refusal(farm)


def test_a_broken_routing_module_is_refused(tmp_path: Path) -> None:
    text = refusal(Farm(tmp_path, [NOBODY], module="def request_route(request):\n    return (\n"))
    assert "routes.py" in text
    assert "line 2" in text or ":2" in text


def test_a_routing_module_without_its_function_is_refused(tmp_path: Path) -> None:
    text = refusal(Farm(tmp_path, [NOBODY], module="def reqest_route(request):\n    pass\n"))
    assert "request_route" in text


def test_a_wrong_table_version_is_refused(tmp_path: Path) -> None:
    """Decision 24: both numbers are named."""
    farm = Farm(tmp_path, [NOBODY])
    database.set_version(farm.database, 6)
    text = refusal(farm)
    assert "6" in text
    assert "9" in text


def test_a_mistake_in_the_configuration_is_refused(tmp_path: Path) -> None:
    farm = Farm(tmp_path, [NOBODY], settings={"farm": {"childern": 3}})
    text = refusal(farm)
    assert "childern" in text
    assert "children" in text.replace("childern", "")


def test_without_a_configuration_it_is_refused(tmp_path: Path) -> None:
    run = subprocess.run(
        [COMMAND, "run", "-c", tmp_path / "none.toml"], capture_output=True, timeout=20, text=True
    )
    assert run.returncode == 1
    assert "none.toml" in run.stderr + run.stdout


def test_every_kind_of_process_is_there(tmp_path: Path) -> None:
    with Farm(tmp_path, [NOBODY], children=2) as farm:
        roles = sorted(child.role.name for child in farm.processes())
        assert roles == ["CONTROL", "EXPORTER", "LOADER", "TIMER", "WORKER", "WORKER"]
        assert farm.child(Role.WORKER, 1).pid != farm.child(Role.WORKER, 0).pid


def test_switched_off_services_have_no_process(tmp_path: Path) -> None:
    settings = {"metrics": {"listen": ""}, "mi": {"http": ""}}
    with Farm(tmp_path, [NOBODY], settings=settings) as farm:
        assert {child.role for child in farm.processes()} == {Role.WORKER, Role.LOADER, Role.TIMER}
