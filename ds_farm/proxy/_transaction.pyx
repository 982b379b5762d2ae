"""Memory of transactions: making, finding, freeing.  What happens to them is `_relay.pyx`'s.

The key is the first part of our Via branch (`_forward.pyx`): a keyed hash of the upstream's branch
and sent-by.  So a retransmitted request, its CANCEL, the ACK of a negative response (RFC 3261
17.2.3) and every response from downstream (17.1.3) lead to the same bucket.
"""

from cpython.ref cimport Py_XDECREF
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy

from ds_farm.proxy._timers cimport Wheel, timer_cancel
from ds_farm.sip._names cimport ACK, INVITE

cdef enum:
    FIRST_BUCKETS = 1024


cdef int table_start(Table *table) except -1:
    """An empty table."""
    table.buckets = <Transaction **>calloc(FIRST_BUCKETS, sizeof(Transaction *))
    if table.buckets == NULL:
        raise MemoryError
    table.mask = FIRST_BUCKETS - 1
    table.count = 0
    table.newest = table.oldest = NULL
    return 0


cdef void table_end(Table *table, Wheel *wheel):
    """Free all that is in it, and itself."""
    if table.buckets != NULL:
        while table.oldest != NULL:
            transaction_free(table, wheel, table.oldest)
        free(table.buckets)
        table.buckets = NULL


cdef void _grow(Table *table) noexcept nogil:
    """Twice as many buckets; if there is no memory the chains become longer, that is all."""
    cdef uint64_t mask = 2 * (table.mask + 1) - 1
    cdef Transaction **buckets = <Transaction **>calloc(mask + 1, sizeof(Transaction *))
    cdef Transaction *t
    if buckets == NULL:
        return
    t = table.oldest
    while t != NULL:
        t.next = buckets[t.key & mask]
        buckets[t.key & mask] = t
        t = t.newer
    free(table.buckets)
    table.buckets = buckets
    table.mask = mask


cdef Transaction *transaction_new(Table *table, uint64_t key, int method) noexcept nogil:
    """A transaction in the table; NULL if there is no memory."""
    cdef Transaction *t = <Transaction *>calloc(1, sizeof(Transaction))
    if t == NULL:
        return NULL
    if table.count > table.mask:
        _grow(table)
    t.key = key
    t.method = method
    t.next = table.buckets[key & table.mask]
    table.buckets[key & table.mask] = t
    t.older = table.newest
    if table.newest != NULL:
        table.newest.newer = t
    else:
        table.oldest = t
    table.newest = t
    table.count += 1
    return t


cdef Transaction *transaction_find(Table *table, uint64_t key, int method) noexcept nogil:
    """The transaction that a request of this method belongs to, NULL if there is none.

    An ACK belongs to its INVITE (17.2.3).  Ask with INVITE for the one that a CANCEL cancels.
    """
    cdef Transaction *t = table.buckets[key & table.mask]
    if method == ACK:
        method = INVITE
    while t != NULL and (t.key != key or t.method != method):
        t = t.next
    return t


cdef void transaction_free(Table *table, Wheel *wheel, Transaction *t):
    """Take it out of the table and the wheel and free all that it holds."""
    cdef Transaction **at = &table.buckets[t.key & table.mask]
    cdef Branch *b = t.branches
    cdef Branch *older
    while at[0] != t:
        at = &at[0].next
    at[0] = t.next
    if t.older != NULL:
        t.older.newer = t.newer
    else:
        table.oldest = t.newer
    if t.newer != NULL:
        t.newer.older = t.older
    else:
        table.newest = t.older
    table.count -= 1
    timer_cancel(wheel, &t.resend)
    timer_cancel(wheel, &t.end)
    while b != NULL:
        older = b.next
        timer_cancel(wheel, &b.resend)
        timer_cancel(wheel, &b.limit)
        free(b.sent)
        free(b)
        b = older
    free(t.request)
    free(t.reply.data)
    free(t.best.data)
    Py_XDECREF(t.context)
    Py_XDECREF(t.reply_context)
    free(t)


cdef Branch *branch_new(Transaction *t, int index, bint is_cancel) noexcept nogil:
    """A branch more; NULL if there is no memory."""
    cdef Branch *b = <Branch *>calloc(1, sizeof(Branch))
    if b == NULL:
        return NULL
    b.transaction = t
    b.next = t.branches
    b.index = index
    b.is_cancel = is_cancel
    t.branches = b
    return b


cdef Branch *branch_find(Transaction *t, int index, bint is_cancel) noexcept nogil:
    """Branch of that number, or the CANCEL of it; NULL if there is none."""
    cdef Branch *b = t.branches
    while b != NULL and (b.index != index or b.is_cancel != is_cancel):
        b = b.next
    return b


cdef int keep(unsigned char **where, int *length, const unsigned char *data, int n) noexcept nogil:
    """Copy ``data`` to ``where``, instead of what is there; -1 if there is no memory."""
    cdef unsigned char *copy = <unsigned char *>realloc(where[0], n if n else 1)
    if copy == NULL:
        return -1
    memcpy(copy, data, n)
    where[0] = copy
    length[0] = n
    return 0


cdef void forget(unsigned char **where, int *length) noexcept nogil:
    """Free what is there."""
    free(where[0])
    where[0] = NULL
    length[0] = 0
