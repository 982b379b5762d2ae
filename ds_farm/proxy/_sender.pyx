"""What a worker's transactions keep and send again, and how they end (RFC 3261 16.7, 17.1, 17.2).

NOTES
 (a) After a negative answer to an INVITE a transaction stays for 64 * T1, which is timer H and
     timer D; after a 2xx as long as RFC 6026's L and M; else for timer J.
"""

from cpython.ref cimport Py_XDECREF
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from ds_farm.proxy._derived cimport ack_of, cancel_of
from ds_farm.proxy._exchange cimport MAX_LUMPS, Exchange, read_request
from ds_farm.proxy._forward cimport forward_response
from ds_farm.proxy._reply cimport reply
from ds_farm.proxy._timers cimport timer_set, wheel_start
from ds_farm.proxy._transaction cimport (
    BRANCH_LIMIT,
    BRANCH_RESEND,
    COMPLETED,
    PROCEEDING,
    Branch,
    Stored,
    Transaction,
    branch_new,
    forget,
    keep,
    table_end,
    table_start,
)
from ds_farm.proxy._wire cimport PAYLOAD, Network, Outbox, Outgoing, Peer
from ds_farm.sip._edit cimport Edit, grown_by, join, settle
from ds_farm.sip._names cimport INVITE
from ds_farm.sip._scan cimport Message, scan
from shm._layout cimport DestinationCounters, Worker
from shm._native cimport Memory, ds_count, ds_store

from ds_farm.dispatch.times import BOUNDS_S

cdef enum:
    CLASSES = 8                  # of response times, the last one beyond all bounds

cdef uint64_t MS = 1000000
cdef uint64_t BOUNDS_NS[CLASSES]

for _i, _bound in enumerate(BOUNDS_S):
    BOUNDS_NS[_i] = int(1e9 * _bound)
BOUNDS_NS[CLASSES - 1] = <uint64_t>-1


