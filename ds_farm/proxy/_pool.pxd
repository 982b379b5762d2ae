"""Memory for what transactions keep: pieces of few sizes, in chunks of two megabytes.

Cost: taking a piece and giving it back write a few words.  A transaction stays for half a minute,
so a busy worker has gigabytes of them: pieces of one time lie beside each other, and no neighbour
is looked at when one comes back.
"""


cdef enum:
    CHUNK = 1 << 21
    GRAIN = 256                  # pieces are a multiple of it long
    KINDS = 8
    LARGEST = KINDS * GRAIN      # longer ones are rare: malloc


cdef struct Piece:               # one that is free
    Piece *next


cdef struct Chunk:               # at its own beginning, which is a multiple of its size
    Chunk *next                  # others of its kind that have room
    Chunk *previous
    Piece *free                  # given back
    int fresh                    # where pieces begin that nobody has had yet
    int used                     # pieces that are taken
    int kind


cdef struct Pool:
    Chunk *open[KINDS]           # chunks with room
    int empty[KINDS]             # chunks of which no piece is taken


cdef void *pool_take(Pool *pool, int size) noexcept nogil
cdef void pool_give(Pool *pool, void *piece, int size) noexcept nogil
cdef void pool_end(Pool *pool) noexcept nogil
