"""Pieces of memory for `_transaction.pyx`: a list of free ones in each chunk.

A chunk whose last piece comes back goes back to the system, if there are some others like it:
memory grows and shrinks with the transactions under way, but not with each tick of their timers.
"""

from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc
from posix.mman cimport (
    MAP_ANONYMOUS,
    MAP_FAILED,
    MAP_PRIVATE,
    PROT_READ,
    PROT_WRITE,
    mmap,
    munmap,
)


cdef extern from *:
    void __builtin_prefetch(const void *) noexcept nogil


cdef enum:
    HEAD = 64                    # of a chunk, before its pieces
    SPARE = 16                   # empty chunks of each kind that are kept


cdef Chunk *_chunk(Pool *pool, int kind) noexcept nogil:
    """A chunk more, NULL if there is no memory."""
    cdef char *where = <char *>mmap(
        NULL, 2 * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0
    )
    cdef char *start
    cdef Chunk *chunk
    if where == MAP_FAILED:
        return NULL
    start = <char *>((<uintptr_t>where + CHUNK - 1) & ~<uintptr_t>(CHUNK - 1))
    if start > where:
        munmap(where, start - where)
    if start < where + CHUNK:
        munmap(start + CHUNK, where + CHUNK - start)
    pool.empty[kind] += 1
    chunk = <Chunk *>start
    chunk.kind = kind
    chunk.fresh = HEAD
    _open(pool, chunk)
    return chunk


cdef void _open(Pool *pool, Chunk *chunk) noexcept nogil:
    """It has room: the next one taken is in it."""
    chunk.previous = NULL
    chunk.next = pool.open[chunk.kind]
    if chunk.next != NULL:
        chunk.next.previous = chunk
    pool.open[chunk.kind] = chunk


cdef void _close(Pool *pool, Chunk *chunk) noexcept nogil:
    """It has no room, or is no more."""
    if chunk.previous != NULL:
        chunk.previous.next = chunk.next
    else:
        pool.open[chunk.kind] = chunk.next
    if chunk.next != NULL:
        chunk.next.previous = chunk.previous


cdef inline bint _is_full(Chunk *chunk) noexcept nogil:
    return chunk.free == NULL and chunk.fresh + (chunk.kind + 1) * GRAIN > CHUNK


cdef void *pool_take(Pool *pool, int size) noexcept nogil:
    """Room for so many bytes, with anything in it; NULL if there is no memory."""
    cdef int kind = (size - 1) // GRAIN if size > 0 else 0
    cdef Chunk *chunk
    cdef void *piece
    if size > LARGEST:
        return malloc(size)
    chunk = pool.open[kind]
    if chunk == NULL:
        chunk = _chunk(pool, kind)
        if chunk == NULL:
            return NULL
    if chunk.free != NULL:
        piece = chunk.free
        chunk.free = chunk.free.next
        __builtin_prefetch(chunk.free)  # the next one taken is looked into then
    else:
        piece = <char *>chunk + chunk.fresh
        chunk.fresh += (kind + 1) * GRAIN
    if chunk.used == 0:
        pool.empty[kind] -= 1
    chunk.used += 1
    if _is_full(chunk):
        _close(pool, chunk)
    return piece


cdef void pool_give(Pool *pool, void *piece, int size) noexcept nogil:
    """Take back what `pool_take` gave for that size; NULL is nothing."""
    cdef Chunk *chunk
    if size > LARGEST:
        free(piece)
        return
    if piece == NULL:
        return
    chunk = <Chunk *>(<uintptr_t>piece & ~<uintptr_t>(CHUNK - 1))
    if _is_full(chunk):
        _open(pool, chunk)
    (<Piece *>piece).next = chunk.free
    chunk.free = <Piece *>piece
    chunk.used -= 1
    if chunk.used == 0:
        if pool.empty[chunk.kind] < SPARE:
            pool.empty[chunk.kind] += 1
        else:
            _close(pool, chunk)
            munmap(chunk, CHUNK)


cdef void pool_end(Pool *pool) noexcept nogil:
    """Give the system what is left when every piece has come back."""
    cdef Chunk *chunk
    cdef int kind
    for kind in range(KINDS):
        while pool.open[kind] != NULL:
            chunk = pool.open[kind]
            _close(pool, chunk)
            munmap(chunk, CHUNK)
        pool.empty[kind] = 0


cdef class PiecePool:
    """The pool for tests: pieces are numbers, each filled with its own."""

    cdef Pool _pool
    cdef dict _pieces

    def __cinit__(self):
        self._pieces = {}

    def __dealloc__(self):
        pool_end(&self._pool)

    def take(self, int number, int size):
        """Take piece ``number`` and fill it."""
        cdef unsigned char *piece = <unsigned char *>pool_take(&self._pool, size)
        cdef int i
        if piece == NULL:
            raise MemoryError
        for i in range(size):
            piece[i] = <unsigned char>(number + i)
        self._pieces[number] = (<uintptr_t>piece, size)

    def give(self, int number):
        """Give it back; False if something else was written into it."""
        cdef uintptr_t where
        cdef int size, i
        cdef unsigned char *piece
        where, size = self._pieces.pop(number)
        piece = <unsigned char *>where
        for i in range(size):
            if piece[i] != <unsigned char>(number + i):
                return False
        pool_give(&self._pool, piece, size)
        return True

    def empty(self):
        """Empty chunks of each kind."""
        return [self._pool.empty[kind] for kind in range(KINDS)]
