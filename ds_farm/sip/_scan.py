"""The scan: datagram in, offsets out (RFC 3261 sections 7 and 16.3; `_scan.pxd` has the struct).

It looks at what a proxy needs and leaves all else unread: an unknown header, a body, a Contact
may hold anything.  The first thing that is wrong is noted as `Fault`, and the scan goes on, since
an answer needs Via, From, To, Call-ID and CSeq of a bad request too.  A message that ends early
is never read beyond its length.

Pure-Python mode: compiled it works on pointers, uncompiled (tests) on ``bytes`` and any object
with the struct's attributes.
"""

import cython

if cython.compiled:
    from cython.cimports.ds_farm.sip._names import Fault, Method
    from cython.cimports.ds_farm.sip._text import (
        find,
        find_comma,
        is_token,
        number,
        same,
        skip_space,
        trim_end,
    )
    from cython.cimports.libc.string import memset

    def offsets(data: bytes):
        """The scan's result as a dictionary, for code and tests that are not compiled."""
        message: Message
        scan(data, len(data), cython.address(message))
        return message

else:
    from ds_farm.sip._text import find, find_comma, is_token, number, same, skip_space, trim_end
    from ds_farm.sip.names import Fault, Method

CR = cython.declare(cython.int, 13)
LF = cython.declare(cython.int, 10)
MAX_NUMBER = cython.declare(cython.int, 0x7FFFFFFF)
"""CSeq numbers are below 2**31 (section 8.1.1.5); no number that we read is larger."""

# Headers that the scan keeps; the rest is UNKNOWN.
UNKNOWN = cython.declare(cython.int, 0)
VIA = cython.declare(cython.int, 1)
FROM = cython.declare(cython.int, 2)
TO = cython.declare(cython.int, 3)
CALL_ID = cython.declare(cython.int, 4)
CSEQ = cython.declare(cython.int, 5)
MAX_FORWARDS = cython.declare(cython.int, 6)
CONTENT_LENGTH = cython.declare(cython.int, 7)
ROUTE = cython.declare(cython.int, 8)
PROXY_REQUIRE = cython.declare(cython.int, 9)
AUTHORIZATION = cython.declare(cython.int, 10)
PROXY_AUTHORIZATION = cython.declare(cython.int, 11)


def scan(data, length, m):
    """Fill ``m`` from the datagram ``data[:length]``; returns its Fault, 0 if it is well formed."""
    pos: cython.int
    line_end: cython.int
    name_end: cython.int
    start: cython.int
    end: cython.int
    c: cython.int
    if cython.compiled:
        memset(m, 0, cython.sizeof(m[0]))
    m.length = length
    m.hops = -1
    m.content_length = -1
    m.body = length

    pos = find(data, 0, length, LF)
    if pos == length:
        m.fault = Fault.START_LINE
        return m.fault
    end = pos
    pos += 1
    if end > 0 and data[end - 1] == CR:
        end -= 1
    else:
        m.fault = Fault.LINE_END
    c = _start_line(data, end, m)
    if c:
        m.fault = c
    m.headers = pos
    if pos < length and (data[pos] == 32 or data[pos] == 9):
        m.fault = m.fault or Fault.HEADER  # nothing to fold: our Via would take it for its own

    while True:
        if pos >= length:
            m.fault = m.fault or Fault.NO_END
            break
        c = data[pos]
        if c == CR and pos + 1 < length and data[pos + 1] == LF:
            m.body = pos + 2
            break
        if c == LF:
            m.fault = m.fault or Fault.LINE_END
            m.body = pos + 1
            break
        line_end = pos
        while True:  # one logical line: a line break before white space is folding (7.3.1)
            line_end = find(data, line_end, length, LF)
            if line_end < length:
                if data[line_end - 1] != CR and not m.fault:
                    m.fault = Fault.LINE_END
                line_end += 1
            if line_end >= length or (data[line_end] != 32 and data[line_end] != 9):
                break
        start = name_end = find(data, pos, line_end, 58)
        if start == line_end:
            m.fault = m.fault or Fault.HEADER
            pos = line_end
            continue
        while name_end > pos and (data[name_end - 1] == 32 or data[name_end - 1] == 9):
            name_end -= 1
        if name_end == pos:
            m.fault = m.fault or Fault.HEADER
        c = header_id(data, pos, name_end)
        if c != UNKNOWN:
            end = trim_end(data, start + 1, line_end)
            start = skip_space(data, start + 1, end)
            c = _take(data, c, pos, line_end, start, end, m)
            if c and not m.fault:
                m.fault = c
        pos = line_end

    if not m.fault:
        m.fault = _missing(m)
    if m.content_length >= 0:
        if m.content_length > length - m.body:
            m.fault = m.fault or Fault.CONTENT_LENGTH
        else:
            m.length = m.body + m.content_length  # 18.3: the surplus is thrown away
    return m.fault


