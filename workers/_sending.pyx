"""Datagrams out: sendmmsg(2), those for one address joined into trains (UDP_SEGMENT, udp(7)).

NOTES
 (a) Order is kept for each address, which is all that a peer can see of it.
 (b) A train is not sent where a datagram is longer than the way to its address takes in one piece
     (EINVAL, EMSGSIZE), or where the device cannot write checksums (EIO).  Nobody can know before,
     so it is taken apart then, its datagrams go one by one, and later trains have shorter ones.
 (c) With IP_RECVERR a call may fail for what ICMP said of an earlier datagram, and for this one
     it says nothing: so a failure counts when it comes again.
"""

from libc.errno cimport EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE, ENOBUFS, errno
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from ds_farm.proxy._wire cimport (
    AF_INET,
    PAYLOAD,
    Outbox,
    Outgoing,
    Peer,
    sockaddr_in,
    sockaddr_in6,
)
from shm._layout cimport DestinationCounters, Worker
from shm._native cimport Memory, ds_count
from workers._system cimport (
    MSG_DONTWAIT,
    POLLOUT,
    c_poll,
    ds_segments,
    mmsghdr,
    pollfd,
    sendmmsg,
)


cdef enum:
    SEND_WAIT_MS = 20            # for room in a full send buffer, before a datagram is given up
    SEND_TRIES = 3
    NEIGHBOURS = 4               # lines where an address's last train may be: several share one
    SEGMENTS = 64                # datagrams that the kernel takes in a train (UDP_MAX_SEGMENTS)
    ETHERNET = 1452              # longest datagram that fits a frame, over IPv6 too


cdef class Sending:
    """What a worker sends its datagrams with.

    ``fds`` are in the order of the core's listeners.  What the kernel would not send is counted in
    ``segment`` for worker ``rank``.
    """

    def __init__(self, list fds, segment, int rank):
        cdef Memory memory = segment.memory
        cdef int i
        self._fds = <int *>calloc(len(fds), sizeof(int))
        if self._fds == NULL:
            raise MemoryError
        for i, fd in enumerate(fds):
            self._fds[i] = fd
        self._longest = ETHERNET
        self._counters = <Worker *>memory.at(segment.worker(rank).base)
        self._destinations = <DestinationCounters *>memory.at(segment.counters(rank, 0).base)

    def __dealloc__(self):
        free(self._fds)

    cdef void send(self, Outbox out) noexcept:
        """Send all that the core has put out, and empty it; the first of what failed is in `failed`."""
        cdef Outgoing *item = out.items
        cdef Outgoing *end = out.items + out.count
        cdef int n
        self.failures = 0
        while item < end:
            n = 1
            while item + n < end and item[n].listener == item.listener:
                n += 1
            self._send_trains(self._fds[item.listener], self._form(item, n), n)
            item += n
        out.clear()

    cdef int _form(self, Outgoing *items, int n) noexcept:
        """Make trains of datagrams that one socket sends, ready to go; returns how many."""
        cdef Train *train
        cdef mmsghdr *message
        cdef int i, k, place = 0, trains = 0, total = 0
        memset(self._last_of, 0xff, sizeof(self._last_of))
        for i in range(n):
            k = self._train_for(&items[i], trains)
            if k == trains:
                trains += 1
            self._train_of[i] = k
            total += items[i].length
        for k in range(trains):
            train = &self._trains[k]
            message = &self._messages[k]
            message.msg_hdr.msg_iov = &self._vectors[place]
            message.msg_hdr.msg_iovlen = 0
            message.msg_hdr.msg_name = &train.first.to
            message.msg_hdr.msg_namelen = (
                sizeof(sockaddr_in) if train.first.to.any.sa_family == AF_INET
                else sizeof(sockaddr_in6)
            )
            ds_segments(
                &message.msg_hdr, self._controls[k], train.first.length if train.count > 1 else 0
            )
            place += train.count
        for i in range(n):
            message = &self._messages[self._train_of[i]]
            k = <int>(message.msg_hdr.msg_iov - self._vectors + message.msg_hdr.msg_iovlen)
            self._vectors[k].iov_base = items[i].data
            self._vectors[k].iov_len = items[i].length
            self._items[k] = &items[i]
            message.msg_hdr.msg_iovlen += 1
        ds_count(&self._counters.sent_bytes, total)
        return trains

    cdef int _train_for(self, Outgoing *item, int trains) noexcept:
        """Number of the train that a datagram goes with; ``trains``, if it begins a new one."""
        cdef int home = line_of(&item.to), line = home, k = -1, tried
        cdef Train *train
        for tried in range(NEIGHBOURS):
            line = (home + tried) % LINES
            k = self._last_of[line]
            if k < 0 or same_peer(&self._trains[k].first.to, &item.to):
                break
        else:
            line, k = home, -1
        if k >= 0 and self.is_joining:
            train = &self._trains[k]
            if (
                not train.is_closed
                and train.first.length >= item.length
                and train.first.length <= self._longest
                and train.count < SEGMENTS
                and train.bytes + item.length <= PAYLOAD
            ):
                train.count += 1
                train.bytes += item.length
                train.is_closed = item.length < train.first.length
                return k
        train = &self._trains[trains]
        train.first = item
        train.count = 1
        train.bytes = item.length
        train.is_closed = item.length == 0
        self._last_of[line] = trains
        return trains

    cdef void _send_trains(self, int fd, int trains, int datagrams) noexcept:
        """Send the trains that `_form` has made of so many datagrams."""
        cdef mmsghdr *message = self._messages
        cdef mmsghdr *end = message + trains
        cdef int joined = datagrams - trains
        while message < end:
            message += send_all(fd, message, <int>(end - message))
            if message < end:
                if message.msg_hdr.msg_iovlen == 1:
                    self._fail(self._items[message.msg_hdr.msg_iov - self._vectors])
                else:
                    self._take_apart(fd, message, errno)
                    joined -= <int>message.msg_hdr.msg_iovlen - 1
                message += 1
        ds_count(&self._counters.joined, joined)

    cdef void _take_apart(self, int fd, mmsghdr *train, int error) noexcept:
        """Send the datagrams of a train that failed one by one; if they go, it was the train."""
        cdef mmsghdr single = train[0]
        cdef int first = <int>(train.msg_hdr.msg_iov - self._vectors), i, gone = 0
        single.msg_hdr.msg_iovlen = 1
        ds_segments(&single.msg_hdr, NULL, 0)
        for i in range(first, first + <int>train.msg_hdr.msg_iovlen):
            single.msg_hdr.msg_iov = &self._vectors[i]
            if send_all(fd, &single, 1):
                gone += 1
            else:
                self._fail(self._items[i])
        if gone and (error == EINVAL or error == EMSGSIZE):
            self._longest = <int>self._vectors[first].iov_len - 1
        elif gone and error == EIO:
            self._longest = 0

    cdef void _fail(self, Outgoing *item) noexcept:
        """The kernel would not take this one: say so where its destination is counted."""
        cdef Failed *kept
        ds_count(&self._counters.send_errors, 1)
        if item.slot < 0:
            return
        ds_count(&self._destinations[item.slot].failures, 1)
        if self.failures < KEPT:
            kept = &self.failed[self.failures]
            kept.length = min(item.length, <int>HEAD)
            memcpy(kept.data, item.data, kept.length)
            kept.to = item.to
            self.failures += 1


