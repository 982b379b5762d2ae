"""JSON-RPC 2.0 as OpenSIPS 3 and 4 speak it: bytes to a request, a result or an error to bytes.

No batches (OpenSIPS has none); a request without ``id`` is a notification and gets no reply.  Any
bytes give a reply or none, never an exception (semantics section 6.4; OpenSIPS 4.0.1 crashes on a
request without a method).
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

logger = logging.getLogger(__name__)

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

Json = Any
"""What json.loads() can return."""

Id = str | int | float | None
Params = Sequence[Json] | Mapping[str, Json]


class MiError(Exception):
    """A command that cannot be done: code, message and data of the error object."""

    def __init__(self, code: int, message: str, data: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


Call = Callable[[str, Params], Json]
"""Runs a command; returns its result or raises MiError."""

GARBAGE = b'{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"},"id":null}'
"""The reply by HTTP to what is no JSON."""


@dataclass(frozen=True, slots=True)
class Request:
    """A well-formed request.  ``params`` are by position or by name."""

    method: str
    params: Params
    id: Id
    is_notification: bool


def handle(data: bytes, call: Call, garbage: bytes | None = GARBAGE) -> bytes | None:
    """The reply to a request, None if it gets none; ``garbage`` to what is no JSON at all.

    ``call`` returns a command's result or raises MiError; what else it raises is a bug, which is
    logged with its traceback and answered with -32603.
    """
    try:
        body = _parse(data)
    except MiError:
        return garbage
    try:
        request = check(body)
    except MiError as error:
        return encode_error(error, _id_of(body))
    try:
        reply = encode_result(call(request.method, request.params), request.id)
    except MiError as error:
        reply = encode_error(error, request.id)
    except Exception:
        logger.exception("MI command %s failed", request.method)
        reply = encode_error(MiError(INTERNAL_ERROR, "Internal error"), request.id)
    return None if request.is_notification else reply


def check(body: Json) -> Request:
    """A parsed body as a request.  Raises MiError."""
    if not isinstance(body, dict):
        raise MiError(INVALID_REQUEST, "Invalid Request")
    method, params = body.get("method"), body.get("params", [])
    if body.get("jsonrpc") != "2.0" or not isinstance(method, str):
        raise MiError(INVALID_REQUEST, "Invalid Request")
    if "id" in body and not _is_id(body["id"]):
        raise MiError(INVALID_REQUEST, "Invalid Request")
    if not isinstance(params, (list, dict)):
        raise MiError(INVALID_PARAMS, "Invalid params")
    return Request(method, params, body.get("id"), "id" not in body)


def encode_result(result: Json, request_id: Id) -> bytes:
    """A success."""
    return _encode({"jsonrpc": "2.0", "result": result, "id": request_id})


def encode_error(error: MiError, request_id: Id) -> bytes:
    """A failure."""
    shown: dict[str, Json] = {"code": error.code, "message": error.message}
    if error.data:
        shown["data"] = error.data
    return _encode({"jsonrpc": "2.0", "error": shown, "id": request_id})


def too_long(data: bytes) -> bytes:
    """The reply to a request whose result does not go into a datagram."""
    return encode_error(
        MiError(500, "Internal server error", "reply too long"), _id_of(_parse(data))
    )


def _parse(data: bytes) -> Json:
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise MiError(PARSE_ERROR, "Parse error") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _encode(reply: dict[str, Json]) -> bytes:
    return json.dumps(reply, separators=(",", ":")).encode()


def _is_id(value: Json) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)  # 1e999 is JSON, but there is no way to write it back
    return value is None or (isinstance(value, (str, int)) and not isinstance(value, bool))


def _id_of(body: Json) -> Id:
    """The id to answer a malformed request with."""
    if isinstance(body, dict) and _is_id(body.get("id")):
        found: Id = body.get("id")
        return found
    return None
