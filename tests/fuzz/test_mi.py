"""Whatever comes: no process ends, no memory grows, the next good command is answered."""

from __future__ import annotations

import json
import os
import select
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from shm.layout import Role
from tests.fuzz.mi_inputs import Target, inputs, run
from tests.support.farm import Farm, Settings
from tests.support.net import free_port
from tests.support.wait import until

GOOD = b'{"jsonrpc":"2.0","method":"ds_list","id":1}'
URI = b"sip:127.0.0.1:7001"


@pytest.fixture
def target() -> Iterator[Target]:
    made = Target(f"test-fuzz-{os.getpid()}")
    yield made
    made.close()


@pytest.mark.parametrize("transport", ["datagram", "http", "fifo"])
def test_parsers(target: Target, transport: str) -> None:
    assert run(target, getattr(target, transport), 10_000, seed=5) < 4096
    assert target.still_works()


def test_running_farm(tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    fifo, unix = tmp_path / "fifo", tmp_path / "mi.sock"
    settings: Settings = {
        "mi": {
            "fifo": str(fifo),
            "fifo_reply_dir": str(tmp_path),
            "datagram": [f"udp:127.0.0.1:{port}", f"unix:{unix}"],
        }
    }
    with Farm(tmp_path / "farm", [URI.decode()], children=1, settings=settings) as farm:
        control = farm.child(Role.CONTROL).pid
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local,
        ):
            udp.connect(("127.0.0.1", port))
            local.bind(str(tmp_path / "client"))
            local.connect(str(unix))
            for made in (udp, local):
                _throw_datagrams(made)
            _throw_posts(farm)
            _throw_into_fifo(fifo)
            for made in (udp, local):
                assert URI in _last_answer(made)
        assert URI in _post(farm, GOOD)
        assert URI in _ask_fifo(fifo, tmp_path / "answer")
        assert farm.child(Role.CONTROL).pid == control


def _throw_datagrams(made: socket.socket) -> None:
    for data in islice(inputs(1), 400):
        made.send(data)
        while select.select([made], [], [], 0)[0]:
            made.recv(1 << 16)


def _last_answer(made: socket.socket) -> bytes:
    """The answer to a good request behind those to all others."""
    body = GOOD[:-2] + b'"last"}'
    made.settimeout(2.0)
    for _ in range(5):
        made.send(body)
        try:
            while b'"id":"last"' not in (answer := made.recv(1 << 16)):
                pass
        except TimeoutError:
            continue  # thrown away because too much was waiting
        return answer
    raise AssertionError("no answer")


def _throw_posts(farm: Farm) -> None:
    for data in islice(inputs(2), 100):
        _post(farm, data)


def _post(farm: Farm, data: bytes) -> bytes:
    host, port = farm.mi_address
    request = urllib.request.Request(
        f"http://{host}:{port}/mi", data, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10.0) as reply:
            return bytes(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.read()


def _throw_into_fifo(fifo: Path) -> None:
    with fifo.open("wb", buffering=0) as written:
        for data in islice(inputs(3), 400):
            written.write(data)


def _ask_fifo(fifo: Path, reply: Path) -> bytes:
    os.mkfifo(reply)
    fd = os.open(reply, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with fifo.open("wb", buffering=0) as written:
            written.write(b":" + reply.name.encode() + b":" + GOOD)
        until(lambda: select.select([fd], [], [], 0)[0], "a reply in the FIFO")
        answer = os.read(fd, 1 << 16)
    finally:
        os.close(fd)
    assert json.loads(answer)["id"] == 1
    return answer
