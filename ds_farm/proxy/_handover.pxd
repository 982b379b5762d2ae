"""Every message of a call to the worker that owns it: by its Call-ID, or as our Via says.

Cost: one hash of the Call-ID for a request; for a message of another worker's one copy and its
share of a system call.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from ds_farm.proxy._wire cimport Outbox, Peer
from ds_farm.sip._scan cimport Message
from shm._layout cimport Header, Worker


cdef struct Handed:              # before each datagram between workers
    uint64_t token               # the farm's secret: nobody else can hand anything over
    uint32_t listener            # it came in by
    uint16_t step                # how many sizes of the farm have been asked for its owner
    uint16_t sender              # rank
    Peer source


cdef enum:
    FINAL = 0xFFFF               # step: nobody has its transaction, the receiver deals with it
    REFUSED = 0xFFFE             # step: it is a request of the receiver's that could not be sent


cdef class Handover:
    cdef Header *header
    cdef Worker *workers
    cdef object _segment
    cdef readonly int rank
    cdef int max_workers
    cdef int socket              # number of the socket that hands over
    cdef uint64_t token, seed, factor
    cdef int hashed              # bytes of a Call-ID that count
    cdef uint64_t window_ns      # how long a former size of the farm may own calls

    cdef int owner(self, const unsigned char *data, Message *m, int step) noexcept nogil
    cdef int next_owner(self, const unsigned char *data, Message *m, int *step, uint64_t now_ns) noexcept nogil
    cdef bint give(
        self, Outbox out, const unsigned char *data, int length, const Peer *source, int listener,
        int owner, int step
    ) noexcept nogil
    cdef const unsigned char *take(self, const unsigned char *data, int *length, Handed *handed) noexcept nogil