def _start_line(data, end, m):
    """Request-Line (7.1) or Status-Line (7.2) in ``data[:end]``; returns a Fault."""
    i: cython.int
    start: cython.int
    c: cython.int
    if end > 4 and same(data, 0, 4, b"SIP/", 4):
        return _status_line(data, end, m)
    m.is_request = True
    i = 0
    while i < end and is_token(data[i]):
        i += 1
    m.method_end = i
    if i == 0 or i >= end or data[i] != 32:
        return Fault.START_LINE
    m.method = method_id(data, 0, i)
    start = i + 1
    i = start
    while i < end:
        c = data[i]
        if c <= 32 or c == 60 or c == 62 or c == 34 or c == 127:
            break
        i += 1
    if i == start or i >= end or data[i] != 32:
        return Fault.START_LINE
    m.uri = start
    m.uri_end = i
    if end - i == 8 and same(data, i + 1, end, b"SIP/2.0", 7):
        return Fault.NONE
    if end - i > 5 and same(data, i + 1, i + 5, b"SIP/", 4):
        start = i + 5
        while start < end and (data[start] == 46 or 48 <= data[start] <= 57):
            start += 1
        if start == end:
            return Fault.VERSION
    return Fault.START_LINE


def _status_line(data, end, m):
    """Status-Line; returns a Fault."""
    if end < 12 or not same(data, 0, 8, b"SIP/2.0 ", 8):
        return Fault.VERSION
    m.status = number(data, 8, 11, 699)
    if m.status < 100 or (end > 11 and data[11] != 32):
        m.status = 0
        return Fault.START_LINE
    return Fault.NONE


def _take(data, id, line, line_end, start, end, m):
    """Keep one header's value ``data[start:end]``; returns a Fault."""
    if id == VIA:
        return _take_via(data, line, line_end, start, end, m)
    if id == ROUTE:
        m.routes += 1
        if m.routes == 1:
            m.route = start
            m.route_end = end
            m.route_line = line
            m.route_line_end = line_end
        return Fault.NONE
    if id == FROM:
        if m.from_:
            return Fault.REPEATED
        m.from_ = start
        m.from_end = end
        return Fault.NONE if end > start else Fault.FROM
    if id == TO:
        if m.to:
            return Fault.REPEATED
        m.to = start
        m.to_end = end
        return Fault.NONE if end > start else Fault.TO
    if id == CALL_ID:
        if m.call_id:
            return Fault.REPEATED
        m.call_id = start
        m.call_id_end = end
        while start < end and data[start] > 32:
            start += 1
        return Fault.NONE if start == end and end > m.call_id else Fault.CALL_ID
    if id == CSEQ:
        return Fault.REPEATED if m.cseq else _take_cseq(data, start, end, m)
    if id == MAX_FORWARDS:
        if m.max_forwards:
            return Fault.REPEATED
        m.max_forwards = start
        m.max_forwards_end = end
        m.hops = number(data, start, end, 255)
        return Fault.NONE if m.hops >= 0 else Fault.MAX_FORWARDS
    if id == CONTENT_LENGTH:
        if m.content_length != -1:
            return Fault.REPEATED
        m.content_length = number(data, start, end, MAX_NUMBER)
        if m.content_length < 0:
            m.content_length = -2
            return Fault.CONTENT_LENGTH
        return Fault.NONE
    if id == PROXY_REQUIRE:
        if not m.proxy_require and end > start:
            m.proxy_require = start
            m.proxy_require_end = end
    elif id == AUTHORIZATION:
        if not m.authorization:
            m.authorization = start
            m.authorization_end = end
    elif id == PROXY_AUTHORIZATION and not m.proxy_authorization:
        m.proxy_authorization = start
        m.proxy_authorization_end = end
    return Fault.NONE


def _take_via(data, line, line_end, start, end, m):
    """Note the first value and the one after it, over however many Via lines."""
    comma: cython.int
    m.vias += 1
    m.vias_end = line_end
    if m.vias > 1 and m.next_via:
        return Fault.NONE
    comma = find_comma(data, start, end)
    if m.vias == 1:
        m.via_line = line
        m.via_line_end = line_end
        m.via = start
        m.via_end = trim_end(data, start, comma)
        if comma == end:
            return Fault.NONE if end > start else Fault.VIA
        start = skip_space(data, comma + 1, end)
        comma = find_comma(data, start, end)
    m.next_via = start
    m.next_via_end = trim_end(data, start, comma)
    return Fault.NONE if m.next_via_end > start else Fault.VIA


