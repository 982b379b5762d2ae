"""Via values (RFC 3261 sections 18.1.1, 18.2.1, 20.42 and 25.1; RFC 3581 for rport).

    via-parm = "SIP" SLASH "2.0" SLASH transport LWS sent-by *( SEMI via-params )

White space may stand around every separator, folding included.  Pure-Python mode, as `_scan.py`.
"""

import cython

if cython.compiled:
    from cython.cimports.ds_farm.sip._text import is_token, number, same, skip_space
    from cython.cimports.libc.string import memset

    def via(data: bytes):
        """One Via value as a dictionary of offsets, for code and tests that are not compiled."""
        result: Via
        parse_via(data, 0, len(data), cython.address(result))
        return result

else:
    from ds_farm.sip._text import is_token, number, same, skip_space


def parse_via(data, start, end, v):
    """Fill ``v`` from the Via value ``data[start:end]``; returns its fault, 1 or 0."""
    i: cython.int
    if cython.compiled:
        memset(v, 0, cython.sizeof(v[0]))
    v.rport = -1
    v.fault = True
    i = _sent_protocol(data, start, end, v)
    if i < 0:
        return 1
    i = _sent_by(data, i, end, v)
    if i < 0:
        return 1
    v.params = i
    while i < end:
        if data[i] != 59:
            return 1
        i = _param(data, skip_space(data, i + 1, end), end, v)
        if i < 0:
            return 1
    v.fault = False
    return 0


def _sent_protocol(data, start, end, v):
    """``SIP / 2.0 / UDP``; returns where sent-by begins, -1 if it is something else.

    Any version will do: a 505 has to find its way back too.
    """
    i: cython.int = start
    part: cython.int
    for part in range(3):
        start = i
        while i < end and is_token(data[i]):
            i += 1
        if i == start:
            return -1
        if part == 0 and not same(data, start, i, b"SIP", 3):
            return -1
        if part == 2:
            v.transport = start
            v.transport_end = i
            start = i
            i = skip_space(data, i, end)
            return i if i > start else -1
        i = skip_space(data, i, end)
        if i == end or data[i] != 47:
            return -1
        i = skip_space(data, i + 1, end)
    return -1


def _sent_by(data, start, end, v):
    """``host [ COLON port ]``; returns the offset after it and its white space, -1 if bad."""
    i: cython.int = start
    colon: cython.int
    if i < end and data[i] == 91:
        while i < end and data[i] != 93:
            i += 1
        if i == end:
            return -1
        i += 1
    else:
        while i < end and is_token(data[i]):
            i += 1
    if i == start:
        return -1
    v.host = start
    v.host_end = i
    i = skip_space(data, i, end)
    if i < end and data[i] == 58:
        i = skip_space(data, i + 1, end)
        colon = i
        while i < end and 48 <= data[i] <= 57:
            i += 1
        v.port = number(data, colon, i, 65535)
        if v.port <= 0:
            return -1
        i = skip_space(data, i, end)
    return i


def _param(data, start, end, v):
    """One ``name [ EQUAL value ]``; returns the offset after it and its white space, -1 if bad."""
    name_end: cython.int
    value: cython.int = 0
    i: cython.int = start
    while i < end and is_token(data[i]):
        i += 1
    if i == start:
        return -1
    name_end = i
    i = skip_space(data, i, end)
    if i < end and data[i] == 61:
        i = skip_space(data, i + 1, end)
        value = i
        if i < end and data[i] == 34:
            i += 1
            while i < end and data[i] != 34:
                i += 2 if data[i] == 92 else 1
            if i >= end:
                return -1
            i += 1
        else:  # token, host or IPv6 reference; received may be a bare IPv6 address (RFC 5118)
            while i < end and (
                is_token(data[i]) or data[i] == 58 or data[i] == 91 or data[i] == 93
            ):
                i += 1
        if i == value:
            return -1
    if name_end - start == 6 and same(data, start, name_end, b"branch", 6):
        v.branch = value
        v.branch_end = i if value else 0
    elif name_end - start == 5 and same(data, start, name_end, b"rport", 5):
        v.rport = number(data, value, i, 65535) if value else 0
        v.rport_end = name_end
        if v.rport < 0:
            return -1
    elif name_end - start == 8 and same(data, start, name_end, b"received", 8):
        v.received = value
        v.received_end = i if value else 0
    elif name_end - start == 5 and same(data, start, name_end, b"maddr", 5):
        v.maddr = value
        v.maddr_end = i if value else 0
    return skip_space(data, i, end)
