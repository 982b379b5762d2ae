"""Requests that a proxy makes of one that it has sent: ACK and CANCEL (RFC 3261 17.1.1.3, 9.1).

Cost: one scan of the sent request; off the path of a call that is answered well.
"""

from ds_farm.sip._scan cimport Message


cdef int ack_of(
    const unsigned char *sent, int length, const unsigned char *response, Message *m,
    unsigned char *out
) noexcept nogil
cdef int cancel_of(const unsigned char *sent, int length, unsigned char *out) noexcept nogil
