"""Stateless answers (RFC 3261 section 8.2.6, 8.2.7).

The To tag is a keyed hash of the request, so a retransmission gets the same answer (8.2.7), and
the ACK of a negative answer is known by it and goes no further (17.1.1.3).
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy

from ds_farm.proxy._exchange cimport NO_ROOM, Exchange
from ds_farm.proxy._forward cimport response_target, stamp_via
from ds_farm.proxy._wire cimport PAYLOAD, Network, Outbox, Peer, put_number, set_port
from ds_farm.sip._branch cimport Sip, put_hex, sip_add, sip_finish, sip_start
from ds_farm.sip._edit cimport Edit, join, settle
from ds_farm.sip._scan cimport is_via
from ds_farm.sip._text cimport find, next_line, same, skip_space, trim_end


cdef uint64_t reply_tag(Exchange *x) noexcept nogil:
    """Our To tag for this request and its ACK."""
    cdef Sip s
    sip_start(&s, ~x.k0, x.k1)
    sip_add(&s, x.data, x.m.call_id, x.m.call_id_end)
    sip_add(&s, x.data, x.from_.tag, x.from_.tag_end)
    sip_add(&s, x.data, x.m.cseq, x.m.cseq_end)
    sip_add(&s, x.data, x.via.branch, x.via.branch_end)
    return sip_finish(&s)


cdef bint acknowledges_us(Exchange *x) noexcept nogil:
    """Whether an ACK bears the To tag that our own answer had."""
    cdef unsigned char tag[16]
    if x.to.tag_end - x.to.tag != 16:
        return False
    put_hex(tag, reply_tag(x))
    return memcmp(tag, x.data + x.to.tag, 16) == 0


cdef int _put(unsigned char *out, int n, const char *text, int length) noexcept nogil:
    memcpy(out + n, text, length)
    return n + length


cdef int _put_value(
    unsigned char *out, int n, const unsigned char *data, int start, int end
) noexcept nogil:
    """A header value; line breaks in it (folding) become spaces."""
    cdef int i
    for i in range(start, end):
        out[n] = 32 if data[i] == 13 or data[i] == 10 else data[i]
        n += 1
    return n


cdef int _put_vias(Exchange *x, unsigned char *out, int n) noexcept nogil:
    """All Via headers in their order, the topmost stamped with where the request came from."""
    cdef Edit edits[2]
    cdef unsigned char received[80]
    cdef unsigned char rport[16]
    cdef unsigned char *value
    cdef int line = x.m.via_line, line_end, colon, end, i, length, count
    while line < x.m.vias_end:
        line_end = next_line(x.data, line, x.m.body)
        colon = find(x.data, line, line_end, 58)
        if colon < line_end and is_via(x.data, line, trim_end(x.data, line, colon)):
            end = trim_end(x.data, colon + 1, line_end)
            n = _put(out, n, b"Via: ", 5)
            if line == x.m.via_line:
                count = 0 if x.via.fault else stamp_via(x, received, rport, edits)
                count = settle(edits, count)
                value = out + n
                length = join(x.data, x.m.via, end, edits, count, value)
                for i in range(length):
                    if value[i] == 13 or value[i] == 10:
                        value[i] = 32
                n += length
            else:
                n = _put_value(out, n, x.data, skip_space(x.data, colon + 1, end), end)
            n = _put(out, n, b"\r\n", 2)
        line = line_end
    return n


cdef int _put_timestamp(Exchange *x, unsigned char *out, int n) noexcept nogil:
    """The Timestamp header, which a 100 has from its request (8.2.6.1)."""
    cdef int line = x.m.headers, line_end, colon, end
    while line < x.m.body:
        line_end = next_line(x.data, line, x.m.body)
        colon = find(x.data, line, line_end, 58)
        if colon < line_end and same(x.data, line, trim_end(x.data, line, colon), b"Timestamp", 9):
            end = trim_end(x.data, colon + 1, line_end)
            n = _put(out, n, b"Timestamp: ", 11)
            n = _put_value(out, n, x.data, skip_space(x.data, colon + 1, end), end)
            return _put(out, n, b"\r\n", 2)
        line = line_end
    return n


cdef int reply(
    Exchange *x, Network network, Outbox out, int status,
    const unsigned char *reason, int reason_length,
    const unsigned char *headers, int headers_length,
    const unsigned char *body, int body_length,
) noexcept nogil:
    """Answer the request; 0, or NO_ROOM.

    `headers` are whole lines to add, each with its CRLF.  Where From, To, Call-ID or CSeq are
    missing in a bad request, they are missing in the answer.
    """
    cdef Peer to = x.source
    cdef Peer named
    cdef unsigned char *datagram
    cdef int n, port, sender
    # A Via line may grow by four bytes: "v:x" and a bare LF become "Via: x" and CRLF.
    if x.m.body + 4 * x.m.vias + reason_length + headers_length + body_length + 512 > PAYLOAD:
        return NO_ROOM
    datagram = out.begin()
    if datagram == NULL:
        return NO_ROOM
    n = _put(datagram, 0, b"SIP/2.0 ", 8)
    n += put_number(datagram + n, status)
    datagram[n] = 32
    n = _put_value(datagram, n + 1, reason, 0, reason_length)
    n = _put(datagram, n, b"\r\n", 2)
    n = _put_vias(x, datagram, n)
    if x.m.from_:
        n = _put(datagram, n, b"From: ", 6)
        n = _put_value(datagram, n, x.data, x.m.from_, x.m.from_end)
        n = _put(datagram, n, b"\r\n", 2)
    if x.m.to:
        n = _put(datagram, n, b"To: ", 4)
        n = _put_value(datagram, n, x.data, x.m.to, x.m.to_end)
        if not x.to.tag and status != 100:
            n = _put(datagram, n, b";tag=", 5)
            n += put_hex(datagram + n, reply_tag(x))
        n = _put(datagram, n, b"\r\n", 2)
    if x.m.call_id:
        n = _put(datagram, n, b"Call-ID: ", 9)
        n = _put_value(datagram, n, x.data, x.m.call_id, x.m.call_id_end)
        n = _put(datagram, n, b"\r\n", 2)
    if x.m.cseq:
        n = _put(datagram, n, b"CSeq: ", 6)
        n = _put_value(datagram, n, x.data, x.m.cseq, x.m.cseq_value_end)
        n = _put(datagram, n, b"\r\n", 2)
    if status == 100:
        n = _put_timestamp(x, datagram, n)
    n = _put(datagram, n, <const char *>headers, headers_length)
    n = _put(datagram, n, b"Content-Length: ", 16)
    n += put_number(datagram + n, body_length)
    n = _put(datagram, n, b"\r\n\r\n", 4)
    n = _put(datagram, n, <const char *>body, body_length)

    # 18.2.2: to the source address, at the port of sent-by, or at the source port if rport asks.
    if x.via.maddr and not x.via.fault and response_target(x.data, &x.via, &named) == 0:
        to = named
    elif x.via.rport < 0 and not x.force_rport:
        port = x.via.port if x.via.port > 0 else 5060
        set_port(&to, port)
    sender = network.for_family(to.any.sa_family, x.listener)
    if sender < 0:
        return NO_ROOM
    out.commit(n, &to, sender, -1)
    return 0
