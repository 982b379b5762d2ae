"""A SIP URI, and the addresses of From, To, Route that hold one (RFC 3261 19.1.1, 20.10).

Cost: one pass over the text, no allocation, no Python object.
"""


cdef struct Uri:
    bint fault                   # not of the grammar
    int scheme                   # Scheme
    int user, user_end           # user part as written, without password
    int host, host_end           # an IPv6 reference with its brackets
    int port                     # 0 if there is none
    int hostport_end             # where host[:port] ends
    int params, params_end       # from the first ";" to the headers or the end
    int headers                  # offset of "?", or 0
    int transport, transport_end  # value of ;transport=
    int maddr, maddr_end
    bint lr


cdef struct Address:
    bint fault
    int uri, uri_end
    int params                   # where the parameters of the header begin (at ";"), or the end
    int tag, tag_end


cdef int parse_uri(const unsigned char *data, int start, int end, Uri *u) noexcept nogil
cdef int parse_address(const unsigned char *data, int start, int end, Address *a) noexcept nogil
cdef int _authority(const unsigned char *data, int start, int end, Uri *u) noexcept nogil
cdef int _uri_params(const unsigned char *data, int start, int end, Uri *u) noexcept nogil
cdef int _tag(const unsigned char *data, int start, int end, Address *a) noexcept nogil
