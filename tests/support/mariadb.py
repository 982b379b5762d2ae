"""A MariaDB server of the test's own: fresh data, a free loopback port, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pymysql

from tests.support.net import free_port, own_host
from tests.support.wait import until

USER, PASSWORD, DATABASE = "opensips", "opensips%rw@", "opensips"


def _program(*names: str) -> str:
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    raise AssertionError(f"none of {', '.join(names)} is installed (Debian: mariadb-server)")


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Start a server; yields OpenSIPS's URL of an empty database in it."""
    with tempfile.TemporaryDirectory(prefix="ds_farm_mariadb_") as folder:
        data = Path(folder) / "data"
        account = pwd.getpwuid(os.getuid()).pw_name
        common = ["--no-defaults", f"--datadir={data}", f"--user={account}"]
        subprocess.run(
            [
                _program("mariadb-install-db", "mysql_install_db"),
                *common,
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ],
            check=True,
            capture_output=True,
        )
        host = own_host()
        port = free_port(host, socket.SOCK_STREAM)
        log = Path(folder) / "log"
        with log.open("wb") as file:
            server = subprocess.Popen(
                [
                    _program("mariadbd", "mysqld"),
                    *common,
                    f"--bind-address={host}",
                    f"--port={port}",
                    f"--socket={folder}/socket",
                    f"--pid-file={folder}/pid",
                    "--innodb-buffer-pool-size=16M",
                ],
                stdout=file,
                stderr=file,
            )
        try:
            until(lambda: _prepare(server, f"{folder}/socket", log), "a MariaDB server", 60.0)
            yield f"mysql://{USER}:{PASSWORD}@{host}:{port}/{DATABASE}"
        finally:
            server.terminate()
            try:
                server.wait(20.0)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _prepare(server: subprocess.Popen[bytes], path: str, log: Path) -> bool:
    if server.poll() is not None:
        raise AssertionError(f"MariaDB ended: {log.read_text(errors='replace')[-2000:]}")
    with socket.socket(socket.AF_UNIX) as probe:  # PyMySQL leaks the socket of a failed attempt
        if probe.connect_ex(path):
            return False
    connection = pymysql.connect(unix_socket=path, user="root")
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE}")
        cursor.execute(f"CREATE USER {USER}@'%%' IDENTIFIED BY %s", (PASSWORD,))
        cursor.execute(f"GRANT ALL ON {DATABASE}.* TO {USER}@'%'")
    return True
