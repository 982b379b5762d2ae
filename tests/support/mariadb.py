"""A MariaDB server of the test's own: fresh data, a free loopback port, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pymysql

from tests.support.net import free_port, own_host
from tests.support.process import hold
from tests.support.wait import until

USER, PASSWORD, DATABASE = "opensips", "opensips%rw@", "opensips"


def _program(*names: str) -> str:
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    raise AssertionError(f"none of {', '.join(names)} is installed (Debian: mariadb-server)")


class Server:
    """One server; can be killed, started again, stopped in the middle of everything."""

    def __init__(
        self, folder: Path, host: str = "", port: int = 0, password: str = PASSWORD
    ) -> None:
        self._folder = folder
        account = pwd.getpwuid(os.getuid()).pw_name
        self._common = ["--no-defaults", f"--datadir={folder}/data", f"--user={account}"]
        self.host = host or own_host()
        self.port = port or free_port(self.host, socket.SOCK_STREAM)
        self._password = password
        self.url = f"mysql://{USER}:{password}@{self.host}:{self.port}/{DATABASE}"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def install(self) -> None:
        """Make its data directory."""
        subprocess.run(
            [
                _program("mariadb-install-db", "mysql_install_db"),
                *self._common,
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ],
            check=True,
            capture_output=True,
        )

    def start(self) -> None:
        """Start it and wait until it lets its user in."""
        with self._log.open("ab") as file:
            process = subprocess.Popen(
                [
                    _program("mariadbd", "mysqld"),
                    *self._common,
                    f"--bind-address={self.host}",
                    f"--port={self.port}",
                    f"--socket={self._folder}/socket",
                    f"--pid-file={self._folder}/pid",
                    "--innodb-buffer-pool-size=16M",
                ],
                stdout=file,
                stderr=file,
            )
        self._process = process
        path = f"{self._folder}/socket"
        until(lambda: _prepare(process, path, self._log, self._password), "a MariaDB server", 60.0)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def hang(self) -> None:
        """Have it take connections and say nothing."""
        assert self._process
        hold(self._process.pid)

    def stop(self) -> None:
        """End it."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(20.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def execute(self, *statements: str) -> list[tuple[object, ...]]:
        """Run statements as its user; the rows of the last one."""
        connection = pymysql.connect(
            host=self.host,
            port=self.port,
            user=USER,
            password=self._password,
            database=DATABASE,
            autocommit=True,
        )
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())


@contextlib.contextmanager
def server(host: str = "", port: int = 0, password: str = PASSWORD) -> Iterator[Server]:
    """A running server with an empty database; by default at a free place of its own."""
    with tempfile.TemporaryDirectory(prefix="ds_farm_mariadb_") as folder:
        one = Server(Path(folder), host, port, password)
        one.install()
        try:
            one.start()
            yield one
        finally:
            one.stop()


@contextlib.contextmanager
def running() -> Iterator[str]:
    """The same; yields OpenSIPS's URL of that database."""
    with server() as one:
        yield one.url


def _prepare(server: subprocess.Popen[bytes], path: str, log: Path, password: str) -> bool:
    if server.poll() is not None:
        raise AssertionError(f"MariaDB ended: {log.read_text(errors='replace')[-2000:]}")
    with socket.socket(socket.AF_UNIX) as probe:  # PyMySQL leaks the socket of a failed attempt
        if probe.connect_ex(path):
            return False
    connection = pymysql.connect(unix_socket=path, user="root")
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        cursor.execute(f"CREATE USER IF NOT EXISTS {USER}@'%%' IDENTIFIED BY %s", (password,))
        cursor.execute(f"GRANT ALL ON {DATABASE}.* TO {USER}@'%'")
    return True
