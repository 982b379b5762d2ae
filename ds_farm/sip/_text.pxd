"""Character-level helpers of all that reads SIP.

Cost: what runs for single bytes is inline; the others are one pass over what they are given.
"""

from libc.string cimport memchr
from posix.strings cimport strncasecmp


cdef int next_line(const unsigned char *data, int start, int length) noexcept nogil
cdef int find_comma(const unsigned char *data, int start, int end) noexcept nogil
cdef int find_address_end(const unsigned char *data, int start, int end) noexcept nogil
cdef int trim_end(const unsigned char *data, int start, int end) noexcept nogil
cdef int number(const unsigned char *data, int start, int end, int limit) noexcept nogil


cdef inline int find(const unsigned char *data, int start, int end, int byte) noexcept nogil:
    """Offset of the first `byte` in data[start:end], `end` if there is none."""
    cdef const unsigned char *found
    if start >= end:
        return end
    found = <const unsigned char *>memchr(data + start, byte, end - start)
    return end if found == NULL else <int>(found - data)


cdef inline bint same(const unsigned char *data, int start, int end, const char *text, int n) noexcept nogil:
    """Whether data[start:end] is `text` of `n` bytes, in any case (`text` is ASCII)."""
    return end - start == n and strncasecmp(<const char *>data + start, text, n) == 0


cdef extern from *:
    """
    /* token of RFC 3261 25.1: letters, digits and - . ! % * _ + ` ' ~ */
    static const unsigned char ds_token[256] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0,
        0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 0
    };
    """
    const unsigned char ds_token[256]


cdef inline bint is_token(int c) noexcept nogil:
    """Whether a byte may stand in a token."""
    return ds_token[c]


cdef inline int skip_space(const unsigned char *data, int start, int end) noexcept nogil:
    """Offset of the first byte in data[start:end] that is no white space (LWS, 25.1)."""
    while start < end and data[start] <= 32 and (
        data[start] == 32 or data[start] == 9 or data[start] == 13 or data[start] == 10
    ):
        start += 1
    return start
