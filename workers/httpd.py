"""A small threaded HTTP server for a process that has one: exporter and control.

The supervisor has bound the socket and keeps it, so a client that comes while the process is being
replaced waits in its queue.  A request has a thread and a deadline: a client that is slow or silent
costs one of `MOST_AT_ONCE` for `REQUEST_S`, and when all are taken it is the first to go.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from workers.https import Certificates
from workers.process import GRACEFUL, ProcessContext

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 64
REQUEST_S = 3.0
"""From the connection to a whole request."""

DEADLINE_S = 15.0
"""For the whole of a connection."""

WHOLE = "ds_farm.whole"
"""In the environment of a request: to be called when all of it has come."""

TURN_S = 0.25
LAST_S = 2.0
"""How long a graceful stop waits for answers under way."""

TEXT = "text/plain; charset=utf-8"


@dataclass(slots=True)
class _Client:
    since_s: float
    is_whole: bool = False
    """Its request has come."""

    @property
    def deadline_s(self) -> float:
        return self.since_s + (DEADLINE_S if self.is_whole else REQUEST_S)


class _Handler(WSGIRequestHandler):
    server: Server

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        if len(set(self.headers.get_all("content-length", ()))) > 1:  # RFC 9112 6.3
            self.send_error(400, "Content-Length twice")
            return False
        return True

    def get_environ(self) -> dict[str, Any]:
        if self.command != "POST":
            self.server.is_whole(self.connection)
        return super().get_environ() | {WHOLE: lambda: self.server.is_whole(self.connection)}

    def log_message(self, format: str, *args: object) -> None:
        logger.debug("%s " + format, self.address_string(), *args)


class Server(ThreadingMixIn, WSGIServer):
    """Serves one WSGI application on a socket that listens already."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        listening: socket.socket,
        application: WSGIApplication,
        certificates: Certificates | None = None,
    ) -> None:
        address = listening.getsockname()
        super().__init__(address, _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_address = address
        self.server_name, self.server_port = address[:2]  # no look-up of our own name
        self.setup_environ()
        self.set_app(_without_body(application))
        self._open: dict[socket.socket, _Client] = {}
        """In the order in which they came."""

        self._guard = threading.Lock()
        self._certificates = certificates

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            is_full = len(self._open) >= MOST_AT_ONCE
            silent = [each for each, client in self._open.items() if not client.is_whole]
            if is_full and silent:
                del self._open[silent[0]]
                _end(silent[0])
            if not is_full or silent:
                self._open[request] = _Client(time.monotonic())
        if is_full:
            logger.warning(
                "more than %d HTTP clients at once, one %s",
                MOST_AT_ONCE,
                "that has sent no request is ended" if silent else "is refused",
            )
        if is_full and not silent:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def is_whole(self, request: socket.socket) -> None:
        """All of a client's request has come."""
        with self._guard:
            if client := self._open.get(request):
                client.is_whole = True

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self._certificates is None:
            super().finish_request(request, client_address)
            return
        # In the client's own thread: a handshake waits for the client.
        secured = self._certificates.context().wrap_socket(
            request, server_side=True, do_handshake_on_connect=False
        )
        with self._guard:  # the plain socket is an empty shell from here on
            client = self._open.pop(request, None)
            if client:
                self._open[secured] = client
        try:
            if client is None:
                raise ConnectionAbortedError("made room for another one")
            secured.do_handshake()
            super().finish_request(secured, client_address)
        finally:
            self.shutdown_request(secured)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if isinstance(sys.exception(), OSError):  # the client is gone, or its time is over
            logger.debug("HTTP client %s: %s", client_address, sys.exception())
        else:
            logger.exception("an HTTP request failed")

    def drop_late(self, now_s: float) -> None:
        """End connections whose deadline is over; their threads see the end of the stream."""
        with self._guard:
            for request, client in self._open.items():
                if now_s >= client.deadline_s:
                    _end(request)

    def finish(self) -> None:
        """Accept nobody any more; give the answers under way `LAST_S`."""
        self.shutdown()
        until_s = time.monotonic() + LAST_S
        while self._open and time.monotonic() < until_s:
            time.sleep(0.01)


def _end(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        logger.debug("HTTP client went by itself: %s", error)


def serve(
    context: ProcessContext,
    application: WSGIApplication,
    certificates: Certificates | None = None,
) -> None:
    """The loop of such a process, until it is told to stop."""
    server = Server(context.listening, application, certificates)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    context.ready()
    while not context.stopping:
        context.wait(TURN_S)
        server.drop_late(time.monotonic())
        if not thread.is_alive():
            raise RuntimeError("the thread that accepts HTTP clients has ended")
    if context.stopping == GRACEFUL:
        server.finish()


def _without_body(application: WSGIApplication) -> WSGIApplication:
    """HEAD is GET without the body of its answer (RFC 9110 9.3.2)."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "HEAD":
            return application(environ, start_response)
        application(environ | {"REQUEST_METHOD": "GET"}, start_response)
        return ()

    return app


def body(environ: WSGIEnvironment, length: int) -> bytes:
    """Read a request's body."""
    data: bytes = environ["wsgi.input"].read(length)
    environ[WHOLE]()
    return data


def answer(
    start_response: StartResponse,
    status: str,
    body: bytes,
    content_type: str = TEXT,
    headers: Iterable[tuple[str, str]] = (),
) -> Iterable[bytes]:
    """A whole response."""
    start_response(
        status, [("Content-Type", content_type), ("Content-Length", str(len(body))), *headers]
    )
    return [body]
