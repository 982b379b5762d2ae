"""Transactions of one worker: the structs, and the table that finds them.

Cost: a transaction is three pieces of memory (itself with its first branch, the request as received,
the datagram as sent), found by one look into a table.  No Python object, unless a routing function
wants to hear of it again.
"""

from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from ds_farm.proxy._pool cimport Pool
from ds_farm.proxy._timers cimport Timer, Wheel
from ds_farm.proxy._wire cimport Peer


cdef enum TimerKind:             # what an expired Timer belongs to, and means
    BRANCH_RESEND = 1            # timers A and E
    BRANCH_LIMIT = 2             # B, C, F: nobody has answered in time
    REPLY_RESEND = 3             # G
    TRANSACTION_END = 4          # D, H, I, J, K, L


cdef enum BranchState:           # RFC 3261 figures 5 and 6
    CALLING = 0                  # of a non-INVITE: Trying
    PROCEEDING = 1
    COMPLETED = 2                # it has a final response, or has been given up
    ACCEPTED = 3                 # RFC 6026: a 2xx to an INVITE


cdef struct Branch:              # a client transaction
    Timer resend
    Timer limit
    Branch *next                 # older one of the same transaction
    Transaction *transaction
    unsigned char *sent          # what is sent again: the request, later the ACK
    int sent_length
    Peer to
    int listener
    int slot                     # destination, -1: none of ours
    uint64_t address             # number of its address
    int index                    # last part of its Via branch
    int state
    int status                   # of the last response, 408 if none came in time
    bint is_cancel               # the transaction of a CANCEL
    bint is_refused              # ends with its limit, which is near, as one that nobody listened to
    bint cancel_sent
    int heard                    # 1: a provisional response, 2: a final one, 0: nothing
    bint is_acknowledged         # `sent` is the ACK of a negative response
    uint64_t interval_ns         # of the next retransmission
    uint64_t sent_ns
    PyObject *reply_context      # reply route of its own and what it is to have again, or NULL


cdef struct Stored:              # a datagram that may be sent again
    unsigned char *data
    int length
    Peer to
    int listener


cdef struct Transaction:         # a server transaction with its branches
    Timer resend
    Timer end
    Transaction *next            # in the table's bucket
    Transaction *newer           # all of them, in the order of their creation
    Transaction *older
    uint64_t key
    unsigned char *request       # as received
    int request_length
    Stored reply                 # the last response that went upstream
    Stored best                  # the best final response that waits for the other branches
    int best_status
    int best_came_by             # listener that the best one names
    Peer source
    int listener
    Branch *branches             # newest first
    Branch first                 # the oldest one, as most have no other
    int branch_nr
    int pending                  # branches without a final response
    int method
    int status                   # of the last response that went upstream, 0: none
    bint is_over                 # a final response has gone upstream
    bint is_cancelled
    int fr_timeout_ms
    int fr_inv_timeout_ms
    uint64_t interval_ns         # of G
    uint64_t started_ns
    PyObject *context            # failure route and what it is to have again, or NULL
    PyObject *reply_context      # the same of the reply route; lives as long as the transaction
    bint force_rport             # see Exchange


cdef struct Table:
    Transaction **buckets
    uint64_t mask
    Transaction **former         # buckets before it grew, while some are still to be moved
    uint64_t former_mask
    uint64_t moved               # of the former ones
    uint64_t count
    Transaction *newest
    Transaction *oldest
    Pool pool                    # all memory but that of buckets


cdef int table_start(Table *table) except -1
cdef void table_end(Table *table, Wheel *wheel)
cdef Transaction *transaction_new(Table *table, uint64_t key, int method) noexcept nogil
cdef Transaction *transaction_find(Table *table, uint64_t key, int method) noexcept nogil
cdef void transaction_free(Table *table, Wheel *wheel, Transaction *t)
cdef Branch *branch_new(Table *table, Transaction *t, int index, bint is_cancel) noexcept nogil
cdef Branch *branch_find(Transaction *t, int index, bint is_cancel) noexcept nogil
cdef int keep(
    Pool *pool, unsigned char **where, int *length, const unsigned char *data, int n
) noexcept nogil
cdef void forget(Pool *pool, unsigned char **where, int *length) noexcept nogil
