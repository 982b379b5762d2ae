"""Reading a request that has been scanned: Via, From, To and Request-URI (RFC 3261 16.3 step 1)."""

from libc.string cimport memset

from ds_farm.sip._names cimport FROM, REQUEST_URI, TO, VIA
from ds_farm.sip._uri cimport parse_address, parse_uri
from ds_farm.sip._via cimport parse_via


cdef int read_request(Exchange *x) noexcept nogil:
    """Parse what `x.m` points to; returns the first Fault, of the scan or of these parts."""
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
    return fault
