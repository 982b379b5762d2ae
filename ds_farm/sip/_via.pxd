"""One Via value: who sent, on which branch, from where it really came (RFC 3261 20.42, RFC 3581).

Cost: one pass over the value, no allocation, no Python object.
"""


cdef struct Via:
    bint fault                   # not of the grammar
    int transport, transport_end
    int host, host_end           # sent-by; an IPv6 reference with its brackets
    int port                     # of sent-by, 0 if there is none
    int params                   # where the first ";" stands, or the value's end
    int branch, branch_end       # its value
    int received, received_end
    int rport                    # -1 absent, 0 present without a value
    int rport_end                # where "=port" goes if it has no value
    int maddr, maddr_end


cdef int parse_via(const unsigned char *data, int start, int end, Via *v) noexcept nogil
cdef int _sent_protocol(const unsigned char *data, int start, int end, Via *v) noexcept nogil
cdef int _sent_by(const unsigned char *data, int start, int end, Via *v) noexcept nogil
cdef int _param(const unsigned char *data, int start, int end, Via *v) noexcept nogil
