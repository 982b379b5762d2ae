"""A set as one SIP worker sees it: columns of the table, hot words of the segment.

Cost of a pick: one atomic load (has any state moved?), for round robin one fetch-and-add on the
set's cursor, and the draw of `_select.pxd`.  Only after a state change the worker walks the set
once to rebuild its arrays.
"""

from libc.stdint cimport uint32_t, uint64_t

from shm._layout cimport Destination, DestinationCounters, Set, SetCounters
from shm._native cimport Memory


cdef struct Endpoint:            # as `table.ENDPOINT` packs it
    unsigned short version
    unsigned short port
    unsigned char address[16]


cdef struct View:                # arrays for one size of the draw
    int size                     # destinations that take part: all, or all but the last (flag D)
    uint64_t version             # state_version that the arrays below are made of, plus 1
    int active_nr
    unsigned char *active
    uint32_t *running            # sums over all
    uint32_t *active_running     # sums over the active ones
    const uint32_t *turns
    int turns_nr
    uint32_t *active_turns
    int active_turns_nr
    uint32_t step                # of the walk that stands for turns which are not written down


cdef class LiveSet:
    cdef readonly str partition
    cdef readonly int id
    cdef readonly int size
    cdef object _columns         # keeps what the pointers below point into
    cdef Memory _memory
    cdef Set *shared
    cdef SetCounters *counters
    cdef Destination *_destinations
    cdef DestinationCounters *_destination_counters
    cdef const uint32_t *slots
    cdef const uint32_t *weights
    cdef const uint32_t *uri_ends
    cdef const uint32_t *host_spans
    cdef const char *uris
    cdef const Endpoint *_endpoints
    cdef const uint32_t *_endpoint_ends
    cdef bytes attrs
    cdef const uint32_t *attr_ends
    cdef bytes sockets
    cdef const uint32_t *socket_ends
    cdef View _views[2]

    cdef View *view(self, bint but_last) except NULL
    cdef int _rebuild(self, View *view) except -1
    cdef int _check_hosts(self) except -1
    cdef int _prepare(self, View *view, int size, bytes turns) except -1
    cdef int state(self, int index) noexcept nogil
    cdef bint is_active(self, int index) noexcept nogil
    cdef uint64_t address(self, int index) noexcept nogil
    cdef const Endpoint *endpoint(self, int index) noexcept nogil
    cdef int holds(self, int index, const Endpoint *wanted) noexcept nogil
    cdef bytes uri_text(self, int index)
    cdef str attr(self, int index)
    cdef str socket(self, int index)
    cdef bytes hostport(self, int index)
    cdef int find_uri(self, bytes uri)
    cdef int select(self, int algorithm, uint64_t h, bint use_default) except -2
    cdef void count_choice(self, int algorithm, int index) noexcept nogil
    cdef void count_failover(self, int index) noexcept nogil


cdef class LiveTable:
    cdef readonly uint64_t generation
    cdef readonly dict sets
    cdef int destinations_used
    cdef DestinationCounters *counters   # this worker's row, by slot

    cpdef LiveSet find(self, str partition, int set_id)
