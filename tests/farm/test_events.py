"""E_DISPATCHER_STATUS of a running farm: once for each change, in order, to every kind of
subscriber, whoever dies (decision 20)."""

from __future__ import annotations

import base64
import http.server
import json
import os
import signal
import socket
import threading
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shm.layout import Role
from shm.segment import Segment
from tests.support.farm import Farm
from tests.support.wait import until

URIS = ("sip:127.0.0.1:7001", "sip:127.0.0.1:7002")
ROUTES = """
import os

from pathlib import Path

SEEN = Path(__file__).parent / "seen"


def request_route(request):
    request.send_reply(500, "unused")


def event_route(event):
    if event.params.get("address") == "raise":
        raise ValueError("no such place")
    words = event.name, event.params["address"], event.params["state"], str(os.getpid())
    with SEEN.open("a") as file:
        file.write(" ".join(words) + "\\n")
"""


class Heard:
    """What came to subscribers of each kind."""

    def __init__(self, directory: Path) -> None:
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.unix_path = directory / "events.sock"
        self.unix.bind(str(self.unix_path))
        self.tcp = socket.create_server(("127.0.0.1", 0))
        for made in (self.udp, self.unix, self.tcp):
            made.settimeout(10.0)
        self.posts: list[Any] = []
        self.logins: list[str | None] = []
        self.gate = threading.Event()
        """Posts are not answered while it is clear."""

        self.gate.set()
        heard = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                heard.logins.append(self.headers["Authorization"])
                heard.posts.append((self.path, self.headers["Content-Type"], json.loads(body)))
                heard.gate.wait(10.0)
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.http = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.05,))
        self._thread.start()

    def subscribers(self) -> list[str]:
        port = self.udp.getsockname()[1]
        return [
            f"udp:127.0.0.1:{port}",
            f"line:unix:{self.unix_path}",
            f"tcp:127.0.0.1:{self.tcp.getsockname()[1]}",
            f"http://127.0.0.1:{self.http.server_port}/hook?a=b",
        ]

    def close(self) -> None:
        self.gate.set()
        self.http.shutdown()
        self._thread.join()
        self.http.server_close()
        for made in (self.udp, self.unix, self.tcp):
            made.close()


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Heard]:
    made = Heard(tmp_path)
    yield made
    made.close()


def mi(farm: Farm, method: str, *params: object) -> Any:
    host, port = farm.mi_address
    body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1})
    request = urllib.request.Request(
        f"http://{host}:{port}/mi", body.encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20.0) as reply:
        answer = json.loads(reply.read())
    return answer.get("result", answer.get("error"))


def start(tmp_path: Path, subscribers: list[str], module: str = "") -> Farm:
    return Farm(
        tmp_path / "farm",
        URIS,
        children=1,
        module=module,
        settings={"events": {"subscribers": subscribers}},
    )


def params(state: str, status: str, address: str = URIS[0]) -> dict[str, object]:
    return {
        "partition": "default",
        "group": 1,
        "address": address,
        "status": status,
        "state": state,
        "reason": "MI command",
    }


def test_each_kind_of_subscriber_hears_each_change_once(tmp_path: Path, heard: Heard) -> None:
    wanted = [
        params("inactive", "inactive"),
        params("probing", "inactive"),
        params("active", "active"),
    ]
    seen = tmp_path / "farm" / "seen"
    with start(tmp_path, heard.subscribers(), ROUTES) as farm:
        for letter in "iippa":
            assert mi(farm, "ds_set_state", letter, "1", URIS[0]) == "OK"
        got = [json.loads(heard.udp.recv(4096)) for _ in wanted]
        assert [one["params"] for one in got] == wanted
        assert {one["method"] for one in got} == {"E_DISPATCHER_STATUS"}
        assert heard.unix.recv(4096) == (
            b"E_DISPATCHER_STATUS\npartition::default\ngroup::1\naddress::sip:127.0.0.1:7001\n"
            b"status::inactive\nstate::inactive\nreason::MI command\n\n"
        )
        until(lambda: len(heard.posts) == 3, "three posts")
        assert [body["params"] for _, _, body in heard.posts] == wanted
        assert {each[:2] for each in heard.posts} == {("/hook?a=b", "application/json")}
        connection, _ = heard.tcp.accept()
        with connection:
            text = ""
            while text.count("}}") < 3:
                text += connection.recv(4096).decode()
        assert [json.loads(each + "}}")["params"] for each in text.split("}}")[:-1]] == wanted
        control = farm.child(Role.CONTROL).pid
        until(lambda: seen.exists() and seen.read_text().count("\n") == 3, "event_route")
        assert seen.read_text().splitlines() == [
            f"E_DISPATCHER_STATUS {URIS[0]} {state} {control}"
            for state in ("inactive", "probing", "active")
        ]
        # A function that raises costs nobody anything else.
        assert mi(farm, "raise_event", "E_DISPATCHER_STATUS", {"address": "raise"}) == "OK"
        until(lambda: "no such place" in farm.log(), "the traceback in the log")
        assert "event_route failed" in farm.log()
        assert farm.metrics().total("ds_farm_events_total") == 4
    heard.udp.setblocking(False)
    assert json.loads(heard.udp.recv(4096))["params"] == {"address": "raise"}
    with pytest.raises(BlockingIOError):
        heard.udp.recv(4096)


