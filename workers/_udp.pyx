"""Datagrams in batches: recvmmsg(2) on a worker's sockets.

`Loop.turn` is the worker's whole inner loop: wait, receive a batch, hand it to the proxy core,
send what came of it.  Nothing here knows SIP.
"""

from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint64_t
from libc.string cimport memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from ds_farm.proxy._core cimport Core
from ds_farm.proxy._notice cimport (
    NOTICE_SIZE,
    NOTICES_A_WRITE,
    NoticeBox,
    concerns_probe,
)
from ds_farm.proxy._wire cimport (
    BATCH,
    DATAGRAM,
    OUTGOING,
    ROOM,
    Inbox,
    Outbox,
    Peer,
)
from shm._layout cimport Header, Process, Worker
from shm._native cimport Memory, ds_add, ds_count, ds_load, ds_store
from workers._sending cimport Failed, Sending
from workers._system cimport (
    MSG_DONTWAIT,
    MSG_ERRQUEUE,
    POLLERR,
    POLLIN,
    c_poll,
    c_write,
    ds_unreachable,
    ds_waited_ns,
    iovec,
    mmsghdr,
    msghdr,
    pollfd,
    recvmmsg,
    recvmsg,
)

from ds_farm.dispatch.times import WAIT_BOUNDS_S


cdef enum:
    MAX_SOCKETS = 64
    BATCHES = 64                 # between two looks at what signals have asked for
    WAITS = 12


cdef uint64_t now_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <uint64_t>t.tv_sec * 1000000000 + t.tv_nsec


