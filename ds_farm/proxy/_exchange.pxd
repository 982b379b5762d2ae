"""One request while it is handled: its offsets, where it came from, what was decided for it.

A plain struct: no allocation for a request.  `data` belongs to the receiver's buffer and is valid
until the next batch.
"""

from libc.stdint cimport uint64_t

from ds_farm.proxy._wire cimport Peer
from ds_farm.sip._edit cimport Edit
from ds_farm.sip._scan cimport Message
from ds_farm.sip._uri cimport Address, Uri
from ds_farm.sip._via cimport Via


cdef enum:
    MAX_LUMPS = 32               # changes that a routing function may make to one message
    MAX_RR_PARAMS = 200          # bytes of parameters in a Record-Route of ours


cdef struct Exchange:
    const unsigned char *data
    Message m
    Via via                      # topmost, as received
    Uri uri                      # Request-URI, as received
    Address from_
    Address to
    Peer source
    int listener                 # it arrived on
    uint64_t k0, k1              # the farm's key
    uint64_t unique              # first part of the branch, 0: not made yet
    # decisions
    int hops                     # Max-Forwards to send, -1: not processed yet
    bint has_next
    Peer next                    # where it goes, if has_next
    int next_listener            # socket to send from, -1: any of the address family
    int slot                     # destination it goes to, -1: none of ours
    uint64_t address             # number of the address of that destination
    int owner                    # rank of the worker that has its transaction, -1: stateless
    int branch                   # which of the transaction's branches
    const unsigned char *new_uri  # Request-URI to send instead, or NULL
    int new_uri_length
    const Edit *lumps            # changes that a routing function has made
    int lump_count
    bint record_route            # 16.6 step 4
    const unsigned char *rr_params  # after ";lr", MAX_RR_PARAMS at most
    int rr_params_length
    bint force_rport             # answer as if the topmost Via had rport (RFC 3581)


cdef int read_request(Exchange *x) noexcept nogil


cdef enum Outcome:
    FORWARDED = 0
    UNRESOLVED = 478             # no address to send to
    LOOP = 482
    TOO_MANY_HOPS = 483
    TOO_LARGE = 513
    NO_ROOM = -1                 # the batch's outbox is full
