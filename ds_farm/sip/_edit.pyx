"""Edits: ranges of a message that become other bytes.

A received header is never printed again from parsed parts; whatever nobody changed goes out byte
for byte as it came in.
"""

from libc.string cimport memcpy


cdef int grown_by(const Edit *edits, int count) noexcept nogil:
    """How many bytes longer (or, below 0, shorter) the message becomes."""
    cdef int i, grown = 0
    for i in range(count):
        grown += edits[i].length - (edits[i].end - edits[i].start)
    return grown


cdef int settle(Edit *edits, int count) noexcept nogil:
    """Put edits in order; returns how many remain, for those within a removal go with it.

    Of two at one place an insertion comes before what replaces bytes, else the earlier listed one.
    """
    cdef Edit edit
    cdef int i, j, end = 0, kept = 0
    for i in range(1, count):
        edit = edits[i]
        j = i
        while j > 0 and (
            edits[j - 1].start > edit.start
            or (edits[j - 1].start == edit.start and edits[j - 1].end > edit.end == edit.start)
        ):
            edits[j] = edits[j - 1]
            j -= 1
        edits[j] = edit
    for i in range(count):
        if edits[i].start >= end:
            edits[kept] = edits[i]
            kept += 1
            end = edits[i].end
    return kept


cdef int join(
    const unsigned char *data, int start, int end, const Edit *edits, int count, unsigned char *out
) noexcept nogil:
    """Write data[start:end] with its settled edits to `out`, which has room; returns the length."""
    cdef int i, n = 0
    for i in range(count):
        memcpy(out + n, data + start, edits[i].start - start)
        n += edits[i].start - start
        memcpy(out + n, edits[i].text, edits[i].length)
        n += edits[i].length
        start = edits[i].end
    memcpy(out + n, data + start, end - start)
    return n + end - start


def apply(bytes data, list edits):
    """``data`` with edits (start, end, text) applied, for tests and code that is not compiled."""
    cdef Edit table[64]
    cdef int start, end
    if len(edits) > 64:
        raise ValueError("at most 64 edits")
    for i, (start, end, text) in enumerate(edits):
        if not 0 <= start <= end <= len(data):
            raise ValueError(f"[{start}, {end}) is not in a message of {len(data)} bytes")
        replace(&table[i], start, end, <bytes>text, len(text))
    count = settle(table, len(edits))
    out = bytearray(len(data) + grown_by(table, count))
    join(data, 0, len(data), table, count, out)
    return bytes(out)