cdef class Loop:
    """A worker's sockets and buffers.

    ``fds`` are in the order of the core's listeners; ``handover_fd`` is the socket between workers
    (-1: none); ``wake_fd`` becomes readable at a signal; what concerns probes is written to
    ``notice_fd``.
    Counters, heartbeat and the table's number are read and written in ``segment``.
    """

    cdef pollfd _polled[MAX_SOCKETS + 1]
    cdef int _sockets            # all that datagrams come by
    cdef int _handover           # number of the one between workers, -1: none
    cdef int _notice_fd
    cdef int _more[MAX_SOCKETS]  # not 0: the socket has not been seen empty
    cdef Core _core
    cdef Inbox _inbox
    cdef mmsghdr _in[BATCH]
    cdef iovec _in_vec[BATCH]
    cdef Sending _sending
    cdef unsigned char _control[128]  # of a batch's first datagram
    cdef uint64_t _wait_bounds[WAITS]
    cdef Worker *_counters
    cdef Process *_process
    cdef Header *_header
    cdef object _segment

    def __init__(self, list fds, int handover_fd, int wake_fd, Core core, segment, int slot,
                 int rank, int notice_fd):
        cdef Memory memory = segment.memory
        cdef int i
        if not 1 <= len(fds) < MAX_SOCKETS:
            raise ValueError(f"a worker has 1 to {MAX_SOCKETS - 1} sockets, not {len(fds)}")
        self._handover = -1
        if handover_fd >= 0:
            self._handover = len(fds)
            fds = [*fds, handover_fd]
        self._segment = segment
        self._core = core
        self._inbox = Inbox()
        self._sending = Sending(fds, segment, rank)
        self._sockets = len(fds)
        self._notice_fd = notice_fd
        for i, fd in enumerate([*fds, wake_fd]):
            self._polled[i].fd = fd
            self._polled[i].events = POLLIN
        self._counters = <Worker *>memory.at(segment.worker(rank).base)
        self._process = <Process *>memory.at(segment.process(slot).base)
        self._header = <Header *>memory.at(0)
        for i in range(BATCH):
            self._in_vec[i].iov_base = self._inbox.data[i]
            self._in_vec[i].iov_len = DATAGRAM
            self._in[i].msg_hdr.msg_iov = &self._in_vec[i]
            self._in[i].msg_hdr.msg_iovlen = 1
            self._in[i].msg_hdr.msg_name = &self._inbox.source[i]
        self._in[0].msg_hdr.msg_control = self._control
        for i, bound in enumerate(WAIT_BOUNDS_S):
            self._wait_bounds[i] = int(1e9 * bound)

    def join(self, bint is_joining):
        """Whether datagrams for one address go to the kernel together from now on; at first not."""
        self._sending.is_joining = is_joining

    def turn(self, int timeout_ms, uint64_t generation):
        """Work batch after batch; when every socket is seen empty wait for ``timeout_ms`` at most.

        Returns how many datagrams came, as soon as anything else wants attention: a signal, a
        table newer than ``generation``, the time-out, or BATCHES in a row.
        """
        cdef int i, n, wait_ms, total = 0, batches = 0
        cdef uint64_t start = now_ns(), end
        while True:
            n = 0
            for i in range(self._sockets):
                if self._more[i]:
                    self._more[i] = self._batch(i, start)
                    n += self._more[i]
            if n:
                total += n
                batches += 1
                end = now_ns()
                ds_count(&self._counters.busy_ns, end - start)
                ds_store(&self._process.heartbeat_ns, end)
                self._expire(end)
                start = end
                if batches < BATCHES and ds_load(&self._header.generation) == generation:
                    continue
                return total
            if total and timeout_ms == 0:
                return total
            wait_ms = self._wait_ms(timeout_ms, start)
            with nogil:
                n = c_poll(self._polled, self._sockets + 1, wait_ms)
            start = now_ns()
            ds_store(&self._process.heartbeat_ns, start)
            self._expire(start)
            for i in range(self._sockets):
                self._more[i] = n > 0 and self._polled[i].revents != 0
                if self._more[i] and self._polled[i].revents & POLLERR:
                    self._drain_errors(i, start)
            if (
                n <= 0
                or self._polled[self._sockets].revents
                or ds_load(&self._header.generation) != generation
            ):
                return total

    cdef int _expire(self, uint64_t now) except -1:
        """Do what timers ask for."""
        cdef bint is_more = True
        while is_more:
            is_more = self._core.expire(now)
            if self._core.out.count:
                self._send(self._core.out, now)
        return 0

    cdef int _wait_ms(self, int timeout_ms, uint64_t now) noexcept:
        """How long to wait for datagrams: not longer than till the first timer."""
        cdef uint64_t next_ns = self._core.next_ns()
        if next_ns == 0:
            return timeout_ms
        if next_ns <= now:
            return 0
        return <int>min(<uint64_t>timeout_ms, (next_ns - now + 999999) // 1000000)

    cdef int _batch(self, int listener, uint64_t now) except -1:
        """Receive what one socket has, at most BATCH, and deal with it; returns how many.

        ``now`` is when the wait ended, or the round before: the clock is read once for each.
        """
        cdef Inbox inbox = self._inbox
        cdef int i, n
        for i in range(BATCH):
            self._in[i].msg_hdr.msg_namelen = sizeof(Peer)
        self._in[0].msg_hdr.msg_controllen = sizeof(self._control)
        n = recvmmsg(self._polled[listener].fd, self._in, BATCH, MSG_DONTWAIT, NULL)
        if n < 0 and errno != EAGAIN:
            self._drain_errors(listener, now)  # of an ICMP message; what waits is read at the next turn
        if n <= 0:
            return 0
        for i in range(n):
            inbox.length[i] = self._in[i].msg_len
        inbox.count = n
        i = 0
        ds_count(&self._counters.batches, 1)
        self._note_wait(ds_waited_ns(&self._in[0].msg_hdr))
        while i < n:
            if listener == self._handover:
                i = self._core.receive_handed(inbox, i, now)
            else:
                i = self._core.receive(inbox, listener, i, now)
            self._send(self._core.out, now)
        if self._core.notices.count:
            self._hand_over(self._core.notices)
        return n

    cdef void _note_wait(self, long long waited) noexcept:
        """The oldest of a batch tells how far behind this worker is."""
        cdef int i = 0
        if waited < 0:
            return
        while i < WAITS - 1 and <uint64_t>waited > self._wait_bounds[i]:
            i += 1
        ds_count(&self._counters.waits[i], 1)
        ds_count(&self._counters.wait_ns, <uint64_t>waited)

    cdef int _hand_over(self, NoticeBox box) except -1:
        """Tell the timer; what does not fit the pipe is counted, its probe is sent again."""
        cdef int first = 0, n
        box.stamp(now_ns())
        while first < box.count:
            n = min(box.count - first, <int>NOTICES_A_WRITE)
            if c_write(self._notice_fd, &box.items[first], n * NOTICE_SIZE) < 0:
                ds_add(&self._header.probe_notices_lost, n)
            first += n
        box.count = 0
        return 0

    cdef int _drain_errors(self, int listener, uint64_t now) except -1:
        """Empty a socket's queue of ICMP messages, else poll() would never wait again."""
        cdef msghdr message
        cdef iovec vector
        cdef unsigned char control[512]
        cdef Peer to
        cdef NoticeBox box = self._core.notices
        cdef ssize_t n
        cdef int _i
        vector.iov_base = self._inbox.data[0]
        vector.iov_len = DATAGRAM
        for _i in range(BATCH):
            memset(&message, 0, sizeof(message))
            message.msg_name = &to
            message.msg_namelen = sizeof(Peer)
            message.msg_iov = &vector
            message.msg_iovlen = 1
            message.msg_control = control
            message.msg_controllen = sizeof(control)
            n = recvmsg(self._polled[listener].fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT)
            if n < 0:
                break
            if not message.msg_namelen or not ds_unreachable(&message):
                continue
            if concerns_probe(self._inbox.data[0], <int>n):
                box.unreachable(&to)
            self._core.refused(self._inbox.data[0], <int>n, &to, now)
            if self._core.out.count > OUTGOING - ROOM:
                self._send(self._core.out, now)
        if self._core.out.count:
            self._send(self._core.out, now)
        if box.count:
            self._hand_over(box)
        return 0

    cdef int _send(self, Outbox out, uint64_t now) except -1:
        """Send all that the core has put out, and what it puts out for what could not be sent."""
        cdef Failed *failed
        cdef int i
        self._sending.send(out)
        # Their transactions go on to another destination; what that puts out has its own turn.
        for i in range(self._sending.failures):
            if out.count > OUTGOING - ROOM:
                break  # the others end with their time
            failed = &self._sending.failed[i]
            self._core.refused(failed.data, failed.length, &failed.to, now)
        if out.count:
            self._send(out, now)
        return 0
