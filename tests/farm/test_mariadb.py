"""A farm on OpenSIPS's own tables in MariaDB, with a server that dies, hangs and comes back."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from ds_farm.dispatch.model import State
from shm.layout import Role
from tests.support import counts, mariadb, process
from tests.support.command import ds_farm
from tests.support.farm import Farm, Settings, Value
from tests.support.mariadb import PASSWORD
from tests.support.net import free_port, own_host
from tests.support.sipp import Caller, Destination
from tests.support.wait import until

VERSION = """CREATE TABLE version (
    table_name CHAR(32) NOT NULL,
    table_version INT UNSIGNED DEFAULT 0 NOT NULL,
    CONSTRAINT t_name_idx UNIQUE (table_name)
) ENGINE=InnoDB"""

TABLES = {
    7: """CREATE TABLE dispatcher (
    id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
    setid INT DEFAULT 0 NOT NULL,
    destination CHAR(192) DEFAULT '' NOT NULL,
    socket CHAR(128) DEFAULT NULL,
    state INT DEFAULT 0 NOT NULL,
    weight INT DEFAULT 1 NOT NULL,
    priority INT DEFAULT 0 NOT NULL,
    attrs CHAR(128) DEFAULT '' NOT NULL,
    description CHAR(64) DEFAULT '' NOT NULL
) ENGINE=InnoDB""",
    9: """CREATE TABLE dispatcher (
    id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
    setid INT DEFAULT 0 NOT NULL,
    destination CHAR(192) DEFAULT '' NOT NULL,
    socket CHAR(128) DEFAULT NULL,
    state INT DEFAULT 0 NOT NULL,
    probe_mode INT(11) UNSIGNED DEFAULT 0 NOT NULL,
    weight CHAR(64) DEFAULT '1' NOT NULL,
    priority INT DEFAULT 0 NOT NULL,
    attrs CHAR(128) DEFAULT NULL,
    description CHAR(64) DEFAULT NULL
) ENGINE=InnoDB""",
}
"""OpenSIPS's scripts/mysql/dispatcher-create.sql, of 2.1 and of 4.0."""

RATE = 200


@pytest.fixture(scope="module")
def installed() -> Iterator[mariadb.Server]:
    with mariadb.server() as server:
        yield server


@pytest.fixture
def server(installed: mariadb.Server) -> Iterator[mariadb.Server]:
    """It runs, with no table."""
    installed.execute("DROP TABLE IF EXISTS dispatcher", "DROP TABLE IF EXISTS version")
    yield installed
    installed.stop()
    installed.start()


def fill(server: mariadb.Server, uris: list[str], version: int = 9) -> None:
    rows = ", ".join(f"(1, '{uri}')" for uri in uris)
    server.execute(
        VERSION,
        f"INSERT INTO version VALUES ('dispatcher', {version})",
        TABLES[version],
        f"INSERT INTO dispatcher (setid, destination) VALUES {rows}",
    )


def states(server: mariadb.Server) -> dict[object, object]:
    return dict(server.execute("SELECT destination, state FROM dispatcher"))  # type: ignore[arg-type]


def farm_of(
    directory: Path, url: str, settings: Settings | None = None, **dispatcher: Value
) -> Farm:
    sections: dict[str, dict[str, Value]] = {
        "farm": {"flush_interval_s": 1.0},
        "dispatcher": {"db_url": url, **dispatcher},
    }
    for name, values in (settings or {}).items():
        sections.setdefault(name, {}).update(values)
    return Farm(directory, [], settings=sections)


def mi(farm: Farm, *arguments: str) -> str:
    done = ds_farm("mi", *arguments, "-c", farm.config, cwd=farm.directory)
    assert done.returncode == 0, done
    return done.stdout


def metric(farm: Farm, name: str) -> float:
    return farm.metrics().total(name)


@pytest.mark.parametrize("version", TABLES)
def test_load_reload_and_flush(
    tmp_path: Path, server: mariadb.Server, destinations: list[Destination], version: int
) -> None:
    first, second, third = (each.uri for each in destinations)
    fill(server, [first, second], version)
    with farm_of(tmp_path, server.url) as farm:
        assert set(counts.of(farm).requests) == {first, second}
        server.execute(
            f"INSERT INTO dispatcher (setid, destination) VALUES (1, '{third}')",
            "INSERT INTO dispatcher (setid, destination) VALUES (1, 'tel:1')",
        )
        done = ds_farm("reload", "-c", farm.config, cwd=tmp_path)
        assert done.returncode == 0, done
        assert set(counts.of(farm).requests) == {first, second, third}
        assert "row skipped: table 'dispatcher', id 4: 'tel:1' is not a SIP URI" in farm.log()
        mi(farm, "ds_set_state", "i", "1", first)
        until(lambda: states(server)[first] == 1, "the state flushed")
        assert metric(farm, "ds_farm_flush_pending") == 0
        with Caller(tmp_path, farm.sip, 100, RATE) as caller:
            assert caller.wait().failed == 0
        mi(farm, "ds_set_state", "p", "1", second)
        farm.stop()
        assert states(server) == {first: 1, second: 2, third: 0, "tel:1": 0}


