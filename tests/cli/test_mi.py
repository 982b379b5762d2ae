"""``ds-farm mi`` against a running farm, and against none."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.support.command import ds_farm
from tests.support.farm import Farm

URI = "sip:127.0.0.1:7001"


def ask(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return ds_farm(*arguments, cwd=Path("/"), environment=environment)


class Elsewhere:
    """An HTTP server that is no farm: gives each request one answer, and keeps what has come."""

    def __init__(self, answer: bytes) -> None:
        elsewhere = self
        self.heard: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                elsewhere.heard.append(f"{self.requestline}\n{self.headers}")
                self.rfile.read(int(self.headers["Content-Length"]))
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    settings = {"mi": {"http_token": "secret"}}
    with Farm(tmp_path_factory.mktemp("mi"), [URI], children=1, settings=settings) as made:
        yield made


def test_tables_and_json(farm: Farm) -> None:
    config = str(farm.config)
    assert ask("mi", "-c", config, "ds_set_state", "p", "1", URI).stdout == "OK\n"
    shown = ask("mi", "-c", config, "ds_list").stdout
    assert URI in shown
    assert "Probing" in shown
    listed = json.loads(ask("mi", "-c", config, "--json", "ds_list", "full=1").stdout)
    assert listed["PARTITIONS"][0]["SETS"][0]["Destinations"][0]["weight"] == 1
    assert "supervisor" in ask("mi", "-c", config, "ps").stdout
    assert ask("mi", "-c", config, "get_statistics", "probing").stdout == "dispatcher:probing: 1\n"
    assert "New global log level: -1" in ask("mi", "-c", config, "log_level", "-1").stdout


def test_names_of_statistics(farm: Farm) -> None:
    config = str(farm.config)
    assert ask("mi", "-c", config, "list_statistics", "probing", "events").stdout == (
        "dispatcher:probing: non-incremental\ndispatcher:events: incremental\n"
    )
    assert "dispatcher:probing" in ask("mi", "-c", config, "statistics:list").stdout
    assert ask("mi", "-c", config, "statistics:reset", "events").stdout == "OK\n"


def test_subscribers_are_rows(farm: Farm) -> None:
    config, event, socket = str(farm.config), "E_DISPATCHER_STATUS", "udp:127.0.0.1:9"
    assert ask("mi", "-c", config, "event_subscribe", event, socket, "600").stdout == "OK\n"
    for arguments in ([], [event], [event, socket]):
        head, row = ask("mi", "-c", config, "subscribers_list", *arguments).stdout.splitlines()
        assert head.split() == ["event", "socket", "expire", "ttl"]
        assert row.split()[:3] == [event, socket, "600"]


def test_refusals(farm: Farm) -> None:
    done = ask("mi", "-c", str(farm.config), "ds_set_state", "p", "1", "sip:nobody")
    assert (done.returncode, done.stderr) == (
        1,
        "ds_set_state: 404 destination not found\n",
    )
    host, port = farm.mi_address
    done = ask("mi", "-c", "/nowhere", "--url", f"http://{host}:{port}/mi", "which")
    assert done.returncode == 1
    assert "HTTP 401" in done.stderr
    done = ask("mi", "-c", "/nowhere", "--url", "http://127.0.0.1:9/mi", "which")
    assert done.returncode == 3
    assert "no farm answers at http://127.0.0.1:9/mi" in done.stderr


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9999x/mi", "ftp://127.0.0.1/", "nothing", "http://[::1/mi", ""]
)
def test_url_that_is_none(url: str) -> None:
    done = ask("mi", "-c", "/nowhere", "--url", url, "which")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"no farm answers at {url}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "body",
    [b'"result"', b'{"error":"nope"}', b'{"result":{"PARTITIONS":[{"SETS":[1]}]}}', b"[" * 99999],
)
@pytest.mark.parametrize("command", ["mi", "reload", "children"])
def test_answer_that_is_no_farm_s(command: str, body: bytes) -> None:
    with Elsewhere(b"HTTP/1.0 200 OK\r\n\r\n" + body) as other:
        arguments = ["ds_list"] if command == "mi" else []
        done = ask(command, "-c", "/nowhere", "--url", other.url, *arguments)
    assert (done.returncode, done.stdout) == (3, "")
    assert other.url in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_token_goes_to_no_proxy_and_no_other_place(farm: Farm) -> None:
    config = str(farm.config)
    with Elsewhere(b"HTTP/1.0 200 OK\r\n\r\n{}") as proxy:
        done = ask("mi", "-c", config, "version", http_proxy=proxy.url, no_proxy="")
        assert (done.returncode, proxy.heard) == (0, [])
        moved = b"HTTP/1.0 307 Moved\r\nLocation: %s/mi\r\n\r\n" % proxy.url.encode()
        with Elsewhere(moved) as other:
            done = ask("mi", "-c", config, "--url", other.url, "version")
        assert (done.returncode, proxy.heard, len(other.heard)) == (3, [], 1)
        assert "HTTP 307" in done.stderr
