"""What the transactions of a worker send, under the machines of `_relay.pyx`."""

from libc.stdint cimport uint64_t

from ds_farm.proxy._exchange cimport Exchange
from ds_farm.proxy._request cimport BaseRequest
from ds_farm.proxy._timers cimport Wheel
from ds_farm.proxy._transaction cimport Branch, Stored, Table, Transaction
from ds_farm.proxy._wire cimport Network, Outbox, Peer
from ds_farm.sip._scan cimport Message
from shm._layout cimport Destination, DestinationCounters, Worker


cdef class Sender:
    cdef Network network
    cdef Outbox out
    cdef BaseRequest request     # the one that failure and reply routes get
    cdef Table table
    cdef Wheel wheel
    cdef Worker *counters
    cdef DestinationCounters *destinations
    cdef Destination *shared     # states of destinations, and their addresses in use
    cdef readonly int rank
    cdef uint64_t now_ns
    cdef uint64_t t1_ns, t2_ns, end_ns
    cdef readonly int fr_timeout_ms, fr_inv_timeout_ms
    cdef bint auto_100
    cdef readonly int unfinished  # transactions without a final response upstream
    cdef int lump_count          # changes that a route has made to the response under way

    cdef bint _upstream(
        self, Transaction *t, const unsigned char *data, Message *m, int came_by, int status,
        int lump_count, bint stored
    ) noexcept
    cdef int _own_answer(self, Transaction *t, int status) noexcept
    cdef int _answer_best(self, Transaction *t) except -1
    cdef void _complete(self, Transaction *t, int status) noexcept
    cdef void _store_last(self, Stored *stored) noexcept
    cdef int _store_best(self, Transaction *t, const unsigned char *data, Message *m) noexcept
    cdef void _add_challenges(self, Transaction *t, const unsigned char *data, Message *m) noexcept
    cdef void _put(self, const unsigned char *data, int length, const Peer *to, int listener, int slot) noexcept
    cdef void _cancel_others(self, Transaction *t) noexcept
    cdef void _send_cancel(self, Branch *b) noexcept
    cdef void _acknowledge(self, Branch *b, const unsigned char *data, Message *m) noexcept
    cdef void note_time(self, Branch *b, uint64_t *classes, uint64_t *total) noexcept
    cdef void over(self, Branch *b) noexcept
    cdef void leave_address(self, Branch *b) noexcept
    cdef void forget_request(self, Transaction *t) noexcept
    cdef void dismiss(self, Transaction *t)
    cdef bint _is_restated(self) noexcept
    cdef void refuse_others(self, Branch *refused) noexcept
    cdef void _refuse_like(self, Transaction *t, Branch *refused) noexcept
    cdef void note_failover(self, Branch *b) noexcept
    cdef void leave_open(self, Transaction *t) noexcept
    cdef void load(self, Transaction *t, Exchange *x) noexcept


cdef inline bint is_challenge(int status) noexcept nogil:
    return status == 401 or status == 407


cdef int rank_of(int status) noexcept nogil
cdef int reason_of(int status, char *out) noexcept nogil