def test_server_that_is_killed_and_comes_back_under_traffic(
    tmp_path: Path, server: mariadb.Server, destinations: list[Destination]
) -> None:
    first, second, third = (each.uri for each in destinations)
    fill(server, [first, second, third])
    with (
        farm_of(tmp_path, server.url) as farm,
        Caller(tmp_path, farm.sip, 1500, RATE) as caller,
    ):
        counts.wait_for_traffic(farm, 50)
        server.kill()
        until(lambda: metric(farm, "ds_farm_database_up") == 0, "the loss noticed")
        mi(farm, "ds_set_state", "i", "1", first)
        until(lambda: metric(farm, "ds_farm_flush_pending") == 1, "a state that waits")
        until(lambda: metric(farm, "ds_farm_flush_failures_total") >= 1, "the failure counted")
        until(lambda: metric(farm, "ds_farm_flush_lag_seconds") > 0, "its age")
        failed = ds_farm("reload", "-c", farm.config, cwd=tmp_path)
        assert failed.returncode != 0
        assert "Can't connect to MySQL server" in failed.stdout + failed.stderr
        assert set(counts.of(farm).requests) == {first, second, third}
        server.start()
        until(lambda: metric(farm, "ds_farm_database_up") == 1, "the server noticed", 15.0)
        until(lambda: states(server)[first] == 1, "the state flushed after all", 15.0)
        until(lambda: metric(farm, "ds_farm_flush_pending") == 0, "nothing that waits")
        until(lambda: farm.reloads()[0] == 2, "the reload made up for", 15.0)
        assert counts.of(farm).states[first] is State.INACTIVE
        until(lambda: metric(farm, "ds_farm_config_last_reload_successful") == 1, "success")
        result = caller.wait()
        assert (result.successful, result.failed) == (1500, 0), caller.report()


def test_server_that_hangs(
    tmp_path: Path, server: mariadb.Server, destinations: list[Destination]
) -> None:
    """It takes connections and says nothing: calls go on, and so does the farm's end."""
    fill(server, [each.uri for each in destinations])
    with farm_of(tmp_path, server.url) as farm:
        server.hang()
        mi(farm, "ds_set_state", "i", "1", destinations[0].uri)
        failed = ds_farm("reload", "-c", farm.config, cwd=tmp_path)
        assert failed.returncode != 0
        assert "timed out" in failed.stdout + failed.stderr
        assert len(set(counts.of(farm).requests)) == 3
        with Caller(tmp_path, farm.sip, 100, RATE) as caller:
            assert caller.wait().failed == 0
        until(lambda: metric(farm, "ds_farm_database_up") == 0, "the hang noticed", 15.0)
        assert farm.stop(timeout_s=8.0) == 0