def test_webhook_with_a_password(tmp_path: Path, heard: Heard) -> None:
    hook = heard.subscribers()[-1]
    with start(tmp_path, [hook.replace("//", "//me:s%40cret@")]) as farm:
        mi(farm, "ds_set_state", "i", "1", URIS[0])
        until(lambda: heard.posts, "a post")
        assert heard.logins == [f"Basic {base64.b64encode(b'me:s@cret').decode()}"]
        shown = mi(farm, "subscribers_list")["Events"][0]["subscribers"]
        assert [one["socket"] for one in shown] == [hook.replace("//", "//me:***@")]
        dead = "http://me:s%40cret@127.0.0.1:1/"
        mi(farm, "event_subscribe", "E_DISPATCHER_STATUS", dead, 1)
        mi(farm, "ds_set_state", "a", "1", URIS[0])
        until(lambda: "event to http://me:***@127.0.0.1:1/ dropped" in farm.log(), "the drop")
        assert "cret" not in farm.log()


def test_change_of_a_process_that_was_killed_right_after_it(tmp_path: Path, heard: Heard) -> None:
    """The state word has changed, the record of the change was never written."""
    with start(tmp_path, heard.subscribers()[:1]) as farm:
        with Segment.attach(farm.name, writable=True) as segment:
            view = segment.destination(0)
            word = view.word
            assert segment.memory.swap(view.offset("word"), word, word + (1 << 32) + 1)
        first = json.loads(heard.udp.recv(4096))["params"]
        assert (first["state"], first["reason"]) == ("inactive", "unknown")
        mi(farm, "ds_set_state", "a", "1", URIS[0])
        assert json.loads(heard.udp.recv(4096))["params"] == params("active", "active")


SUICIDE = """
import os
import signal


def request_route(request):
    request.ds_select_dst("1", "8")
    request.ds_mark_dst("i")
    os.kill(os.getpid(), signal.SIGKILL)
"""
OPTIONS = (
    b"OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1\r\n"
    b"Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: 1\r\n"
    b"CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


def _has_started(farm: Farm, times: int) -> bool:
    return farm.child(Role.WORKER).starts >= times


def test_worker_that_dies_after_marking_a_destination(tmp_path: Path, heard: Heard) -> None:
    with start(tmp_path, heard.subscribers()[:1], SUICIDE) as farm:
        for number, uri in enumerate(URIS, start=1):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
                caller.sendto(OPTIONS, farm.sip)
            said = json.loads(heard.udp.recv(4096))["params"]
            assert (said["address"], said["state"]) == (uri, "inactive")
            assert said["reason"] == "script function ds_mark()"
            until(partial(_has_started, farm, number + 1), "the next worker")
        heard.udp.settimeout(1.2)
        with pytest.raises(TimeoutError):
            heard.udp.recv(4096)


def test_death_of_control_repeats_nothing_and_keeps_subscriptions(
    tmp_path: Path, heard: Heard
) -> None:
    with start(tmp_path, []) as farm:
        where = heard.subscribers()[0]
        assert mi(farm, "event_subscribe", "E_DISPATCHER_STATUS", where, 600) == "OK"
        mi(farm, "ds_set_state", "i", "1", URIS[0])
        assert json.loads(heard.udp.recv(4096))["params"] == params("inactive", "inactive")
        old = farm.child(Role.CONTROL).pid
        os.kill(old, signal.SIGKILL)
        until(lambda: farm.child(Role.CONTROL).pid != old, "the next control")
        mi(farm, "ds_set_state", "p", "1", URIS[1])
        assert json.loads(heard.udp.recv(4096))["params"] == params("probing", "inactive", URIS[1])
        shown = mi(farm, "subscribers_list")["Events"][0]["subscribers"]
        assert [one["socket"] for one in shown] == [where]


def test_subscription_that_is_renewed_late_changes_no_order(tmp_path: Path, heard: Heard) -> None:
    beside, *_, hook = heard.subscribers()
    with start(tmp_path, [beside]) as farm:
        heard.gate.clear()
        mi(farm, "event_subscribe", "E_DISPATCHER_STATUS", hook, 1)
        for letter in "iaiaia":
            mi(farm, "ds_set_state", letter, "1", URIS[0])
            heard.udp.recv(4096)
        until(lambda: len(mi(farm, "subscribers_list")["Events"][0]["subscribers"]) == 1, "its end")
        for letter in "ia":  # the second comes when control has been through all its senders
            mi(farm, "ds_set_state", letter, "1", URIS[1])
            heard.udp.recv(4096)
        mi(farm, "event_subscribe", "E_DISPATCHER_STATUS", hook, 60)
        mi(farm, "ds_set_state", "p", "1", URIS[0])
        heard.udp.recv(4096)
        heard.gate.set()
        until(lambda: len(heard.posts) >= 7, "seven posts")
        states = [body["params"]["state"] for _, _, body in heard.posts]
        assert states == ["inactive", "active"] * 3 + ["probing"]


def test_subscriber_that_is_not_there_is_counted_and_holds_up_nobody(
    tmp_path: Path, heard: Heard
) -> None:
    missing = f"unix:{tmp_path / 'missing'}"
    with start(tmp_path, [missing, *heard.subscribers()[:1]]) as farm:
        mi(farm, "ds_set_state", "i", "1", URIS[0])
        assert json.loads(heard.udp.recv(4096))["params"] == params("inactive", "inactive")
        name = "ds_farm_event_deliveries_total"
        until(lambda: farm.metrics().total(name, result="dropped") == 1, "the drop", 12.0)
        assert farm.metrics().total(name, result="delivered") == 1
