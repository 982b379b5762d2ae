"""The supervisor with real processes: starts, deaths, hangs, stops, more and fewer workers."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from pathlib import Path

import pytest

from shm.layout import Role
from shm.segment import Segment
from tests.support import process
from tests.support.wait import until
from tests.workers.stage import Stage, caller


def test_every_process_has_title_slot_and_role(tmp_path: Path) -> None:
    with Stage(tmp_path) as farm:
        with Segment.attach(farm.name) as segment:
            slots = [segment.process(i) for i in range(segment.layout.max_processes)]
            seen = {(Role(s.role).name, s.rank, process.title(s.pid)) for s in slots if s.pid}
        assert seen == {
            ("LOADER", 0, "ds-farm: loader"),
            ("WORKER", 0, "ds-farm: worker 0"),
            ("WORKER", 1, "ds-farm: worker 1"),
        }
        assert process.title(farm.popen.pid).startswith("ds-farm: supervisor")


def test_one_source_loads_all_workers(tmp_path: Path) -> None:
    with Stage(tmp_path, children=4) as farm:
        answers = farm.ranks(800)
    # Even draw: 200 each, standard deviation 12; plain SO_REUSEPORT would give one of them 800.
    assert sorted(answers) == [0, 1, 2, 3]
    assert all(130 <= count <= 270 for count in answers.values()), answers


def test_killed_worker_is_replaced_at_once_and_its_queue_kept(tmp_path: Path) -> None:
    with Stage(tmp_path, children=1) as farm, caller() as made:
        old = farm.pid(Role.WORKER)
        process.hold(old)
        for _ in range(5):
            made.sendto(b"who", farm.address)
        os.kill(old, signal.SIGKILL)
        answers = [made.recv(100).split() for _ in range(5)]
        assert {int(rank) for rank, _ in answers} == {0}
        assert old not in {int(pid) for _, pid in answers}
        assert farm.starts(0) == 2


def test_back_off_takes_a_crashing_worker_out_of_the_spread(tmp_path: Path) -> None:
    with Stage(tmp_path, children=2, max_children=2) as farm:
        for starts in range(1, 7):
            until(lambda wanted=starts: farm.starts(1) == wanted, f"start {starts}")  # type: ignore[misc]
            os.kill(until(lambda: farm.pid(Role.WORKER, 1), "the worker"), signal.SIGKILL)
        # Six young deaths: it comes back in 1.6 s.  Nothing may be lost meanwhile.
        until(lambda: farm.log().count("killed by signal 9") == 6, "its end seen")
        wait_a_turn(farm)
        assert set(farm.ranks(20)) == {0}
        assert farm.starts(1) == 6
        until(lambda: farm.pid(Role.WORKER, 1), "the worker's return")
        until(lambda: set(farm.ranks(50)) == {0, 1}, "both in the spread again")


def wait_a_turn(farm: Stage) -> None:
    """Until the supervisor has acted on the deaths that it has logged: it says so in the turn
    after that one."""
    farm.signal(signal.SIGTTIN)
    farm.wait_log("farm.max_children = 2 is reached")


def test_exception_in_a_worker_is_logged_and_it_is_replaced(tmp_path: Path) -> None:
    with Stage(tmp_path, children=1) as farm, caller() as made:
        made.sendto(b"raise", farm.address)
        farm.wait_log("RuntimeError: asked to fail")
        farm.wait_log("exit code 1")
        made.sendto(b"who", farm.address)
        assert made.recv(100).startswith(b"0 ")


def test_hung_worker_is_aborted_with_a_traceback_and_replaced(tmp_path: Path) -> None:
    with Stage(tmp_path, children=1, hang_timeout_s=2.0) as farm, caller() as made:
        made.sendto(b"hang", farm.address)
        farm.wait_log("has not moved for 2.0 s")
        farm.wait_log("in misbehave")
        farm.wait_log("killed by signal 6")
        made.sendto(b"who", farm.address)
        assert made.recv(100).startswith(b"0 ")


def test_stopped_worker_that_cannot_even_abort_is_killed(tmp_path: Path) -> None:
    with Stage(tmp_path, children=1, hang_timeout_s=2.0) as farm:
        process.hold(farm.pid(Role.WORKER))
        farm.wait_log("killed by signal 9")
        until(lambda: farm.starts(0) == 2, "its successor")


def test_boot_error_stops_the_farm_with_its_reason(tmp_path: Path) -> None:
    farm = Stage(tmp_path, "boot_error").launch()
    assert farm.wait() == 1
    assert "stopped: worker" in farm.log()
    assert "cannot start: the moon is in the wrong house" in farm.log()
    farm.__exit__(None, None, None)


def test_crash_while_booting_stops_the_farm_with_traceback_and_reason(tmp_path: Path) -> None:
    farm = Stage(tmp_path, "boot_crash").launch()
    assert farm.wait() == 1
    assert "in crashes_at_boot" in farm.log()
    assert "cannot start: ZeroDivisionError: booting divides by zero" in farm.log()
    farm.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("scene", "how"),
    [
        ("boot_exit", "exit code 0"),
        ("boot_segv", "killed by signal 11 (Segmentation fault)"),
        ("boot_hang", "it hangs"),
    ],
)
def test_silent_death_while_booting_stops_the_farm(tmp_path: Path, scene: str, how: str) -> None:
    farm = Stage(tmp_path, scene, children=1, hang_timeout_s=2.0).launch()
    assert farm.wait(30.0) == 1
    assert f"stopped: worker 0 ended 5 times before it was ready: {how}\n" in farm.log()
    farm.__exit__(None, None, None)


def test_boot_error_of_a_ready_farm_backs_off(tmp_path: Path) -> None:
    with Stage(tmp_path, "boot_once", children=2, max_children=2) as farm:
        os.kill(farm.pid(Role.WORKER, 1), signal.SIGKILL)
        # While it tries it is in the spread; the next try is 1.6 s away.
        until(lambda: farm.log().count("cannot start: no second time") >= 5, "five tries")
        wait_a_turn(farm)
        assert farm.popen.poll() is None
        assert set(farm.ranks(20)) == {0}


def test_lack_of_descriptors_is_waited_out(tmp_path: Path) -> None:
    with Stage(tmp_path, children=2, max_children=3) as farm:
        limits = resource.prlimit(farm.popen.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(farm.popen.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        os.kill(farm.pid(Role.WORKER, 1), signal.SIGKILL)
        farm.wait_log("worker 1 cannot be started: Too many open files, next try in 0.4 s")
        farm.signal(signal.SIGTTIN)
        farm.wait_log("TTIN: cannot listen on udp:127.0.0.1:")
        assert set(farm.ranks(50)) == {0}
        resource.prlimit(farm.popen.pid, resource.RLIMIT_NOFILE, limits)
        until(lambda: set(farm.ranks(50)) == {0, 1}, "the worker's return")
        farm.signal(signal.SIGTTIN)
        until(lambda: set(farm.ranks(50)) == {0, 1, 2}, "one more")


def test_farm_that_cannot_have_its_processes_says_why(tmp_path: Path) -> None:
    farm = Stage(tmp_path, "no_fork").launch()
    assert farm.wait() == 1
    assert "stopped: loader cannot be started: Resource temporarily unavailable" in farm.log()
    farm.__exit__(None, None, None)


def test_no_child_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    with Stage(tmp_path, "deaf", children=2) as farm:
        children = [p for p in process.session(farm.popen.pid) if p != farm.popen.pid]
        assert len(children) == 4
        farm.popen.kill()
        until(lambda: not any(map(process.alive, children)), "the end of all children")
        # What it could not remove does not prevent the next start.
        stale = [path for path in Path("/dev/shm").iterdir() if farm.name in path.name]
        assert stale
        with Stage(tmp_path):
            pass


def test_second_farm_of_the_same_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    with Stage(tmp_path) as farm:
        second = Stage(tmp_path / "second")
        second.config["farm"]["name"] = farm.name
        assert second.launch().wait() == 1
        assert f"a farm named '{farm.name}' is running" in second.log()
        assert str(farm.popen.pid) in second.log()
        assert farm.ranks(1)


def test_second_farm_on_the_same_address_is_refused(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    with Stage(tmp_path) as farm:
        host, port = farm.address
        second = Stage(tmp_path / "second", socket=[f"udp:{host}:{port}"]).launch()
        assert second.wait() == 1
        assert f"cannot listen on udp:{host}:{port}: Address already in use" in second.log()


def test_graceful_stop_finishes_what_is_queued(tmp_path: Path) -> None:
    with Stage(tmp_path, children=1) as farm, caller() as made:
        made.sendto(b"slow", farm.address)
        for _ in range(20):
            made.sendto(b"who", farm.address)
        farm.signal(signal.SIGTERM)
        assert [made.recv(100)[:1] for _ in range(21)] == [b"0"] * 21
        assert farm.wait() == 0
        log = farm.log()
        assert "killed" not in log


def test_graceful_stop_is_bounded(tmp_path: Path) -> None:
    with Stage(tmp_path, "deaf", stop_timeout_s=0.5) as farm:
        started = time.monotonic()
        farm.signal(signal.SIGTERM)
        assert farm.wait() == 0
        assert time.monotonic() - started > 0.4
        log = farm.log()
        assert "killed: timer\n" in log
        assert "the loader finishes" in log, "its stage comes after the one that was late"
        assert "stopping: killing" not in log


@pytest.mark.parametrize("signals", [["SIGINT"], ["SIGQUIT"], ["SIGTERM", "SIGINT"]])
def test_quick_stop(tmp_path: Path, signals: list[str]) -> None:
    with Stage(tmp_path, stop_timeout_s=60.0) as farm:
        for each in signals:
            farm.signal(signal.Signals[each])
        assert farm.wait(10.0) == 0


def test_second_signal_escalates(tmp_path: Path) -> None:
    with Stage(tmp_path, "deaf", stop_timeout_s=60.0) as farm:
        farm.signal(signal.SIGTERM)
        farm.wait_log("stopping: graceful")
        farm.signal(signal.SIGTERM)
        farm.wait_log("stopping: quick")
        farm.signal(signal.SIGTERM)
        farm.wait_log("stopping: killing")
        assert farm.wait(10.0) == 0


def test_more_and_fewer_workers_lose_nothing(tmp_path: Path) -> None:
    with Stage(tmp_path, children=1, max_children=3) as farm:
        for wanted in (2, 3):
            farm.signal(signal.SIGTTIN)
            farm.wait_log(f"TTIN: {wanted} workers")
            until(lambda: len(farm.ranks(60)) == wanted, f"{wanted} workers that answer")  # noqa: B023
        farm.signal(signal.SIGTTIN)
        farm.wait_log("farm.max_children = 3 is reached")
        farm.signal(signal.SIGTTOU)
        farm.wait_log("TTOU: 2 workers")
        assert set(farm.ranks(60)) == {0, 1}
        until(lambda: not farm.pid(Role.WORKER, 2), "the end of worker 2")
        farm.signal(signal.SIGTTIN)
        until(lambda: set(farm.ranks(60)) == {0, 1, 2}, "rank 2 again")
        assert farm.starts(2) == 2


def test_retiring_worker_drains_its_queue(tmp_path: Path) -> None:
    with Stage(tmp_path, children=2) as farm, caller() as made:
        worker = farm.pid(Role.WORKER, 1)
        process.hold(worker)
        for _ in range(40):
            made.sendto(b"who", farm.address)
        farm.signal(signal.SIGTTOU)
        farm.wait_log("TTOU: 1 workers")
        os.kill(worker, signal.SIGCONT)
        ranks = {int(made.recv(100).split()[0]) for _ in range(40)}
        assert ranks == {0, 1}
        until(lambda: not process.alive(worker), "its end")


def test_end_of_a_worker_that_was_called_back_too_late_is_no_error(tmp_path: Path) -> None:
    """USR1 is delivered before TERM when both wait."""
    with Stage(tmp_path, children=2) as farm:
        worker = farm.pid(Role.WORKER, 1)
        process.hold(worker)
        farm.signal(signal.SIGTTOU)
        farm.wait_log("TTOU: 1 workers")
        farm.signal(signal.SIGTTIN)
        farm.wait_log("TTIN: 2 workers")
        os.kill(worker, signal.SIGCONT)
        until(lambda: farm.starts(1) == 2, "its successor")
        assert " error " not in farm.log()


def test_fewer_than_one_worker_is_refused(tmp_path: Path) -> None:
    with Stage(tmp_path, children=1) as farm:
        farm.signal(signal.SIGTTOU)
        farm.wait_log("TTOU: one worker is the least")
        assert farm.ranks(3)[0] == 3


def test_hup_reaches_the_loader_alone(tmp_path: Path) -> None:
    with Stage(tmp_path) as farm:
        segment = Segment.attach(farm.name)
        workers = farm.pid(Role.WORKER, 0), farm.pid(Role.WORKER, 1)
        farm.signal(signal.SIGHUP)
        until(lambda: segment.header.generation == 2, "a second table")
        segment.close()
        assert workers == (farm.pid(Role.WORKER, 0), farm.pid(Role.WORKER, 1))


def test_orphans_are_reaped_silently(tmp_path: Path) -> None:
    """As PID 1 it gets strangers; a subreaper is in the same place."""
    farm = Stage(tmp_path, "subreaper")
    with farm:
        orphan = until(lambda: orphan_of(farm), "an orphan")
        until(lambda: not Path(f"/proc/{orphan}").exists(), "its end, reaped")
        assert str(orphan) not in farm.log().replace(f"orphan {orphan}", "")


def orphan_of(farm: Stage) -> str:
    _, found, rest = farm.log().partition("orphan ")
    return rest.split()[0] if found and "\n" in rest else ""


def test_service_manager_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(5.0)
        farm = Stage(tmp_path)
        farm.environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"}
        with farm:
            heard = [manager.recv(4096).decode()]
            while "READY=1" not in heard[-1]:
                heard.append(manager.recv(4096).decode())
            assert "STATUS=ready: 2 workers on udp:127.0.0.1:" in heard[-1]
            beats = 0
            while beats < 3:
                beats += manager.recv(4096) == b"WATCHDOG=1"
            farm.signal(signal.SIGHUP)
            while "RELOADING=1" not in (text := manager.recv(4096).decode()):
                pass
            assert "MONOTONIC_USEC=" in text
            while "READY=1" not in manager.recv(4096).decode():
                pass
            farm.signal(signal.SIGTERM)
            while "STOPPING=1" not in manager.recv(4096).decode():
                pass
            assert farm.wait() == 0
