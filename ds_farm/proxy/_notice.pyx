"""Notices on their way to the timer, and how it reads them; see `_notice.pxd`."""

from libc.string cimport memcpy, memset

from ds_farm.proxy._wire cimport peer_port, put_ip


cdef extern from "<string.h>" nogil:
    void *memmem(const void *, size_t, const void *, size_t)


assert sizeof(Notice) == NOTICE_SIZE

SIZE = NOTICE_SIZE


cdef class NoticeBox:
    """Notices of one batch of datagrams; at most BATCH."""

    cdef void reply(self, const unsigned char *data, const Message *m, const Via *via) noexcept nogil:
        """A reply whose branch is marked.  What is longer than ours can be is not noted."""
        cdef Notice *item = &self.items[self.count]
        cdef int branch = via.branch_end - via.branch
        cdef int method = m.cseq_method_end - m.cseq_method
        if self.count == BATCH or branch > <int>sizeof(item.branch) or method > <int>sizeof(item.method):
            return
        item.status = m.status
        item.branch_length = <uint8_t>branch
        item.method_length = <uint8_t>method
        memcpy(item.branch, data + via.branch, branch)
        memcpy(item.method, data + m.cseq_method, method)
        self.count += 1

    cdef void unreachable(self, const Peer *peer) noexcept nogil:
        cdef Notice *item = &self.items[self.count]
        if self.count == BATCH:
            return
        memset(item, 0, sizeof(Notice))
        item.peer = peer[0]
        self.count += 1

    cdef void stamp(self, uint64_t now_ns) noexcept nogil:
        cdef int i
        for i in range(self.count):
            self.items[i].at_ns = now_ns

    def take(self, uint64_t now_ns=0):
        """All notices as bytes, and an empty box; for tests and tools."""
        cdef bytes taken
        self.stamp(now_ns)
        taken = (<unsigned char *>self.items)[:self.count * NOTICE_SIZE]
        self.count = 0
        return taken


def decode(bytes data):
    """Notices as (at_ns, status, branch, method, ip, port); a status of 0 means unreachable, and
    only then there are ip and port.  An incomplete record at the end is left out."""
    cdef Notice item
    cdef unsigned char text[64]
    cdef int i, n
    found = []
    for i in range(len(data) // NOTICE_SIZE):
        memcpy(&item, <const unsigned char *>data + i * NOTICE_SIZE, NOTICE_SIZE)
        if item.status:
            found.append((item.at_ns, item.status,
                          <bytes>item.branch[:min(item.branch_length, <int>sizeof(item.branch))],
                          <bytes>item.method[:min(item.method_length, <int>sizeof(item.method))],
                          "", 0))
        else:
            n = put_ip(text, &item.peer)
            found.append((item.at_ns, 0, b"", b"", (<bytes>text[:n]).decode(), peer_port(&item.peer)))
    return found


cdef bint concerns_probe(const unsigned char *quoted, int length) noexcept nogil:
    """Whether an ICMP message may be about a probe, by what it quotes of the datagram.

    Few routers quote more than the UDP header (RFC 792); then it may.
    """
    return length < 64 or memmem(quoted, length, b";branch=z9hG4bKp", 16) != NULL
