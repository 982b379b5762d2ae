"""From received datagrams to datagrams to send: one `receive` a batch.

Cost for a forwarded request and its response: two scans, two copies, one hash, one call of the
routing function.  No system call, no clock.
"""

from libc.stdint cimport uint64_t

from ds_farm.proxy._exchange cimport Exchange
from ds_farm.proxy._handover cimport Handover
from ds_farm.proxy._relay cimport Relay
from ds_farm.proxy._notice cimport NoticeBox
from ds_farm.proxy._request cimport BaseRequest
from ds_farm.proxy._wire cimport Inbox, Network, Outbox, Peer
from ds_farm.sip._scan cimport Message
from shm._layout cimport DestinationCounters, Worker


cdef class Core:
    cdef readonly Network network
    cdef readonly Outbox out
    cdef readonly NoticeBox notices
    cdef readonly BaseRequest request
    cdef object _make_request
    cdef object _route
    cdef object _on_error
    cdef Py_ssize_t _own_references
    cdef Worker *counters
    cdef DestinationCounters *destinations
    cdef int destinations_limit
    cdef readonly Relay relay    # None: no transactions
    cdef readonly Handover handover  # None: no other worker

    cdef int receive(self, Inbox inbox, int listener, int first, uint64_t now_ns) except -1
    cdef int refused(
        self, const unsigned char *sent, int length, const Peer *to, uint64_t now_ns
    ) except -1
    cdef bint expire(self, uint64_t now_ns) except -1
    cdef uint64_t next_ns(self) noexcept
    cdef int _renew_request(self) except -1
    cdef void _use_request(self, BaseRequest request)
    cdef int receive_handed(self, Inbox inbox, int first, uint64_t now_ns) except -1
    cdef int _datagram(
        self, const unsigned char *data, int length, const Peer *source, int listener, int step
    ) except -1
    cdef bint _give(
        self, const unsigned char *data, Message *m, const Peer *source, int listener, int owner,
        int step
    ) noexcept
    cdef bint _is_elsewhere(self, Exchange *x, int step) noexcept
    cdef int _request_in(self, BaseRequest request, int step) except -1
    cdef int _reject(self, BaseRequest request, int fault) except -1
    cdef int _run_route(self, BaseRequest request) except -1
    cdef int _response_in(
        self, const unsigned char *data, Message *m, const Peer *source, int listener, int step
    ) except -1
    cdef void drop(self, int reason) noexcept
