"""SIP URIs (RFC 3261 section 19.1.1) and the name-addr that wraps them (20.10, 25.1).

    sip:user:password@host:port;uri-parameters?headers
    "Display Name" <uri>;header-parameters

A URI of a scheme that we do not know is kept whole and only its scheme is told.  Display names
are not checked beyond their quotes: a proxy has no business with them.  Pure-Python mode.
"""

import cython

if cython.compiled:
    from cython.cimports.ds_farm.sip._names import Scheme
    from cython.cimports.ds_farm.sip._text import find, is_token, number, same, skip_space
    from cython.cimports.libc.string import memset

    def uri(data: bytes):
        """One URI as a dictionary of offsets, for code and tests that are not compiled."""
        result: Uri
        parse_uri(data, 0, len(data), cython.address(result))
        return result

    def address(data: bytes):
        """One From, To or Route value as a dictionary of offsets."""
        result: Address
        parse_address(data, 0, len(data), cython.address(result))
        return result

else:
    from ds_farm.sip._text import find, is_token, number, same, skip_space
    from ds_farm.sip.names import Scheme


def parse_uri(data, start, end, u):
    """Fill ``u`` from the URI ``data[start:end]``; returns its fault, 1 or 0."""
    i: cython.int
    if cython.compiled:
        memset(u, 0, cython.sizeof(u[0]))
    u.fault = True
    i = find(data, start, end, 58)
    if i == start or i == end or not (97 <= (data[start] | 32) <= 122):
        return 1
    if same(data, start, i, b"sip", 3):
        u.scheme = Scheme.SIP
    elif same(data, start, i, b"sips", 4):
        u.scheme = Scheme.SIPS
    else:
        u.scheme = Scheme.TEL if same(data, start, i, b"tel", 3) else Scheme.UNKNOWN_SCHEME
        u.fault = i + 1 == end
        return u.fault
    i = _authority(data, i + 1, end, u)
    if i < 0:
        return 1
    u.params = i
    u.params_end = i
    if i < end and data[i] == 59:
        i = _uri_params(data, i, end, u)
        u.params_end = i
    if i < end:
        if data[i] != 63:
            return 1
        u.headers = i
    u.fault = False
    return 0


def _authority(data, start, end, u):
    """``[user[:password]@]host[:port]``; returns the offset after it, -1 if it is bad.

    The user part may hold ``;`` and ``?``, so an ``@`` anywhere ends it.
    """
    i: cython.int = find(data, start, end, 64)
    colon: cython.int
    if i < end:
        colon = find(data, start, i, 58)
        u.user = start
        u.user_end = colon
        if colon == start:
            return -1
        start = i + 1
    i = start
    if i < end and data[i] == 91:
        i = find(data, start, end, 93)
        if i == end or i == start + 1:
            return -1
        i += 1
    else:
        while i < end and is_token(data[i]):
            i += 1
    if i == start:
        return -1
    u.host = start
    u.host_end = i
    if i < end and data[i] == 58:
        colon = i + 1
        i = colon
        while i < end and 48 <= data[i] <= 57:
            i += 1
        u.port = number(data, colon, i, 65535)
        if u.port <= 0:
            return -1
    u.hostport_end = i
    return i


def _uri_params(data, start, end, u):
    """``;name[=value]`` pieces; returns the offset of what follows them."""
    name_end: cython.int
    stop: cython.int
    end = find(data, start, end, 63)
    while start < end:
        start += 1
        stop = find(data, start, end, 59)
        name_end = find(data, start, stop, 61)
        if same(data, start, name_end, b"lr", 2):
            u.lr = True
        elif name_end < stop and same(data, start, name_end, b"transport", 9):
            u.transport = name_end + 1
            u.transport_end = stop
        elif name_end < stop and same(data, start, name_end, b"maddr", 5):
            u.maddr = name_end + 1
            u.maddr_end = stop
        start = stop
    return end


def parse_address(data, start, end, a):
    """Fill ``a`` from ``data[start:end]``, one value of From, To or Route; returns its fault."""
    i: cython.int
    if cython.compiled:
        memset(a, 0, cython.sizeof(a[0]))
    a.fault = True
    i = skip_space(data, start, end)
    if i < end and data[i] == 34:
        i += 1
        while i < end and data[i] != 34:
            i += 2 if data[i] == 92 else 1
        if i >= end:
            return 1
        i = skip_space(data, i + 1, end)
        if i == end or data[i] != 60:
            return 1
    start = i
    i = find(data, start, end, 60)
    if i < end:
        a.uri = i + 1
        i = find(data, i, end, 62)
        a.uri_end = i
        for start in range(a.uri, i):
            if data[start] <= 32:
                return 1
        if i == end:
            return 1
        i = skip_space(data, i + 1, end)
    else:  # addr-spec without brackets: what follows a ";" belongs to the header (20.10)
        i = start
        while i < end and data[i] != 59 and data[i] > 32 and data[i] != 34:
            i += 1
        a.uri = start
        a.uri_end = i
        i = skip_space(data, i, end)
    if a.uri_end <= a.uri:
        return 1
    a.params = i
    if i < end and (data[i] != 59 or _tag(data, i, end, a) < 0):
        return 1
    a.fault = False
    return 0


def _tag(data, start, end, a):
    """Find the tag among ``;name=value`` pieces; -1 if a quote in them is not closed."""
    name_end: cython.int
    i: cython.int = start
    while i < end:
        i = skip_space(data, i + 1, end)
        start = i
        while i < end and is_token(data[i]):
            i += 1
        name_end = i
        i = skip_space(data, i, end)
        if i < end and data[i] == 61 and not a.tag and same(data, start, name_end, b"tag", 3):
            a.tag = skip_space(data, i + 1, end)
            i = a.tag
            while i < end and is_token(data[i]):
                i += 1
            a.tag_end = i
        while i < end and data[i] != 59:
            if data[i] == 34:
                i += 1
                while i < end and data[i] != 34:
                    i += 2 if data[i] == 92 else 1
                if i >= end:
                    return -1
            i += 1
    return 0
