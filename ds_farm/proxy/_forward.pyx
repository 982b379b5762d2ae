"""The steps that a stateless proxy takes (RFC 3261 section 16.6, in its order, with 16.11).

A message is copied once, with a few byte ranges exchanged; nothing is parsed and printed again.
The Via that goes on top carries a branch of three parts that answer three questions:

    z9hG4bK UUUUUUUUUUUUUUUU . LLLLLLLLLLLLLLLL . slot . listener
            |                  |                  |      the socket the request came in by
            |                  |                  destination it went to (hexadecimal, or "-")
            |                  have we seen this request before, unchanged?  (16.3 step 4)
            the same for a retransmission, its CANCEL and the ACK of a negative reply (16.11)

A stateful proxy adds ".owner.branch": rank of the worker that has the transaction, and which of
its branches this is (16.6 step 8: each has a branch of its own).
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from ds_farm.proxy._exchange cimport (
    FORWARDED,
    LOOP,
    MAX_LUMPS,
    MAX_RR_PARAMS,
    NO_ROOM,
    TOO_LARGE,
    TOO_MANY_HOPS,
    UNRESOLVED,
    Exchange,
)
from ds_farm.proxy._route cimport MAX_ROUTE_EDITS, next_hop, take_routes
from ds_farm.proxy._wire cimport (
    PAYLOAD,
    Listener,
    Network,
    Outbox,
    Peer,
    is_unicast,
    parse_ip,
    peer_port,
    put_ip,
    put_number,
    same_ip,
)
from ds_farm.sip._branch cimport Sip, get_hex, put_hex, sip_add, sip_finish, sip_start
from ds_farm.sip._edit cimport Edit, grown_by, join, replace, settle
from ds_farm.sip._names cimport ACK, NO_NEXT_VIA, OVERSIZED, UNROUTABLE
from ds_farm.sip._scan cimport Message
from ds_farm.sip._text cimport find, same
from ds_farm.sip._via cimport Via, parse_via


cdef extern from "<string.h>" nogil:
    void *memmem(const void *, size_t, const void *, size_t)


cdef enum:
    MAX_EDITS = MAX_ROUTE_EDITS + MAX_LUMPS + 8
    MAX_RECORD_ROUTE = 2 * (MAX_RR_PARAMS + 208)
    DEFAULT_HOPS = 70            # 16.6 step 3
    MAX_NUMBER = 1 << 20         # in our branches: slots, listeners, ranks, branches


cdef uint64_t unique_part(Exchange *x) noexcept nogil:
    """First part of the branch, by 16.11: the topmost Via's branch if it is an RFC 3261 one."""
    cdef Sip s
    if x.unique:
        return x.unique
    sip_start(&s, x.k0, x.k1)
    sip_add(&s, x.data, x.via.host, x.via.host_end)
    if x.via.branch_end - x.via.branch > COOKIE and same(
        x.data, x.via.branch, x.via.branch + COOKIE, b"z9hG4bK", COOKIE
    ):
        sip_add(&s, x.data, x.via.branch, x.via.branch_end)
    else:
        # RFC 2543: a branch need not be unique, so the whole transaction identity counts; but not
        # the To tag of an ACK, which its INVITE had not yet (17.2.3).
        sip_add(&s, x.data, x.m.via, x.m.via_end)
        sip_add(&s, x.data, x.to.tag, x.to.tag if x.m.method == ACK else x.to.tag_end)
        sip_add(&s, x.data, x.from_.tag, x.from_.tag_end)
        sip_add(&s, x.data, x.m.call_id, x.m.call_id_end)
        sip_add(&s, x.data, x.m.cseq, x.m.cseq_end)
        sip_add(&s, x.data, x.m.uri, x.m.uri_end)
    x.unique = sip_finish(&s)
    return x.unique


cdef uint64_t _seen(Exchange *x) noexcept nogil:
    """Second part: what a loop leaves unchanged and a spiral changes (16.6 step 8).

    The To tag is left out: an ACK to a negative reply has one, and must bear the branch that
    its INVITE had.
    """
    cdef Sip s
    sip_start(&s, x.k0, ~x.k1)
    sip_add(&s, x.data, x.m.uri, x.m.uri_end)
    sip_add(&s, x.data, x.from_.tag, x.from_.tag_end)
    sip_add(&s, x.data, x.m.call_id, x.m.call_id_end)
    sip_add(&s, x.data, x.m.cseq, x.m.cseq_end)
    sip_add(&s, x.data, x.m.route, x.m.route_end)
    return sip_finish(&s)


cdef int _put_hex_short(unsigned char *out, int value) noexcept nogil:
    """Hexadecimal digits without leading zeros; "-" for a negative value."""
    cdef unsigned char digits[16]
    cdef int i = 0
    if value < 0:
        out[0] = 45
        return 1
    put_hex(digits, <uint64_t>value)
    while i < 15 and digits[i] == 48:
        i += 1
    memcpy(out, digits + i, 16 - i)
    return 16 - i


