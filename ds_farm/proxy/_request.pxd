"""The request that a routing function gets.  One object serves a worker for all its requests."""

from ds_farm.proxy._exchange cimport Exchange
from ds_farm.proxy._transaction cimport Branch, Transaction
from ds_farm.proxy._wire cimport Network, Outbox, Peer
from ds_farm.sip._scan cimport Message
from shm._layout cimport DestinationCounters, Worker


cdef enum Stage:
    OVER = 0                     # no request is under way
    OPEN = 1                     # neither forwarded nor answered
    DONE = 2


cdef class BaseRequest:
    cdef Exchange x
    cdef int stage
    cdef readonly Network network
    cdef Outbox out
    cdef Worker *counters
    cdef DestinationCounters *destinations
    cdef object reply_route      # sees every response, or None
    cdef bytes dst_uri              # destination URI ($du), None if it is not set
    cdef bytes new_ruri            # Request-URI after a change, None before
    cdef Transaction *transaction  # NULL: it has none, or not yet
    cdef bytes reply_headers      # lines for replies of our own
    cdef bytes reply_body        # of the one that is being made
    cdef object _segment         # keeps the mapping that the counters are in

    cdef void begin(self) noexcept
    cdef void end(self) noexcept
    cdef int answer(self, int status, bytes reason, bytes headers) except -1
    cdef bytes span(self, int start, int end)
    cdef int set_ruri(self, bytes uri) except -1
    cdef int check_open(self) except -1
    cdef int on_failure(self, Transaction *t) except -1
    cdef bint on_reply(
        self, Branch *b, const unsigned char *data, Message *m, const Peer *source,
        int listener, int kept
    ) except -1


cdef bytes reason_for(int outcome)
cdef str sip_uri(str place)
