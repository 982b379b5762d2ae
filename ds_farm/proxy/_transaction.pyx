"""Memory of transactions: making, finding, freeing.  What happens to them is `_relay.pyx`'s.

The key is the first part of our Via branch (`_forward.pyx`): a keyed hash of the upstream's branch
and sent-by.  So a retransmitted request, its CANCEL, the ACK of a negative response (RFC 3261
17.2.3) and every response from downstream (17.1.3) lead to the same bucket.
"""

from cpython.ref cimport Py_XDECREF
from libc.stdint cimport uint64_t, uintptr_t
from libc.string cimport memcpy, memset
from posix.mman cimport (
    MADV_HUGEPAGE,
    MAP_ANONYMOUS,
    MAP_FAILED,
    MAP_PRIVATE,
    PROT_READ,
    PROT_WRITE,
    madvise,
    mmap,
    munmap,
)

from ds_farm.proxy._pool cimport GRAIN, LARGEST, Pool, pool_end, pool_give, pool_take
from ds_farm.proxy._timers cimport Wheel, timer_cancel, wheel_start
from ds_farm.sip._names cimport ACK, INVITE


cdef extern from *:
    void __builtin_prefetch(const void *) noexcept nogil


cdef enum:
    FIRST_BUCKETS = 4096
    # Buckets for a transaction, at least: most are empty, so that a look for one that is not there
    # touches no other one's memory.
    ROOM = 4
    STEP = 2 * ROOM              # buckets that a new transaction moves while the table grows


cdef Transaction **_buckets(uint64_t n) noexcept nogil:
    """Empty buckets, NULL if there is no memory.  Huge pages, if they fill one: every look goes
    somewhere else, and would have to find its page first."""
    cdef size_t size = n * sizeof(Transaction *)
    cdef void *where = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if where == MAP_FAILED:
        return NULL
    madvise(where, size, MADV_HUGEPAGE)
    return <Transaction **>where


cdef int table_start(Table *table) except -1:
    """An empty table."""
    memset(table, 0, sizeof(Table))
    table.buckets = _buckets(FIRST_BUCKETS)
    if table.buckets == NULL:
        raise MemoryError
    table.mask = FIRST_BUCKETS - 1
    return 0


cdef void table_end(Table *table, Wheel *wheel):
    """Free all that is in it, and itself."""
    if table.buckets == NULL:
        return
    while table.oldest != NULL:
        transaction_free(table, wheel, table.oldest)
    _drop_former(table)
    pool_end(&table.pool)
    munmap(table.buckets, (table.mask + 1) * sizeof(Transaction *))
    table.buckets = NULL


cdef inline Transaction **_bucket(Table *table, uint64_t key) noexcept nogil:
    """Where the transactions of this key are."""
    if table.former != NULL and (key & table.former_mask) >= table.moved:
        return &table.former[key & table.former_mask]
    return &table.buckets[key & table.mask]


cdef void _drop_former(Table *table) noexcept nogil:
    if table.former != NULL:
        munmap(table.former, (table.former_mask + 1) * sizeof(Transaction *))
        table.former = NULL


cdef void _grow(Table *table) noexcept nogil:
    """Twice as many buckets; if there is no memory the chains become longer, that is all."""
    cdef Transaction **buckets = _buckets(2 * (table.mask + 1))
    if buckets == NULL:
        return
    table.former, table.former_mask = table.buckets, table.mask
    table.moved = 0
    table.buckets = buckets
    table.mask = 2 * table.mask + 1


cdef void _move(Table *table) noexcept nogil:
    """Some transactions on to the new buckets: never all at once, no message waits for that."""
    cdef uint64_t end = min(table.moved + <uint64_t>STEP, table.former_mask + 1)
    cdef Transaction *t
    cdef Transaction *following
    cdef Transaction **at
    while table.moved < end:
        t = table.former[table.moved]
        table.moved += 1
        while t != NULL:
            following = t.next
            at = &table.buckets[t.key & table.mask]
            t.next = at[0]
            at[0] = t
            t = following
    if table.moved > table.former_mask:
        _drop_former(table)


