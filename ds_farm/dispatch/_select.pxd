"""The draws of the algorithms, over arrays that the caller owns (semantics 2.3, 2.4, decision 4).

Cost of a pick: constant for round robin and random order, a binary search for weights.  Nothing
here looks at shared memory, allocates, or makes a Python object.
"""

from libc.stdint cimport uint32_t, uint64_t


cdef int draw(const uint32_t *running, int size, uint64_t h) noexcept nogil
cdef int draw_active(
    const uint32_t *running, const unsigned char *active, int size, int active_nr, uint64_t h
) noexcept nogil
cdef int probe_up(const unsigned char *active, int size, int start) noexcept nogil
cdef int sum_up(const uint32_t *weights, const unsigned char *active, int size, uint32_t *running) noexcept nogil
cdef int keep_active(const uint32_t *turns, int count, const unsigned char *active, uint32_t *kept) noexcept nogil
cdef uint32_t golden_step(uint32_t total) noexcept nogil
cdef uint64_t stride(uint64_t h, uint64_t step, uint64_t total) noexcept nogil
cdef int _first_above(const uint32_t *running, int size, uint32_t r) noexcept nogil
