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
    CALLING,
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
    transaction_free,
)
from ds_farm.proxy._wire cimport PAYLOAD, Network, Outbox, Outgoing, Peer, peer_port, same_ip
from ds_farm.sip._edit cimport Edit, grown_by, join, settle
from ds_farm.sip._names cimport INVITE
from ds_farm.sip._scan cimport Message, scan
from ds_farm.sip._text cimport find, next_line, same, trim_end
from shm._layout cimport Destination, DestinationCounters, Worker
from shm._native cimport Memory, ds_cas, ds_count, ds_store

from ds_farm.dispatch.times import BOUNDS_S

cdef enum:
    CLASSES = 8                  # of response times, the last one beyond all bounds
    STATUS_AT = 8                # in a response, after "SIP/2.0 "
    NEIGHBOURS = 256             # transactions before and after one, by their beginning
    TOGETHER_MS = 100

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
        self.shared = <Destination *>memory.at(segment.destination(0).base)
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
        if reply(&x, self.network, self.out, status, <unsigned char *>reason, n, b"", 0, b"", 0) == 0:
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
        forget(&self.table.pool, &t.best.data, &t.best.length)
        Py_XDECREF(t.context)
        t.context = NULL
        if self.request.x.data != t.request:  # else a failure route reads it
            self.forget_request(t)
        while b != NULL:
            if b.state >= COMPLETED and t.method != INVITE:
                forget(&self.table.pool, &b.sent, &b.sent_length)
            b = b.next
        if t.method == INVITE and status >= 300:
            t.interval_ns = self.t1_ns
            timer_set(&self.wheel, &t.resend, self.now_ns + self.t1_ns)
        elif t.method == INVITE:
            forget(&self.table.pool, &t.reply.data, &t.reply.length)
        timer_set(&self.wheel, &t.end, self.now_ns + self.end_ns)

    cdef void forget_request(self, Transaction *t) noexcept:
        """Give the text of a request back that nobody needs any more."""
        if t.is_over and t.pending == 0:
            forget(&self.table.pool, &t.request, &t.request_length)

    cdef void dismiss(self, Transaction *t):
        """After the routing function: what has neither a branch nor an answer, because neither fits
        a datagram, would stay for ever.  It is as if it had never come; so may the next one be."""
        if t.pending == 0 and not t.is_over:
            self.unfinished -= 1
            transaction_free(&self.table, &self.wheel, t)
            ds_store(&self.counters.unfinished, self.unfinished)
            ds_store(&self.counters.transactions, self.table.count)

    cdef bint _is_restated(self) noexcept:
        """Whether a reply route has given the response under way another status."""
        cdef int i
        for i in range(self.lump_count):
            if self.request.x.lumps[i].start == STATUS_AT:
                return True
        return False

    cdef void _store_last(self, Stored *stored) noexcept:
        """Keep the datagram that was put out last."""
        cdef Outgoing *item = &self.out.items[self.out.count - 1]
        if keep(&self.table.pool, &stored.data, &stored.length, item.data, item.length) == 0:
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
                return keep(&self.table.pool, &t.best.data, &t.best.length, room, count)
        return keep(&self.table.pool, &t.best.data, &t.best.length, data, m.length)

    cdef void _add_challenges(
        self, Transaction *t, const unsigned char *data, Message *m
    ) noexcept:
        """16.7 step 7: the best response, a 401 or 407, has the challenges of the others as well."""
        cdef Message best
        cdef unsigned char *room = self.out.begin()
        cdef int line = m.headers, line_end, name_end, n
        if (
            room == NULL or t.best.data == NULL or t.best.length + m.body > PAYLOAD
            or scan(t.best.data, t.best.length, &best)
        ):
            return
        n = best.vias_end
        memcpy(room, t.best.data, n)
        while line < m.body:
            line_end = next_line(data, line, m.body)
            name_end = trim_end(data, line, find(data, line, line_end, 58))
            if (
                same(data, line, name_end, b"WWW-Authenticate", 16)
                or same(data, line, name_end, b"Proxy-Authenticate", 18)
            ):
                memcpy(room + n, data + line, line_end - line)
                n += line_end - line
            line = line_end
        memcpy(room + n, t.best.data + best.vias_end, t.best.length - best.vias_end)
        n += t.best.length - best.vias_end
        keep(&self.table.pool, &t.best.data, &t.best.length, room, n)

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
        c = branch_new(&self.table, b.transaction, b.index, True)
        if n < 0 or c == NULL or keep(&self.table.pool, &c.sent, &c.sent_length, datagram, n) < 0:
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
        if datagram == NULL or b.sent == NULL or b.sent_length + m.to_end - m.to + 64 > PAYLOAD:
            return
        n = ack_of(b.sent, b.sent_length, data, m, datagram)
        if n < 0:
            return
        b.is_acknowledged = keep(&self.table.pool, &b.sent, &b.sent_length, datagram, n) == 0
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

    cdef void leave_address(self, Branch *b) noexcept:
        """Nothing came from where a branch went: the destination's next address is in use now, if
        nobody else has found out (RFC 3263 4.3; one who has swapped the number is enough)."""
        if b.slot >= 0 and b.state == CALLING:
            ds_cas(&self.shared[b.slot].address, b.address, b.address + 1)

    cdef void refuse_others(self, Branch *refused) noexcept:
        """What went where a branch was refused, shortly before or after, is refused as well, with
        the next tick: of datagrams that left together ICMP answers the first alone, and of many in
        a short time only some (RFC 1812 4.3.2.8)."""
        cdef Transaction *t = refused.transaction.older
        cdef int n = 0
        while t != NULL and n < NEIGHBOURS:
            self._refuse_like(t, refused)
            t = t.older
            n += 1
        t, n = refused.transaction.newer, 0
        while t != NULL and n < NEIGHBOURS:
            self._refuse_like(t, refused)
            t = t.newer
            n += 1

    cdef void _refuse_like(self, Transaction *t, Branch *refused) noexcept:
        cdef Branch *b = t.branches
        while b != NULL:
            if (
                b.state == CALLING and not b.is_cancel and not b.is_refused
                and b.sent_ns < refused.sent_ns + TOGETHER_MS * MS
                and refused.sent_ns < b.sent_ns + TOGETHER_MS * MS
                and same_ip(&b.to, &refused.to) and peer_port(&b.to) == peer_port(&refused.to)
            ):
                b.is_refused = True
                timer_set(&self.wheel, &b.limit, self.now_ns)
            b = b.next

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
