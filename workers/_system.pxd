"""What the worker's loop calls of the system: batches of datagrams, their ancillary data, poll."""

from ds_farm.proxy._wire cimport Peer


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
        void *msg_control
        size_t msg_controllen
        int msg_flags
    cdef struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int recvmmsg(int, mmsghdr *, unsigned int, int, void *)
    int sendmmsg(int, mmsghdr *, unsigned int, int)
    ssize_t recvmsg(int, msghdr *, int)
    enum: MSG_DONTWAIT
    enum: MSG_ERRQUEUE


cdef extern from *:
    """
    #include <netinet/in.h>
    #include <sys/socket.h>
    #include <time.h>
    #include <linux/types.h>
    #include <linux/errqueue.h>
    #include <linux/icmp.h>
    #include <linux/icmpv6.h>
    /* Whether a message of the error queue is "destination unreachable", whatever is too large for
       its path (ip(7), IP_RECVERR). */
    static inline int ds_unreachable(struct msghdr *m) {
        struct cmsghdr *c;
        for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
            struct sock_extended_err e;
            if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR)
                && !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
                continue;
            memcpy(&e, CMSG_DATA(c), sizeof e);
            if (e.ee_origin == SO_EE_ORIGIN_ICMP)
                return e.ee_type == ICMP_DEST_UNREACH && e.ee_code != ICMP_FRAG_NEEDED;
            if (e.ee_origin == SO_EE_ORIGIN_ICMP6)
                return e.ee_type == ICMPV6_DEST_UNREACH;
        }
        return 0;
    }
    /* How long this datagram has been in the socket, by the kernel's stamp (socket(7),
       SO_TIMESTAMPNS); -1 if there is none. */
    static inline long long ds_waited_ns(struct msghdr *m) {
        struct cmsghdr *c;
        struct timespec then, now;
        for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
            long long waited;
            if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
                continue;
            memcpy(&then, CMSG_DATA(c), sizeof then);
            clock_gettime(CLOCK_REALTIME, &now);
            waited = (now.tv_sec - then.tv_sec) * 1000000000LL + (now.tv_nsec - then.tv_nsec);
            return waited > 0 ? waited : 0;
        }
        return -1;
    }
    /* Have the kernel cut what a message sends into datagrams of this length, the last one may be
       shorter (UDP_SEGMENT, udp(7)); 0: it is one datagram.  `room` has SEGMENT_ROOM bytes. */
    #ifndef UDP_SEGMENT
    #define UDP_SEGMENT 103
    #endif
    enum { SEGMENT_ROOM = CMSG_SPACE(sizeof(__u16)) };
    static inline void ds_segments(struct msghdr *m, void *room, int length) {
        struct cmsghdr *c = room;
        __u16 cut = (__u16)length;
        m->msg_control = length ? room : NULL;
        m->msg_controllen = length ? SEGMENT_ROOM : 0;
        if (!length)
            return;
        c->cmsg_level = IPPROTO_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof cut);
        memcpy(CMSG_DATA(c), &cut, sizeof cut);
    }
    """
    enum: SEGMENT_ROOM
    void ds_segments(msghdr *, void *, int) nogil
    bint ds_unreachable(msghdr *) nogil
    long long ds_waited_ns(msghdr *) nogil


cdef extern from "<unistd.h>" nogil:
    ssize_t c_write "write"(int, const void *, size_t)


cdef extern from "<poll.h>" nogil:
    cdef struct pollfd:
        int fd
        short events
        short revents
    int c_poll "poll"(pollfd *, unsigned long, int)
    enum: POLLIN
    enum: POLLOUT
    enum: POLLERR
