"""The proxy core: checks what came in (RFC 3261 16.3, 18.1.2, 18.2.1), runs the routing function,
sends responses back (16.7, stateless).

It takes datagrams and gives datagrams; sockets and signals are `workers/sip_worker.py`'s.
"""

from libc.stdint cimport int64_t
from libc.string cimport memset

from ds_farm.proxy._exchange cimport Exchange
from ds_farm.proxy._forward cimport COOKIE, SLOT, response_target
from ds_farm.proxy._notice cimport MARK, NoticeBox
from ds_farm.proxy._reply cimport acknowledges_us
from ds_farm.proxy._request cimport OPEN, BaseRequest
from ds_farm.proxy._wire cimport (
    PAYLOAD,
    Inbox,
    Network,
    Outbox,
    Peer,
    parse_ip,
)
from ds_farm.sip._branch cimport get_hex
from ds_farm.sip._edit cimport Edit, join, replace
from ds_farm.sip._names cimport (
    ACK,
    BAD_RESPONSE,
    FOREIGN_RESPONSE,
    FROM,
    KEEPALIVE,
    NO_NEXT_VIA,
    OVERSIZED,
    OWN_ACK,
    REQUEST_URI,
    TO,
    UNANSWERABLE,
    UNKNOWN_SCHEME,
    UNROUTABLE,
    UNROUTED,
    VERSION,
    VIA,
)
from ds_farm.sip._scan cimport Message, scan
from ds_farm.sip._text cimport find
from ds_farm.sip._uri cimport parse_address, parse_uri
from ds_farm.sip._via cimport Via, parse_via
from shm._layout cimport DestinationCounters, Worker
from shm._native cimport Memory, ds_count

