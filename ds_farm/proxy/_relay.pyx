"""The transaction layer and the response context of a stateful proxy, without I/O and clock.

A Transaction is a server transaction (17.2) with its branches, each a client transaction (17.1).
`absorb` takes what belongs to a transaction before the routing function sees it; `start` and `send`
are t_newtran() and t_relay(); `response` and `expire` drive the machines.

NOTES
 (a) Responses that match nothing are forwarded without state (16.7): so the calls of a worker that
     died go on, and 2xx retransmissions find their way when the transaction is gone.
 (b) A CANCEL that matches is answered at once and without a transaction of its own; a repeated one
     gets the same answer (8.2.7).
 (c) After a negative answer to an INVITE a transaction stays for 64 * T1, which is timer H and
     timer D; after a 2xx as long as RFC 6026's L and M; else for timer J.
 (d) A 503 is not passed on, it speaks of one server and not of us: 500 goes upstream (16.7 step 6).
"""

from cpython.ref cimport Py_XDECREF
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from ds_farm.proxy._derived cimport ack_of, cancel_of
from ds_farm.proxy._exchange cimport FORWARDED, Exchange, read_request
from ds_farm.proxy._forward cimport OwnBranch, forward_request, forward_response, unique_part
from ds_farm.proxy._reply cimport reply
from ds_farm.proxy._request cimport BaseRequest
from ds_farm.proxy._timers cimport (
    Timer,
    timer_cancel,
    timer_expired,
    timer_set,
    wheel_next_ns,
    wheel_start,
)
from ds_farm.proxy._transaction cimport (
    ACCEPTED,
    BRANCH_LIMIT,
    BRANCH_RESEND,
    COMPLETED,
    PROCEEDING,
    REPLY_RESEND,
    TRANSACTION_END,
    Branch,
    Stored,
    Transaction,
    branch_find,
    branch_new,
    forget,
    keep,
    table_end,
    table_start,
    transaction_find,
    transaction_free,
    transaction_new,
)
from ds_farm.proxy._wire cimport OUTGOING, PAYLOAD, Network, Outbox, Outgoing, Peer
from ds_farm.sip._names cimport ACK, CANCEL, INVITE
from ds_farm.sip._scan cimport Message, scan
from shm._layout cimport DestinationCounters, Worker
from shm._native cimport Memory, ds_count, ds_store

from dataclasses import dataclass

cdef enum:
    NO_MEMORY = 503
    MAX_BRANCHES = 64            # more than any set offers to one call
    SPARE = 16                   # datagrams of an outbox that a timer's work may need

cdef uint64_t MS = 1000000


@dataclass(frozen=True)
class Timers:
    """How long things take (documentation of the tm module; RFC 3261 17.1.1.1, 17.1.2.2)."""

    t1_ms: int = 500
    t2_ms: int = 4000
    fr_timeout_ms: int = 30000
    fr_inv_timeout_ms: int = 120000
    auto_100: bool = True


