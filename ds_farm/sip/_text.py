"""Characters of SIP: white space, tokens, numbers, line ends (RFC 3261 section 25.1).

Every function takes ``data`` and offsets into it and never looks beyond the end it is given.
Pure-Python mode.
"""

import cython

if not cython.compiled:

    def find(data, start, end, byte):
        """The pure twin of the inline function in `_text.pxd`."""
        at = data.find(byte, start, end)
        return end if at < 0 else at

    def same(data, start, end, text, n):
        """The pure twin of the inline function in `_text.pxd`."""
        return end - start == n and bytes(data[start:end]).lower() == text.lower()

    def skip_space(data, start, end):
        """The pure twin of the inline function in `_text.pxd`."""
        while start < end and data[start] in b" \t\r\n":
            start += 1
        return start

    def is_token(c):
        """The pure twin of the inline function in `_text.pxd`."""
        return c < 128 and (chr(c).isalnum() or chr(c) in "-.!%*_+`'~")


LF = cython.declare(cython.int, 10)
CR = cython.declare(cython.int, 13)


def next_line(data, start, length):
    """Where the logical header line that begins at ``start`` ends (folding included)."""
    while True:
        start = find(data, start, length, LF)
        if start < length:
            start += 1
        if start >= length or (data[start] != 32 and data[start] != 9):
            return start


def find_comma(data, start, end):
    """Offset of the first comma outside quotes, ``end`` if there is none."""
    i: cython.int
    quoted: cython.bint = False
    if find(data, start, end, 44) == end:
        return end
    i = start
    while i < end:
        if quoted:
            if data[i] == 92:
                i += 1
            elif data[i] == 34:
                quoted = False
        elif data[i] == 34:
            quoted = True
        elif data[i] == 44:
            return i
        i += 1
    return end


def find_address_end(data, start, end):
    """Offset of the comma behind an address: outside quotes and <>, within which a URI may have
    one (RFC 3261 19.1.2); ``end`` if there is none."""
    i: cython.int = start
    quoted: cython.bint = False
    while i < end:
        if quoted:
            if data[i] == 92:
                i += 1
            elif data[i] == 34:
                quoted = False
        elif data[i] == 34:
            quoted = True
        elif data[i] == 60:
            i = find(data, i, end, 62)
        elif data[i] == 44:
            return i
        i += 1
    return end


def trim_end(data, start, end):
    """``end`` moved back over white space."""
    while end > start and (
        data[end - 1] == 32 or data[end - 1] == 9 or data[end - 1] == CR or data[end - 1] == LF
    ):
        end -= 1
    return end


def number(data, start, end, limit):
    """Value of the decimal digits ``data[start:end]``; -1 if they are none or above ``limit``."""
    value: cython.longlong = 0
    if start >= end:
        return -1
    while start < end:
        if not 48 <= data[start] <= 57:
            return -1
        value = value * 10 + (data[start] - 48)
        if value > limit:
            return -1
        start += 1
    return cython.cast(cython.int, value)
