"""What must hold of every forwarded request and of every answer of the farm's own."""

from __future__ import annotations

import re

from tests.conformance.conftest import Bench
from tests.support.message import Field, Sip, parameter, tag

MAGIC_COOKIE = b"z9hG4bK"


def own_via(forwarded: bytes) -> bytes:
    """The farm's Via value on a forwarded request."""
    return Sip.read(forwarded).vias[0]


def check_forwarded(bench: Bench, sent: bytes, arrived: bytes) -> None:
    """RFC 3261 16.6: a request differs on its way by our Via, what 18.2.1 and RFC 3581 write into
    the caller's, and Max-Forwards; all else is the same, byte for byte, in the same order."""
    original, forwarded = Sip.read(sent), Sip.read(arrived)
    assert forwarded.start_line == original.start_line

    # 16.6 step 8: our Via comes first, with our address and a branch.
    host, port = bench.farm.sip
    ours = forwarded.vias[0]
    assert re.match(rf"SIP/2\.0/UDP {re.escape(host)}:{port};".encode(), ours), ours
    branch = parameter(ours, "branch")
    assert branch is not None
    assert re.fullmatch(MAGIC_COOKIE + rb"[\w.!%*+`'~-]+", branch), ours

    fields = list(forwarded.fields)
    fields.remove(next(field for field in fields if field.value == ours))

    # 16.6 step 3: Max-Forwards one less, or 70 when there was none.
    was = original.all("max-forwards")
    now = forwarded.one("max-forwards")
    assert int(now) == (int(was[0]) - 1 if was else 70)
    fields = [field for field in fields if field.name != b"max-forwards"]
    expected = [field for field in original.fields if field.name != b"max-forwards"]

    # 18.2.1: received in the caller's Via where its host is not the true address, and RFC 3581:
    # where it asks for rport; nothing else changed there.
    top = next(i for i, field in enumerate(expected) if field.name == b"via")
    true_host = bench.caller.host.encode()
    received, rport = (parameter(forwarded.vias[1], name) for name in ("received", "rport"))
    asked = parameter(original.vias[0], "rport") == b""
    if asked or true_host not in original.vias[0]:
        assert received == true_host, forwarded.vias[1]
    assert received in (None, true_host)
    written = fields[top].raw.replace(b";received=" + true_host, b"", 1)
    if asked:
        assert rport == b"%d" % bench.caller.port
        written = written.replace(b"rport=%d" % bench.caller.port, b"rport", 1)
    fields[top] = Field(written)
    assert [field.raw for field in fields] == [field.raw for field in expected]

    # 18.3: the body is as long as Content-Length says, else all the rest.
    length = original.all("content-length")
    assert forwarded.body == (original.body[: int(length[0])] if length else original.body)


def check_answer(bench: Bench, sent: bytes, arrived: bytes, status: int) -> None:
    """RFC 3261 8.2.6: what an answer of ours takes over from the request, and its To tag."""
    request, answer = Sip.read(sent), Sip.read(arrived)
    assert answer.start_line.startswith(f"SIP/2.0 {status} ".encode()), answer.start_line

    # All Via values, in order, equal but for what 18.2.1 adds to the first (and a fold, which is a
    # blank: 7.3.1).
    theirs, ours = (re.sub(rb"[ \t]+", b" ", b",".join(m.all("via"))) for m in (request, answer))
    received = b";received=" + bench.caller.host.encode()
    assert ours.replace(received, b"", 1) == theirs

    for name in ("from", "call-id", "cseq"):
        values = request.all(name)
        if len(values) < 2:
            assert answer.all(name) == values, name
    to = request.all("to")
    if len(to) == 1:
        copied = answer.one("to")
        if tag(to[0]) is not None:
            assert copied == to[0]
        else:
            assert re.fullmatch(re.escape(to[0]) + rb";tag=[\w.!%*+`'~-]+", copied), copied
    assert answer.one("content-length") == b"0"
    assert answer.body == b""
    assert arrived.endswith(b"\r\n\r\n")
