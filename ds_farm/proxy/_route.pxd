"""Route headers and the next hop (RFC 3261 16.4, 16.6 steps 6 and 7, 16.12).

Cost: nothing for a request without Route; else one pass over its Route lines.
"""

from ds_farm.proxy._exchange cimport Exchange
from ds_farm.proxy._wire cimport Network, Peer
from ds_farm.sip._edit cimport Edit


cdef enum:
    MAX_ROUTES = 64              # values that are looked at; the rest is passed on as it is
    MAX_ROUTE_EDITS = MAX_ROUTES + 3  # one a line, and three for a strict router


cdef struct RouteValue:
    int line, line_end
    int start, end
    int after                    # the next value in the same line, 0 if it is the line's last


cdef int own_socket(const unsigned char *data, int start, int end, Network network) noexcept nogil
cdef bytes loosened(Exchange *x, Network network)
cdef int read_routes(const unsigned char *data, const Exchange *x, RouteValue *values) noexcept nogil
cdef int take_routes(Exchange *x, Network network, Edit *edits) noexcept nogil
cdef int next_hop(Exchange *x) noexcept nogil
cdef int uri_target(const unsigned char *data, int start, int end, Peer *to) noexcept nogil
