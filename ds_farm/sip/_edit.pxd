"""Byte edits of a received message, applied while it is copied out (OpenSIPS calls them lumps).

Cost: one memcpy for each range between edits.
"""


cdef struct Edit:                # data[start:end] becomes text[:length]
    int start
    int end
    const unsigned char *text
    int length


cdef inline void replace(Edit *edit, int start, int end, const unsigned char *text, int length) noexcept nogil:
    edit.start = start
    edit.end = end
    edit.text = text
    edit.length = length


cdef int grown_by(const Edit *edits, int count) noexcept nogil
cdef int settle(Edit *edits, int count) noexcept nogil
cdef int join(
    const unsigned char *data, int start, int end, const Edit *edits, int count, unsigned char *out
) noexcept nogil
