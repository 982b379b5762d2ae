"""Datagrams out, in as few passes through the kernel as their addresses allow.

Cost: a send is the dearest thing that a worker does, and nearly all of it is the kernel's way from
the socket to the device.  Datagrams of one batch for one address take that way together, as a
train (UDP_SEGMENT, udp(7)): a struct for each datagram here, no copy, no allocation.
"""

from ds_farm.proxy._wire cimport OUTGOING, Outbox, Outgoing, Peer
from shm._layout cimport DestinationCounters, Worker
from workers._system cimport SEGMENT_ROOM, iovec, mmsghdr


cdef enum:
    KEPT = 8                     # datagrams of one `send` that failed, for their transactions
    HEAD = 512                   # bytes of these: request line and topmost Via are in them
    LINES = 256                  # addresses whose last train is remembered; a power of two


cdef struct Train:               # datagrams for one address: all of one length, but the last shorter
    Outgoing *first
    int count
    int bytes
    bint is_closed               # the last one is shorter


cdef struct Failed:
    unsigned char data[HEAD]
    int length
    Peer to


cdef class Sending:
    cdef Failed failed[KEPT]
    cdef int failures            # of these
    cdef bint is_joining         # else each datagram goes alone
    cdef int *_fds
    cdef int _longest            # datagram that may be in a train; 0: none
    cdef mmsghdr _messages[OUTGOING]
    cdef unsigned char _controls[OUTGOING][SEGMENT_ROOM]
    cdef iovec _vectors[OUTGOING]
    cdef Outgoing *_items[OUTGOING]  # whose datagram each vector is
    cdef Train _trains[OUTGOING]
    cdef int _train_of[OUTGOING]
    cdef short _last_of[LINES]
    cdef Worker *_counters
    cdef DestinationCounters *_destinations

    cdef void send(self, Outbox out) noexcept
    cdef int _form(self, Outgoing *items, int n) noexcept
    cdef int _train_for(self, Outgoing *item, int trains) noexcept
    cdef void _send_trains(self, int fd, int trains, int datagrams) noexcept
    cdef void _take_apart(self, int fd, mmsghdr *train, int error) noexcept
    cdef void _fail(self, Outgoing *item) noexcept
