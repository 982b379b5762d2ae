"""What a routing function can do with a request without knowing of destinations.

Attribute names follow OpenSIPS's pseudo-variables ($ru is `ru`), functions its script functions.
The object is reused: it speaks for its request until the routing function returns, after that
every use raises RuntimeError.
"""

from ds_farm.proxy._exchange cimport FORWARDED, LOOP, TOO_LARGE, TOO_MANY_HOPS, UNRESOLVED
from ds_farm.proxy._forward cimport forward_request
from ds_farm.proxy._reply cimport reply
from ds_farm.proxy._route cimport uri_target
from ds_farm.proxy._transaction cimport Transaction
from ds_farm.proxy._wire cimport Network, Outbox, Peer, peer_port, put_ip
from ds_farm.sip._names cimport ACK, OVERSIZED, UNANSWERED_ACK
from ds_farm.sip._scan cimport Message
from ds_farm.sip._uri cimport Uri, parse_uri
from shm._layout cimport DestinationCounters, Worker
from shm._native cimport Memory, ds_count

from ds_farm.proxy.codes import FAILED

cdef dict REASONS = {
    FORWARDED: b"",
    UNRESOLVED: b"Unresolvable Destination",
    LOOP: b"Loop Detected",
    TOO_MANY_HOPS: b"Too Many Hops",
    TOO_LARGE: b"Message Too Large",
}


cdef bytes reason_for(int outcome):
    """Reason phrase of an Outcome that is answered."""
    return <bytes>REASONS.get(outcome, b"Service Unavailable")


