"""The proxy core: checks what came in (RFC 3261 16.3, 18.1.2, 18.2.1), runs the routing function,
sends responses back (16.7, stateless).

It takes datagrams and gives datagrams; sockets and signals are `workers/sip_worker.py`'s.
"""

from libc.string cimport memcmp

from ds_farm.proxy._exchange cimport Exchange, read_request
from ds_farm.proxy._forward cimport COOKIE, OwnBranch, forward_response, read_branch
from ds_farm.proxy._handover cimport FINAL, REFUSED, Handed, Handover
from ds_farm.proxy._notice cimport MARK, NoticeBox
from ds_farm.proxy._relay cimport Relay
from ds_farm.proxy._reply cimport acknowledges_us
from ds_farm.proxy._request cimport OPEN, BaseRequest
from ds_farm.proxy._route cimport loosened
from ds_farm.proxy._wire cimport (
    OUTGOING,
    ROOM,
    Inbox,
    Network,
    Outbox,
    Peer,
    parse_ip,
)
from ds_farm.sip._names cimport (
    ACK,
    BAD_RESPONSE,
    CANCEL,
    FOREIGN_RESPONSE,
    KEEPALIVE,
    OWN_ACK,
    STRANGER,
    UNANSWERABLE,
    UNKNOWN_SCHEME,
    UNROUTED,
    VERSION,
    VIA,
)
from ds_farm.sip._scan cimport Message, method_id, scan
from ds_farm.sip._text cimport find, next_line
from ds_farm.sip._via cimport Via, parse_via
from shm._layout cimport DestinationCounters, Worker
from shm._native cimport Memory, ds_count

from ds_farm.sip.names import FAULT_LABELS, Fault

cdef enum:
    FRESH = -1                   # a datagram from outside


cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(object)

cdef dict _FAULT_REASONS = {
    int(fault): b"Bad Request: " + label.replace("_", "-").encode()
    for fault, label in FAULT_LABELS.items()
}
_FAULT_REASONS[int(Fault.VERSION)] = b"Version Not Supported"


