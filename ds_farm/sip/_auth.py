"""Digest credentials, as far as the dispatcher reads them: ``Digest username="alice", ...``.

Pure-Python mode.
"""

import cython

if cython.compiled:
    from cython.cimports.ds_farm.sip._text import find, find_comma, same, skip_space, trim_end

    def credentials(data: bytes):
        """Offsets of the user name in an Authorization value, for code that is not compiled."""
        result: Credentials
        parse_credentials(data, 0, len(data), cython.address(result))
        return result

else:
    from ds_farm.sip._text import find, find_comma, same, skip_space, trim_end


def parse_credentials(data, start, end, c):
    """Find the user part of ``username``; returns 0 if there is one that is not empty, else -1."""
    stop: cython.int
    name_end: cython.int
    value: cython.int
    c.user = 0
    c.user_end = 0
    while start < end and data[start] > 32:
        start += 1  # the scheme
    while start < end:
        start = skip_space(data, start, end)
        stop = find_comma(data, start, end)
        name_end = find(data, start, stop, 61)
        if name_end < stop and same(data, start, trim_end(data, start, name_end), b"username", 8):
            value = skip_space(data, name_end + 1, stop)
            stop = trim_end(data, value, stop)
            if stop > value + 1 and data[value] == 34 and data[stop - 1] == 34:
                value = skip_space(data, value + 1, stop - 1)
                stop = trim_end(data, value, stop - 1)
            c.user = value
            c.user_end = find(data, value, stop, 64)
            return 0 if c.user_end > c.user else -1
        start = stop + 1
    return -1