def _take_cseq(data, start, end, m):
    """CSeq (20.16): a number below 2**31, white space, a method: the request's own."""
    i: cython.int = start
    while i < end and 48 <= data[i] <= 57:
        i += 1
    m.cseq = start
    m.cseq_end = i
    m.cseq_value_end = end
    if number(data, start, i, MAX_NUMBER) < 0 or i == end:
        return Fault.CSEQ
    start = skip_space(data, i, end)
    if start == i:
        return Fault.CSEQ
    m.cseq_method = start
    m.cseq_method_end = end
    i = start
    while i < end and is_token(data[i]):
        i += 1
    if i < end or start == end:
        return Fault.CSEQ
    if m.is_request:
        if end - start != m.method_end:
            return Fault.CSEQ
        for i in range(end - start):
            if data[start + i] != data[i]:
                return Fault.CSEQ
    else:
        m.method = method_id(data, start, end)
    return Fault.NONE


def _missing(m):
    """A header that every message has (8.1.1) and this one lacks, as a Fault."""
    if not m.via:
        return Fault.NO_VIA
    if not m.from_:
        return Fault.NO_FROM
    if not m.to:
        return Fault.NO_TO
    if not m.call_id:
        return Fault.NO_CALL_ID
    return Fault.NONE if m.cseq else Fault.NO_CSEQ


def header_id(data, start, end):
    """Which header a name is: in any case, long or compact (7.3.3); UNKNOWN for the rest."""
    n: cython.int = end - start
    c: cython.int = data[start] | 32 if n > 0 else 0
    if n == 1:
        if c == 118:
            return VIA
        if c == 102:
            return FROM
        if c == 116:
            return TO
        if c == 105:
            return CALL_ID
        return CONTENT_LENGTH if c == 108 else UNKNOWN
    if n == 3:
        return VIA if c == 118 and same(data, start, end, b"Via", 3) else UNKNOWN
    if n == 4:
        if c == 102:
            return FROM if same(data, start, end, b"From", 4) else UNKNOWN
        return CSEQ if c == 99 and same(data, start, end, b"CSeq", 4) else UNKNOWN
    if n == 2:
        return TO if c == 116 and same(data, start, end, b"To", 2) else UNKNOWN
    if n == 7:
        return CALL_ID if c == 99 and same(data, start, end, b"Call-ID", 7) else UNKNOWN
    if n == 12:
        return MAX_FORWARDS if c == 109 and same(data, start, end, b"Max-Forwards", 12) else UNKNOWN
    if n == 14:
        return CONTENT_LENGTH if same(data, start, end, b"Content-Length", 14) else UNKNOWN
    if n == 5:
        return ROUTE if c == 114 and same(data, start, end, b"Route", 5) else UNKNOWN
    if n == 13:
        if c == 112 and same(data, start, end, b"Proxy-Require", 13):
            return PROXY_REQUIRE
        return AUTHORIZATION if same(data, start, end, b"Authorization", 13) else UNKNOWN
    if n == 19 and c == 112 and same(data, start, end, b"Proxy-Authorization", 19):
        return PROXY_AUTHORIZATION
    return UNKNOWN


def is_via(data, start, end):
    """Whether a header's name is Via."""
    return header_id(data, start, end) == VIA


def method_id(data, start, end):
    """Method of a token; methods are case-sensitive (7.1)."""
    n: cython.int = end - start
    if n == 6 and same(data, start, end, b"INVITE", 6):
        id = Method.INVITE
    elif n == 3 and same(data, start, end, b"ACK", 3):
        id = Method.ACK
    elif n == 3 and same(data, start, end, b"BYE", 3):
        id = Method.BYE
    elif n == 6 and same(data, start, end, b"CANCEL", 6):
        id = Method.CANCEL
    elif n == 7 and same(data, start, end, b"OPTIONS", 7):
        id = Method.OPTIONS
    elif n == 8 and same(data, start, end, b"REGISTER", 8):
        id = Method.REGISTER
    elif n == 4 and same(data, start, end, b"INFO", 4):
        id = Method.INFO
    elif n == 5 and same(data, start, end, b"PRACK", 5):
        id = Method.PRACK
    elif n == 5 and same(data, start, end, b"REFER", 5):
        id = Method.REFER
    elif n == 6 and same(data, start, end, b"UPDATE", 6):
        id = Method.UPDATE
    elif n == 6 and same(data, start, end, b"NOTIFY", 6):
        id = Method.NOTIFY
    elif n == 9 and same(data, start, end, b"SUBSCRIBE", 9):
        id = Method.SUBSCRIBE
    elif n == 7 and same(data, start, end, b"MESSAGE", 7):
        id = Method.MESSAGE
    elif n == 7 and same(data, start, end, b"PUBLISH", 7):
        id = Method.PUBLISH
    else:
        id = Method.OTHER
    # `same` ignores case: a method that differs in case alone is another method.
    if id != Method.OTHER:
        while start < end:
            if data[start] > 90:
                return Method.OTHER
            start += 1
    return id
