"""What a call of ds_select_dst has chosen and what it may still give: a walk, not a list.

Cost: the list of alternates (flag f) is never made unless somebody reads the AVPs; the next
destination is found when it is asked for.
"""

from libc.stdint cimport uint64_t

from ds_farm.dispatch._live cimport LiveSet


cdef class Choice:               # one set of a call
    cdef readonly str partition
    cdef readonly int set_id
    cdef readonly int algorithm
    cdef readonly bint failover
    cdef readonly bint user_only
    cdef readonly bint keep
    cdef readonly bint use_default
    cdef readonly int max_results
    cdef LiveSet live            # of the table `generation`; None: it has no such set
    cdef uint64_t generation


cdef class Call:                 # a parsed call
    cdef readonly tuple choices  # None: it cannot be parsed, or depends on variables
    cdef readonly object failure  # the code that it returns then
    cdef readonly object formats  # functions of the request that give its texts


cdef class Plan:
    cdef uint64_t serial         # number of the request that it belongs to
    cdef Call call
    cdef int item                # which of the call's choices
    cdef LiveSet live            # its set
    cdef int index               # destination in use, -1 before the first
    cdef int size                # destinations that take part in the draw
    cdef int chosen, step, given
    cdef bint default_given
    cdef list order              # algorithm 9: indexes by rising load
    cdef bint listed             # the AVPs have been made and are what counts now
    cdef int left                # of the current set in the AVPs

    cdef void begin(self, Call call, uint64_t serial) noexcept
    cdef void start(self, LiveSet live, int chosen, list order) noexcept
    cdef int following(self)
    cdef Choice choice(self)
    cdef bint may_use(self, LiveSet live, int index)
    cdef Plan copy(self)
