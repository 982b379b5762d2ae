"""Answers of our own: 4xx, 5xx and what a routing function wants (RFC 3261 8.2.6, 8.2.7).

Off the normal path; cost is of no matter but bounded.
"""

from libc.stdint cimport uint64_t

from ds_farm.proxy._exchange cimport Exchange
from ds_farm.proxy._wire cimport Network, Outbox


cdef uint64_t reply_tag(Exchange *x) noexcept nogil
cdef bint acknowledges_us(Exchange *x) noexcept nogil
cdef int reply(
    Exchange *x, Network network, Outbox out, int status,
    const unsigned char *reason, int reason_length,
    const unsigned char *headers, int headers_length,
    const unsigned char *body, int body_length,
) noexcept nogil
