"""Datagrams of a batch (`Inbox`, `Outbox`), the sockets we answer for (`Network`), and IP addresses as text.

No socket is opened here: `workers/_udp.pyx` sends what an Outbox holds.
"""

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset, strlen

from ds_farm.sip._text cimport same


cdef class Inbox:
    """Room for BATCH received datagrams of any length."""

    def __cinit__(self):
        # A stride that is no power of two: else the heads of all messages would fall into the
        # same few cache sets.
        cdef size_t stride = DATAGRAM + 64 * 17
        cdef int i
        self._buffers = <unsigned char *>malloc(BATCH * stride)
        if self._buffers == NULL:
            raise MemoryError
        for i in range(BATCH):
            self.data[i] = self._buffers + i * stride

    def __dealloc__(self):
        free(self._buffers)


cdef class Outbox:
    """Datagrams to send, at most OUTGOING between two `clear`."""

    def __cinit__(self):
        # Only pages that were written once cost memory: long messages are rare.
        self._arena = <unsigned char *>malloc(<size_t>(OUTGOING + 1) * DATAGRAM)
        if self._arena == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self._arena)

    cdef unsigned char *begin(self) noexcept nogil:
        """Room for one datagram of DATAGRAM bytes; NULL if the box is full."""
        return NULL if self.count == OUTGOING else self._arena + self._used

    cdef void commit(self, int length, const Peer *to, int listener, int slot) noexcept nogil:
        """Add the datagram that was written to `begin`."""
        cdef Outgoing *item = &self.items[self.count]
        item.data = self._arena + self._used
        item.length = length
        item.listener = listener
        item.slot = slot
        item.to = to[0]
        self._used += (length + 63) & ~63
        self.count += 1

    cdef void clear(self) noexcept nogil:
        self.count = 0
        self._used = 0

    def __len__(self):
        return self.count

    def take(self):
        """All datagrams as (bytes, ip, port, listener), and an empty box; for tests and tools."""
        cdef Outgoing *item
        cdef char text[64]
        taken = []
        for i in range(self.count):
            item = &self.items[i]
            text[put_ip(<unsigned char *>text, &item.to)] = 0
            taken.append((item.data[:item.length], (<bytes>text).decode(),
                          peer_port(&item.to), item.listener))
        self.clear()
        return taken


cdef class Network:
    """The sockets that a worker receives on, in the order of their numbers.

    Made from (ip, port, advertised host, advertised port) of each, and from what else means this
    server: (host, port or 0).
    """

    def __cinit__(self, list sockets, list aliases=None):
        cdef Listener *listener
        cdef bytes text
        aliases = aliases or []
        self.alias_count = len(aliases)
        self.aliases = <Alias *>calloc(max(1, self.alias_count), sizeof(Alias))
        if self.aliases == NULL:
            raise MemoryError
        for i, (host, port) in enumerate(aliases):
            text = host.encode()
            if len(text) > <int>sizeof(self.aliases[i].host):
                raise ValueError(f"the alias {host!r} is too long")
            memcpy(self.aliases[i].host, <const char *>text, len(text))
            self.aliases[i].length = len(text)
            self.aliases[i].port = port
        self.count = len(sockets)
        self.descriptions = list(sockets)
        self.listeners = <Listener *>calloc(max(1, self.count), sizeof(Listener))
        if self.listeners == NULL:
            raise MemoryError
        for i, (ip, port, host, advertised_port) in enumerate(sockets):
            listener = &self.listeners[i]
            text = ip.encode()
            if parse_ip(text, 0, len(text), port, &listener.bound) < 0:
                raise ValueError(f"{ip!r} is not an IP address")
            listener.family = listener.bound.any.sa_family
            sent_by = f"{f'[{host}]' if ':' in host else host}:{advertised_port}".encode()
            text = b"Via: SIP/2.0/UDP " + sent_by + b";branch=z9hG4bK"
            if len(text) > <int>sizeof(listener.via):
                raise ValueError(f"the advertised host {host!r} is too long")
            memcpy(listener.via, <const char *>text, len(text))
            listener.via_length = len(text)
            listener.sent_by = 17
            listener.sent_by_length = len(sent_by)

    def __dealloc__(self):
        free(self.listeners)
        free(self.aliases)

    def find(self, str text):
        """Number of the socket that ``[proto:]host[:port]`` names, bound or advertised, -1 if it
        is none of ours.  Without protocol UDP is meant, without port any (semantics 1.2)."""
        proto, colon, rest = text.strip().partition(":")
        if not colon or proto.lower() not in ("udp", "tcp", "tls", "sctp", "ws", "wss"):
            proto, rest = "udp", text.strip()
        if proto.lower() != "udp":
            return -1
        host, colon, port = rest.rpartition(":")
        if not colon or rest.endswith("]"):
            host, port = rest, ""
        host = host.strip("[]").lower()
        for i, (ip, bound_port, name, told_port) in enumerate(self.descriptions):
            for known, known_port in ((ip, bound_port), (name, told_port)):
                if host == known.lower() and (not port or port == str(known_port)):
                    return i
        return -1

    cdef int ours(self, const unsigned char *data, int host, int host_end, int port) noexcept nogil:
        """Which listener a sent-by or URI (host, port; 0 is 5060) names, -1 if none."""
        cdef Listener *listener
        cdef unsigned char digits[16]
        cdef int i, n = put_number(digits, port if port else 5060)
        for i in range(self.count):
            listener = &self.listeners[i]
            if (
                listener.sent_by_length == host_end - host + 1 + n
                and same(data, host, host_end, <const char *>listener.via + listener.sent_by,
                         host_end - host)
                and memcmp(listener.via + listener.sent_by + (host_end - host) + 1, digits, n) == 0
            ):
                return i
        return -1

    cdef bint is_alias(
        self, const unsigned char *data, int host, int host_end, int port
    ) noexcept nogil:
        """Whether an alias names a URI's host and port (0 is 5060)."""
        cdef Alias *alias
        cdef int i
        for i in range(self.alias_count):
            alias = &self.aliases[i]
            if (
                same(data, host, host_end, <const char *>alias.host, alias.length)
                and (alias.port == 0 or alias.port == (port if port else 5060))
            ):
                return True
        return False

    cdef int is_bound(self, const Peer *peer) noexcept nogil:
        """Which listener is bound to this address and port, -1 if none."""
        cdef int i
        for i in range(self.count):
            if (
                same_ip(&self.listeners[i].bound, peer)
                and peer_port(&self.listeners[i].bound) == peer_port(peer)
            ):
                return i
        return -1

    cdef int for_family(self, int family, int preferred) noexcept nogil:
        """A listener that can send to addresses of this family, -1 if none."""
        cdef int i
        if 0 <= preferred < self.count and self.listeners[preferred].family == family:
            return preferred
        for i in range(self.count):
            if self.listeners[i].family == family:
                return i
        return -1


