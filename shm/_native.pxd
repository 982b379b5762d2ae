"""A mapped segment as seen from compiled code: a base address and a length.

Cost: an atomic load or store is one instruction; `Memory` methods called from Python add a
bounds check and the boxing of an int.
"""

from libc.stdint cimport uint64_t


cdef class Memory:
    cdef unsigned char *base
    cdef readonly Py_ssize_t size
    cdef object _owner
    cdef Py_buffer _view
    cdef bint _has_view

    cdef uint64_t *at(self, Py_ssize_t offset) except NULL
    cdef uint64_t *_writable_at(self, Py_ssize_t offset) except NULL


cdef extern from *:
    """
    #define ds_load(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define ds_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    #define ds_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
    /* A counter with a single writer needs no locked instruction, only a store that is whole. */
    #define ds_count(p, v) __atomic_store_n((p), __atomic_load_n((p), __ATOMIC_RELAXED) + (v), __ATOMIC_RELAXED)
    static inline int ds_cas(uint64_t *p, uint64_t expected, uint64_t value) {
        return __atomic_compare_exchange_n(p, &expected, value, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    """
    uint64_t ds_load(uint64_t *p) noexcept nogil
    void ds_store(uint64_t *p, uint64_t v) noexcept nogil
    uint64_t ds_add(uint64_t *p, uint64_t v) noexcept nogil
    void ds_count(uint64_t *p, uint64_t v) noexcept nogil
    bint ds_cas(uint64_t *p, uint64_t expected, uint64_t value) noexcept nogil