cdef int stamp_via(
    Exchange *x, unsigned char *received, unsigned char *rport, Edit *edits
) noexcept nogil:
    """Edits that write into the topmost Via where the request came from; returns how many.

    `received` when sent-by is not that address (18.2.1), and both when rport asks (RFC 3581
    section 4).  The two buffers hold the inserted text: 80 and 16 bytes.
    """
    cdef Peer sent_by
    cdef int n, end, count = 0
    cdef bint asked = x.via.rport >= 0 or x.force_rport
    if not asked and not x.via.received and (
        parse_ip(x.data, x.via.host, x.via.host_end, 0, &sent_by) == 0
        and same_ip(&sent_by, &x.source)
    ):
        return 0
    if x.via.rport < 0 and asked:
        memcpy(rport, b";rport=", 7)
        n = 7 + put_number(rport + 7, peer_port(&x.source))
        replace(edits, x.m.via_end, x.m.via_end, rport, n)
        count = 1
    elif asked:
        rport[0] = 61
        n = 1 + put_number(rport + 1, peer_port(&x.source))
        # If the sender filled in what is ours to say, its "=value" goes.
        end = find(x.data, x.via.rport_end, x.m.via_end, 59)
        replace(edits, x.via.rport_end, end, rport, n)
        count = 1
    if x.via.received:
        n = put_ip(received, &x.source)
        replace(edits + count, x.via.received, x.via.received_end, received, n)
    else:
        memcpy(received, b";received=", 10)
        n = 10 + put_ip(received + 10, &x.source)
        replace(edits + count, x.m.via_end, x.m.via_end, received, n)
    return count + 1


cdef int _put_record_route(
    unsigned char *out, const Listener *listener, Exchange *x, bint is_one_of_two
) noexcept nogil:
    """A Record-Route line that names a socket of ours; returns its length."""
    cdef int n = 19
    memcpy(out, b"Record-Route: <sip:", 19)
    memcpy(out + n, listener.via + listener.sent_by, listener.sent_by_length)
    n += listener.sent_by_length
    memcpy(out + n, b";lr", 3)
    n += 3
    if is_one_of_two:
        memcpy(out + n, b";r2=on", 6)
        n += 6
    memcpy(out + n, x.rr_params, x.rr_params_length)
    n += x.rr_params_length
    memcpy(out + n, b">\r\n", 3)
    return n + 3


cdef int forward_request(Exchange *x, Network network, Outbox out) noexcept nogil:
    """Put the request on its way; returns an Outcome, and nothing is sent unless FORWARDED."""
    cdef Edit edits[MAX_EDITS]
    cdef unsigned char received[80]
    cdef unsigned char rport[16]
    cdef unsigned char record_route[MAX_RECORD_ROUTE]
    cdef unsigned char hops[16]
    cdef unsigned char via[256]
    cdef unsigned char seen[UNIQUE]
    cdef unsigned char *datagram
    cdef Listener *listener
    cdef int count = 0, n, sender

    # 16.3 step 3, 16.6 step 3: Max-Forwards
    if x.hops < 0:
        if x.m.hops == 0:
            return TOO_MANY_HOPS
        x.hops = x.m.hops - 1 if x.m.hops > 0 else DEFAULT_HOPS
    if x.m.hops >= 0:
        n = put_number(hops, x.hops)
        replace(edits, x.m.max_forwards, x.m.max_forwards_end, hops, n)
        count = 1

    # 16.3 step 4: loop detection
    put_hex(seen, _seen(x))
    if memmem(x.data + x.m.via_line, x.m.vias_end - x.m.via_line, seen, UNIQUE) != NULL:
        return LOOP

    # 16.4, 16.6 steps 6 and 7: routes and the next hop
    if x.m.routes:
        n = take_routes(x, network, edits + count)
        if n < 0:
            return UNRESOLVED
        count += n
    if not x.has_next and next_hop(x) < 0:
        return UNRESOLVED
    sender = network.for_family(
        x.next.any.sa_family, x.next_listener if x.next_listener >= 0 else x.listener
    )
    if sender < 0:
        return UNRESOLVED

    # 16.6 step 8: our Via on top, then the one below is stamped with its source
    listener = &network.listeners[sender]
    memcpy(via, listener.via, listener.via_length)
    n = listener.via_length
    n += put_hex(via + n, unique_part(x))
    via[n] = 46
    memcpy(via + n + 1, seen, UNIQUE)
    n += 1 + UNIQUE
    via[n] = 46
    n += 1
    n += _put_hex_short(via + n, x.slot)
    via[n] = 46
    n += 1
    n += _put_hex_short(via + n, x.listener)
    if x.owner >= 0:
        via[n] = 46
        n += 1
        n += _put_hex_short(via + n, x.owner)
        via[n] = 46
        n += 1
        n += _put_hex_short(via + n, x.branch)
    via[n] = 13
    via[n + 1] = 10
    n += 2
    if x.m.hops < 0:
        # 16.6 step 3 again: a request without Max-Forwards gets one.
        memcpy(via + n, b"Max-Forwards: ", 14)
        n += 14
        n += put_number(via + n, x.hops)
        via[n] = 13
        via[n + 1] = 10
        n += 2
    replace(edits + count, x.m.headers, x.m.headers, via, n)
    count += 1
    if x.record_route:
        # Two values when it leaves by another socket than it came in by, the nearer one on top.
        n = _put_record_route(record_route, listener, x, sender != x.listener)
        if sender != x.listener:
            listener = &network.listeners[x.listener]
            n += _put_record_route(record_route + n, listener, x, True)
        replace(edits + count, x.m.headers, x.m.headers, record_route, n)
        count += 1
    count += stamp_via(x, received, rport, edits + count)
    if x.new_uri != NULL:
        replace(edits + count, x.m.uri, x.m.uri_end, x.new_uri, x.new_uri_length)
        count += 1

    if x.lump_count:
        memcpy(edits + count, x.lumps, x.lump_count * sizeof(Edit))
        count += x.lump_count
    count = settle(edits, count)
    if x.m.length + grown_by(edits, count) > PAYLOAD:
        return TOO_LARGE
    datagram = out.begin()
    if datagram == NULL:
        return NO_ROOM
    n = join(x.data, 0, x.m.length, edits, count, datagram)
    out.commit(n, &x.next, sender, x.slot)
    return FORWARDED


