"""Forwarding one request or response without state (RFC 3261 16.6, 16.7, 16.11).

Cost: one hash of about 150 bytes, a handful of comparisons, one copy of the message.
"""

from libc.stdint cimport uint64_t

from ds_farm.proxy._exchange cimport Exchange
from ds_farm.proxy._wire cimport Network, Outbox, Peer
from ds_farm.sip._edit cimport Edit
from ds_farm.sip._scan cimport Message
from ds_farm.sip._via cimport Via


cdef enum:
    COOKIE = 7                   # len("z9hG4bK")
    UNIQUE = 16                  # hexadecimal digits of the branch's first part
    SLOT = COOKIE + 2 * UNIQUE + 2


cdef struct OwnBranch:           # what the branch of our own Via says; -1: nothing
    uint64_t key                 # first part: of the transaction
    bint has_key
    int slot
    int listener
    int owner
    int branch


cdef uint64_t unique_part(Exchange *x) noexcept nogil
cdef void read_branch(const unsigned char *data, Via *via, OwnBranch *own) noexcept nogil
cdef int forward_response(
    const unsigned char *data, Message *m, int came_by, int status, const Edit *lumps,
    int lump_count, Network network, Outbox out
) noexcept nogil
cdef int forward_request(Exchange *x, Network network, Outbox out) noexcept nogil
cdef int response_target(const unsigned char *data, Via *via, Peer *to) noexcept nogil
cdef int stamp_via(Exchange *x, unsigned char *received, unsigned char *rport, Edit *edits) noexcept nogil