cdef int send_all(int fd, mmsghdr *messages, int n) noexcept:
    """Send ``n`` prepared messages; returns how many went out before a failure, which errno tells."""
    cdef pollfd wanted
    cdef int sent, done = 0, failures = 0
    while done < n:
        sent = sendmmsg(fd, messages + done, n - done, MSG_DONTWAIT)
        if sent > 0:
            done += sent
            failures = 0
        elif errno == EAGAIN or errno == ENOBUFS:
            wanted.fd = fd
            wanted.events = POLLOUT
            if c_poll(&wanted, 1, SEND_WAIT_MS) <= 0:
                break
        elif errno != EINTR:
            failures += 1
            if failures == SEND_TRIES:
                break
    return done


cdef inline int line_of(const Peer *peer) noexcept:
    """Where the last train for an address is remembered; another's may be there."""
    cdef uint32_t word[4]
    cdef uint32_t mixed = peer.v4.sin_port  # at the same place for both families
    if peer.any.sa_family == AF_INET:
        mixed ^= peer.v4.sin_addr.s_addr
    else:
        memcpy(word, &peer.v6.sin6_addr, sizeof(word))
        mixed ^= word[0] ^ word[1] ^ word[2] ^ word[3]
    mixed *= <uint32_t>0x9e3779b1
    return mixed >> 24  # LINES is 1 << 8


cdef inline bint same_peer(const Peer *a, const Peer *b) noexcept:
    """Whether two datagrams go to one address and port."""
    if a.any.sa_family != b.any.sa_family:
        return False
    if a.any.sa_family == AF_INET:
        return a.v4.sin_port == b.v4.sin_port and a.v4.sin_addr.s_addr == b.v4.sin_addr.s_addr
    return memcmp(&a.v6, &b.v6, sizeof(sockaddr_in6)) == 0