cdef class Relay:
    """The transactions of one worker."""

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

    # -- requests

    cdef int absorb(self, BaseRequest request) except -1:
        """Take a request that belongs to a transaction; 0 if the routing function is to see it."""
        cdef Exchange *x = &request.x
        cdef int method = x.m.method
        cdef Transaction *t = transaction_find(
            &self.table, unique_part(x), INVITE if method == CANCEL else method
        )
        if t == NULL:
            return 0
        if method == CANCEL:
            request.answer(200, b"OK", b"")
            self.cancel(t)
            return 1
        if method == ACK:
            if t.status < 300:
                return 0
            timer_cancel(&self.wheel, &t.resend)
            ds_count(&self.counters.absorbed, 1)
            return 1
        if t.reply.data != NULL:
            self._put(t.reply.data, t.reply.length, &t.reply.to, t.reply.listener, -1)
        ds_count(&self.counters.repeated, 1)
        return 1

    cdef Transaction *start(self, BaseRequest request) noexcept:
        """A transaction for the request; NULL if there is no memory."""
        cdef Exchange *x = &request.x
        cdef Transaction *t = transaction_new(&self.table, unique_part(x), x.m.method)
        if t == NULL:
            return NULL
        if keep(&t.request, &t.request_length, x.data, x.m.length) < 0:
            transaction_free(&self.table, &self.wheel, t)
            return NULL
        t.source = x.source
        t.listener = x.listener
        t.resend.kind = REPLY_RESEND
        t.end.kind = TRANSACTION_END
        t.fr_timeout_ms = self.fr_timeout_ms
        t.fr_inv_timeout_ms = self.fr_inv_timeout_ms
        t.started_ns = self.now_ns
        self.unfinished += 1
        ds_store(&self.counters.unfinished, self.unfinished)
        ds_store(&self.counters.transactions, self.table.count)
        if x.m.method == INVITE and self.auto_100:
            if reply(x, self.network, self.out, 100, b"Giving it a try", 15, b"", 0) == 0:
                self._store_last(&t.reply)
                t.status = 100
        return t

    cdef int send(self, BaseRequest request) except? -2:
        """Send the request on as a new branch of its transaction; returns an Outcome."""
        cdef Exchange *x = &request.x
        cdef Transaction *t = request.transaction
        cdef Outgoing *item
        cdef Branch *b
        cdef int outcome
        if t.branch_nr >= MAX_BRANCHES:
            return NO_MEMORY
        x.owner = self.rank
        x.branch = t.branch_nr
        outcome = forward_request(x, self.network, self.out)
        if outcome != FORWARDED:
            return outcome
        item = &self.out.items[self.out.count - 1]
        b = branch_new(t, x.branch, False)
        if b == NULL or keep(&b.sent, &b.sent_length, item.data, item.length) < 0:
            self.out.count -= 1
            return NO_MEMORY
        t.branch_nr += 1
        t.pending += 1
        b.to = item.to
        b.listener = item.listener
        b.slot = x.slot
        b.resend.kind = BRANCH_RESEND
        b.limit.kind = BRANCH_LIMIT
        b.interval_ns = self.t1_ns
        b.sent_ns = self.now_ns
        timer_set(&self.wheel, &b.resend, self.now_ns + self.t1_ns)
        timer_set(
            &self.wheel, &b.limit,
            self.now_ns + min(<uint64_t>t.fr_timeout_ms * MS, self.end_ns),
        )
        return FORWARDED

    cdef void replied(self, Transaction *t, int status) noexcept:
        """A response of our own has been put out last: keep it, and end the transaction by it."""
        self._store_last(&t.reply)
        if status < 200:
            t.status = status
        else:
            self._complete(t, status)

    cdef void cancel(self, Transaction *t) noexcept:
        """The upstream wants no answer any more (16.10)."""
        cdef Branch *b = t.branches
        if t.is_over or t.is_cancelled:
            return
        t.is_cancelled = True
        if t.pending == 0:
            self._own_answer(t, 487)
            return
        while b != NULL:
            if b.state == PROCEEDING and not b.is_cancel:
                self._send_cancel(b)  # the others when a provisional response allows it (9.1)
            b = b.next

    # -- responses

    cdef bint response(self, const unsigned char *data, Message *m, OwnBranch *own) except -1:
        """Take a response to something that we sent; False if it belongs to no transaction."""
        cdef bint is_cancel = m.method == CANCEL
        cdef Transaction *t = transaction_find(
            &self.table, own.key, INVITE if is_cancel else m.method
        )
        cdef Branch *b
        if t == NULL:
            return False
        b = branch_find(t, own.branch, is_cancel)
        if b == NULL:
            return False
        if is_cancel:
            if m.status >= 200:
                b.state = COMPLETED
                timer_cancel(&self.wheel, &b.limit)
            timer_cancel(&self.wheel, &b.resend)
            return True
        if m.status < 200:
            return self._provisional(b, data, m, own.listener)
        if m.status < 300:
            return self._success(b, data, m, own.listener)
        return self._failure(b, data, m, own.listener)

    cdef bint _provisional(
        self, Branch *b, const unsigned char *data, Message *m, int came_by
    ) except -1:
        cdef Transaction *t = b.transaction
        if b.state > PROCEEDING:
            return True
        b.state = PROCEEDING
        b.status = m.status
        if t.method == INVITE:
            timer_cancel(&self.wheel, &b.resend)
            if t.is_cancelled:
                self._send_cancel(b)
            if not b.cancel_sent:
                timer_set(
                    &self.wheel, &b.limit, self.now_ns + <uint64_t>t.fr_inv_timeout_ms * MS
                )
        else:
            b.interval_ns = self.t2_ns  # 17.1.2.2: E at T2 in Proceeding
        if m.status > 100 and not t.is_over:
            self._upstream(t, data, m, came_by, 0, True)
            t.status = m.status
        return True

    cdef bint _success(
        self, Branch *b, const unsigned char *data, Message *m, int came_by
    ) except -1:
        cdef Transaction *t = b.transaction
        cdef bint is_first = b.state < COMPLETED
        timer_cancel(&self.wheel, &b.resend)
        timer_cancel(&self.wheel, &b.limit)
        if is_first:
            t.pending -= 1
        b.status = m.status
        if t.method == INVITE:
            # 16.7 step 5: every 2xx goes upstream, also a late or second one (RFC 6026).
            b.state = ACCEPTED
            forget(&b.sent, &b.sent_length)
            self._upstream(t, data, m, came_by, 0, False)
            if not t.is_over:
                self._complete(t, m.status)
                self._cancel_others(t)
            return True
        b.state = COMPLETED
        if not t.is_over:
            self._upstream(t, data, m, came_by, 0, True)
            self._complete(t, m.status)
        return True

    cdef bint _failure(
        self, Branch *b, const unsigned char *data, Message *m, int came_by
    ) except -1:
        cdef Transaction *t = b.transaction
        if t.method == INVITE and b.state != ACCEPTED:
            self._acknowledge(b, data, m)
        if b.state >= COMPLETED:
            return True
        self._close(b, m.status, data, m, came_by)
        return True

    cdef int _close(
        self, Branch *b, int status, const unsigned char *data, Message *m, int came_by
    ) except -1:
        """A branch has ended without success; ``data`` is NULL if nothing was received."""
        cdef Transaction *t = b.transaction
        timer_cancel(&self.wheel, &b.resend)
        timer_cancel(&self.wheel, &b.limit)
        b.state = COMPLETED
        b.status = status
        t.pending -= 1
        if t.is_over:
            return 0
        if t.pending == 0 and t.context == NULL and t.best_status == 0 and data != NULL:
            # The usual case: one branch, and nobody to ask.
            self._upstream(t, data, m, came_by, 500 if status == 503 else 0, True)
            self._complete(t, 500 if status == 503 else status)
            return 0
        if t.best_status == 0 or _rank(status) < _rank(t.best_status):
            t.best_status = status
            t.best_came_by = came_by
            if data == NULL or keep(&t.best.data, &t.best.length, data, m.length) < 0:
                forget(&t.best.data, &t.best.length)
        if status >= 600:
            self._cancel_others(t)
        if t.pending == 0:
            self._finish(t)
        return 0

    cdef int _finish(self, Transaction *t) except -1:
        """Every branch has ended without success: a failure route may go on, else answer."""
        if t.context != NULL and not t.is_cancelled:
            self.request.on_failure(t)
            if t.pending or t.is_over:
                return 0
        return self._answer_best(t)

    cdef int _answer_best(self, Transaction *t) except -1:
        cdef Message m
        cdef int status = t.best_status
        if t.best.data == NULL or scan(t.best.data, t.best.length, &m):
            return self._own_answer(t, 487 if t.is_cancelled else status if status else 408)
        status = 500 if m.status == 503 else m.status
        self._upstream(
            t, t.best.data, &m, t.best_came_by, 500 if m.status == 503 else 0, True
        )
        self._complete(t, status)
        return 0

    cdef bint _upstream(
        self, Transaction *t, const unsigned char *data, Message *m, int came_by, int status,
        bint stored
    ) noexcept:
        """Forward a response, and keep it for retransmissions if it is to be ``stored``."""
        cdef int drop = forward_response(data, m, came_by, status, self.network, self.out)
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

    cdef void load(self, Transaction *t, Exchange *x) noexcept:
        """The request of a transaction, read again."""
        cdef uint64_t k0 = self.request.x.k0, k1 = self.request.x.k1
        memset(x, 0, sizeof(Exchange))
        x.k0 = k0
        x.k1 = k1
        x.unique = t.key
        x.data = t.request
        scan(t.request, t.request_length, &x.m)
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
        if t.context != NULL:
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

    # -- what is sent

    cdef void _store_last(self, Stored *stored) noexcept:
        """Keep the datagram that was put out last."""
        cdef Outgoing *item = &self.out.items[self.out.count - 1]
        if keep(&stored.data, &stored.length, item.data, item.length) == 0:
            stored.to = item.to
            stored.listener = item.listener

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
        if b.state == COMPLETED and b.status != 408:
            if b.sent != NULL:
                self._put(b.sent, b.sent_length, &b.to, b.listener, -1)
            return
        datagram = self.out.begin()
        if datagram == NULL or b.sent == NULL or b.sent_length + m.length + 64 > PAYLOAD:
            return
        n = ack_of(b.sent, b.sent_length, data, m, datagram)
        if n < 0:
            return
        keep(&b.sent, &b.sent_length, datagram, n)
        self.out.commit(n, &b.to, b.listener, -1)

    # -- time

    cdef int expire(self) except -1:
        """Do what is due at ``now_ns``; 1 if more is left because the outbox is nearly full."""
        cdef Timer *timer
        cdef Transaction *t
        cdef Branch *b
        while True:
            if self.out.count > OUTGOING - SPARE:
                return 1
            timer = timer_expired(&self.wheel, self.now_ns)
            if timer == NULL:
                return 0
            if timer.kind == BRANCH_RESEND:
                b = <Branch *>(<char *>timer - <size_t>&(<Branch *>NULL).resend)
                self._put(b.sent, b.sent_length, &b.to, b.listener, b.slot)
                ds_count(&self.counters.retransmissions, 1)
                b.interval_ns *= 2
                if b.is_cancel or b.transaction.method != INVITE:
                    b.interval_ns = min(b.interval_ns, self.t2_ns)
                timer_set(&self.wheel, timer, self.now_ns + b.interval_ns)
            elif timer.kind == BRANCH_LIMIT:
                b = <Branch *>(<char *>timer - <size_t>&(<Branch *>NULL).limit)
                self._branch_timeout(b)
            elif timer.kind == REPLY_RESEND:
                t = <Transaction *>(<char *>timer - <size_t>&(<Transaction *>NULL).resend)
                self._put(t.reply.data, t.reply.length, &t.reply.to, t.reply.listener, -1)
                ds_count(&self.counters.retransmissions, 1)
                t.interval_ns = min(2 * t.interval_ns, self.t2_ns)
                timer_set(&self.wheel, timer, self.now_ns + t.interval_ns)
            else:
                t = <Transaction *>(<char *>timer - <size_t>&(<Transaction *>NULL).end)
                transaction_free(&self.table, &self.wheel, t)
                ds_store(&self.counters.transactions, self.table.count)

    cdef uint64_t next_ns(self) noexcept:
        """When `expire` has something to do, 0 for never."""
        return wheel_next_ns(&self.wheel)

    cdef int _branch_timeout(self, Branch *b) except -1:
        """Nobody has answered in time: as a 408 (16.8)."""
        cdef Transaction *t = b.transaction
        timer_cancel(&self.wheel, &b.resend)
        if b.is_cancel or b.state >= COMPLETED:
            return 0
        if t.method == INVITE and b.state == PROCEEDING and not b.cancel_sent:
            self._send_cancel(b)
            timer_cancel(&self.wheel, &b.limit)
        if b.slot >= 0:
            ds_count(&self.destinations[b.slot].timeouts, 1)
        self._close(b, 408, NULL, NULL, -1)
        return 0


cdef int _rank(int status) noexcept nogil:
    """How little a final response is worth as the answer of several branches (16.7 step 6)."""
    cdef int kind = status // 100
    if kind == 6:
        return 0
    if status in (401, 407, 415, 420, 484):
        return 4 * kind
    return 4 * kind + (2 if status == 408 else 1)


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