cdef Transaction *transaction_new(Table *table, uint64_t key, int method) noexcept nogil:
    """A transaction in the table; NULL if there is no memory."""
    cdef Transaction *t = <Transaction *>pool_take(&table.pool, sizeof(Transaction))
    cdef Transaction **at
    if t == NULL:
        return NULL
    memset(t, 0, sizeof(Transaction))
    if table.former != NULL:
        _move(table)
    elif ROOM * table.count > table.mask:
        _grow(table)
    t.key = key
    t.method = method
    at = _bucket(table, key)
    t.next = at[0]
    at[0] = t
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
    cdef Transaction *t = _bucket(table, key)[0]
    if method == ACK:
        method = INVITE
    while t != NULL and (t.key != key or t.method != method):
        t = t.next
    return t


cdef void transaction_free(Table *table, Wheel *wheel, Transaction *t):
    """Take it out of the table and the wheel and free all that it holds."""
    cdef Transaction **at = _bucket(table, t.key)
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
        __builtin_prefetch(_bucket(table, t.newer.key))  # most likely the next one to go
    else:
        table.newest = t.older
    table.count -= 1
    timer_cancel(wheel, &t.resend)
    timer_cancel(wheel, &t.end)
    while b != NULL:
        older = b.next
        timer_cancel(wheel, &b.resend)
        timer_cancel(wheel, &b.limit)
        forget(&table.pool, &b.sent, &b.sent_length)
        Py_XDECREF(b.reply_context)
        if b != &t.first:
            pool_give(&table.pool, b, sizeof(Branch))
        b = older
    forget(&table.pool, &t.request, &t.request_length)
    forget(&table.pool, &t.reply.data, &t.reply.length)
    forget(&table.pool, &t.best.data, &t.best.length)
    Py_XDECREF(t.context)
    Py_XDECREF(t.reply_context)
    pool_give(&table.pool, t, sizeof(Transaction))


cdef Branch *branch_new(Table *table, Transaction *t, int index, bint is_cancel) noexcept nogil:
    """A branch more; NULL if there is no memory."""
    cdef Branch *b = &t.first
    if t.branches != NULL:
        b = <Branch *>pool_take(&table.pool, sizeof(Branch))
        if b == NULL:
            return NULL
        memset(b, 0, sizeof(Branch))
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


cdef int keep(
    Pool *pool, unsigned char **where, int *length, const unsigned char *data, int n
) noexcept nogil:
    """Copy ``data`` to ``where``, instead of what is there; -1 if there is no memory."""
    cdef unsigned char *copy = where[0]
    if copy == NULL or (length[0] - 1) // GRAIN != (n - 1) // GRAIN or n > LARGEST:
        copy = <unsigned char *>pool_take(pool, n)
        if copy == NULL:
            return -1
        pool_give(pool, where[0], length[0])
    memcpy(copy, data, n)
    where[0] = copy
    length[0] = n
    return 0


cdef void forget(Pool *pool, unsigned char **where, int *length) noexcept nogil:
    """Give back what is there."""
    pool_give(pool, where[0], length[0])
    where[0] = NULL
    length[0] = 0


cdef class TransactionTable:
    """The table for tests: transactions are numbers, and keep bytes."""

    cdef Table _table
    cdef Wheel _wheel
    cdef dict _known

    def __cinit__(self):
        wheel_start(&self._wheel, 0)
        table_start(&self._table)
        self._known = {}

    def __dealloc__(self):
        table_end(&self._table, &self._wheel)

    def add(self, int number, uint64_t key, int method, bytes kept):
        """Make transaction ``number``, and have it keep the bytes as its reply."""
        cdef Transaction *t = transaction_new(&self._table, key, method)
        if t == NULL:
            raise MemoryError
        t.branch_nr = number
        self._known[number] = <uintptr_t>t
        self.keep(number, kept)

    def keep(self, int number, bytes kept):
        """Keep other bytes instead."""
        cdef Transaction *t = <Transaction *><uintptr_t>self._known[number]
        if keep(&self._table.pool, &t.reply.data, &t.reply.length, kept, len(kept)) < 0:
            raise MemoryError

    def kept(self, int number):
        """What it keeps."""
        cdef Transaction *t = <Transaction *><uintptr_t>self._known[number]
        return t.reply.data[:t.reply.length]

    def find(self, uint64_t key, int method):
        """Number of the transaction that is found, -1 if none is."""
        cdef Transaction *t = transaction_find(&self._table, key, method)
        return -1 if t == NULL else t.branch_nr

    def free(self, int number):
        """Free it."""
        transaction_free(
            &self._table, &self._wheel, <Transaction *><uintptr_t>self._known.pop(number)
        )

    def __len__(self):
        return self._table.count
