"""Datagrams in and out in batches: recvmmsg(2) and sendmmsg(2) on a worker's sockets.

`Loop.turn` is the worker's whole inner loop: wait, receive a batch, hand it to the proxy core,
send what came of it.  Nothing here knows SIP.
"""

from libc.errno cimport EAGAIN, EINTR, ENOBUFS, errno
from libc.stdint cimport uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from ds_farm.proxy._core cimport Core
from ds_farm.proxy._wire cimport (
    AF_INET,
    BATCH,
    DATAGRAM,
    Inbox,
    Outbox,
    Outgoing,
    Peer,
    sockaddr_in,
    sockaddr_in6,
)
from shm._layout cimport DestinationCounters, Header, Process, Worker
from shm._native cimport Memory, ds_count, ds_load, ds_store


cdef extern from "<sys/socket.h>" nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    """
    cdef struct iovec:
        void *iov_base
        size_t iov_len
    cdef struct msghdr:
        void *msg_name
        unsigned int msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        int msg_flags
    cdef struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int recvmmsg(int, mmsghdr *, unsigned int, int, void *)
    int sendmmsg(int, mmsghdr *, unsigned int, int)
    enum: MSG_DONTWAIT


cdef extern from "<poll.h>" nogil:
    cdef struct pollfd:
        int fd
        short events
        short revents
    int c_poll "poll"(pollfd *, unsigned long, int)
    enum: POLLIN
    enum: POLLOUT


cdef enum:
    MAX_SOCKETS = 64
    BATCHES = 64                 # between two looks at what signals have asked for
    SEND_WAIT_MS = 20            # for room in a full send buffer, before a datagram is given up


cdef uint64_t now_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <uint64_t>t.tv_sec * 1000000000 + t.tv_nsec


cdef class Loop:
    """A worker's sockets and buffers.

    ``fds`` are in the order of the core's listeners; ``wake_fd`` becomes readable at a signal.
    Counters, heartbeat and the table's number are read and written in ``segment``.
    """

    cdef pollfd _polled[MAX_SOCKETS + 1]
    cdef int _sockets
    cdef int _more[MAX_SOCKETS]  # not 0: the socket has not been seen empty
    cdef Core _core
    cdef Inbox _inbox
    cdef mmsghdr _in[BATCH]
    cdef iovec _in_vec[BATCH]
    cdef mmsghdr _out[BATCH]
    cdef iovec _out_vec[BATCH]
    cdef Worker *_counters
    cdef DestinationCounters *_destinations
    cdef Process *_process
    cdef Header *_header
    cdef object _segment

    def __init__(self, list fds, int wake_fd, Core core, segment, int slot, int rank):
        cdef Memory memory = segment.memory
        cdef int i
        if not 1 <= len(fds) <= MAX_SOCKETS:
            raise ValueError(f"a worker has 1 to {MAX_SOCKETS} sockets, not {len(fds)}")
        self._segment = segment
        self._core = core
        self._inbox = Inbox()
        self._sockets = len(fds)
        for i, fd in enumerate([*fds, wake_fd]):
            self._polled[i].fd = fd
            self._polled[i].events = POLLIN
        self._counters = <Worker *>memory.at(segment.worker(rank).base)
        self._destinations = <DestinationCounters *>memory.at(segment.counters(rank, 0).base)
        self._process = <Process *>memory.at(segment.process(slot).base)
        self._header = <Header *>memory.at(0)
        for i in range(BATCH):
            self._in_vec[i].iov_base = self._inbox.data[i]
            self._in_vec[i].iov_len = DATAGRAM
            self._in[i].msg_hdr.msg_iov = &self._in_vec[i]
            self._in[i].msg_hdr.msg_iovlen = 1
            self._in[i].msg_hdr.msg_name = &self._inbox.source[i]
            self._out[i].msg_hdr.msg_iov = &self._out_vec[i]
            self._out[i].msg_hdr.msg_iovlen = 1

    def turn(self, int timeout_ms, uint64_t generation):
        """Work batch after batch; when every socket is seen empty wait for ``timeout_ms`` at most.

        Returns how many datagrams came, as soon as anything else wants attention: a signal, a
        table newer than ``generation``, the time-out, or BATCHES in a row.
        """
        cdef int i, n, total = 0, batches = 0
        cdef uint64_t start = now_ns(), end
        while True:
            n = 0
            for i in range(self._sockets):
                if self._more[i]:
                    self._more[i] = self._batch(i)
                    n += self._more[i]
            if n:
                total += n
                batches += 1
                end = now_ns()
                ds_count(&self._counters.busy_ns, end - start)
                ds_store(&self._process.heartbeat_ns, end)
                start = end
                if batches < BATCHES and ds_load(&self._header.generation) == generation:
                    continue
                return total
            if total and timeout_ms == 0:
                return total
            with nogil:
                n = c_poll(self._polled, self._sockets + 1, timeout_ms)
            start = now_ns()
            ds_store(&self._process.heartbeat_ns, start)
            for i in range(self._sockets):
                self._more[i] = n > 0 and self._polled[i].revents != 0
            if (
                n <= 0
                or self._polled[self._sockets].revents
                or ds_load(&self._header.generation) != generation
            ):
                return total

    cdef int _batch(self, int listener) except -1:
        """Receive what one socket has, at most BATCH, and deal with it; returns how many."""
        cdef Inbox inbox = self._inbox
        cdef int i, n
        for i in range(BATCH):
            self._in[i].msg_hdr.msg_namelen = sizeof(Peer)
        n = recvmmsg(self._polled[listener].fd, self._in, BATCH, MSG_DONTWAIT, NULL)
        if n <= 0:
            return 0
        for i in range(n):
            inbox.length[i] = self._in[i].msg_len
        inbox.count = n
        ds_count(&self._counters.batches, 1)
        self._core.receive(inbox, listener)
        self._send(self._core.out)
        return n

    cdef int _send(self, Outbox out) except -1:
        """Send all that the core has put out, in order, a system call for each run of one socket."""
        cdef Outgoing *item
        cdef int first = 0, n, sent
        while first < out.count:
            n = 0
            while first + n < out.count and out.items[first + n].listener == out.items[first].listener:
                item = &out.items[first + n]
                self._out_vec[n].iov_base = item.data
                self._out_vec[n].iov_len = item.length
                self._out[n].msg_hdr.msg_name = &item.to
                self._out[n].msg_hdr.msg_namelen = (
                    sizeof(sockaddr_in) if item.to.any.sa_family == AF_INET
                    else sizeof(sockaddr_in6)
                )
                ds_count(&self._counters.sent_bytes, item.length)
                n += 1
            sent = self._send_run(self._polled[out.items[first].listener].fd, n)
            first += sent
            if sent < n:
                # The kernel would not take this one: say so where its destination is counted.
                item = &out.items[first]
                ds_count(&self._counters.send_errors, 1)
                if item.slot >= 0:
                    ds_count(&self._destinations[item.slot].failures, 1)
                first += 1
        out.clear()
        return 0

    cdef int _send_run(self, int fd, int n) noexcept:
        """Send the first ``n`` prepared datagrams; returns how many went out before a failure."""
        cdef pollfd wanted
        cdef int sent
        while True:
            sent = sendmmsg(fd, self._out, n, MSG_DONTWAIT)
            if sent >= 0:
                return sent
            if errno == EINTR:
                continue
            if errno != EAGAIN and errno != ENOBUFS:
                return 0
            wanted.fd = fd
            wanted.events = POLLOUT
            if c_poll(&wanted, 1, SEND_WAIT_MS) <= 0:
                return 0
