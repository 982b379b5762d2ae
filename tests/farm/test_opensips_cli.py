"""opensips-cli from PyPI, unmodified, against a running farm (done when 1).

Its commands over each transport that it has, and the subscription to an event that comes with it
(`opensips-event`, of the package that opensips-cli is made of).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.farm import Farm, Settings
from tests.support.net import free_port
from tests.support.wait import until

BIN = Path(sys.executable).parent
URIS = ("sip:127.0.0.1:7001", "sip:127.0.0.1:7002")


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    directory = tmp_path_factory.mktemp("opensips-cli")
    replies = directory / "replies"
    replies.mkdir()
    settings: Settings = {
        "mi": {
            "fifo": str(directory / "fifo"),
            "fifo_reply_dir": str(replies),
            "datagram": [
                f"udp:127.0.0.1:{free_port('127.0.0.1')}",
                f"unix:{directory / 'mi.sock'}",
            ],
        }
    }
    with Farm(directory, URIS, children=1, settings=settings) as made:
        yield made


def options(farm: Farm, transport: str) -> list[str]:
    """What tells opensips-cli where the farm is."""
    host, port = farm.mi_address
    known: dict[str, dict[str, object]] = {
        "fifo": {
            "communication_type": "fifo",
            "fifo_file": farm.directory / "fifo",
            "fifo_reply_dir": farm.directory / "replies",
        },
        "http": {"communication_type": "http", "url": f"http://{host}:{port}/mi"},
        "udp": {
            "communication_type": "datagram",
            "datagram_ip": "127.0.0.1",
            "datagram_port": farm.log().split("MI datagram 127.0.0.1:")[1].split(",")[0].split()[0],
        },
        "unix": {
            "communication_type": "datagram",
            "datagram_unix_socket": farm.directory / "mi.sock",
        },
    }
    return [text for key, value in known[transport].items() for text in ("-o", f"{key}={value}")]


def run(farm: Farm, transport: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "opensips-cli"), *options(farm, transport), "-x", "mi", *command],
        env=os.environ | {"HOME": str(farm.directory)},
        capture_output=True,
        text=True,
        timeout=20.0,
        check=False,
    )


def mi(farm: Farm, transport: str, *command: str) -> Any:
    done = run(farm, transport, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def states(listed: Any) -> dict[str, str]:
    (partition,) = listed["PARTITIONS"]
    (one,) = partition["SETS"]
    return {each["URI"]: each["state"] for each in one["Destinations"]}


@pytest.mark.parametrize(("transport", "letter"), [("fifo", "i"), ("http", "p"), ("udp", "a")])
def test_commands(farm: Farm, transport: str, letter: str) -> None:
    assert {"ds_list", "ds_set_state", "ds_reload", "dispatcher:list", "which", "ps"} <= set(
        mi(farm, transport, "which")
    )
    assert mi(farm, transport, "ds_set_state", letter, "1", URIS[1]) == "OK"
    assert states(mi(farm, transport, "ds_list"))[URIS[1]].lower().startswith(letter)
    assert mi(farm, transport, "ds_reload") == "OK"
    types = [row["Type"] for row in mi(farm, transport, "ps")["Processes"]]
    assert types[:2] == ["supervisor", "worker 0"]


def test_unix_socket_and_names_of_4_0_and_of_parameters(farm: Farm) -> None:
    named = ("dispatcher:set_state", "state=i", "group=1", f"address={URIS[1]}")
    assert mi(farm, "unix", *named) == "OK"
    assert states(mi(farm, "unix", "dispatcher:list", "full=1"))[URIS[1]] == "Inactive"


def test_errors_are_shown(farm: Farm) -> None:
    done = run(farm, "fifo", "ds_set_state", "i", "1", "sip:nobody")
    assert done.returncode != 0
    assert "404: destination not found" in done.stdout + done.stderr


def test_statistics(farm: Farm) -> None:
    shown = mi(farm, "http", "get_statistics", "dispatcher:", "rcv_requests")
    assert shown["dispatcher:destinations"] == 2
    assert shown["core:rcv_requests"] == 0


def test_subscription_by_a_command(farm: Farm) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", 0))
        heard.settimeout(10.0)
        where = f"udp:127.0.0.1:{heard.getsockname()[1]}"
        assert mi(farm, "fifo", "event_subscribe", "E_DISPATCHER_STATUS", where, "60") == "OK"
        mi(farm, "fifo", "ds_set_state", "i", "1", URIS[0])
        assert heard.recv(4096) == (
            b'{"jsonrpc":"2.0","method":"E_DISPATCHER_STATUS","params":{"partition":"default",'
            b'"group":1,"address":"sip:127.0.0.1:7001","status":"inactive","state":"inactive",'
            b'"reason":"MI command"}}'
        )
        mi(farm, "fifo", "ds_set_state", "a", "1", URIS[0])
        assert json.loads(heard.recv(4096))["params"]["status"] == "active"
        assert mi(farm, "fifo", "event_subscribe", "E_DISPATCHER_STATUS", where, "0") == "OK"


def test_its_event_client_shows_a_change(farm: Farm) -> None:
    host, port = farm.mi_address
    shown = farm.directory / "events"
    with shown.open("w") as output:
        client = subprocess.Popen(
            [
                *(str(BIN / "opensips-event"), "-t", "http", "-i", host, "-p", str(port)),
                *("-T", "datagram", "-li", "127.0.0.1", "E_DISPATCHER_STATUS"),
            ],
            stdout=output,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    try:
        until(
            lambda: mi(farm, "http", "subscribers_list")["Events"], "the subscription of the client"
        )
        mi(farm, "http", "ds_set_state", "p", "1", URIS[0])
        until(lambda: '"state": "probing"' in shown.read_text(), "the event in its output")
        mi(farm, "http", "ds_set_state", "a", "1", URIS[0])
    finally:
        client.send_signal(signal.SIGTERM)
        client.wait(10.0)
    assert mi(farm, "http", "subscribers_list") == {"Events": []}
    assert '"status": "inactive"' in shown.read_text()