cdef class Core:
    """One worker's proxy.

    ``make_request`` makes a request object (script.Request) over this core's outbox; ``route`` is
    called with it for each request; ``on_error(exception)`` hears of what a route raised.
    ``relay`` keeps the transactions, None for a proxy without any; ``handover`` finds the worker
    that owns a call, None if there is no other.
    """

    def __class_getitem__(cls, request_class):
        return cls

    def __init__(self, Network network, Outbox out, make_request, route, on_error, segment,
                 int rank, Relay relay=None, Handover handover=None):
        cdef Memory memory = segment.memory
        self.network = network
        self.out = out
        self.notices = NoticeBox()
        self._make_request = make_request
        self._route = route
        self._on_error = on_error
        self.relay = relay
        self.handover = handover
        self._use_request(make_request())
        self.counters = <Worker *>memory.at(segment.worker(rank).base)
        self.destinations = <DestinationCounters *>memory.at(segment.counters(rank, 0).base)
        self.destinations_limit = segment.layout.max_destinations

    cdef void drop(self, int reason) noexcept:
        ds_count(&self.counters.dropped[reason], 1)

    cdef void _use_request(self, BaseRequest request):
        self.request = request
        self._own_references = 2  # `self.request`, and while it is counted one more
        if self.relay is not None:
            self.relay.request = request
            self._own_references = 3

    cdef int _renew_request(self) except -1:
        """If a route has kept the request, the next one gets an object of its own."""
        if Py_REFCNT(self.request) > self._own_references:
            self._use_request(self._make_request())
        return 0

    cdef int receive(self, Inbox inbox, int listener, int first, uint64_t now_ns) except -1:
        """Take a batch that came in by one socket, from datagram ``first`` on; what is to be sent is
        in `out` then.  Returns which is next: not all are taken if there may be no room."""
        cdef int i
        if self.relay is not None:
            self.relay.now_ns = now_ns
        for i in range(first, inbox.count):
            ds_count(&self.counters.received_bytes, inbox.length[i])
            self._datagram(inbox.data[i], inbox.length[i], &inbox.source[i], listener, FRESH)
            self._renew_request()
            if self.out.count > OUTGOING - ROOM:
                return i + 1
        return inbox.count

    cdef int receive_handed(self, Inbox inbox, int first, uint64_t now_ns) except -1:
        """The same of what other workers hand over."""
        cdef const unsigned char *data
        cdef Handed handed
        cdef int i, length
        self.relay.now_ns = now_ns
        for i in range(first, inbox.count):
            length = inbox.length[i]
            data = self.handover.take(inbox.data[i], &length, &handed)
            if data == NULL or handed.listener >= <unsigned int>self.network.count:
                self.drop(STRANGER)
            elif handed.step == REFUSED:
                self.refused(data, length, &handed.source, now_ns)
            else:
                self._datagram(data, length, &handed.source, handed.listener, handed.step)
            self._renew_request()
            if self.out.count > OUTGOING - ROOM:
                return i + 1
        return inbox.count

    cdef int refused(
        self, const unsigned char *sent, int length, const Peer *to, uint64_t now_ns
    ) except -1:
        """The kernel could not send this request of ours, or ICMP said that nobody listens at its
        destination.  ``sent`` may be cut off: our Via is at its beginning."""
        cdef int line = next_line(sent, 0, length), line_end
        cdef Via ours
        cdef OwnBranch own
        cdef int method
        if self.relay is None or length < 12 or memcmp(sent, b"SIP/2.0", 7) == 0:
            return 0
        line_end = find(sent, line, length, 13)
        if line_end - line < 5 or line_end == length or memcmp(sent + line, b"Via: ", 5):
            return 0
        if (
            parse_via(sent, line + 5, line_end, &ours)
            or self.network.ours(sent, ours.host, ours.host_end, ours.port) < 0
        ):
            return 0
        read_branch(sent, &ours, &own)
        if not own.has_key:
            return 0
        if own.owner != self.relay.rank:
            if self.handover is not None:
                self.handover.give(self.out, sent, length, to, 0, own.owner, REFUSED)
            return 0
        method = method_id(sent, 0, find(sent, 0, line, 32))
        self.relay.now_ns = max(now_ns, self.relay.now_ns)
        return self.relay.refused(&own, method)

    def refuse(self, bytes sent, str ip, int port, uint64_t now_ns=0):
        """`refused` for tests and tools; what is to be sent as `Outbox.take` gives it."""
        cdef Peer to
        cdef bytes text = ip.encode()
        parse_ip(text, 0, len(text), port, &to)
        self.refused(sent, len(sent), &to, now_ns)
        self._renew_request()
        return self.out.take()

    cdef bint expire(self, uint64_t now_ns) except -1:
        """Do what timers ask for; True if there is more than the outbox has room for."""
        if self.relay is None:
            return False
        self.relay.now_ns = now_ns
        is_more = self.relay.expire()
        self._renew_request()
        return is_more

    cdef uint64_t next_ns(self) noexcept:
        """When `expire` has something to do, 0 for never."""
        return 0 if self.relay is None else self.relay.next_ns()

    def pass_time(self, uint64_t now_ns):
        """`expire` for tests and tools; what is to be sent as `Outbox.take` gives it."""
        taken = []
        while self.expire(now_ns):
            taken += self.out.take()
        return taken + self.out.take()

    def handle(self, bytes data, str ip, int port, int listener=0, uint64_t now_ns=0):
        """One datagram, for tests and tools; what is to be sent as `Outbox.take` gives it."""
        cdef Peer source
        cdef bytes text = ip.encode()
        if parse_ip(text, 0, len(text), port, &source) < 0:
            raise ValueError(f"{ip!r} is not an IP address")
        if not 0 <= listener < self.network.count:
            raise IndexError(listener)
        if self.relay is not None:
            self.relay.now_ns = max(now_ns, self.relay.now_ns)
        ds_count(&self.counters.received_bytes, len(data))
        self._datagram(data, len(data), &source, listener, FRESH)
        self._renew_request()
        return self.out.take()

    cdef int _datagram(
        self, const unsigned char *data, int length, const Peer *source, int listener, int step
    ) except -1:
        """One datagram; ``step`` is FRESH, or how far the search for its owner has come."""
        cdef BaseRequest request = self.request
        cdef Exchange *x = &request.x
        cdef int start = 0, owner
        while start < length and (data[start] == 13 or data[start] == 10):
            start += 1  # 7.5: empty lines before the start line are ignored
        if start == length:
            self.drop(KEEPALIVE)
            return 0
        data += start
        length -= start
        scan(data, length, &x.m)
        if not x.m.is_request:
            return self._response_in(data, &x.m, source, listener, step)
        if self.handover is not None and step == FRESH and not x.m.fault:
            owner = self.handover.owner(data, &x.m, 0)
            if owner != self.relay.rank and self._give(data, &x.m, source, listener, owner, 0):
                return 0
        x.data = data
        x.source = source[0]
        x.listener = listener
        request.begin()
        try:
            return self._request_in(request, 0 if step == FRESH else step)
        finally:
            request.end()

    cdef bint _give(
        self, const unsigned char *data, Message *m, const Peer *source, int listener, int owner,
        int step
    ) noexcept:
        """Hand a message to another worker; False if that is not possible."""
        if not self.handover.give(self.out, data, m.length, source, listener, owner, step):
            return False
        ds_count(&self.counters.handed_over, 1)
        return True

    cdef bint _is_elsewhere(self, Exchange *x, int step) noexcept:
        """A request without a transaction here: hand it to who may have one, see _handover.pyx."""
        cdef int owner, asked = step
        if step == FINAL:
            return False
        owner = self.handover.next_owner(x.data, &x.m, &asked, self.relay.now_ns)
        if owner >= 0 and self._give(x.data, &x.m, &x.source, x.listener, owner, asked):
            return True
        if step == 0:
            return False
        owner = self.handover.owner(x.data, &x.m, 0)
        return owner >= 0 and owner != self.relay.rank and self._give(
            x.data, &x.m, &x.source, x.listener, owner, FINAL
        )

    cdef int _request_in(self, BaseRequest request, int step) except -1:
        """Checks of 16.3, then the route."""
        cdef Exchange *x = &request.x
        cdef int fault = read_request(x)
        cdef bytes meant
        if fault:
            return self._reject(request, fault)
        if x.m.routes:
            meant = loosened(x, self.network)
            if meant is not None:
                # 16.4: proceed as if this had been received.
                x.data = meant
                scan(x.data, len(meant), &x.m)
                fault = read_request(x)
                if fault:
                    return self._reject(request, fault)
        if self.relay is not None:
            if self.relay.absorb(request):
                ds_count(&self.counters.requests, 1)
                return 0
            if self.handover is not None and self._is_elsewhere(x, step):
                return 0
        ds_count(&self.counters.requests, 1)
        if x.m.method == ACK and acknowledges_us(x):
            ds_count(&self.counters.absorbed, 1)
            self.drop(OWN_ACK)
            return 0
        if x.uri.scheme == UNKNOWN_SCHEME:
            request.answer(416, b"Unsupported URI Scheme", b"")
            return 0
        if x.m.proxy_require and x.m.method != ACK and x.m.method != CANCEL:
            # 16.3 step 5, 20.32: we know no extension that a proxy must understand.
            known = ", ".join(request.hdr("Proxy-Require")).encode("utf-8", "replace")
            request.answer(420, b"Bad Extension", b"Unsupported: " + known + b"\r\n")
            return 0
        return self._run_route(request)

    cdef int _reject(self, BaseRequest request, int fault) except -1:
        """Answer a malformed request, if an answer finds its way; count it."""
        cdef Exchange *x = &request.x
        ds_count(&self.counters.malformed[fault], 1)
        if not x.m.via or not x.via.host_end:
            self.drop(UNANSWERABLE)
        else:
            request.answer(505 if fault == VERSION else 400, _FAULT_REASONS[fault], b"")
        return 0

    cdef int _run_route(self, BaseRequest request) except -1:
        try:
            self._route(request)
        except BaseException as error:  # exit() of a script comes as SystemExit
            ds_count(&self.counters.route_errors, 1)
            self._on_error(error)
            if request.stage == OPEN:
                request.answer(500, b"Server Internal Error", b"")
        if request.stage == OPEN and request.transaction != NULL:
            # It has a transaction, so it gets an answer: nobody else would end it.
            request.answer(500, b"Server Internal Error", b"")
        if request.stage == OPEN:
            self.drop(UNROUTED)
        if request.transaction != NULL:
            self.relay.dismiss(request.transaction)
            request.transaction = NULL
        return 0

    cdef int _response_in(
        self, const unsigned char *data, Message *m, const Peer *source, int listener, int step
    ) except -1:
        """16.7, stateless: our Via off, the rest unchanged to where the next Via says."""
        cdef BaseRequest request = self.request
        cdef Via ours
        cdef OwnBranch own
        cdef int drop, lump_count = 0
        cdef bint dropped
        if m.fault or parse_via(data, m.via, m.via_end, &ours):
            ds_count(&self.counters.malformed[m.fault if m.fault else <int>VIA], 1)
            self.drop(BAD_RESPONSE)
            return 0
        if self.network.ours(data, ours.host, ours.host_end, ours.port) < 0:
            ds_count(&self.counters.responses, 1)
            self.drop(FOREIGN_RESPONSE)
            return 0
        if ours.branch + COOKIE < ours.branch_end and data[ours.branch + COOKIE] == MARK:
            # Of a probe: the timer's.  One that bears a second Via is misrouted (8.1.3.3).
            ds_count(&self.counters.responses, 1)
            if m.next_via:
                self.drop(BAD_RESPONSE)
            else:
                self.notices.reply(data, m, &ours)
            return 0
        read_branch(data, &ours, &own)
        if (
            self.handover is not None and step == FRESH
            and own.owner >= 0 and own.owner != self.relay.rank
            and self._give(data, m, source, listener, own.owner, 0)
        ):
            return 0
        ds_count(&self.counters.responses, 1)
        if 0 <= own.slot < self.destinations_limit:
            ds_count(&self.destinations[own.slot].responses[m.status // 100], 1)
        if request.reply_route is not None and m.status > 100:
            dropped = request.on_reply(NULL, data, m, source, listener, 0)
            lump_count = request.x.lump_count
            if dropped and m.status < 200:
                return 0
        if own.has_key and self.relay is not None:
            self.relay.lump_count = lump_count
            try:
                if self.relay.response(data, m, source, listener, &own):
                    return 0
            finally:
                self.relay.lump_count = 0
        drop = forward_response(
            data, m, own.listener, 0, request.x.lumps, lump_count, self.network, self.out
        )
        if drop >= 0:
            self.drop(drop)
        else:
            ds_count(&self.counters.forwarded_responses, 1)
        return 0
