"""Stateful relaying: the machines of RFC 3261 section 17 (with RFC 6026) under the rules of 16.7.

Cost for a transaction that is answered at once: one look-up for each message, four timer
operations, three allocations.
"""

from libc.stdint cimport uint64_t

from ds_farm.proxy._exchange cimport Exchange
from ds_farm.proxy._forward cimport OwnBranch
from ds_farm.proxy._request cimport BaseRequest
from ds_farm.proxy._timers cimport Wheel
from ds_farm.proxy._transaction cimport Branch, Stored, Table, Transaction
from ds_farm.proxy._wire cimport Network, Outbox, Peer
from ds_farm.sip._scan cimport Message
from shm._layout cimport DestinationCounters, Worker


cdef class Relay:
    cdef Network network
    cdef Outbox out
    cdef BaseRequest request     # the one that failure routes get
    cdef Table table
    cdef Wheel wheel
    cdef Worker *counters
    cdef DestinationCounters *destinations
    cdef readonly int rank
    cdef uint64_t now_ns
    cdef uint64_t t1_ns, t2_ns, end_ns
    cdef readonly int fr_timeout_ms, fr_inv_timeout_ms
    cdef bint auto_100
    cdef readonly int unfinished  # transactions without a final response upstream

    cdef int absorb(self, BaseRequest request) except -1
    cdef Transaction *start(self, BaseRequest request) noexcept
    cdef int send(self, BaseRequest request) except? -2
    cdef void replied(self, Transaction *t, int status) noexcept
    cdef bint response(self, const unsigned char *data, Message *m, OwnBranch *own) except -1
    cdef int expire(self) except -1
    cdef uint64_t next_ns(self) noexcept
    cdef void cancel(self, Transaction *t) noexcept
    cdef bint _provisional(self, Branch *b, const unsigned char *data, Message *m, int came_by) except -1
    cdef bint _success(self, Branch *b, const unsigned char *data, Message *m, int came_by) except -1
    cdef bint _failure(self, Branch *b, const unsigned char *data, Message *m, int came_by) except -1
    cdef int _close(self, Branch *b, int status, const unsigned char *data, Message *m, int came_by) except -1
    cdef int _finish(self, Transaction *t) except -1
    cdef int _answer_best(self, Transaction *t) except -1
    cdef bint _upstream(
        self, Transaction *t, const unsigned char *data, Message *m, int came_by, int status,
        bint stored
    ) noexcept
    cdef int _own_answer(self, Transaction *t, int status) noexcept
    cdef void _complete(self, Transaction *t, int status) noexcept
    cdef void _store_last(self, Stored *stored) noexcept
    cdef void _put(self, const unsigned char *data, int length, const Peer *to, int listener, int slot) noexcept
    cdef void _cancel_others(self, Transaction *t) noexcept
    cdef void _send_cancel(self, Branch *b) noexcept
    cdef void _acknowledge(self, Branch *b, const unsigned char *data, Message *m) noexcept
    cdef int _branch_timeout(self, Branch *b) except -1
    cdef void load(self, Transaction *t, Exchange *x) noexcept


cdef int reason_of(int status, char *out) noexcept nogil
