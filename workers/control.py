"""Control: the management interface over HTTP, JSON-RPC 2.0 at ``POST /mi``.

Commands and their encoding are `ds_farm.mi`'s; this file has the transport and the wait for a
reload.  It binds nothing (the supervisor has), and takes requests of JSON's content type only, so
that no web page can send one from an operator's browser without being asked first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ds_farm.dispatch.registry import Registry
from ds_farm.mi import commands, jsonrpc
from shm.segment import Segment
from workers.httpd import answer, serve
from workers.process import ProcessContext

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/mi"
MOST_BYTES = 1 << 16
JSON_TYPE = "application/json"
RELOAD_WAIT_S = 12.0
RELOAD_POLL_S = 0.01


class Reloads:
    """Asks the loader for a reload and waits for its end (shm/_layout.pxd, reload_requests)."""

    def __init__(self, segment: Segment) -> None:
        self._header = segment.header
        self._guard = threading.Lock()

    def __call__(self, inherit_state: bool) -> bool:
        header = self._header
        with self._guard:
            if not inherit_state:
                header.reload_fresh = header.reload_requests + 1
            number = header.add("reload_requests") + 1
        until_s = time.monotonic() + RELOAD_WAIT_S
        while header.reload_served < number:
            if time.monotonic() >= until_s:
                return False
            time.sleep(RELOAD_POLL_S)
        return bool(header.reload_successful)


def application(farm: commands.Farm) -> WSGIApplication:
    """The one path that control serves."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "/") != PATH:
            return answer(start_response, "404 Not Found", b"not here, try POST /mi\n")
        if environ["REQUEST_METHOD"] != "POST":
            return answer(start_response, "405 Method Not Allowed", b"POST only\n")
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != JSON_TYPE:
            return answer(
                start_response, "415 Unsupported Media Type", b"Content-Type: application/json\n"
            )
        length = environ.get("CONTENT_LENGTH") or ""
        if not (length.isascii() and length.isdigit()):
            return answer(start_response, "411 Length Required", b"Content-Length is needed\n")
        if len(length) > 9 or int(length) > MOST_BYTES:
            return answer(start_response, "413 Content Too Large", b"64 KiB at most\n")
        data = environ["wsgi.input"].read(int(length))
        reply = jsonrpc.handle(data, lambda method, params: commands.call(farm, method, params))
        if reply is None:  # a notification
            return answer(start_response, "202 Accepted", b"")
        return answer(start_response, "200 OK", reply, JSON_TYPE)

    return app


def main(context: ProcessContext) -> None:
    """Entry of the process table."""
    registry = Registry(context.segment)
    registry.announce()
    farm = commands.Farm(context.config, context.segment, registry, Reloads(context.segment))
    serve(context, application(farm))