cdef class Sender:
    """Under `Relay`, which decides."""

    def __init__(self, Network network, Outbox out, timers, segment, int rank, uint64_t now_ns=0):
        cdef Memory memory = segment.memory
        self.network = network
        self.out = out
        self.rank = rank
        self.counters = <Worker *>memory.at(segment.worker(rank).base)
        self.destinations = <DestinationCounters *>memory.at(segment.counters(rank, 0).base)
        self.t1_ns = timers.t1_ms * MS
        self.t2_ns = timers.t2_ms * MS
        self.end_ns = 64 * self.t1_ns
        self.fr_timeout_ms = timers.fr_timeout_ms
        self.fr_inv_timeout_ms = timers.fr_inv_timeout_ms
        self.auto_100 = timers.auto_100
        self.now_ns = now_ns
        wheel_start(&self.wheel, now_ns)
        table_start(&self.table)

    def __dealloc__(self):
        table_end(&self.table, &self.wheel)

    def __len__(self):
        return self.table.count

    def timers(self):
        """Timers that are set."""
        return self.wheel.count

    cdef bint _upstream(
        self, Transaction *t, const unsigned char *data, Message *m, int came_by, int status,
        int lump_count, bint stored
    ) noexcept:
        """Forward a response, and keep it for retransmissions if it is to be ``stored``."""
        cdef int drop = forward_response(
            data, m, came_by, status, self.request.x.lumps, lump_count, self.network, self.out
        )
        if drop >= 0:
            ds_count(&self.counters.dropped[drop], 1)
            return False
        ds_count(&self.counters.forwarded_responses, 1)
        if stored:
            self._store_last(&t.reply)
        return True

    cdef int _own_answer(self, Transaction *t, int status) noexcept:
        """Answer a transaction ourselves, when no request is at hand."""
        cdef Exchange x
        cdef char reason[64]
        cdef int n = reason_of(status, reason)
        self.load(t, &x)
        if reply(&x, self.network, self.out, status, <unsigned char *>reason, n, b"", 0) == 0:
            self._store_last(&t.reply)
            ds_count(&self.counters.replies[status // 100], 1)
        self._complete(t, status)
        return 0

    cdef int _answer_best(self, Transaction *t) except -1:
        cdef Message m
        cdef int status = t.best_status
        if t.best.data == NULL or scan(t.best.data, t.best.length, &m):
            status = 487 if t.is_cancelled else status if status else 408
            return self._own_answer(t, 500 if status == 503 else status)
        status = 500 if m.status == 503 else m.status
        self._upstream(
            t, t.best.data, &m, t.best_came_by, 500 if m.status == 503 else 0, 0, True
        )
        self._complete(t, status)
        return 0

    cdef void load(self, Transaction *t, Exchange *x) noexcept:
        """The request of a transaction, read again."""
        cdef uint64_t k0 = self.request.x.k0, k1 = self.request.x.k1
        memset(x, 0, sizeof(Exchange))
        x.k0 = k0
        x.k1 = k1
        x.unique = t.key
        x.data = t.request
        scan(t.request, t.request_length, &x.m)
        x.force_rport = t.force_rport
        x.source = t.source
        x.listener = t.listener
        read_request(x)

    cdef void _complete(self, Transaction *t, int status) noexcept:
        """A final response has gone upstream: stay for what comes late, with what that needs."""
        cdef Branch *b = t.branches
        t.status = status
        if not t.is_over:
            self.unfinished -= 1
            ds_store(&self.counters.unfinished, self.unfinished)
        t.is_over = True
        t.best_status = 0
        forget(&t.best.data, &t.best.length)
        Py_XDECREF(t.context)
        t.context = NULL
        if t.pending == 0:
            forget(&t.request, &t.request_length)
        while b != NULL:
            if b.state >= COMPLETED and t.method != INVITE:
                forget(&b.sent, &b.sent_length)
            b = b.next
        if t.method == INVITE and status >= 300:
            t.interval_ns = self.t1_ns
            timer_set(&self.wheel, &t.resend, self.now_ns + self.t1_ns)
        elif t.method == INVITE:
            forget(&t.reply.data, &t.reply.length)
        timer_set(&self.wheel, &t.end, self.now_ns + self.end_ns)

    cdef void _store_last(self, Stored *stored) noexcept:
        """Keep the datagram that was put out last."""
        cdef Outgoing *item = &self.out.items[self.out.count - 1]
        if keep(&stored.data, &stored.length, item.data, item.length) == 0:
            stored.to = item.to
            stored.listener = item.listener

    cdef int _store_best(self, Transaction *t, const unsigned char *data, Message *m) noexcept:
        """Keep a final response, as a route has changed it; -1 if there is no memory."""
        cdef Edit edits[MAX_LUMPS]
        cdef unsigned char *room
        cdef int count
        if self.lump_count:
            memcpy(edits, self.request.x.lumps, self.lump_count * sizeof(Edit))
            count = settle(edits, self.lump_count)
            room = self.out.begin()
            if room != NULL and m.length + grown_by(edits, count) <= PAYLOAD:
                count = join(data, 0, m.length, edits, count, room)
                return keep(&t.best.data, &t.best.length, room, count)
        return keep(&t.best.data, &t.best.length, data, m.length)

    cdef void _put(
        self, const unsigned char *data, int length, const Peer *to, int listener, int slot
    ) noexcept:
        """Put a kept datagram out; without room it is as good as lost, and sent again later."""
        cdef unsigned char *datagram = self.out.begin()
        if datagram != NULL:
            memcpy(datagram, data, length)
            self.out.commit(length, to, listener, slot)

    cdef void _send_cancel(self, Branch *b) noexcept:
        """CANCEL a branch that has a provisional response, and wait 64 * T1 for its end (9.1)."""
        cdef unsigned char *datagram
        cdef Branch *c
        cdef int n
        if b.cancel_sent or b.sent == NULL:
            return
        datagram = self.out.begin()
        if datagram == NULL or b.sent_length + 64 > PAYLOAD:
            return
        n = cancel_of(b.sent, b.sent_length, datagram)
        c = branch_new(b.transaction, b.index, True)
        if n < 0 or c == NULL or keep(&c.sent, &c.sent_length, datagram, n) < 0:
            return
        b.cancel_sent = True
        c.to = b.to
        c.listener = b.listener
        c.slot = -1
        self.out.commit(n, &b.to, b.listener, -1)
        c.resend.kind = BRANCH_RESEND
        c.limit.kind = BRANCH_LIMIT
        c.interval_ns = self.t1_ns
        timer_set(&self.wheel, &c.resend, self.now_ns + self.t1_ns)
        timer_set(&self.wheel, &c.limit, self.now_ns + self.end_ns)
        timer_set(&self.wheel, &b.limit, self.now_ns + self.end_ns)

    cdef void _cancel_others(self, Transaction *t) noexcept:
        cdef Branch *b = t.branches
        while b != NULL:
            if b.state == PROCEEDING and not b.is_cancel and t.method == INVITE:
                self._send_cancel(b)
            b = b.next

    cdef void _acknowledge(self, Branch *b, const unsigned char *data, Message *m) noexcept:
        """ACK a negative response, each time it comes (17.1.1.2)."""
        cdef unsigned char *datagram
        cdef int n
        if b.is_acknowledged:
            if b.sent != NULL:
                self._put(b.sent, b.sent_length, &b.to, b.listener, -1)
            return
        datagram = self.out.begin()
        if datagram == NULL or b.sent == NULL or b.sent_length + m.length + 64 > PAYLOAD:
            return
        n = ack_of(b.sent, b.sent_length, data, m, datagram)
        if n < 0:
            return
        b.is_acknowledged = keep(&b.sent, &b.sent_length, datagram, n) == 0
        self.out.commit(n, &b.to, b.listener, -1)

    # -- what destinations are counted by

    cdef void note_time(self, Branch *b, uint64_t *classes, uint64_t *total) noexcept:
        """Count how long a destination has taken for its response."""
        cdef uint64_t taken = self.now_ns - b.sent_ns
        cdef int i = 0
        while taken > BOUNDS_NS[i]:
            i += 1
        ds_count(&classes[i], 1)
        ds_count(total, taken)

    cdef void over(self, Branch *b) noexcept:
        """A branch has ended; of the last life's there may be none."""
        if b.slot >= 0 and self.destinations[b.slot].open:
            ds_store(&self.destinations[b.slot].open, self.destinations[b.slot].open - 1)

    cdef void note_failover(self, Branch *b) noexcept:
        """A new branch: if the one before it has failed, its destination has lost the request."""
        cdef Branch *before = b.next
        while before != NULL and before.is_cancel:
            before = before.next
        if before != NULL and before.slot >= 0 and before.state == COMPLETED:
            ds_count(&self.destinations[before.slot].failovers_away, 1)

    cdef void leave_open(self, Transaction *t) noexcept:
        """A transaction is forgotten: so are its branches that have never ended."""
        cdef Branch *b = t.branches
        while b != NULL:
            if b.state < COMPLETED and not b.is_cancel:
                self.over(b)
            b = b.next


cdef int reason_of(int status, char *out) noexcept nogil:
    """The reason phrase of what we answer by ourselves; returns its length."""
    if status == 408:
        memcpy(out, b"Request Timeout", 15)
        return 15
    if status == 487:
        memcpy(out, b"Request Terminated", 18)
        return 18
    memcpy(out, b"Server Failure", 14)
    return 14


cdef int rank_of(int status) noexcept nogil:
    """How little a final response is worth as the answer of several branches (16.7 step 6)."""
    cdef int kind = status // 100
    if kind == 6:
        return 0
    if status in (401, 407, 415, 420, 484):
        return 4 * kind
    return 4 * kind + (2 if status == 408 else 1)
