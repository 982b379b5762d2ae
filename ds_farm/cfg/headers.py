"""Headers, URIs and bodies that functions of a script look at, or make, as a whole."""

from __future__ import annotations

import ipaddress
import logging
import re
from typing import Any

from ds_farm.cfg.avps import truth
from ds_farm.cfg.texts import Value, first, has_param, nameaddr, number, param, text, uri_part
from ds_farm.proxy.codes import FAILED, Failure

logger = logging.getLogger(__name__)

_HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f:.]+")
_ALL = re.compile(rb".+", re.DOTALL)
_DIRECTION = re.compile(r"(?m)^a=(sendonly|inactive|sendrecv|recvonly)\r?$")
_CONNECTION = re.compile(r"(?m)^c=IN IP4 (\S+)")


def socket_host(request: Any) -> str:
    """Host and port of the socket that a request came in by; 5060 is not written."""
    host = f"[{request.Ri}]" if ":" in request.Ri else request.Ri
    return host if request.Rp == 5060 else f"{host}:{request.Rp}"


def add_path(request: Any, user: Value = None, received: bool = False) -> int:
    """``add_path``, ``add_path_received``: a Path header (RFC 3327) with this server's address,
    and with where the request came from."""
    who = f"{text(user)}@" if user else ""
    source = f"[{request.si}]" if ":" in request.si else request.si
    came = f";received=sip:{source}:{request.sp}" if received else ""
    return int(request.insert_hf(f"Path: <sip:{who}{socket_host(request)}{came};lr>\r\n"))


def received_route(request: Any) -> int:
    """``loose_route`` with path's use_received: our own Route may say where to send the request."""
    result = int(request.loose_route())
    if request.check_route_param("received=") == 1:
        uri = nameaddr(text(request.hdr("Route")[0]).partition(">")[0] + ">", "uri")
        where = param(uri_part(uri, "params"), "received")
        if where:
            try:
                request.du = text(where)
            except ValueError as error:
                logger.warning("received of a Route is not followed: %s", error)
    return result


def preset_route(request: Any, address: Value, outer: Value = None) -> int:
    """``record_route_preset``: a Record-Route with an address that the script gives, or two, the
    second one on top; with the parameters of add_rr_param."""
    tag = f";ftag={request.ft}" if re.fullmatch(r"[\w.!%*+`'~-]+", request.ft) else ""
    done = 1
    for place in [outer, address] if outer else [address]:
        line = f"Record-Route: <sip:{text(place)};lr{tag}{request.rr_added}>\r\n"
        done = request.insert_hf(line) and done
    return int(done)


def has_option(request: Any, header: Value, option: Value) -> int:
    """``list_hdr_has_option``: whether it is among the values of a header."""
    return truth(has_param(",".join(request.hdr(text(header))), text(option), ","))


def add_option(request: Any, header: Value, option: Value) -> int:
    """``list_hdr_add_option``: to the values of a header, which may not be there yet."""
    if has_option(request, header, option):
        return 1
    return int(request.append_hf(f"{text(header)}: {text(option)}\r\n", text(header)))


def remove_option(request: Any, header: Value, option: Value) -> int:
    """``list_hdr_remove_option``; -1 if it was not there."""
    if not has_option(request, header, option):
        return FAILED
    name, have = text(header), ",".join(request.hdr(text(header)))
    kept = [each.strip() for each in have.split(",") if each.strip()]
    left = [each for each in kept if each.lower() != text(option).lower()]
    if left:
        request.append_hf(f"{name}: {', '.join(left)}\r\n", name)
    return int(request.remove_hf(name))


def has_privacy(request: Any, kind: Value) -> int:
    """``is_privacy``: whether a Privacy header (RFC 3323) has this value."""
    have = re.split(r"[;,\s]+", ";".join(request.hdr("Privacy")).lower())
    return truth(text(kind).lower() in have)


def is_audio_on_hold(request: Any) -> int:
    """Whether an audio stream of the SDP body is on hold: sendonly, inactive, or to 0.0.0.0."""
    session, *streams = re.split(r"(?m)^m=", request.rb.decode("utf-8", "replace"))
    return truth(any(_is_held(each, session) for each in streams if each.startswith("audio")))


def _is_held(stream: str, session: str) -> bool:
    """What a stream does not say itself, the session says for it."""
    direction = _DIRECTION.search(stream) or _DIRECTION.search(session)
    where = _CONNECTION.search(stream) or _CONNECTION.search(session)
    is_one_way = direction is not None and direction[1] in ("sendonly", "inactive")
    return is_one_way or (where is not None and where[1] == "0.0.0.0")  # nothing is bound


def strip_body(request: Any, mime: Value = None) -> int:
    """``strip_body``, ``remove_body_part``: the whole body and its Content-Type, if it is of that
    type."""
    if request.has_body(*([text(mime)] if mime else [])) != 1:
        return FAILED
    if not request.substitute(_ALL, lambda _: b"", True):
        return FAILED
    request.remove_hf("Content-Type")
    return 1


def tel2sip(request: Any) -> int:
    """``ruri_tel2sip``: a tel: Request-URI becomes sip:number@host;user=phone, of the host in
    From, as in OpenSIPS; 1 also for what is none."""
    if uri_part(request.ru, "scheme") != "tel":
        return 1
    name = re.sub(r"[-.()]", "", text(uri_part(request.ru, "user")))
    request.ru = f"sip:{name}@{uri_part(request.fu, 'host')};user=phone"
    return 1


VERDICTS = {
    -5: "Content-Length is not the body's", -6: "the body is no SDP", -11: "bad Request-URI",
    -12: "bad host in the Request-URI", -13: "no Max-Forwards", -14: "no Contact",
    -21: "no Content-Type", -22: "bad To", -23: "bad From", -24: "bad host in To",
    -25: "bad host in From", -26: "bad Contact",
}  # fmt: skip
"""What `verdict` may say; what else OpenSIPS looks at, no message that gets to a script lacks."""


def verdict(request: Any, flags: Value = None) -> int:
    """``sipmsg_validate``: 1, or the number of what is wrong."""
    fault = _fault(request, flags)
    return Failure(fault) if fault else 1


def _fault(request: Any, flags: Value) -> int:
    """One of `VERDICTS`, or 0."""
    asked, is_request = text(flags), not request.rs
    if is_request and "m" not in asked and not request.hdr("Max-Forwards"):
        return -13
    if request.rb and not request.hdr("Content-Type"):
        return -21
    length = first(request.hdr("Content-Length"))
    if length is not None and number(length) != len(request.rb):
        return -5
    if is_request and request.method == "INVITE" and not request.hdr("Contact"):
        return -14
    has_sdp = "s" in asked and request.has_body("application/sdp") == 1
    if has_sdp and not re.match(rb"v=0\r?\n(?s:.*)^m=", request.rb, re.MULTILINE):
        return -6
    for flag, uri, bad_uri, bad_host in (
        ("r", request.ru if is_request else None, -11, -12),
        ("f", request.fu, -23, -25),
        ("t", request.tu, -22, -24),
    ):
        if flag in asked and uri is not None:
            host = uri_part(uri, "host")
            if host is None:
                return bad_uri
            if not _is_host(text(host)):
                return bad_host
    if "c" in asked:
        for contact in request.hdr("Contact"):
            if contact.strip() != "*" and uri_part(nameaddr(contact, "uri"), "host") is None:
                return -26
    return 0


def _is_host(host: str) -> bool:
    if not _HOST.fullmatch(host):
        return False
    if ":" in host:
        try:
            ipaddress.IPv6Address(host.strip("[]"))
        except ValueError:
            return False
    return True
