"""MI over HTTP of a running farm."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import sqlite3
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from ds_farm.mi.jsonrpc import Json
from shm.layout import Role
from tests.support import database
from tests.support.wait import until
from tests.workers.conftest import ROWS
from tests.workers.stage import Stage


def post(
    farm: Stage, data: bytes, path: str = "/mi", content_type: str = "application/json"
) -> tuple[int, bytes]:
    request = urllib.request.Request(
        farm.url("MI") + path, data, {"Content-Type": content_type}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=20.0) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


HEAD = b"POST /mi HTTP/1.0\r\nContent-Type: application/json\r\n"


def connect(farm: Stage) -> socket.socket:
    host, _, port = farm.url("MI").removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), 5.0)


def exchange(farm: Stage, request: bytes) -> tuple[bytes, bytes, bytes]:
    """Head and body of the answer to a request that ends here."""
    with connect(farm) as made:
        made.sendall(request)
        made.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: made.recv(1 << 16), b"")).partition(b"\r\n\r\n")


def mi(farm: Stage, method: str, *params: object) -> Json:
    """Result of a command, or its error object."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    status, reply = post(farm, json.dumps(body).encode())
    assert status == 200
    answer = json.loads(reply)
    assert answer["id"] == 1
    return answer.get("result", answer.get("error"))


def states(farm: Stage) -> dict[str, str]:
    return {
        destination["URI"]: destination["state"]
        for partition in mi(farm, "ds_list")["PARTITIONS"]
        for one in partition["SETS"]
        for destination in one["Destinations"]
    }


def test_state_is_set_and_listed(farm: Stage) -> None:
    assert states(farm) == {
        "sip:127.0.0.1:7001": "Active",
        "sip:127.0.0.1:7002": "Active",
        "sip:127.0.0.1:7003": "Inactive",
    }
    assert mi(farm, "ds_set_state", "p", "1", "sip:127.0.0.1:7002") == "OK"
    assert states(farm)["sip:127.0.0.1:7002"] == "Probing"


def test_reload_answers_when_the_new_table_is_there(farm: Stage, tmp_path: Path) -> None:
    database.write(tmp_path / "db", ROWS[:1])
    assert mi(farm, "ds_reload") == "OK"
    assert list(states(farm)) == ["sip:127.0.0.1:7001"]


def test_reload_that_fails_says_so_and_the_next_one_works(farm: Stage, tmp_path: Path) -> None:
    (tmp_path / "db").rename(tmp_path / "away")
    error = mi(farm, "ds_reload")
    assert (error["code"], error["message"]) == (500, "ERROR Reloading data")
    assert error["data"].startswith(f"sqlite:///{tmp_path}/db: there is no such file")
    assert len(states(farm)) == 3
    (tmp_path / "away").rename(tmp_path / "db")
    assert mi(farm, "ds_reload") == "OK"


def test_decision_21_reload_without_inheriting_takes_the_database_s_states(farm: Stage) -> None:
    mi(farm, "ds_set_state", "i", "1", "sip:127.0.0.1:7001")
    assert mi(farm, "ds_reload") == "OK"
    assert states(farm)["sip:127.0.0.1:7001"] == "Inactive"
    assert mi(farm, "ds_reload", "", "n") == "OK"
    assert states(farm)["sip:127.0.0.1:7001"] == "Active"


def test_reload_survives_the_death_of_the_loader(farm: Stage, tmp_path: Path) -> None:
    database.write(tmp_path / "db", ROWS[:1])
    os.kill(farm.pid(Role.LOADER), signal.SIGKILL)
    assert mi(farm, "ds_reload") == "OK"
    assert len(states(farm)) == 1


def test_processes_are_those_of_the_farm(farm: Stage) -> None:
    shown = {row["Type"]: row["PID"] for row in mi(farm, "ps")["Processes"]}
    assert list(shown) == [
        *("supervisor", "worker 0", "worker 1", "loader", "timer", "exporter", "control"),
    ]
    assert shown["supervisor"] == farm.popen.pid
    assert shown["control"] == farm.pid(Role.CONTROL)


def test_notification_is_done_and_not_answered(farm: Stage) -> None:
    body = {
        "jsonrpc": "2.0",
        "method": "ds_set_state",
        "params": ["i", "1", "sip:127.0.0.1:7001"],
    }
    assert post(farm, json.dumps(body).encode()) == (202, b"")
    assert states(farm)["sip:127.0.0.1:7001"] == "Inactive"


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", -32700), (b"\xff", -32700), (b"[]", -32600), (b'{"jsonrpc":"2.0","id":1}', -32600)],
)
def test_bad_request_is_answered_and_harmless(farm: Stage, data: bytes, code: int) -> None:
    control = farm.pid(Role.CONTROL)
    status, reply = post(farm, data)
    assert status == 200
    assert json.loads(reply)["error"]["code"] == code
    assert mi(farm, "which")
    assert farm.pid(Role.CONTROL) == control


def test_http_around_the_commands(farm: Stage) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"which"}'
    assert post(farm, body, path="/other")[0] == 404
    assert post(farm, body, content_type="text/plain")[0] == 415
    assert post(farm, body, content_type="application/json; charset=utf-8")[0] == 200
    assert post(farm, b" " * (1 << 17))[0] == 413
    for method in ("GET", "HEAD", "PUT"):
        head, _, text = exchange(farm, f"{method} /mi HTTP/1.0\r\n\r\n".encode())
        assert b" 405 " in head
        assert b"\r\nAllow: POST" in head
        assert text == (b"" if method == "HEAD" else b"POST only\n")


def test_request_whose_length_is_in_doubt_is_not_run(farm: Stage) -> None:
    kill = b'{"jsonrpc":"2.0","id":1,"method":"kill"}'
    for lengths in (b"40\r\nContent-Length: 41", b"41"):
        head, _, _ = exchange(farm, HEAD + b"Content-Length: " + lengths + b"\r\n\r\n" + kill)
        assert b" 400 " in head
    assert mi(farm, "which")
    with contextlib.closing(farm.segment()) as segment:
        assert segment.header.stop_requests == 0


def test_any_loopback_address_is_out_of_reach_of_others(real: Stage) -> None:
    real.config["mi"] = {"http": "127.9.8.7:0", "datagram": ["udp:127.9.8.7:0"]}
    with real:
        assert "takes commands from anybody" not in real.log()


def test_a_crowd_ends_no_request_that_is_served(farm: Stage, tmp_path: Path) -> None:
    segment = farm.segment()
    with (
        contextlib.closing(segment),
        contextlib.closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as held,
        concurrent.futures.ThreadPoolExecutor(1) as beside,
    ):
        held.execute("BEGIN EXCLUSIVE")
        reload = beside.submit(mi, farm, "ds_reload")
        until(lambda: segment.header.reload_requests, "the request")
        crowd = [connect(farm) for _ in range(80)]
        for each in crowd[::2]:
            each.sendall(HEAD + b"Content-Length: 9\r\n\r\nhalf")
        assert mi(farm, "which")
        held.execute("ROLLBACK")
        assert reload.result() == "OK"
        for each in crowd:
            each.close()


@pytest.mark.parametrize("length", ["", "-1", "x", "9" * 5000, "\u0661"])
def test_odd_content_length(farm: Stage, length: str) -> None:
    with connect(farm) as made:
        made.sendall(HEAD + b"Content-Length: " + length.encode() + b"\r\n\r\n")
        assert made.recv(100).split()[1] in (b"411", b"413")
