"""Requests of each transport to their replies: bytes to bytes, in the dialect they came in.

The same commands serve all (`commands.COMMANDS`); what differs is what a transport does with bytes
that are no request (semantics 6.2 to 6.4).  Nothing here raises.
"""

from __future__ import annotations

import logging

from ds_farm.mi import commands, jsonrpc, line
from ds_farm.mi.farm import Farm
from ds_farm.mi.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, Json, MiError, Params

logger = logging.getLogger(__name__)

BAD_PARAM = "Bad parameter"
_BAD_PARAMS = {"Too few or too many parameters": "Too few or too many arguments"}
"""4.0's words -> 2.1's; all others are `BAD_PARAM`."""

PARSE_ERROR = b"400 Parse_error"
TOO_LONG = line.encode_failure(500, "Internal server error")


def to_http(farm: Farm, data: bytes) -> bytes | None:
    """JSON-RPC; None for a notification."""
    return jsonrpc.handle(data, _caller(farm))


def to_datagram(farm: Farm, data: bytes) -> bytes | None:
    """Either dialect; no reply is longer than a datagram."""
    if not data.lstrip().startswith(b":"):
        reply = jsonrpc.handle(data, _caller(farm), PARSE_ERROR)
        if reply is not None and len(reply) > line.MOST_REPLY_BYTES:
            # Still JSON, for a client that waits for it.
            return jsonrpc.too_long(data)
        return reply
    try:
        request = line.parse(data.lstrip())
        if request.reply_name:
            raise line.ParseError
    except line.ParseError as error:
        if error.command:
            return line.encode_failure(400, "parse error in command")
        return line.encode_failure(500, "command not available")
    if commands.find(request.command) is None:
        return line.encode_failure(500, "command not available")
    found = _run(farm, request, closed=False)
    if found is None:
        return line.encode_failure(500, "command failed")
    return found if len(found) <= line.MOST_REPLY_BYTES else TOO_LONG


def to_fifo_json(farm: Farm, data: bytes) -> bytes | None:
    """JSON-RPC; what is no JSON gets no reply."""
    return jsonrpc.handle(data, _caller(farm), None)


def to_fifo_line(farm: Farm, data: bytes) -> tuple[str, bytes] | None:
    """Name of the reply FIFO and reply; None without a name: nothing has been done then."""
    try:
        request = line.parse(data)
    except line.ParseError:
        return _refuse_line(data)
    if not request.reply_name:
        return None
    command = request.command
    if commands.find(command) is None:
        return request.reply_name, line.encode_failure(500, f"command '{command}' not available")
    found = _run(farm, request, closed=True)
    if found is None:
        found = line.encode_failure(500, f"command '{command}' failed")
    return request.reply_name, found


def _refuse_line(data: bytes) -> tuple[str, bytes] | None:
    try:
        head = line.parse(data.partition(b"\n")[0])
    except line.ParseError:
        return None
    if not head.reply_name:
        return None
    return head.reply_name, line.encode_failure(400, f"parse error in command '{head.command}'")


def _run(farm: Farm, request: line.Request, *, closed: bool) -> bytes | None:
    """None if the command failed by a bug."""
    try:
        result, nodes = commands.call_line(farm, request.command, request.arguments)
    except MiError as error:
        if error.code == INVALID_PARAMS:
            return line.encode(400, _BAD_PARAMS.get(error.data, BAD_PARAM), closed=closed)
        if error.code == METHOD_NOT_FOUND:
            return None
        return line.encode(error.code, error.message, closed=closed)
    except Exception:
        logger.exception("MI command %s failed", request.command)
        return None
    return line.encode(200, "OK", nodes if result != "OK" else (), closed=closed)


def _caller(farm: Farm) -> jsonrpc.Call:
    def call(method: str, params: Params) -> Json:
        return commands.call(farm, method, params)

    return call
