"""Who owns a call, and datagrams between workers (ARCHITECTURE.md, "Who owns a call").

owner = hash(Call-ID) mod N (`owner.py`).  N may change while calls flow, and calls under way stay where they
are: the segment's header keeps the last sizes of the farm.  A request that the owner by today's N
has no transaction of goes on to the owner by yesterday's, and so on; who has its transaction takes
it, and if nobody has, today's owner gets it back with ``step`` FINAL.  Responses need no search:
our Via has the rank of the worker that sent the request.

NOTES
 (a) A worker whose port is not known is not there yet; its place is taken by the owner before it.
 (b) What cannot be handed over (no room, too long by the header) is dealt with where it came in:
     forwarded without harm, at worst a retransmission that is not absorbed.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from ds_farm.proxy._wire cimport AF_INET, PAYLOAD, Outbox, Peer, htons, inet_pton
from ds_farm.sip._scan cimport Message
from shm._layout cimport SIZES, Header, Worker
from shm._native cimport Memory, ds_load

from ds_farm.proxy.owner import CALL_ID_BYTES, hash_key

cdef class Handover:
    """Of the worker with that rank.  ``socket`` is the number of the socket that datagrams are
    handed over with; ``window_ns`` how long a transaction can last."""

    def __init__(self, segment, int rank, int socket, uint64_t window_ns):
        cdef Memory memory = segment.memory
        cdef bytes secret = segment.secret()
        self._segment = segment
        self.header = <Header *>memory.at(0)
        self.workers = <Worker *>memory.at(segment.worker(0).base)
        self.max_workers = segment.layout.max_workers
        self.rank = rank
        self.socket = socket
        self.window_ns = window_ns
        self.seed, self.factor = hash_key(secret)
        self.hashed = CALL_ID_BYTES
        self.token = ~(<uint64_t>int.from_bytes(secret[:8], "little") * 3
                       ^ <uint64_t>int.from_bytes(secret[8:], "little"))

    cdef int owner(self, const unsigned char *data, Message *m, int step) noexcept nogil:
        """Rank of the owner by the size that the farm had ``step`` changes ago, -1 if none."""
        cdef uint64_t changes = ds_load(&self.header.size_changes), size
        cdef uint64_t found = self.seed
        cdef int rank, i
        if <uint64_t>step >= SIZES or <uint64_t>step >= changes:
            return -1
        size = ds_load(&self.header.sizes[(changes - step) % SIZES])
        if size == 0:
            return -1
        if size == 1:
            return 0
        for i in range(m.call_id, min(m.call_id_end, m.call_id + self.hashed)):
            found = (found ^ data[i]) * self.factor
        rank = <int>((found >> 32) % size)
        if rank >= self.max_workers or ds_load(&self.workers[rank].handover_port) == 0:
            return self.owner(data, m, step + 1)
        return rank

    cdef int next_owner(
        self, const unsigned char *data, Message *m, int *step, uint64_t now_ns
    ) noexcept nogil:
        """Who else may have the transaction of a request that is not here; -1: nobody."""
        cdef uint64_t changes = ds_load(&self.header.size_changes), since
        cdef int rank
        while step[0] + 1 < <int>SIZES and <uint64_t>step[0] + 1 < changes:
            since = ds_load(&self.header.size_since_ns[(changes - step[0]) % SIZES])
            if now_ns > since + self.window_ns:
                return -1
            step[0] += 1
            rank = self.owner(data, m, step[0])
            if rank >= 0 and rank != self.rank:
                return rank
        return -1

    cdef bint give(
        self, Outbox out, const unsigned char *data, int length, const Peer *source, int listener,
        int owner, int step
    ) noexcept nogil:
        """Put a datagram out to another worker; False if it cannot be handed over."""
        cdef Handed handed
        cdef Peer to
        cdef unsigned char *datagram = out.begin()
        cdef uint64_t port
        if not 0 <= owner < self.max_workers or datagram == NULL:
            return False
        port = ds_load(&self.workers[owner].handover_port)
        if port == 0 or length + <int>sizeof(Handed) > PAYLOAD:
            return False
        memset(&handed, 0, sizeof(Handed))
        handed.token = self.token
        handed.listener = listener
        handed.step = step
        handed.sender = self.rank
        handed.source = source[0]
        memcpy(datagram, &handed, sizeof(Handed))
        memcpy(datagram + sizeof(Handed), data, length)
        memset(&to, 0, sizeof(Peer))
        to.v4.sin_family = AF_INET
        to.v4.sin_port = htons(<unsigned short>port)
        inet_pton(AF_INET, "127.0.0.1", &to.v4.sin_addr)
        out.commit(length + <int>sizeof(Handed), &to, self.socket, -1)
        return True

    cdef const unsigned char *take(
        self, const unsigned char *data, int *length, Handed *handed
    ) noexcept nogil:
        """The datagram that was handed over, NULL if no worker of this farm has sent it."""
        if length[0] < <int>sizeof(Handed):
            return NULL
        memcpy(handed, data, sizeof(Handed))
        if handed.token != self.token:
            return NULL
        length[0] -= <int>sizeof(Handed)
        return data + sizeof(Handed)
