"""Datagrams on their way out, and the farm's own addresses, as compiled code sees them.

Cost: an outgoing datagram is written once, from ranges of the received one and a few inserted
bytes, into an arena that is used again for each batch.  No allocation for a message.
"""

from libc.stdint cimport uint16_t, uint32_t
from posix.types cimport pid_t


cdef extern from "<netinet/in.h>" nogil:
    cdef struct in_addr:
        uint32_t s_addr
    cdef struct in6_addr:
        unsigned char s6_addr[16]
    cdef struct sockaddr:
        unsigned short sa_family
    cdef struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        unsigned short sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
    enum: AF_INET
    enum: AF_INET6
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)


cdef extern from "<arpa/inet.h>" nogil:
    int inet_pton(int, const char *, void *)
    const char *inet_ntop(int, const void *, char *, unsigned int)


cdef union Peer:                 # an IP address and port
    sockaddr any
    sockaddr_in v4
    sockaddr_in6 v6


cdef struct Outgoing:
    unsigned char *data
    int length
    int listener                 # which of the worker's sockets sends it
    int slot                     # destination whose failure a send error is, or -1
    Peer to


cdef struct Listener:
    int family
    Peer bound
    unsigned char via[160]       # "Via: SIP/2.0/UDP host:port;branch=z9hG4bK", what our Via begins with
    int via_length
    int sent_by                  # where host:port begins in it, and how long it is
    int sent_by_length


cdef enum:
    BATCH = 128                  # datagrams a system call
    OUTGOING = 512               # datagrams that leave in one go
    ROOM = 66                    # of them, for what one message or timer may cause
    DATAGRAM = 65536             # no UDP datagram is longer
    PAYLOAD = 65507              # what fits one over IPv4


cdef class Inbox:                # datagrams of one batch, filled by workers/_udp.pyx
    cdef unsigned char *data[BATCH]
    cdef int length[BATCH]
    cdef Peer source[BATCH]
    cdef int count
    cdef unsigned char *_buffers


cdef class Outbox:
    cdef Outgoing items[OUTGOING]
    cdef int count
    cdef unsigned char *_arena
    cdef int _used

    cdef unsigned char *begin(self) noexcept nogil
    cdef void commit(self, int length, const Peer *to, int listener, int slot) noexcept nogil
    cdef void clear(self) noexcept nogil


cdef enum:
    BY_ALIAS = 1 << 20           # instead of a socket's number

cdef struct Alias:
    unsigned char host[256]
    int length
    int port                     # 0: any


cdef class Network:
    cdef Listener *listeners
    cdef readonly int count
    cdef Alias *aliases
    cdef int alias_count
    cdef readonly list descriptions

    cdef int ours(self, const unsigned char *data, int host, int host_end, int port) noexcept nogil
    cdef int is_bound(self, const Peer *peer) noexcept nogil
    cdef bint is_alias(self, const unsigned char *data, int host, int host_end, int port) noexcept nogil
    cdef int for_family(self, int family, int preferred) noexcept nogil


cdef int parse_ip(const unsigned char *data, int start, int end, int port, Peer *peer) noexcept nogil
cdef bint is_unicast(const Peer *peer) noexcept nogil
cdef bint same_ip(const Peer *a, const Peer *b) noexcept nogil
cdef int peer_port(const Peer *peer) noexcept nogil
cdef void set_port(Peer *peer, int port) noexcept nogil
cdef int put_ip(unsigned char *out, const Peer *peer) noexcept nogil
cdef int put_number(unsigned char *out, int value) noexcept nogil
