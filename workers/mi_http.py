"""MI over HTTP: JSON-RPC 2.0 at ``POST /mi``.

It takes requests of JSON's content type only, so that no web page can send one from an operator's
browser without being asked first; and if there is a token, only with it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ds_farm.mi import answer as mi
from ds_farm.mi.farm import Farm
from workers.httpd import answer, body

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/mi"
MOST_BYTES = 1 << 16
JSON_TYPE = "application/json"


def application(farm: Farm) -> WSGIApplication:
    """The one path that control serves."""
    token = farm.config.mi.http_token

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "/") != PATH:
            return answer(start_response, "404 Not Found", b"not here, try POST /mi\n")
        if environ["REQUEST_METHOD"] != "POST":
            return answer(
                start_response,
                "405 Method Not Allowed",
                b"POST only\n",
                headers=[("Allow", "POST")],
            )
        if token and not _is_allowed(environ.get("HTTP_AUTHORIZATION", ""), token):
            return answer(
                start_response,
                "401 Unauthorized",
                b"Authorization: Bearer <mi.http_token>\n",
                headers=[("WWW-Authenticate", 'Bearer realm="ds_farm MI"')],
            )
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != JSON_TYPE:
            return answer(
                start_response, "415 Unsupported Media Type", b"Content-Type: application/json\n"
            )
        length = environ.get("CONTENT_LENGTH") or ""
        if not (length.isascii() and length.isdigit()):
            return answer(start_response, "411 Length Required", b"Content-Length is needed\n")
        if len(length) > 9 or int(length) > MOST_BYTES:
            return answer(start_response, "413 Content Too Large", b"64 KiB at most\n")
        data = body(environ, int(length))
        if len(data) < int(length):
            return answer(start_response, "400 Bad Request", b"shorter than Content-Length\n")
        reply = mi.to_http(farm, data)
        if reply is None:  # a notification
            return answer(start_response, "202 Accepted", b"")
        return answer(start_response, "200 OK", reply, JSON_TYPE)

    return app


def _is_allowed(header: str, token: str) -> bool:
    scheme, _, given = header.partition(" ")
    # WSGI has header bytes as Latin-1.
    given_bytes = given.strip().encode("latin-1", errors="replace")
    return scheme.lower() == "bearer" and hmac.compare_digest(given_bytes, token.encode())