class SilentServer:
    """Accepts connections and says nothing."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind((own_host(), 0))
        self._socket.listen()
        self.address = self._socket.getsockname()

    def __enter__(self) -> SilentServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def down() -> str:
    host = own_host()
    return f"{host}:{free_port(host, socket.SOCK_STREAM)}"


@pytest.mark.parametrize("trouble", ["down", "silent"])
def test_first_start_waits_and_says_so(tmp_path: Path, trouble: str) -> None:
    with SilentServer() as silent:
        host, port = silent.address
        place = down() if trouble == "down" else f"{host}:{port}"
        farm = farm_of(tmp_path, f"mysql://opensips:geheim@{place}/opensips")
        try:
            farm.launch()
            until(lambda: "not ready, next try in" in farm.log(), "a message", 20.0)
            assert farm.running
            assert "geheim" not in farm.log()
            farm.stop(timeout_s=8.0)
        finally:
            farm.close()


def test_farm_gets_ready_once_the_server_is_there(
    tmp_path: Path, server: mariadb.Server, destinations: list[Destination]
) -> None:
    fill(server, [each.uri for each in destinations])
    server.stop()
    farm = farm_of(tmp_path, server.url)
    try:
        farm.launch()
        until(lambda: "not ready, next try in" in farm.log(), "a message")
        server.start()
        until(lambda: "ready: " in farm.log(), "a farm that is ready", 20.0)
        assert len(counts.of(farm).requests) == 3
    finally:
        farm.close()


BAD: dict[str, tuple[Callable[[str], str], str, str]] = {
    "password": (lambda url: url.replace(PASSWORD, "wrong"), "", "Access denied for user"),
    "database": (lambda url: url + "x", "", "opensipsx"),
    "table": (lambda url: url, "DROP TABLE dispatcher", "there is no table 'dispatcher'"),
    "version": (
        lambda url: url,
        "UPDATE version SET table_version = 3",
        "table 'dispatcher' has version 3, this ds_farm reads versions 7, 8 and 9",
    ),
    "no version": (lambda url: url, "DELETE FROM version", "gives no version for 'dispatcher'"),
}


@pytest.mark.parametrize("trouble", BAD)
def test_check_names_what_is_wrong(tmp_path: Path, server: mariadb.Server, trouble: str) -> None:
    change, statement, expected = BAD[trouble]
    fill(server, ["sip:127.0.0.1:7001"])
    if statement:
        server.execute(statement)
    farm = farm_of(tmp_path, change(server.url))
    done = ds_farm("check", "-c", farm.config, cwd=tmp_path)
    assert done.returncode != 0
    text = re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert expected in text
    assert PASSWORD not in text


def test_wrong_version_fails_a_reload_and_changes_nothing(
    tmp_path: Path, server: mariadb.Server
) -> None:
    fill(server, ["sip:127.0.0.1:7001"])
    with farm_of(tmp_path, server.url) as farm:
        server.execute("UPDATE version SET table_version = 3", "DELETE FROM dispatcher")
        done = ds_farm("reload", "-c", farm.config, cwd=tmp_path)
        assert done.returncode != 0
        assert "has version 3" in done.stdout + done.stderr
        assert list(counts.of(farm).requests) == ["sip:127.0.0.1:7001"]


def test_password_is_nowhere_to_be_read(tmp_path: Path, server: mariadb.Server) -> None:
    """Log, titles and command lines of all processes, metrics, MI."""
    fill(server, ["sip:127.0.0.1:7001"])
    with farm_of(tmp_path, server.url, settings={"log": {"level": "debug"}}) as farm:
        seen = [farm.log()]
        server.kill()
        failed = ds_farm("reload", "-c", farm.config, cwd=tmp_path)
        seen += [failed.stdout, failed.stderr, mi(farm, "ps"), mi(farm, "get_statistics", "all")]
        until(lambda: "reload failed" in farm.log(), "a failure in the log")
        seen.append(farm.log())
        for pid in farm.session():
            seen.append(Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace"))
        seen.append(str(farm.metrics()))
        for text in seen:
            for secret in (PASSWORD, quote(PASSWORD, safe=""), quote(PASSWORD)):
                assert secret not in text


def test_persistent_state_0_writes_nothing(tmp_path: Path, server: mariadb.Server) -> None:
    uri = "sip:127.0.0.1:7001"
    fill(server, [uri])
    server.execute("UPDATE dispatcher SET state = 2")
    with farm_of(tmp_path, server.url, persistent_state=0) as farm:
        assert counts.of(farm).states[uri] is State.ACTIVE
        ((_, before),) = server.execute("SHOW GLOBAL STATUS LIKE 'Com_update'")
        mi(farm, "ds_set_state", "i", "1", uri)
        with farm.segment() as segment:
            assert segment.header.database_up == 1
        farm.stop()
        assert server.execute("SHOW GLOBAL STATUS LIKE 'Com_update'") == [("Com_update", before)]
        assert states(server) == {uri: 2}


def test_loader_killed_between_a_change_and_its_flush(
    tmp_path: Path, server: mariadb.Server
) -> None:
    uri = "sip:127.0.0.1:7001"
    fill(server, [uri])
    with farm_of(tmp_path, server.url, settings={"farm": {"flush_interval_s": 2.0}}) as farm:
        loader = farm.child(Role.LOADER)
        process.hold(loader.pid)  # else it may flush before it is killed
        mi(farm, "ds_set_state", "i", "1", uri)
        farm.signal(signal.SIGKILL, loader.pid)
        assert states(server) == {uri: 0}
        until(lambda: states(server) == {uri: 1}, "the state flushed by the successor", 15.0)
