"""What Route headers make of a request: values that name us go, the next one is the next hop.

A strict router (no ``lr``) as the next hop gets the request as RFC 2543 wants it: its URI in the
Request-URI, ours at the end of the Route (16.6 step 6).
"""

from ds_farm.proxy._exchange cimport Exchange
from ds_farm.proxy._wire cimport BY_ALIAS, Network, Peer, parse_ip
from ds_farm.sip._edit cimport Edit, replace
from ds_farm.sip._text cimport find, find_address_end, next_line, same, skip_space, trim_end
from ds_farm.sip._names cimport SIP
from ds_farm.sip._uri cimport Address, Uri, parse_address, parse_uri


cdef int read_routes(const unsigned char *data, const Exchange *x, RouteValue *values) noexcept nogil:
    """The request's Route values in order, at most MAX_ROUTES; returns how many."""
    cdef int count = 0, line = x.m.route_line, line_end, colon, start, end, comma
    while line < x.m.body and count < MAX_ROUTES:
        line_end = next_line(data, line, x.m.body)
        colon = find(data, line, line_end, 58)
        if colon < line_end and same(data, line, trim_end(data, line, colon), b"Route", 5):
            end = trim_end(data, colon + 1, line_end)
            start = skip_space(data, colon + 1, end)
            while start < end and count < MAX_ROUTES:
                comma = find_address_end(data, start, end)
                values[count].line = line
                values[count].line_end = line_end
                values[count].start = start
                values[count].end = trim_end(data, start, comma)
                start = skip_space(data, comma + 1, end) if comma < end else end
                values[count].after = start if start < end else 0
                count += 1
        line = line_end
    return count


cdef int own_socket(const unsigned char *data, int start, int end, Network network) noexcept nogil:
    """Number of the socket that the URI data[start:end] names, BY_ALIAS if an alias does, -1 if it
    is none of ours."""
    cdef Uri uri
    cdef Peer peer
    cdef int listener
    if parse_uri(data, start, end, &uri) or uri.scheme != SIP:
        return -1
    listener = network.ours(data, uri.host, uri.host_end, uri.port)
    if listener >= 0:
        return listener
    if network.is_alias(data, uri.host, uri.host_end, uri.port):
        return BY_ALIAS
    if parse_ip(data, uri.host, uri.host_end, uri.port if uri.port else 5060, &peer) < 0:
        return -1
    return network.is_bound(&peer)


cdef bytes loosened(Exchange *x, Network network):
    """A strict router has put our URI into the Request-URI (16.4): the request as it was meant,
    the last Route value in the Request-URI; None if that is not what has happened."""
    cdef RouteValue values[MAX_ROUTES]
    cdef RouteValue *last
    cdef Address address
    cdef int n
    if not x.uri.lr or own_socket(x.data, x.m.uri, x.m.uri_end, network) < 0:
        return None
    n = read_routes(x.data, x, values)
    if n == 0:
        return None
    last = &values[n - 1]
    if parse_address(x.data, last.start, last.end, &address):
        return None
    start, end = last.line, last.line_end
    if n > 1 and values[n - 2].line == last.line:
        start, end = values[n - 2].end, last.end
    return (
        x.data[:x.m.uri] + x.data[address.uri:address.uri_end]
        + x.data[x.m.uri_end:start] + x.data[end:x.m.length]
    )


cdef int take_routes(Exchange *x, Network network, Edit *edits) noexcept nogil:
    """Remove our own values, find the next hop in what is left; returns how many edits.

    The last of our own says by which socket the request goes on, unless a script has said so.

    -1 if a value that matters cannot be read, or names no address that we can send to.
    """
    cdef RouteValue values[MAX_ROUTES]
    cdef Address address
    cdef Uri uri
    cdef int i, first = 0, count = 0, last_line_end, n, socket
    n = read_routes(x.data, x, values)
    while first < n:
        if parse_address(x.data, values[first].start, values[first].end, &address):
            return -1
        socket = own_socket(x.data, address.uri, address.uri_end, network)
        if socket < 0:
            break
        if not x.has_next and socket != BY_ALIAS:
            x.next_listener = socket
        first += 1
    last_line_end = values[n - 1].line_end if n else 0
    if first < n and not x.has_next:
        if parse_uri(x.data, address.uri, address.uri_end, &uri):
            return -1
        if uri_target(x.data, address.uri, address.uri_end, &x.next) < 0:
            return -1
        x.has_next = True
        if not uri.lr:
            if x.new_uri == NULL:
                x.new_uri = x.data + x.m.uri
                x.new_uri_length = x.m.uri_end - x.m.uri
            replace(edits, last_line_end, last_line_end, b"Route: <", 8)
            replace(edits + 1, last_line_end, last_line_end, x.new_uri, x.new_uri_length)
            replace(edits + 2, last_line_end, last_line_end, b">\r\n", 3)
            count = 3
            x.new_uri = x.data + address.uri
            x.new_uri_length = address.uri_end - address.uri
            first += 1
    for i in range(first):
        if values[i].after == 0 or i + 1 == first:
            # One edit a line: from its first removed value on.
            n = i
            while n > 0 and values[n - 1].line == values[i].line:
                n -= 1
            if values[i].after == 0:
                replace(edits + count, values[i].line, values[i].line_end, b"", 0)
            else:
                replace(edits + count, values[n].start, values[i].after, b"", 0)
            count += 1
    return count


cdef int uri_target(const unsigned char *data, int start, int end, Peer *to) noexcept nogil:
    """The address that a SIP URI names, if it is a literal one reached by UDP; -1 otherwise."""
    cdef Uri uri
    cdef int port
    if parse_uri(data, start, end, &uri) or uri.scheme != SIP:
        return -1
    if uri.transport and not same(data, uri.transport, uri.transport_end, b"udp", 3):
        return -1
    port = uri.port if uri.port else 5060
    if uri.maddr:
        return parse_ip(data, uri.maddr, uri.maddr_end, port, to)
    return parse_ip(data, uri.host, uri.host_end, port, to)


cdef int next_hop(Exchange *x) noexcept nogil:
    """Without a Route the request goes where its Request-URI says (16.6 step 6); -1 if nowhere."""
    cdef int failed
    if x.new_uri != NULL:
        failed = uri_target(x.new_uri, 0, x.new_uri_length, &x.next)
    else:
        failed = uri_target(x.data, x.m.uri, x.m.uri_end, &x.next)
    x.has_next = failed == 0
    return failed