cdef bint _read_key(const unsigned char *data, int start, uint64_t *key) noexcept nogil:
    """The sixteen digits of a branch's first part; whether they are such."""
    cdef int64_t high = get_hex(data, start, start + UNIQUE // 2)
    cdef int64_t low = get_hex(data, start + UNIQUE // 2, start + UNIQUE)
    key[0] = <uint64_t>high << 32 | <uint64_t>low
    return high >= 0 and low >= 0


cdef void read_branch(const unsigned char *data, Via *via, OwnBranch *own) noexcept nogil:
    """Take the branch of our own Via apart; numbers that it does not have are -1."""
    cdef int at = via.branch + SLOT, end, i
    cdef int64_t numbers[4]
    for i in range(4):
        numbers[i] = -1
        if at < via.branch_end:
            end = find(data, at, via.branch_end, 46)
            numbers[i] = get_hex(data, at, end)
            if numbers[i] > MAX_NUMBER:
                numbers[i] = -1
            at = end + 1
    own.slot = <int>numbers[0]
    own.listener = <int>numbers[1]
    own.owner = <int>numbers[2]
    own.branch = <int>numbers[3]
    own.has_key = False
    if via.branch + SLOT < via.branch_end and own.owner >= 0:
        own.has_key = _read_key(data, via.branch + COOKIE, &own.key)


cdef int forward_response(
    const unsigned char *data, Message *m, int came_by, int status, const Edit *lumps,
    int lump_count, Network network, Outbox out
) noexcept nogil:
    """Put a response on its way: our Via off, the rest unchanged but for ``lumps`` to where the
    next Via says (16.7 steps 3 and 9).  ``came_by`` is the socket that its request came in by;
    ``status``, if not 0, goes instead of its own.  Returns a Drop, -1 if it went out."""
    cdef Via upstream
    cdef Edit edits[MAX_LUMPS + 2]
    cdef Peer to
    cdef unsigned char line[64]
    cdef unsigned char *datagram
    cdef int sender, n, count = 0
    if not m.next_via:
        return NO_NEXT_VIA
    if (
        parse_via(data, m.next_via, m.next_via_end, &upstream)
        or response_target(data, &upstream, &to) < 0
    ):
        return UNROUTABLE
    sender = network.for_family(to.any.sa_family, came_by)
    if sender < 0:
        return UNROUTABLE
    if status:
        memcpy(line, b"SIP/2.0 ", 8)
        n = 8 + put_number(line + 8, status)
        memcpy(line + n, b" Server Internal Error", 22)
        n += 22
        replace(edits, 0, find(data, 0, m.headers, 13), line, n)
        count = 1
    if m.next_via < m.via_line_end:
        replace(edits + count, m.via, m.next_via, b"", 0)
    else:
        replace(edits + count, m.via_line, m.via_line_end, b"", 0)
    count += 1
    if lump_count:
        memcpy(edits + count, lumps, lump_count * sizeof(Edit))
        count += lump_count
    count = settle(edits, count)
    datagram = out.begin()
    if datagram == NULL or m.length + grown_by(edits, count) > PAYLOAD:
        return OVERSIZED
    n = join(data, 0, m.length, edits, count, datagram)
    out.commit(n, &to, sender, -1)
    return -1


cdef int response_target(const unsigned char *data, Via *via, Peer *to) noexcept nogil:
    """Where a response goes by the Via now on top (18.2.2, RFC 3581 section 4); -1 if nowhere.

    Only literal addresses are followed: what we forwarded bears `received` where sent-by is a
    name, and a worker never waits for DNS.  Only `maddr` may name a multicast group.
    """
    cdef int port = via.port if via.port else 5060
    if via.maddr:
        return parse_ip(data, via.maddr, via.maddr_end, port, to)
    if via.rport > 0:
        port = via.rport
    if via.received:
        if parse_ip(data, via.received, via.received_end, port, to) < 0:
            return -1
    elif parse_ip(data, via.host, via.host_end, port, to) < 0:
        return -1
    return 0 if is_unicast(to) else -1
