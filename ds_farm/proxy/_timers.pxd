"""A timer wheel: any number of timers, no system call and no allocation for one.

Cost: setting and cancelling write a few words; advancing looks at one slot for each tick that has
passed.  A timer is never early, and late by at most one tick.
"""

from libc.stdint cimport uint64_t


cdef enum:
    TICK_SHIFT = 23              # a tick is 2**23 ns, 8.4 ms
    LEVELS = 4
    SLOTS = 64                   # of a level; four levels reach 39 hours


cdef struct Timer:               # inside what it belongs to
    Timer *next
    Timer **link                 # what points to it; NULL: it is not set
    uint64_t due                 # tick
    int kind                     # the owner's


cdef struct Wheel:
    uint64_t tick                # all up to here has expired
    uint64_t count               # timers that are set
    uint64_t used[LEVELS]        # a bit for each slot that may have timers
    Timer *slots[LEVELS][SLOTS]
    Timer *expired               # of the current tick, not taken yet


cdef void wheel_start(Wheel *wheel, uint64_t now_ns) noexcept nogil
cdef void timer_set(Wheel *wheel, Timer *timer, uint64_t due_ns) noexcept nogil
cdef void timer_cancel(Wheel *wheel, Timer *timer) noexcept nogil
cdef Timer *timer_expired(Wheel *wheel, uint64_t now_ns) noexcept nogil
cdef uint64_t wheel_next_ns(Wheel *wheel) noexcept nogil
