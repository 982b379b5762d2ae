"""Stateful relaying: the machines of RFC 3261 section 17 (with RFC 6026) under the rules of 16.7.

Cost for a transaction that is answered at once: one look-up for each message, four timer
operations, three allocations.
"""

from libc.stdint cimport uint64_t

from ds_farm.proxy._forward cimport OwnBranch
from ds_farm.proxy._request cimport BaseRequest
from ds_farm.proxy._sender cimport Sender
from ds_farm.proxy._transaction cimport Branch, Transaction
from ds_farm.proxy._wire cimport Peer
from ds_farm.sip._scan cimport Message


cdef class Relay(Sender):
    cdef int absorb(self, BaseRequest request) except -1
    cdef Transaction *start(self, BaseRequest request) noexcept
    cdef int send(self, BaseRequest request) except? -2
    cdef void replied(self, Transaction *t, int status) noexcept
    cdef bint response(
        self, const unsigned char *data, Message *m, const Peer *source, int listener,
        OwnBranch *own
    ) except -1
    cdef int refused(self, OwnBranch *own, int method) except -1
    cdef int expire(self) except -1
    cdef uint64_t next_ns(self) noexcept
    cdef void cancel(self, Transaction *t) noexcept
    cdef bint _provisional(
        self, Branch *b, const unsigned char *data, Message *m, int came_by, bint dropped
    ) except -1
    cdef bint _success(self, Branch *b, const unsigned char *data, Message *m, int came_by) except -1
    cdef bint _failure(self, Branch *b, const unsigned char *data, Message *m, int came_by) except -1
    cdef int _close(self, Branch *b, int status, const unsigned char *data, Message *m, int came_by) except -1
    cdef int _finish(self, Transaction *t) except -1
    cdef int _branch_timeout(self, Branch *b) except -1
