"""ACK and CANCEL for a request that was sent: its Request-URI, topmost Via, Route, From, Call-ID and
CSeq number, with another method (RFC 3261 17.1.1.3 and 9.1)."""

from libc.string cimport memcpy

from ds_farm.sip._scan cimport Message, scan
from ds_farm.sip._text cimport find, next_line, same, trim_end


cdef int _put(unsigned char *out, int n, const unsigned char *data, int start, int end) noexcept nogil:
    memcpy(out + n, data + start, end - start)
    return n + end - start


cdef int _put_header(
    unsigned char *out, int n, const char *name, int name_length,
    const unsigned char *data, int start, int end
) noexcept nogil:
    """A header line with the value data[start:end]."""
    memcpy(out + n, name, name_length)
    n = _put(out, n + name_length, data, start, end)
    out[n] = 13
    out[n + 1] = 10
    return n + 2


cdef int _put_routes(
    unsigned char *out, int n, const unsigned char *data, Message *m
) noexcept nogil:
    """The Route lines as they stand."""
    cdef int line = m.headers, line_end, colon
    while m.routes and line < m.body:
        line_end = next_line(data, line, m.body)
        colon = find(data, line, line_end, 58)
        if colon < line_end and same(data, line, trim_end(data, line, colon), b"route", 5):
            n = _put(out, n, data, line, line_end)
        line = line_end
    return n


cdef int _derived(
    const unsigned char *sent, int length, const char *method, int method_length,
    const unsigned char *to, int to_start, int to_end, unsigned char *out
) noexcept nogil:
    """Write it to ``out``; returns its length, which is below that of the request plus 64."""
    cdef Message m
    cdef int n
    if scan(sent, length, &m):
        return -1
    memcpy(out, method, method_length)
    n = _put(out, method_length, sent, m.method_end, m.headers)
    n = _put_header(out, n, b"Via: ", 5, sent, m.via, m.via_end)
    n = _put_routes(out, n, sent, &m)
    n = _put_header(out, n, b"Max-Forwards: 70", 16, sent, 0, 0)
    n = _put_header(out, n, b"From: ", 6, sent, m.from_, m.from_end)
    if to == NULL:
        n = _put_header(out, n, b"To: ", 4, sent, m.to, m.to_end)
    else:
        n = _put_header(out, n, b"To: ", 4, to, to_start, to_end)
    n = _put_header(out, n, b"Call-ID: ", 9, sent, m.call_id, m.call_id_end)
    memcpy(out + n, b"CSeq: ", 6)
    n = _put(out, n + 6, sent, m.cseq, m.cseq_end)
    out[n] = 32
    n = _put_header(out, n + 1, method, method_length, sent, 0, 0)
    memcpy(out + n, b"Content-Length: 0\r\n\r\n", 21)
    return n + 21


cdef int ack_of(
    const unsigned char *sent, int length, const unsigned char *response, Message *m,
    unsigned char *out
) noexcept nogil:
    """The ACK of a negative response to an INVITE, its To that of the response; -1 if the INVITE
    cannot be read."""
    return _derived(sent, length, b"ACK", 3, response, m.to, m.to_end, out)


cdef int cancel_of(const unsigned char *sent, int length, unsigned char *out) noexcept nogil:
    """The CANCEL of an INVITE; -1 if it cannot be read."""
    return _derived(sent, length, b"CANCEL", 6, NULL, 0, 0, out)
