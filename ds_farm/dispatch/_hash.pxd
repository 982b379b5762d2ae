"""The dispatcher's hash, bit for bit (semantics section 2.3).

Cost: four bytes a step, no allocation.
"""

from libc.stdint cimport uint32_t


cdef uint32_t add_key(uint32_t h, const unsigned char *data, int length) noexcept nogil
cdef uint32_t finish(uint32_t h) noexcept nogil
cdef uint32_t _signed(uint32_t byte) noexcept nogil
