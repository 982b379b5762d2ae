"""The timer wheel (hashed and hierarchical): what `_relay.pyx` hangs its transactions' timers on.

It reads no clock: the time is an argument, in nanoseconds of whatever clock the caller has.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memset


cdef extern from *:
    int __builtin_ctzll(unsigned long long) noexcept nogil
    void __builtin_prefetch(const void *) noexcept nogil


cdef void wheel_start(Wheel *wheel, uint64_t now_ns) noexcept nogil:
    """An empty wheel at this time."""
    memset(wheel, 0, sizeof(Wheel))
    wheel.tick = now_ns >> TICK_SHIFT


cdef void _hang(Wheel *wheel, Timer *timer) noexcept nogil:
    """Into the slot that its distance says; the lowest level has one slot a tick."""
    cdef uint64_t ahead = timer.due - wheel.tick, slot
    cdef int level = 0
    while level < LEVELS - 1 and ahead >> (6 * (level + 1)):
        level += 1
    if ahead >> (6 * LEVELS):
        slot = ((wheel.tick >> (6 * level)) - 1) & (SLOTS - 1)  # as far away as can be
    else:
        slot = (timer.due >> (6 * level)) & (SLOTS - 1)
    timer.next = wheel.slots[level][slot]
    timer.link = &wheel.slots[level][slot]
    if timer.next != NULL:
        timer.next.link = &timer.next
    wheel.slots[level][slot] = timer
    wheel.used[level] |= <uint64_t>1 << slot


cdef void timer_set(Wheel *wheel, Timer *timer, uint64_t due_ns) noexcept nogil:
    """Let it expire at ``due_ns``, or with the next tick if that has passed; set again moves it."""
    cdef uint64_t due = (due_ns >> TICK_SHIFT) + 1
    timer_cancel(wheel, timer)
    timer.due = due if due > wheel.tick else wheel.tick + 1
    wheel.count += 1
    _hang(wheel, timer)


cdef void timer_cancel(Wheel *wheel, Timer *timer) noexcept nogil:
    """Let it not expire; nothing if it is not set."""
    if timer.link == NULL:
        return
    timer.link[0] = timer.next
    if timer.next != NULL:
        timer.next.link = timer.link
    timer.link = NULL
    timer.next = NULL
    wheel.count -= 1


cdef Timer *_take(Timer **slot) noexcept nogil:
    """All timers of a slot, linked to each other but to no slot."""
    cdef Timer *first = slot[0]
    slot[0] = NULL
    return first


cdef void _cascade(Wheel *wheel, int level) noexcept nogil:
    """Timers of a higher level's slot, whose time has come nearer, to the levels below."""
    cdef uint64_t slot = (wheel.tick >> (6 * level)) & (SLOTS - 1)
    cdef Timer *timer
    cdef Timer *following
    if slot == 0 and level + 1 < LEVELS:
        _cascade(wheel, level + 1)
    timer = _take(&wheel.slots[level][slot])
    wheel.used[level] &= ~(<uint64_t>1 << slot)
    while timer != NULL:
        following = timer.next
        _hang(wheel, timer)
        timer = following


cdef Timer *timer_expired(Wheel *wheel, uint64_t now_ns) noexcept nogil:
    """The next timer that has expired by ``now_ns``, no longer set; NULL if there is none."""
    cdef uint64_t target = now_ns >> TICK_SHIFT, slot
    cdef Timer *timer
    while wheel.expired == NULL:
        if wheel.tick >= target:
            return NULL
        if wheel.count == 0:
            wheel.tick = target
            return NULL
        wheel.tick += 1
        slot = wheel.tick & (SLOTS - 1)
        if slot == 0:
            _cascade(wheel, 1)
        if wheel.slots[0][slot] != NULL:
            wheel.expired = _take(&wheel.slots[0][slot])
            wheel.expired.link = &wheel.expired
        wheel.used[0] &= ~(<uint64_t>1 << slot)
    timer = wheel.expired
    timer_cancel(wheel, timer)
    if wheel.expired != NULL:
        __builtin_prefetch(wheel.expired.next)  # long untouched: on its way while this one is dealt with
    return timer


cdef uint64_t wheel_next_ns(Wheel *wheel) noexcept nogil:
    """When to look again: at or before the first timer's time; 0 if none is set."""
    cdef uint64_t start = (wheel.tick + 1) & (SLOTS - 1), used = wheel.used[0], ahead, first
    if wheel.count == 0:
        return 0
    if wheel.expired != NULL:
        return wheel.tick << TICK_SHIFT
    ahead = (SLOTS - start) & (SLOTS - 1)  # where timers of the next level come down
    if used:
        if start:
            used = (used >> start) | (used << (SLOTS - start))
        first = <uint64_t>__builtin_ctzll(used)
        ahead = min(ahead, first)
    return (wheel.tick + 1 + ahead) << TICK_SHIFT


cdef class TimerWheel:
    """The wheel for tests: timers are numbers."""

    cdef Wheel _wheel
    cdef dict _timers

    def __init__(self, uint64_t now_ns=0):
        wheel_start(&self._wheel, now_ns)
        self._timers = {}

    def set(self, int number, uint64_t due_ns):
        """Set timer ``number``, or move it."""
        cdef TestTimer one = self._timers.setdefault(number, TestTimer())
        one.timer.kind = number
        timer_set(&self._wheel, &one.timer, due_ns)

    def cancel(self, int number):
        """Cancel timer ``number``."""
        cdef TestTimer one = self._timers[number]
        timer_cancel(&self._wheel, &one.timer)

    def expired(self, uint64_t now_ns):
        """Numbers of the timers that have expired by then, in the order of their ticks."""
        cdef Timer *timer
        numbers = []
        while True:
            timer = timer_expired(&self._wheel, now_ns)
            if timer == NULL:
                return numbers
            numbers.append(timer.kind)

    def next_ns(self):
        """When to look again, 0 for never."""
        return wheel_next_ns(&self._wheel)

    def __len__(self):
        return self._wheel.count


cdef class TestTimer:
    cdef Timer timer
