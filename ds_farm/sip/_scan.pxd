"""One pass over a datagram: start line and the headers that routing needs, as offsets.

Cost: no allocation and no Python object; each byte of the head is looked at once, line ends are
found by memchr.  Offsets are into `data`; a span is [x, x_end).  A span that is absent is 0, 0
(offset 0 always belongs to the start line).
"""


cdef struct Message:
    int length                    # bytes of the message; what a datagram holds beyond is cut off
    int fault                     # Fault: the first thing that is wrong, or NONE
    bint is_request
    int method                    # Method of the request; of the CSeq in a response
    int method_end                # a request's method is [0, method_end)
    int uri, uri_end              # Request-URI
    int status                    # of a response
    int headers                   # first header line
    int body                      # after the empty line
    int via_line, via_line_end    # first Via header line, name to line end
    int via, via_end              # its first value
    int next_via, next_via_end    # the value after that, in the same line or in the next Via line
    int vias                      # Via header lines
    int vias_end                  # where the last of them ends
    int max_forwards, max_forwards_end
    int hops                      # value of Max-Forwards, -1 if there is none
    int from_, from_end
    int to, to_end
    int call_id, call_id_end
    int cseq, cseq_end            # the number
    int cseq_value_end            # the whole value
    int cseq_method, cseq_method_end
    int route, route_end          # value of the first Route header
    int route_line, route_line_end
    int routes                    # Route header lines
    int proxy_require, proxy_require_end
    int authorization, authorization_end
    int proxy_authorization, proxy_authorization_end
    int content_length            # value, -1 if there is none


cdef int scan(const unsigned char *data, int length, Message *m) noexcept nogil
cdef bint is_via(const unsigned char *data, int start, int end) noexcept nogil
cdef int header_id(const unsigned char *data, int start, int end) noexcept nogil
cdef int method_id(const unsigned char *data, int start, int end) noexcept nogil
cdef int _start_line(const unsigned char *data, int end, Message *m) noexcept nogil
cdef int _status_line(const unsigned char *data, int end, Message *m) noexcept nogil
cdef int _take(const unsigned char *data, int id, int line, int line_end, int start, int end, Message *m) noexcept nogil
cdef int _take_via(const unsigned char *data, int line, int line_end, int start, int end, Message *m) noexcept nogil
cdef int _take_cseq(const unsigned char *data, int start, int end, Message *m) noexcept nogil
cdef int _missing(Message *m) noexcept nogil