from ds_farm.sip.names import FAULT_LABELS, Fault

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
    """

    def __class_getitem__(cls, request_class):
        return cls

    def __init__(self, Network network, Outbox out, make_request, route, on_error, segment,
                 int rank):
        cdef Memory memory = segment.memory
        self.network = network
        self.out = out
        self.notices = NoticeBox()
        self._make_request = make_request
        self._route = route
        self._on_error = on_error
        self.request = make_request()
        self.counters = <Worker *>memory.at(segment.worker(rank).base)
        self.destinations = <DestinationCounters *>memory.at(segment.counters(rank, 0).base)
        self.destinations_limit = segment.layout.max_destinations

    cdef void drop(self, int reason) noexcept:
        ds_count(&self.counters.dropped[reason], 1)

    cdef int receive(self, Inbox inbox, int listener) except -1:
        """Take a batch that came in by one socket; what is to be sent is in `out` then."""
        cdef int i
        for i in range(inbox.count):
            self._datagram(inbox.data[i], inbox.length[i], &inbox.source[i], listener)
        return 0

    def handle(self, bytes data, str ip, int port, int listener=0):
        """One datagram, for tests and tools; what is to be sent as `Outbox.take` gives it."""
        cdef Peer source
        cdef bytes text = ip.encode()
        if parse_ip(text, 0, len(text), port, &source) < 0:
            raise ValueError(f"{ip!r} is not an IP address")
        if not 0 <= listener < self.network.count:
            raise IndexError(listener)
        self._datagram(data, len(data), &source, listener)
        return self.out.take()

    cdef int _datagram(
        self, const unsigned char *data, int length, const Peer *source, int listener
    ) except -1:
        cdef BaseRequest request = self.request
        cdef Exchange *x = &request.x
        cdef int start = 0
        ds_count(&self.counters.received_bytes, length)
        while start < length and (data[start] == 13 or data[start] == 10):
            start += 1  # 7.5: empty lines before the start line are ignored
        if start == length:
            self.drop(KEEPALIVE)
            return 0
        data += start
        length -= start
        scan(data, length, &x.m)
        if not x.m.is_request:
            return self._response_in(data, &x.m)
        x.data = data
        x.source = source[0]
        x.listener = listener
        request.begin()
        try:
            return self._request_in(request)
        finally:
            request.end()
            if Py_REFCNT(request) > 2:  # `self.request` and the local name
                # The routing function kept it: the next request gets an object of its own.
                self.request = self._make_request()

    cdef int _request_in(self, BaseRequest request) except -1:
        """Checks of 16.3, then the route."""
        cdef Exchange *x = &request.x
        cdef int fault = x.m.fault
        x.via.fault = True
        x.via.rport = -1
        x.via.host = x.via.host_end = 0
        if x.m.via and parse_via(x.data, x.m.via, x.m.via_end, &x.via) and not fault:
            fault = VIA
        if parse_address(x.data, x.m.from_, x.m.from_end, &x.from_) and not fault:
            fault = FROM
        if parse_address(x.data, x.m.to, x.m.to_end, &x.to) and not fault:
            fault = TO
        memset(&x.uri, 0, sizeof(x.uri))
        if not fault and (parse_uri(x.data, x.m.uri, x.m.uri_end, &x.uri) or x.uri.headers):
            fault = REQUEST_URI  # 19.1.1: a Request-URI has no headers part
        if fault:
            return self._reject(request, fault)
        ds_count(&self.counters.requests, 1)
        if x.m.method == ACK and acknowledges_us(x):
            ds_count(&self.counters.absorbed, 1)
            self.drop(OWN_ACK)
            return 0
        if x.uri.scheme == UNKNOWN_SCHEME:
            request.answer(416, b"Unsupported URI Scheme", b"")
            return 0
        if x.m.proxy_require and x.m.method != ACK:
            # 16.3 step 5, 20.32: we know no extension that a proxy must understand.
            request.answer(420, b"Bad Extension", b"Unsupported: " + b" ".join(
                x.data[x.m.proxy_require:x.m.proxy_require_end].split()) + b"\r\n")
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
        except Exception as error:
            ds_count(&self.counters.route_errors, 1)
            self._on_error(error)
            if request.stage == OPEN:
                request.answer(500, b"Server Internal Error", b"")
        if request.stage == OPEN:
            self.drop(UNROUTED)
        return 0

    cdef int _response_in(self, const unsigned char *data, Message *m) except -1:
        """16.7, stateless: our Via off, the rest unchanged to where the next Via says."""
        cdef Via ours
        cdef Via upstream
        cdef Edit edit
        cdef Peer to
        cdef unsigned char *datagram
        cdef int64_t slot = -1, came_by = -1
        cdef int dot, sender, n
        if m.fault or parse_via(data, m.via, m.via_end, &ours):
            ds_count(&self.counters.malformed[m.fault if m.fault else <int>VIA], 1)
            self.drop(BAD_RESPONSE)
            return 0
        ds_count(&self.counters.responses, 1)
        if self.network.ours(data, ours.host, ours.host_end, ours.port) < 0:
            self.drop(FOREIGN_RESPONSE)
            return 0
        if ours.branch + COOKIE < ours.branch_end and data[ours.branch + COOKIE] == MARK:
            # Of a probe: the timer's.  One that bears a second Via is misrouted (8.1.3.3).
            if m.next_via:
                self.drop(BAD_RESPONSE)
            else:
                self.notices.reply(data, m, &ours)
            return 0
        n = ours.branch + SLOT
        if n < ours.branch_end:
            dot = find(data, n, ours.branch_end, 46)
            slot = get_hex(data, n, dot)
            came_by = get_hex(data, dot + 1, ours.branch_end)
            if 0 <= slot < self.destinations_limit:
                ds_count(&self.destinations[slot].responses[m.status // 100], 1)
        if not m.next_via:
            self.drop(NO_NEXT_VIA)
            return 0
        if (
            parse_via(data, m.next_via, m.next_via_end, &upstream)
            or response_target(data, &upstream, &to) < 0
        ):
            self.drop(UNROUTABLE)
            return 0
        sender = self.network.for_family(to.any.sa_family, <int>min(max(came_by, -1), 1 << 20))
        if sender < 0:
            self.drop(UNROUTABLE)
            return 0
        if m.next_via < m.via_line_end:
            replace(&edit, m.via, m.next_via, b"", 0)
        else:
            replace(&edit, m.via_line, m.via_line_end, b"", 0)
        datagram = self.out.begin()
        if datagram == NULL or m.length > PAYLOAD:
            self.drop(OVERSIZED)
            return 0
        n = join(data, 0, m.length, &edit, 1, datagram)
        self.out.commit(n, &to, sender, -1)
        ds_count(&self.counters.forwarded_responses, 1)
        return 0
