"""The transaction layer and the response context of a stateful proxy, without I/O and clock.

A Transaction is a server transaction (17.2) with its branches, each a client transaction (17.1).
`absorb` takes what belongs to a transaction before the routing function sees it; `start` and `send`
are t_newtran() and t_relay(); `response` and `expire` drive the machines.

NOTES
 (a) Responses that match nothing are forwarded without state (16.7): so the calls of a worker that
     died go on, and 2xx retransmissions find their way when the transaction is gone.
 (b) A CANCEL that matches is answered at once and without a transaction of its own; a repeated one
     gets the same answer (8.2.7).
 (c) A 503 is not passed on, it speaks of one server and not of us: 500 goes upstream (16.7 step 6).
"""

from libc.stdint cimport uint64_t

from ds_farm.proxy._exchange cimport FORWARDED, Exchange
from ds_farm.proxy._forward cimport OwnBranch, forward_request, unique_part
from ds_farm.proxy._reply cimport reply
from ds_farm.proxy._request cimport BaseRequest
from ds_farm.proxy._sender cimport Sender, is_challenge, rank_of
from ds_farm.proxy._timers cimport (
    Timer,
    timer_cancel,
    timer_expired,
    timer_set,
    wheel_next_ns,
)
from ds_farm.proxy._transaction cimport (
    ACCEPTED,
    BRANCH_LIMIT,
    BRANCH_RESEND,
    CALLING,
    COMPLETED,
    PROCEEDING,
    REPLY_RESEND,
    TRANSACTION_END,
    Branch,
    Transaction,
    branch_find,
    branch_new,
    forget,
    keep,
    transaction_find,
    transaction_free,
    transaction_new,
)
from ds_farm.proxy._wire cimport OUTGOING, ROOM, Outgoing, Peer
from ds_farm.sip._names cimport ACK, CANCEL, INVITE
from ds_farm.sip._scan cimport Message
from shm._native cimport ds_count, ds_store

from dataclasses import dataclass

cdef enum:
    NO_MEMORY = 503
    MAX_BRANCHES = 64            # more than any set offers to one call

cdef uint64_t MS = 1000000


@dataclass(frozen=True)
class Timers:
    """How long things take (documentation of the tm module; RFC 3261 17.1.1.1, 17.1.2.2)."""

    t1_ms: int = 500
    t2_ms: int = 4000
    fr_timeout_ms: int = 30000
    fr_inv_timeout_ms: int = 120000
    auto_100: bool = True


