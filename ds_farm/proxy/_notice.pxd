"""What a worker tells the timer: a reply to a probe came, or ICMP says unreachable.

Cost: a normal response pays one comparison of a byte of its branch.  A notice is a record of fixed
size, written to a pipe at most PIPE_BUF bytes at a time, so that records of several workers never
mix (pipe(7)).
"""

from libc.stdint cimport int32_t, uint8_t, uint64_t

from ds_farm.proxy._wire cimport BATCH, Peer
from ds_farm.sip._scan cimport Message
from ds_farm.sip._via cimport Via


cdef enum:
    MARK = 112                   # "p" after the magic cookie: a branch of ds_farm/probe/request.py
    NOTICE_SIZE = 128
    NOTICES_A_WRITE = 32         # NOTICE_SIZE * this = PIPE_BUF


cdef struct Notice:
    uint64_t at_ns               # CLOCK_MONOTONIC, when the worker had it
    int32_t status               # of a reply; 0: unreachable
    Peer peer                    # unreachable: the destination
    uint8_t branch_length
    uint8_t method_length
    unsigned char branch[48]
    unsigned char method[38]     # of CSeq


cdef class NoticeBox:
    cdef Notice items[BATCH]
    cdef int count

    cdef void reply(self, const unsigned char *data, const Message *m, const Via *via) noexcept nogil
    cdef void unreachable(self, const Peer *peer) noexcept nogil
    cdef void stamp(self, uint64_t now_ns) noexcept nogil


cdef bint concerns_probe(const unsigned char *quoted, int length) noexcept nogil