cdef class BaseRequest:
    """The request under way.

    ``segment`` and ``rank`` name the worker whose counters it writes.
    """

    def __init__(self, Network network, Outbox out, segment, int rank):
        cdef Memory memory = segment.memory
        cdef bytes secret = segment.secret()
        self.network = network
        self.out = out
        self._segment = segment
        self.counters = <Worker *>memory.at(segment.worker(rank).base)
        self.destinations = <DestinationCounters *>memory.at(segment.counters(rank, 0).base)
        self.x.k0 = int.from_bytes(secret[:8], "little")
        self.x.k1 = int.from_bytes(secret[8:], "little")

    cdef void begin(self) noexcept:
        """A new request stands in `x`: no decision has been taken for it."""
        self.x.hops = -1
        self.x.has_next = False
        self.x.next_listener = -1
        self.x.slot = -1
        self.x.owner = -1
        self.x.unique = 0
        self.x.new_uri = NULL
        self.x.lump_count = 0
        self.x.record_route = self.x.force_rport = False
        self.dst_uri = None
        self.new_ruri = None
        self.reply_headers = self.reply_body = b""
        self.transaction = NULL
        self.stage = OPEN

    cdef void end(self) noexcept:
        self.stage = OVER
        self.x.data = NULL

    cdef int check_open(self) except -1:
        if self.stage == OVER:
            raise RuntimeError("this request is over: its object must not be kept")
        return 0

    cdef bytes span(self, int start, int end):
        self.check_open()
        return self.x.data[start:end]

    cdef int answer(self, int status, bytes reason, bytes headers) except -1:
        """Send one reply of our own; an ACK gets none (17.1.1.3).  1 if it went out."""
        if status >= 200:
            self.stage = DONE
        headers += self.reply_headers
        if self.x.m.method == ACK:
            ds_count(&self.counters.dropped[<int>UNANSWERED_ACK], 1)
            return 0
        if reply(&self.x, self.network, self.out, status, reason, len(reason), headers,
                 len(headers), self.reply_body, len(self.reply_body)) < 0:
            ds_count(&self.counters.dropped[<int>OVERSIZED], 1)
            return 0
        ds_count(&self.counters.replies[min(7, status // 100)], 1)
        return 1

    cdef int set_ruri(self, bytes uri) except -1:
        self.new_ruri = uri
        self.x.new_uri = <const unsigned char *><const char *>uri
        self.x.new_uri_length = len(uri)
        return 0

    cdef int on_failure(self, Transaction *t) except -1:
        """Every branch of a transaction with a context has failed (`_relay_request.pyx`)."""
        return 0

    cdef bint on_reply(
        self, Branch *b, const unsigned char *data, Message *m, const Peer *source,
        int listener, int kept
    ) except -1:
        """A response is about to be forwarded, of a branch or, if that is NULL, without a
        transaction.  True to drop it."""
        return False

    # -- functions of a script

    def forward(self, uri=None):
        """Send the request on, without state: to the URI or ``[udp:]host[:port]`` given, else to
        the destination that was selected ($du), else by its Route, else to its Request-URI (RFC
        3261 16.6, 16.11).

        Max-Forwards is lowered unless `mf_process_maxfwd_header` did.  Returns 1; or -1, and the
        sender has been told why (478, 482, 483, 513) or, of an ACK, nobody.
        """
        cdef int outcome
        cdef bytes text
        self.check_open()
        if self.stage == DONE:
            return FAILED
        if uri is not None:
            text = sip_uri(uri).encode()
            self.x.slot = -1
            self.x.has_next = uri_target(text, 0, len(text), &self.x.next) == 0
            if not self.x.has_next:
                self.answer(UNRESOLVED, REASONS[UNRESOLVED], b"")
                return FAILED
        outcome = forward_request(&self.x, self.network, self.out)
        if outcome == FORWARDED:
            self.stage = DONE
            ds_count(&self.counters.forwarded_requests, 1)
            if self.x.slot >= 0:
                ds_count(&self.destinations[self.x.slot].requests, 1)
            return 1
        if outcome in REASONS:
            self.answer(outcome, REASONS[outcome], b"")
        return FAILED

    def send_reply(self, code, reason, headers=""):
        """Answer the request: a code of 100 to 699, a reason, header lines to add (each with its
        CRLF).  Returns 1; -1 if it was forwarded or answered already, or is an ACK."""
        cdef int status = int(code)
        self.check_open()
        if not 100 <= status <= 699:
            raise ValueError(f"send_reply: {code!r} is not a SIP status code (100 to 699)")
        if self.stage == DONE or not self.answer(status, reason.encode(), headers.encode()):
            return FAILED
        return 1

    def mf_process_maxfwd_header(self, max_value=70):
        """Lower Max-Forwards by one; without the header add it with ``max_value``.

        Returns 1 if it was lowered, 2 if it was added, -1 if it is 0.
        """
        cdef int limit = max_value if type(max_value) is int else int(max_value)
        self.check_open()
        if not 0 < limit <= 256:
            raise ValueError(f"mf_process_maxfwd_header: {max_value!r} is not in 1..256")
        if self.x.m.hops < 0:
            self.x.hops = limit
            return 2
        if self.x.m.hops == 0:
            return FAILED
        self.x.hops = self.x.m.hops - 1
        return 1

    # -- what the request says

    @property
    def method(self):
        """Method ($rm); of a response that of its request."""
        if not self.x.m.is_request:
            return self.span(self.x.m.cseq_method, self.x.m.cseq_method_end).decode()
        return self.span(0, self.x.m.method_end).decode("utf-8", "replace")

    @property
    def rs(self):
        """Status of a response ($rs); 0 in a request."""
        self.check_open()
        return 0 if self.x.m.is_request else self.x.m.status

    @property
    def rr(self):
        """Reason phrase of a response ($rr); empty in a request."""
        self.check_open()
        if self.x.m.is_request:
            return ""
        line = self.span(0, self.x.m.headers).decode("utf-8", "replace")
        return line.rstrip("\r\n").partition(" ")[2].partition(" ")[2]

    @property
    def ru(self):
        """Request-URI ($ru), as changed so far; assign a URI to change it."""
        if self.new_ruri is not None:
            self.check_open()
            return self.new_ruri.decode("utf-8", "replace")
        return self.span(self.x.m.uri, self.x.m.uri_end).decode("utf-8", "replace")

    @ru.setter
    def ru(self, str uri):
        cdef bytes text = uri.encode()
        cdef Uri parsed
        self.check_open()
        if parse_uri(text, 0, len(text), &parsed) or any(c <= 32 or c in b'<>"' for c in text):
            raise ValueError(f"ru: {uri!r} is not a URI")
        self.set_ruri(text)

    @property
    def ou(self):
        """Request-URI as received ($ou); empty in a response."""
        return self.span(self.x.m.uri, self.x.m.uri_end).decode("utf-8", "replace")

    @property
    def du(self):
        """Destination URI ($du), None if it is not set; assign one to send the request there."""
        self.check_open()
        return None if self.dst_uri is None else self.dst_uri.decode("utf-8", "replace")

    @du.setter
    def du(self, uri):
        cdef bytes text
        self.check_open()
        self.x.slot = -1
        self.x.has_next = False
        self.dst_uri = None
        if uri is not None:
            text = uri.encode()
            if uri_target(text, 0, len(text), &self.x.next) < 0:
                raise ValueError(f"du: {uri!r} is not a SIP URI with a literal address over UDP")
            self.dst_uri = text
            self.x.has_next = True

    @property
    def Ri(self):
        """Address of the socket that it came in by ($Ri)."""
        self.check_open()
        return self.network.descriptions[self.x.listener][0]

    @property
    def Rp(self):
        """Port of the socket that it came in by ($Rp)."""
        self.check_open()
        return self.network.descriptions[self.x.listener][1]

    @property
    def ci(self):
        """Call-ID ($ci)."""
        return self.span(self.x.m.call_id, self.x.m.call_id_end).decode("utf-8", "replace")

    @property
    def cs(self):
        """CSeq number ($cs)."""
        return int(self.span(self.x.m.cseq, self.x.m.cseq_end))

    @property
    def fu(self):
        """URI of From ($fu)."""
        return self.span(self.x.from_.uri, self.x.from_.uri_end).decode("utf-8", "replace")

    @property
    def tu(self):
        """URI of To ($tu)."""
        return self.span(self.x.to.uri, self.x.to.uri_end).decode("utf-8", "replace")

    @property
    def ft(self):
        """Tag of From ($ft), empty if there is none."""
        return self.span(self.x.from_.tag, self.x.from_.tag_end).decode("utf-8", "replace")

    @property
    def tt(self):
        """Tag of To ($tt), empty if there is none."""
        return self.span(self.x.to.tag, self.x.to.tag_end).decode("utf-8", "replace")

    @property
    def si(self):
        """Source IP address ($si)."""
        cdef unsigned char text[64]
        self.check_open()
        return (<bytes>text[:put_ip(text, &self.x.source)]).decode()

    @property
    def sp(self):
        """Source port ($sp)."""
        self.check_open()
        return peer_port(&self.x.source)

    @property
    def rb(self):
        """Body ($rb), bytes."""
        return self.span(self.x.m.body, self.x.m.length)

    @property
    def mb(self):
        """The whole message as received ($mb), bytes."""
        return self.span(0, self.x.m.length)


cdef str sip_uri(str place):
    """A proxy as scripts name it, ``[udp:]host[:port]``, as a URI; a URI as it is."""
    if place[:4] == "sip:" or place[:5] == "sips:":
        return place
    return "sip:" + place.removeprefix("udp:")