cdef int parse_ip(const unsigned char *data, int start, int end, int port, Peer *peer) noexcept nogil:
    """Fill `peer` from a literal address, an IPv6 one with or without brackets; -1 if it is none."""
    cdef char text[64]
    if start < end and data[start] == 91 and data[end - 1] == 93:
        start += 1
        end -= 1
    if end <= start or end - start >= <int>sizeof(text):
        return -1
    memcpy(text, data + start, end - start)
    text[end - start] = 0
    memset(peer, 0, sizeof(Peer))
    if inet_pton(AF_INET, text, &peer.v4.sin_addr) == 1:
        peer.v4.sin_family = AF_INET
        peer.v4.sin_port = htons(port)
        return 0
    if inet_pton(AF_INET6, text, &peer.v6.sin6_addr) == 1:
        peer.v6.sin6_family = AF_INET6
        peer.v6.sin6_port = htons(port)
        return 0
    return -1


cdef bint is_unicast(const Peer *peer) noexcept nogil:
    """Whether one host can have this address: not unspecified, multicast or broadcast."""
    cdef const unsigned char *octets = <const unsigned char *>&peer.v4.sin_addr
    cdef int i
    if peer.any.sa_family == AF_INET:
        return 0 < octets[0] < 224
    octets = <const unsigned char *>&peer.v6.sin6_addr
    if octets[0] == 255:
        return False
    for i in range(16):
        if octets[i]:
            return True
    return False


cdef bint same_ip(const Peer *a, const Peer *b) noexcept nogil:
    """Whether two peers have one IP address, whatever their ports."""
    if a.any.sa_family != b.any.sa_family:
        return False
    if a.any.sa_family == AF_INET:
        return a.v4.sin_addr.s_addr == b.v4.sin_addr.s_addr
    return memcmp(&a.v6.sin6_addr, &b.v6.sin6_addr, 16) == 0


cdef int peer_port(const Peer *peer) noexcept nogil:
    return ntohs(peer.v4.sin_port if peer.any.sa_family == AF_INET else peer.v6.sin6_port)


cdef void set_port(Peer *peer, int port) noexcept nogil:
    if peer.any.sa_family == AF_INET:
        peer.v4.sin_port = htons(port)
    else:
        peer.v6.sin6_port = htons(port)


cdef int put_ip(unsigned char *out, const Peer *peer) noexcept nogil:
    """Write the address without brackets; returns its length (at most 45)."""
    cdef unsigned char *octet
    cdef int i, n = 0
    if peer.any.sa_family == AF_INET:
        octet = <unsigned char *>&peer.v4.sin_addr
        for i in range(4):
            if i:
                out[n] = 46
                n += 1
            n += put_number(out + n, octet[i])
        return n
    if inet_ntop(AF_INET6, &peer.v6.sin6_addr, <char *>out, 46) == NULL:
        return 0
    return <int>strlen(<char *>out)


cdef int put_number(unsigned char *out, int value) noexcept nogil:
    """Write a number of 0..99999 in decimal; returns how many digits."""
    cdef unsigned char digits[8]
    cdef int i, n = 0
    while True:
        digits[n] = <unsigned char>(48 + value % 10)
        value = value // 10
        n += 1
        if value == 0 or n == 8:
            break
    for i in range(n):
        out[i] = digits[n - 1 - i]
    return n
