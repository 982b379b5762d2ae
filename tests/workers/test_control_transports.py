"""FIFO and datagram sockets of a running farm: permissions, dialects, clients that misbehave."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import select
import signal
import socket
import sqlite3
import stat
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from ds_farm.config import Config
from shm.layout import Role
from tests.support.wait import until
from tests.workers.stage import Stage
from workers.mi_places import open_places

LIST = (
    b"200 OK\nPARTITION:: default\n"
    b"\tSET:: 2\n\t\tURI:: sip:127.0.0.1:7003 state=Inactive\n"
    b"\tSET:: 1\n\t\tURI:: sip:127.0.0.1:7001 state=Active\n"
    b"\t\tURI:: sip:127.0.0.1:7002 state=Active\n\t\t\tattr:: a\n"
)
WHICH = b'{"jsonrpc":"2.0","method":"which","id":%d}'


@pytest.fixture
def real(real: Stage, tmp_path: Path) -> Stage:
    real.config["mi"] |= {
        "fifo": str(tmp_path / "fifo"),
        "fifo_reply_dir": str(tmp_path),
        "datagram": ["udp:127.0.0.1:0", f"unix:{tmp_path / 'mi.sock'}"],
    }
    return real


class Reply:
    """A reply FIFO, open for reading."""

    def __init__(self, path: Path) -> None:
        self.name = path.name.encode()
        os.mkfifo(path)
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def read(self, end: bytes = b"", timeout_s: float = 5.0) -> bytes:
        """All until ``end``, or until the writer has closed it."""
        data, until_s = b"", time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            if not select.select([self.fd], [], [], 0.05)[0]:
                continue
            try:
                part = os.read(self.fd, 1 << 16)
            except BlockingIOError:  # a writer has come between the two
                continue
            data += part
            if (end and data.endswith(end)) or (not part and data):
                return data
        raise AssertionError(f"no whole reply: {data!r}")


def write(tmp_path: Path, data: bytes) -> None:
    with (tmp_path / "fifo").open("wb", buffering=0) as fifo:
        fifo.write(data)


def udp(farm: Stage) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(5.0)
    port = farm.log().split("MI datagram 127.0.0.1:")[1].split(",")[0].split()[0]
    made.connect(("127.0.0.1", int(port)))
    return made


def test_modes_are_0660_and_names_go_with_the_farm(real: Stage, tmp_path: Path) -> None:
    paths = [tmp_path / "fifo", tmp_path / "mi.sock"]
    with real:
        assert [stat.S_IMODE(path.stat().st_mode) for path in paths] == [0o660, 0o660]
        real.signal(signal.SIGTERM)
        real.wait()
    assert not any(path.exists() for path in paths)


def test_both_dialects_on_one_fifo_byte_for_byte(farm: Stage, tmp_path: Path) -> None:
    reply = Reply(tmp_path / "reply")
    write(tmp_path, b":ds_list:reply\n\n")
    assert reply.read() == LIST + b"\n"
    write(tmp_path, b':reply:{"jsonrpc":"2.0","method":"ds_reload","id":"a"}')
    assert reply.read() == b'{"jsonrpc":"2.0","result":"OK","id":"a"}'


def test_requests_one_after_the_other_are_answered_in_order(farm: Stage, tmp_path: Path) -> None:
    reply = Reply(tmp_path / "reply")
    unknown = b'{"jsonrpc":"2.0","method":"x","id":%d}'
    write(tmp_path, b"".join(b":reply:" + unknown % number for number in range(20)))
    answers = reply.read(b'"id":19}').replace(b"}{", b"}\n{").splitlines()
    assert [json.loads(one)["id"] for one in answers] == list(range(20))


def test_notification_is_done_and_not_answered(farm: Stage, tmp_path: Path) -> None:
    body = b'{"jsonrpc":"2.0","method":"ds_set_state","params":["i","1","sip:127.0.0.1:7001"]}'
    write(tmp_path, b"::" + body)
    reply = Reply(tmp_path / "reply")
    write(tmp_path, b":reply:" + body + b":ds_list:reply\n\n")
    assert reply.read() == LIST.replace(b"7001 state=Active", b"7001 state=Inactive") + b"\n"


def test_fifo_clients_that_misbehave_keep_nobody_waiting(farm: Stage, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "nobody")
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "nobody")
    full = Reply(tmp_path / "full")
    for name in (b"nobody", b"file", b"link", b"missing", b"../fifo", b"a/b", b".x"):
        write(tmp_path, b":" + name + b":" + WHICH % 1)
    write(tmp_path, b":full:" + WHICH % 1)  # it never reads
    write(tmp_path, b':half:{"jsonrpc":"2.0')
    reply = Reply(tmp_path / "reply")
    started_s = time.monotonic()
    write(tmp_path, b":reply:" + WHICH % 2)
    assert json.loads(reply.read())["id"] == 2
    assert time.monotonic() - started_s < 1.5
    assert (tmp_path / "file").read_text() == "kept"
    os.close(full.fd)
    farm.wait_log("is no name for a reply FIFO")


def test_client_that_opens_no_reply_fifo_silences_nobody(farm: Stage, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "silent")

    def are_too_many() -> bool:
        write(tmp_path, b":silent:" + WHICH % 1)
        return "is dropped" in farm.log()

    until(are_too_many, "a request that is dropped")
    with udp(farm) as made:
        made.send(WHICH % 2)
        assert json.loads(made.recv(1 << 16))["id"] == 2
    reply = Reply(tmp_path / "reply")
    write(tmp_path, b":reply:" + WHICH % 3)
    assert json.loads(reply.read())["id"] == 3


def test_reloads_that_wait_keep_nobody_waiting(farm: Stage, tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "db", isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    with contextlib.closing(database), udp(farm) as made:
        for number in range(20):
            made.send(b'{"jsonrpc":"2.0","method":"ds_reload","id":%d}' % number)
        made.send(WHICH % 99)
        while (reply := json.loads(made.recv(1 << 16)))["id"] != 99:
            assert reply["error"]["data"] == "8 requests wait for a reload already"


def test_fifo_that_was_removed_is_made_again(farm: Stage, tmp_path: Path) -> None:
    (tmp_path / "fifo").unlink()
    until((tmp_path / "fifo").exists, "the FIFO", 5.0)
    reply = Reply(tmp_path / "reply")
    until(lambda: stat.S_IMODE((tmp_path / "fifo").stat().st_mode) == 0o660, "its mode")
    write(tmp_path, b":reply:" + WHICH % 1)
    assert json.loads(reply.read())["id"] == 1


def test_datagrams_in_both_dialects(farm: Stage, tmp_path: Path) -> None:
    with udp(farm) as made, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
        local.settimeout(5.0)
        local.bind(str(tmp_path / "client"))
        local.connect(str(tmp_path / "mi.sock"))
        for client in (made, local):
            client.send(b":ds_list:\n")
            assert client.recv(1 << 16) == LIST
            client.send(WHICH % 7)
            assert json.loads(client.recv(1 << 16))["id"] == 7
            client.send(b'{"jsonrpc":"2.0","id":1}')
            assert json.loads(client.recv(1 << 16))["error"]["code"] == -32600
            client.send(b"{")
            assert client.recv(1 << 16) == b"400 Parse_error"


def test_unix_client_without_a_name_and_one_that_never_reads(farm: Stage, tmp_path: Path) -> None:
    where = str(tmp_path / "mi.sock")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf,
        udp(farm) as made,
    ):
        nameless.sendto(WHICH % 1, where)
        deaf.bind(str(tmp_path / "deaf"))
        for _ in range(40):
            deaf.sendto(WHICH % 1, where)
        made.send(WHICH % 2)
        assert json.loads(made.recv(1 << 16))["id"] == 2


def test_what_a_dead_farm_left_is_replaced(real: Stage, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(tmp_path / "mi.sock"))
    with real, udp(real) as made:
        made.send(b":ds_reload:\n.\n")
        assert made.recv(100) == b"200 OK\n"


@pytest.mark.parametrize("what", ["file", "fifo in use", "socket in use"])
def test_what_somebody_uses_stops_the_start(real: Stage, tmp_path: Path, what: str) -> None:
    fd, used = -1, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if what == "file":
        (tmp_path / "fifo").write_text("mine")
    elif what == "fifo in use":
        os.mkfifo(tmp_path / "fifo")
        fd = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    else:
        used.bind(str(tmp_path / "mi.sock"))
    real.launch()
    assert real.wait() == 1
    key = "mi.datagram" if what == "socket in use" else "mi.fifo"
    assert f"cannot start: {key}: cannot make" in real.log()
    used.close()
    if fd >= 0:
        os.close(fd)


def test_places_belong_to_the_user_that_control_becomes(tmp_path: Path) -> None:
    account = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    names = {"fifo": str(tmp_path / "fifo"), "datagram": [f"unix:{tmp_path / 'mi.sock'}"]}
    mi = {**names, "mode": "0640"}
    config = Config.model_validate({"farm": {"user": account.pw_name}, "mi": mi})
    places = open_places(config)
    assert places.paths == [tmp_path / "fifo", tmp_path / "mi.sock"]
    for path in places.paths:
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (account.pw_uid, account.pw_gid)
        assert stat.S_IMODE(found.st_mode) == 0o640
    places.remove()
    assert list(tmp_path.iterdir()) == []


def test_token_is_asked_for(real: Stage) -> None:
    real.config["mi"]["http_token"] = "secret-token"
    with real:
        refused = (401, "Bearer")
        for token, status in (("", refused), ("wrong", refused), ("secret-token", (200, ""))):
            request = urllib.request.Request(
                real.url("MI") + "/mi",
                WHICH % 1,
                {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
            )
            assert _status(request) == status
        assert "secret-token" not in real.log()


def _status(request: urllib.request.Request) -> tuple[int, str]:
    """Status, and how one is to say who one is."""
    try:
        with urllib.request.urlopen(request, timeout=5.0) as reply:
            return int(reply.status), ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["WWW-Authenticate"].partition(" ")[0]


def test_log_level_and_kill(farm: Stage) -> None:
    with udp(farm) as made:
        made.send(b":log_level:\n4\n")
        assert made.recv(100) == b"200 OK\nNew global log level:: 4\n"
        made.send(b":log_level:\n")
        assert b"Log level=4 Type=supervisor" in made.recv(4096)
        made.send(b":log_level:\n9\n")
        assert made.recv(100) == b"400 Bad parameter\n"
        made.send(b":reset_statistics:\nreloads\n")
        assert made.recv(100) == b"200 OK\n"
        made.send(b":get_statistics:\nreloads\n")
        assert made.recv(100) == b"200 OK\ndispatcher:reloads:: 0\n"
        made.send(b":kill:\n")
        assert made.recv(100) == b"200 OK\n"
    assert farm.wait() == 0


def test_death_of_control_loses_no_socket(farm: Stage) -> None:
    with udp(farm) as made:
        made.settimeout(10.0)  # a new process has to boot
        pid = farm.pid(Role.CONTROL)
        os.kill(pid, signal.SIGKILL)
        made.send(b":version:\n")
        assert made.recv(100).startswith(b"200 OK\nServer:: ds_farm")
    assert farm.pid(Role.CONTROL) != pid