cdef class Relay(Sender):
    """The transactions of one worker."""

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
        if keep(&self.table.pool, &t.request, &t.request_length, x.data, x.m.length) < 0:
            transaction_free(&self.table, &self.wheel, t)
            return NULL
        t.source = x.source
        t.listener = x.listener
        t.force_rport = x.force_rport
        t.resend.kind = REPLY_RESEND
        t.end.kind = TRANSACTION_END
        t.fr_timeout_ms = self.fr_timeout_ms
        t.fr_inv_timeout_ms = self.fr_inv_timeout_ms
        t.started_ns = self.now_ns
        self.unfinished += 1
        ds_store(&self.counters.unfinished, self.unfinished)
        ds_store(&self.counters.transactions, self.table.count)
        if x.m.method == INVITE and self.auto_100:
            if reply(x, self.network, self.out, 100, b"Giving it a try", 15, b"", 0, b"", 0) == 0:
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
        b = branch_new(&self.table, t, x.branch, False)
        if b == NULL or keep(&self.table.pool, &b.sent, &b.sent_length, item.data, item.length) < 0:
            self.out.count -= 1
            return NO_MEMORY
        t.branch_nr += 1
        t.pending += 1
        b.to = item.to
        b.listener = item.listener
        b.slot = x.slot
        b.address = x.address
        b.resend.kind = BRANCH_RESEND
        b.limit.kind = BRANCH_LIMIT
        b.interval_ns = self.t1_ns
        b.sent_ns = self.now_ns
        if b.slot >= 0:
            ds_count(&self.destinations[b.slot].open, 1)
        self.note_failover(b)
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

    cdef bint response(
        self, const unsigned char *data, Message *m, const Peer *source, int listener,
        OwnBranch *own
    ) except -1:
        """Take a response to something that we sent; False if it belongs to no transaction."""
        cdef bint dropped = False
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
        b.heard = 2 if m.status >= 200 else 1
        if (t.reply_context != NULL or b.reply_context != NULL) and m.status > 100 and not t.is_over:
            dropped = self.request.on_reply(b, data, m, source, listener, self.lump_count)
            self.lump_count = self.request.x.lump_count
        if b.slot >= 0 and b.state == CALLING:
            self.note_time(
                b, self.destinations[b.slot].first_response, &self.destinations[b.slot].first_response_ns
            )
        if m.status < 200:
            return self._provisional(b, data, m, own.listener, dropped)
        if b.slot >= 0 and b.state < COMPLETED:
            self.note_time(
                b, self.destinations[b.slot].final_response, &self.destinations[b.slot].final_response_ns
            )
            self.over(b)
        if m.status < 300:
            return self._success(b, data, m, own.listener)
        return self._failure(b, data, m, own.listener)

    cdef bint _provisional(
        self, Branch *b, const unsigned char *data, Message *m, int came_by, bint dropped
    ) except -1:
        cdef Transaction *t = b.transaction
        if b.state > PROCEEDING:
            if b.state == COMPLETED and t.method == INVITE and not b.is_acknowledged:
                self._send_cancel(b)  # it had been given up in silence, and rings now
            return True
        b.state = PROCEEDING
        b.status = m.status
        if t.method == INVITE:
            timer_cancel(&self.wheel, &b.resend)
            if t.is_cancelled or t.is_over or t.best_status >= 600:
                self._send_cancel(b)  # what could not be sent before (9.1; 16.7 steps 5 and 10)
            if not b.cancel_sent:
                timer_set(
                    &self.wheel, &b.limit, self.now_ns + <uint64_t>t.fr_inv_timeout_ms * MS
                )
        else:
            b.interval_ns = self.t2_ns  # 17.1.2.2: E at T2 in Proceeding
        if m.status > 100 and not t.is_over and not dropped:
            self._upstream(t, data, m, came_by, 0, self.lump_count, True)
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
            forget(&self.table.pool, &b.sent, &b.sent_length)
            self._upstream(t, data, m, came_by, 0, self.lump_count, False)
            if not t.is_over:
                self._complete(t, m.status)
                self._cancel_others(t)
            return True
        b.state = COMPLETED
        if not t.is_over:
            self._upstream(t, data, m, came_by, 0, self.lump_count, True)
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

    cdef int refused(self, OwnBranch *own, int method) except -1:
        """The network has said that nobody listens where a branch went: as a 503 (8.1.3.1)."""
        cdef Transaction *t = transaction_find(&self.table, own.key, method)
        cdef Branch *b = NULL if t == NULL else branch_find(t, own.branch, False)
        if b != NULL and b.state < COMPLETED:
            self.refuse_others(b)
            self.leave_address(b)
            self.over(b)
            self._close(b, 503, NULL, NULL, -1)
        return 0

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
            status = 500 if status == 503 and not self._is_restated() else 0
            self._upstream(t, data, m, came_by, status, self.lump_count, True)
            self._complete(t, status if status else m.status)
            return 0
        if data != NULL and is_challenge(status) and is_challenge(t.best_status):
            self._add_challenges(t, data, m)
        elif t.best_status == 0 or rank_of(status) < rank_of(t.best_status):
            t.best_status = status
            t.best_came_by = came_by
            if data == NULL or self._store_best(t, data, m) < 0:
                forget(&self.table.pool, &t.best.data, &t.best.length)
        if status >= 600:
            self._cancel_others(t)
        if t.pending == 0:
            self._finish(t)
        return 0

    cdef int _finish(self, Transaction *t) except -1:
        """Every branch has ended without success: a failure route may go on, else answer."""
        if t.context != NULL:
            self.request.on_failure(t)
            if t.pending or t.is_over:
                return 0
        return self._answer_best(t)

    # -- time

    cdef int expire(self) except -1:
        """Do what is due at ``now_ns``; 1 if more is left because the outbox is nearly full."""
        cdef Timer *timer
        cdef Transaction *t
        cdef Branch *b
        while True:
            if self.out.count > OUTGOING - ROOM:
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
                self.leave_open(t)
                transaction_free(&self.table, &self.wheel, t)
                ds_store(&self.counters.transactions, self.table.count)

    cdef uint64_t next_ns(self) noexcept:
        """When `expire` has something to do, 0 for never."""
        return wheel_next_ns(&self.wheel)

    cdef int _branch_timeout(self, Branch *b) except -1:
        """Nobody has answered in time: as a 408 (16.8).  Or it was refused: as a 503."""
        cdef Transaction *t = b.transaction
        timer_cancel(&self.wheel, &b.resend)
        if b.is_cancel or b.state >= COMPLETED:
            return 0
        if t.method == INVITE and b.state == PROCEEDING and not b.cancel_sent:
            self._send_cancel(b)
            timer_cancel(&self.wheel, &b.limit)
        if b.slot >= 0 and not b.is_refused:
            ds_count(&self.destinations[b.slot].timeouts, 1)
        self.leave_address(b)
        self.over(b)
        self._close(b, 503 if b.is_refused else 408, NULL, NULL, -1)
        return 0
